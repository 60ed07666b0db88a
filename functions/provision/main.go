// Command provision is the queue-triggered function: it takes jobs one at a time, performs the two steps against ESA, and
// decides about each: done, again later, or dead letter.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fc"

	"routinely/functions/invocation"
	"routinely/shared/config"
	"routinely/shared/esa"
	"routinely/shared/provision"
	"routinely/shared/retry"
)

func main() {
	if err := run(os.Environ(), os.Stdout, func(handler any) { fc.Start(handler) }); err != nil {
		fmt.Fprintln(os.Stderr, "provision:", err)
		os.Exit(1)
	}
}

// run joins the parts and hands the handler to start, which serves it until the process ends.
func run(environ []string, stdout io.Writer, start func(handler any)) error {
	cfg, err := config.LoadProvision(environ)
	if err != nil {
		return err
	}
	parts, err := invocation.NewParts(cfg.Base, stdout, "provision")
	if err != nil {
		return err
	}
	account, err := esa.New(esa.Config{Endpoint: cfg.ESAEndpoint, Credentials: parts.Credentials.Get, Timeout: cfg.ESATimeout})
	if err != nil {
		return err
	}
	w, err := newWorker(workerConfig{
		queue:    parts.Jobs,
		record:   parts.Record,
		workflow: provision.Workflow{ESA: account, StepTime: cfg.ESATimeout},
		policy: retry.Policy{
			Base: cfg.RetryBase, Cap: cfg.RetryCap, MaxAttempts: cfg.RetryAttempts,
			MaxInternalAttempts: cfg.RetryInternalAttempts, MaxAge: cfg.RetryMaxAge,
		},
		lockPollMin: cfg.LockPollMin, lockPollMax: cfg.LockPollMax, reserve: cfg.Reserve,
		now: time.Now, draw: rand.Float64, sleep: invocation.Sleep,
	})
	if err != nil {
		return err
	}
	start(func(ctx context.Context, event json.RawMessage) (report, error) {
		return w.handle(parts.Credentials.Begin(ctx, parts.Log), event)
	})
	return nil
}
