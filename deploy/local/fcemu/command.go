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
	"slices"
	"strconv"
	"strings"
	"time"

	"routinely/deploy/local/serve"
)

const usage = `Run Function Compute go1 binaries on this machine: Runtime API, HTTP triggers, MNS queue triggers,
timer triggers.

  fc -function hello=./main -http hello=127.0.0.1:9000
  fc -function work=./main,timeout=60s,instances=1 -queue work=jobs -mns http://127.0.0.1:9324 \
     -access-key id -secret-key secret -dead-letter jobs-dead -tolerance ALL
  fc -function sweep=./main,instances=1,async-retries=0,async-age=60s -timer "sweep=@every 1m"

Options:
`

// settings are the keys of -function.
const settings = "timeout, instances, idle, memory, initializer, prestop, async-retries or async-age"

// command is what the flags of Command say.
type command struct {
	config  Config
	trigger QueueTrigger
	listen  string
	hosts   []string
	// http, queues and timers are pairs of a function and its address, queue or schedule; env holds NAME:KEY=VALUE.
	http, queues, timers []pair
	env                  []string
	payload              string
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
	listeners, err := c.listeners(ctx, server)
	if err != nil {
		return err
	}
	for _, l := range listeners {
		server.output.write([]byte("fc: ready: " + l.name + " http://" + l.Addr().String()))
	}
	return run(ctx, server, listeners, c.hosts)
}

func (c *command) flags() *flag.FlagSet {
	f := flag.NewFlagSet("fc", flag.ContinueOnError)
	f.StringVar(&c.listen, "listen", "", "`address` of the API and /_local/; none if empty")
	serve.HostFlag(f, &c.hosts)
	f.Func("function", "`name=binary[,key=value…]`, repeatable; keys: "+settings, c.addFunction)
	f.Func("http", "`function=address` of an HTTP trigger, repeatable", addPair(&c.http))
	f.Func("env", "`function:KEY=VALUE`, repeatable", func(s string) error { c.env = append(c.env, s); return nil })
	f.Func("queue", "`function=queue` of a queue trigger, repeatable; the flags below hold for all of them", addPair(&c.queues))
	f.StringVar(&c.trigger.Endpoint, "mns", "", "MNS `endpoint` of the queue triggers, http://host:port")
	f.StringVar(&c.config.AccessKeyID, "access-key", "", "access key `id`, for MNS and for the functions")
	f.StringVar(&c.config.AccessKeySecret, "secret-key", "", "access key `secret`")
	f.StringVar(&c.config.SecurityToken, "security-token", "", "security `token` for the functions")
	f.IntVar(&c.trigger.CountBasedWindow, "batch", 1, "most messages in one event, if -batch-window is not 0")
	f.DurationVar(&c.trigger.TimeBasedWindow, "batch-window", 0, "how long a message waits for others, whole seconds up to 15s; with 0 each event has one message")
	f.Func("mode", "event-streaming or event-driven (default event-streaming)", text(&c.trigger.Mode))
	f.Func("shape", "cloudevents, cloudevent-strings or rawdata (default cloudevents)", text(&c.trigger.Shape))
	f.Func("retry", "BACKOFF_RETRY or EXPONENTIAL_DECAY_RETRY (default BACKOFF_RETRY)", text(&c.trigger.RetryStrategy))
	f.Func("tolerance", "ALL or NONE (default NONE)", text(&c.trigger.ErrorsTolerance))
	f.BoolVar(&c.trigger.Base64Decode, "base64", false, "decode message bodies from base64")
	f.StringVar(&c.trigger.DeadLetterQueue, "dead-letter", "", "`queue` for messages whose retries are used up")
	f.Func("timer", "`function=schedule` of a timer trigger, such as \"sweep=@every 1m\", whole minutes, repeatable", addPair(&c.timers))
	f.StringVar(&c.payload, "payload", "", "`text` in the events of the timer triggers")
	f.StringVar(&c.config.AccountID, "account", "123456", "account id")
	f.StringVar(&c.config.Region, "region", "cn-local", "region id")
	f.DurationVar(&c.config.Grace, "grace", defaultGrace, "how long invocations may take to finish when stopped")
	return f
}

func text[T ~string](to *T) func(string) error {
	return func(s string) error {
		*to = T(s)
		return nil
	}
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
	f := Function{Name: name, Command: []string{parts[0]}}
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
	case "idle":
		f.IdleTimeout, err = time.ParseDuration(value)
	case "instances":
		f.MaxInstances, err = strconv.Atoi(value)
	case "memory":
		f.MemoryMB, err = strconv.Atoi(value)
	case "initializer":
		f.Initializer, err = strconv.ParseBool(cmp.Or(value, "true"))
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

// server puts the flags together.
func (c *command) server() (*Server, error) {
	for _, s := range c.env {
		name, setting, named := strings.Cut(s, ":")
		key, value, ok := strings.Cut(setting, "=")
		i := c.index(name)
		switch {
		case !named || !ok || key == "":
			return nil, fmt.Errorf("fc: -env %q: want function:KEY=VALUE", s)
		case i < 0:
			return nil, fmt.Errorf("fc: -env %q: there is no -function %q", s, name)
		case c.config.Functions[i].Env == nil:
			c.config.Functions[i].Env = map[string]string{}
		}
		c.config.Functions[i].Env[key] = value
	}
	for _, q := range c.queues {
		t := c.trigger
		t.Name, t.Function, t.Queue = q.function+"-"+q.value, q.function, q.value
		t.AccessKeyID, t.AccessKeySecret = c.config.AccessKeyID, c.config.AccessKeySecret
		c.config.Triggers = append(c.config.Triggers, t)
	}
	for _, t := range c.timers {
		c.config.Timers = append(c.config.Timers, TimerTrigger{
			Name: t.function + "-timer", Function: t.function, Schedule: t.value, Payload: c.payload,
		})
	}
	for _, h := range c.http {
		if c.index(h.function) < 0 {
			return nil, fmt.Errorf("fc: -http %s=%s: there is no -function %q", h.function, h.value, h.function)
		}
	}
	return New(c.config)
}

func (c *command) index(function string) int {
	return slices.IndexFunc(c.config.Functions, func(f Function) bool { return f.Name == function })
}

// listener is an open listener with what it serves.
type listener struct {
	net.Listener
	name    string
	handler http.Handler
}

// listeners opens all of them, or none.
func (c *command) listeners(ctx context.Context, s *Server) (open []listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range open {
				_ = l.Close()
			}
		}
	}()
	var wanted []listener
	var addresses []string
	if c.listen != "" {
		wanted, addresses = append(wanted, listener{name: "api", handler: s.API()}), append(addresses, c.listen)
	}
	for _, h := range c.http {
		wanted, addresses = append(wanted, listener{name: "http " + h.function, handler: s.HTTP(h.function)}), append(addresses, h.value)
	}
	for i, l := range wanted {
		if l.Listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", addresses[i]); err != nil {
			return open, fmt.Errorf("fc: listen for %s: %w", l.name, err)
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
