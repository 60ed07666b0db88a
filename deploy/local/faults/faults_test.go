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
	// arrived, where set, gets a value for every execution.
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

// buy makes a call that is answered whole.
func (s *shop) buy(t *testing.T, path string) answer {
	t.Helper()
	got, err := s.do(t.Context(), http.MethodPost, path, "")
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return got
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

func (s *shop) wantLog(t *testing.T, want ...faults.Record) {
	t.Helper()
	var got []faults.Record
	for _, r := range s.set.Calls() {
		got = append(got, faults.Record{Call: faults.Call{Action: r.Action}, Status: r.Status, Code: r.Code, Fault: r.Fault})
	}
	same(t, "call log", got, want)
}

func record(action string, status int, code string, fault faults.Answer) faults.Record {
	return faults.Record{Call: faults.Call{Action: action}, Status: status, Code: code, Fault: fault}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func ok() answer { return answer{200, "application/json", realAnswer} }

func TestServe(t *testing.T) {
	fault := func(kind faults.Answer) faults.Fault { return faults.Fault{Answer: kind, DelayMillis: 1} }
	after := func(f faults.Fault) faults.Fault {
		f.Execute = true
		return f
	}
	busy := faults.Fault{Answer: faults.Error, Status: 503, Code: "Busy", Message: "later"}
	document := faults.Fault{Answer: faults.Document, Status: 201, Body: `{"pear":1}`, Headers: map[string]string{"Content-Type": "application/json"}}
	page := "<html><head><title>Bad Gateway</title></head><body>gateway says no</body></html>\n"
	for _, c := range []struct {
		name  string
		path  string
		fault faults.Fault
		// want and err are what the caller sees; code is in the log.
		want     answer
		err      error
		code     string
		executed bool
	}{
		{"an error with a standard text", "/Buy", faults.Fault{Answer: faults.Error, Code: "Slow"}, answer{400, "text/x-error", "Slow: injected fault"}, nil, "Slow", false},
		{"an error in the server's own protocol", "/Buy", busy, answer{503, "text/x-error", "Busy: later"}, nil, "Busy", false},
		{"an error after execution", "/Buy", after(busy), answer{503, "text/x-error", "Busy: later"}, nil, "Busy", true},
		{"a proxy's page", "/Buy", fault(faults.HTML), answer{502, "text/html", page}, nil, "", false},
		{"nothing, after execution", "/Buy", after(fault(faults.Empty)), answer{Status: 200}, nil, "", true},
		{"another type", "/Buy", fault(faults.WrongType), answer{200, "text/plain", "this is not the answer you are looking for\n"}, nil, "", false},
		{"another document", "/Buy", document, answer{201, "application/json", `{"pear":1}`}, nil, "", false},
		{"the answer, slowly", "/Buy", fault(faults.Slow), ok(), nil, "", true},
		{"the server's error, slowly", "/SoldOut", fault(faults.Slow), answer{409, "text/x-error", "SoldOut: nothing left"}, nil, "SoldOut", true},
		{"no body, slowly", "/Nothing", fault(faults.Slow), answer{204, "application/json", ""}, nil, "", true},
		{"the answer drop by drop", "/Buy", fault(faults.Drip), ok(), nil, "", true},
		{"a closed connection", "/Buy", fault(faults.Reset), answer{}, io.EOF, "", false},
		{"a closed connection, after execution", "/Buy", after(fault(faults.Reset)), answer{}, io.EOF, "", true},
		{"half the answer", "/Buy", fault(faults.Truncated), answer{200, "application/json", realAnswer[:len(realAnswer)/2]}, io.ErrUnexpectedEOF, "", true},
		{"a closed connection for half an empty body", "/Nothing", fault(faults.Truncated), answer{}, io.EOF, "", true},
	} {
		t.Run("answers "+c.name, func(t *testing.T) {
			s := openShop(t)
			s.breaks(t, faults.Rule{Fault: c.fault})
			got, err := s.do(t.Context(), http.MethodPost, c.path, "")
			same(t, "answer", got, c.want)
			if !errors.Is(err, c.err) {
				t.Errorf("the caller sees %v, want %v", err, c.err)
			}
			s.wantLog(t, record(c.path[1:], c.want.Status, c.code, c.fault.Answer))
			same(t, "executed", s.executed.Load() > 0, c.executed)
		})
	}

	t.Run("leaves a call alone that no rule fits", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Action: "Sell", Fault: faults.Fault{Answer: faults.Reset}})
		same(t, "answer", s.buy(t, "/Buy"), ok())
		same(t, "refusal", s.buy(t, "/SoldOut"), answer{409, "text/x-error", "SoldOut: nothing left"})
		s.wantLog(t, record("Buy", 200, "", ""), record("SoldOut", 409, "SoldOut", ""))
	})

	t.Run("sets headers over the answer's own, in whatever case these are written", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Fault: faults.Fault{Answer: faults.Slow, Headers: map[string]string{
			"content-type": "application/broken", "x-acs-retry-after": "1500", "X-Shop-Till": "8",
		}}})
		resp, err := s.client.Get(s.url + "/Buy")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for name, want := range map[string]string{"Content-Type": "application/broken", "X-Acs-Retry-After": "1500", "X-Shop-Till": "8"} {
			same(t, name, resp.Header.Values(name), []string{want})
		}
	})

	t.Run("hangs until the caller goes away", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Fault: faults.Fault{Answer: faults.Hang, Execute: true}})
		ctx, goAway := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := s.do(ctx, http.MethodPost, "/Buy", "")
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
				_, err := s.do(context.WithoutCancel(t.Context()), http.MethodPost, kind, "")
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

func TestAfter(t *testing.T) {
	late := faults.Rule{Action: "Buy", Fault: faults.Fault{Answer: faults.Empty, After: "Sell"}}

	t.Run("an operation takes effect once, after the next call of the action that it waits for", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, late)
		s.buy(t, "/Buy")
		s.buy(t, "/Lend")
		same(t, "executed before", s.executed.Load(), int64(1))
		same(t, "the other call", s.buy(t, "/Sell"), ok())
		same(t, "executed after", s.executed.Load(), int64(3))
		s.buy(t, "/Sell")
		same(t, "executed later", s.executed.Load(), int64(4))
	})

	t.Run("a call that has no effect brings about none", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, late)
		s.breaks(t, faults.Rule{Action: "Sell", Fault: broken(299)})
		s.buy(t, "/Buy")
		s.buy(t, "/Sell")
		same(t, "executed", s.executed.Load(), int64(0))
	})

	t.Run("an operation that waits is forgotten with the rules", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, late)
		s.buy(t, "/Buy")
		s.set.Clear()
		s.buy(t, "/Sell")
		same(t, "executed", s.executed.Load(), int64(1))
	})
}
