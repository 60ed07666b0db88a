package accept

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"routinely/shared/logging"
	"routinely/shared/plain"
	"routinely/shared/strictjson"
)

// request is the part we use of the event a Function Compute HTTP trigger sends, format v1
// (https://help.aliyun.com/document_detail/2545977).
type request struct {
	method, path, rawPath, sourceIP string
	headers, query                  map[string]string
	// body is still a JSON string, and part of the event.
	body     json.RawMessage
	isBase64 bool
}

// Response is what the trigger turns into the HTTP answer. Headers is never nil: it would be written as null.
type Response struct {
	StatusCode      int               `json:"statusCode"`
	Headers         map[string]string `json:"headers"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	Body            string            `json:"body"`
}

// serveEvent answers one event. Whatever happens inside, a panic included, becomes an HTTP answer: an error of the function
// would show its text to the caller.
func serveEvent(ctx context.Context, event []byte, handler http.Handler) (out Response) {
	answer := newRecorder()
	defer func() {
		if broken := recover(); broken != nil {
			logging.From(ctx).WithField(logging.Error, fmt.Sprint(broken)).Error("panic while answering")
			answer = newRecorder()
			writeProblem(ctx, answer, problemInternal)
		}
		out = answer.export()
	}()
	req, err := importRequest(ctx, event)
	var tooLarge problem
	switch {
	case errors.As(err, &tooLarge):
		writeProblem(ctx, answer, tooLarge)
	case err != nil:
		logging.From(ctx).WithField(logging.Error, plain.Clip(err.Error(), maxShown)).Warn("the event is not that of an HTTP trigger")
		writeProblem(ctx, answer, problemNotHTTP)
	default:
		handler.ServeHTTP(answer, req)
	}
	return
}

// importRequest makes an http.Request of the event. Values that were repeated arrive joined by commas and stay so. An event that is longer than
// any request may be is refused before it is read, and a body before it is copied: the error is then a problem.
func importRequest(ctx context.Context, event []byte) (*http.Request, error) {
	if len(event) > MaxEvent() {
		return nil, tooLong(longestBody())
	}
	in, err := readEvent(event)
	if err != nil {
		return nil, err
	}
	body, err := in.readBody()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, in.method, "/", body)
	if err != nil || !strings.HasPrefix(in.path, "/") {
		return nil, fmt.Errorf("event: method %q, path %q", plain.Clip(in.method, maxShown), plain.Clip(in.path, maxShown))
	}
	query := url.Values{}
	for name, value := range in.query {
		query.Set(name, value)
	}
	req.URL = &url.URL{Path: in.path, RawPath: in.rawPath, RawQuery: query.Encode()}
	for name, value := range in.headers {
		req.Header.Add(name, value) // the same name in two cases is two headers
	}
	req.Host = req.Header.Get("Host")
	req.RemoteAddr = in.sourceIP
	return req, nil
}

// readEvent takes the event apart. The body, which is nearly all of it, stays where it is.
func readEvent(event []byte) (in request, err error) {
	var call struct {
		HTTP struct {
			Method   string `json:"method"`
			Path     string `json:"path"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	}
	object := bytes.TrimSpace(event)
	if !json.Valid(event) || object[0] != '{' {
		return in, errors.New("event: it is no JSON object")
	}
	wanted := map[string]any{
		"rawPath": &in.rawPath, "headers": &in.headers, "queryParameters": &in.query, "isBase64Encoded": &in.isBase64, "requestContext": &call,
	}
	rest := len(object)
	for name, value := range strictjson.Members(object) {
		if name == "body" {
			in.body = value
			rest -= len(value)
		}
	}
	if rest > maxRest {
		return in, problemTooLarge.with(fmt.Sprintf("all but the body is longer than %d bytes", maxRest))
	}
	for name, value := range strictjson.Members(object) {
		if into := wanted[name]; into != nil {
			if err := json.Unmarshal(value, into); err != nil {
				return in, fmt.Errorf("event: %s: %w", name, err)
			}
		}
	}
	in.method, in.path, in.sourceIP = call.HTTP.Method, cmp.Or(call.HTTP.Path, in.rawPath), call.HTTP.SourceIP
	return in, nil
}

// readBody is the body as it was sent. It makes no copy of one that is longer than any route takes; what is left to tell is for the route.
func (in request) readBody() (io.Reader, error) {
	longest := longestBody()
	var body []byte
	var text string
	var into any = &text
	inEvent := longest
	if in.isBase64 {
		into, inEvent = &body, base64.StdEncoding.EncodedLen(longest) // JSON has bytes as Base64
	}
	if leastLength(in.body) > inEvent {
		return nil, tooLong(longest)
	}
	if in.body != nil {
		if err := json.Unmarshal(in.body, into); err != nil {
			return nil, fmt.Errorf("event: body: %w", err)
		}
	}
	if in.isBase64 {
		return bytes.NewReader(body), nil
	}
	return strings.NewReader(text), nil
}

// leastLength is a length in bytes that the text of a JSON string has at least: an escape is one byte or more.
func leastLength(text []byte) (length int) {
	for at := len(`"`); at < len(text)-len(`"`); length++ {
		switch {
		case text[at] != '\\':
			at++
		case text[at+1] == 'u':
			at += len(`\u003c`)
		default:
			at += len(`\n`)
		}
	}
	return length
}

// recorder keeps what a handler writes. That of net/http/httptest is for tests: it brings a server and command line flags.
type recorder struct {
	status int
	header http.Header
	body   strings.Builder
}

func newRecorder() *recorder { return &recorder{status: http.StatusOK, header: http.Header{}} }

func (a *recorder) Header() http.Header { return a.header }

func (a *recorder) WriteHeader(status int) { a.status = status }

func (a *recorder) Write(text []byte) (int, error) { return a.body.Write(text) }

func (a *recorder) export() Response {
	out := Response{StatusCode: a.status, Headers: map[string]string{}}
	for name, values := range a.header {
		out.Headers[name] = strings.Join(values, ", ")
	}
	if out.Body = a.body.String(); !utf8.ValidString(out.Body) {
		out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte(out.Body)), true
	}
	return out
}
