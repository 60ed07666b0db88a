package ledger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/fault"
)

// Hints say what to do next.
const (
	hintUnavailable = "Tablestore or the network failed. Try again."
	hintEndpoint    = "Check the ledger's endpoint and the function's network access to it."
	hintCredentials = "Tablestore refused the credentials or the instance. Check the instance's name and its network access rules, and the function's role and its RAM policy (deploy/ram)."
	hintNetwork     = "The instance does not let this network in; a new one refuses the internet. Allow the internet among its network types in the Tablestore console."
	hintClock       = "Tablestore refused the request's time stamp. Check the clock of the machine."
	hintTable       = "The table does not exist in this instance, or is not ready yet. Set it up, or check its name."
	hintSchema      = "The table was not made by Routinely. Choose another name for the ledger's table."
	hintThrottled   = "The table is written or read too fast. Try again more slowly."
	hintQuota       = "A quota of the instance is used up. Raise it, or wait a minute if the table was changed just now."
	hintCaller      = "Correct the request."
	hintOurs        = "This is likely a defect of Routinely: report it with the Tablestore request id."
)

// Codes that the ledger acts on.
const (
	codeConditionFailed = "OTSConditionCheckFail"
	codeRowConflict     = "OTSRowOperationConflict"
	codeNotExist        = "OTSObjectNotExist"
	codeAlreadyExist    = "OTSObjectAlreadyExist"
	codeUnusable        = "UnusableAnswer"
)

// classOf classifies the service's codes. unknown means that the operation may have taken effect although it failed.
// https://help.aliyun.com/zh/tablestore/developer-reference/error-codes
func classOf(code string) (kind fault.Kind, unknown bool, hint string) {
	switch code {
	case "OTSAuthFailed", "OTSNoPermissionAccess":
		return fault.Account, false, hintCredentials
	case codeNotExist:
		return fault.Account, false, hintTable
	case "OTSTableNotReady":
		return fault.Unavailable, false, hintTable
	case codeAlreadyExist, codeConditionFailed:
		return fault.Conflict, false, hintOurs
	case "OTSInvalidPK":
		return fault.Account, false, hintSchema
	case "OTSQuotaExhausted", "OTSTooFrequentReservedThroughputAdjustment":
		return fault.Throttled, false, hintQuota
	case codeRowConflict, "OTSNotEnoughCapacityUnit", "OTSCapacityUnitExhausted":
		return fault.Throttled, false, hintThrottled
	case "OTSServerBusy", "OTSPartitionUnavailable", "OTSServerUnavailable", "OTSTimeout", "OTSInternalServerError", "OTSRequestTimeout":
		return fault.Unavailable, true, hintUnavailable
	}
	return "", false, ""
}

// lookUp classifies an answer. What an instance says to a network it does not let in has the code of wrong credentials:
// https://help.aliyun.com/en/tablestore/support/request-rejected-by-instance-acl-policies-exception-when-using-the-sdk-to-access-tablestore
func lookUp(status int, code, message string) fault.Error {
	kind, unknown, hint := classOf(code)
	switch {
	case code == "OTSAuthFailed" && strings.Contains(message, "x-ots-date"):
		hint = hintClock
	case code == "OTSAuthFailed" && strings.Contains(message, "instance ACL"):
		hint = hintNetwork
	case kind != "":
	case status >= http.StatusInternalServerError:
		kind, unknown, hint = fault.Unavailable, true, hintUnavailable
	default:
		kind, hint = fault.Internal, hintOurs
	}
	return fault.Error{Kind: kind, Code: code, Message: message, OutcomeUnknown: unknown, Hint: hint}
}

// expired reports whether the service no longer knows a temporary key or its token. The page of the codes lists only what is said of the key.
func expired(code, message string) bool {
	said := strings.ToLower(code + " " + message)
	return strings.Contains(said, "token") || code == "OTSAuthFailed" && strings.Contains(said, "accesskey")
}

// classify turns whatever came out of a call into a fault of the action.
func classify(action string, err error, requestID string) error {
	if err == nil {
		return nil
	}
	var out fault.Error
	var known *fault.Error
	var answered *sdk.OtsError
	var dial *net.OpError
	switch {
	case errors.As(err, &known):
		out = *known
	case errors.As(err, &answered):
		out = lookUp(answered.HttpStatusCode, answered.Code, answered.Message)
	case errors.As(err, &dial) && dial.Op == "dial":
		out = fault.Error{Kind: fault.Unavailable, Code: "NotReached", Message: "Tablestore could not be reached: " + err.Error(), Hint: hintEndpoint}
	case errors.Is(err, context.DeadlineExceeded):
		out = fault.Error{Kind: fault.Unavailable, Code: "Timeout", Message: "no answer in time", OutcomeUnknown: true, Hint: hintUnavailable}
	case errors.Is(err, context.Canceled):
		out = fault.Error{Kind: fault.Unavailable, Code: "Canceled", Message: "the call was given up", OutcomeUnknown: true, Hint: hintUnavailable}
	case requestID != "":
		out = *unusable("the SDK could not read the answer: " + err.Error())
	default:
		out = fault.Error{Kind: fault.Unavailable, Code: "ConnectionBroken", Message: err.Error(), OutcomeUnknown: true, Hint: hintUnavailable}
	}
	out.Step, out.RequestID, out.Err = action, requestID, err
	return &out
}

func unusable(message string) *fault.Error {
	return &fault.Error{Kind: fault.Unavailable, Code: codeUnusable, Message: message, OutcomeUnknown: true, Hint: hintUnavailable}
}

// unreadable is a row that this version of Routinely did not write.
func unreadable(p string, err error) *fault.Error {
	return &fault.Error{
		Kind: fault.Internal, Code: "UnreadableRow", Message: fmt.Sprintf("row %q: %v", p, err), Err: err, Hint: hintSchema,
	}
}

// lost reports whether a conditional write found that another writer had been there, or still was.
func lost(err error) bool {
	return fault.HasCode(err, codeConditionFailed) || fault.HasCode(err, codeRowConflict)
}
