package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/cmd/routinely/client"
	"routinely/shared/api"
	"routinely/shared/config"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// far is accept as a script plays it.
type far struct {
	*client.Client
	url    string
	mu     sync.Mutex
	calls  []*http.Request
	bodies []string
	pauses []time.Duration
}

// play starts a server that answers the calls in turn; the last answer stands for all that follow.
func play(t *testing.T, answers ...http.HandlerFunc) *far {
	t.Helper()
	f := &far{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		at := min(len(f.calls), len(answers)-1)
		f.calls, f.bodies = append(f.calls, r), append(f.bodies, string(body))
		f.mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		answers[at](w, r)
	}))
	t.Cleanup(server.Close)
	c, err := client.New(client.Config{
		URL: server.URL + "/", Token: "hush", Agent: "test",
		Sleep: func(_ context.Context, d time.Duration) { f.pauses = append(f.pauses, d) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	f.Client, f.url = c, server.URL
	return f
}

// says answers with a status and a body, which is a problem from 400 on unless it is a batch's result.
func says(status int, body any, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if _, problem := body.(api.Problem); problem {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
}

// hangUp ends the connection without an answer.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func job(id string, state routine.State) routine.Job { return routine.Job{ID: id, State: state} }

func TestNew(t *testing.T) {
	for _, bad := range []string{"", "localhost:1", "ftp://host", "http://", "http://host?x=y", "http://user:secret@host", "http://host#x", ":"} {
		_, err := client.New(client.Config{URL: bad})
		if err == nil {
			t.Errorf("%q is taken", bad)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestToken(t *testing.T) {
	for _, bad := range []config.Secret{"a b", "a\n", "é"} {
		if _, err := client.New(client.Config{URL: "https://host", Token: bad}); err == nil || strings.Contains(err.Error(), bad.Reveal()) {
			t.Errorf("%q: %v", bad.Reveal(), err)
		}
	}
	for url, taken := range map[string]bool{
		"https://host": true, "http://127.0.0.1:1": true, "http://127.8.8.8": true, "http://[::1]:1": true, "http://[::ffff:127.0.0.1]": true,
		"http://localhost:1": true, "http://LOCALHOST": true,
		"http://host": false, "http://10.0.0.1": false, "http://localhost.example.com": false, "http://127.0.0.1.example.com": false,
		"http://[fe80::1]": false, "http://0.0.0.0": false, "HTTP://host": false, "http://127.1": false,
	} {
		_, err := client.New(client.Config{URL: url, Token: "hush"})
		if (err == nil) != taken || err != nil && (strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "https")) {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := client.New(client.Config{URL: "http://host"}); err != nil {
		t.Errorf("without a token: %v", err)
	}
}

func TestCalls(t *testing.T) {
	t.Run("carry the token, the agent and the key", func(t *testing.T) {
		f := play(t, says(http.StatusAccepted, job("j", routine.Queued), "Idempotency-Replayed", "true"))
		got, replayed, err := f.Submit(t.Context(), client.Keyed{Request: routine.Request{Name: "aa"}, Key: "k"})
		if err != nil || got.ID != "j" || !replayed {
			t.Errorf("got %+v, %t, %v", got, replayed, err)
		}
		header := map[string]string{}
		for _, name := range []string{"Authorization", "User-Agent", "Idempotency-Key", "Content-Type"} {
			header[name] = f.calls[0].Header.Get(name)
		}
		want := map[string]string{
			"Authorization": "Bearer hush", "User-Agent": "test", "Idempotency-Key": "k", "Content-Type": "application/json",
		}
		if diff := cmp.Diff(want, header); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if f.bodies[0] != `{"name":"aa"}` {
			t.Errorf("body %s", f.bodies[0])
		}
	})
	t.Run("are told of when each begins and ends", func(t *testing.T) {
		server := httptest.NewServer(says(http.StatusOK, job("j", routine.Queued)))
		defer server.Close()
		var told []string
		c, err := client.New(client.Config{URL: server.URL, Calling: func() func() {
			told = append(told, "begins")
			return func() { told = append(told, "ends") }
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, _, err := c.Job(t.Context(), "j", 0); err != nil || !slices.Equal(told, []string{"begins", "ends"}) {
			t.Errorf("%q, %v", told, err)
		}
	})
	t.Run("put names into one segment of the path", func(t *testing.T) {
		f := play(t, says(http.StatusOK, job("j", routine.Queued)))
		if _, _, err := f.Job(t.Context(), "a/b c", 0); err != nil || f.calls[0].RequestURI != "/v1/jobs/a%2Fb%20c" {
			t.Errorf("%s, %v", f.calls[0].RequestURI, err)
		}
	})
	t.Run("do not follow redirects, which could carry the token away", func(t *testing.T) {
		for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect} {
			other := play(t, says(http.StatusOK, job("j", routine.Queued)))
			f := play(t, says(status, "", "Location", other.url+"/v1/jobs/j"))
			_, _, err := f.Job(t.Context(), "j", 0)
			if !fault.HasCode(err, "UnexpectedAnswer") || !strings.Contains(err.Error(), other.url) || len(f.calls) != 1 || len(other.calls) != 0 {
				t.Errorf("%d: %d calls, %d elsewhere, %v", status, len(f.calls), len(other.calls), err)
			}
		}
	})
	t.Run("say what an answer that is not accept's looks like", func(t *testing.T) {
		f := play(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>\x1b[2J"+strings.Repeat("x", 1000)) })
		_, _, err := f.Job(t.Context(), "j", 0)
		if !fault.HasCode(err, "UnexpectedAnswer") || fault.From(err).Hint == "" {
			t.Errorf("%v", err)
		}
	})
	t.Run("end with their context's error", func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		f := play(t, func(_ http.ResponseWriter, r *http.Request) {
			stop()
			<-r.Context().Done()
		})
		var failed *fault.Error
		if _, _, err := f.Job(ctx, "j", 0); !errors.Is(err, context.Canceled) || errors.As(err, &failed) {
			t.Errorf("%v", err)
		}
	})
}

func TestProblems(t *testing.T) {
	p := api.Problem{
		Type: "/problems#invalid-request", Title: "The rules are broken", Code: "invalid-request", Detail: "all of it", RequestID: "r",
		Errors: []routine.Problem{{Pointer: "/name", Code: "value", Detail: "bad"}},
	}
	f := play(t, says(http.StatusUnprocessableEntity, p))
	_, _, err := f.Submit(t.Context(), client.Keyed{})
	var refused *client.Refusal
	if !errors.As(err, &refused) || !strings.HasSuffix(refused.More, "/problems#invalid-request") || !strings.HasPrefix(refused.More, "http://") {
		t.Fatalf("%v", err)
	}
	if diff := cmp.Diff(p, refused.Problem); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	failed := fault.From(err)
	if failed.Kind != fault.Invalid || failed.RequestID != "r" || failed.Step != "POST /v1/routines" {
		t.Errorf("got %+v", failed)
	}

	t.Run("have the kind of their status", func(t *testing.T) {
		for status, want := range map[int]fault.Kind{
			400: fault.Invalid, 401: fault.Unauthenticated, 403: fault.Denied, 404: fault.NotFound, 409: fault.Conflict, 413: fault.Invalid,
			429: fault.Throttled, 500: fault.Internal, 501: fault.Internal, 502: fault.Unavailable, 503: fault.Unavailable, 504: fault.Unavailable,
		} {
			f := play(t, says(status, api.Problem{Code: "c"}))
			if _, _, err := f.Job(t.Context(), "j", 0); fault.From(err).Kind != want || fault.From(err).Code != "c" {
				t.Errorf("%d: %v, want %s", status, err, want)
			}
		}
	})
}

func TestRepetition(t *testing.T) {
	unavailable := says(http.StatusServiceUnavailable, api.Problem{Code: "queue-unavailable", Retryable: true}, "Retry-After", "5")
	fine := says(http.StatusOK, job("j", routine.Succeeded))
	t.Run("goes on until an answer comes, at least as slowly as is asked", func(t *testing.T) {
		f := play(t, hangUp, unavailable, says(http.StatusTooManyRequests, api.Problem{Code: "slow"}, "Retry-After", "7"), fine)
		if _, _, err := f.Job(t.Context(), "j", 0); err != nil {
			t.Fatal(err)
		}
		if len(f.pauses) != 3 || f.pauses[0] > 500*time.Millisecond || f.pauses[1].Truncate(time.Second) != 5*time.Second || f.pauses[2] < 7*time.Second || f.pauses[2] >= 9*time.Second {
			t.Errorf("pauses %v", f.pauses)
		}
	})
	t.Run("is bounded", func(t *testing.T) {
		f := play(t, unavailable)
		_, _, err := f.Job(t.Context(), "j", 0)
		if !fault.HasKind(err, fault.Unavailable) || len(f.calls) != 6 {
			t.Errorf("%d calls, %v", len(f.calls), err)
		}
	})
	t.Run("does not wait for ever", func(t *testing.T) {
		f := play(t, says(http.StatusServiceUnavailable, api.Problem{Code: "closed"}, "Retry-After", "3600"))
		if _, _, err := f.Job(t.Context(), "j", 0); err == nil || len(f.calls) != 1 {
			t.Errorf("%d calls, %v", len(f.calls), err)
		}
	})
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		calls  int
	}{
		{"is no use against a refusal", says(http.StatusConflict, api.Problem{Code: "c"}), 1},
		{"is no use against a failure that does not pass", says(http.StatusInternalServerError, api.Problem{Code: "internal"}), 1},
		{"is made when accept says that a failure passes", says(http.StatusInternalServerError, api.Problem{Code: "internal", Retryable: true}), 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := play(t, test.answer)
			if _, _, err := f.Job(t.Context(), "j", 0); err == nil || len(f.calls) != test.calls {
				t.Errorf("%d calls, want %d, %v", len(f.calls), test.calls, err)
			}
		})
	}
}
