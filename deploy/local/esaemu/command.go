package esaemu

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"routinely/deploy/local/serve"
)

const usage = `Usage: esa -access-key ID -secret-key SECRET -data DIR [flags]

A local ESA server (API 2024-09-10) for official SDKs and tools. Scripts set it up and break it under /_local/:
  GET /_local/state, POST /_local/sites, PUT /_local/account, POST|DELETE /_local/lock,
  POST /_local/routines, POST /_local/records, GET|POST|DELETE /_local/faults, GET|DELETE /_local/calls

Flags:
`

// options are the command line.
type options struct {
	config          Config
	listen          string
	tlsCert, tlsKey string
}

// Command runs a server until ctx is done: the esa subcommand. Once it listens it prints one line to stdout. A request for
// help prints to stdout and is no error; wrong flags are an error that names the flag.
func Command(ctx context.Context, args []string, stdout, _ io.Writer) error {
	o, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("esa: %w", err)
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("esa: %w", err)
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
	fmt.Fprintf(stdout, "esa listening on %s://%s\n", scheme, listener.Addr())
	err = serve.HTTP(ctx, listener, server, server.Stop, o.tlsCert, o.tlsKey)
	return errors.Join(err, server.Close())
}

func parse(args []string, stdout io.Writer) (options, error) {
	o := options{config: Config{Sites: map[int64]string{}}}
	flags := flag.NewFlagSet("esa", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:18081", "`address` to listen on; port 0 takes a free one")
	flags.StringVar(&o.config.AccessKeyID, "access-key", "", "the account's AccessKey `id` (required)")
	flags.StringVar(&o.config.AccessKeySecret, "secret-key", "", "the `secret` of that key (required)")
	flags.StringVar(&o.config.AccountID, "account", "123456", "account `id`")
	flags.StringVar(&o.config.Region, "region", "cn-hangzhou", "`region` named in errors")
	flags.StringVar(&o.config.Dir, "data", "", "data `directory`, created when absent (required)")
	flags.Func("site", "a site of the account as `id=zone`, such as 54362329990032=example.com; may be repeated", o.addSite)
	flags.DurationVar(&o.config.Latency, "latency", 20*time.Millisecond, "how long each write holds the account lock")
	flags.IntVar(&o.config.RoutineQuota, "routine-quota", 0,
		"`number` of routines the account may have; 0 keeps what is stored, 100 in a new data directory")
	flags.IntVar(&o.config.RecordQuota, "record-quota", 0,
		"`number` of records each routine may have; 0 keeps what is stored, 100 in a new data directory")
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

func (o *options) addSite(text string) error {
	id, name, _ := strings.Cut(text, "=")
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n < 1 || !validHostName(name) {
		return errors.New("want id=zone, such as 54362329990032=example.com")
	}
	o.config.Sites[n] = name
	return nil
}

func (o *options) check() error {
	c := o.config
	switch {
	case c.AccessKeyID == "" || c.AccessKeySecret == "":
		return errors.New("-access-key and -secret-key are required")
	case c.Dir == "":
		return errors.New("-data is required")
	case c.AccountID == "":
		return errors.New("-account must not be empty")
	case c.Latency < 0:
		return errors.New("-latency must not be negative")
	case c.RoutineQuota < 0 || c.RecordQuota < 0:
		return errors.New("-routine-quota and -record-quota must not be negative")
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return errors.New("-tls-cert and -tls-key go together")
	case o.tlsCert != "":
		if _, err := tls.LoadX509KeyPair(o.tlsCert, o.tlsKey); err != nil {
			return fmt.Errorf("-tls-cert and -tls-key: %w", err)
		}
	}
	return nil
}
