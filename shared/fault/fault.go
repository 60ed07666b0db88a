// Package fault says what a caller should do about an error: one small taxonomy that the HTTP status, the decision to retry
// and the CLI's exit code are all read from.
//
// A cloud's own code, request id and retry hint travel inside, so that every failure can be looked up where it happened. It
// is not for control flow inside a package: only HTTP handlers, the worker's switch and the CLI look at the kind.
package fault

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Kind is what a caller should do about an error.
type Kind string

// The kinds of fault.
const (
	// Invalid requests can never work as they are.
	Invalid Kind = "invalid"
	// Unauthenticated: the caller has not shown who they are.
	Unauthenticated Kind = "unauthenticated"
	// Denied: the caller is known and may not do this.
	Denied Kind = "denied"
	// NotFound: something the request refers to does not exist.
	NotFound Kind = "not-found"
	// Conflict: something else is already there.
	Conflict Kind = "conflict"
	// Account: the request is right, but nothing of this account can work before somebody puts it in order: it is not activated or overdue, or
	// the credentials are wrong.
	Account Kind = "account"
	// Quota: the request is right, but this kind of thing is full.
	Quota Kind = "quota"
	// Locked: the account's one lane is taken and nothing was executed. Waiting is capacity, not failure.
	Locked Kind = "locked"
	// Throttled: too many calls, nothing was executed.
	Throttled Kind = "throttled"
	// Unavailable: the network, the far side or the deadline; see OutcomeUnknown.
	Unavailable Kind = "unavailable"
	// Internal: unclassified, or our own mistake.
	Internal Kind = "internal"
)

// kinds says of each kind which status an HTTP answer about it carries, and whether the same request can succeed later without anybody doing
// anything.
var kinds = []struct {
	Kind
	status    int
	retryable bool
}{
	{Invalid, http.StatusUnprocessableEntity, false},
	{Unauthenticated, http.StatusUnauthorized, false},
	{Denied, http.StatusForbidden, false},
	{NotFound, http.StatusNotFound, false},
	{Conflict, http.StatusConflict, false},
	{Account, http.StatusConflict, false},
	{Quota, http.StatusConflict, false},
	{Locked, http.StatusServiceUnavailable, true},
	{Throttled, http.StatusTooManyRequests, true},
	{Unavailable, http.StatusServiceUnavailable, true},
	{Internal, http.StatusInternalServerError, true},
}

// Kinds returns all kinds.
func Kinds() []Kind {
	out := make([]Kind, len(kinds))
	for i, k := range kinds {
		out[i] = k.Kind
	}
	return out
}

// Retryable reports whether the same request can succeed later without anybody doing anything.
func (k Kind) Retryable() bool {
	for _, one := range kinds {
		if one.Kind == k {
			return one.retryable
		}
	}
	return false
}

// HTTPStatus is the status an HTTP answer about the fault carries.
func (k Kind) HTTPStatus() int {
	for _, one := range kinds {
		if one.Kind == k {
			return one.status
		}
	}
	return http.StatusInternalServerError
}

// KindOf reads HTTPStatus backwards. It knows what a gateway may answer besides.
func KindOf(status int) Kind {
	switch status {
	case http.StatusUnauthorized:
		return Unauthenticated
	case http.StatusForbidden:
		return Denied
	case http.StatusNotFound, http.StatusGone:
		return NotFound
	case http.StatusConflict:
		return Conflict
	case http.StatusTooManyRequests:
		return Throttled
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return Unavailable
	}
	if status/100 == 4 {
		return Invalid
	}
	return Internal
}

// Error is a classified failure. Its zero Kind reads as Internal.
type Error struct {
	Kind Kind
	// Step is what was being done, in the cloud's own word for it: an API action or a queue operation.
	Step string
	// Code is the cloud's error code, or our own where there was no answer.
	Code string
	// Message says what went wrong.
	Message string
	// RequestID is the cloud's id of the failed call, empty where there was no answer.
	RequestID string
	// Hint says what to do next.
	Hint string
	// RetryAfter is how long the far side asked to be left alone; 0 when it did not say.
	RetryAfter time.Duration
	// OutcomeUnknown means that the operation may have taken effect although it failed.
	OutcomeUnknown bool
	// Err is the cause, if there is one.
	Err error
}

// Error names the step, code, message and request id.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Step != "" {
		b.WriteString(e.Step + ": ")
	}
	if e.Code != "" {
		b.WriteString(e.Code + ": ")
	}
	b.WriteString(e.text())
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request id %s)", e.RequestID)
	}
	return b.String()
}

func (e *Error) text() string {
	switch {
	case e.Message != "":
		return e.Message
	case e.Err != nil:
		return e.Err.Error()
	}
	return string(e.Kind)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// From finds the classified failure in err's chain. An error that has none is Internal; nil stays nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var classified *Error
	if errors.As(err, &classified) {
		if classified.Kind == "" {
			copied := *classified
			copied.Kind = Internal
			return &copied
		}
		return classified
	}
	return &Error{
		Kind: Internal, Code: "Unclassified", Err: err,
		Hint: "This is likely a defect of Routinely: report it with the message and the log lines of the job.",
	}
}

// HasKind reports whether err is a fault of the kind; nil is none.
func HasKind(err error, kind Kind) bool { return err != nil && From(err).Kind == kind }

// HasCode reports whether err is a fault with the code; nil is none.
func HasCode(err error, code string) bool { return err != nil && From(err).Code == code }
