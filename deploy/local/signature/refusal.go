package signature

import (
	"fmt"
	"net/http"
)

// The codes of the gateway.
const (
	codeUnknownKey   = "InvalidAccessKeyId.NotFound"
	codeBadSignature = "SignatureDoesNotMatch"
	codeIncomplete   = "IncompleteSignature"
	codeExpired      = "InvalidTimeStamp.Expired"
	codeBadTime      = "InvalidTimeStamp.Format"
	codeNonceUsed    = "SignatureNonceUsed"
)

// Refusal is why a request is not taken, as the gateway answers it.
type Refusal struct {
	// Status is the HTTP status, Code and Message are what the cloud says.
	Status        int
	Code, Message string
	// Detail says what exactly is wrong, for whoever looks for a mistake in a client; the cloud has no such text. It may be empty.
	Detail string
}

// Missing is the refusal of a call without a parameter that every call has, such as Action.
func Missing(name string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Code: "Missing" + name, Message: name + " is mandatory for this action."}
}

func refuse(code, format string, args ...any) *Refusal {
	return &Refusal{Status: statusOf(code), Code: code, Message: textOf(code), Detail: fmt.Sprintf(format, args...)}
}

// differs is the refusal of a wrong signature. The cloud says what it has signed itself.
func differs(detail string) *Refusal {
	return &Refusal{Status: statusOf(codeBadSignature), Code: codeBadSignature, Message: textOf(codeBadSignature) + " " + detail}
}

func statusOf(code string) int {
	switch code {
	case codeBadSignature:
		return http.StatusForbidden
	case codeUnknownKey:
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

// textOf is the English text of a code; the wording is this package's.
func textOf(code string) string {
	return map[string]string{
		codeUnknownKey:   "Specified access key is not found.",
		codeBadSignature: "Specified signature is not matched with our calculation.",
		codeIncomplete:   "The request signature does not conform to Aliyun standards.",
		codeExpired:      "Specified time stamp or date value is expired.",
		codeBadTime:      "Specified time stamp or date value is not well formatted.",
		codeNonceUsed:    "Specified signature nonce was used already.",
	}[code]
}
