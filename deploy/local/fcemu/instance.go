package fcemu

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/serve"
)

const (
	// startLimit is how long a binary may take to ask for its first event. Local choice: FC documents no number for go1.
	startLimit = 10 * time.Second
	// terminateLimit is how long a binary may live on after SIGTERM. Local choice.
	terminateLimit = 2 * time.Second
)

// instance is one process of a function with a Runtime API of its own. A shared one would hand events to the pending request of a
// process that is dead already.
type instance struct {
	function *function
	id       string
	started  time.Time
	process  *process
	api      *http.Server

	// events passes a call to the pending `next`.
	events chan *call
	// ready is closed by the first `next`.
	ready     chan struct{}
	readyOnce sync.Once
	// removed is closed when the process is gone and the function no longer counts the instance.
	removed chan struct{}

	// state and idleTimer are guarded by the function's lock. The timer ends the instance while it is warm.
	state     instanceState
	idleTimer clock.Timer

	mu sync.Mutex
	// current is the call that the binary has, nil between two.
	current *call
}

// instanceState is what /_local/instances shows.
type instanceState string

const (
	starting instanceState = "starting"
	idle     instanceState = "idle"
	busy     instanceState = "busy"
	stopping instanceState = "stopping"
)

// newInstance starts a process and its Runtime API; ready tells when it can take events. The caller must count it and then watch it.
func newInstance(f *function) (*instance, error) {
	in := &instance{
		function: f, id: newID("c"), started: f.server.clock.Now(), state: starting,
		events: make(chan *call), ready: make(chan struct{}), removed: make(chan struct{}),
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("runtime api: %w", err)
	}
	in.api = &http.Server{Handler: serve.Guard(in.runtimeAPI()), ReadHeaderTimeout: startLimit}
	in.process, err = startProcess(f.config.Command, f.dir, f.environment(in.id, listener.Addr().String()), &f.server.output)
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	f.server.work.Go(func() { _ = in.api.Serve(listener) })
	return in, nil
}

// watch cleans up behind the process. The listener outlives it: a binary that cannot reach its Runtime API spins.
func (in *instance) watch() {
	<-in.process.gone
	_ = in.api.Close()
	in.function.remove(in)
	close(in.removed)
}

// awaitReady waits for the first `next` and runs the initializer. The instance is gone when it fails.
func (in *instance) awaitReady() *Error {
	late := in.function.server.after(startLimit - in.function.server.clock.Now().Sub(in.started))
	defer late.stop()
	select {
	case <-in.ready:
	case <-in.removed:
		return startError("the process ended (%s) before it asked for an event%s", in.process.exit(), in.process.said.quote())
	case <-late.fired:
		in.destroy()
		return startError("the process did not ask for an event within %v%s", startLimit, in.process.said.quote())
	}
	if !in.function.config.Initializer {
		return nil
	}
	c := newCall(newID("1"), nil)
	c.kind = kindInitializer
	if _, failed := in.run(c, in.function.config.Timeout); failed != nil {
		in.destroy()
		return startError("the initializer failed: %s", failed.Message)
	}
	return nil
}

// run gives the binary one call and waits for its end. After a timeout or a death the instance is gone before run
// returns; c.taken then tells whether the event reached the process.
func (in *instance) run(c *call, timeout time.Duration) (result []byte, failed *Error) {
	expired := in.function.server.after(timeout)
	defer expired.stop()
	c.deadline, c.timeout = in.function.server.clock.Now().Add(timeout), timeout
	in.setCurrent(c)
	defer in.setCurrent(nil)
	select {
	case in.events <- c:
		c.taken = true
	case <-in.removed:
		return nil, exitError(in.process.exit())
	case <-expired.fired:
		in.destroy()
		return nil, timeoutError(timeout)
	}
	select {
	case out := <-c.done:
		return out.result, out.failed
	case <-in.removed:
		return in.lastWord(c)
	case <-expired.fired:
		in.destroy()
		return nil, timeoutError(timeout)
	}
}

// lastWord is the outcome of a call whose process is gone: it may have reported before it died.
func (in *instance) lastWord(c *call) ([]byte, *Error) {
	select {
	case out := <-c.done:
		return out.result, out.failed
	default:
		return nil, exitError(in.process.exit())
	}
}

func (in *instance) setCurrent(c *call) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.current = c
}

// take returns the call that the binary reports on, once: nil when the id is not that of the current call.
func (in *instance) take(requestID string) *call {
	in.mu.Lock()
	defer in.mu.Unlock()
	c := in.current
	if c == nil || c.requestID != requestID {
		return nil
	}
	in.current = nil
	return c
}

// destroy kills the process and waits until nothing is left of it.
func (in *instance) destroy() {
	in.process.kill()
	<-in.removed
}

// stop ends an idle instance: preStop if configured, SIGTERM, and after terminateLimit SIGKILL.
func (in *instance) stop() {
	if in.function.config.PreStop {
		c := newCall(newID("1"), nil)
		c.kind = kindPreStop
		_, _ = in.run(c, in.function.config.Timeout)
	}
	late := in.function.server.after(terminateLimit)
	defer late.stop()
	in.process.terminate()
	select {
	case <-in.removed:
	case <-late.fired:
		in.destroy()
	}
}
