package callback_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"routinely/shared/callback"
	"routinely/shared/fault"
)

// silent answers with the head and then nothing, until the client hangs up.
func silent(head string) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = io.WriteString(conn, head)
		untilClosed(conn)
	}
}

// flooding answers with the head and then the part again and again, until the client hangs up.
func flooding(head, part string) func(net.Conn) {
	part = strings.Repeat(part, 1+4096/len(part)) // a write of its own for each takes a thousand times as long
	return func(conn net.Conn) {
		_, err := io.WriteString(conn, head)
		for err == nil {
			_, err = io.WriteString(conn, part)
		}
	}
}

// dripping answers with the head and then a byte every few milliseconds, until the client hangs up.
func dripping(head string) func(net.Conn) {
	return func(conn net.Conn) {
		ticks := time.NewTicker(5 * time.Millisecond)
		defer ticks.Stop()
		_, err := io.WriteString(conn, head)
		for err == nil {
			<-ticks.C
			_, err = io.WriteString(conn, "x")
		}
	}
}

func TestBounds(t *testing.T) {
	post := func(t *testing.T, timeout time.Duration, serve func(net.Conn)) error {
		t.Helper()
		cfg := localConfig()
		cfg.Timeout = timeout
		return newSender(t, cfg).Post(t.Context(), rawServer(t, serve), newEvent(t, job()))
	}
	chunks := func(head string) func(net.Conn) { return flooding(head, "5\r\nxxxxx\r\n") }
	const short, long = 100 * time.Millisecond, time.Minute

	t.Run("gives up on a receiver that never answers, or whose head never ends in time", func(t *testing.T) {
		for _, serve := range []func(net.Conn){untilClosed, dripping("HTTP/1.1 200 OK\r\nX-Slow: "), silent("HTTP/1.1 103 Early Hints\r\n\r\n")} {
			got := failed(t, post(t, short, serve), fault.Unavailable, callback.CodeUnreachable)
			if !strings.Contains(got.Message, "time") || !got.OutcomeUnknown {
				t.Errorf("got %+v", got)
			}
		}
	})
	t.Run("waits for no body, however it comes", func(t *testing.T) {
		for name, rest := range map[string]string{
			"a body that never comes":    "Content-Length: 5\r\n\r\n",
			"a body that is too long":    "Content-Length: 99999999999\r\n\r\n",
			"chunks that never come":     "Transfer-Encoding: chunked\r\n\r\n",
			"a body without an end":      "\r\n",
			"trailers that never end":    "Transfer-Encoding: chunked\r\nTrailer: X-Flood\r\n\r\n0\r\n",
			"a body that cannot be read": "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
			"a body that is not packed":  "Content-Encoding: gzip\r\n\r\n",
		} {
			for _, after := range []func(string) func(net.Conn){silent, dripping, chunks} {
				begun := time.Now()
				if err := post(t, long, after("HTTP/1.1 200 OK\r\n"+rest)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				failed(t, post(t, long, after("HTTP/1.1 503 Busy\r\n"+rest)), fault.Unavailable, callback.CodeUnavailable)
				if time.Since(begun) >= long {
					t.Fatalf("%s: waited for it", name)
				}
			}
		}
	})
	t.Run("hangs up on endless headers and interim answers", func(t *testing.T) {
		for name, serve := range map[string]func(net.Conn){
			"headers": flooding("HTTP/1.1 200 OK\r\n", "X-Flood: 1\r\n"),
			"line":    flooding("HTTP/1.1 200 OK\r\nX-Flood: ", "xxxxxxxxxx"),
			"status":  flooding("HTTP/1.1 200 ", "OK"),
			"interim": flooding("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
			"bare":    flooding("", "HTTP/1.1 100 Continue\r\n\r\n"),
		} {
			got := failed(t, post(t, long, serve), fault.Unavailable, callback.CodeUnreachable)
			if !strings.Contains(got.Message, "exceeded 65536 bytes") {
				t.Errorf("%s: got %s", name, got.Message)
			}
		}
	})
	t.Run("shows neither side's address when the connection breaks", func(t *testing.T) {
		got := failed(t, post(t, long, func(conn net.Conn) {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // so that closing resets
			}
		}), fault.Unavailable, callback.CodeUnreachable)
		if !got.OutcomeUnknown || strings.Contains(got.Message, "->") || !strings.Contains(got.Message, "reset") {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("says that nothing was sent when nobody listens", func(t *testing.T) {
		listener := listen(t)
		_ = listener.Close()
		got := fails(t, newSender(t, localConfig()), "https://"+listener.Addr().String(), fault.Unavailable, callback.CodeUnreachable)
		if got.OutcomeUnknown || !strings.Contains(got.Message, "refused") {
			t.Errorf("got %+v", got)
		}
	})
}

func TestTLS(t *testing.T) {
	refused := func(t *testing.T, r *receiver, s *callback.Sender, url string) {
		t.Helper()
		got := fails(t, s, url, fault.Unavailable, callback.CodeUnreachable)
		if !strings.Contains(got.Message, "tls: ") || got.OutcomeUnknown || len(r.requests()) != 0 {
			t.Errorf("got %+v and %d requests", got, len(r.requests()))
		}
	}
	t.Run("sends nothing to a receiver with a certificate of an unknown issuer, or of another name", func(t *testing.T) {
		r := newReceiver(t, nil)
		refused(t, r, newSender(t, localConfig()), r.URL)
		refused(t, r, r.senderOf(t, &names{answers: [][]string{{"127.0.0.1"}}}), "https://hooks.example.org:"+r.port())
	})
	t.Run("speaks TLS 1.2 and later, not before", func(t *testing.T) {
		for version, works := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
			r := newReceiverTLS(t, nil, &tls.Config{MinVersion: version, MaxVersion: version})
			if works {
				posts(t, r.sender(t), r.URL)
				continue
			}
			refused(t, r, r.sender(t), r.URL)
		}
	})
	for name, test := range map[string]struct {
		timeout time.Duration
		serve   func(net.Conn)
		want    string
	}{
		// A handshake record of 16 KiB, again and again, with one message of 16 MiB.
		"is too long": {0, flooding("\x16\x03\x03\x40\x00\x02\xff\xff\xff"+strings.Repeat("x", 0x4000-4), "\x16\x03\x03\x40\x00"+strings.Repeat("x", 0x4000)), "exceeds maximum"},
		"never ends":  {100 * time.Millisecond, untilClosed, "time"},
	} {
		t.Run("hangs up on a handshake that "+name, func(t *testing.T) {
			listener := listen(t)
			var serving sync.WaitGroup
			defer serving.Wait()
			serving.Go(func() {
				if conn, err := listener.Accept(); err == nil {
					test.serve(conn)
					_ = conn.Close()
				}
			})
			cfg := localConfig()
			cfg.Timeout = test.timeout
			got := fails(t, newSender(t, cfg), "https://"+listener.Addr().String(), fault.Unavailable, callback.CodeUnreachable)
			if got.OutcomeUnknown || test.timeout > 0 && errors.Unwrap(got) == nil || !strings.Contains(got.Message, test.want) {
				t.Errorf("got %+v", got)
			}
		})
	}
}
