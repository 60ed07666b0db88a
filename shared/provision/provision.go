// Package provision is the workflow of the product: look the site up, CreateRoutine, then CreateRoutineRelatedRecord, so that running
// it again is always safe.
//
// Step 1 looks before it acts, and what was there before is adopted only if the request allows it and it is what was asked for.
// A routine that is found after an answer was lost is the job's own only if ESA's clock proves it: it was absent when we looked
// right before the call, and its CreateTime lies within the call. Nothing that exists is altered. The package does not know how a
// request was delivered and decides nothing about retries.
package provision

import (
	"context"
	"errors"
	"time"

	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// CodeNoTime is the code of the fault that says that the next step does not fit before the context's deadline. Nothing of it
// was tried, so it is reported as Locked and costs no attempt.
const CodeNoTime = "NoTimeLeft"

// Config is what a Workflow needs. Every field is required.
type Config struct {
	// ESA is the account.
	ESA *esa.Client
	// StepTime is how much time must be left before the context's deadline for a step to be started.
	StepTime time.Duration
	// Timeout is the ESA client's time limit of one call: a CreateRoutine call has ended at the latest when so much time has passed since the
	// look before it, so that a later run knows when it ended even if this one does not live to see it.
	Timeout time.Duration
	// Now is the clock by which sites are remembered.
	Now func() time.Time
}

// Workflow runs requests against one ESA account, one after the other. Between runs it remembers which sites are active, for minutes; what a
// run learns of routines is in Known.
type Workflow struct {
	Config
	sites sites
}

// New checks the configuration and returns a workflow. It makes no call.
func New(cfg Config) (*Workflow, error) {
	if cfg.ESA == nil || cfg.StepTime <= 0 || cfg.Timeout <= 0 || cfg.Now == nil {
		return nil, errors.New("provision: an ESA client, the times of a step and of a call, and a clock are required")
	}
	return &Workflow{Config: cfg}, nil
}

// Known is what one invocation has learned of the account: within it, what is known is not asked again. The zero Known knows nothing.
type Known struct {
	// routines are those that ESA has shown, or has made for a job of this invocation.
	routines map[string]esa.Routine
	// noSites is why the sites could not be listed.
	noSites error
	// Written is set once ESA has answered a write: it works for the account. Whoever wants to see the next answer takes it back.
	Written bool
	// Created is set once a routine was made.
	Created bool
}

// Begin records the progress of a job before a write to ESA.
type Begin = func(context.Context, routine.Progress) error

// Run performs the steps that progress does not show as done and keeps progress up to date, so that a later Run with it
// resumes. begin is called with the progress as it is to be recorded: before the first write of the run, and right before every
// CreateRoutine call, whose look is in the progress. If begin fails, Run makes no further call and returns that error as it is;
// every other error is a *fault.Error.
func (w *Workflow) Run(ctx context.Context, req routine.Request, progress *routine.Progress, known *Known, begin Begin) (routine.Result, error) {
	r := run{Workflow: w, req: req, progress: progress, known: known, onBegin: begin}
	return r.steps(ctx)
}

// run is one Run.
type run struct {
	*Workflow
	req      routine.Request
	progress *routine.Progress
	known    *Known
	onBegin  Begin
	// begun is set once onBegin was called.
	begun bool
	// fresh is set once this run ended step 1, and remembered if it did so without asking ESA.
	fresh, remembered bool
}

func (r *run) steps(ctx context.Context) (routine.Result, error) {
	if r.progress.Routine == "" {
		if err := r.checkSite(ctx); err != nil {
			return routine.Result{}, err
		}
		if err := r.createRoutine(ctx); err != nil {
			return routine.Result{}, err
		}
	}
	result, err := r.createRecord(ctx)
	if !fault.HasCode(err, esa.CodeRoutineNotExist) {
		return result, err
	}
	delete(r.known.routines, r.req.Name)
	switch {
	case r.remembered: // it was there a moment ago, for another job: ESA is asked now
		r.progress.Routine, r.remembered = "", false
		return r.steps(ctx)
	case r.fresh:
		return routine.Result{}, notVisible(err)
	case r.progress.RoutineRecreated:
		// It was made a second time already; who deletes it again means it.
		return routine.Result{}, err
	}
	if err := r.recreateRoutine(ctx, err); err != nil {
		return routine.Result{}, err
	}
	return r.steps(ctx)
}

// begin records the progress before a write.
func (r *run) begin(ctx context.Context) error {
	r.begun = true
	return r.onBegin(ctx, *r.progress)
}

// written notes whether ESA answered a write: it did not if the account is at fault or nobody knows.
func (r *run) written(failure *fault.Error) {
	if failure == nil || failure.RequestID != "" && failure.Kind != fault.Account && failure.Kind != fault.Unavailable {
		r.known.Written = true
	}
}

// notVisible makes a retryable fault of RoutineNotExist about a routine that is there: ESA promises no read-after-write.
func notVisible(err error) error {
	failure := *fault.From(err)
	failure.Kind = fault.Unavailable
	failure.Hint = "ESA made the routine and does not show it. Look for it in the console, then redrive."
	return &failure
}

func (r *run) enoughTime(ctx context.Context, step routine.Step) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < r.StepTime {
		return NoTime(step)
	}
	return nil
}

// NoTime is the fault with CodeNoTime of a step that is not started.
func NoTime(step routine.Step) *fault.Error {
	return &fault.Error{
		Kind: fault.Locked, Step: string(step), Code: CodeNoTime, Message: "not enough time left in this invocation",
		Hint: "If no job ever gets through, raise the function's timeout or lower ROUTINELY_ESA_TIMEOUT and ROUTINELY_RESERVE.",
	}
}
