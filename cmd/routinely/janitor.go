package main

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"routinely/cmd/routinely/cli"
	"routinely/functions/janitor"
	"routinely/queue"
	"routinely/shared/config"
	"routinely/shared/esa"
	"routinely/shared/ledger"
	"routinely/shared/logging"
)

// runJanitor does here what the function janitor does every minute.
func runJanitor(a *cli.App) *cobra.Command {
	return &cobra.Command{
		Use: "janitor", Short: "Do once, from here, what the janitor does every minute", Args: cobra.NoArgs,
		Long: `Send what is due, work off the dead-letter queue, send again what had no news, list the routines in ESA with what is
bound to them, make the jobs that end expired ones, and report jobs that will be forgotten: what the function janitor does every minute. It
does no harm while that one runs. What it did is shown as numbers, and each thing in a line of the log on standard error; if more is left to
do, run it again. The settings and the access key are read from the environment, as the function has them.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return janitorOnce(cmd.Context(), a) },
	}
}

func janitorOnce(ctx context.Context, a *cli.App) error {
	cfg, err := config.LoadJanitor(a.Environ)
	if err != nil {
		return cli.Usage("%s", err)
	}
	key, err := credentials(cfg.Key)
	if err != nil {
		return err
	}
	queues, err := queue.Open(cfg.Queue, cfg.Prefix, cfg.MessageKeys, key)
	if err != nil {
		return cli.Usage("%s", err)
	}
	defer queues.Close()
	jobs, err := ledger.Open(cfg.Ledger, cfg.Prefix, key)
	if err != nil {
		return cli.Usage("%s", err)
	}
	defer jobs.Close()
	account, err := esa.New(esa.Config{Endpoint: cfg.ESA.Endpoint, Credentials: key, Timeout: cfg.ESA.Timeout})
	if err != nil {
		return cli.Usage("%s", err)
	}
	defer account.Close()
	j, err := janitor.New(janitor.Config{
		Queue: queues, Ledger: jobs, ESA: account, Retention: cfg.Retention, MayExpire: cfg.Deletion.MayExpire(),
		ExpirySettle: cfg.ExpirySettle, ExpiryGrace: cfg.ExpiryGrace, ExpiryPerHour: cfg.ExpiryPerHour, Now: time.Now, Bits: rand.Uint64,
	})
	if err != nil {
		return cli.Usage("%s", err)
	}
	log, err := logging.New(a.Err, cfg.LogLevel, "janitor")
	if err != nil {
		return cli.Usage("%s", err)
	}
	report, err := j.Run(logging.Into(ctx, log))
	if shown := a.Show(report, reportFields(report)); shown != nil {
		return shown
	}
	if err != nil {
		return &cli.Ending{Code: cli.ExitInternal, Text: "not everything could be done; run it again"}
	}
	return nil
}

// reportFields are what a run did, what is zero left out but for what was sent.
func reportFields(r janitor.Report) cli.Fields {
	fields := cli.Fields{
		{"sent", strconv.Itoa(r.Sent)},
		{"sent again", cli.Number(r.SentAgain)},
		{"redelivered", cli.Number(r.Redelivered)},
		{"given up", cli.Number(r.GivenUp)},
		{"filed", cli.Number(r.Filed)},
		{"callbacks", failedCallbacks(r.CallbacksFailed)},
		{"passed", cli.Number(r.Passed)},
		{"left", cli.Number(r.Left)},
		{"expired", cli.Number(r.Expired)},
		{"told", cli.Number(r.Told)},
	}
	if r.More {
		fields = append(fields, [2]string{"more", "yes: run it again"})
	}
	for _, f := range r.Failed {
		fields = append(fields, [2]string{"failed", strings.TrimSpace(f.Task + ": " + f.Error + ". " + f.Hint)})
	}
	return fields
}

func failedCallbacks(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n) + " failed"
}
