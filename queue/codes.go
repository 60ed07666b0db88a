package queue

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"

	gogap "github.com/gogap/errors"
	"github.com/valyala/fasthttp"

	"routinely/shared/accesskey"
	"routinely/shared/fault"
)

// What to do next, for whoever reads the failure.
const (
	hintUnavailable = "MNS or the network failed. Try again."
	hintCredentials = "MNS refused the function's credentials. Check the function's role and its RAM policy (deploy/ram)."
	hintQueue       = "The queue does not exist in this account and region. Create it, or check ROUTINELY_PREFIX and ROUTINELY_MNS_ENDPOINT."
	hintClock       = "MNS refused the request's time stamp. Check the clock of the machine."
	hintThrottled   = "The account sends to MNS too fast. Try again more slowly."
	hintLease       = "The message's lease has ended: it was delivered again or deleted."
	hintOurs        = "This is likely a defect of Routinely: report it with the MNS request id."
)

// kindOf classifies MNS's codes (error codes page of Simple Message Queue). ok is false for a code that is not listed.
func kindOf(code string) (kind fault.Kind, hint string, ok bool) {
	switch code {
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurityToken", "SecurityTokenExpired":
		return fault.Account, hintCredentials, true
	case "QueueNotExist":
		return fault.Account, hintQueue, true
	case "TimeExpired":
		return fault.Account, hintClock, true
	case "TooManyRequests", "QpsLimitExceeded":
		return fault.Throttled, hintThrottled, true
	case "MessageNotExist", "ReceiptHandleError":
		return fault.NotFound, hintLease, true
	case "InternalError", "InternalServerError":
		return fault.Unavailable, hintUnavailable, true
	}
	return "", "", false
}

// expired reports whether MNS no longer knows a temporary key. No page says with which of its codes it answers one that has expired; that of
// another service of Alibaba Cloud's says that the key does not exist (https://help.aliyun.com/zh/oss/support/0002-00000002).
func expired(said errorBody) bool {
	return accesskey.Refused(said.Code, said.Message) || said.Code == "AccessDenied" && strings.Contains(strings.ToLower(said.Message), "token")
}

func lookUp(status int, said errorBody) *fault.Error {
	kind, hint, ok := kindOf(said.Code)
	switch {
	case ok:
	case status >= http.StatusInternalServerError:
		kind, hint = fault.Unavailable, hintUnavailable
	case status == http.StatusTooManyRequests:
		kind, hint = fault.Throttled, hintThrottled
	case status == http.StatusForbidden:
		kind, hint = fault.Account, hintCredentials
	default:
		kind, hint = fault.Internal, hintOurs
	}
	return &fault.Error{
		Kind: kind, Code: said.Code, Message: said.Message, RequestID: said.RequestID, Hint: hint,
		OutcomeUnknown: kind == fault.Unavailable,
	}
}

func unusable(message string) *fault.Error {
	return &fault.Error{
		Kind: fault.Unavailable, Code: "UnusableAnswer", Message: message, OutcomeUnknown: true, Hint: hintUnavailable,
	}
}

// Numbers of the SDK's own errors, namespace "MNS".
const (
	sdkAnswerUnreadable = 8
	sdkExistsAlready    = 133 // the queue, with the same settings
	sdkPartlyFailed     = 136
)

// classify turns whatever came out of a call into a fault of the step on the queue.
func classify(step, queue string, err error) error {
	if err == nil {
		return nil
	}
	var out fault.Error
	var known *fault.Error
	var sdk gogap.ErrCode
	var dial *net.OpError
	switch {
	case errors.As(err, &known):
		out = *known
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, fasthttp.ErrTimeout):
		out = fault.Error{Kind: fault.Unavailable, Code: "Timeout", Message: "no answer in time", OutcomeUnknown: true, Hint: hintUnavailable}
	case errors.Is(err, context.Canceled):
		out = fault.Error{Kind: fault.Unavailable, Code: "Canceled", Message: "the call was given up", OutcomeUnknown: true, Hint: hintUnavailable}
	case errors.As(err, &sdk) && sdk.Code() == sdkAnswerUnreadable:
		out = *unusable("the answer is not the document it should be: " + err.Error())
	case errors.As(err, &dial) && dial.Op == "dial":
		out = fault.Error{Kind: fault.Unavailable, Code: "NotReached", Message: "MNS could not be reached: " + err.Error(), Hint: hintQueue}
	default:
		out = fault.Error{Kind: fault.Unavailable, Code: "ConnectionBroken", Message: err.Error(), OutcomeUnknown: true, Hint: hintUnavailable}
	}
	out.Step, out.Err = step+" "+queue, err
	return &out
}
