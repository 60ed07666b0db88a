package esaemu_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
)

func TestFaults(t *testing.T) {
	eof := func(err error) bool { return errors.Is(err, io.EOF) }
	syntax := func(err error) bool { return errors.As(err, new(*json.SyntaxError)) }
	late := func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
	fine := func(err error) bool { return err == nil }
	code := func(want string) func(error) bool { return func(err error) bool { return codeOf(err) == want } }

	t.Run("break answers as the client sees them broken", func(t *testing.T) {
		for _, c := range []struct {
			name  string
			fault faults.Fault
			seen  func(error) bool
			done  bool
		}{
			{"throttled", faults.Fault{Answer: faults.Error, Status: 429, Code: "Throttling.User"}, code("Throttling.User"), false},
			{"503", faults.Fault{Answer: faults.Error, Status: 503, Code: "ServiceUnavailable"}, code("ServiceUnavailable"), false},
			{"an error after execution", faults.Fault{Answer: faults.Error, Code: "InternalException", Execute: true}, code("InternalException"), true},
			{"reset", faults.Fault{Answer: faults.Reset}, eof, false},
			{"lost after execution", faults.Fault{Answer: faults.Reset, Execute: true}, eof, true},
			{"hang", faults.Fault{Answer: faults.Hang}, late, false},
			{"hang after execution", faults.Fault{Answer: faults.Hang, Execute: true}, late, true},
			{"html", faults.Fault{Answer: faults.HTML}, syntax, false},
			{"wrong type", faults.Fault{Answer: faults.WrongType, Execute: true}, syntax, true},
			{"truncated", faults.Fault{Answer: faults.Truncated}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }, true},
			{"empty", faults.Fault{Answer: faults.Empty, Execute: true}, fine, true},
			{"drip", faults.Fault{Answer: faults.Drip}, fine, true},
			{"slow", faults.Fault{Answer: faults.Slow, DelayMillis: 1}, fine, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				b := start(t)
				must[string](t)(b.Faults().Add(faults.Rule{Action: "CreateRoutine", Match: map[string]string{"Name": "web"}, Fault: c.fault}))
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				_, err := b.sdk.CreateRoutineWithContext(ctx, &esa.CreateRoutineRequest{Name: tea.String("web")}, &dara.RuntimeOptions{})
				if !c.seen(err) {
					t.Errorf("the client sees %T %v", err, err)
				}
				same(t, "executed", len(must[esaemu.State](t)(b.State()).Routines) == 1, c.done)
			})
		}
	})

	t.Run("meet the reads about the account and the site, and the log counts each call", func(t *testing.T) {
		for _, action := range []string{"GetErService", "GetSite"} {
			for _, c := range []struct {
				name  string
				fault faults.Fault
				seen  func(error) bool
			}{
				{"a code", faults.Fault{Answer: faults.Error, Code: "InternalException"}, code("InternalException")},
				{"503", faults.Fault{Answer: faults.Error, Status: 503, Code: "ServiceUnavailable"}, code("ServiceUnavailable")},
				{"a dropped answer", faults.Fault{Answer: faults.Reset, Execute: true}, eof},
				{"a hang", faults.Fault{Answer: faults.Hang}, eof},
			} {
				b := start(t)
				must[string](t)(b.Faults().Add(faults.Rule{Action: action, Fault: c.fault}))
				ended := make(chan error, 1)
				go func() { ended <- b.reads()[action]() }()
				if c.fault.Answer == faults.Hang {
					for b.Faults().Hanging() == 0 {
						runtime.Gosched()
					}
					b.Stop()
				}
				if err := <-ended; !c.seen(err) {
					t.Errorf("%s, %s: the client sees %T %v", action, c.name, err, err)
				}
				want(t, "the next "+action, b.reads()[action](), "")
				same(t, "calls of "+action, b.Faults().Count(action), 2)
			}
		}
	})
}

func TestDate(t *testing.T) {
	date := func(t *testing.T, b *bench) string {
		t.Helper()
		answer := must[*http.Response](t)(b.http.Client().Get(b.http.URL + "/?Action=GetErService&Version=2024-09-10"))
		defer answer.Body.Close()
		return answer.Header.Get("Date")
	}
	t.Run("is the time of the server's clock, on broken answers too, unless a fault has another", func(t *testing.T) {
		for name, fault := range map[string]faults.Fault{
			"a proxy's page":    {Answer: faults.HTML},
			"an injected error": {Answer: faults.Error, Code: "InternalException"},
			"a false date":      {Answer: faults.Empty, Headers: map[string]string{"Date": "today"}},
		} {
			b := start(t)
			b.clock.Advance(time.Hour)
			now := b.clock.Now().UTC().Format(http.TimeFormat)
			must[string](t)(b.Faults().Add(faults.Rule{Fault: fault}))
			same(t, name, date(t, b), cmp.Or(fault.Headers["Date"], now))
			same(t, "an answer after it", date(t, b), now)
		}
	})

	t.Run("of a write is when it was done", func(t *testing.T) {
		b := slow(t)
		go func() {
			b.clock.Await(1)
			b.clock.Advance(10 * time.Second)
		}()
		done := must[*esa.CreateRoutineResponse](t)(b.sdk.CreateRoutine(&esa.CreateRoutineRequest{Name: tea.String("web")}))
		same(t, "Date", tea.StringValue(done.Headers["date"]), b.clock.Now().UTC().Format(http.TimeFormat))
	})
}
