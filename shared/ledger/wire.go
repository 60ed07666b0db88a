package ledger

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/accesskey"
	"routinely/shared/fault"
)

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		// More than a process has calls under way, so that none needs a new connection.
		MaxIdleConnsPerHost: 64,
		// The SDK's own value for this service.
		IdleConnTimeout: 25 * time.Second,
	}
}

// wire carries the requests of one call. The SDK knows no context, so that each call has a client of its own, which is a
// small thing, with a wire that does know it.
type wire struct {
	ctx       context.Context
	transport *http.Transport
	// requestID is what the service called the request.
	requestID string
}

// answerLimit bounds what is read of an answer; the service's largest are 4 MB of data.
const answerLimit = 16 << 20

// RoundTrip implements http.RoundTripper. It lets pass only what Tablestore itself answered, whole: the SDK takes an empty
// answer for a success, and a proxy's error page for the service's.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(w.ctx)
	// A connection that was kept while the function was frozen may be dead. A header of this name without a value lets the
	// transport send the request again on a new one, and is not sent itself (package net/http, Transport). A write that
	// is so repeated is found out by its condition.
	req.Header["Idempotency-Key"] = []string{}
	res, err := w.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	w.requestID = res.Header.Get("x-ots-requestid")
	body, err := io.ReadAll(io.LimitReader(res.Body, answerLimit))
	if err != nil {
		return nil, &fault.Error{
			Kind: fault.Unavailable, Code: "TruncatedAnswer", OutcomeUnknown: true, Hint: hintUnavailable,
			Message: fmt.Sprintf("the answer (HTTP %d) broke off after %d bytes", res.StatusCode, len(body)), Err: err,
		}
	}
	if err := w.check(res, body); err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// check refuses what is not an answer of the service: all of those carry a request id, and successes always the MD5 sum of
// their body (the header checks of the service's own Python and PHP SDKs; the Go SDK makes none).
func (w *wire) check(res *http.Response, body []byte) error {
	sum := md5.Sum(body)
	said := res.Header.Get("x-ots-contentmd5")
	intact := said == base64.StdEncoding.EncodeToString(sum[:]) || said == "" && res.StatusCode >= http.StatusBadRequest
	if w.requestID != "" && intact {
		return nil
	}
	code := "HTTP" + strconv.Itoa(res.StatusCode)
	if res.StatusCode == http.StatusOK {
		code = codeUnusable
	}
	return &fault.Error{
		Kind: fault.Unavailable, Code: code, OutcomeUnknown: true, Hint: hintUnavailable,
		Message: fmt.Sprintf("HTTP %d, but not an answer of Tablestore (%d bytes, %q)", res.StatusCode, len(body), res.Header.Get("Content-Type")),
	}
}

// call makes one call of the service under its time limit and classifies its failure.
func (t *table) call(ctx context.Context, action string, do func(*sdk.TableStoreClient) error) error {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	return t.key.Call(func() error {
		w := &wire{ctx: ctx, transport: t.transport}
		id, secret, token := t.key()
		client := sdk.NewClientWithConfig(t.endpoint, t.instance, id, secret, token, &sdk.TableStoreConfig{
			RetryTimes: 0, // the caller decides whether to try again
			Transport:  w,
		})
		err := guarded(client, do)
		if token != "" {
			err = withExpiry(err, id)
		}
		return classify(action, err, w.requestID)
	})
}

// withExpiry tells the refusal of a temporary key, by its id, from other failures.
func withExpiry(err error, temporaryKey string) error {
	var answered *sdk.OtsError
	if !errors.As(err, &answered) || !expired(answered.Code, answered.Message) {
		return err
	}
	failure := accesskey.Expired(temporaryKey, answered.Code, answered.Message)
	return &failure
}

// guarded makes a fault of the panic that the SDK answers to a message without the fields it expects.
func guarded(client *sdk.TableStoreClient, do func(*sdk.TableStoreClient) error) (err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = unusable(fmt.Sprintf("the SDK could not read the answer: %v", broken))
		}
	}()
	return do(client)
}
