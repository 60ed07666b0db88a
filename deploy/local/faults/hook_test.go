package faults_test

import (
	"context"
	"testing"

	"routinely/deploy/local/faults"
)

func TestHook(t *testing.T) {
	t.Run("holds a call until it returns, and says how the answer is broken", func(t *testing.T) {
		s := openShop(t)
		s.breaks(t, faults.Rule{Fault: broken(298)})
		called, release := make(chan faults.Call), make(chan bool)
		s.set.SetHook(func(_ context.Context, call faults.Call, _ func()) (faults.Fault, bool) {
			called <- call
			return broken(299), <-release
		})
		for _, test := range []struct {
			breaks bool
			want   int
		}{{true, 299}, {false, 298}, {false, 200}} {
			got := make(chan int)
			go func() { got <- s.buy(t, "/Buy?colour=red").Status }()
			same(t, "call", <-called, faults.Call{Action: "Buy", Params: map[string]string{"colour": "red"}})
			executed := s.executed.Load()
			release <- test.breaks
			same(t, "status", <-got, test.want)
			same(t, "executed", s.executed.Load() > executed, test.want == 200)
		}
		same(t, "in the log", []faults.Answer{s.set.Calls()[0].Fault, s.set.Calls()[2].Fault}, []faults.Answer{faults.Empty, ""})
	})
	t.Run("can let a call take effect after its caller has given up", func(t *testing.T) {
		s := openShop(t)
		late := make(chan func(), 1)
		s.set.SetHook(func(_ context.Context, _ faults.Call, effect func()) (faults.Fault, bool) {
			late <- effect
			return faults.Fault{Answer: faults.Reset}, true
		})
		if _, err := s.do(t.Context(), "POST", "/Buy", ""); err == nil {
			t.Error("there was an answer")
		}
		same(t, "executed before", s.executed.Load(), int64(0))
		(<-late)()
		same(t, "executed after", s.executed.Load(), int64(1))
	})
	t.Run("is taken away by nil", func(t *testing.T) {
		s := openShop(t)
		s.set.SetHook(func(context.Context, faults.Call, func()) (faults.Fault, bool) { return broken(299), true })
		s.set.SetHook(nil)
		same(t, "status", s.buy(t, "/Buy").Status, 200)
	})
}
