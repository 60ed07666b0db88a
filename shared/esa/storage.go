package esa

import (
	"encoding/xml"
	"fmt"
	"net/http"

	"routinely/shared/fault"
)

// storageAnswerLimit bounds what is read of an answer of the storage, in bytes. Its errors are a few hundred.
const storageAnswerLimit = 16 << 10

// storageError is an error of the storage (OSS), https://help.aliyun.com/en/oss/developer-reference/postobject.
type storageError struct {
	Code      string
	Message   string
	RequestID string `xml:"RequestId"`
}

// storageFault classifies an answer that is not the plain 200 of a form with a callback: 203 says that the callback failed, and 204 that there was none,
// so that ESA does not know of the upload. An upload makes no version. So it is tried again, with a new form: the one before may have expired, which
// is an AccessDenied.
func storageFault(res *http.Response, body []byte) *fault.Error {
	var said storageError
	if xml.Unmarshal(body, &said) != nil || said.Code == "" {
		said = storageError{Code: fmt.Sprintf("HTTP%d", res.StatusCode), Message: fmt.Sprintf("HTTP %d without an error of the storage", res.StatusCode)}
	}
	out := &fault.Error{Kind: fault.Unavailable, Code: said.Code, Message: "the storage for code: " + said.Message, RequestID: said.RequestID, Hint: hintUpload}
	if out.RequestID == "" {
		out.RequestID = res.Header.Get("x-oss-request-id")
	}
	if said.Code == "EntityTooLarge" {
		out.Kind, out.Hint = fault.Invalid, hintParameter
	}
	return out
}
