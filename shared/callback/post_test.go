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

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"routinely/shared/callback"
	"routinely/shared/fault"
)

func TestPost(t *testing.T) {
	t.Run("sends one signed request that the reference library accepts with each of the caller's secrets", func(t *testing.T) {
		r, j := newReceiver(t, nil), job()
		j.Caller = "shop"
		s := newSender(t, callback.Config{Secrets: []string{secret, olderSecret}, Policy: thisMachine(), RootCAs: r.roots(), Now: time.Now})
		must(t, s.Post(t.Context(), r.URL+"/hook?token=hush", newEvent(t, j)))
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
	t.Run("sends the event with these headers and no others, and signs each attempt again under the same id", func(t *testing.T) {
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		})
		at, e := now, newEvent(t, job())
		s := newSender(t, callback.Config{Policy: thisMachine(), RootCAs: r.roots(), Now: func() time.Time { return at }})
		for n, timestamp := range []string{"1772366400", "1772370000"} {
			posts(t, s, r.URL)
			got := r.requests()[n]
			same(t, "headers", got.header, http.Header{
				"Content-Type": {"application/json"}, "User-Agent": {"Routinely"}, "Connection": {"close"},
				"Content-Length": {strconv.Itoa(len(got.body))}, "Webhook-Id": {e.ID()}, "Webhook-Timestamp": {timestamp},
				"Webhook-Signature": {callback.Sign(secretOf(t, secret, ""), e.ID(), at, got.body)},
			})
			var sent callback.Event
			must(t, json.Unmarshal(got.body, &sent))
			same(t, "event", sent, e)
			at = at.Add(time.Hour)
		}
	})
	t.Run("is called off with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		url := rawServer(t, func(conn net.Conn) {
			cancel()
			untilClosed(conn)
		})
		got := failed(t, newSender(t, localConfig()).Post(ctx, url, newEvent(t, job())), fault.Unavailable, callback.CodeUnreachable)
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
		same(t, "requests", len(r.requests()), 0)
	})
}

// reader is a receiver's own reading of a callback.
func reader(t *testing.T, secret string) *standardwebhooks.Webhook {
	t.Helper()
	library, err := standardwebhooks.NewWebhook(secret)
	must(t, err)
	return library
}
