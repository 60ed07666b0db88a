package fcemu

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// runtimePath is the root of the Runtime API, version 2020-11-11. (fc-runtime-go-sdk v0.3.1, fc/runtime_api_client.go.)
const runtimePath = "/2020-11-11/runtime/invocation/"

// payloadLimit bounds events and results of synchronous invocations. (FC limits: 32 MB.)
const payloadLimit = 32 << 20

// preStopCall is the header x-fc-function-type of a call of the preStop hook; a call of the handler has none. (fc-runtime-go-sdk
// v0.3.1, fc/function.go.)
const preStopCall = "2"

// call is one piece of work for a binary.
type call struct {
	requestID string
	preStop   bool
	event     []byte
	// retry counts the attempts before this one with an asynchronous event.
	retry    int
	timeout  time.Duration
	deadline time.Time
	// done gets the outcome, at most once.
	done chan outcome
}

type outcome struct {
	result []byte
	failed *Error
}

func newCall(requestID string, event []byte) *call {
	return &call{requestID: requestID, event: event, done: make(chan outcome, 1)}
}

func (in *instance) runtimeAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+runtimePath+"next", in.next)
	mux.HandleFunc("POST "+runtimePath+"{id}/response", func(w http.ResponseWriter, r *http.Request) {
		in.finish(w, r, func(body []byte) outcome { return outcome{result: body} })
	})
	mux.HandleFunc("POST "+runtimePath+"{id}/error", func(w http.ResponseWriter, r *http.Request) {
		in.finish(w, r, func(body []byte) outcome { return outcome{failed: functionError(body)} })
	})
	return mux
}

// next holds the binary until there is an event: the SDK answers every error by asking again at once.
func (in *instance) next(w http.ResponseWriter, r *http.Request) {
	in.readyOnce.Do(func() { close(in.ready) })
	select {
	case c := <-in.events:
		in.describe(w.Header(), c)
		_, _ = w.Write(c.event)
	case <-r.Context().Done():
	}
}

// describe writes the metadata that the SDK reads from headers.
func (in *instance) describe(h http.Header, c *call) {
	server, f, role := in.function.server.config, in.function.config, in.function.credentials.Load()
	headers := map[string]string{
		"x-fc-request-id":        c.requestID,
		"x-fc-function-deadline": strconv.FormatInt(c.deadline.UnixMilli(), 10),
		"x-fc-function-timeout":  strconv.Itoa(int(c.timeout / time.Second)),
		"x-fc-function-name":     f.Name,
		"x-fc-function-handler":  in.function.handler,
		"x-fc-function-memory":   strconv.Itoa(f.MemoryMB),
		"x-fc-region":            server.Region,
		"x-fc-account-id":        server.AccountID,
		"x-fc-qualifier":         qualifier,
		"x-fc-version-id":        qualifier,
		"x-fc-access-key-id":     role.AccessKeyID,
		"x-fc-access-key-secret": role.AccessKeySecret,
		"x-fc-security-token":    role.SecurityToken,
		"Content-Type":           "application/octet-stream",
	}
	if c.preStop {
		headers["x-fc-function-type"] = preStopCall
	}
	if c.retry > 0 {
		headers["x-fc-retry-count"] = strconv.Itoa(c.retry)
	}
	for name, value := range headers {
		if value != "" {
			h.Set(name, value)
		}
	}
}

// finish takes the binary's report on its call, once. The SDK accepts nothing but 200.
func (in *instance) finish(w http.ResponseWriter, r *http.Request, read func([]byte) outcome) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, payloadLimit))
	var large *http.MaxBytesError
	if err != nil && !errors.As(err, &large) {
		return // the binary died while it sent
	}
	c := in.current.Load()
	switch {
	case c == nil || c.requestID != r.PathValue("id") || !in.current.CompareAndSwap(c, nil):
		http.Error(w, "no call with this request id is under way", http.StatusNotFound)
	case large != nil:
		c.done <- outcome{failed: functionFault(FunctionFailed, "Function response exceeds %d bytes", payloadLimit)}
	default:
		c.done <- read(body)
	}
}

// functionError reads what the SDK posts for an error or a panic: {errorMessage, errorType, stackTrace?}.
func functionError(body []byte) *Error {
	var report struct {
		Message string `json:"errorMessage"`
		Type    string `json:"errorType"`
	}
	if err := json.Unmarshal(body, &report); err != nil {
		report.Message = string(body)
	}
	failed := functionFault(FunctionFailed, "%s", report.Message)
	failed.Type, failed.payload = report.Type, body
	return failed
}
