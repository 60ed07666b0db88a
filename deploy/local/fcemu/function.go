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
	maxMemoryMB      = 32768
	defaultInstances = 100
	envLimit         = 4 << 10
	// defaultIdle is how long a warm instance is kept. Local choice: the platform's is not documented.
	defaultIdle = 5 * time.Minute
)

// Function describes one function.
type Function struct {
	// Name is up to 64 letters, digits, hyphens and underscores, not beginning with a digit or hyphen. Required.
	Name string
	// Command is the go1 binary, absolute, relative to the working directory or found in PATH, and its arguments, of which FC
	// gives none. The process runs in the binary's folder, as on FC. Required.
	Command []string
	// Env is added to the platform's variables: letters, digits and underscores, no FC_ prefix, 4 KB together.
	Env map[string]string
	// Timeout bounds one invocation: whole seconds, 1 s to 24 h; 0 means 3 s. Queue triggers cut it to 5 minutes.
	Timeout time.Duration
	// MaxInstances is how many instances may exist at once: 1 is reservedConcurrency 1, 0 means 100, the account's default.
	MaxInstances int
	// IdleTimeout is how long a warm instance is kept; 0 means five minutes.
	IdleTimeout time.Duration
	// MemoryMB is only told to the function, not enforced: 128 to 32768 in steps of 64; 0 means 512.
	MemoryMB int
	// Initializer and PreStop make the platform call these hooks of the binary, each within Timeout. The binary must have
	// registered them: the SDK fails the call of one that is not. An instance whose initializer fails is given up.
	Initializer, PreStop bool
	// Async says how asynchronous events are retried and when they are dropped; nil means FC's own: three retries, five hours.
	Async *AsyncConfig
}

// function is a Function with its instances.
type function struct {
	server  *Server
	config  Function
	dir     string
	handler string
	// credentials are those of the role by now.
	credentials atomic.Pointer[Credentials]

	mu sync.Mutex
	// closed: no new instances, and each ends after its call. killed: the grace is over as well.
	closed, killed bool
	// instances holds every instance whose process may live; pending counts those about to be started.
	instances map[*instance]struct{}
	pending   int
	// warm holds the idle ones, the latest used last.
	warm    []*instance
	waiting []chan *instance
}

func newFunction(s *Server, c Function) (*function, error) {
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.MaxInstances = cmp.Or(c.MaxInstances, defaultInstances)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, defaultIdle)
	c.MemoryMB = cmp.Or(c.MemoryMB, defaultMemoryMB)
	c.Async = c.Async.complete()
	if err := c.check(); err != nil {
		return nil, err
	}
	path, err := exec.LookPath(c.Command[0])
	if err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	c.Command = append([]string{path}, c.Command[1:]...)
	f := &function{
		server: s, config: c, dir: filepath.Dir(path), handler: filepath.Base(path), instances: map[*instance]struct{}{},
	}
	f.credentials.Store(&Credentials{s.config.AccessKeyID, s.config.AccessKeySecret, s.config.SecurityToken})
	return f, nil
}

func (c Function) check() error {
	switch {
	case !validName(c.Name):
		return errors.New("name: want 1 to 64 letters, digits, hyphens and underscores, beginning with a letter or underscore")
	case len(c.Command) == 0 || c.Command[0] == "":
		return errors.New("command: a binary is needed")
	case c.Timeout < time.Second || c.Timeout > maxTimeout || c.Timeout%time.Second != 0:
		return fmt.Errorf("timeout %v: want whole seconds from 1s to %v", c.Timeout, maxTimeout)
	case c.MaxInstances < 0:
		return fmt.Errorf("max instances %d: want 1 or more", c.MaxInstances)
	case c.IdleTimeout < 0:
		return fmt.Errorf("idle timeout %v: want more than 0", c.IdleTimeout)
	case c.MemoryMB < 128 || c.MemoryMB > maxMemoryMB || c.MemoryMB%64 != 0:
		return fmt.Errorf("memory %d MB: want 128 to %d in steps of 64", c.MemoryMB, maxMemoryMB)
	}
	if err := c.Async.check(); err != nil {
		return err
	}
	size := 0
	for key, value := range c.Env {
		if !validKey(key) || strings.HasPrefix(key, "FC_") || strings.ContainsRune(value, 0) {
			return fmt.Errorf("environment variable %q: want letters, digits and underscores, no prefix FC_, no NUL in the value", key)
		}
		size += len(key) + len(value)
	}
	if size > envLimit {
		return fmt.Errorf("environment of %d bytes: want at most %d", size, envLimit)
	}
	return nil
}

func validName(name string) bool {
	return len(name) <= 64 && !strings.HasPrefix(name, "-") && validKey(strings.ReplaceAll(name, "-", "_"))
}

