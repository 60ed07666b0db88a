package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"routinely/shared/fault"
	"routinely/shared/logging"
	"routinely/shared/routine"

	"github.com/aliyun/fc-runtime-go-sdk/fccontext"
)

// problem is the body of every error answer (RFC 9457). Type leads to the page that explains the code.
type problem struct {
	Type      string            `json:"type"`
	Title     string            `json:"title"`
	Status    int               `json:"status"`
	Detail    string            `json:"detail,omitempty"`
	Code      string            `json:"code"`
	Retryable bool              `json:"retryable"`
	RequestID string            `json:"requestId,omitempty"`
	Errors    []routine.Problem `json:"errors,omitempty"`

	retryAfter time.Duration
}

// Error lets a handler return a problem as its error.
func (p problem) Error() string { return p.Code + ": " + p.Detail }

// The problems there are, each explained in problems.md.
var (
	problemMalformed  = problem{Code: "malformed-request", Title: "The body is not one JSON object", Status: http.StatusBadRequest}
	problemInvalid    = problem{Code: "invalid-request", Title: "The request breaks the rules for routines", Status: http.StatusUnprocessableEntity}
	problemKey        = problem{Code: "invalid-idempotency-key", Title: "The idempotency key cannot be used", Status: http.StatusBadRequest}
	problemNoSuchPath = problem{Code: "no-such-path", Title: "There is nothing at this path", Status: http.StatusNotFound}
	problemMethod     = problem{Code: "method-not-allowed", Title: "The method is not possible here", Status: http.StatusMethodNotAllowed}
	problemTooLarge   = problem{Code: "too-large", Title: "The request is too large", Status: http.StatusRequestEntityTooLarge}
	problemMediaType  = problem{Code: "unsupported-media-type", Title: "The body is not plain JSON", Status: http.StatusUnsupportedMediaType}
	problemNoLedger   = problem{
		Code: "no-ledger", Title: "Jobs cannot be read", Status: http.StatusNotImplemented,
		Detail: "this deployment keeps no record of jobs: read the logs of the function provision",
	}
	problemQueue = problem{
		Code: "queue-unavailable", Title: "The job could not be queued", Status: http.StatusServiceUnavailable, Retryable: true,
		Detail: "nothing was promised: send the request again, with the same Idempotency-Key if it had one",
	}
	problemInternal = problem{
		Code: "internal", Title: "The function failed", Status: http.StatusInternalServerError, Retryable: true,
		Detail: "nothing was promised: send the request again, and report the request id if it persists",
	}
	problemNotHTTP = problem{
		Code: "not-an-http-event", Title: "The function was not called by an HTTP trigger", Status: http.StatusBadRequest,
		Detail: "call its HTTP trigger's address",
	}
)

// queueRetryAfter is how long a caller is asked to wait while MNS does not take jobs.
const queueRetryAfter = 5 * time.Second

// problemOf turns a handler's error into the problem to answer. Only what is not the client's mistake is logged.
func problemOf(ctx context.Context, err error) problem {
	var known problem
	var invalid *routine.Invalid
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &invalid):
		p := problemInvalid
		if invalid.Malformed {
			p = problemMalformed
		}
		p.Detail, p.Errors = invalid.Error(), invalid.Problems
		return p
	}
	failure := fault.From(err)
	logging.From(ctx).WithFields(logging.Fields{
		logging.Kind: failure.Kind, logging.Code: failure.Code, logging.Step: failure.Step, logging.Hint: failure.Hint,
		"mnsRequestId": failure.RequestID, logging.Error: err.Error(),
	}).Error("job not accepted")
	if failure.Kind == fault.Invalid {
		p := problemTooLarge
		p.Detail = failure.Message
		return p
	}
	p := problemQueue
	p.retryAfter = max(queueRetryAfter, failure.RetryAfter)
	return p
}

func writeProblem(ctx context.Context, w http.ResponseWriter, p problem) {
	p.Type = "/problems#" + p.Code
	if call, ok := fccontext.FromContext(ctx); ok {
		p.RequestID = call.RequestID
	}
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(p.retryAfter.Seconds())))
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}
