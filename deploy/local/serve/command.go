package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Server is a local server that keeps its state in a data directory.
type Server interface {
	http.Handler
	// Stop ends what waits, so that calls under way can finish.
	Stop()
	// Close releases the data directory.
	Close() error
}

// Command is a subcommand that runs one server alone. Every field but Flags, Check and Ready is required.
type Command struct {
	// Name begins every error and the line that tells that the server is ready.
	Name string
	// Usage is printed for -h, followed by the flags.
	Usage string
	// Listen is the default address.
	Listen string
	// AccessKeyID, AccessKeySecret and Dir are where the required flags go.
	AccessKeyID, AccessKeySecret, Dir *string
	// NoSync is where the flag goes that leaves it to the operating system when changes reach the disk.
	NoSync *bool
	// Flags adds the server's own flags.
	Flags func(*flag.FlagSet)
	// Check finds what is wrong with their values.
	Check func() error
	// New makes the server once the flags are read.
	New func() (Server, error)
	// Ready returns more for the line that tells that the server is ready.
	Ready func() string
}

// address is where and how a server listens.
type address struct {
	listen, certFile, keyFile string
	hosts                     []string
}

// Run serves until ctx is done. Once it listens it prints one line to stdout. A request for help prints to stdout and is no
// error; wrong flags are an error that names the flag.
func (c Command) Run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", c.Name, err)
		}
	}()
	a, err := c.parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.listen)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	server, err := c.New()
	if err != nil {
		return err
	}
	scheme, more := "http", ""
	if a.certFile != "" {
		scheme = "https"
	}
	if c.Ready != nil {
		more = " (" + c.Ready() + ")"
	}
	fmt.Fprintf(stdout, "%s listening on %s://%s%s\n", c.Name, scheme, listener.Addr(), more)
	err = HTTP(ctx, listener, server, server.Stop, a.certFile, a.keyFile, a.hosts...)
	return errors.Join(err, server.Close())
}

func (c Command) parse(args []string, stdout io.Writer) (address, error) {
	var a address
	flags := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&a.listen, "listen", c.Listen, "`address` to listen on; port 0 takes a free one")
	HostFlag(flags, &a.hosts)
	flags.StringVar(c.AccessKeyID, "access-key", "", "AccessKey `id` that requests must be signed with (required)")
	flags.StringVar(c.AccessKeySecret, "secret-key", "", "the `secret` of that key (required)")
	flags.StringVar(c.Dir, "data", "", "`directory` for the state, created when absent; one process at a time (required)")
	flags.BoolVar(c.NoSync, "no-sync", false, "do not wait for the disk: faster, but what is newest may be lost if the machine ends (not if the server does)")
	flags.StringVar(&a.certFile, "tls-cert", "", "PEM `file` of a certificate, to serve HTTPS; needs -tls-key")
	flags.StringVar(&a.keyFile, "tls-key", "", "PEM `file` of the certificate's key")
	if c.Flags != nil {
		c.Flags(flags)
	}
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, c.Usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return a, err
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case err == nil:
		err = c.check(a)
	}
	if err != nil {
		return a, Mistake{Err: err}
	}
	return a, nil
}

// Mistake is an error of the command line: nothing was begun.
type Mistake struct{ Err error }

// Error says what is wrong.
func (m Mistake) Error() string { return m.Err.Error() }

// Unwrap returns what is wrong.
func (m Mistake) Unwrap() error { return m.Err }

func (c Command) check(a address) error {
	switch {
	case *c.AccessKeyID == "" || *c.AccessKeySecret == "":
		return errors.New("-access-key and -secret-key are required")
	case *c.Dir == "":
		return errors.New("-data is required")
	case (a.certFile == "") != (a.keyFile == ""):
		return errors.New("-tls-cert and -tls-key go together")
	case a.certFile != "":
		if _, err := tls.LoadX509KeyPair(a.certFile, a.keyFile); err != nil {
			return fmt.Errorf("-tls-cert and -tls-key: %w", err)
		}
	}
	if c.Check != nil {
		return c.Check()
	}
	return nil
}
