// Command provision is the queue-triggered function: it takes jobs one at a time, performs the two steps against ESA, and
// decides about each: done, again later, or dead letter.
package main

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"routinely/functions/invocation"
	"routinely/functions/record"
	"routinely/shared/config"
	"routinely/shared/esa"
	"routinely/shared/provision"
	"routinely/shared/retry"
)

func main() {
	os.Exit(invocation.Main("provision", func(stopping context.Context, start invocation.Starter) error {
		return run(stopping, os.Environ(), os.Stdout, start)
	}))
}

// run joins the parts and serves with them by start, until stopping is done.
func run(stopping context.Context, environ []string, stdout io.Writer, start invocation.Starter) error {
	cfg, err := config.LoadProvision(environ)
	if err != nil {
		return err
	}
	parts, err := invocation.NewParts(cfg.Common, stdout, "provision")
	if err != nil {
		return err
	}
	history, err := record.Open(cfg.Ledger, parts.Credentials.Get)
	if err != nil {
		return err
	}
	account, err := esa.New(esa.Config{Endpoint: cfg.ESAEndpoint, Credentials: parts.Credentials.Get, Timeout: cfg.ESATimeout})
	if err != nil {
		return err
	}
	w, err := newWorker(workerConfig{
		queue:    parts.Jobs,
		record:   history,
		workflow: provision.Workflow{ESA: account, StepTime: cfg.ESATimeout},
		policy: retry.Policy{
			Base: cfg.RetryBase, Cap: cfg.RetryCap, MaxAttempts: cfg.RetryAttempts,
			MaxInternalAttempts: cfg.RetryInternalAttempts, MaxAge: cfg.RetryMaxAge,
		},
		lockPollMin: cfg.LockPollMin, lockPollMax: cfg.LockPollMax, reserve: cfg.Reserve,
		now: time.Now, draw: rand.Float64, sleep: invocation.Sleep, stopping: stopping,
	})
	if err != nil {
		return err
	}
	invocation.Serve(stopping, parts, start, w.handle, history.Flush)
	return nil
}
