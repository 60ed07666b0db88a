package fcemu_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/fcemu"
)

// httpEvent is the part of an HTTP event that tests look at.
type httpEvent struct {
	Version         string
	RawPath         string
	Headers         map[string]string
	QueryParameters map[string]string
	Body            string
	IsBase64Encoded bool
	RequestContext  struct {
		AccountID, DomainName, RequestID, Time, TimeEpoch string

		HTTP struct{ Method, Path, Protocol, SourceIP, UserAgent string }
	}
}

type response struct {
	status int
	header http.Header
	body   []byte
}

func send(t *testing.T, method, url string, body io.Reader, headers ...string) response {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Add(pair[0], pair[1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{resp.StatusCode, resp.Header, text}
}

func post(t *testing.T, url, body string, headers ...string) response {
	t.Helper()
	return send(t, http.MethodPost, url, strings.NewReader(body), headers...)
}

func (r response) event(t *testing.T) httpEvent {
	t.Helper()
	var e httpEvent
	if err := json.Unmarshal(r.body, &e); err != nil {
		t.Fatalf("%v in %d %s", err, r.status, r.body)
	}
	return e
}

func TestHTTP(t *testing.T) {
	h := start(t, fcemu.Config{Functions: []fcemu.Function{function("f")}})
	base := serve(t, h.HTTP("f"))

	t.Run("turns a request into a v1 event", func(t *testing.T) {
		got := send(t, http.MethodPut, base+"/a%2Fb/c%20d?x=1&y=%26&x=2", strings.NewReader("<body>"), "X-Many", "one", "X-Many", "two",
			"Content-Type", "text/plain", "X-Fc-Invocation-Type", "Async", "Connection", "keep-alive", "User-Agent", "tester")
		e := got.event(t)
		if e.Version != "v1" || e.RawPath != "/a%2Fb/c%20d" || e.Body != "<body>" || e.IsBase64Encoded {
			t.Errorf("event: %+v", e)
		}
		want := map[string]string{"Accept-Encoding": "gzip", "Content-Type": "text/plain", "User-Agent": "tester", "X-Many": "one,two"}
		if diff := cmp.Diff(want, e.Headers); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]string{"x": "1,2", "y": "&"}, e.QueryParameters); diff != "" {
			t.Errorf("query (-want +got):\n%s", diff)
		}
		c := e.RequestContext
		if c.HTTP.Method != "PUT" || c.HTTP.Path != "/a/b/c d" || c.HTTP.Protocol != "HTTP/1.1" || c.HTTP.SourceIP != "127.0.0.1" ||
			c.HTTP.UserAgent != "tester" || c.AccountID != "1234567890123456" || c.DomainName != "127.0.0.1" {
			t.Errorf("request context: %+v", c)
		}
		if c.RequestID != got.header.Get("X-Fc-Request-Id") || c.Time != h.clock.Now().UTC().Format(time.RFC3339) || c.TimeEpoch == "" {
			t.Errorf("request context: %+v, header %q", c, got.header.Get("X-Fc-Request-Id"))
		}
	})

	t.Run("sends binary bodies as base64, by their type or their bytes", func(t *testing.T) {
		for _, c := range []struct {
			contentType, body, want string
			encoded                 bool
		}{
			{"application/json; charset=utf-8", `{}`, `{}`, false},
			{"application/problem+json", `{}`, `{}`, false},
			{"", "plain", "plain", false},
			{"application/octet-stream", "plain", "cGxhaW4=", true},
			{"image/png", "plain", "cGxhaW4=", true},
			{"multipart/form-data; boundary=x", "plain", "cGxhaW4=", true},
			{"text/plain", "\xff\xfe", "//4=", true},
			{"", "\xff\xfe", "//4=", true},
		} {
			e := post(t, base, c.body, "Content-Type", c.contentType).event(t)
			if e.Body != c.want || e.IsBase64Encoded != c.encoded {
				t.Errorf("%q %q: got %q, encoded %v", c.contentType, c.body, e.Body, e.IsBase64Encoded)
			}
		}
	})

	t.Run("sends the function's response without the headers it may not set", func(t *testing.T) {
		got := send(t, http.MethodGet, base+"/", nil)
		for _, name := range []string{"Server", "Keep-Alive", "X-Fc-Own", "Content-Disposition", "Connection"} {
			if value := got.header.Get(name); value != "" {
				t.Errorf("%s: %s must not pass", name, value)
			}
		}
		if got.status != 201 || got.header.Get("X-Own") != "<own>" || got.header.Get("Content-Type") != "application/json" || got.header.Get("Date") == "never" {
			t.Errorf("got %d %v", got.status, got.header)
		}
		if got := send(t, http.MethodGet, base+"/binary", nil); !bytes.Equal(got.body, []byte{0, 1, 0xff}) {
			t.Errorf("binary body: %x", got.body)
		}
		if got := send(t, http.MethodGet, base+"/bare", nil); got.status != 200 || string(got.body) != `{"bare":true}` {
			t.Errorf("bare result: %d %s", got.status, got.body)
		}
	})

	t.Run("answers 502 for a function that fails", func(t *testing.T) {
		for path, want := range map[string]string{
			"/error": `"errorType":"ownError"`, "/exit": "exit status 7", "/bad-status": "status code 42", "/bad-base64": "not base64",
		} {
			got := send(t, http.MethodGet, base+path, nil)
			if got.status != http.StatusBadGateway || got.header.Get("X-Fc-Error-Type") != "UnhandledInvocationError" || !strings.Contains(string(got.body), want) {
				t.Errorf("%s: got %d %v %s, want %s", path, got.status, got.header, got.body, want)
			}
		}
	})

	t.Run("refuses requests over the platform's limits", func(t *testing.T) {
		large := strings.Repeat("x", 4096)
		for name, got := range map[string]response{
			"headers": send(t, http.MethodGet, base, nil, "X-A", large, "X-B", large),
			"path":    send(t, http.MethodGet, base+"/"+large, nil),
			"query":   send(t, http.MethodGet, base+"/?q="+large, nil),
			"escape":  send(t, http.MethodGet, base+"/?q=%zz", nil),
			"body":    send(t, http.MethodPost, base, bytes.NewReader(make([]byte, 32<<20+1))),
		} {
			var body struct{ ErrorCode, ErrorMessage string }
			if err := json.Unmarshal(got.body, &body); err != nil || got.status != 400 || body.ErrorCode != "InvalidArgument" ||
				got.header.Get("X-Fc-Error-Type") != "FcCommonError" {
				t.Errorf("%s: got %d %s", name, got.status, got.body)
			}
		}
	})

	t.Run("answers 404 for a function that does not exist", func(t *testing.T) {
		base := serve(t, h.HTTP("g"))
		if got := send(t, http.MethodGet, base, nil); got.status != http.StatusNotFound {
			t.Errorf("got %d %s", got.status, got.body)
		}
	})
}

