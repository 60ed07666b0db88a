package accept

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fccontext"

	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/plain"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

// problem is an RFC 9457 problem on its way to the client.
type problem struct {
	api.Problem
	// header are the answer's own fields.
	header     http.Header
	retryAfter time.Duration
	// cause is for the log alone.
	cause error
}

// Error lets a handler return a problem as its error.
func (p problem) Error() string { return p.Code + ": " + p.Detail }

// Unwrap returns the cause.
func (p problem) Unwrap() error { return p.cause }

// maxDetail bounds a detail in bytes, which can repeat what the caller wrote.
const maxDetail = 4000

// with returns the problem with a detail of its own.
func (p problem) with(detail string) problem {
	p.Detail = plain.Clip(detail, maxDetail)
	return p
}

// about returns the problem with the list of everything that is wrong.
func (p problem) about(problems ...routine.Problem) problem {
	p.Errors = problems
	return p.with(strings.TrimPrefix(problems[0].Pointer+": ", ": ") + problems[0].Detail)
}

// beside returns the problem with more header fields. Where it has one of its own, that stays.
func (p problem) beside(more http.Header) problem {
	header := more.Clone()
	maps.Copy(header, p.header)
	p.header = header
	return p
}

func newProblem(status int, code, title, detail string) problem {
	return problem{Problem: api.NewProblem(status, code, title, detail)}
}

// The problems there are, each explained in problems.md.
var (
	problemMalformed       = newProblem(http.StatusBadRequest, "malformed-request", "Malformed request body", "")
	problemInvalid         = newProblem(http.StatusUnprocessableEntity, "invalid-request", "The request breaks the rules for routines", "")
	problemParameter       = newProblem(http.StatusBadRequest, "invalid-parameter", "A parameter of the address cannot be used", "")
	problemKey             = newProblem(http.StatusBadRequest, "invalid-idempotency-key", "The idempotency key cannot be used", "")
	problemKeyReused       = newProblem(http.StatusUnprocessableEntity, "idempotency-key-reused", "The idempotency key belongs to another request", "")
	problemUnauthenticated = newProblem(http.StatusUnauthorized, "unauthenticated", "The caller is not known", "")
	problemDenied          = newProblem(http.StatusForbidden, "denied", "The caller may not do this", "")
	problemOutside         = newProblem(http.StatusForbidden, "outside-limits", "The caller may not name or bind this", "")
	problemTooMany         = newProblem(http.StatusTooManyRequests, "too-many-requests", "The caller sends too many requests", "")
	problemNoSuchPath      = newProblem(http.StatusNotFound, "no-such-path", "There is nothing at this path", "")
	problemMethod          = newProblem(http.StatusMethodNotAllowed, "method-not-allowed", "The method is not possible here", "")
	problemTooLarge        = newProblem(http.StatusRequestEntityTooLarge, "too-large", "The request is too large", "")
	problemMediaType       = newProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "The body is not plain JSON", "")
	problemLedger          = newProblem(http.StatusServiceUnavailable, "ledger-unavailable", "The ledger does not answer",
		"nothing was changed that the ledger has not confirmed: ask again later")
	problemUnknownJob     = newProblem(http.StatusNotFound, "unknown-job", "There is no record of this job", "")
	problemNotCancellable = newProblem(http.StatusConflict, "not-cancellable", "The job can no longer be cancelled", "")
	problemUnknownRoutine = newProblem(http.StatusNotFound, "unknown-routine", "There is no record of this routine", "")
	problemNotOwner       = newProblem(http.StatusForbidden, "not-owner", "The routine belongs to another caller", "")
	problemOwned          = newProblem(http.StatusConflict, "owned-by-another", "Only the routine's owner may ask for this", "")
	problemNotOwned       = newProblem(http.StatusConflict, "not-owned", "The routine is not proven to be made by Routinely", "")
	problemNoDeletion     = newProblem(http.StatusConflict, "deletion-off", "This deployment does not delete",
		"ROUTINELY_DELETE is never: with requested it deletes what it is asked to delete")
	problemQuota         = newProblem(http.StatusConflict, "quota-reached", "The account has no room for another routine", "")
	problemPlanChanged   = newProblem(http.StatusConflict, "plan-changed", "This is not the plan as it was given", "")
	problemUnknownLetter = newProblem(http.StatusNotFound, "unknown-dead-letter", "There is no such dead letter", "")
	problemRedrive       = newProblem(http.StatusUnprocessableEntity, "invalid-redrive", "The redrive breaks its rules", "")
	problemNotRedrivable = newProblem(http.StatusUnprocessableEntity, "not-redrivable", "There is nothing to redrive in the dead letter", "")
	problemNoCallback    = newProblem(http.StatusConflict, "no-callback", "The job has no callback to send", "")
	problemNotPaused     = newProblem(http.StatusConflict, "not-paused", "Nobody has paused the lane", "")
	problemQueue         = newProblem(http.StatusServiceUnavailable, "queue-unavailable", "The queue does not answer", "")
	problemInternal      = newProblem(http.StatusInternalServerError, "internal", "The function failed",
		"nothing was promised: send the request again, and report the request id if it persists")
	problemRepeated = newProblem(http.StatusBadRequest, "repeated-header", "A header is there more than once", "")
	problemNotHTTP  = newProblem(http.StatusBadRequest, "not-an-http-event", "The function was not called by an HTTP trigger",
		"call its HTTP trigger's address")
)

