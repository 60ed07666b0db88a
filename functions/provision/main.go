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
	"routinely/queue"
	"routinely/shared/config"
	"routinely/shared/esa"
	"routinely/shared/logging"
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
	log, err := logging.New(stdout, cfg.LogLevel, "provision")
	if err != nil {
		return err
	}
	creds := invocation.NewCredentials(cfg.Key)
	jobs, err := queue.New(queue.Config{
		Endpoint: cfg.Endpoint, Queue: cfg.Name, DeadLetterQueue: cfg.DeadLetter, Credentials: creds.Get, Timeout: cfg.Timeout,
	})
	if err != nil {
		return err
	}
	account, err := esa.New(esa.Config{Endpoint: cfg.ESAEndpoint, Credentials: creds.Get, Timeout: cfg.ESATimeout})
	if err != nil {
		return err
	}
	w, err := newWorker(workerConfig{
		queue:    jobs,
		workflow: provision.Workflow{ESA: account, StepTime: cfg.ESATimeout},
		policy: retry.Policy{
			Base: cfg.RetryBase, Cap: cfg.RetryCap, MaxAttempts: cfg.RetryAttempts,
			MaxInternalAttempts: cfg.RetryInternalAttempts, MaxAge: cfg.RetryMaxAge,
		},
		lockPollMin: cfg.LockPollMin, lockPollMax: cfg.LockPollMax, reserve: cfg.Reserve,
		now: time.Now, draw: rand.Float64, sleep: sleep,
	})
	if err != nil {
		return err
	}
	start(func(ctx context.Context, event json.RawMessage) (report, error) {
		return w.handle(creds.Begin(ctx, log), event)
	})
	return nil
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
