package callback_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"routinely/shared/callback"
	"routinely/shared/fault"
)

func TestPost(t *testing.T) {
	t.Run("sends one signed request that the reference library accepts with each of the caller's secrets", func(t *testing.T) {
		r, j := newReceiver(t, nil), job()
		j.Caller = "shop"
		s := newSender(t, callback.Config{Secrets: []string{secret, olderSecret}, Policy: thisMachine(), RootCAs: r.roots(), Now: time.Now})
		if err := s.Post(t.Context(), r.URL+"/hook?token=hush", newEvent(t, j)); err != nil {
			t.Fatal(err)
		}
		got := r.requests()
		if len(got) != 1 || got[0].method != http.MethodPost || got[0].uri != "/hook?token=hush" {
			t.Fatalf("got %+v", got)
		}
		for _, known := range []string{secret, olderSecret} {
			library := reader(t, secretOf(t, known, "shop"))
			if err := library.Verify(got[0].body, got[0].header); err != nil {
				t.Error(err)
			}
			if err := library.Verify(append(got[0].body, ' '), got[0].header); err == nil {
				t.Error("a changed body is accepted")
			}
			for _, foreign := range []string{known, secretOf(t, known, ""), secretOf(t, known, "other")} {
				if err := reader(t, foreign).Verify(got[0].body, got[0].header); err == nil {
					t.Error("the secret of somebody else signs too")
				}
			}
		}
	})
	t.Run("sends these headers and no others", func(t *testing.T) {
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		})
		s, e := r.sender(t), newEvent(t, job())
		for range 2 {
			if err := s.Post(t.Context(), r.URL, e); err != nil {
				t.Fatal(err)
			}
		}
		for _, got := range r.requests() {
			want := http.Header{
				"Content-Type": {"application/json"}, "User-Agent": {"Routinely"}, "Connection": {"close"},
				"Content-Length": {strconv.Itoa(len(got.body))}, "Webhook-Id": {e.ID()}, "Webhook-Timestamp": {"1772366400"},
				"Webhook-Signature": {callback.Sign(secretOf(t, secret, ""), e.ID(), now, got.body)},
			}
			if diff := cmp.Diff(want, got.header); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		}
	})
	t.Run("sends the event as its body", func(t *testing.T) {
		r := newReceiver(t, nil)
		want := newEvent(t, job())
		if err := r.sender(t).Post(t.Context(), r.URL, want); err != nil {
			t.Fatal(err)
		}
		var got callback.Event
		if err := json.Unmarshal(r.requests()[0].body, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
	})
	t.Run("signs each attempt again, under the same id", func(t *testing.T) {
		r := newReceiver(t, nil)
		at := now
		s := newSender(t, callback.Config{Policy: thisMachine(), RootCAs: r.roots(), Now: func() time.Time { return at }})
		for range 2 {
			if err := s.Post(t.Context(), r.URL, newEvent(t, job())); err != nil {
				t.Fatal(err)
			}
			at = at.Add(time.Hour)
		}
		first, second := r.requests()[0].header, r.requests()[1].header
		if first.Get("webhook-id") != second.Get("webhook-id") || first.Get("webhook-timestamp") == second.Get("webhook-timestamp") ||
			first.Get("webhook-signature") == second.Get("webhook-signature") {
			t.Errorf("got %v, then %v", first, second)
		}
	})
	t.Run("uses no proxy of the environment", func(t *testing.T) {
		r := newReceiver(t, nil)
		// The standard library uses no proxy for addresses of the machine itself, so the receiver needs a name.
		s := newSender(t, callback.Config{Policy: thisMachine(), RootCAs: r.roots(), Resolver: &names{answers: [][]string{{"127.0.0.1"}}}})
		if err := s.Post(t.Context(), "https://example.com:"+r.port()+"/", newEvent(t, job())); err != nil {
			t.Fatal(err)
		}
		if got := r.requests(); len(got) != 1 || got[0].method != http.MethodPost {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("speaks to a receiver without TLS if the policy allows it", func(t *testing.T) {
		url := rawServer(t, func(conn net.Conn) { _, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) })
		s := newSender(t, callback.Config{Policy: thisMachine()})
		if err := s.Post(t.Context(), url, newEvent(t, job())); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("is called off with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		url := rawServer(t, func(conn net.Conn) {
			cancel()
			untilClosed(conn)
		})
		got := failed(t, newSender(t, callback.Config{Policy: thisMachine()}).Post(ctx, url, newEvent(t, job())), fault.Unavailable, callback.CodeUnreachable)
		if !errors.Is(got, context.Canceled) || !got.OutcomeUnknown {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("sends no event that NewEvent would not make", func(t *testing.T) {
		r := newReceiver(t, nil)
		wrong := newEvent(t, job())
		wrong.Type = "routinely.job.cancelled"
		long := newEvent(t, job())
		long.Note = strings.Repeat("x", callback.MaxEventBytes)
		for _, e := range []callback.Event{{}, wrong, long} {
			failed(t, r.sender(t).Post(t.Context(), r.URL, e), fault.Invalid, callback.CodeEvent)
		}
		if len(r.requests()) != 0 {
			t.Errorf("got %+v", r.requests())
		}
	})
}

// reader is a receiver's own reading of a callback.
func reader(t *testing.T, secret string) *standardwebhooks.Webhook {
	t.Helper()
	library, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return library
}
