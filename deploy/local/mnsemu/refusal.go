package mnsemu

import (
	"fmt"
	"net/http"
	"strings"
)

// refusal is an error of the protocol.
type refusal struct {
	status  int
	code    string
	message string
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

func refuse(status int, code, format string, args ...any) error {
	return &refusal{status, code, fmt.Sprintf(format, args...)}
}

func badRequest(code, format string, args ...any) error {
	return refuse(http.StatusBadRequest, code, format, args...)
}

func invalidArgument(format string, args ...any) error {
	return badRequest("InvalidArgument", format, args...)
}

// outOfRange is the service's own sentence, grammar included.
func outOfRange(name string, low, high int64, unit string) error {
	if unit != "" {
		unit = " " + unit
	}
	return invalidArgument("The value of %s should between %d and %d%s.", name, low, high, unit)
}

// notExist is the refusal of a call on what is not there. A kind is Queue, Topic or Subscription: codes write it like that, texts in lower case.
func notExist(kind string) error {
	return refuse(http.StatusNotFound, kind+"NotExist", "The %s name you provided is not exist.", strings.ToLower(kind))
}

func messageNotExist() error {
	return refuse(http.StatusNotFound, "MessageNotExist", "Message not exist.")
}

// maxNameLength is the longest name of a queue, topic or subscription, in characters. It was 256 once.
const maxNameLength = 120

// checkName applies the rules of names. Topics and subscriptions spell the code differently from queues.
func checkName(kind, name string) error {
	if name == "" || len(name) > maxNameLength {
		return badRequest(kind+"NameLengthError", "The length of the %s name should between 1 and %d.", strings.ToLower(kind), maxNameLength)
	}
	for i := range len(name) {
		c := name[i]
		letterOrDigit := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if letterOrDigit || (c == '-' && i > 0) {
			continue
		}
		code := kind + "NameInvalid"
		if kind == "Queue" {
			code = "InvalidQueueName"
		}
		return badRequest(code, "The %s name you provided is invalid: want letters, digits and '-', a letter or digit first.", strings.ToLower(kind))
	}
	return nil
}
