// Package provision is the queue-triggered function: it takes jobs one at a time, performs the two steps against ESA, and
// decides about each: done, again later, or dead letter.
package provision

import (
	"io"
	"math/rand/v2"
	"time"

	"routinely/functions/record"
	"routinely/shared/config"
	"routinely/shared/esa"
	"routinely/shared/invocation"
	"routinely/shared/provision"
	"routinely/shared/retry"
)

// Run joins the parts and serves with them as long as the process lives.
func Run(process invocation.Process, environ []string, stdout io.Writer) error {
	cfg, err := config.LoadProvision(environ)
	if err != nil {
		return err
	}
	parts, err := invocation.NewParts(cfg.Common, stdout, "provision")
	if err != nil {
		return err
	}
	history, err := record.Open(cfg.Base, parts.Credentials.Get)
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
		workflow: provision.Workflow{ESA: account, StepTime: cfg.ESATimeout, Timeout: cfg.ESATimeout},
		policy: retry.Policy{
			Base: cfg.RetryBase, Cap: cfg.RetryCap, MaxAttempts: cfg.RetryAttempts,
			MaxInternalAttempts: cfg.RetryInternalAttempts, MaxAge: cfg.RetryMaxAge,
		},
		lockPollMin: cfg.LockPollMin, lockPollMax: cfg.LockPollMax, reserve: cfg.Reserve,
		now: time.Now, draw: rand.Float64, sleep: invocation.Sleep, stopping: process.Stopping,
	})
	if err != nil {
		return err
	}
	invocation.Serve(process, parts, w.handle, history.Flush)
	return nil
}
