package faults_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/deploy/local/faults"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// realAnswer is what the shop answers when nothing is broken.
const realAnswer = `{"order":"ten apples and a pear"}`

// shop is a small server of the kind this package is for: the action is the path, the colour a parameter.
type shop struct {
	set      faults.Set
	executed atomic.Int64
	url      string
	client   *http.Client
	// arrived, where set, is told of every execution.
	arrived chan struct{}
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := faults.Call{
		Action: strings.TrimPrefix(r.URL.Path, "/"),
		Params: map[string]string{"colour": r.URL.Query().Get("colour")},
	}
	s.set.Serve(w, r, call, func() time.Time { return time.Unix(1700000000, 0).UTC() }, func(w http.ResponseWriter) {
		s.executed.Add(1)
		if s.arrived != nil {
			s.arrived <- struct{}{}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header()["x-shop-till"] = []string{"7"}
		switch call.Action {
		case "SoldOut":
			refuse(w, http.StatusConflict, "SoldOut", "nothing left")
		case "Nothing":
			w.WriteHeader(http.StatusNoContent)
		default:
			fmt.Fprint(w, realAnswer)
		}
	}, refuse)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	faults.NoteCode(w, code)
	w.Header().Set("Content-Type", "text/x-error")
	w.WriteHeader(status)
	fmt.Fprintf(w, "%s: %s", code, message)
}

func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{}
	mux := http.NewServeMux()
	mux.Handle("/_local/", http.StripPrefix("/_local", s.set.Handler()))
	mux.Handle("/", s)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(s.set.Stop)
	s.url, s.client = server.URL, server.Client()
	return s
}

func (s *shop) breaks(t *testing.T, r faults.Rule) {
	t.Helper()
	if _, err := s.set.Add(r); err != nil {
		t.Fatalf("Add: %v", err)
	}
}

// answer is what a caller saw.
type answer struct {
	Status int
	Type   string
	Body   string
}

func (s *shop) buy(ctx context.Context, path string) (answer, error) {
	return s.do(ctx, http.MethodPost, path, "")
}

func (s *shop) do(ctx context.Context, method, path, body string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header.Get("Content-Type"), string(got)}, err
}

