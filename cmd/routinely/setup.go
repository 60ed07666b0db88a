package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/queue"
	"routinely/shared/config"
	"routinely/shared/ledger"
)

// setup makes the cloud services ready.
func setup(a *cli.App) *cobra.Command {
	dryRun := false
	cmd := &cobra.Command{
		Use: "setup", Short: "Create or correct the queues and the tables", Args: cobra.NoArgs,
		Long: `Create the queues of jobs, dead letters and callbacks and the tables of jobs and of the account's state, or correct their settings.
Their names are made of the prefix. The second time there is nothing to do. The access key is read from ALIBABA_CLOUD_ACCESS_KEY_ID,
ALIBABA_CLOUD_ACCESS_KEY_SECRET and ALIBABA_CLOUD_SECURITY_TOKEN; each flag has an environment variable, as the functions
have.`,
	}
	flags := cmd.Flags()
	flags.BoolVar(&dryRun, "dry-run", false, "only show what would be changed")
	// The flags are the variables, so that they have the same meaning. Secrets have none: others could see them.
	given := map[string]*string{}
	for _, v := range config.Variables(&config.Setup{}) {
		if name, ours := strings.CutPrefix(v.Name, "ROUTINELY_"); ours && !v.Secret {
			flag := strings.ReplaceAll(strings.ToLower(name), "_", "-")
			given[flag] = flags.String(flag, v.Default, v.Doc+" (`"+v.Type+"`; "+v.Name+")")
		}
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		environ := slices.Clone(a.Environ)
		for flag, value := range given {
			if cmd.Flags().Changed(flag) {
				environ = append(environ, "ROUTINELY_"+strings.ReplaceAll(strings.ToUpper(flag), "-", "_")+"="+*value)
			}
		}
		return makeReady(cmd.Context(), a, environ, dryRun)
	}
	return cmd
}

func makeReady(ctx context.Context, a *cli.App, environ []string, dryRun bool) error {
	cfg, err := config.LoadSetup(environ)
	if err != nil {
		return cli.Usage("%s", err)
	}
	if cfg.Key.ID == "" || cfg.Key.Secret == "" {
		return cli.Usage("an access key is required: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET")
	}
	credentials := func() (string, string, string) {
		return cfg.Key.ID, cfg.Key.Secret.Reveal(), cfg.Key.Token.Reveal()
	}
	jobs, err := queue.New(queue.Config{
		Endpoint: cfg.Queue.Endpoint, Queue: cfg.Prefix.JobQueue(), DeadLetterQueue: cfg.Prefix.DeadLetterQueue(),
		CallbackQueue: cfg.Prefix.CallbackQueue(), Credentials: credentials, Timeout: cfg.Queue.Timeout,
	})
	if err != nil {
		return cli.Usage("%s", err)
	}
	defer jobs.Close()
	parts := []func(context.Context, bool) ([]string, error){jobs.Setup}
	for _, table := range []struct {
		name      string
		retention time.Duration
	}{{cfg.Prefix.JobTable(), cfg.Retention}, {cfg.Prefix.StateTable(), 0}} {
		l, err := ledger.New(ledger.Config{
			Endpoint: cfg.Ledger.Endpoint, Instance: cfg.Ledger.Instance, Table: table.name, Credentials: credentials,
			Timeout: cfg.Ledger.Timeout, Retention: table.retention,
		})
		if err != nil {
			return cli.Usage("%s", err)
		}
		defer l.Close()
		parts = append(parts, l.Setup)
	}
	return change(ctx, a, parts, dryRun)
}

// change carries out the parts of the setup and shows what they changed, each before the next.
func change(ctx context.Context, a *cli.App, parts []func(context.Context, bool) ([]string, error), dryRun bool) error {
	all := 0
	for _, part := range parts {
		changes, err := part(ctx, dryRun)
		all += len(changes)
		for _, text := range changes {
			if err := a.WriteLine(text, map[string]any{"change": text, "done": !dryRun}); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
	switch {
	case all == 0:
		a.Note("everything is as it should be")
	case dryRun:
		a.Note("nothing was changed: this is what would be")
	}
	return nil
}
