package fcemu

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"routinely/deploy/local/serve"
)

const usage = `Run Function Compute go1 binaries on this machine: Runtime API, HTTP triggers, MNS queue triggers,
timer triggers.

  fc -function hello=./main -http hello=127.0.0.1:9000
  fc -function work=./main,timeout=60s,instances=1 -queue work=jobs -mns http://127.0.0.1:9324 \
     -access-key id -secret-key secret -batch 10 -batch-window 1s -dead-letter jobs-dead
  fc -function sweep=./main,instances=1,async-retries=0,async-age=60s -timer "sweep=@every 1m"

Options:
`

// settings are the keys of -function.
const settings = "timeout, instances, memory, prestop, async-retries or async-age"

// command is what the flags of Command say.
type command struct {
	config  Config
	trigger QueueTrigger
	listen  string
	hosts   []string
	// http, queues and timers are pairs of a function and its address, queue or schedule.
	http, queues, timers []pair
}

type pair struct{ function, value string }

// Command runs the subcommand fc: one server, configured by flags (-h explains them), until ctx is done. It prints a ready line for
// each listener on stdout, then what the functions print; its own log goes to stderr.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := &command{}
	flags := c.flags()
	flags.SetOutput(io.Discard)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(stdout)
		fmt.Fprint(stdout, usage)
		flags.PrintDefaults()
		return nil
	} else if err != nil {
		return serve.Mistake{Err: fmt.Errorf("fc: %w (-h explains)", err)}
	}
	if flags.NArg() > 0 {
		return serve.Mistake{Err: fmt.Errorf("fc: argument %q: all is said with flags (-h explains)", flags.Arg(0))}
	}
	c.config.Stdout, c.config.Logger = stdout, slog.New(slog.NewTextHandler(stderr, nil))
	server, err := c.server()
	if err != nil {
		return serve.Mistake{Err: err}
	}
	listeners, err := c.listeners(server)
	if err != nil {
		return err
	}
	for _, l := range listeners {
		server.printer.print([]byte("fc: ready: " + l.name + " http://" + l.Addr().String()))
	}
	return run(ctx, server, listeners, c.hosts)
}

func (c *command) flags() *flag.FlagSet {
	f := flag.NewFlagSet("fc", flag.ContinueOnError)
	f.StringVar(&c.listen, "listen", "", "`address` of the API and /_local/; none if empty")
	serve.HostFlag(f, &c.hosts)
	f.Func("function", "`name=binary[,key=value…]`, repeatable; keys: "+settings, c.addFunction)
	f.Func("http", "`function=address` of an HTTP trigger, repeatable", addPair(&c.http))
	f.Func("env", "`function:KEY=VALUE`, after its -function, repeatable", c.addEnv)
	f.Func("queue", "`function=queue` of a queue trigger, repeatable; the flags below hold for all of them", addPair(&c.queues))
	f.StringVar(&c.trigger.Endpoint, "mns", "", "MNS `endpoint` of the queue triggers, http://host:port")
	f.StringVar(&c.config.AccessKeyID, "access-key", "", "access key `id`, for MNS and for the functions")
	f.StringVar(&c.config.AccessKeySecret, "secret-key", "", "access key `secret`")
	f.StringVar(&c.config.SecurityToken, "security-token", "", "security `token` for the functions")
	f.IntVar(&c.trigger.CountBasedWindow, "batch", 1, "most messages in one event, if -batch-window is not 0")
	f.DurationVar(&c.trigger.TimeBasedWindow, "batch-window", 0, "how long a message waits for others, whole seconds up to 15s; with 0 each event has one message")
	f.StringVar(&c.trigger.DeadLetterQueue, "dead-letter", "", "`queue` for messages whose retries are used up")
	f.Func("timer", "`function=schedule` of a timer trigger, such as \"sweep=@every 1m\", whole minutes, repeatable", addPair(&c.timers))
	const shown = ", shown by /_local/triggers and nothing else"
	f.StringVar(&c.trigger.Mode, "mode", "event-streaming", "runOptions.mode"+shown)
	f.StringVar(&c.trigger.EventSchema, "schema", "CloudEvents", "deliveryOption.eventSchema"+shown)
	f.StringVar(&c.trigger.PushRetryStrategy, "retry", "EXPONENTIAL_DECAY_RETRY", "PushRetryStrategy"+shown)
	f.StringVar(&c.trigger.ErrorsTolerance, "tolerance", "ALL", "errorsTolerance"+shown)
	f.BoolVar(&c.trigger.IsBase64Decode, "base64", false, "IsBase64Decode"+shown)
	f.StringVar(&c.config.AccountID, "account", "123456", "account id")
	f.StringVar(&c.config.Region, "region", "cn-local", "region id")
	return f
}

