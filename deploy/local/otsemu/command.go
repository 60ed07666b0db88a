package otsemu

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"

	"routinely/deploy/local/serve"
)

const usage = `Usage: ots -access-key ID -secret-key SECRET -data DIR [flags]

A local Tablestore server (API 2015-12-31) for the official SDKs: the address is the endpoint. What it answered with success is
on disk in DIR. Scripts watch it and break it, unsigned, under /_local/:
  GET /_local/tables, GET /_local/tables/TABLE/rows, GET|POST|DELETE /_local/faults, GET|DELETE /_local/calls

Flags:
`

// options are the command line.
type options struct {
	config          Config
	listen          string
	tlsCert, tlsKey string
}

// Command runs a server until ctx is done: the ots subcommand. Once it listens it prints one line to stdout. A request for
// help prints to stdout and is no error; wrong flags are an error that names the flag.
func Command(ctx context.Context, args []string, stdout, _ io.Writer) error {
	o, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ots: %w", err)
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("ots: %w", err)
	}
	defer func() { _ = listener.Close() }()
	server, err := New(o.config)
	if err != nil {
		return err
	}
	scheme := "http"
	if o.tlsCert != "" {
		scheme = "https"
	}
	fmt.Fprintf(stdout, "ots listening on %s://%s\n", scheme, listener.Addr())
	err = serve.HTTP(ctx, listener, server, server.Stop, o.tlsCert, o.tlsKey)
	return errors.Join(err, server.Close())
}

func parse(args []string, stdout io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("ots", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:18084", "`address` to listen on; port 0 takes a free one")
	flags.StringVar(&o.config.AccessKeyID, "access-key", "", "the AccessKey `id` (required)")
	flags.StringVar(&o.config.AccessKeySecret, "secret-key", "", "the `secret` of that key (required)")
	flags.StringVar(&o.config.InstanceName, "instance", "routinely", "`name` of the instance")
	flags.StringVar(&o.config.Dir, "data", "", "data `directory`, created when absent (required)")
	flags.StringVar(&o.tlsCert, "tls-cert", "", "PEM `file` of a certificate, to serve HTTPS; needs -tls-key")
	flags.StringVar(&o.tlsKey, "tls-key", "", "PEM `file` of the certificate's key")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
	}
	if err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, o.check()
}

func (o *options) check() error {
	switch {
	case o.config.AccessKeyID == "" || o.config.AccessKeySecret == "":
		return errors.New("-access-key and -secret-key are required")
	case o.config.Dir == "":
		return errors.New("-data is required")
	case !validInstance(o.config.InstanceName):
		return errors.New("-instance: want 3 to 16 letters, digits and inner hyphens, a letter first")
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return errors.New("-tls-cert and -tls-key go together")
	case o.tlsCert != "":
		if _, err := tls.LoadX509KeyPair(o.tlsCert, o.tlsKey); err != nil {
			return fmt.Errorf("-tls-cert and -tls-key: %w", err)
		}
	}
	return nil
}
