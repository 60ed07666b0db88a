package fcemu

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Kind says what went wrong with an invocation.
type Kind string

// The kinds of failure.
const (
	// FunctionFailed is an error or a panic that the function reported.
	FunctionFailed Kind = "function"
	// TimedOut is a function that did not answer in time; its instance was killed.
	TimedOut Kind = "timeout"
	// Exited is a process that died with the event.
	Exited Kind = "exit"
	// StartFailed is a process that could not be started or did not ask for an event.
	StartFailed Kind = "start"
	// Throttled is a call over the function's instance limit.
	Throttled Kind = "throttled"
	// Refused is a call that breaks a rule of the platform: no such function, too large.
	Refused Kind = "refused"
	// Stopped is a call that came when the server was stopping.
	Stopped Kind = "stopped"
	// Canceled is a call whose caller went away before an instance was free.
	Canceled Kind = "canceled"
)

// The values of X-Fc-Error-Type: the function's fault and everything else. (FC, HTTP function troubleshooting.)
const (
	unhandled   = "UnhandledInvocationError"
	commonError = "FcCommonError"
)

// Error is a failed invocation as the platform reports it.
type Error struct {
	// Kind says what went wrong.
	Kind Kind
	// Status is the HTTP status of InvokeFunction: 200 when the function failed, since the invocation itself worked.
	Status int
	// Code is the platform's error code: UnhandledInvocationError when the function failed, else one such as ResourceExhausted.
	Code string
	// Type is the errorType that the SDK reported, such as errorString; empty when the function did not report.
	Type string
	// Message says what happened, in the function's or the platform's words.
	Message string

	payload []byte
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// Body is the JSON that a caller gets: the function's own report, {errorMessage} when it could not report, or
// {errorCode, errorMessage} of the platform. (FC error handling; error codes.)
func (e *Error) Body() []byte {
	if e.payload != nil {
		return e.payload
	}
	body := map[string]string{"errorMessage": e.Message}
	if !e.function() {
		body["errorCode"] = e.Code
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil // a map of strings always encodes
	}
	return text
}

// function reports whether the function is to blame, not the platform or the caller.
func (e *Error) function() bool { return e.Code == unhandled }

// write answers an HTTP request with the error.
func (e *Error) write(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Fc-Error-Type", commonError)
	if e.function() {
		w.Header().Set("X-Fc-Error-Type", unhandled)
	}
	w.WriteHeader(status)
	_, _ = w.Write(e.Body())
}

func functionFault(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Status: http.StatusOK, Code: unhandled, Message: fmt.Sprintf(format, args...)}
}

func timeoutError(limit time.Duration) *Error {
	return functionFault(TimedOut, "Function timed out after %d seconds", int(limit/time.Second))
}

func exitError(exit string) *Error {
	return functionFault(Exited, "Process exited unexpectedly before completing request (%s)", exit)
}

func startError(format string, args ...any) *Error {
	return functionFault(StartFailed, "Function instance could not be started: "+format, args...)
}

func platformError(kind Kind, status int, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func throttledError(f Function) *Error {
	return platformError(Throttled, http.StatusTooManyRequests, "ResourceExhausted",
		"function '%s' has all of its %d instances busy", f.Name, f.MaxInstances)
}

func notFoundError(name string) *Error {
	return platformError(Refused, http.StatusNotFound, "FunctionNotFound", "function '%s' does not exist", name)
}

func tooLargeError(limit int) *Error {
	return platformError(Refused, http.StatusBadRequest, "EntityTooLarge", "payload size exceeds maximum allowed size (%d bytes)", limit)
}

func invalidError(format string, args ...any) *Error {
	return platformError(Refused, http.StatusBadRequest, "InvalidArgument", format, args...)
}

func stoppedError() *Error {
	return platformError(Stopped, http.StatusServiceUnavailable, "ServiceUnavailable", "the local Function Compute is stopping")
}
