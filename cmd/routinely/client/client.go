// Package client speaks accept's HTTP interface. Every failure is a *fault.Error that says what was asked, with the problem's
// code, request id and what to do next; a call that ends because its context is over returns the context's error as it is.
//
// Calls that may be made again are: after a lost connection, 429, 502, 503, 504, and what accept calls retryable, with
// full-jitter exponential backoff or as long as Retry-After asks, a few times.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"routinely/shared/api"
	"routinely/shared/config"
	"routinely/shared/endpoint"
	"routinely/shared/fault"
	"routinely/shared/plain"
	"routinely/shared/retry"
)

// callLimit is the longest time for one call: more than accept may wait for a job or work on dead letters.
const callLimit = 70 * time.Second

// Config is what a Client needs.
type Config struct {
	// URL is the address of accept, http or https, with the path of a gateway if there is one. Required.
	URL string
	// Token is sent as a bearer token; empty for none. It goes over https, and over http to this machine alone: others on the way could read it.
	Token config.Secret
	// Agent is the User-Agent; empty means Go's.
	Agent string
	// Sleep waits between two calls, or until its context is done; nil means retry.Sleep.
	Sleep func(context.Context, time.Duration)
	// Calling is told of each call, and what it returns of the call's end; nil for nobody. Calls can be made at the same time.
	Calling func() (ended func())
	// Repeating is told of each call that is to be made again, and after how long; nil for nobody.
	Repeating func(err error, after time.Duration)
}

// Client is safe for concurrent use.
type Client struct {
	cfg  Config
	base string
	http *http.Client
}