func addPair(to *[]pair) func(string) error {
	return func(s string) error {
		function, value, ok := strings.Cut(s, "=")
		if !ok || function == "" || value == "" {
			return errors.New("want function=value")
		}
		*to = append(*to, pair{function, value})
		return nil
	}
}

// addFunction reads name=binary[,key=value…].
func (c *command) addFunction(s string) error {
	name, rest, _ := strings.Cut(s, "=")
	parts := strings.Split(rest, ",")
	if name == "" || parts[0] == "" {
		return errors.New("want name=binary[,key=value…]")
	}
	f := Function{Name: name, Command: []string{parts[0]}, Env: map[string]string{}}
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		if err := f.set(key, value); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	c.config.Functions = append(c.config.Functions, f)
	return nil
}

func (f *Function) set(key, value string) (err error) {
	switch key {
	case "timeout":
		f.Timeout, err = time.ParseDuration(value)
	case "instances":
		f.MaxInstances, err = strconv.Atoi(value)
	case "memory":
		f.MemoryMB, err = strconv.Atoi(value)
	case "prestop":
		f.PreStop, err = strconv.ParseBool(cmp.Or(value, "true"))
	case "async-retries":
		f.Async = f.Async.complete()
		f.Async.MaxRetryAttempts, err = strconv.Atoi(value)
	case "async-age":
		f.Async = f.Async.complete()
		f.Async.MaxEventAge, err = time.ParseDuration(value)
	default:
		err = errors.New("want " + settings)
	}
	return err
}

// addEnv reads function:KEY=VALUE of a function that was named before.
func (c *command) addEnv(s string) error {
	name, setting, named := strings.Cut(s, ":")
	key, value, ok := strings.Cut(setting, "=")
	if !named || !ok || key == "" {
		return errors.New("want function:KEY=VALUE")
	}
	for _, f := range c.config.Functions {
		if f.Name == name {
			f.Env[key] = value
			return nil
		}
	}
	return fmt.Errorf("there is no -function %q before it", name)
}

// server puts the flags together.
func (c *command) server() (*Server, error) {
	for _, q := range c.queues {
		t := c.trigger
		t.Name, t.Function, t.Queue = q.function+"-"+q.value, q.function, q.value
		t.AccessKeyID, t.AccessKeySecret = c.config.AccessKeyID, c.config.AccessKeySecret
		c.config.Triggers = append(c.config.Triggers, t)
	}
	for _, t := range c.timers {
		c.config.Timers = append(c.config.Timers, TimerTrigger{Name: t.function + "-timer", Function: t.function, Schedule: t.value})
	}
	for _, h := range c.http {
		c.config.HTTPTriggers = append(c.config.HTTPTriggers, HTTPTrigger{Name: h.function + "-http", Function: h.function})
	}
	return New(c.config)
}

// listener is an open listener with what it serves.
type listener struct {
	net.Listener
	name    string
	handler http.Handler
}

// listeners opens the listeners of the API and of the HTTP triggers, all of them or none.
func (c *command) listeners(s *Server) (open []listener, err error) {
	wanted := []pair{}
	if c.listen != "" {
		wanted = append(wanted, pair{"", c.listen})
	}
	for _, w := range append(wanted, c.http...) {
		l := listener{name: "api", handler: s.API()}
		if w.function != "" {
			l = listener{name: "http " + w.function, handler: s.HTTP(w.function)}
		}
		if l.Listener, err = net.Listen("tcp", w.value); err != nil {
			for _, l := range open {
				_ = l.Close()
			}
			return nil, fmt.Errorf("fc: listen for %s: %w", l.name, err)
		}
		open = append(open, l)
	}
	return open, nil
}

// run serves until ctx is done or a listener fails, then waits for everything to end.
func run(ctx context.Context, s *Server, listeners []listener, hosts []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(listeners)+1)
	finished := make(chan struct{})
	go func() {
		results <- s.Run(ctx)
		close(finished)
	}()
	// Requests under way may take as long as their invocations.
	beforeStop := func() { <-finished }
	for _, l := range listeners {
		go func() { results <- serve.HTTP(ctx, l, l.handler, beforeStop, "", "", hosts...) }()
	}
	var failed error
	for range len(listeners) + 1 {
		failed = errors.Join(failed, <-results)
		cancel()
	}
	return failed
}
