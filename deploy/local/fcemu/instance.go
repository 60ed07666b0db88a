package fcemu

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
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
	process  *process
	api      *http.Server

	// events passes a call to the pending `next`.
	events chan *call
	// ready is closed by the first `next`.
	ready     chan struct{}
	readyOnce sync.Once
	// removed is closed when the process is gone and the function no longer counts the instance.
	removed chan struct{}
	// current is the call that the binary has, nil between two.
	current atomic.Pointer[call]

	// state and idleTimer are guarded by the function's lock. The timer ends the instance while it is idle.
	state     string
	idleTimer clock.Timer
}

// The states of an instance, as the API shows them.
const (
	starting = "starting"
	idle     = "idle"
	busy     = "busy"
	stopping = "stopping"
)

// newInstance starts a process and its Runtime API. The caller must count the instance and then watch it.
func newInstance(f *function) (*instance, error) {
	in := &instance{
		function: f, id: newID("c"), state: starting,
		events: make(chan *call), ready: make(chan struct{}), removed: make(chan struct{}),
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("runtime api: %w", err)
	}
	in.api = &http.Server{Handler: serve.Guard(in.runtimeAPI()), ReadHeaderTimeout: startLimit}
	in.process, err = startProcess(f.config.Command, f.dir, f.environment(in.id, listener.Addr().String()), f.server.printer)
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	f.server.work.Go(func() { _ = in.api.Serve(listener) })
	return in, nil
}

// watch cleans up behind the process. The listener outlives it: a binary that cannot reach its Runtime API asks again without a pause.
func (in *instance) watch() {
	<-in.process.gone
	_ = in.api.Close()
	in.function.remove(in)
	close(in.removed)
}

// awaitReady waits for the first `next`. The instance is gone when it fails.
func (in *instance) awaitReady() *Error {
	late := in.function.server.after(startLimit)
	defer late.Stop()
	select {
	case <-in.ready:
		return nil
	case <-in.removed:
		return startError("the process ended (%s) before it asked for an event%s", in.process.exit(), in.process.output.quote())
	case <-late.fired:
		in.destroy()
		return startError("the process did not ask for an event within %v%s", startLimit, in.process.output.quote())
	}
}

// run gives the binary one call and waits for its end. After a timeout or a death the instance is gone before run returns.
func (in *instance) run(c *call, timeout time.Duration) (result []byte, failed *Error) {
	server := in.function.server
	expired := server.after(timeout)
	defer expired.Stop()
	c.deadline, c.timeout = server.clock.Now().Add(timeout), timeout
	in.current.Store(c)
	defer in.current.Store(nil)
	for events := in.events; ; {
		select {
		case events <- c:
			events = nil
		case out := <-c.done:
			return out.result, out.failed
		case <-in.removed:
			select {
			case out := <-c.done: // it reported before it died
				return out.result, out.failed
			default:
				return nil, exitError(in.process.exit())
			}
		case <-expired.fired:
			in.destroy()
			return nil, timeoutError(timeout)
		}
	}
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
		c.preStop = true
		_, _ = in.run(c, in.function.config.Timeout)
	}
	late := in.function.server.after(terminateLimit)
	defer late.Stop()
	in.process.terminate()
	select {
	case <-in.removed:
	case <-late.fired:
		in.destroy()
	}
}
