package accept

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"routinely/shared/logging"
)

// request is the part we use of the event a Function Compute HTTP trigger sends, format v1
// (https://help.aliyun.com/document_detail/2545977).
type request struct {
	RawPath         string            `json:"rawPath"`
	Headers         map[string]string `json:"headers"`
	QueryParameters map[string]string `json:"queryParameters"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	RequestContext  struct {
		HTTP struct {
			Method   string `json:"method"`
			Path     string `json:"path"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	} `json:"requestContext"`
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
	if err != nil {
		logging.From(ctx).WithField(logging.Error, err.Error()).Warn("the event is not that of an HTTP trigger")
		writeProblem(ctx, answer, problemNotHTTP)
		return
	}
	handler.ServeHTTP(answer, req)
	return
}

// importRequest makes an http.Request of the event. Values that were repeated arrive joined by commas and stay so.
func importRequest(ctx context.Context, event []byte) (*http.Request, error) {
	var in request
	if err := json.Unmarshal(event, &in); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	body := []byte(in.Body)
	if in.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(in.Body)
		if err != nil {
			return nil, fmt.Errorf("event body: %w", err)
		}
		body = decoded
	}
	query := url.Values{}
	for name, value := range in.QueryParameters {
		query.Set(name, value)
	}
	path := in.RequestContext.HTTP.Path
	if path == "" {
		path = in.RawPath
	}
	req, err := http.NewRequestWithContext(ctx, in.RequestContext.HTTP.Method, "/", bytes.NewReader(body))
	if err != nil || !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("event: method %q, path %q", in.RequestContext.HTTP.Method, path)
	}
	req.URL = &url.URL{Path: path, RawPath: in.RawPath, RawQuery: query.Encode()}
	for name, value := range in.Headers {
		req.Header.Add(name, value) // the same name in two cases is two headers
	}
	req.Host = req.Header.Get("Host")
	req.RemoteAddr = in.RequestContext.HTTP.SourceIP
	return req, nil
}

// recorder keeps what a handler writes. The recorder of net/http/httptest does the same and more, for which the function would
// start later.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
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
	if body := a.body.Bytes(); utf8.Valid(body) {
		out.Body = string(body)
	} else {
		out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return out
}