// retryAfter is how long a caller is asked to wait while a service behind the function does not answer.
const retryAfter = 5 * time.Second

// What a caller is to do who does not know whether the request was accepted.
const (
	sendAgain = "send the request again, with the same Idempotency-Key if it had one"
	mayHappen = "The request may still be carried out: " + sendAgain + ", or look among the jobs first"
)

// because returns the problem with its cause, a service behind the function that does not answer.
func (p problem) because(err error) problem {
	p.cause, p.retryAfter = err, max(retryAfter, fault.From(err).RetryAfter)
	return p
}

// notRecorded is the problem of a job that the ledger has not confirmed.
func notRecorded(err error) problem {
	detail := "Nothing was accepted: " + sendAgain
	if fault.From(err).OutcomeUnknown {
		detail = "An answer of the ledger was lost. " + mayHappen
	}
	return ledgerFailed(err).with(detail)
}

// notQueued is the problem of a recorded job if MNS has not confirmed its message and the ledger has not confirmed that a send is due.
func notQueued(send, mark error) problem {
	p := problemQueue.with("The job is recorded, and neither the queue nor the ledger has confirmed that it will be sent. " + mayHappen)
	p.cause, p.retryAfter = errors.Join(send, mark), max(retryAfter, fault.From(send).RetryAfter)
	return p
}

// keyReused is the problem of an idempotency key that stands for a job with another request.
func keyReused(jobID string) problem {
	p := problemKeyReused.with(fmt.Sprintf("the key stands for job %s, which asks for something else", jobID))
	p.JobID = jobID
	return p
}

// ledgerFailed turns an error of the ledger into a problem.
func ledgerFailed(err error) problem {
	failure := fault.From(err)
	switch {
	case failure.Code == ledger.CodeUnknownJob:
		return problemUnknownJob.with(failure.Message)
	case failure.Kind == fault.Invalid:
		return wrongParameter(failure)
	case failure.Kind == fault.Internal:
		p := problemInternal
		p.cause = err
		return p
	}
	return problemLedger.because(err)
}

// wrongParameter is the problem of a parameter that the function itself does not check.
func wrongParameter(failure *fault.Error) problem {
	p := routine.Problem{Code: "value", Detail: failure.Message}
	if failure.Code == "InvalidCursor" {
		p.Pointer = "/cursor"
	}
	return problemParameter.about(p)
}

// logFailure logs a failure that does not change the answer.
func logFailure(ctx context.Context, err error, what string) {
	logging.From(ctx).WithField(logging.Error, err.Error()).Warn(what)
}

// problemOf turns a handler's error into the problem to answer.
func problemOf(err error) problem {
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
		p.Errors = invalid.Problems
		return p.with(invalid.Error())
	}
	p := problemInternal
	p.cause = err
	return p
}

// logCause logs what is not the client's mistake.
func logCause(ctx context.Context, p problem) {
	if p.cause == nil {
		return
	}
	failure := fault.From(p.cause)
	logging.From(ctx).WithFields(logging.Fields{
		logging.Event: logging.RequestFailed, logging.Status: p.Status, logging.Reason: p.Code,
		logging.Kind: failure.Kind, logging.Code: failure.Code, logging.Step: failure.Step, logging.Hint: failure.Hint,
		"cloudRequestId": failure.RequestID, logging.Error: p.cause.Error(),
	}).Error("answered " + p.Code)
}

// requestID is the id of the invocation, which leads to its log.
func requestID(ctx context.Context) string {
	if call, ok := fccontext.FromContext(ctx); ok {
		return call.RequestID
	}
	return ""
}

func writeProblem(ctx context.Context, w http.ResponseWriter, p problem) {
	logCause(ctx, p)
	p.RequestID = requestID(ctx)
	maps.Copy(w.Header(), p.header)
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", retry.Seconds(p.retryAfter))
	}
	writeJSON(w, p.Status, "application/problem+json", p.Problem)
}
