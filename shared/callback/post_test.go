package callback_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
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
	t.Run("signs for the receiver if that is not the job's caller", func(t *testing.T) {
		r, j := newReceiver(t, nil), job()
		j.Caller = "janitor"
		event := newEvent(t, j)
		event.Receiver = "shop"
		s := newSender(t, callback.Config{Secrets: []string{secret}, Policy: thisMachine(), RootCAs: r.roots(), Now: time.Now})
		must(t, s.Post(t.Context(), r.URL, event))
		got := r.requests()[0]
		must(t, reader(t, secretOf(t, secret, "shop")).Verify(got.body, got.header))
		if bytes.Contains(got.body, []byte("shop")) {
			t.Errorf("%s", got.body)
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

func TestVerdict(t *testing.T) {
	type verdict struct {
		kind    fault.Kind
		code    string
		unknown bool
	}
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		status, _ := strconv.Atoi(req.URL.RawQuery)
		w.WriteHeader(status)
		_, _ = w.Write([]byte("hush"))
	})
	s := r.sender(t)
	for want, statuses := range map[verdict][]int{
		{}: {200, 201, 202, 204, 299},
		{fault.Invalid, callback.CodeRedirected, false}:      {300, 301, 302, 303, 304, 307, 308, 399},
		{fault.Invalid, callback.CodeRefused, false}:         {400, 401, 403, 404, 405, 409, 413, 422, 499},
		{fault.NotFound, callback.CodeGone, false}:           {410},
		{fault.Throttled, callback.CodeThrottled, false}:     {429},
		{fault.Unavailable, callback.CodeUnavailable, false}: {408, 425},
		{fault.Unavailable, callback.CodeUnavailable, true}:  {500, 501, 502, 503, 504, 599, 600, 999},
	} {
		for _, status := range statuses {
			t.Run(fmt.Sprintf("of %d, without the answer's body", status), func(t *testing.T) {
				err := s.Post(t.Context(), fmt.Sprintf("%s/hook?%d", r.URL, status), newEvent(t, job()))
				if want.code == "" && err == nil {
					return
				}
				got := failed(t, err, want.kind, want.code)
				same(t, "status", callback.Status(err), status)
				if got.OutcomeUnknown != want.unknown || !strings.Contains(got.Message, fmt.Sprintf("/hook answered %d", status)) || strings.Contains(got.Message, "hush") {
					t.Errorf("got %+v", got)
				}
			})
		}
	}
	t.Run("of an answer that switches protocols: the receiver is unavailable", func(t *testing.T) {
		url := rawServer(t, writing("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"))
		fails(t, newSender(t, localConfig()), url, fault.Unavailable, callback.CodeUnavailable)
	})
}

// writing answers with the text.
func writing(text string) func(net.Conn) {
	return func(conn net.Conn) { _, _ = io.WriteString(conn, text) }
}

// TestRedirect: a redirect is not followed, wherever it leads.
func TestRedirect(t *testing.T) {
	inner := newReceiver(t, nil)
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		status, _ := strconv.Atoi(req.URL.Query().Get("status"))
		w.Header().Set("Location", req.URL.Query().Get("location"))
		w.WriteHeader(status)
	})
	s, before := r.sender(t), 0
	for _, location := range []string{"http://100.100.100.200/latest/meta-data/", inner.URL, "/other", "https://%zz", ""} {
		// Clients follow some of them with a GET, and some only if they can read the body again.
		for _, status := range []int{301, 302, 303, 307, 308} {
			query := url.Values{"location": {location}, "status": {strconv.Itoa(status)}}
			got := fails(t, s, r.URL+"?"+query.Encode(), fault.Invalid, callback.CodeRedirected)
			requests := len(r.requests()) - before
			before += requests
			if !strings.Contains(got.Message, "redirect") || requests != 1 || len(inner.requests()) != 0 {
				t.Errorf("%d to %q: got %s; %d and %d requests", status, location, got.Message, requests, len(inner.requests()))
			}
		}
	}
}

func TestMessage(t *testing.T) {
	// message is what is told of an answer that cannot be read.
	message := func(t *testing.T, query, answer string) string {
		t.Helper()
		hook := rawServer(t, writing(answer)) + query
		return fails(t, newSender(t, localConfig()), hook, fault.Unavailable, callback.CodeUnreachable).Message
	}
	t.Run("quotes a head that cannot be read on one line, cut between two characters", func(t *testing.T) {
		got := message(t, "", "HTTP/1.1 200 OK\r\n\x1b[31m\u2028"+strings.Repeat("ü", 500)+": x\r\n\r\n")
		if !strings.Contains(got, "malformed MIME header") || !strings.HasSuffix(got, "ü…") || len(got) > 400 || strings.ContainsAny(got, "\x1b\u2028") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("quotes a certificate without its control characters", func(t *testing.T) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		must(t, err)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"no such\r\n\x1b[31mname"},
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		must(t, err)
		r := newReceiverTLS(t, nil, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
		s := newSender(t, callback.Config{Policy: thisMachine(), Resolver: &names{answers: [][]string{{"127.0.0.1"}}}})
		got := fails(t, s, "https://hooks.example.com:"+r.port(), fault.Unavailable, callback.CodeUnreachable)
		if !strings.Contains(got.Message, "no such [31mname") {
			t.Errorf("got %q", got.Message)
		}
	})
	t.Run("hides the query that the receiver repeats, whole or in part, encoded or plain", func(t *testing.T) {
		got := message(t, "?tenant=7&token=hu%2Fsh+er&bare-secret",
			"HTTP/1.1 200 OK\r\nbad /hook?tenant=7&token=hu%2Fsh+er&bare-secret= hu%2Fsh+er, hu/sh er, bare-secret: x\r\n\r\n")
		if want := `"bad /hook?***= ***, ***, ***: x"`; !strings.HasSuffix(got, want) {
			t.Errorf("got %q, want %q at the end", got, want)
		}
	})
	t.Run("hides the query that makes an answer unreadable", func(t *testing.T) {
		got := message(t, "?token=hushhush", "what is token=hushhush?\r\n\r\n")
		if strings.Contains(got, "hush") || !strings.Contains(got, "malformed HTTP") {
			t.Errorf("got %q", got)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Retry-After", req.URL.Query().Get("after"))
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	s := r.sender(t)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, "-5": 0, "1.5": 0, "soon": 0, "120, 5": 0,
		"86400": 24 * time.Hour, "86401": 24 * time.Hour, "4294967295": 24 * time.Hour, "99999999999999999999": 0,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
		"Sunday, 01-Mar-26 12:01:00 GMT": time.Minute, "Fri, 01 Mar 2199 12:00:00 GMT": 24 * time.Hour,
	} {
		t.Run(fmt.Sprintf("reads %q", text), func(t *testing.T) {
			got := fails(t, s, r.URL+"?"+url.Values{"after": {text}}.Encode(), fault.Unavailable, callback.CodeUnavailable)
			same(t, "wait", got.RetryAfter, want)
		})
	}
}
