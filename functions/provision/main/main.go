// Command provision is the function that the job queue triggers, see package provision.
package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	worker "routinely/functions/provision"
	"routinely/shared/callback"
	"routinely/shared/config"
	"routinely/shared/esa"
	"routinely/shared/invocation"
	"routinely/shared/ledger"
	"routinely/shared/provision"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

func main() {
	invocation.Main("provision", os.Exit, func(process invocation.Process) error {
		return run(process, os.Environ(), os.Stdout)
	})
}

// run joins the parts and serves with them as long as the process lives.
func run(process invocation.Process, environ []string, stdout io.Writer) error {
	cfg, err := config.LoadProvision(environ)
	if err != nil {
		return err
	}
	parts, err := invocation.NewParts(cfg.Function, stdout, "provision")
	if err != nil {
		return err
	}
	jobs, err := ledger.Open(cfg.Ledger, cfg.Prefix, parts.Credentials.Get)
	if err != nil {
		return err
	}
	account, err := esa.New(esa.Config{Endpoint: cfg.ESA.Endpoint, Credentials: parts.Credentials.Get, Timeout: cfg.ESA.Timeout})
	if err != nil {
		return err
	}
	var limits routine.Limits
	if cfg.QueueLimits != config.NoLimits {
		if limits, err = routine.ParseLimits(cfg.QueueLimits); err != nil {
			return fmt.Errorf("ROUTINELY_QUEUE_LIMITS: %w", err)
		}
	}
	workflow, err := provision.New(provision.Config{
		ESA: account, StepTime: cfg.ESA.Timeout, Timeout: cfg.ESA.Timeout, Now: time.Now,
		MayDelete: cfg.Deletion.MayDelete(), MayExpire: cfg.Deletion.MayExpire(),
	})
	if err != nil {
		return err
	}
	w, err := worker.New(worker.Config{
		QueueLimits: limits, Receivers: callback.PolicyOf(cfg.Receivers),
		Queue: parts.Jobs, Ledger: jobs, Workflow: workflow,
		Policy: retry.Policy{
			Base: cfg.RetryBase, Cap: cfg.RetryCap, MaxAttempts: cfg.RetryAttempts,
			MaxInternalAttempts: cfg.RetryInternalAttempts, MaxAge: cfg.RetryMaxAge,
			StoppedMin: cfg.ParkDelayMin, StoppedMax: cfg.ParkDelayMax,
		},
		LockPollMin: cfg.LockPollMin, LockPollMax: cfg.LockPollMax, ParkWait: cfg.ParkWait, Reserve: cfg.Reserve,
		Now: time.Now, Draw: rand.Float64, Bits: rand.Uint64, Sleep: retry.Sleep, Stopping: process.Stopping,
	})
	if err != nil {
		return err
	}
	invocation.Serve(process, parts, w.Handle, func(context.Context) {})
	return nil
}
