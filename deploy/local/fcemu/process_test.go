package fcemu_test

import (
	"bufio"
	"context"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/fcemu"
)

func TestInstances(t *testing.T) {
	t.Run("report a binary that ends before it asks for an event, with what it printed last", func(t *testing.T) {
		const script = "exec >&2; seq 5000; echo a setting is missing; exit 9"
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

	t.Run("call the hooks that are configured", func(t *testing.T) {
		f := function("f")
		f.Initializer, f.PreStop, f.Env = true, true, map[string]string{"HOOKS": "yes"}
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}})
		h.mustInvoke("f", `1`)
		h.line("hook: initialized")
		h.line("FC Invoke End")
		h.stop()
		h.line("hook: stopping")
	})

	t.Run("are given up when their initializer fails", func(t *testing.T) {
		f := function("f")
		f.Initializer, f.Env = true, map[string]string{"HOOKS": "panic"}
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}})
		failed := h.failedInvoke("f", `1`)
		if failed.Kind != fcemu.StartFailed || !strings.Contains(failed.Message, "no initializer today") || len(h.Instances()) > 0 {
			t.Errorf("got %+v, instances %v", failed, h.Instances())
		}
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
		stepping := newSignalClock(17*time.Second, 0)
		f := gated("f", g)
		f.Timeout = time.Hour
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}, Grace: stepping.length, Clock: stepping})
		done := h.invoke("f", `1`)
		v := g.next()
		h.cancel()
		wait(t, stepping.armed, "the grace to begin")
		stepping.Advance(17 * time.Second)
		v.gone(t)
		var failed *fcemu.Error
		if got := wait(t, done, "the error"); !errors.As(got.err, &failed) || failed.Kind != fcemu.Exited {
			t.Errorf("got %v, want Exited", got.err)
		}
	})

	t.Run("kills a function that ignores SIGTERM", func(t *testing.T) {
		stepping := newSignalClock(2*time.Second, 0)
		f := function("f")
		f.Env = map[string]string{"IGNORE_TERM": "yes"}
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}, Clock: stepping})
		h.mustInvoke("f", `1`)
		h.cancel()
		wait(t, stepping.armed, "SIGTERM")
		stepping.Advance(2 * time.Second)
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

// signalClock tells when a timer of a certain length was set, after skip others of that length.
type signalClock struct {
	*clock.Manual
	length time.Duration
	armed  chan struct{}

	mu   sync.Mutex
	skip int
}

func newSignalClock(length time.Duration, skip int) *signalClock {
	return &signalClock{Manual: clock.NewManual(time.Now()), length: length, skip: skip, armed: make(chan struct{})}
}

func (c *signalClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	timer := c.Manual.AfterFunc(d, f)
	c.mu.Lock()
	defer c.mu.Unlock()
	if d == c.length {
		if c.skip == 0 {
			close(c.armed)
		}
		c.skip--
	}
	return timer
}

// BenchmarkColdStart starts and stops an instance for each event.
func BenchmarkColdStart(b *testing.B) {
	h := benchmark(b)
	for b.Loop() {
		if _, err := h.Invoke(context.Background(), "f", []byte(`1`)); err != nil {
			b.Fatal(err)
		}
		if _, err := h.KillInstance("f"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWarm is the whole local path of one invocation.
func BenchmarkWarm(b *testing.B) {
	h := benchmark(b)
	for b.Loop() {
		if _, err := h.Invoke(context.Background(), "f", []byte(`1`)); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmark(b *testing.B) *fcemu.Server {
	b.Helper()
	server, err := fcemu.New(fcemu.Config{AccountID: "1", Region: "r", Functions: []fcemu.Function{function("f")}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return server
}
