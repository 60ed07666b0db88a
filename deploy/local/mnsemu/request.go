package mnsemu

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
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

// answer is a result; location and body may be missing.
type answer struct {
	status   int
	location string
	body     *element
}

func withBody(status int, body element) answer { return answer{status: status, body: &body} }

func created(body element) answer { return withBody(http.StatusCreated, body) }

func ok(body element) answer { return withBody(http.StatusOK, body) }

func noContent() answer { return answer{status: http.StatusNoContent} }

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

// execute carries a request out. What it changed is on disk when it returns, but for a receive: after a kill the last receives may be
// forgotten, and the messages come again.
func (s *Server) execute(r *request, op operation) (answer, error) {
	if err := cmp.Or(s.authenticate(r), r.problem); err != nil {
		return answer{}, err
	}
	for _, n := range []struct{ kind, name string }{{"Queue", r.queue}, {"Topic", r.topic}, {"Subscription", r.subscription}} {
		if n.name == "" {
			continue
		}
		if err := checkName(n.kind, n.name); err != nil {
			return answer{}, err
		}
	}
	var result answer
	changes, err := s.locked(func() (err error) {
		result, err = op.run(s, r)
		return err
	})
	if err == nil && r.http.Method != http.MethodGet {
		err = s.store.wait(changes)
	}
	return result, err
}

// locked calls f with the lock held, and returns how many changes there are to wait for.
func (s *Server) locked(f func() error) (changes int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, errors.New("the server is closed")
	}
	err = f()
	return s.store.count(), err
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
	r.query = map[string]string{}
	if query == "" {
		return
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		decoded, err := url.PathUnescape(value)
		if err != nil {
			r.problem = badRequest("InvalidQueryString", "Http request URL contains invalid querystring item %q.", name)
		}
		r.query[strings.ToLower(name)] = decoded
	}
}

// integer is the value of an optional query parameter within limits; absent gives fallback.
func (r *request) integer(name string, low, high int64, unit string, fallback int64) (int64, error) {
	if !r.has(name) {
		return fallback, nil
	}
	return parseInteger(name, r.query[strings.ToLower(name)], low, high, unit)
}

// params are what fault rules can match and the call log shows: names and numbers, no handles, bodies or secrets.
func (r *request) params() map[string]string {
	all := map[string]string{
		"queue": r.queue, "topic": r.topic, "subscription": r.subscription, "waitseconds": r.query["waitseconds"],
		"numOfMessages": r.query["numofmessages"], "visibilityTimeout": r.query["visibilitytimeout"],
	}
	if r.document != nil && r.document.name() == "Message" {
		all["delaySeconds"] = r.document.value("DelaySeconds")
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

// newRequestID is 24 upper-case hex digits, of which the first eight are when the request began, in seconds since 1970.
func newRequestID(begun time.Time) string {
	return fmt.Sprintf("%08X", begun.Unix()) + newID()[:16]
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
	var text []byte
	if a.body != nil {
		text = render(*a.body)
		header["Content-Length"] = []string{strconv.Itoa(len(text))}
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(text)
}

// refuse writes an Error document. An error that is not the protocol's is this server's own fault.
func (s *Server) refuse(w http.ResponseWriter, r *request, err error) {
	var refused *refusal
	if !errors.As(err, &refused) {
		refused = &refusal{http.StatusInternalServerError, "InternalError", err.Error()}
	}
	faults.NoteCode(w, refused.code)
	s.reply(w, r, withBody(refused.status, group("Error",
		field("Code", refused.code), field("Message", refused.message), field("RequestId", r.id), field("HostId", r.base()))))
}
