package esaemu_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
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
	// breaks sets one fault for the next creation of the routine web and makes it.
	breaks := func(t *testing.T, b *bench, f faults.Fault) error {
		t.Helper()
		must[string](t)(b.Faults().Add(faults.Rule{Action: "CreateRoutine", Match: map[string]string{"Name": "web"}, Fault: f}))
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := b.sdk.CreateRoutineWithContext(ctx, &esa.CreateRoutineRequest{Name: tea.String("web")}, &dara.RuntimeOptions{})
		return err
	}
	exists := func(t *testing.T, b *bench) bool {
		t.Helper()
		return len(must[esaemu.State](t)(b.State()).Routines) == 1
	}

	t.Run("answers any code with the status and headers wanted", func(t *testing.T) {
		b := start(t)
		err := breaks(t, b, faults.Fault{Answer: faults.Error, Status: 429, Code: "Throttling.User", Message: "too fast", Headers: map[string]string{"x-acs-retry-after": "700"}})
		wantStatus(t, "throttled", err, "Throttling.User", 429)
		same(t, "executed", exists(t, b), false)
		want(t, "the next call", b.createRoutine("web"), "")
	})

	t.Run("breaks answers as the client sees them broken", func(t *testing.T) {
		syntax := func(err error) bool { return errors.As(err, new(*json.SyntaxError)) }
		for _, c := range []struct {
			name  string
			fault faults.Fault
			seen  func(error) bool
			done  bool
		}{
			{"reset", faults.Fault{Answer: faults.Reset}, func(err error) bool { return errors.Is(err, io.EOF) }, false},
			{"lost after execution", faults.Fault{Answer: faults.Reset, Execute: true}, func(err error) bool { return errors.Is(err, io.EOF) }, true},
			{"hang", faults.Fault{Answer: faults.Hang}, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }, false},
			{"hang after execution", faults.Fault{Answer: faults.Hang, Execute: true}, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }, true},
			{"html", faults.Fault{Answer: faults.HTML}, syntax, false},
			{"json 503", faults.Fault{Answer: faults.Error, Status: 503, Code: "ServiceUnavailable"}, func(err error) bool { return codeOf(err) == "ServiceUnavailable" }, false},
			{"wrong type", faults.Fault{Answer: faults.WrongType, Execute: true}, syntax, true},
			{"truncated", faults.Fault{Answer: faults.Truncated}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }, true},
			{"empty", faults.Fault{Answer: faults.Empty, Execute: true}, func(err error) bool { return err == nil }, true},
			{"drip", faults.Fault{Answer: faults.Drip}, func(err error) bool { return err == nil }, true},
			{"slow", faults.Fault{Answer: faults.Slow, DelayMillis: 1}, func(err error) bool { return err == nil }, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				b := start(t)
				if err := breaks(t, b, c.fault); !c.seen(err) {
					t.Errorf("the client sees %T %v", err, err)
				}
				same(t, "executed", exists(t, b), c.done)
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
				{"a code", faults.Fault{Answer: faults.Error, Code: "InternalException"}, func(err error) bool { return codeOf(err) == "InternalException" }},
				{"503", faults.Fault{Answer: faults.Error, Status: 503, Code: "ServiceUnavailable"}, func(err error) bool { return codeOf(err) == "ServiceUnavailable" }},
				{"a dropped answer", faults.Fault{Answer: faults.Reset, Execute: true}, func(err error) bool { return errors.Is(err, io.EOF) }},
				{"a hang", faults.Fault{Answer: faults.Hang}, func(err error) bool { return errors.Is(err, io.EOF) }},
			} {
				b := start(t)
				must[string](t)(b.Faults().Add(faults.Rule{Action: action, Fault: c.fault}))
				ended := make(chan error, 1)
				go func() { ended <- b.reads()[action]() }()
				for c.fault.Answer == faults.Hang && b.Faults().Hanging() == 0 {
					runtime.Gosched()
				}
				if c.fault.Answer == faults.Hang {
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

	t.Run("is set by scripts", func(t *testing.T) {
		b := start(t)
		b.wantScript(t, "POST", "faults", `{"action":"CreateRoutine","fault":{"answer":"error","code":"InternalException","execute":true}}`, 201, `{"ids":["1"]}`)
		want(t, "broken", b.createRoutine("web"), "InternalException")
		same(t, "executed", exists(t, b), true)
		_, err := b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: tea.String("web")})
		want(t, "GetRoutine", err, "")
	})
}
