package esa

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"routinely/shared/fault"
	"routinely/shared/retry"
	"routinely/shared/trace"
)

// Codes of failures for which ESA itself gave no code.
const (
	codeTimeout        = "Timeout"
	codeNotReached     = "NotReached"
	codeConnection     = "ConnectionBroken"
	codeTruncated      = "TruncatedAnswer"
	codeUnusableAnswer = "UnusableAnswer"
	codeCanceled       = "Canceled"
	codeSDK            = "SDK"
)

// answerLimit bounds what is read of an answer, in bytes. The largest is a version's code of 1 MiB, in Base64.
const answerLimit = 2 << 20

// wire carries the SDK's requests. Reading status, headers and error body here keeps what the SDK loses on the way: the
// status of an HTML error page, the request id, the retry hint.
type wire struct {
	transport *http.Transport
}

func newWire() *wire {
	return &wire{transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       50 * time.Second,
		ForceAttemptHTTP2:     true,
		ResponseHeaderTimeout: 0, // the context's deadline bounds the whole call
	}}
}

// answer is what the wire saw of one call.
type answer struct {
	requestID string
	// date is the server's own clock, zero where the header is missing or unreadable.
	date time.Time
}

type answerKey struct{}

// Call implements the SDK's HttpClient. The transport the SDK offers is made for each call, and is not used.
func (w *wire) Call(req *http.Request, _ *http.Transport) (*http.Response, error) {
	setAgent(req)
	res, err := w.transport.RoundTrip(req)
	if err != nil {
		return nil, transportFault(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerLimit))
	seen, ok := req.Context().Value(answerKey{}).(*answer)
	if !ok {
		seen = &answer{}
	}
	seen.requestID = res.Header.Get("x-acs-request-id")
	seen.date = date(res.Header)
	if err != nil {
		return nil, &fault.Error{
			Kind: fault.Unavailable, Code: codeTruncated, OutcomeUnknown: true, Hint: hintUnavailable,
			Message: fmt.Sprintf("the answer (HTTP %d) broke off after %d bytes", res.StatusCode, len(body)), Err: err,
		}
	}
	if err := seen.check(res, body); err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// setAgent names the span of a call, as a product with a version (RFC 9110, section 10.1.5), for whoever looks for it in the logs of the account. The
// header is not signed.
func setAgent(req *http.Request) {
	if parent := trace.From(req.Context()); parent != "" {
		req.Header.Set("User-Agent", strings.TrimSpace(req.Header.Get("User-Agent")+" "+trace.Header+"/"+string(parent)))
	}
}

// date reads the time at which the answer was made (RFC 9110, section 6.6.1), in whole seconds.
func date(h http.Header) time.Time {
	t, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// errorBody is the documented shape of an error; the fields ESA adds for people are not read.
type errorBody struct {
	RequestID string `json:"RequestId"`
	Code      string `json:"Code"`
	Message   string `json:"Message"`
}

// check turns everything but a 200 with a JSON object into a fault.
func (a *answer) check(res *http.Response, body []byte) error {
	var said errorBody
	unreadable := json.Unmarshal(body, &said)
	if a.requestID == "" {
		a.requestID = said.RequestID
	}
	switch {
	case res.StatusCode == http.StatusOK && unreadable == nil:
		return nil
	case res.StatusCode == http.StatusOK:
		return unusable(fmt.Sprintf("HTTP 200 without a JSON object (%d bytes, %s)", len(body), contentType(res)))
	case unreadable != nil || said.Code == "":
		return &fault.Error{
			Kind: fault.Unavailable, Code: "HTTP" + strconv.Itoa(res.StatusCode), OutcomeUnknown: true, Hint: hintUnavailable,
			Message: fmt.Sprintf("HTTP %d without an ESA error (%d bytes, %s)", res.StatusCode, len(body), contentType(res)),
		}
	}
	return &coded{
		status: res.StatusCode, code: said.Code, message: said.Message, retryAfter: retryAfter(res.Header),
		temporaryKey: temporaryKey(res.Request),
	}
}

func contentType(res *http.Response) string {
	if t := res.Header.Get("Content-Type"); t != "" {
		return t
	}
	return "no content type"
}

// coded is an error in ESA's own shape, on its way to the table of codes.
type coded struct {
	status     int
	code       string
	message    string
	retryAfter time.Duration
	// temporaryKey is the id of the temporary key that the call was signed with, empty if it was not.
	temporaryKey string
}

// temporaryKey is the id of the temporary key that a request is signed with. The SDK sends it in a header of its own if there is a token. It
// writes the header's name in lower case, where http.Header.Get does not look.
func temporaryKey(req *http.Request) string {
	for name, values := range req.Header {
		if strings.EqualFold(name, "x-acs-accesskey-id") {
			return strings.Join(values, "")
		}
	}
	return ""
}

func (c *coded) Error() string { return c.code + ": " + c.message }

// retryAfter reads the hints Alibaba Cloud's gateways are known to send: x-acs-retry-after in milliseconds, the part
// "TimeLeft:<ms>" of x-ratelimit-user-api and x-ratelimit-user, and the standard header. The largest counts.
func retryAfter(h http.Header) time.Duration {
	longest := retry.Count(h.Get("x-acs-retry-after"), time.Millisecond)
	for _, name := range []string{"x-ratelimit-user-api", "x-ratelimit-user"} {
		for part := range strings.SplitSeq(h.Get(name), ",") {
			if n, ok := strings.CutPrefix(strings.TrimSpace(part), "TimeLeft:"); ok {
				longest = max(longest, retry.Count(n, time.Millisecond))
			}
		}
	}
	return max(longest, retry.After(h, time.Now()))
}

// transportFault classifies a call that got no answer at all. Only a connection that was never made proves that nothing
// was executed.
func transportFault(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return &fault.Error{
			Kind: fault.Unavailable, Code: codeNotReached, Message: "ESA could not be reached: " + err.Error(), Err: err,
			Hint: "Check ROUTINELY_ESA_ENDPOINT and the function's network access to it.",
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return timeoutFault(err)
	}
	return &fault.Error{
		Kind: fault.Unavailable, Code: codeConnection, Message: "the connection broke: " + err.Error(), Err: err,
		OutcomeUnknown: true, Hint: hintUnavailable,
	}
}

func timeoutFault(err error) *fault.Error {
	return &fault.Error{
		Kind: fault.Unavailable, Code: codeTimeout, Message: "no answer in time", Err: err,
		OutcomeUnknown: true, Hint: hintUnavailable,
	}
}

// classify turns whatever came through the SDK into a fault of the action.
func classify(action string, err error, seen answer) *fault.Error {
	var known *fault.Error
	var fromESA *coded
	var out fault.Error
	switch {
	case errors.As(err, &fromESA):
		out = lookUp(action, fromESA)
	case errors.As(err, &known):
		out = *known
	case errors.Is(err, context.DeadlineExceeded):
		out = *timeoutFault(err)
	case errors.Is(err, context.Canceled):
		out = fault.Error{Kind: fault.Unavailable, Code: codeCanceled, Message: "the call was given up", Err: err, OutcomeUnknown: true, Hint: hintUnavailable}
	default:
		out = fault.Error{
			Kind: fault.Internal, Code: codeSDK, Message: "the ESA SDK failed: " + err.Error(), Err: err, OutcomeUnknown: true,
			Hint: "Check that the function has a role or an access key; otherwise report it.",
		}
	}
	out.Step = action
	if out.RequestID == "" {
		out.RequestID = seen.requestID
	}
	return &out
}
