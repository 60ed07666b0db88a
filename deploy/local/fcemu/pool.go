package fcemu

import (
	"context"
	"fmt"
)

// release gives an instance back after its call: to the next in line, to the warm ones, or, when the server stops, to its end. A
// dead one was removed already.
func (f *function) release(in *instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, alive := f.instances[in]; !alive {
		return
	}
	if f.closed {
		f.end(in)
		return
	}
	if f.passOn(in) {
		return
	}
	in.state = idle
	f.warm = append(f.warm, in)
	in.idleTimer = f.server.clock.AfterFunc(f.config.IdleTimeout, func() { f.retire(in) })
}

// warmUp has an instance be ready for the next event.
func (f *function) warmUp(ctx context.Context) error {
	in, _, failed := f.acquire(ctx, startLimit)
	if failed != nil {
		return fmt.Errorf("function %s: %w", f.config.Name, failed)
	}
	f.release(in)
	return nil
}

// passOn gives the longest waiting caller an instance, or with nil the right to start one. The caller holds the lock.
func (f *function) passOn(in *instance) bool {
	if len(f.waiting) == 0 {
		return false
	}
	turn := f.waiting[0]
	f.waiting = f.waiting[1:]
	if in == nil {
		f.pending++
	}
	turn <- in
	return true
}

// remove forgets a dead instance and makes room for another.
func (f *function) remove(in *instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.instances, in)
	f.unwarm(in)
	if !f.closed {
		f.passOn(nil)
	}
	f.server.log.Info("instance ended", "function", f.config.Name, "instance", in.id, "exit", in.process.exit())
}

// unwarm takes an instance out of the warm ones and reports whether it was there. The caller holds the lock.
func (f *function) unwarm(in *instance) bool {
	for i, other := range f.warm {
		if other == in {
			f.warm = append(f.warm[:i], f.warm[i+1:]...)
			in.idleTimer.Stop()
			return true
		}
	}
	return false
}

// retire ends an instance that was idle for too long, unless it was taken at the same moment.
func (f *function) retire(in *instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unwarm(in) {
		f.end(in)
	}
}

// end stops an instance that nobody uses, in the background. The caller holds the lock.
func (f *function) end(in *instance) {
	in.state = stopping
	f.server.work.Go(in.stop)
}

// shutDown ends the warm instances; busy ones follow when they are released.
func (f *function) shutDown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, in := range f.warm {
		in.idleTimer.Stop()
		f.end(in)
	}
	f.warm = nil
}

// killAll kills every process of the function, those about to be started included.
func (f *function) killAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.killed = true
	for in := range f.instances {
		in.process.kill()
	}
}

// Instance is what can be seen of a running instance.
type Instance struct {
	// Function is its function's name, ID the platform's name for the instance.
	Function string `json:"function"`
	ID       string `json:"id"`
	// PID is the binary's process, GuardPID that of the shell that ends it should the server die, and the process group.
	PID      int `json:"pid"`
	GuardPID int `json:"guardPid"`
	// State is starting, idle, busy or stopping.
	State string `json:"state"`
}

// list appends the function's instances.
func (f *function) list(to []Instance) []Instance {
	f.mu.Lock()
	defer f.mu.Unlock()
	for in := range f.instances {
		to = append(to, Instance{
			Function: f.config.Name, ID: in.id, PID: in.process.pid(), GuardPID: in.process.guardPID(), State: string(in.state),
		})
	}
	return to
}

// victim picks an instance to kill, a busy one if there is one; nil when the function has none.
func (f *function) victim() *instance {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found *instance
	for in := range f.instances {
		if found == nil || in.state == busy {
			found = in
		}
	}
	return found
}
