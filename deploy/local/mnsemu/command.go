package mnsemu

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"routinely/deploy/local/serve"
)

const usage = `Usage: mns -access-key ID -secret-key SECRET -data DIR [flags]

A local MNS (Simple Message Queue) server for the official SDKs. What it answered with success is on disk in DIR.
Point an SDK at http://ACCOUNT.mns.REGION.aliyuncs.com and let that name lead to -listen, or at the address itself.
Pushes of topics to HTTP endpoints go to this machine only and are not signed: they carry no Authorization and no x-mns-signing-cert-url.
As with the real service, an empty receive does not mean an empty queue, and there is no order. With -calm a receive finds every visible
message, the highest priority first (1 is the highest, 8 the default), for clients that expect that.
For scripts it serves /_local/queues, /_local/queues/QUEUE/messages, /_local/pushes, /_local/faults and /_local/calls, unsigned.

Flags:
`

// Command runs a server until ctx is done: the mns subcommand. See serve.Command.
func Command(ctx context.Context, args []string, stdout, _ io.Writer) error {
	c := Config{DeadLetter: map[string]DeadLetterPolicy{}}
	return serve.Command{
		Name: "mns", Usage: usage, Listen: "127.0.0.1:18080",
		AccessKeyID: &c.AccessKeyID, AccessKeySecret: &c.AccessKeySecret, Dir: &c.Dir, NoSync: &c.NoSync,
		Flags: func(flags *flag.FlagSet) {
			flags.StringVar(&c.AccountID, "account", "123456", "account `number`, the first label of the endpoint's host")
			flags.Uint64Var(&c.Seed, "seed", 0,
				"`number` that decides which messages a receive misses, their order, and how early an empty long poll ends")
			flags.BoolVar(&c.Calm, "calm", false,
				"miss no message, deliver by priority and age, and let long polls wait their full time, which the real service does not")
			flags.Func("dead-letter", "`queue=target:N`: move messages of queue to target after N receives without a delete (repeatable)",
				c.addDeadLetter)
		},
		Check: func() error {
			if c.AccountID == "" {
				return errors.New("-account must not be empty")
			}
			return nil
		},
		New:   func() (serve.Server, error) { return New(c) },
		Ready: c.ready,
	}.Run(ctx, args, stdout)
}

// ready tells what a run can be repeated with.
func (c *Config) ready() string {
	receiving := fmt.Sprintf("seed %d", c.Seed)
	if c.Calm {
		receiving = "calm"
	}
	return fmt.Sprintf("account %s, data %s, %s", c.AccountID, c.Dir, receiving)
}

func (c *Config) addDeadLetter(text string) error {
	queue, rest, hasTarget := strings.Cut(text, "=")
	target, count, hasCount := strings.Cut(rest, ":")
	if !hasTarget || !hasCount {
		return errors.New("want queue=target:N")
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return fmt.Errorf("the count %q is not a number", count)
	}
	if _, twice := c.DeadLetter[queue]; twice {
		return fmt.Errorf("queue %s has two targets", queue)
	}
	c.DeadLetter[queue] = DeadLetterPolicy{TargetQueue: target, MaxReceiveCount: n}
	return nil
}
