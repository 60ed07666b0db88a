// Package provision is the workflow of the product: what is done in ESA for each kind of job, so that running it again is always safe.
//
// Every step looks before it acts. What was there before is adopted only if the request allows it and it is what was asked for. What is there
// after an answer was lost is ours only if ESA's clock proves it: it was absent when we looked right before the call, and its CreateTime lies
// within the call. Nothing is altered or deleted but what is claimed as owned, and only if ESA shows at that moment the routine of the claim's
// CreateTime. A claim is written before the call that it is about, and what ESA answered with the claim of the next call, or at the end. The package
// does not know how a job was delivered, where claims are kept, and decides nothing about retries.
package provision

import (
	"context"
	"errors"
	"strings"
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
	// Timeout is the ESA client's time limit of one call: a call has ended at the latest when so much time has passed since the
	// look before it, so that a later run knows when it ended even if this one does not live to see it.
	Timeout time.Duration
	// Now is the clock by which calls are measured, sites are remembered and routines expire.
	Now func() time.Time
	// MayDelete says that routines and records may be deleted at all, and MayExpire that they may be because their time is over.
	MayDelete, MayExpire bool
}

// Workflow runs jobs against one ESA account, one after the other. Between runs it remembers which sites are active, for minutes; what a
// run learns of routines is in Known.
type Workflow struct {
	Config
	sites sites
	// quota is how many versions of its code a routine may have, as ESA said at quotaAt.
	quota   int
	quotaAt time.Time
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
	// Changed is set once a routine was made, and Deleted once one was deleted.
	Changed, Deleted bool
}

// Job is what Run carries out.
type Job struct {
	ID      string
	Request routine.Request
	// Caller is who asked, and Operate that the caller may alter what others own.
	Caller  string
	Operate bool
	// Number orders the job among the intents about its things, see routine.NextNumber.
	Number int64
	// Limits are what the caller may use.
	Limits routine.Limits
	// Source reads the code that the request names. It is asked only if the code is not in ESA; required of a request with code.
	Source func(context.Context) ([]byte, error)
}

// Begin records the progress of a job before a write to ESA.
type Begin = func(context.Context, routine.Progress) error

// Superseded says that nothing is left to do for a job, because a newer intent is about the same things.
type Superseded struct {
	// By is the job with that intent. It is empty for a job of the janitor about a routine that has no end and no job, as after its claim was lost:
	// nothing is to end then.
	By string
}

// Error names the newer job, if there is one.
func (s *Superseded) Error() string {
	if s.By == "" {
		return "superseded: nothing is left to end"
	}
	return "superseded by job " + s.By
}

// Run performs the steps that are not done and keeps progress up to date, so that a later Run with it
// resumes. begin is called with the progress as it is to be recorded: before the first write of the run, and right before every
// CreateRoutine call, whose look is in the progress. If begin or a change of claims fails, Run makes no further call and returns that error as
// it is. Another error is a *Superseded, or a *fault.Error. What the progress says at each begin, and in the end, is in the claims by then.
func (w *Workflow) Run(ctx context.Context, job Job, progress *routine.Progress, claims *Claims, known *Known, begin Begin) (routine.Result, error) {
	r := &run{Workflow: w, job: job, req: job.Request, progress: progress, claims: claims, known: known, onBegin: begin}
	err := r.perform(ctx)
	if lost := r.write(ctx); lost != nil {
		return routine.Result{}, lost
	}
	if err != nil {
		return routine.Result{}, err
	}
	return r.result(), nil
}

// run is one Run.
type run struct {
	*Workflow
	job      Job
	req      routine.Request
	progress *routine.Progress
	claims   *Claims
	known    *Known
	onBegin  Begin
	// begun is set once onBegin was called.
	begun bool
	// noted is what is to be written of the claims. lost is what a begin, a change or a reading of claims failed with: nothing more is called then.
	noted Changes
	lost  error
	// fresh is set once this run ended the step about the routine, and remembered if it did so without asking ESA.
	fresh, remembered bool
	// answered is set once ESA has answered a CreateRoutine call of this run with success. earlier is a call before it that may still take effect.
	answered bool
	earlier  *routine.Look
}

