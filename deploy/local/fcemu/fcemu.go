// Package fcemu is a local Function Compute 3.0 for runtime go1: it starts unmodified function binaries, serves each the Runtime
// API, and feeds them from HTTP triggers, MNS queue triggers, timer triggers and the InvokeFunction API.
//
// One process is one instance and has one event at a time. Instances start on demand, are reused while warm, are killed on a
// timeout and never outlive this process. It is not a sandbox: functions run as the user, with the machine's network and files.
// Its listeners refuse foreign hosts and origins: see serve.Guard.
//
// Where the documents leave the platform's behaviour open, this server chose:
//
//   - A function that fails behind an HTTP trigger is a 502, as documented for the HTTP functions of FC 2.
//   - An HTTP request waits ten seconds for a busy function before it is a 429; other calls do not wait.
//   - A binary has ten seconds to ask for its first event, and two to end after SIGTERM; warm instances are kept for five minutes.
//   - Asynchronous events are retried after 0.5 s, doubling, also after errors of the function, and do not survive the server. One
//     whose next attempt would come after its maximum age is dropped when it reaches that age.
//   - A timer counts from the start of the server. Its interval is whole minutes; cron expressions are refused.
//   - The queue trigger fetches one batch ahead. Throttled calls use up retries. A body that is not base64 passes IsBase64Decode.
//   - A long poll that is cut off by the end of the server may have taken a message, which then waits out its visibility timeout.
package fcemu

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"time"

	"routinely/deploy/local/clock"
)

const (
	// qualifier is the version that local functions run as.
	qualifier = "LATEST"
	// defaultGrace is how long invocations under way may take once Run is told to stop.
	defaultGrace = 5 * time.Second
)

// Config describes an account's functions and triggers.
type Config struct {
	// AccountID and Region appear in events, headers and environment. Required.
	AccountID, Region string
	// AccessKeyID, AccessKeySecret and SecurityToken are the credentials of the functions' roles until SetCredentials gives others.
	// Like FC, the server hands them over with each event and in the environment; empty ones are left out.
	AccessKeyID, AccessKeySecret, SecurityToken string
	// Functions lists the functions, at least one.
	Functions []Function
	// Triggers lists the queue triggers; HTTP triggers are made by Server.HTTP.
	Triggers []QueueTrigger
	// Timers lists the timer triggers. No two triggers share a name.
	Timers []TimerTrigger
	// Stdout gets what the instances print on stdout and stderr, by whole lines; nil drops it. Lines over 64 KB are cut.
	Stdout io.Writer
	// Logger gets what happens to instances and triggers; nil drops it.
	Logger *slog.Logger
	// OnInvocation is called after each invocation, before its caller learns the outcome; it must not block. nil for none.
	OnInvocation func(Invocation)
	// OnTrigger is called for each step of a queue trigger and for each event of a timer trigger that is given up; it must not
	// block. nil for none.
	OnTrigger func(TriggerEvent)
	// Clock times everything: timeouts, retries, leases, windows, idle instances. nil means the system's. Functions live by the
	// machine's clock, so a manual one should start at the present.
	Clock clock.Clock
	// Random gives numbers in [0, 1) for retry delays; nil means math/rand.
	Random func() float64
	// Grace is how long invocations under way may take once Run is told to stop; 0 means five seconds.
	Grace time.Duration
}

// Server runs functions. Its methods are safe for concurrent use.
type Server struct {
	config    Config
	clock     clock.Clock
	log       *slog.Logger
	functions map[string]*function
	triggers  []*trigger
	timers    []*timer
	output    lineWriter
	journal   journal
	faults    faultList

	mu    sync.Mutex
	phase phase
	// stopping is closed when Run is told to stop.
	stopping chan struct{}
	// work counts invocations, instances and everything else that Run waits for.
	work sync.WaitGroup
}

type phase int

const (
	fresh phase = iota
	running
	stopped
)

// New checks the configuration and finds the binaries; nothing is started yet.
func New(c Config) (*Server, error) {
	c.Stdout = cmp.Or[io.Writer](c.Stdout, io.Discard)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Random == nil {
		c.Random = mathrand.Float64
	}
	c.Grace = cmp.Or(c.Grace, defaultGrace)
	s := &Server{
		config: c, clock: c.Clock, log: c.Logger, functions: map[string]*function{},
		output: lineWriter{to: c.Stdout}, stopping: make(chan struct{}),
	}
	return s, s.build()
}

