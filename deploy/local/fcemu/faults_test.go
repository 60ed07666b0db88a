package fcemu_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/fcemu"
)

func TestFaults(t *testing.T) {
	t.Run("kills the instance when it reports, and the work is lost", func(t *testing.T) {
		g := newGate(t)
		h := start(t, fcemu.Config{Functions: []fcemu.Function{gated("f", g)}})
		addFault(t, h, fcemu.Fault{Function: "f", Kind: fcemu.KillBeforeResponse})
		done := h.invoke("f", `1`)
		g.next().say("return 1")
		var failed *fcemu.Error
		if got := wait(t, done, "the error"); !errors.As(got.err, &failed) || failed.Kind != fcemu.Exited || !strings.Contains(failed.Message, "killed") {
			t.Errorf("got %v, want a killed process", got.err)
		}
	})

	t.Run("loses the response, so that the timeout strikes", func(t *testing.T) {
		g := newGate(t)
		h := start(t, fcemu.Config{Functions: []fcemu.Function{gated("f", g)}})
		addFault(t, h, fcemu.Fault{Kind: fcemu.DropResponse})
		done := h.invoke("f", `1`)
		g.next().say("return 1")
		h.line("FC Invoke End")
		h.clock.Advance(3 * time.Second)
		var failed *fcemu.Error
		if got := wait(t, done, "the error"); !errors.As(got.err, &failed) || failed.Kind != fcemu.TimedOut {
			t.Errorf("got %v, want the timeout", got.err)
		}
	})

	t.Run("delivers an event twice", func(t *testing.T) {
		g := newGate(t)
		h := start(t, fcemu.Config{Functions: []fcemu.Function{gated("f", g)}})
		addFault(t, h, fcemu.Fault{Kind: fcemu.DuplicateDelivery, Skip: 1, Times: -1})
		for i := range 2 {
			done := h.invoke("f", fmt.Sprint(i))
			g.next().say("return 1")
			wait(t, done, "the result")
		}
		second := g.next()
		if second.Event != "1" {
			t.Errorf("duplicate of %q, want the second event", second.Event)
		}
		second.say("error twice")
		waitFor(t, h.invocations, "the duplicate", func(i fcemu.Invocation) bool { return i.Source == fcemu.Duplicate })
		h.stop()
		if got := h.Counters("f").Invocations; got != 3 {
			t.Errorf("%d invocations, want 3: a duplicate must not be doubled", got)
		}
	})

	t.Run("holds an event back", func(t *testing.T) {
		g := newGate(t)
		held := newSignalClock(time.Minute, 0)
		h := start(t, fcemu.Config{Functions: []fcemu.Function{gated("f", g)}, Clock: held})
		addFault(t, h, fcemu.Fault{Kind: fcemu.Delay, DelayMillis: 60_000})
		delayed := h.invoke("f", `1`)
		wait(t, held.armed, "the delay to begin")
		second := h.invoke("f", `2`)
		g.next().say("return 2")
		wait(t, second, "the other event")
		held.Advance(time.Minute)
		g.next().say("return 1")
		if got := wait(t, delayed, "the delayed event"); got.Duration < time.Minute {
			t.Errorf("took %v, want the minute of the delay", got.Duration)
		}
	})

	t.Run("refuses a fault that makes no sense", func(t *testing.T) {
		h := start(t, fcemu.Config{Functions: []fcemu.Function{function("f")}})
		for _, f := range []fcemu.Fault{
			{Kind: "nonsense"},
			{Kind: fcemu.Delay},
			{Kind: fcemu.DropResponse, DelayMillis: 1},
			{Kind: fcemu.DropResponse, Times: -2},
			{Kind: fcemu.DropResponse, Function: "g"},
		} {
			if err := h.AddFault(f); err == nil {
				t.Errorf("%+v: want an error", f)
			}
		}
	})
}

func addFault(t *testing.T, h *host, f fcemu.Fault) {
	t.Helper()
	if err := h.AddFault(f); err != nil {
		t.Fatal(err)
	}
}
