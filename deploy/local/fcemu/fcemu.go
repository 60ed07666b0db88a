// Package fcemu is a local Function Compute 3.0 for runtime go1: it starts unmodified function binaries, serves each the Runtime
// API, and calls them for HTTP requests, for messages of MNS queues, at intervals and for InvokeFunction.
//
// One process is one instance and has one event at a time. Instances start on demand, are reused, are killed on a timeout, and end
// with this process even if it is killed. It is not a sandbox: functions run as the user, with the machine's network and files.
// Its listeners refuse foreign hosts and origins: see serve.Guard.
//
// Where the documents leave the platform's behaviour open, this server chose:
//
//   - A function that fails behind an HTTP trigger is a 502, as documented for the HTTP functions of FC 2.
//   - An HTTP request waits ten seconds for a busy function before it is a 429; other calls do not wait.
//   - A binary has ten seconds to ask for its first event, and two to end after SIGTERM; idle instances are kept for five minutes.
//   - Asynchronous events are retried after 0.5 s, doubling, and do not survive the server. One whose next attempt would come after
//     its maximum age is dropped when it reaches that age.
//   - A timer counts from the start of the server. Its interval is whole minutes; cron expressions are refused.
//   - Throttled calls use up retries of the queue trigger.
package fcemu

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/signature"
)

// grace is how long invocations under way may take once Run is told to stop.
const grace = 5 * time.Second

// Config describes an account's functions and triggers.
type Config struct {
	// AccountID and Region appear in events, headers and environment. Required.
	AccountID, Region string
	// AccessKeyID, AccessKeySecret and SecurityToken are the credentials of the functions' roles until the API gives others. They
	// come with each event and in the environment, as on FC; empty ones are left out.
	AccessKeyID, AccessKeySecret, SecurityToken string
	// Functions lists the functions, at least one.
	Functions []Function
	// Triggers lists the queue triggers.
	Triggers []QueueTrigger
	// HTTPTriggers are those that the management API shows; Server.HTTP answers requests without them.
	HTTPTriggers []HTTPTrigger
	// Timers lists the timer triggers.
	Timers []TimerTrigger
	// Stdout gets what the instances print on stdout and stderr, by whole lines; nil drops it. Lines over 64 KB are cut.
	Stdout io.Writer
	// Logger gets what happens to instances and triggers; nil drops it.
	Logger *slog.Logger
	// OnInvocation is called after each invocation, before its caller learns the outcome; it must not block. nil for none.
	OnInvocation func(Invocation)
	// OnTrigger is called for each step of a queue trigger; it must not block. nil for none.
	OnTrigger func(TriggerEvent)
	// Clock times everything here; nil means the system's. Functions live by the machine's clock, so a manual one should start at
	// the present.
	Clock clock.Clock
}

// Server runs functions. Its methods are safe for concurrent use.
type Server struct {
	config    Config
	clock     clock.Clock
	log       *slog.Logger
	functions map[string]*function
	triggers  []*trigger
	timers    []*timer
	printer   *printer
	verifier  *signature.Verifier
	faults    faults.Set
	ran       atomic.Bool

	mu       sync.Mutex
	counters map[string]Counters
	// pretended are merge patches of what the management API shows, by the function's name.
	pretended map[string][]object
	stopped   bool
	// stopping is closed when Run is told to stop.
	stopping chan struct{}
	// work counts invocations, instances and everything else that Run waits for.
	work sync.WaitGroup
}

// New checks the configuration and finds the binaries; nothing is started yet.
func New(c Config) (*Server, error) {
	c.Stdout = cmp.Or[io.Writer](c.Stdout, io.Discard)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	switch {
	case c.AccountID == "" || c.Region == "":
		return nil, errors.New("fc: account id and region are needed")
	case (c.AccessKeyID == "") != (c.AccessKeySecret == ""):
		return nil, errors.New("fc: access key id and secret are needed together")
	case len(c.Functions) == 0:
		return nil, errors.New("fc: at least one function is needed")
	}
	s := &Server{
		config: c, clock: c.Clock, log: c.Logger, printer: &printer{to: c.Stdout}, stopping: make(chan struct{}),
		functions: map[string]*function{}, counters: map[string]Counters{}, pretended: map[string][]object{},
		verifier: signature.New(c.AccessKeyID, c.AccessKeySecret, clock.System()), // clients date requests by the machine's clock
	}
	return s, s.build()
}

