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

// callKind is the header x-fc-function-type; a handler call has none. (fc-runtime-go-sdk v0.3.1, fc/function.go.)
type callKind string

const (
	kindHandler     callKind = ""
	kindInitializer callKind = "1"
	kindPreStop     callKind = "2"
)

// call is one piece of work for a binary.
type call struct {
	requestID string
	kind      callKind
	event     []byte
	retry     int
	timeout   time.Duration
	deadline  time.Time
	// fault breaks the end of the call; empty for none.
	fault FaultKind
	// taken is set once the event was passed to the pending `next`.
	taken bool
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
	server, f := in.function.server.config, in.function.config
	for name, value := range map[string]string{
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
		"Content-Type":           "application/octet-stream",
	} {
		h.Set(name, value)
	}
	role := in.function.credentials.Load()
	for name, value := range map[string]string{
		"x-fc-function-type":     string(c.kind),
		"x-fc-access-key-id":     role.AccessKeyID,
		"x-fc-access-key-secret": role.AccessKeySecret,
		"x-fc-security-token":    role.SecurityToken,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if c.retry > 0 {
		h.Set("x-fc-retry-count", strconv.Itoa(c.retry))
	}
}

// finish takes the binary's report on its call. The SDK accepts nothing but 200.
func (in *instance) finish(w http.ResponseWriter, r *http.Request, read func([]byte) outcome) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, payloadLimit))
	var large *http.MaxBytesError
	if err != nil && !errors.As(err, &large) {
		return // the binary died while it sent
	}
	c := in.take(r.PathValue("id"))
	if c == nil {
		http.Error(w, "no call with this request id is under way", http.StatusNotFound)
		return
	}
	switch {
	case c.fault == KillBeforeResponse:
		in.process.kill()
		return
	case c.fault == DropResponse:
	case large != nil:
		c.done <- outcome{failed: responseTooLarge()}
	default:
		c.done <- read(body)
	}
	w.WriteHeader(http.StatusOK)
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
	return &Error{Kind: FunctionFailed, Status: http.StatusOK, Code: unhandled, Type: report.Type, Message: report.Message, payload: body}
}