func validKey(key string) bool {
	for i, r := range key {
		letter := r == '_' || (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z')
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return key != ""
}

// environment is everything the process sees: the platform's variables and the function's own, which win. None of the machine's
// own get through.
func (f *function) environment(instanceID, runtimeAPI string) []string {
	server := f.server.config
	env := map[string]string{
		"FC_RUNTIME_API":          runtimeAPI,
		"FC_FUNC_CODE_PATH":       f.dir,
		"FC_ACCOUNT_ID":           server.AccountID,
		"PATH":                    "/usr/local/bin:/usr/bin:/bin",
		"HOME":                    "/tmp",
		"TZ":                      "UTC",
		"FC_REGION":               server.Region,
		"FC_FUNCTION_NAME":        f.config.Name,
		"FC_FUNCTION_HANDLER":     f.handler,
		"FC_FUNCTION_MEMORY_SIZE": strconv.Itoa(f.config.MemoryMB),
		"FC_FUNCTION_VERSION":     qualifier,
		"FC_VER_ID":               qualifier,
		"FC_INSTANCE_ID":          instanceID,
	}
	role := f.credentials.Load()
	for key, value := range map[string]string{
		"ALIBABA_CLOUD_ACCESS_KEY_ID":     role.AccessKeyID,
		"ALIBABA_CLOUD_ACCESS_KEY_SECRET": role.AccessKeySecret,
		"ALIBABA_CLOUD_SECURITY_TOKEN":    role.SecurityToken,
	} {
		if value != "" {
			env[key] = value
		}
	}
	for key, value := range f.config.Env {
		env[key] = value
	}
	list := make([]string, 0, len(env))
	for key, value := range env {
		list = append(list, key+"="+value)
	}
	slices.Sort(list)
	return list
}

// acquire reserves an instance: a warm one, or a new one while the limit allows. Over it the caller is refused after waiting for
// wait. cold reports that the instance was started for this caller.
func (f *function) acquire(ctx context.Context, wait time.Duration) (in *instance, cold bool, failed *Error) {
	f.mu.Lock()
	switch {
	case f.closed:
		f.mu.Unlock()
		return nil, false, stoppedError()
	case len(f.warm) > 0:
		in = f.warm[len(f.warm)-1]
		f.warm = f.warm[:len(f.warm)-1]
		in.idleTimer.Stop()
		in.state = busy
		f.mu.Unlock()
		return in, false, nil
	case len(f.instances)+f.pending < f.config.MaxInstances:
		f.pending++
		f.mu.Unlock()
		return f.start()
	case wait == 0:
		f.mu.Unlock()
		return nil, false, throttledError(f.config)
	}
	turn := make(chan *instance, 1)
	f.waiting = append(f.waiting, turn)
	f.mu.Unlock()
	return f.await(ctx, turn, wait)
}

// await waits for a turn: an instance, or nil for the right to start one.
func (f *function) await(ctx context.Context, turn chan *instance, wait time.Duration) (*instance, bool, *Error) {
	late := f.server.after(wait)
	defer late.stop()
	failed := throttledError(f.config)
	select {
	case in := <-turn:
		return f.takeTurn(in)
	case <-late.fired:
	case <-ctx.Done():
		failed = canceledError(ctx)
	case <-f.server.stopping:
		failed = stoppedError()
	}
	f.mu.Lock()
	i := slices.Index(f.waiting, turn)
	if i >= 0 {
		f.waiting = slices.Delete(f.waiting, i, i+1)
	}
	f.mu.Unlock()
	if i < 0 { // the turn came at the same moment
		return f.takeTurn(<-turn)
	}
	return nil, false, failed
}

func (f *function) takeTurn(in *instance) (*instance, bool, *Error) {
	if in == nil {
		return f.start()
	}
	return in, false, nil
}

// start uses up one pending start.
func (f *function) start() (*instance, bool, *Error) {
	in, err := newInstance(f)
	f.mu.Lock()
	f.pending--
	if err != nil {
		f.passOn(nil)
		f.mu.Unlock()
		return nil, true, startError("%v", err)
	}
	f.instances[in] = struct{}{}
	if f.killed {
		in.process.kill()
	}
	f.mu.Unlock()
	// Not earlier: watch takes the instance out again, however soon it dies.
	f.server.work.Go(in.watch)
	f.server.log.Info("instance started", "function", f.config.Name, "instance", in.id, "pid", in.process.pid())
	if failed := in.awaitReady(); failed != nil {
		return nil, true, failed
	}
	f.mu.Lock()
	in.state = busy
	f.mu.Unlock()
	return in, true, nil
}