func (s *Server) build() error {
	for _, config := range s.config.Functions {
		f, err := newFunction(s, config)
		if err == nil && s.functions[config.Name] != nil {
			err = errors.New("the name is used twice")
		}
		if err != nil {
			return fmt.Errorf("function %q: %w", config.Name, err)
		}
		s.functions[config.Name], s.counters[config.Name] = f, Counters{}
	}
	for _, config := range s.config.Triggers {
		t, err := newTrigger(s, config)
		if err != nil {
			return fmt.Errorf("trigger %q: %w", config.Name, err)
		}
		s.triggers = append(s.triggers, t)
	}
	for _, config := range s.config.Timers {
		t, err := newTimer(s, config)
		if err != nil {
			return fmt.Errorf("trigger %q: %w", config.Name, err)
		}
		s.timers = append(s.timers, t)
	}
	for _, config := range s.config.HTTPTriggers {
		if config.Name == "" || s.functions[config.Function] == nil {
			return fmt.Errorf("trigger %q: want a name, and a function that is configured", config.Name)
		}
	}
	return nil
}

// Faults are the scripted faults of the management API, its counters and its call log.
func (s *Server) Faults() *faults.Set { return &s.faults }

// Warm starts an instance of each function that has none, so that a binary that does not start is known at once. The error names each
// such function, with the end of what it printed. Like Invoke it works before Run, which ends the instances.
func (s *Server) Warm(ctx context.Context) error {
	failed := make(chan error, len(s.functions))
	for _, f := range s.functions {
		if !s.begin(func() { failed <- f.warmUp(ctx) }) {
			failed <- stoppedError()
		}
	}
	var out error
	for range s.functions {
		out = errors.Join(out, <-failed)
	}
	return out
}

// Run works the queue and timer triggers until ctx is done. Then it refuses new invocations, lets those under way finish for five
// seconds, ends every instance (preStop if configured, SIGTERM, SIGKILL) and returns nil once no process is left. It must be called
// even without triggers, and once only: invocations work before it, but it is what ends the instances.
func (s *Server) Run(ctx context.Context) error {
	if s.ran.Swap(true) {
		return errors.New("fc: Run was called before")
	}
	var triggers sync.WaitGroup
	for _, t := range s.triggers {
		triggers.Go(func() { t.run(ctx) })
	}
	for _, t := range s.timers {
		triggers.Go(func() { t.run(ctx) })
	}
	<-ctx.Done()
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	close(s.stopping)
	s.faults.Stop()
	impatient := s.clock.AfterFunc(grace, func() {
		for _, f := range s.functions {
			f.killAll()
		}
	})
	defer impatient.Stop()
	for _, f := range s.functions {
		f.shutDown()
	}
	triggers.Wait()
	s.work.Wait()
	return nil
}

// begin counts a piece of work that Run has to wait for and starts it, unless the server is stopping.
func (s *Server) begin(do func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.work.Go(do)
	return true
}

// alarm is a point in time on the server's clock.
type alarm struct {
	clock.Timer
	fired chan struct{}
}

func (s *Server) after(d time.Duration) alarm {
	a := alarm{fired: make(chan struct{})}
	a.Timer = s.clock.AfterFunc(d, func() { close(a.fired) })
	return a
}

// await waits for an alarm and reports whether it fired before ctx was done or the server told to stop.
func (s *Server) await(ctx context.Context, a alarm) bool {
	defer a.Stop()
	select {
	case <-a.fired:
		return true
	case <-ctx.Done():
	case <-s.stopping:
	}
	return false
}

// newID makes an id in the platform's form, such as 1-67318f55-1310da55-db2afabf2b30.
func newID(prefix string) string {
	b := random(14)
	return fmt.Sprintf("%s-%x-%x-%x", prefix, b[:4], b[4:8], b[8:])
}

// newUUID makes a random (version 4) UUID.
func newUUID() string {
	b := random(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (package documentation)
	return b
}
