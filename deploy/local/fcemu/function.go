package fcemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The platform's bounds and defaults. (fc3 schema; FC limits; DOC environment-variables.)
const (
	defaultTimeout   = 3 * time.Second
	maxTimeout       = 86400 * time.Second
	defaultMemoryMB  = 512
	defaultInstances = 100
	envLimit         = 4 << 10
	// idleLimit is how long an idle instance is kept. Local choice: the platform's is not documented.
	idleLimit = 5 * time.Minute
	// qualifier is the version that local functions run as.
	qualifier = "LATEST"
)

// Function describes one function.
type Function struct {
	// Name is the function's name. Required.
	Name string
	// Command is the go1 binary, absolute, relative to the working directory or found in PATH, and its arguments, of which FC
	// gives none. The process runs in the binary's folder, as on FC. Required.
	Command []string
	// Env is added to the platform's variables: no FC_ prefix, 4 KB together.
	Env map[string]string
	// Timeout bounds one invocation: whole seconds, 1 s to 24 h; 0 means 3 s. Queue triggers cut it to 5 minutes.
	Timeout time.Duration
	// MaxInstances is how many calls may be under way at once, each on an instance of its own: 1 is reservedConcurrency 1, 0 means
	// 100, the account's default.
	MaxInstances int
	// MemoryMB is only told to the function, not enforced; 0 means 512.
	MemoryMB int
	// PreStop makes the platform call this hook of the binary, within Timeout. The binary must have registered it: the SDK fails the
	// call of one that is not.
	PreStop bool
	// Async says how asynchronous events are retried and when they are dropped; nil means FC's own: three retries, five hours.
	Async *AsyncConfig
	// FunctionSettings are shown and not obeyed.
	FunctionSettings
}

// function is a Function with its instances.
type function struct {
	server  *Server
	config  Function
	dir     string
	handler string
	// asyncSet is whether the function has an AsyncConfig of its own.
	asyncSet bool
	// credentials are the present ones of the role.
	credentials atomic.Pointer[Credentials]
	// slots holds a token for each call under way. Its capacity is MaxInstances.
	slots chan struct{}

	mu sync.Mutex
	// closed: each instance ends after its call. killed: each ends at once.
	closed, killed bool
	// instances holds every instance whose process may live, warm the idle ones, the latest used last.
	instances map[*instance]struct{}
	warm      []*instance
}

