package fcemu_test

import (
	"bufio"
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"routinely/deploy/local/fcemu"
)

func TestInstances(t *testing.T) {
	t.Run("report a binary that ends before it asks for an event, with what it printed last", func(t *testing.T) {
		const script = "exec >&2; seq 5000; printf 'a setting is missing'; exit 9"
		h := start(t, fcemu.Config{Functions: []fcemu.Function{{Name: "f", Command: []string{"sh", "-c", script}}}})
		failed := h.failedInvoke("f", `1`)
		if failed.Kind != fcemu.StartFailed || !strings.Contains(failed.Message, "exit status 9") || !strings.Contains(failed.Message, "a setting is missing") {
			t.Errorf("got %+v", failed)
		}
		if len(failed.Message) > 4<<10 {
			t.Errorf("%d bytes were kept", len(failed.Message))
		}
	})

	t.Run("are started ahead of their first event, and one that does not start is named", func(t *testing.T) {
		broken := fcemu.Function{Name: "broken", Command: []string{"sh", "-c", "echo a setting is missing; exit 9"}}
		h := start(t, fcemu.Config{Functions: []fcemu.Function{function("good"), broken}})
		err := h.Warm(t.Context())
		if err == nil || !strings.Contains(err.Error(), "function broken: ") || !strings.Contains(err.Error(), "a setting is missing") ||
			strings.Contains(err.Error(), "good") {
			t.Errorf("got %v", err)
		}
		if got := h.mustInvoke("good", `1`); got.ColdStart {
			t.Error("the good one was not started before its first event")
		}
	})

	t.Run("kill a binary that never asks for an event", func(t *testing.T) {
		h := start(t, fcemu.Config{Functions: []fcemu.Function{{Name: "f", Command: []string{"sh", "-c", "echo up; exec sleep 1000"}}}})
		done := h.invoke("f", `1`)
		h.line("up")
		h.clock.Advance(time.Minute)
		var failed *fcemu.Error
		if got := wait(t, done, "the error"); !errors.As(got.err, &failed) || failed.Kind != fcemu.StartFailed {
			t.Errorf("got %v", got.err)
		}
	})

	t.Run("call preStop if it is configured", func(t *testing.T) {
		f := function("f")
		f.PreStop, f.Env = true, map[string]string{"PRESTOP": "yes"}
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}})
		h.mustInvoke("f", `1`)
		h.stop()
		h.line("hook: stopping")
	})

	t.Run("die with what they started themselves", func(t *testing.T) {
		listener := listen(t)
		f := function("f")
		f.Env = map[string]string{"CHILD": "yes", "LIFELINE": listener.Addr().String()}
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}})
		done := h.invoke("f", `1`)
		parentEnded := lifeline(t, listener)
		childEnded := lifeline(t, listener)
		wait(t, done, "the result")
		h.stop()
		parentEnded()
		childEnded()
	})

	t.Run("die with their guard", func(t *testing.T) {
		g := newGate(t)
		h := start(t, fcemu.Config{Functions: []fcemu.Function{gated("f", g)}})
		done := h.invoke("f", `1`)
		v := g.next()
		if err := syscall.Kill(h.Instances()[0].GuardPID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		v.gone(t)
		if got := wait(t, done, "the error"); got.err == nil {
			t.Error("want the exit")
		}
	})

	t.Run("die with a server that is killed", func(t *testing.T) {
		listener := listen(t)
		host := exec.Command(binary("host"), "-listen", "127.0.0.1:0", "-function", "f="+binary("function"),
			"-env", "f:LIFELINE="+listener.Addr().String(), "-env", "f:CHILD=yes")
		out, err := host.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := host.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = host.Wait() }()
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		api := strings.TrimSpace(strings.TrimPrefix(line, "fc: ready: api "))
		post(t, api+"/2023-03-30/functions/f/invocations", `1`, "X-Fc-Invocation-Type", "Async")
		parentEnded := lifeline(t, listener)
		childEnded := lifeline(t, listener)
		if err := host.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		parentEnded()
		childEnded()
	})
}

func TestRun(t *testing.T) {
	t.Run("lets an invocation under way finish and refuses new ones", func(t *testing.T) {
		g := newGate(t)
		h := start(t, fcemu.Config{Functions: []fcemu.Function{gated("f", g)}})
		done := h.invoke("f", `1`)
		v := g.next()
		h.cancel()
		v.say("return 1")
		if got := wait(t, done, "the result"); got.err != nil || string(got.Result) != "1" {
			t.Errorf("got %s, %v", got.Result, got.err)
		}
		h.stop()
		if failed := h.failedInvoke("f", `2`); failed.Kind != fcemu.Stopped {
			t.Errorf("got %+v, want Stopped", failed)
		}
	})

	t.Run("kills an invocation under way when the grace is over", func(t *testing.T) {
		g := newGate(t)
		f := gated("f", g)
		f.Timeout = time.Hour
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}})
		done := h.invoke("f", `1`)
		v := g.next()
		h.cancel()
		h.clock.Await(2) // the call's timeout, the end of the grace
		h.clock.Advance(5 * time.Second)
		v.gone(t)
		var failed *fcemu.Error
		if got := wait(t, done, "the error"); !errors.As(got.err, &failed) || failed.Kind != fcemu.Exited {
			t.Errorf("got %v, want Exited", got.err)
		}
	})

	t.Run("kills a function that ignores SIGTERM", func(t *testing.T) {
		f := function("f")
		f.Env = map[string]string{"IGNORE_TERM": "yes"}
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}})
		h.mustInvoke("f", `1`)
		h.cancel()
		h.line("SIGTERM ignored")
		h.clock.Advance(2 * time.Second)
		wait(t, h.stopped, "the end")
	})

	t.Run("refuses to run twice", func(t *testing.T) {
		h := start(t, fcemu.Config{Functions: []fcemu.Function{function("f")}})
		h.mustInvoke("f", `1`)
		h.stop()
		if err := h.Run(context.Background()); err == nil {
			t.Error("want an error")
		}
	})
}
