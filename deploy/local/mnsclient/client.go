// Package mnsclient speaks the MNS HTTP protocol (version 2015-06-06) with the standard library alone.
//
// The local queue trigger and the demo use it: both must work without product code, honour contexts and see each error as the
// server sent it. It signs with the V2 signature, never retries and knows queues and messages only, no topics.
package mnsclient

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	version     = "2015-06-06"
	contentType = "text/xml;charset=UTF-8"
	// answerLimit bounds what is read of one answer: 16 messages of 64 KB, each byte escaped, are about 6 MB.
	answerLimit = 16 << 20
	// callTimeout ends a call that the server does not answer; a long poll gets its wait on top.
	callTimeout = 10 * time.Second
)

// Config says where MNS is and who calls.
type Config struct {
	// Endpoint is http(s)://host[:port] without a path, such as http://127.0.0.1:9324. Required.
	Endpoint string
	// AccessKeyID and AccessKeySecret sign every request. Required.
	AccessKeyID, AccessKeySecret string
	// HTTPClient sends the requests; nil means one of its own, whose idle connections Close ends.
	HTTPClient *http.Client
}

// Client calls one MNS endpoint. It is safe for concurrent use.
type Client struct {
	config   Config
	endpoint string
}

// New checks the configuration; it makes no call.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil:
		return nil, fmt.Errorf("mns endpoint: %w", err)
	case (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		return nil, fmt.Errorf("mns endpoint %q: want http://host[:port] or https://host[:port]", c.Endpoint)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("mns endpoint %q: want no user, path or query; they would not be signed", u.Redacted())
	case c.AccessKeyID == "" || c.AccessKeySecret == "":
		return nil, errors.New("mns: access key id and secret are needed")
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{
			Transport:     &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &Client{config: c, endpoint: u.Scheme + "://" + u.Host}, nil
}

// Close ends idle connections. Calls under way are left alone.
func (c *Client) Close() { c.config.HTTPClient.CloseIdleConnections() }

// Codes of errors that a consumer tells apart.
const (
	// CodeMessageNotExist is an expired receipt handle. A receive that finds nothing answers it too, but Receive returns no error for that.
	CodeMessageNotExist = "MessageNotExist"
	// CodeReceiptHandleError is a handle that is not, or no longer, known.
	CodeReceiptHandleError = "ReceiptHandleError"
	// CodeQueueAlreadyExist is a queue of the name with other attributes.
	CodeQueueAlreadyExist = "QueueAlreadyExist"
)

// Error is a refusal by the server. Failures to reach it are errors of net/http instead.
type Error struct {
	// Status is the HTTP status.
	Status int `xml:"-"`
	// Code is MNS's error code; empty when the answer was not MNS's, such as a proxy's page.
	Code string
	// Message is the server's text, or the beginning of an answer that was not MNS's.
	Message string
	// RequestID is the server's id of the call; empty when it sent none.
	RequestID string `xml:"RequestId"`
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("mns answered %d %s: %s (request %s)", e.Status, e.Code, e.Message, e.RequestID)
}

// IsCode reports whether err is an *Error with one of the codes.
func IsCode(err error, codes ...string) bool {
	var refused *Error
	return errors.As(err, &refused) && slices.Contains(codes, refused.Code)
}

// answer is a reply as it arrived.
type answer struct {
	// doing begins the text of an error.
	doing     string
	status    int
	requestID string
	body      []byte
}

// call sends one request and reads the whole reply. doing begins the text of an error; resource is the path with its query, exactly as
// signed; body becomes XML; wait is how long the server may hold the call.
func (c *Client) call(ctx context.Context, doing, method, resource string, body any, wait time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout+wait)
	defer cancel()
	got := answer{doing: doing}
	var payload []byte
	if body != nil {
		payload, _ = xml.Marshal(body) // texts and numbers always marshal
	}
	req, err := http.NewRequestWithContext(ctx, method, c.endpoint+resource, bytes.NewReader(payload))
	if err != nil {
		return got, fmt.Errorf("%s: %w", doing, err)
	}
	c.sign(req, resource)
	resp, err := c.config.HTTPClient.Do(req)
	if err != nil {
		return got, fmt.Errorf("%s: %w", doing, err)
	}
	defer resp.Body.Close()
	if got.body, err = io.ReadAll(io.LimitReader(resp.Body, answerLimit)); err != nil {
		return got, fmt.Errorf("%s: read answer: %w", doing, err)
	}
	got.status, got.requestID = resp.StatusCode, resp.Header.Get("x-mns-request-id")
	return got, nil
}

func (c *Client) sign(req *http.Request, resource string) {
	req.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("x-mns-version", version)
	signature := Sign(c.config.AccessKeySecret, req.Method, resource, req.Header)
	req.Header.Set("Authorization", "MNS "+c.config.AccessKeyID+":"+signature)
}

// Sign computes the V2 signature: base64(HMAC-SHA1(secret, method, Content-MD5, Content-Type, Date, x-mns-* headers, resource)).
// resource is the path and query exactly as on the request line. (MNS documentation, "Sign requests".)
func Sign(secret, method, resource string, header http.Header) string {
	var own []string
	for name, values := range header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-mns-") {
			own = append(own, lower+":"+strings.TrimSpace(strings.Join(values, ","))+"\n")
		}
	}
	slices.Sort(own)
	date := cmp.Or(header.Get("x-mns-date"), header.Get("Date"))
	mac := hmac.New(sha1.New, []byte(secret))
	fmt.Fprintf(mac, "%s\n%s\n%s\n%s\n%s%s", method, header.Get("Content-MD5"), header.Get("Content-Type"), date,
		strings.Join(own, ""), resource)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// decode reads a success of one of the wanted statuses into v, which may be nil, and turns everything else into an error.
func (a answer) decode(v any, statuses ...int) error {
	if !slices.Contains(statuses, a.status) {
		refused := &Error{Status: a.status, RequestID: a.requestID}
		if err := xml.Unmarshal(a.body, refused); err != nil || refused.Code == "" {
			refused = &Error{Status: a.status, Message: fmt.Sprintf("not an MNS answer: %.200q", a.body), RequestID: a.requestID}
		}
		return fmt.Errorf("%s: %w", a.doing, refused)
	}
	if v == nil {
		return nil
	}
	if err := xml.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("%s: mns answered %d with what is not the expected XML: %w", a.doing, a.status, err)
	}
	return nil
}
