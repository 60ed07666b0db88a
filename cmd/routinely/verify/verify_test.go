package verify_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/cmd/routinely/verify"
)

// clock is a time that passes in pauses alone.
type clock struct{ now time.Time }

func (c *clock) sleep(_ context.Context, d time.Duration) { c.now = c.now.Add(d) }

// longest is the time for all tries.
const longest = 10 * time.Second

// config asks the edge for the header X-Version: 7.
func (e *edge) config(c *clock) verify.Config {
	return verify.Config{
		Header: verify.Header{Name: "X-Version", Value: "7"}, Timeout: longest, Agent: "test", Patience: time.Minute, Dial: e.dial, Roots: e.roots,
		Now: func() time.Time { return c.now }, Sleep: c.sleep,
	}
}

// verifyOne asks one host name, and returns what was seen.
func verifyOne(t *testing.T, cfg verify.Config, name string) verify.Seen {
	t.Helper()
	v, err := verify.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := v.Verify(t.Context(), []string{name}, func(int) {})
	if err != nil || len(seen) != 1 {
		t.Fatalf("%v, %v", seen, err)
	}
	return seen[0]
}

// serve answers with the header.
func serve(w http.ResponseWriter, value string) { w.Header().Set("X-Version", value) }

func TestServing(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(w http.ResponseWriter, before int)
		calls  int
	}{
		{"is seen at once", func(w http.ResponseWriter, _ int) { serve(w, "7") }, 5},
		{"is seen after some tries", func(w http.ResponseWriter, before int) {
			if before >= 3 {
				serve(w, "7")
			}
		}, 3 + 5},
		{"counts connections in a row", func(w http.ResponseWriter, before int) {
			if before != 4 && before != 7 {
				serve(w, "7")
			}
		}, 5 + 3 + 5},
		{"does not depend on the status", func(w http.ResponseWriter, _ int) {
			serve(w, "7")
			w.WriteHeader(http.StatusNotFound)
		}, 5},
		{"takes one of several values", func(w http.ResponseWriter, _ int) {
			w.Header().Add("X-Version", "6")
			w.Header().Add("X-Version", "7")
		}, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newEdge(t, func(w http.ResponseWriter, _ *http.Request, before int) { test.answer(w, before) })
			got := verifyOne(t, e.config(new(clock)), hostName)
			if diff := cmp.Diff(verify.Seen{HostName: hostName, Serving: true, Saw: "served on 5 connections in a row"}, got); diff != "" || e.calls < test.calls {
				t.Errorf("after %d calls, -want +got:\n%s", e.calls, diff)
			}
			last := e.from[len(e.from)-5:]
			slices.Sort(last)
			if len(slices.Compact(last)) != 5 {
				t.Errorf("not of different connections: %q", last)
			}
		})
	}
}

func TestNotServing(t *testing.T) {
	for _, test := range []struct {
		name, host, want string
		answer           func(w http.ResponseWriter, before int)
	}{
		{"says that the header is missing", hostName, "HTTP 200 without the header X-Version", func(http.ResponseWriter, int) {}},
		{"says that the value is another", hostName, "HTTP 200 with another value of X-Version: 6", func(w http.ResponseWriter, _ int) { serve(w, "6") }},
		{"compares the whole value", hostName, "HTTP 200 with another value of X-Version: 77", func(w http.ResponseWriter, _ int) { serve(w, "77") }},
		{"says the status", hostName, "HTTP 404 without the header X-Version", func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusNotFound) }},
		{"says the status of a server's failure", hostName, "HTTP 522 without the header X-Version", func(w http.ResponseWriter, _ int) { w.WriteHeader(522) }},
		{"follows no redirect", hostName, "HTTP 302 without the header X-Version; the redirect to /there was not followed", func(w http.ResponseWriter, _ int) {
			w.Header().Set("Location", "/there")
			w.WriteHeader(http.StatusFound)
		}},
		{"says how many had it", hostName, "not yet everywhere: 2 in a row had the header, then: HTTP 200 with another value of X-Version: 6", func(w http.ResponseWriter, before int) {
			serve(w, map[bool]string{true: "6", false: "7"}[before%3 == 2])
		}},
		{"says which names the certificate has", "other.example.com", "the TLS certificate is not valid: it is for " + hostName, func(http.ResponseWriter, int) {}},
		{"says that DNS does not resolve the name", "none.example.com", "DNS does not resolve none.example.com", func(http.ResponseWriter, int) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newEdge(t, func(w http.ResponseWriter, _ *http.Request, before int) { test.answer(w, before) })
			c := new(clock)
			got := verifyOne(t, e.config(c), test.host)
			if diff := cmp.Diff(verify.Seen{HostName: test.host, Saw: test.want}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if passed := c.now.Sub(time.Time{}); passed == 0 || passed >= longest {
				t.Errorf("it paused for %s altogether", passed)
			}
		})
	}
	t.Run("says that an authority is unknown", func(t *testing.T) {
		e := newEdge(t, func(http.ResponseWriter, *http.Request, int) {})
		cfg := e.config(new(clock))
		_, cfg.Roots = newCertificate(t, hostName)
		if got := verifyOne(t, cfg, hostName); got.Serving || !strings.HasPrefix(got.Saw, "the TLS certificate is not valid: x509: certificate signed by unknown authority") {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("gives up an answer that does not come", func(t *testing.T) {
		ended := make(chan struct{})
		e := newEdge(t, func(_ http.ResponseWriter, _ *http.Request, _ int) { <-ended })
		defer close(ended)
		cfg := e.config(new(clock))
		cfg.Patience = 5 * time.Millisecond
		if got, want := verifyOne(t, cfg, hostName), (verify.Seen{HostName: hostName, Saw: "no answer within 5ms"}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func TestSeveral(t *testing.T) {
	t.Run("host names are asked together, and those that serve only until they do", func(t *testing.T) {
		e := newEdge(t, func(w http.ResponseWriter, _ *http.Request, _ int) { serve(w, "7") })
		v, err := verify.New(e.config(new(clock)))
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		seen, err := v.Verify(t.Context(), []string{"none.example.com", hostName}, func(serving int) { told = serving })
		if err != nil || seen[0].Serving || !seen[1].Serving || told != 1 || e.calls != 5 {
			t.Errorf("%+v, %v, told %d after %d calls", seen, err, told, e.calls)
		}
	})
	t.Run("end when they are interrupted", func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		e := newEdge(t, func(http.ResponseWriter, *http.Request, int) { stop() })
		v, err := verify.New(e.config(new(clock)))
		if err != nil {
			t.Fatal(err)
		}
		seen, err := v.Verify(ctx, []string{hostName}, func(int) {})
		if err != context.Canceled || len(seen) != 1 || seen[0].Serving {
			t.Errorf("%+v, %v", seen, err)
		}
	})
}

func TestParseHeader(t *testing.T) {
	for text, want := range map[string]verify.Header{
		"x-version=7": {Name: "X-Version", Value: "7"}, " X-Commit = a=b ": {Name: "X-Commit", Value: "a=b"},
		"X-Version": {}, "=7": {}, "X-Version=": {}, "X Version=7": {}, "X-Version=7\n": {Name: "X-Version", Value: "7"}, "X-Version=a\nb": {}, "X-Version=é": {},
	} {
		got, err := verify.ParseHeader(text)
		if got != want || (err == nil) != (want != verify.Header{}) {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, want)
		}
	}
}
