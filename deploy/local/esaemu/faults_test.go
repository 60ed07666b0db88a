package esaemu_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
)

func TestFaults(t *testing.T) {
	eof := func(err error) bool { return errors.Is(err, io.EOF) }
	cut := func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }
	syntax := func(err error) bool { return errors.As(err, new(*json.SyntaxError)) }
	fine := func(err error) bool { return err == nil }
	code := func(want string) func(error) bool { return func(err error) bool { return codeOf(err) == want } }
	for _, call := range [][]string{{"CreateRoutine", "Name", "web"}, {"GetErService"}, {"GetSite", "SiteId", "54362329990032"}} {
		for _, c := range []struct {
			name  string
			fault faults.Fault
			seen  func(error) bool
			done  bool
		}{
			{"a code", faults.Fault{Answer: faults.Error, Code: "InternalException"}, code("InternalException"), false},
			{"a code after execution", faults.Fault{Answer: faults.Error, Code: "InternalException", Execute: true}, code("InternalException"), true},
			{"throttled", faults.Fault{Answer: faults.Error, Status: 429, Code: "Throttling.User"}, code("Throttling.User"), false},
			{"503", faults.Fault{Answer: faults.Error, Status: 503, Code: "ServiceUnavailable"}, code("ServiceUnavailable"), false},
			{"reset", faults.Fault{Answer: faults.Reset}, eof, false},
			{"lost after execution", faults.Fault{Answer: faults.Reset, Execute: true}, eof, true},
			{"hang", faults.Fault{Answer: faults.Hang}, eof, false},
			{"hang after execution", faults.Fault{Answer: faults.Hang, Execute: true}, eof, true},
			{"html", faults.Fault{Answer: faults.HTML}, syntax, false},
			{"wrong type", faults.Fault{Answer: faults.WrongType, Execute: true}, syntax, true},
			{"truncated", faults.Fault{Answer: faults.Truncated}, cut, true},
			{"empty", faults.Fault{Answer: faults.Empty, Execute: true}, fine, true},
			{"slow", faults.Fault{Answer: faults.Slow, DelayMillis: 1}, fine, true},
		} {
			t.Run(call[0]+" "+c.name, func(t *testing.T) {
				b := start(t)
				must[string](t)(b.Faults().Add(faults.Rule{Action: call[0], Fault: c.fault}))
				ended := make(chan error, 1)
				go func() { ended <- b.call(call[0], call[1:]...) }()
				if c.fault.Answer == faults.Hang {
					for b.Faults().Hanging() == 0 {
						runtime.Gosched()
					}
					b.Stop()
				}
				if err := <-ended; !c.seen(err) {
					t.Errorf("the client sees %T %v", err, err)
				}
				if call[0] == "CreateRoutine" {
					same(t, "executed", len(must[esaemu.State](t)(b.State()).Routines) == 1, c.done)
					return
				}
				want(t, "the next call", b.call(call[0], call[1:]...), "")
				same(t, "calls in the log", b.Faults().Count(call[0]), 2)
			})
		}
	}
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
