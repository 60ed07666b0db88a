package mnsemu

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"routinely/deploy/local/serve"
)

// options are the flags of Command.
type options struct {
	config            Config
	listen            string
	certFile, keyFile string
}

// Command runs the server as the mns subcommand: it reads args, prints one line to stdout when it is ready, and serves until ctx
// is done. After -h, which prints the usage to stdout, it returns nil.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parseOptions(args, stdout, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	server, err := New(o.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("mns: %w", err)
	}
	scheme := "http"
	if o.certFile != "" {
		scheme = "https"
	}
	fmt.Fprintf(stdout, "mns listening on %s://%s (account %s, data %s)\n", scheme, listener.Addr(), o.config.AccountID, o.config.Dir)
	return serve.HTTP(ctx, listener, server, server.Stop, o.certFile, o.keyFile)
}

const usage = `Usage: mns -access-key ID -secret-key SECRET -data DIR [flags]

A local MNS (Simple Message Queue) server for the official SDKs. What it answered with success is on disk in DIR.
Point an SDK at http://ACCOUNT.mns.REGION.aliyuncs.com and let that name lead to -listen, or at the address itself.
For scripts it serves /_local/queues, /_local/queues/QUEUE/messages, /_local/pushes, /_local/faults and /_local/calls, unsigned.

`

func parseOptions(args []string, stdout, stderr io.Writer) (*options, error) {
	o := &options{config: Config{DeadLetter: map[string]DeadLetterPolicy{}}}
	flags := flag.NewFlagSet("mns", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:18080", "`address` to listen on; port 0 picks a free one")
	flags.StringVar(&o.config.AccessKeyID, "access-key", "", "AccessKey `ID` that requests must be signed with (required)")
	flags.StringVar(&o.config.AccessKeySecret, "secret-key", "", "AccessKey `secret` of that ID (required)")
	flags.StringVar(&o.config.AccountID, "account", "123456", "account `number`, the first label of the endpoint's host")
	flags.StringVar(&o.config.Dir, "data", "", "`directory` for the state, created if missing; one process at a time (required)")
	flags.StringVar(&o.certFile, "tls-cert", "", "PEM `file` with the certificate to serve HTTPS with; needs -tls-key")
	flags.StringVar(&o.keyFile, "tls-key", "", "PEM `file` with the key of -tls-cert")
	flags.Func("dead-letter", "`queue=target:N`: move messages of queue to target after N receives without a delete (repeatable)", o.addDeadLetter)
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return nil, err
	}
	if err == nil {
		err = o.check(flags.Args())
	}
	if err != nil {
		fmt.Fprintln(stderr, "Run with -h for the flags.")
		return nil, fmt.Errorf("mns: %w", err)
	}
	return o, nil
}

// check finds what flag parsing cannot.
func (o *options) check(rest []string) error {
	for _, required := range []struct{ name, value string }{
		{"-access-key", o.config.AccessKeyID},
		{"-secret-key", o.config.AccessKeySecret},
		{"-data", o.config.Dir},
		{"-account", o.config.AccountID},
	} {
		if required.value == "" {
			return fmt.Errorf("%s needs a value", required.name)
		}
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case (o.certFile == "") != (o.keyFile == ""):
		return errors.New("-tls-cert and -tls-key go together")
	}
	return nil
}

func (o *options) addDeadLetter(text string) error {
	queue, rest, hasTarget := strings.Cut(text, "=")
	target, count, hasCount := strings.Cut(rest, ":")
	if !hasTarget || !hasCount {
		return errors.New("want queue=target:N")
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return fmt.Errorf("the count %q is not a number", count)
	}
	if _, twice := o.config.DeadLetter[queue]; twice {
		return fmt.Errorf("queue %s has two targets", queue)
	}
	o.config.DeadLetter[queue] = DeadLetterPolicy{TargetQueue: target, MaxReceiveCount: n}
	return nil
}
