package otsemu

import (
	"fmt"
	"net/http"
)

// Error codes, from the service's page of error codes.
const (
	codeAuthFailed         = "OTSAuthFailed"
	codeParameterInvalid   = "OTSParameterInvalid"
	codeInvalidPK          = "OTSInvalidPK"
	codeMethodNotAllowed   = "OTSMethodNotAllowed"
	codeBodyTooLarge       = "OTSRequestBodyTooLarge"
	codeObjectNotExist     = "OTSObjectNotExist"
	codeObjectAlreadyExist = "OTSObjectAlreadyExist"
	codeConditionCheckFail = "OTSConditionCheckFail"
	codeQuotaExhausted     = "OTSQuotaExhausted"
	codeInternal           = "OTSInternalServerError"
)

// refusal is an error of the protocol.
type refusal struct {
	status  int
	code    string
	message string
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

// encode is an Error message.
func (r *refusal) encode() []byte { return appendText(appendText(nil, 1, r.code), 2, r.message) }

func refuse(code, format string, args ...any) error {
	return &refusal{statusOf(code), code, fmt.Sprintf(format, args...)}
}

// invalid is the answer to a request that can never work.
func invalid(format string, args ...any) error { return refuse(codeParameterInvalid, format, args...) }

// unsupported is the answer to what the service can do and this server cannot.
func unsupported(what string) error {
	return invalid("%s is not supported by this local server.", what)
}

func conditionCheckFail(text string) error { return refuse(codeConditionCheckFail, "%s", text) }

func statusOf(code string) int {
	switch code {
	case codeAuthFailed, codeConditionCheckFail, codeQuotaExhausted:
		return http.StatusForbidden
	case codeObjectNotExist:
		return http.StatusNotFound
	case codeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case codeObjectAlreadyExist:
		return http.StatusConflict
	case codeBodyTooLarge:
		return http.StatusRequestEntityTooLarge
	case codeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}