// perform carries out the steps that are not done.
func (r *run) perform(ctx context.Context) error {
	if err := r.allowed(ctx); err != nil {
		return err
	}
	for _, s := range r.steps() {
		if s.done() {
			continue
		}
		if err := r.enoughTime(ctx, s.name); err != nil {
			return err
		}
		if err := s.act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step is one part of a job: what it is named after, when it is done already, and what does it and reads back what became of it.
type step struct {
	name routine.Step
	done func() bool
	act  func(context.Context) error
}

// steps are what a job does, in this order.
func (r *run) steps() []step {
	never := func() bool { return false }
	switch r.req.Action {
	case routine.Delete:
		return []step{{routine.DeleteRoutine, never, r.deleteAll}}
	case routine.Expire:
		return []step{{routine.DeleteRoutineRelatedRecord, never, r.expire}}
	case routine.Remove:
		return []step{{routine.DeleteRoutine, never, r.remove}}
	case routine.Unbind:
		return []step{{routine.DeleteRoutineRelatedRecord, never, r.unbind}}
	case routine.TakeOwnership:
		return []step{{routine.GetRoutine, never, r.takeOwnership}}
	case routine.Rollback:
		return []step{{routine.CreateRoutineCodeDeployment, never, r.rollback}}
	case routine.Renew:
		return []step{{routine.GetRoutine, never, r.renew}, {routine.CreateRoutineRelatedRecord, never, r.bindAgain}}
	default:
		return []step{
			{routine.ListSites, r.hasRoutine, r.checkSites},
			{routine.CreateRoutine, r.hasRoutine, r.createRoutine},
			{routine.UpdateRoutineConfigDescription, r.isDescribed, r.describe},
			{routine.CommitRoutineStagingCode, r.isCoded, r.deployCode},
			{routine.CreateRoutineRelatedRecord, never, r.bindAll},
			{routine.CommitRoutineStagingCode, r.isCoded, r.deployCode}, // of a routine that was made again in the step before
			{routine.GetRoutine, r.isKept, r.keep},
			{routine.CreateRoutineRelatedRecord, r.isWhole, r.bindAgain},
		}
	}
}

// hasRoutine reports whether the job is done with the routine, and the claim does not say that this one is gone, or is another than what was asked for.
func (r *run) hasRoutine() bool {
	claim := r.claims.Routine
	if r.progress.Routine == "" || claim.State == routine.Gone {
		return false
	}
	replaced := !r.progress.RoutineCreated.IsZero() && !is(claim, r.progress.RoutineCreated)
	return !claim.There() || !replaced && !r.redescribed(claim)
}

// redescribed reports whether an older intent has given the routine another description than the one asked for.
func (r *run) redescribed(claim routine.Claim) bool {
	asked := r.req.Description
	return asked != nil && r.req.IfExists != routine.Update && claim.DescriptionNumber < r.job.Number && !sameDescription(*asked, claim.Description)
}

// result is what the job has achieved, once all its steps are done.
func (r *run) result() routine.Result {
	out := routine.Result{Code: r.progress.Code.Targets, Routine: r.progress.Routine, Records: r.progress.Records, More: r.progress.More, ExpiresAt: r.claims.Routine.ExpiresAt}
	var needCNAME []string
	for _, record := range out.Records {
		if record.NeedsCNAME {
			needCNAME = append(needCNAME, record.RecordName)
		}
	}
	out.Note = strings.TrimSpace(routine.CNAMENote(needCNAME) + " " + routine.NoEffectNote(r.req, r.claims.Routine.Ownership))
	if len(r.req.Records) == 1 && len(out.Records) == 1 {
		one := out.Records[0]
		if out.Record, out.RecordID = one.Outcome, one.RecordID; !one.NeedsCNAME && one.SupersededBy == "" && one.SiteID == r.req.Records[0].SiteID {
			out.Records = nil
		}
	}
	return out
}

// begin records the progress before a write to ESA. What is noted is written first: a later run with that progress does not find it out again.
func (r *run) begin(ctx context.Context) error {
	if err := r.write(ctx); err != nil {
		return err
	}
	r.begun = true
	r.lost = r.onBegin(ctx, *r.progress)
	return r.lost
}

// begunOnce is begin for writes that need no look of their own in the progress.
func (r *run) begunOnce(ctx context.Context) error {
	if r.begun {
		return nil
	}
	return r.begin(ctx)
}

// written notes whether ESA answered a write: it did not if the account is at fault or nobody knows.
func (r *run) written(failure *fault.Error) {
	if failure == nil || failure.RequestID != "" && failure.Kind != fault.Account && failure.Kind != fault.Unavailable {
		r.known.Written = true
	}
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