func (s *Server) build() error {
	c := s.config
	switch {
	case c.AccountID == "" || c.Region == "":
		return errors.New("fc: account id and region are needed")
	case strings.ContainsAny(c.AccountID+c.Region, " /:\r\n"):
		return fmt.Errorf("fc: account id %q, region %q: want no spaces, slashes or colons", c.AccountID, c.Region)
	case (c.AccessKeyID == "") != (c.AccessKeySecret == ""):
		return errors.New("fc: access key id and secret are needed together")
	case c.Grace < 0:
		return fmt.Errorf("fc: grace %v: want 0 or more", c.Grace)
	case len(c.Functions) == 0:
		return errors.New("fc: at least one function is needed")
	}
	for _, config := range c.Functions {
		f, err := newFunction(s, config)
		if err != nil {
			return fmt.Errorf("function %q: %w", config.Name, err)
		}
		if s.functions[config.Name] != nil {
			return fmt.Errorf("function %q: the name is used twice", config.Name)
		}
		s.functions[config.Name] = f
	}
	return s.buildTriggers()
}

func (s *Server) buildTriggers() error {
	names := map[string]bool{}
	add := func(name string, err error) error {
		if err == nil && names[name] {
			err = errors.New("the name is used twice")
		}
		if err != nil {
			return fmt.Errorf("trigger %q: %w", name, err)
		}
		names[name] = true
		return nil
	}
	for _, config := range s.config.Triggers {
		t, err := newTrigger(s, config)
		if err = add(config.Name, err); err != nil {
			return err
		}
		s.triggers = append(s.triggers, t)
	}
	for _, config := range s.config.Timers {
		t, err := newTimer(s, config)
		if err = add(config.Name, err); err != nil {
			return err
		}
		s.timers = append(s.timers, t)
	}
	return nil
}

// Warm starts an instance of each function that has none, so that one that does not start is known at once and not from its first event.
// The error names each that does not, with the end of what it printed. Like Invoke it works before Run, which ends the instances.
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

// Run works the queue and timer triggers until ctx is done. Then it refuses new invocations, lets those under way finish for the configured
// grace, ends every instance (preStop if configured, SIGTERM, SIGKILL) and returns nil once no process is left. It must be called
// even without triggers, and once only: invocations work before it, but it is what ends the instances.
func (s *Server) Run(ctx context.Context) error {
	if !s.enter(fresh, running) {
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
	s.enter(running, stopped)
	close(s.stopping)
	impatient := s.clock.AfterFunc(s.config.Grace, s.killAll)
	defer impatient.Stop()
	for _, f := range s.functions {
		f.shutDown()
	}
	triggers.Wait()
	s.work.Wait()
	return nil
}

func (s *Server) killAll() {
	for _, f := range s.functions {
		f.killAll()
	}
}

func (s *Server) enter(from, to phase) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != from {
		return false
	}
	s.phase = to
	return true
}

// begin counts a piece of work that Run has to wait for and starts it, unless the server is stopping.
func (s *Server) begin(do func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == stopped {
		return false
	}
	s.work.Go(do)
	return true
}

// alarm is a point in time on the server's clock.
type alarm struct {
	fired chan struct{}
	timer clock.Timer
}

func (s *Server) after(d time.Duration) alarm {
	a := alarm{fired: make(chan struct{})}
	a.timer = s.clock.AfterFunc(d, func() { close(a.fired) })
	return a
}

func (a alarm) stop() { a.timer.Stop() }

// sleep waits for d and reports whether it passed before ctx was done or the server told to stop.
// armed, if not nil, is called once the wait has begun.
func (s *Server) sleep(ctx context.Context, d time.Duration, armed func()) bool {
	a := s.after(d)
	defer a.stop()
	if armed != nil {
		armed()
	}
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
	random := make([]byte, 14)
	// crypto/rand never fails: it ends the program instead. (Package documentation.)
	_, _ = rand.Read(random)
	text := hex.EncodeToString(random)
	return prefix + "-" + text[:8] + "-" + text[8:16] + "-" + text[16:]
}