func (s *shop) wantAnswer(t *testing.T, path string, want answer) {
	t.Helper()
	got, err := s.buy(t.Context(), path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func (s *shop) wantLog(t *testing.T, want ...faults.Record) {
	t.Helper()
	var got []faults.Record
	for _, r := range s.set.Calls() {
		got = append(got, faults.Record{Call: faults.Call{Action: r.Action}, Status: r.Status, Code: r.Code, Fault: r.Fault})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("call log (-want +got):\n%s", diff)
	}
}

func record(action string, status int, code string, fault faults.Answer) faults.Record {
	return faults.Record{Call: faults.Call{Action: action}, Status: status, Code: code, Fault: fault}
}

func ok() answer { return answer{200, "application/json", realAnswer} }

func TestServe(t *testing.T) {
	t.Run("leaves a call alone that no rule fits", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Action: "Sell", Fault: faults.Fault{Answer: faults.Reset}})
		s.wantAnswer(t, "/Buy", ok())
		s.wantAnswer(t, "/SoldOut", answer{409, "text/x-error", "SoldOut: nothing left"})
		s.wantLog(t, record("Buy", 200, "", ""), record("SoldOut", 409, "SoldOut", ""))
	})

	t.Run("answers an error in the server's own protocol", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Fault: faults.Fault{Answer: faults.Error, Code: "Throttling"}})
		s.wantAnswer(t, "/Buy", answer{400, "text/x-error", "Throttling: injected fault"})
		s.breaks(t, faults.Rule{Fault: faults.Fault{Answer: faults.Error, Status: 503, Code: "Busy", Message: "later", Execute: true}})
		s.wantAnswer(t, "/Buy", answer{503, "text/x-error", "Busy: later"})
		s.wantLog(t, record("Buy", 400, "Throttling", "error"), record("Buy", 503, "Busy", "error"))
		if s.executed.Load() != 1 {
			t.Errorf("executed %d times, want 1: only the call of the second rule", s.executed.Load())
		}
	})

	t.Run("sets headers over the answer's own, in whatever case these are written", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Times: 2, Fault: faults.Fault{Answer: faults.Slow, Headers: map[string]string{
			"content-type": "application/broken", "x-acs-retry-after": "1500", "X-Shop-Till": "8",
		}}})
		s.wantAnswer(t, "/Buy", answer{200, "application/broken", realAnswer})
		resp, err := s.client.Get(s.url + "/Buy")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for name, want := range map[string][]string{"X-Acs-Retry-After": {"1500"}, "X-Shop-Till": {"8"}} {
			if diff := cmp.Diff(want, resp.Header.Values(name)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})

	t.Run("answers as a proxy, with nothing, and with another type", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Action: "Proxy", Fault: faults.Fault{Answer: faults.HTML}})
		s.breaks(t, faults.Rule{Action: "Empty", Fault: faults.Fault{Answer: faults.Empty, Execute: true}})
		s.breaks(t, faults.Rule{Action: "Type", Fault: faults.Fault{Answer: faults.WrongType}})
		got, err := s.buy(t.Context(), "/Proxy")
		if err != nil || got.Status != 502 || got.Type != "text/html" || !strings.HasPrefix(got.Body, "<html>") {
			t.Errorf("proxy: %+v, %v", got, err)
		}
		s.wantAnswer(t, "/Empty", answer{Status: 200})
		s.wantAnswer(t, "/Type", answer{200, "text/plain", "this is not the answer you are looking for\n"})
		s.breaks(t, faults.Rule{Action: "Other", Fault: faults.Fault{
			Answer: faults.Document, Status: 201, Body: `{"pear":1}`, Headers: map[string]string{"Content-Type": "application/json"},
		}})
		s.wantAnswer(t, "/Other", answer{201, "application/json", `{"pear":1}`})
		s.wantLog(t, record("Proxy", 502, "", "html"), record("Empty", 200, "", "empty"), record("Type", 200, "", "wrong-type"),
			record("Other", 201, "", "document"))
		if s.executed.Load() != 1 {
			t.Errorf("executed %d times, want 1: the empty answer's call", s.executed.Load())
		}
	})

	t.Run("closes the connection with and without executing", func(t *testing.T) {
		for _, execute := range []bool{false, true} {
			s := openShop(t)
			// Times -1, as net/http's client sends a request once more when a kept connection was closed under it.
			s.breaks(t, faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.Reset, Execute: execute}})
			if got, err := s.buy(t.Context(), "/Buy"); !errors.Is(err, io.EOF) {
				t.Errorf("got %+v, %v, want a closed connection", got, err)
			}
			if (s.executed.Load() > 0) != execute {
				t.Errorf("executed %d times with execute %v", s.executed.Load(), execute)
			}
			s.wantLog(t, record("Buy", 0, "", "reset"))
		}
	})

	t.Run("cuts the answer in half", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Fault: faults.Fault{Answer: faults.Truncated}})
		got, err := s.buy(t.Context(), "/Buy")
		if !errors.Is(err, io.ErrUnexpectedEOF) || got.Body != realAnswer[:len(realAnswer)/2] {
			t.Errorf("got %+v, %v, want half the answer and an early end", got, err)
		}
		s.wantLog(t, record("Buy", 200, "", "truncated"))
	})

	t.Run("cuts an answer without a body before its first byte", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.Truncated}})
		if got, err := s.buy(t.Context(), "/Nothing"); err == nil {
			t.Errorf("got %+v, want a broken connection", got)
		}
		s.wantLog(t, record("Nothing", 0, "", "truncated"))
	})

	t.Run("gives the whole answer slowly and drop by drop", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Action: "Buy", Fault: faults.Fault{Answer: faults.Slow, DelayMillis: 1}})
		s.breaks(t, faults.Rule{Action: "Buy", Fault: faults.Fault{Answer: faults.Drip, DelayMillis: 1}})
		s.breaks(t, faults.Rule{Action: "SoldOut", Fault: faults.Fault{Answer: faults.Slow}})
		s.breaks(t, faults.Rule{Action: "Nothing", Fault: faults.Fault{Answer: faults.Slow}})
		before := time.Now()
		s.wantAnswer(t, "/Buy", ok())
		s.wantAnswer(t, "/Buy", ok())
		if pieces := len(realAnswer)/8 + 1; time.Since(before) < time.Duration(1+pieces)*time.Millisecond {
			t.Errorf("took %v, want a delay before the slow answer and before each of %d pieces", time.Since(before), pieces)
		}
		s.wantAnswer(t, "/SoldOut", answer{409, "text/x-error", "SoldOut: nothing left"})
		s.wantAnswer(t, "/Nothing", answer{204, "application/json", ""})
		s.wantLog(t, record("Buy", 200, "", "slow"), record("Buy", 200, "", "drip"),
			record("SoldOut", 409, "SoldOut", "slow"), record("Nothing", 204, "", "slow"))
	})

	t.Run("hangs until the caller goes away", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Fault: faults.Fault{Answer: faults.Hang, Execute: true}})
		ctx, goAway := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := s.buy(ctx, "/Buy")
			ended <- err
		}()
		for s.set.Hanging() == 0 {
			runtime.Gosched()
		}
		goAway()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the caller's own end", err)
		}
	})

	t.Run("ends a hang, a slow and a dripping answer when the server stops", func(t *testing.T) {
		s := openShop(t)
		s.arrived = make(chan struct{})
		for _, kind := range []faults.Answer{faults.Hang, faults.Drip, faults.Slow} {
			s.breaks(t, faults.Rule{Action: string(kind), Fault: faults.Fault{Answer: kind, DelayMillis: 3600_000, Execute: true}})
		}
		ended := make(chan error)
		for _, kind := range []string{"/hang", "/drip", "/slow"} {
			go func() {
				_, err := s.buy(context.WithoutCancel(t.Context()), kind)
				ended <- err
			}()
		}
		for range 3 {
			<-s.arrived
		}
		s.set.Stop()
		s.set.Stop()
		broken := 0
		for range 3 {
			if err := <-ended; err != nil {
				broken++
			}
		}
		if broken != 2 {
			t.Errorf("%d broken answers, want 2: the slow one is answered at once", broken)
		}
	})
}
