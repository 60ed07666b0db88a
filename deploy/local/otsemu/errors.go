package otsemu

import (
	"fmt"
	"net/http"
)

// refusal is an error of the protocol. Codes and statuses are those of the service's page of error codes.
type refusal struct {
	status  int
	code    string
	message string
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

// encode is an Error message.
func (r *refusal) encode() []byte { return appendText(appendText(nil, 1, r.code), 2, r.message) }

// invalid is the answer to a request that can never work.
func invalid(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, "OTSParameterInvalid", fmt.Sprintf(format, args...)}
}

// invalidKey is the answer to a primary key that is not the table's.
func invalidKey(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, "OTSInvalidPK", fmt.Sprintf(format, args...)}
}

// unsupported is the answer to what the service can do and this server cannot.
func unsupported(what string) error {
	return invalid("%s is not supported by this local server.", what)
}

// codeAuthFailed is the code of denied requests.
const codeAuthFailed = "OTSAuthFailed"

// denied is the answer to a request that is not proved to come from the owner of the access key.
func denied(message string) error { return &refusal{http.StatusForbidden, codeAuthFailed, message} }

// conditionFailed is the answer to a write whose condition does not hold.
func conditionFailed(message string) error {
	return &refusal{http.StatusForbidden, "OTSConditionCheckFail", message}
}
