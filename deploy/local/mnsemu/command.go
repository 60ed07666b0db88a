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
		Ready: func() string { return fmt.Sprintf("account %s, data %s", c.AccountID, c.Dir) },
	}.Run(ctx, args, stdout)
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
