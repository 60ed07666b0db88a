// Package verify asks host names over HTTPS whether the code that was deployed answers there, by a response header that the code sends. It changes
// nothing, and it does not know of jobs: that a job has succeeded is another question, which the service answers.
package verify

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"routinely/shared/fault"
	"routinely/shared/retry"
)

const (
	// usualConnections is how many in a row must have the header: nodes of the edge change one after the other.
	usualConnections = 5
	// usualPatience is the longest time for one answer.
	usualPatience = 10 * time.Second
	// atOnce is how many host names are asked at the same time.
	atOnce = 8
)

// Header is a response header that the code sends with each of its answers.
type Header struct{ Name, Value string }

// ParseHeader reads NAME=VALUE. The error says what is wrong with it.
func ParseHeader(text string) (Header, error) {
	name, value, found := strings.Cut(text, "=")
	h := Header{http.CanonicalHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)}
	switch {
	case !found || h.Name == "" || h.Value == "":
		return Header{}, fmt.Errorf("%q is not NAME=VALUE, such as X-Version=7", text)
	case strings.ContainsFunc(h.Name, func(r rune) bool { return !inName(r) }):
		return Header{}, fmt.Errorf("%q is not the name of a header", h.Name)
	case strings.ContainsFunc(h.Value, func(r rune) bool { return r < ' ' || r > '~' }):
		return Header{}, fmt.Errorf("the value of %s has characters beyond printable ASCII", h.Name)
	}
	return h, nil
}

// inName reports whether a character is one of RFC 9110's tokens.
func inName(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// Config is what a Verifier needs.
type Config struct {
	// Header is what the code sends. Required.
	Header Header
	// Timeout is the longest time for all host names together. Required.
	Timeout time.Duration
	// Agent is the User-Agent; empty means Go's.
	Agent string
	// Connections is how many in a row must have the header, each from another local address; 0 means 5.
	Connections int
	// Patience is the longest time for one answer; 0 means 10 seconds.
	Patience time.Duration
	// Proxy chooses the proxy of a request, as that of http.Transport; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// Dial opens a connection to a host and a port; nil means net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Roots are the authorities whose certificates are valid; nil means those of the machine.
	Roots *x509.CertPool
	// Sleep waits between two rounds, or until its context is done; nil means retry.Sleep.
	Sleep func(context.Context, time.Duration)
	// Now is the time; nil means time.Now.
	Now func() time.Time
}

// Seen is what was seen of a host name last.
type Seen struct {
	HostName string `json:"hostName"`
	// Serving is whether all connections of the last row had the header.
	Serving bool `json:"serving"`
	// Saw says what the last connection showed.
	Saw string `json:"saw"`
}

// Verifier is safe for concurrent use.
type Verifier struct {
	cfg      Config
	schedule retry.Policy
	http     *http.Client
}

// New checks the configuration and returns a Verifier. It opens no connection.
func New(cfg Config) (*Verifier, error) {
	if cfg.Header.Name == "" || cfg.Header.Value == "" || cfg.Timeout <= 0 {
		return nil, errors.New("verify: want a header with a value, and a time above 0")
	}
	if cfg.Connections == 0 {
		cfg.Connections = usualConnections
	}
	if cfg.Patience == 0 {
		cfg.Patience = usualPatience
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	if cfg.Sleep == nil {
		cfg.Sleep = retry.Sleep
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Verifier{
		cfg: cfg, http: cfg.client(),
		schedule: retry.Policy{Base: time.Second, Cap: 10 * time.Second, MaxAttempts: math.MaxInt, MaxInternalAttempts: math.MaxInt, MaxAge: cfg.Timeout},
	}, nil
}

// Verify asks the host names, again and again with growing pauses, until all of them serve or the time is over. told is told how many serve. The
// error is that of ctx alone; what was seen until then is returned with it.
func (v *Verifier) Verify(ctx context.Context, hostNames []string, told func(serving int)) ([]Seen, error) {
	seen := make([]Seen, len(hostNames))
	for i, name := range hostNames {
		seen[i] = Seen{HostName: name, Saw: "it was not asked before the time was over"}
	}
	begun := v.cfg.Now()
	for round := 1; ; round++ {
		v.round(ctx, seen, begun.Add(v.cfg.Timeout))
		if ctx.Err() != nil {
			return seen, ctx.Err()
		}
		serving := 0
		for _, s := range seen {
			if s.Serving {
				serving++
			}
		}
		told(serving)
		next := v.schedule.Next(&fault.Error{Kind: fault.Unavailable}, round, v.cfg.Now().Sub(begun), rand.Float64())
		if serving == len(seen) || !next.Again {
			return seen, nil
		}
		v.cfg.Sleep(ctx, next.Delay)
	}
}

// round asks each host name that does not serve yet, some at once.
func (v *Verifier) round(ctx context.Context, seen []Seen, deadline time.Time) {
	free := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range seen {
		if seen[i].Serving {
			continue
		}
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			v.row(ctx, &seen[i], deadline)
		})
	}
	wg.Wait()
}

// row asks a host name over one connection after the other, until one does not have the header or enough have it. Whoever distributes connections
// among nodes may do it by their addresses and ports: one from where another of the row came from proves nothing new.
func (v *Verifier) row(ctx context.Context, s *Seen, deadline time.Time) {
	from := map[string]bool{}
	for range 2 * v.cfg.Connections {
		left := deadline.Sub(v.cfg.Now())
		if left <= 0 || ctx.Err() != nil {
			return
		}
		answer := v.look(ctx, s.HostName, min(left, v.cfg.Patience))
		if ctx.Err() != nil {
			return
		}
		if !answer.serving {
			s.Saw = answer.saw
			if len(from) > 0 {
				s.Saw = fmt.Sprintf("not yet everywhere: %d in a row had the header, then: %s", len(from), answer.saw)
			}
			return
		}
		from[answer.from] = true
		if len(from) == v.cfg.Connections {
			s.Serving, s.Saw = true, fmt.Sprintf("served on %d connections in a row", len(from))
			return
		}
	}
	s.Saw = fmt.Sprintf("the header was there, but this machine made only %d different connections", len(from))
}
