package cloud

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"routinely/shared/accesskey"
	"routinely/shared/fault"
)

// answerLimit bounds what is read of an answer: the longest is a policy, a few kilobytes.
const answerLimit = 1 << 20

// wire carries the SDK's requests, one at a time. The SDK of RAM knows no context, and loses the status and the code of an error; both
// are dealt with here.
type wire struct {
	transport *http.Transport
	// ctx bounds the call that is being made.
	ctx context.Context
	// requestID is that of the latest answer.
	requestID string
	// silent says that the service answers what has succeeded with an empty body.
	silent bool
}

func newWire() *wire {
	return &wire{ctx: context.Background(), transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}}
}

// Call implements the SDK's HttpClient. The transport the SDK offers is built for each call and not used.
func (w *wire) Call(req *http.Request, _ *http.Transport) (*http.Response, error) {
	w.requestID = ""
	res, err := w.transport.RoundTrip(req.WithContext(w.ctx))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerLimit))
	if err != nil {
		return nil, err
	}
	var said answer
	unreadable := json.Unmarshal(body, &said)
	if w.silent && len(body) == 0 {
		unreadable = nil
	}
	said.Code, said.Message = cmp.Or(said.Code, said.ErrorCode), cmp.Or(said.Message, said.ErrorMessage)
	w.requestID = cmp.Or(said.RequestID, res.Header.Get("x-acs-request-id"), res.Header.Get("x-log-requestid"))
	if res.StatusCode >= 300 || unreadable != nil {
		if said.Code == "" {
			said.Code = "HTTP" + strconv.Itoa(res.StatusCode)
			said.Message = fmt.Sprintf("an answer of %d bytes that is no error of the API", len(body))
		}
		return nil, &refusal{res.StatusCode, said.Code, said.Message}
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// answer is what an answer says beside what was asked for. ErrorCode and ErrorMessage are Simple Log Service's names.
type answer struct {
	RequestID    string `json:"RequestId"`
	Code         string
	Message      string
	ErrorCode    string `json:"errorCode"`
	ErrorMessage string `json:"errorMessage"`
}

// refusal is an error in the API's own shape.
type refusal struct {
	status        int
	code, message string
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

const (
	hintKey = "Check ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and, for a temporary key, ALIBABA_CLOUD_SECURITY_TOKEN, " +
		"and this machine's clock."
	hintDenied = "The key belongs to somebody who may not do this. `routinely setup rights` wants a RAM administrator, `routinely setup` the " +
		"deployer, whose policy `routinely setup rights` makes."
	hintMissing = "What is named does not exist in this account. Check the name, or make it first."
	hintAgain   = "Nothing is lost: run the same command again, it goes on where it stopped."
	hintInvalid = "Compare the message with the setting it names."
)

// classify turns a failure of an action into a fault.
func classify(action string, err error, requestID string) *fault.Error {
	var refused *refusal
	if !errors.As(err, &refused) {
		out := &fault.Error{
			Kind: fault.Unavailable, Step: action, Code: "NotReached", Message: err.Error(), Err: err, Hint: hintAgain, OutcomeUnknown: true,
		}
		if errors.Is(err, context.DeadlineExceeded) {
			out.Code, out.Message = "Timeout", "no answer in time"
		}
		return out
	}
	kind, hint := kindOf(refused)
	return &fault.Error{
		Kind: kind, Step: action, Code: refused.code, Message: refused.message, RequestID: requestID, Hint: hint, Err: err,
		OutcomeUnknown: kind == fault.Unavailable,
	}
}

// kindOf reads the code first: RAM answers a wrong key with 400, 403 and 404.
func kindOf(r *refusal) (kind fault.Kind, hint string) {
	if accesskey.Refused(r.code, r.message) {
		return fault.Account, hintKey
	}
	for _, code := range []string{"SignatureDoesNotMatch", "SignatureNotMatch", "IncompleteSignature", "InvalidTimeStamp"} {
		if strings.HasPrefix(r.code, code) {
			return fault.Account, hintKey
		}
	}
	switch {
	case strings.HasPrefix(r.code, "Throttling"), r.status == http.StatusTooManyRequests:
		return fault.Throttled, hintAgain
	case r.status == http.StatusForbidden, r.code == "Unauthorized":
		return fault.Denied, hintDenied
	case r.status == http.StatusNotFound:
		return fault.NotFound, hintMissing
	case r.status == http.StatusConflict:
		return fault.Conflict, hintInvalid
	case r.status >= 400 && r.status < 500:
		return fault.Invalid, hintInvalid
	}
	return fault.Unavailable, hintAgain
}