func TestHTTPQueue(t *testing.T) {
	t.Run("waits for a busy function", func(t *testing.T) {
		g := newGate(t)
		f := gated("f", g)
		f.MaxInstances = 1
		f.Timeout = time.Minute
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}})
		base := serve(t, h.HTTP("f"))
		first := h.invoke("f", `1`)
		busy := g.next()
		answers := make(chan response, 1)
		go func() { answers <- post(t, base, "x") }()
		h.clock.Await(2) // the first call's timeout, the end of the wait
		busy.say("return 1")
		wait(t, first, "the first")
		g.next().say(`return {"statusCode":204,"headers":{},"body":""}`)
		if got := wait(t, answers, "the answer"); got.status != http.StatusNoContent {
			t.Errorf("got %d %s", got.status, got.body)
		}
	})

	t.Run("answers 429 when the function stays busy", func(t *testing.T) {
		g := newGate(t)
		f := gated("f", g)
		f.MaxInstances, f.Timeout = 1, time.Minute
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}})
		base := serve(t, h.HTTP("f"))
		first := h.invoke("f", `1`)
		busy := g.next()
		answers := make(chan response, 1)
		go func() { answers <- post(t, base, "x") }()
		h.clock.Await(2) // the first call's timeout, the end of the wait
		h.clock.Advance(10 * time.Second)
		got := wait(t, answers, "the answer")
		if got.status != http.StatusTooManyRequests || got.header.Get("X-Fc-Error-Type") != "FcCommonError" || !strings.Contains(string(got.body), "ResourceExhausted") {
			t.Errorf("got %d %s", got.status, got.body)
		}
		busy.say("return 1")
		wait(t, first, "the first")
	})
}
