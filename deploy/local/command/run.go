package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	bbolterrors "go.etcd.io/bbolt/errors"

	"routinely/deploy/local/console"
	"routinely/deploy/local/serve"
	"routinely/deploy/local/stack"
)

// stackFlags are the flags that run and demo share.
func stackFlags(flags *flag.FlagSet, cfg *stack.Config, http, mns, esa, fc, ots string) {
	flags.StringVar(&cfg.Dir, "data", cfg.Dir, "`directory` that keeps the state of the servers")
	flags.BoolVar(&cfg.NoSync, "no-sync", false, "do not wait for the disk: faster, but what is newest may be lost if the machine ends (not if this does)")
	flags.StringVar(&cfg.Accept, "accept", ".local/bin/accept", "`binary` of the function accept")
	flags.StringVar(&cfg.Provision, "provision", ".local/bin/provision", "`binary` of the function provision")
	flags.StringVar(&cfg.Notify, "notify", ".local/bin/notify", "`binary` of the function notify")
	flags.StringVar(&cfg.Janitor, "janitor", ".local/bin/janitor", "`binary` of the function janitor")
	flags.StringVar(&cfg.Addresses.HTTP, "http", http, "`address` of the HTTP trigger")
	flags.StringVar(&cfg.Addresses.MNS, "mns", mns, "`address` of MNS")
	flags.StringVar(&cfg.Addresses.ESA, "esa", esa, "`address` of ESA")
	flags.StringVar(&cfg.Addresses.FC, "fc", fc, "`address` of Function Compute")
	flags.StringVar(&cfg.Addresses.OTS, "ots", ots, "`address` of Tablestore")
	flags.DurationVar(&cfg.ESALatency, "latency", cfg.ESALatency, "`time` that each ESA write takes and holds the account lock")
}

// checkBinaries says what to do about a function binary that is not there.
func checkBinaries(cfg stack.Config) error {
	for _, path := range []string{cfg.Accept, cfg.Provision, cfg.Notify, cfg.Janitor} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("a function's binary is missing: %w; run make build, or name it with -accept, -provision, -notify or -janitor", err)
		}
	}
	return nil
}

// variable is a variable of the environment, empty if it is not set. Secrets have no flag, since others can see those.
func variable(environ []string, name string) string {
	for _, pair := range environ {
		if value, found := strings.CutPrefix(pair, name+"="); found {
			return value
		}
	}
	return ""
}

// parse reads flags behind which nothing may follow.
func parse(flags *flag.FlagSet, args []string) error {
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("%s takes no argument %q", strings.TrimPrefix(flags.Name(), "local "), flags.Arg(0))
	}
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return serve.Mistake{Err: err}
}

func runStack(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("local run", flag.ContinueOnError)
	flags.SetOutput(stdout)
	cfg := stack.Config{Dir: filepath.FromSlash(".local/data"), ESALatency: 200 * time.Millisecond}
	cfg.Auth, cfg.CallbackSecrets = variable(environ, "ROUTINELY_AUTH"), variable(environ, "ROUTINELY_CALLBACK_SECRETS")
	cfg.MessageKeys, cfg.Deletion = variable(environ, "ROUTINELY_MESSAGE_KEYS"), variable(environ, "ROUTINELY_DELETE")
	stackFlags(flags, &cfg, "127.0.0.1:18082", "127.0.0.1:18080", "127.0.0.1:18081", "127.0.0.1:18083", "127.0.0.1:18084")
	flags.IntVar(&cfg.RoutineQuota, "routine-quota", 1000, "`number` of routines that the ESA account may have")
	flags.BoolVar(&cfg.Short, "short", false, "let routines live from a minute to an hour, and end a minute after their time")
	serve.HostFlag(flags, &cfg.Hosts)
	raw := flags.Bool("json", false, "show the functions' log lines as they are")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := checkBinaries(cfg); err != nil {
		return err
	}
	cfg.Output = stdout
	if !*raw {
		cfg.Output = console.NewLines(stdout)
	}
	cfg.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	unmark, err := mark()
	if err != nil {
		return err
	}
	defer unmark()
	s, err := stack.New(cfg)
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, bbolterrors.ErrTimeout) {
		return fmt.Errorf("%w%s", err, elsewhere)
	}
	if err != nil {
		return err
	}
	return s.Run(ctx, func(context.Context) error {
		_, err := fmt.Fprintf(stdout, banner, s.HTTPURL(), s.MNSURL(), s.ESAURL(), s.OTSURL(), s.FCURL(), stack.AccountID, stack.AccessKeyID,
			stack.AccessKeySecret, stack.SiteID, stack.SiteName, cfg.Dir, s.HTTPURL(), stack.SiteID, stack.SiteName)
		return err
	})
}

// elsewhere is the way out if another process has a port or the data directory.
const elsewhere = `

Is it running already? To run another one beside it, give that other ports (0 is any free one) and another directory:

  make run ARGS='-http 127.0.0.1:0 -mns 127.0.0.1:0 -esa 127.0.0.1:0 -ots 127.0.0.1:0 -fc 127.0.0.1:0 -data .local/data2'
`

const banner = `Routinely is running.

  accept (HTTP trigger)  %s
  MNS                    %s
  ESA                    %s
  Tablestore             %s
  Function Compute       %s
  account                %s, access key %s, secret %s
  site                   %d (%s)
  state                  %s, found again at the next start

Ask for a routine:

  curl -i %s/v1/routines -H 'Content-Type: application/json' -d '{"name":"hello","siteId":%d,"recordName":"hello.%s"}'

Ctrl-C stops everything.

`