// New checks the configuration and returns a client. It makes no call.
func New(cfg Config) (*Client, error) {
	u, err := endpoint.Parse(cfg.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("url %w", err)
	case strings.ContainsFunc(cfg.Token.Reveal(), func(c rune) bool { return c <= ' ' || c > '~' }):
		return nil, errors.New("token: want printable ASCII without spaces")
	case cfg.Token.Reveal() != "" && u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("url %q: a token goes over http to this machine alone, since others on the way could read it: give the https address, or leave the token out", cfg.URL)
	}
	if cfg.Sleep == nil {
		cfg.Sleep = retry.Sleep
	}
	if cfg.Calling == nil {
		cfg.Calling = func() func() { return func() {} }
	}
	if cfg.Repeating == nil {
		cfg.Repeating = func(error, time.Duration) {}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if isLoopback(u.Hostname()) {
		transport.Proxy = nil // a proxy for LOCALHOST would be another machine
	}
	return &Client{cfg: cfg, base: strings.TrimSuffix(cfg.URL, "/"), http: &http.Client{
		Transport: transport, Timeout: callLimit,
		// A redirected POST would become a GET, and the token could reach another host, or go on without TLS.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// isLoopback reports whether a host of a URL is this machine.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// OnThisMachine reports whether the client calls this machine, where only local servers are.
func (c *Client) OnThisMachine() bool {
	u, err := url.Parse(c.base)
	return err == nil && isLoopback(u.Hostname())
}

// Close drops the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call is one HTTP request.
type call struct {
	method, path string
	query        url.Values
	header       map[string]string
	body         []byte
	// also is a status outside of 2xx whose body may be a result and not a problem.
	also []int
}

func (c call) String() string { return c.method + " " + c.path }

// answer is a successful one.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// into reads the body as JSON. Members that are new are none of our business.
func (a answer) into(step call, out any) error {
	if err := json.Unmarshal(a.body, out); err != nil {
		return foreign(step, a, fmt.Sprintf("the answer is not what Routinely sends: %v", err))
	}
	return nil
}

// get makes a call until it succeeds, cannot succeed, or was made often enough, and reads the answer into out.
func (c *Client) get(ctx context.Context, do call, out any) (got answer, err error) {
	err = c.again(ctx, func(ctx context.Context) error {
		got, err = c.once(ctx, do)
		return err
	})
	if err != nil {
		return answer{}, err
	}
	return got, got.into(do, out)
}

// maxAnswer bounds what is read of an answer; a page of dead letters with everything they say fits.
const maxAnswer = 64 << 20

// once makes a call one time.
func (c *Client) once(ctx context.Context, do call) (answer, error) {
	target := c.base + do.path
	if len(do.query) > 0 {
		target += "?" + do.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, do.method, target, bytes.NewReader(do.body))
	if err != nil {
		return answer{}, c.unreachable(do, err)
	}
	c.describe(req, do)
	defer c.cfg.Calling()()
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return answer{}, ctx.Err()
		}
		return answer{}, c.unreachable(do, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if ctx.Err() != nil {
		return answer{}, ctx.Err()
	}
	if err != nil {
		return answer{}, c.unreachable(do, err)
	}
	return c.judge(do, answer{res.StatusCode, res.Header, body})
}

func (c *Client) describe(req *http.Request, do call) {
	if do.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	if c.cfg.Agent != "" {
		req.Header.Set("User-Agent", c.cfg.Agent)
	}
	if token := c.cfg.Token.Reveal(); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for name, value := range do.header {
		req.Header.Set(name, value)
	}
}

// judge tells results from problems.
func (c *Client) judge(do call, a answer) (answer, error) {
	media, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	switch {
	case a.status/100 == 2:
		return a, nil
	case media == "application/problem+json":
		return a, c.refused(do, a)
	case media == "application/json" && isOneOf(a.status, do.also):
		return a, nil
	}
	if to := a.header.Get("Location"); a.status/100 == 3 && to != "" {
		return a, foreign(do, a, fmt.Sprintf("the answer is %d and leads to %s, which is not followed: the token would go there", a.status, clip([]byte(to))))
	}
	return a, foreign(do, a, fmt.Sprintf("the answer is %d and no problem of Routinely's: %s", a.status, clip(a.body)))
}

func isOneOf(status int, list []int) bool {
	for _, s := range list {
		if s == status {
			return true
		}
	}
	return false
}

// Refusal is a problem that accept answered with, the cause of a fault.
type Refusal struct {
	api.Problem
	// More is the address of the text that explains the problem.
	More string
}

// Error is the problem's code and detail.
func (r *Refusal) Error() string { return r.Code + ": " + r.text() }

// ProblemOf is the problem that a failure is about; false if accept has refused nothing.
func ProblemOf(err error) (*api.Problem, bool) {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		return nil, false
	}
	return &refusal.Problem, true
}

func (r *Refusal) text() string {
	// The list of errors says more than the detail, which sums it up.
	if r.Detail == "" || len(r.Errors) > 0 {
		return r.Title
	}
	return r.Detail
}

// refused makes a fault of a problem.
func (c *Client) refused(do call, a answer) error {
	var p api.Problem
	if json.Unmarshal(a.body, &p) != nil || p.Code == "" {
		return foreign(do, a, "the answer is not a problem of Routinely's: "+clip(a.body))
	}
	r := &Refusal{Problem: p}
	if strings.HasPrefix(p.Type, "/") {
		r.More = c.base + p.Type
	}
	hint := ""
	if p.JobID != "" {
		hint = "routinely jobs get " + p.JobID + " shows the job that the key stands for."
	}
	return &fault.Error{
		Kind: fault.KindOf(a.status), Step: do.String(), Code: p.Code, Message: r.text(), RequestID: p.RequestID, Hint: hint,
		RetryAfter: retry.After(a.header, time.Now()), Err: r,
	}
}

// foreign is an answer that accept does not give: another server is at the address, or something between.
func foreign(do call, a answer, message string) error {
	return &fault.Error{
		Kind: fault.KindOf(max(a.status, http.StatusBadRequest)), Step: do.String(), Code: "UnexpectedAnswer", Message: message,
		RequestID: a.header.Get("X-Fc-Request-Id"), RetryAfter: retry.After(a.header, time.Now()),
		Hint: "Check that --url or ROUTINELY_URL is the address of Routinely's function accept.",
	}
}

func (c *Client) unreachable(do call, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return &fault.Error{
		Kind: fault.Unavailable, Step: do.String(), Code: "NoAnswer", Message: err.Error(), OutcomeUnknown: true, Err: err,
		Hint: "Check that Routinely runs at " + c.base + ", or give --url or ROUTINELY_URL.",
	}
}

// clip keeps a quoted answer readable.
func clip(body []byte) string { return plain.Line(string(body), 200) }
