package callback_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
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

	"routinely/shared/callback"
	"routinely/shared/fault"
)

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

func TestRedirect(t *testing.T) {
	t.Run("is not followed, wherever it leads", func(t *testing.T) {
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
	})
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
