// Package callback tells whoever asked for a job that it has ended: one signed HTTP POST, as Standard Webhooks 1.0 has it
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
//
// Where the POST goes is said by somebody outside, so the package trusts neither the URL nor the name server nor the answer.
// It connects to public addresses only, and to networks the operator has named; it looks at the very address it connects to;
// it follows no redirect and uses no proxy; everything it waits for or reads has a bound, and an answer's body is not read.
//
// It makes one attempt. Next says when another one is due; keeping the callback until then is up to a queue.
package callback

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"routinely/shared/trace"
)

// Codes of the faults, all of which have the step Step.
const (
	// CodeURL: the URL is not one that a callback can have.
	CodeURL = "CallbackURL"
	// CodeEvent: the event cannot be sent.
	CodeEvent = "CallbackEvent"
	// CodeForbidden: the URL leads to an address that callbacks may not go to.
	CodeForbidden = "CallbackForbidden"
	// CodeGone: the receiver answered 410 and wants no callback at this URL, now or later.
	CodeGone = "CallbackGone"
	// CodeRedirected: the receiver answered with a redirect.
	CodeRedirected = "CallbackRedirected"
	// CodeRefused: the receiver answered that it does not take the callback.
	CodeRefused = "CallbackRefused"
	// CodeThrottled: the receiver wants fewer requests.
	CodeThrottled = "CallbackThrottled"
	// CodeUnavailable: the receiver answered that it cannot take the callback now.
	CodeUnavailable = "CallbackUnavailable"
	// CodeUnreachable: there was no answer.
	CodeUnreachable = "CallbackUnreachable"
)

// Step is the step of this package's faults.
const Step = "Callback"

// Headers of Standard Webhooks.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

const (
	// defaultTimeout is within the 15 to 30 s that Standard Webhooks recommends.
	defaultTimeout = 20 * time.Second
	// maxHeaderBytes bounds the head of the answer, the interim (1xx) answers before it included.
	maxHeaderBytes = 64 << 10
)

// resolver is the part of *net.Resolver that is needed.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config is what a Sender needs.
type Config struct {
	// Secrets are 1 to 8 keys, each whsec_ and 24 to 64 random bytes in base64. Nobody but the sender knows them: each caller has
	// secrets of its own, made of these by SecretOf. All sign every callback, so that a receiver may know the old one or the new
	// one while one takes the place of the other. Published and weak ones are refused, as package secret has it.
	Secrets []string
	// Policy says where callbacks may go.
	Policy Policy
	// Timeout bounds one Post, from the look-up of the name to the end of the answer's head; 0 means 20 s.
	Timeout time.Duration
	// RootCAs sign the receivers' certificates; nil means the CAs of the system.
	RootCAs *x509.CertPool
	// Resolver is asked for the addresses of names; nil means net.DefaultResolver.
	Resolver resolver
	// Now is the clock for timestamps; nil means time.Now.
	Now func() time.Time
}

func (c Config) check() error {
	if c.Timeout < 0 {
		return fmt.Errorf("callback timeout: want 0 or more, not %s", c.Timeout)
	}
	return c.Policy.Check()
}

// Sender sends callbacks. It is safe for concurrent use and keeps no connection, cookie or goroutine between them.
type Sender struct {
	policy   Policy
	timeout  time.Duration
	roots    *x509.CertPool
	resolver resolver
	dialer   net.Dialer
	now      func() time.Time
	sign     signer
}

// New returns a sender, or an error that says what is wrong with the configuration without quoting a secret.
func New(cfg Config) (*Sender, error) {
	sign, err := newSigner(cfg.Secrets)
	if err := errors.Join(err, cfg.check()); err != nil {
		return nil, err
	}
	s := &Sender{
		policy: cfg.Policy, timeout: cfg.Timeout, roots: cfg.RootCAs, resolver: cfg.Resolver,
		dialer: net.Dialer{Timeout: dialTime, ControlContext: cfg.Policy.control}, now: cfg.Now, sign: sign,
	}
	if s.timeout == 0 {
		s.timeout = defaultTimeout
	}
	if s.resolver == nil {
		s.resolver = net.DefaultResolver
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s, nil
}

// Post sends the event to the URL and returns nil if the receiver has taken it: it answered with a status from 200 to 299. It
// returns as soon as the head of the answer is there, and hangs up. If the context carries a span, the header traceparent names it.
// Sending it again does no harm, since the receiver knows it by its id. Errors are faults, and of the URL they show scheme,
// host and path alone:
//
//   - Invalid, CodeURL or CodeEvent: see CheckURL and NewEvent. Nothing was sent.
//   - Denied, CodeForbidden: the address is one that callbacks may not go to. Nothing was sent.
//   - NotFound, CodeGone: the receiver wants no more callbacks at this URL.
//   - Invalid, CodeRedirected or CodeRefused: a redirect, or a 4xx that does not pass by itself.
//   - Throttled, CodeThrottled: 429. Unavailable, CodeUnavailable: 408, 425, 5xx. Both with the receiver's Retry-After.
//   - Unavailable, CodeUnreachable: no answer that could be read in time.
func (s *Sender) Post(ctx context.Context, url string, event Event) error {
	to, err := parse(url, s.policy)
	if err != nil {
		return err
	}
	body, err := event.encode()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	conn, err := s.connect(ctx, to)
	if err != nil {
		return to.unreachable(ctx, err, false)
	}
	defer func() { _ = conn.Close() }() // the transport has closed it, if it got that far
	res, err := over(conn).RoundTrip(s.request(ctx, to, event, body))
	if err != nil {
		return to.unreachable(ctx, err, true)
	}
	_ = res.Body.Close() // unread: the status decides, and a receiver that drips its body shall hold up nobody
	return to.verdict(res, s.now())
}

func (s *Sender) request(ctx context.Context, to target, event Event, body []byte) *http.Request {
	at := s.now()
	req := &http.Request{
		Method: http.MethodPost, URL: &to.url, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		Header: http.Header{
			"Content-Type": {"application/json"}, "User-Agent": {"Routinely"},
			headerID: {event.ID()}, headerTimestamp: {strconv.FormatInt(at.Unix(), 10)}, headerSignature: {s.sign(cmp.Or(event.Receiver, event.Data.Caller), event.ID(), at, body)},
		},
	}
	if parent := trace.From(ctx); parent != "" {
		req.Header[trace.Header] = []string{string(parent)} // in lower case
	}
	return req.WithContext(ctx)
}

// over returns a transport for one request over the connection, TLS included. A bare transport follows no redirects and keeps
// no cookies. It gets a connection that is made, since it would go on dialling after the request's time is over.
func over(conn net.Conn) *http.Transport {
	given := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	return &http.Transport{
		DialContext: given, DialTLSContext: given, DisableKeepAlives: true, DisableCompression: true,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}
