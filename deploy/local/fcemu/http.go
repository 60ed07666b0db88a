package fcemu

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// headerLimit, targetLimit: request headers, path and query of an HTTP trigger. (FC HTTP trigger limits: 8 KB and 4 KB.)
	headerLimit = 8 << 10
	targetLimit = 4 << 10
	// httpWait is how long a request waits for a busy function before it is answered 429. Local choice: FC documents none.
	httpWait = 10 * time.Second
)

// httpEvent is an HTTP trigger's event. (fc-runtime-go-sdk v0.3.1, events/http.go; fc3 trigger template.)
type httpEvent struct {
	Version         string            `json:"version"`
	RawPath         string            `json:"rawPath"`
	Headers         map[string]string `json:"headers"`
	QueryParameters map[string]string `json:"queryParameters"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	RequestContext  requestContext    `json:"requestContext"`
}

type requestContext struct {
	AccountID    string `json:"accountId"`
	TriggerID    string `json:"triggerId"`
	DomainName   string `json:"domainName"`
	DomainPrefix string `json:"domainPrefix"`
	RequestID    string `json:"requestId"`
	Time         string `json:"time"`
	// TimeEpoch is in milliseconds, as a string.
	TimeEpoch string      `json:"timeEpoch"`
	HTTP      httpContext `json:"http"`
}

type httpContext struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

// HTTP returns the HTTP trigger of a function: a request becomes a v1 event, and the object {statusCode, headers, isBase64Encoded,
// body} that the function returns becomes the response. Callers are not authenticated (authType anonymous).
//
// A request over the platform's limits is answered 400 InvalidArgument, a failed function 502 with the error as JSON, both with
// X-Fc-Error-Type; one that finds all instances busy for ten seconds is answered 429. An unknown function is answered 404.
func (s *Server) HTTP(function string) http.Handler {
	triggerID := newUUID()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requestID := newID("1")
		w.Header().Set("X-Fc-Request-Id", requestID)
		event, failed := s.httpEvent(w, r, requestID, triggerID)
		if failed != nil {
			refuse(w, failed)
			return
		}
		got, err := s.invoke(r.Context(), function, order{event: event, requestID: requestID, wait: httpWait})
		if failed, ok := errors.AsType[*Error](err); ok {
			refuse(w, failed)
		} else if err == nil { // else the caller went away
			respond(w, got.Result)
		}
	})
}

// httpEvent builds the event of a request.
func (s *Server) httpEvent(w http.ResponseWriter, r *http.Request, requestID, triggerID string) ([]byte, *Error) {
	size := 0
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	switch {
	case size > headerLimit:
		return nil, invalidError("request headers exceed %d bytes", headerLimit)
	case len(r.URL.EscapedPath())+len(r.URL.RawQuery) > targetLimit:
		return nil, invalidError("request path and query exceed %d bytes", targetLimit)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalidError("request query: %v", err)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, payloadLimit))
	if err != nil {
		return nil, invalidError("request body: %v", err)
	}
	now := s.clock.Now().UTC()
	host := hostOf(r.Host)
	prefix, _, _ := strings.Cut(host, ".")
	event := httpEvent{
		Version: "v1", RawPath: r.URL.EscapedPath(),
		Headers: eventHeaders(r.Header), QueryParameters: joined(query), Body: string(body),
		RequestContext: requestContext{
			AccountID: s.config.AccountID, TriggerID: triggerID, DomainName: host, DomainPrefix: prefix, RequestID: requestID,
			Time: now.Format(time.RFC3339), TimeEpoch: strconv.FormatInt(now.UnixMilli(), 10),
			HTTP: httpContext{
				Method: r.Method, Path: r.URL.Path, Protocol: r.Proto, SourceIP: hostOf(r.RemoteAddr), UserAgent: r.UserAgent(),
			},
		},
	}
	if binary(r.Header.Get("Content-Type")) || !utf8.Valid(body) {
		event.Body, event.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	text, err := json.Marshal(event)
	if err != nil {
		return nil, invalidError("request: %v", err)
	}
	return text, nil
}

// joined puts the values of each name behind commas; the event has room for one. (fc.md 2.1.)
func joined(values map[string][]string) map[string]string {
	out := make(map[string]string, len(values))
	for name, list := range values {
		out[name] = strings.Join(list, ",")
	}
	return out
}

// eventHeaders drops what a caller cannot send to a function (x-fc-*, connection, keep-alive) and Content-Length, which the
// recorded event does not show either.
func eventHeaders(h http.Header) map[string]string {
	out := joined(h)
	maps.DeleteFunc(out, func(name, _ string) bool {
		return strings.HasPrefix(name, "X-Fc-") || slices.Contains([]string{"Connection", "Keep-Alive", "Content-Length"}, name)
	})
	return out
}

// hostOf is an address without its port, if it has one.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// binary reports whether bodies of a content type are handed over as base64. Without a type the bytes decide.
func binary(contentType string) bool {
	if contentType == "" {
		return false
	}
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return true
	}
	text := strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml") ||
		slices.Contains([]string{
			"application/json", "application/xml", "application/javascript", "application/x-www-form-urlencoded",
		}, kind)
	return !text
}

// httpResponse is what the function returns. A missing statusCode means that the result is not a response object.
type httpResponse struct {
	StatusCode      *int              `json:"statusCode"`
	Headers         map[string]string `json:"headers"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	Body            string            `json:"body"`
}

// respond writes the function's result. One without a statusCode is sent as it is, 200 and JSON; the platform seems to do so, but
// that is not documented.
func respond(w http.ResponseWriter, result []byte) {
	var response httpResponse
	if err := json.Unmarshal(result, &response); err != nil || response.StatusCode == nil {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(result)
		return
	}
	status, body := *response.StatusCode, []byte(response.Body)
	if status < 200 || status > 599 {
		refuse(w, functionFault(FunctionFailed, "Function returned the status code %d", status))
		return
	}
	if response.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(response.Body); err != nil {
			refuse(w, functionFault(FunctionFailed, "Function returned a body that is not base64: %v", err))
			return
		}
	}
	for name, value := range response.Headers {
		if !reserved(name, value) {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// reserved reports whether a function may not set a response header. (FC HTTP trigger limits.)
func reserved(name, value string) bool {
	name = strings.ToLower(name)
	switch name {
	case "connection", "content-length", "date", "keep-alive", "server":
		return true
	case "content-disposition":
		return strings.HasPrefix(strings.ToLower(strings.TrimSpace(value)), "attachment")
	}
	return strings.HasPrefix(name, "x-fc-")
}

// refuse answers a failed HTTP trigger. InvokeFunction's 200 for a failed function is 502 here. (FC, HTTP function
// troubleshooting.)
func refuse(w http.ResponseWriter, failed *Error) {
	status := failed.Status
	if failed.function() {
		status = http.StatusBadGateway
	}
	failed.write(w, status)
}
