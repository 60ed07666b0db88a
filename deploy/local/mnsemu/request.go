package mnsemu

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"routinely/deploy/local/faults"
)

// maxRequestBytes bounds a request's body: a full batch with every character escaped stays below it.
const maxRequestBytes = 1 << 20

// request is one call of an operation, taken apart.
type request struct {
	http *http.Request
	// id is what the answer calls the request; begun is when it came, by the server's clock.
	id    string
	begun time.Time
	// path is the decoded path; query has decoded values under lower-case names, which is how the service matches them.
	path  string
	query map[string]string
	// queue, topic and subscription are what the path names.
	queue, topic, subscription string
	body                       []byte
	// document is the body's root element; problem says why there is none, or what else is wrong with the request line.
	document *element
	problem  error
}

// base is how addresses in answers begin. They say http over TLS too: that is inferred from recorded answers to calls which the tests that made
// them seem to have made over https.
func (r *request) base() string { return "http://" + r.http.Host }

// answer is a successful result.
type answer struct {
	status   int
	location string
	body     []byte
}

func created(body []byte) answer { return answer{status: http.StatusCreated, body: body} }

func ok(body []byte) answer { return answer{status: http.StatusOK, body: body} }

func noContent() answer { return answer{status: http.StatusNoContent} }

// operation is one of the protocol's, under the protocol's name.
type operation struct {
	action string
	run    func(*request) (answer, error)
}

// ServeHTTP answers the protocol, and /_local/ for scripts.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_local/") {
		s.local.ServeHTTP(w, r)
		return
	}
	req := readRequest(w, r, s.clock.Now())
	op := s.route(req)
	refuse := func(w http.ResponseWriter, status int, code, message string) {
		s.refuse(w, req, &refusal{status, code, message})
	}
	execute := func(w http.ResponseWriter) {
		result, err := s.execute(req, op)
		if err != nil {
			s.refuse(w, req, err)
			return
		}
		s.reply(w, req, result)
	}
	s.faults.Serve(w, r, faults.Call{Action: op.action, Params: req.params()}, s.clock.Now, execute, refuse)
}

func (s *Server) execute(r *request, op operation) (answer, error) {
	if err := s.authenticate(r); err != nil {
		return answer{}, err
	}
	if r.problem != nil {
		return answer{}, r.problem
	}
	if err := r.checkNames(s.config.MaxNameLength); err != nil {
		return answer{}, err
	}
	return op.run(r)
}

func readRequest(w http.ResponseWriter, r *http.Request, now time.Time) *request {
	req := &request{http: r, id: newRequestID(now), begun: now}
	var err error
	if r.ContentLength != 0 {
		if req.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes)); err != nil {
			req.problem = invalidArgument("The request body cannot be read: %v.", err)
		}
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if req.path, err = url.PathUnescape(path); err != nil {
		req.problem = badRequest("InvalidRequestURL", "Http request URL format invalid: %v.", err)
	}
	req.parseQuery(query)
	return req
}

// parseQuery decodes %XX but leaves "+" alone: some SDKs send receipt handles as they are.
func (r *request) parseQuery(query string) {
	if query == "" {
		return
	}
	r.query = map[string]string{}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		decoded, err := url.PathUnescape(value)
		if err != nil {
			r.problem = badRequest("InvalidQueryString", "Http request URL contains invalid querystring item %q.", name)
		}
		r.query[strings.ToLower(name)] = decoded
	}
}

// parseBody reads the document, which must have the given root element.
func (r *request) parseBody(roots ...string) {
	if r.problem != nil {
		return
	}
	document, err := parseXML(r.body)
	if err != nil {
		r.problem = malformedXML(err)
		return
	}
	for _, root := range roots {
		if document.name == root {
			r.document = document
			return
		}
	}
	r.problem = invalidArgument("The root element is %s, want %s.", document.name, strings.Join(roots, " or "))
}

// checkNames applies the naming rules to what the path names.
func (r *request) checkNames(maxLength int) error {
	for _, n := range []struct{ kind, name string }{{"Queue", r.queue}, {"Topic", r.topic}, {"Subscription", r.subscription}} {
		if n.name == "" {
			continue
		}
		if err := checkName(n.kind, n.name, maxLength); err != nil {
			return err
		}
	}
	return nil
}

// integer is the value of an optional query parameter within limits; absent gives fallback.
func (r *request) integer(name string, low, high int64, unit string, fallback int64) (int64, error) {
	text, present := r.query[strings.ToLower(name)]
	if !present {
		return fallback, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low || n > high {
		return 0, outOfRange(name, low, high, unit)
	}
	return n, nil
}

// flag is the value of an optional query parameter that is true or false.
func (r *request) flag(name string) (bool, error) {
	switch strings.ToLower(r.query[strings.ToLower(name)]) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, invalidArgument("The value of %s should be true or false.", name)
}

// params are what fault rules can match and the call log shows: names and numbers, no handles, bodies or secrets.
func (r *request) params() map[string]string {
	out := make(map[string]string, 2)
	put := func(name, value string) {
		if value != "" {
			out[name] = value
		}
	}
	put("queue", r.queue)
	put("topic", r.topic)
	put("subscription", r.subscription)
	put("waitseconds", r.query["waitseconds"])
	put("numOfMessages", r.query["numofmessages"])
	put("visibilityTimeout", r.query["visibilitytimeout"])
	if r.document != nil && r.document.name == "Message" {
		put("delaySeconds", r.document.value("DelaySeconds"))
	}
	return out
}

// newRequestID is 24 upper-case hex digits, of which the first eight are when the request began, in seconds since 1970.
func newRequestID(begun time.Time) string {
	return fmt.Sprintf("%08X", begun.Unix()) + randomHex()[:16]
}

// reply writes an answer with the headers every recorded answer has, the empty one too. The names are put into the map as they are, since the
// Python SDK looks for them in lower case.
func (s *Server) reply(w http.ResponseWriter, r *request, a answer) {
	header := w.Header()
	for _, each := range [...][2]string{
		{"x-mns-request-id", r.id},
		{"x-mns-version", protocolVersion},
		{"x-mns-response-format", "xml"},
		{"x-mns-netty-total-time", strconv.FormatInt(s.clock.Now().Sub(r.begun).Milliseconds(), 10)},
		{"x-mns-threadpool-wait-time", "0"},
		{"x-mns-account-type", ""},
		{"Content-Type", "text/xml;charset=utf-8"},
		{"Server", "AliyunMQS"},
	} {
		header[each[0]] = []string{each[1]}
	}
	if a.location != "" {
		header["Location"] = []string{a.location}
	}
	if a.status != http.StatusNoContent {
		header["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// refuse writes an Error document. An error that is not the protocol's is this server's own fault.
func (s *Server) refuse(w http.ResponseWriter, r *request, err error) {
	var refused *refusal
	if !errors.As(err, &refused) {
		refused = &refusal{http.StatusInternalServerError, "InternalError", err.Error()}
	}
	faults.NoteCode(w, refused.code)
	s.reply(w, r, answer{status: refused.status, body: newDocument("Error", func(d *document) {
		d.text("Code", refused.code)
		d.text("Message", refused.message)
		d.text("RequestId", r.id)
		d.text("HostId", r.base())
	})})
}