func newFunction(s *Server, c Function) (*function, error) {
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.MaxInstances = cmp.Or(c.MaxInstances, defaultInstances)
	c.MemoryMB = cmp.Or(c.MemoryMB, defaultMemoryMB)
	asyncSet := c.Async != nil
	c.Async = c.Async.complete()
	if err := c.check(); err != nil {
		return nil, err
	}
	path, err := exec.LookPath(c.Command[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	c.Command = append([]string{path}, c.Command[1:]...)
	f := &function{
		server: s, config: c, dir: filepath.Dir(path), handler: filepath.Base(path), asyncSet: asyncSet,
		slots: make(chan struct{}, c.MaxInstances), instances: map[*instance]struct{}{},
	}
	f.credentials.Store(&Credentials{s.config.AccessKeyID, s.config.AccessKeySecret, s.config.SecurityToken})
	return f, nil
}

func (c Function) check() error {
	switch {
	case c.Name == "" || len(c.Command) == 0:
		return errors.New("a name and a binary are needed")
	case c.Timeout < time.Second || c.Timeout > maxTimeout || c.Timeout%time.Second != 0:
		return fmt.Errorf("timeout %v: want whole seconds from 1s to %v", c.Timeout, maxTimeout)
	case c.MaxInstances < 0:
		return fmt.Errorf("max instances %d: want 1 or more", c.MaxInstances)
	}
	size := 0
	for key, value := range c.Env {
		if strings.HasPrefix(key, "FC_") {
			return fmt.Errorf("environment variable %q: the prefix FC_ is the platform's", key)
		}
		size += len(key) + len(value)
	}
	if size > envLimit {
		return fmt.Errorf("environment of %d bytes: want at most %d", size, envLimit)
	}
	return nil
}

// environment is everything the process sees: the platform's variables, then the function's own, which win. It has none of the
// machine's.
func (f *function) environment(instanceID, runtimeAPI string) []string {
	list := []string{
		"FC_RUNTIME_API=" + runtimeAPI,
		"FC_FUNC_CODE_PATH=" + f.dir,
		"FC_ACCOUNT_ID=" + f.server.config.AccountID,
		"FC_REGION=" + f.server.config.Region,
		"FC_FUNCTION_NAME=" + f.config.Name,
		"FC_FUNCTION_HANDLER=" + f.handler,
		"FC_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(f.config.MemoryMB),
		"FC_FUNCTION_VERSION=" + qualifier,
		"FC_VER_ID=" + qualifier,
		"FC_INSTANCE_ID=" + instanceID,
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"HOME=/tmp",
		"TZ=UTC",
	}
	role := f.credentials.Load()
	for key, value := range map[string]string{
		"ALIBABA_CLOUD_ACCESS_KEY_ID": role.AccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": role.AccessKeySecret,
		"ALIBABA_CLOUD_SECURITY_TOKEN": role.SecurityToken,
	} {
		if value != "" {
			list = append(list, key+"="+value)
		}
	}
	for key, value := range f.config.Env {
		list = append(list, key+"="+value)
	}
	return list
}

// reserve takes a slot, which release gives back. When none is free it waits for wait; 0 refuses at once.
func (f *function) reserve(ctx context.Context, wait time.Duration) *Error {
	select {
	case f.slots <- struct{}{}:
		return nil
	default:
	}
	if wait == 0 {
		return throttledError(f.config)
	}
	late := f.server.after(wait)
	defer late.Stop()
	select {
	case f.slots <- struct{}{}:
		return nil
	case <-late.fired:
		return throttledError(f.config)
	case <-ctx.Done():
		return platformError(Canceled, 499, "ClientClosedRequest", "%v", ctx.Err())
	case <-f.server.stopping:
		return stoppedError()
	}
}

// take returns an instance for a slot: an idle one, or a new one (cold).
func (f *function) take() (in *instance, cold bool, failed *Error) {
	f.mu.Lock()
	n := len(f.warm)
	if n > 0 {
		in, f.warm = f.warm[n-1], f.warm[:n-1]
		in.idleTimer.Stop()
		in.state = busy
	}
	f.mu.Unlock()
	if n == 0 {
		in, failed = f.start()
	}
	return in, n == 0, failed
}

// start starts an instance and waits until it asks for an event.
func (f *function) start() (*instance, *Error) {
	in, err := newInstance(f)
	if err != nil {
		return nil, startError("%v", err)
	}
	f.mu.Lock()
	f.instances[in] = struct{}{}
	if f.killed {
		in.process.kill()
	}
	f.mu.Unlock()
	// Not earlier: watch takes the instance out again, however soon it dies.
	f.server.work.Go(in.watch)
	f.server.log.Info("instance started", "function", f.config.Name, "instance", in.id, "pid", in.process.pid())
	if failed := in.awaitReady(); failed != nil {
		return nil, failed
	}
	f.mu.Lock()
	in.state = busy
	f.mu.Unlock()
	return in, nil
}

// release gives a slot back, with its instance unless that did not start or is dead: it is idle from now on, or ends if the server
// stops.
func (f *function) release(in *instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, alive := f.instances[in]; alive && f.closed {
		f.end(in)
	} else if alive {
		in.state = idle
		f.warm = append(f.warm, in)
		in.idleTimer = f.server.clock.AfterFunc(idleLimit, func() { f.retire(in) })
	}
	<-f.slots
}

// warmUp makes sure that an instance is ready for the next event.
func (f *function) warmUp(ctx context.Context) error {
	failed := f.reserve(ctx, startLimit)
	if failed == nil {
		var in *instance
		in, _, failed = f.take()
		f.release(in)
	}
	if failed != nil {
		return fmt.Errorf("function %s: %w", f.config.Name, failed)
	}
	return nil
}

// unwarm takes an instance out of the idle ones and reports whether it was there. The caller holds the lock.
func (f *function) unwarm(in *instance) bool {
	i := slices.Index(f.warm, in)
	if i < 0 {
		return false
	}
	f.warm = slices.Delete(f.warm, i, i+1)
	in.idleTimer.Stop()
	return true
}

// retire ends an instance that was idle for too long, unless it was taken at the same moment.
func (f *function) retire(in *instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unwarm(in) {
		f.end(in)
	}
}

// remove forgets a dead instance.
func (f *function) remove(in *instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.instances, in)
	f.unwarm(in)
	f.server.log.Info("instance ended", "function", f.config.Name, "instance", in.id, "exit", in.process.exit())
}

// end stops an instance that nobody uses, in the background. The caller holds the lock.
func (f *function) end(in *instance) {
	in.state = stopping
	f.server.work.Go(in.stop)
}

// shutDown ends the idle instances; busy ones follow when they are released.
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
