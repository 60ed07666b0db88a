package callback_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/callback"
	"routinely/shared/fault"
)

// answering returns what comes of a callback to a receiver with the handler.
func answering(t *testing.T, query string, handler http.HandlerFunc) error {
	t.Helper()
	r := newReceiver(t, handler)
	return r.sender(t).Post(t.Context(), r.URL+"/hook"+query, newEvent(t, job()))
}

func TestVerdict(t *testing.T) {
	type verdict struct {
		Kind    fault.Kind
		Code    string
		Unknown bool
	}
	refused := verdict{fault.Invalid, callback.CodeRefused, false}
	redirected := verdict{fault.Invalid, callback.CodeRedirected, false}
	unavailable := verdict{fault.Unavailable, callback.CodeUnavailable, true}
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		status, _ := strconv.Atoi(req.URL.RawQuery)
		w.WriteHeader(status)
	})
	s := r.sender(t)
	for status, want := range map[int]verdict{
		200: {}, 201: {}, 202: {}, 204: {}, 299: {},
		300: redirected, 301: redirected, 302: redirected, 303: redirected, 304: redirected, 307: redirected, 308: redirected, 399: redirected,
		400: refused, 401: refused, 403: refused, 404: refused, 405: refused, 409: refused, 413: refused, 422: refused, 499: refused,
		408: {fault.Unavailable, callback.CodeUnavailable, false}, 425: {fault.Unavailable, callback.CodeUnavailable, false},
		410: {fault.NotFound, callback.CodeGone, false}, 429: {fault.Throttled, callback.CodeThrottled, false},
		500: unavailable, 501: unavailable, 502: unavailable, 503: unavailable, 504: unavailable, 599: unavailable, 600: unavailable, 999: unavailable,
	} {
		t.Run(fmt.Sprintf("knows what %d comes to", status), func(t *testing.T) {
			err := s.Post(t.Context(), r.URL+"/hook?"+strconv.Itoa(status), newEvent(t, job()))
			var got verdict
			if err != nil {
				if said := callback.Status(err); said != status {
					t.Errorf("the failure is about %d", said)
				}
				f := failed(t, err, want.Kind, want.Code)
				got = verdict{f.Kind, f.Code, f.OutcomeUnknown}
				if !strings.Contains(f.Message, fmt.Sprintf("answered %d", status)) {
					t.Errorf("the message does not name the status: %s", f.Message)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("takes an answer that switches protocols for none", func(t *testing.T) {
		err := answering(t, "", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"))
			_ = conn.Close()
		})
		failed(t, err, fault.Unavailable, callback.CodeUnavailable)
	})
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
				err := s.Post(t.Context(), r.URL+"?"+query.Encode(), newEvent(t, job()))
				got := failed(t, err, fault.Invalid, callback.CodeRedirected)
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
		return failed(t, newSender(t, senderConfig()).Post(t.Context(), hook, newEvent(t, job())), fault.Unavailable, callback.CodeUnreachable).Message
	}
	t.Run("quotes a head that cannot be read on one line, cut between two characters", func(t *testing.T) {
		got := message(t, "", "HTTP/1.1 200 OK\r\n\x1b[31m\u2028"+strings.Repeat("ü", 500)+": x\r\n\r\n")
		if !strings.Contains(got, "malformed MIME header") || !strings.HasSuffix(got, "ü…") || len(got) > 400 || strings.ContainsAny(got, "\x1b\u2028") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("quotes a certificate without its control characters", func(t *testing.T) {
		r := newReceiverTLS(t, nil, &tls.Config{Certificates: []tls.Certificate{certificate(t, "no such\r\n\x1b[31mname")}})
		s := newSender(t, callback.Config{Policy: thisMachine(), Resolver: &names{answers: [][]string{{"127.0.0.1"}}}})
		got := failed(t, s.Post(t.Context(), "https://hooks.example.com:"+r.port(), newEvent(t, job())), fault.Unavailable, callback.CodeUnreachable)
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
	t.Run("tells nothing of an answer's body", func(t *testing.T) {
		err := answering(t, "", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte("hush"))
		})
		if got := failed(t, err, fault.Invalid, callback.CodeRefused); !strings.HasSuffix(got.Message, "/hook answered 400") {
			t.Errorf("got %s", got.Message)
		}
	})
}

// certificate is one for a name, signed by itself.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestRetryAfter(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Retry-After", req.URL.Query().Get("after"))
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	s := r.sender(t)
	for text, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "86401": 24 * time.Hour, "Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second,
	} {
		t.Run(fmt.Sprintf("reads %q", text), func(t *testing.T) {
			err := s.Post(t.Context(), r.URL+"?"+url.Values{"after": {text}}.Encode(), newEvent(t, job()))
			if got := failed(t, err, fault.Unavailable, callback.CodeUnavailable).RetryAfter; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}
