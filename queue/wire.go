package queue

import (
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/valyala/fasthttp"

	"routinely/shared/accesskey"
	"routinely/shared/endpoint"
	"routinely/shared/fault"
)

// wire carries the SDK's requests to the real endpoint. The SDK's constructor panics on every endpoint but the five-label
// public form, so it is given a name of that form and the wire puts the true host in.
type wire struct {
	scheme string
	host   string
	dialer net.Dialer

	mu       sync.Mutex
	known    map[*fasthttp.HostClient]bool
	calls    map[string]*call
	lastCall uint64
}

const placeholder = "routinely.mns.region.aliyuncs.com"

// backstopSeconds is the SDK's own limit for one request; contexts end calls long before it.
const backstopSeconds = 60

func newWire(service string) (*wire, error) {
	address, err := endpoint.Origin(service)
	if err != nil {
		return nil, fmt.Errorf("mns: endpoint %w", err)
	}
	return &wire{
		scheme: address.Scheme, host: address.Host, dialer: net.Dialer{Timeout: 5 * time.Second},
		known: map[*fasthttp.HostClient]bool{}, calls: map[string]*call{},
	}, nil
}

func (w *wire) client(key accesskey.Source) mns.MNSClient {
	c := mns.NewAliMNSClientWithConfig(mns.AliMNSClientConfig{
		EndPoint:      w.scheme + "://" + placeholder,
		Credential:    key.Credential(),
		TimeoutSecond: backstopSeconds,
	})
	c.SetTransport(w)
	return c
}

// callHeader leads from a request, which is all that reaches RoundTrip through the SDK, to the call it belongs to. It is
// removed before the request is written; MNS's signature covers only x-mns-* headers.
const callHeader = "X-Routinely-Call"

// call is the SDK's client for one call, and what the wire and the SDK cannot tell each other about it.
type call struct {
	mns.MNSClient
	wire     *wire
	deadline time.Time
	// failed is the transport's error, of which the SDK keeps only the text.
	failed error
	// temporaryKey is the id of the temporary key that the request was signed with, empty if it was not.
	temporaryKey string
}

// Send overrides the SDK's: it bounds the request and turns every failure into what it is while status, code, request id
// and cause are still available.
func (c *call) Send(method mns.Method, headers map[string]string, message any, resource string) (*fasthttp.Response, error) {
	if headers == nil {
		headers = map[string]string{}
	}
	id, forget := c.wire.register(c)
	defer forget()
	headers[callHeader] = id
	res, err := c.MNSClient.Send(method, headers, xmlOf(message), resource)
	switch {
	case c.failed != nil:
		return nil, c.failed
	case err != nil:
		return nil, err
	}
	if failure := readError(res, c.temporaryKey); failure != nil {
		return nil, failure
	}
	// The SDK takes any success for a deletion, that of a proxy too. MNS answers 204 (DeleteMessage page).
	if status := res.StatusCode(); method == mns.DELETE && status < http.StatusMultipleChoices && status != http.StatusNoContent {
		return nil, unusable(fmt.Sprintf("HTTP %d where a deletion is confirmed with 204", status))
	}
	return res, nil
}

func (w *wire) register(c *call) (id string, forget func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastCall++
	id = strconv.FormatUint(w.lastCall, 10)
	w.calls[id] = c
	return id, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.calls, id)
	}
}

// RoundTrip implements fasthttp.RoundTripper. It never asks fasthttp to retry: its own rule repeats a read that timed out
// and a send up to five times.
func (w *wire) RoundTrip(hc *fasthttp.HostClient, req *fasthttp.Request, res *fasthttp.Response) (retry bool, err error) {
	current := w.prepare(hc, string(req.Header.Peek(callHeader)))
	req.Header.Del(callHeader)
	current.temporaryKey = temporaryKey(req)
	req.Header.SetHost(w.host)
	req.UseHostHeader = true
	left := time.Until(current.deadline)
	if left <= 0 { // SetTimeout would take it for no limit at all
		current.failed = fasthttp.ErrTimeout
		return false, fasthttp.ErrTimeout
	}
	req.SetTimeout(left)
	stale, err := fasthttp.DefaultTransport.RoundTrip(hc, req, res)
	if stale && errors.Is(err, io.EOF) {
		// A kept connection that the far side had closed: normal after a pause, and always after an instance was frozen.
		// Sending again may store a message twice, which jobs survive by their id.
		_, err = fasthttp.DefaultTransport.RoundTrip(hc, req, res)
	}
	current.failed = err
	return false, err
}

// prepare points a new host client at the true address, fasthttp having made it for the placeholder's name, and returns the
// call that the request belongs to.
func (w *wire) prepare(hc *fasthttp.HostClient, id string) *call {
	w.mu.Lock()
	defer w.mu.Unlock()
	current := w.calls[id]
	if w.known[hc] {
		return current
	}
	w.known[hc] = true
	address := w.host
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, map[string]string{"http": "80", "https": "443"}[w.scheme])
	}
	hc.Dial = func(string) (net.Conn, error) { return w.dialer.Dial("tcp", address) }
	host, _, _ := net.SplitHostPort(address)
	hc.TLSConfig = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	return current
}

func (w *wire) closeIdle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for hc := range w.known {
		hc.CloseIdleConnections()
	}
}

// errorBody is MNS's error document.
type errorBody struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string   `xml:"Code"`
	Message   string   `xml:"Message"`
	RequestID string   `xml:"RequestId"`
}

// temporaryKey is the id of the temporary key that a request is signed with. Its header Authorization is "MNS ID:SIGNATURE" (page on how to
// sign requests of Simple Message Queue).
func temporaryKey(req *fasthttp.Request) string {
	if len(req.Header.Peek(mns.SECURITY_TOKEN)) == 0 {
		return ""
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(string(req.Header.Peek(mns.AUTHORIZATION)), "MNS "), ":")
	return id
}

// readError returns the fault of an error answer, nil for a success and for the partial failure of a batch, which the SDK
// decodes itself.
func readError(res *fasthttp.Response, temporaryKey string) error {
	status := res.StatusCode()
	if status < http.StatusMultipleChoices {
		return nil
	}
	var said errorBody
	if err := xml.Unmarshal(res.Body(), &said); err != nil || said.Code == "" {
		if root := rootName(res.Body()); root == "Errors" || root == "Messages" {
			return nil
		}
		return &fault.Error{
			Kind: fault.Unavailable, Code: "HTTP" + strconv.Itoa(status), OutcomeUnknown: true, Hint: hintUnavailable,
			RequestID: string(res.Header.Peek("x-mns-request-id")),
			Message:   fmt.Sprintf("HTTP %d without an MNS error (%d bytes, %s)", status, len(res.Body()), res.Header.ContentType()),
		}
	}
	if temporaryKey != "" && expired(said) {
		failure := accesskey.Expired(temporaryKey, said.Code, said.Message)
		failure.RequestID = said.RequestID
		return &failure
	}
	return lookUp(status, said)
}

func rootName(body []byte) string {
	var any struct{ XMLName xml.Name }
	if xml.Unmarshal(body, &any) != nil {
		return ""
	}
	return any.XMLName.Local
}
