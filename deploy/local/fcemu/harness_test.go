package fcemu_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/fcemu"
)

// patience bounds every wait of a test for something that should happen at once.
const patience = 20 * time.Second

// host is a running server with everything it reported.
type host struct {
	*fcemu.Server
	t           *testing.T
	clock       *clock.Manual
	invocations chan fcemu.Invocation
	steps       chan fcemu.TriggerEvent
	received    chan int
	lines       chan string
	cancel      context.CancelFunc
	stopped     chan struct{}
}

// start runs a server on a manual clock until the test ends and then checks that it left no process.
func start(t *testing.T, config fcemu.Config) *host {
	t.Helper()
	h := &host{
		t: t, clock: clock.NewManual(time.Now()), stopped: make(chan struct{}),
		invocations: make(chan fcemu.Invocation, 10000), steps: make(chan fcemu.TriggerEvent, 10000), lines: make(chan string, 10000),
		received: make(chan int, 10000),
	}
	config.AccountID, config.Region = "1234567890123456", "cn-hangzhou"
	if config.Clock == nil {
		config.Clock = h.clock
	}
	config.Stdout = &lineWriter{t: t, lines: h.lines}
	config.OnInvocation = func(i fcemu.Invocation) { h.invocations <- i }
	config.OnTrigger = func(e fcemu.TriggerEvent) {
		if e.Kind == fcemu.Received {
			h.received <- e.Messages
			return
		}
		h.steps <- e
	}
	server, err := fcemu.New(config)
	if err != nil {
		t.Fatal(err)
	}
	h.Server = server
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	go func() {
		defer close(h.stopped)
		if err := server.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	t.Cleanup(h.stop)
	return h
}

// stop ends the server and looks for processes that it left.
func (h *host) stop() {
	h.t.Helper()
	before := h.Instances()
	h.cancel()
	wait(h.t, h.stopped, "the server's end")
	if left := h.Instances(); len(left) > 0 {
		h.t.Errorf("instances left: %v", left)
	}
	for _, in := range before {
		for _, pid := range []int{in.PID, in.GuardPID} {
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				h.t.Errorf("process %d is still there: %v", pid, err)
			}
		}
	}
}

// invoke calls a function in the background.
func (h *host) invoke(function, event string) <-chan result {
	done := make(chan result, 1)
	go func() {
		got, err := h.Invoke(context.Background(), function, []byte(event))
		done <- result{got, err}
	}()
	return done
}

type result struct {
	fcemu.Invocation
	err error
}

// mustInvoke returns the result of an invocation that must work.
func (h *host) mustInvoke(function, event string) fcemu.Invocation {
	h.t.Helper()
	got := wait(h.t, h.invoke(function, event), "the result")
	if got.err != nil {
		h.t.Fatalf("invoke %s with %s: %v", function, event, got.err)
	}
	return got.Invocation
}

// failedInvoke returns the error of an invocation that must fail.
func (h *host) failedInvoke(function, event string) *fcemu.Error {
	h.t.Helper()
	got := wait(h.t, h.invoke(function, event), "the result")
	var failed *fcemu.Error
	if !errors.As(got.err, &failed) {
		h.t.Fatalf("invoke %s with %s: got %s, error %v, want an *Error", function, event, got.Result, got.err)
	}
	return failed
}

// line waits for a line of output that contains text.
func (h *host) line(text string) string {
	h.t.Helper()
	return waitFor(h.t, h.lines, "a line with "+text, func(s string) bool { return strings.Contains(s, text) })
}

func (h *host) step(kind fcemu.TriggerEventKind) fcemu.TriggerEvent {
	h.t.Helper()
	return waitFor(h.t, h.steps, "the step "+string(kind), func(e fcemu.TriggerEvent) bool { return e.Kind == kind })
}

// wait takes the next value.
func wait[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	return waitFor(t, from, what, func(T) bool { return true })
}

// waitFor takes values until one fits.
func waitFor[T any](t *testing.T, from <-chan T, what string, fits func(T) bool) T {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case v := <-from:
			if fits(v) {
				return v
			}
		case <-late.C:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// lineWriter is an io.Writer that expects whole lines, one at a time.
type lineWriter struct {
	t     *testing.T
	lines chan<- string
	busy  atomic.Bool
}

func (w *lineWriter) Write(p []byte) (int, error) {
	if w.busy.Swap(true) {
		w.t.Error("two lines are printed at once")
	}
	runtime.Gosched()
	w.lines <- strings.TrimSuffix(string(p), "\n")
	w.busy.Store(false)
	return len(p), nil
}

// gate is where functions with GATE ask what to do.
type gate struct {
	t        *testing.T
	listener net.Listener
	visitors chan *visitor
}

// visitor is a function that has an event and waits for an answer.
type visitor struct {
	PID       int    `json:"pid"`
	Event     string `json:"event"`
	RequestID string `json:"requestId"`
	Retry     int    `json:"retry"`
	conn      net.Conn
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{t: t, listener: listen(t), visitors: make(chan *visitor, 100)}
	go func() {
		for {
			conn, err := g.listener.Accept()
			if err != nil {
				return
			}
			v := &visitor{conn: conn}
			if json.NewDecoder(conn).Decode(v) != nil {
				_ = conn.Close()
				continue
			}
			g.visitors <- v
		}
	}()
	return g
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func (g *gate) address() string { return g.listener.Addr().String() }

// next waits for a function with an event.
func (g *gate) next() *visitor {
	g.t.Helper()
	v := wait(g.t, g.visitors, "a function at the gate")
	g.t.Cleanup(func() { _ = v.conn.Close() })
	return v
}

// say lets the function go on.
func (v *visitor) say(format string, args ...any) { fmt.Fprintf(v.conn, format+"\n", args...) }

// gone waits until the function's process is dead: its connection closes with it.
func (v *visitor) gone(t *testing.T) {
	t.Helper()
	_ = v.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := v.conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("process %d: got %v, want the end of its connection", v.PID, err)
	}
}

// lifeline waits for a process to connect to l and returns a function that waits for its end.
func lifeline(t *testing.T, l net.Listener) (ended func()) {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	v := &visitor{conn: conn}
	return func() { t.Helper(); v.gone(t) }
}

// kill kills an instance of the function.
func (h *host) kill(function string) {
	h.t.Helper()
	if _, err := h.KillInstance(function); err != nil {
		h.t.Fatal(err)
	}
}

// serve puts a handler on a real socket.
func serve(t *testing.T, handler http.Handler) (base string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func function(name string) fcemu.Function {
	return fcemu.Function{Name: name, Command: []string{binary("function")}}
}

func gated(name string, g *gate) fcemu.Function {
	f := function(name)
	f.Env = map[string]string{"GATE": g.address()}
	return f
}
