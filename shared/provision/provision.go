// Package provision is the two-step workflow of the product: CreateRoutine, then CreateRoutineRelatedRecord, so that running
// it again is always safe.
//
// Each step acts, and where the answer leaves room for doubt asks ESA what exists. A thing that is there is adopted only if
// it is what was asked for; anything else is a conflict, never altered and never bound to. The package does not know how a
// request was delivered and decides nothing about retries.
package provision

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// CodeNoTime is the code of the fault that says that the next step does not fit before the context's deadline. Nothing of it
// was tried, so that its kind is Locked: the lane is not to be had now.
const CodeNoTime = "NoTimeLeft"

// Workflow runs requests against one ESA account.
type Workflow struct {
	// ESA is the account. Required.
	ESA *esa.Client
	// StepTime is how much time must be left before the context's deadline for a step to be started.
	StepTime time.Duration
}

// Run performs the steps that progress does not show as done and keeps progress up to date, so that a later Run with it
// resumes. The error is a *fault.Error.
func (w *Workflow) Run(ctx context.Context, req routine.Request, progress *routine.Progress) (routine.Result, error) {
	fresh := false
	if progress.Routine == "" {
		if err := w.createRoutine(ctx, req, progress); err != nil {
			return routine.Result{}, err
		}
		fresh = true
	}
	result, err := w.createRecord(ctx, req, progress)
	if !fault.HasCode(err, esa.CodeRoutineNotExist) {
		return result, err
	}
	if fresh {
		return routine.Result{}, notVisibleYet(err)
	}
	if progress.RoutineRecreated {
		return routine.Result{}, err
	}
	// The routine of an earlier attempt is gone. It is made once more; whoever deletes it again means it.
	progress.RoutineRecreated, progress.RoutineUnknown, progress.Routine = true, true, ""
	return w.Run(ctx, req, progress)
}

// notVisibleYet makes a retryable fault of RoutineNotExist right after step 1: ESA promises no read-after-write.
func notVisibleYet(err error) error {
	failure := *fault.From(err)
	failure.Kind = fault.Unavailable
	failure.Hint = "ESA does not show the new routine yet. It is retried; if it persists, look for the routine in the console."
	return &failure
}

func (w *Workflow) enoughTime(ctx context.Context, step routine.Step) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < w.StepTime {
		return &fault.Error{
			Kind: fault.Locked, Step: string(step), Code: CodeNoTime, Message: "not enough time left in this invocation",
			Hint: "If no job ever gets through, raise the function's timeout or lower ROUTINELY_ESA_TIMEOUT and ROUTINELY_RESERVE.",
		}
	}
	return nil
}

func (w *Workflow) createRoutine(ctx context.Context, req routine.Request, progress *routine.Progress) error {
	if err := w.enoughTime(ctx, routine.CreateRoutine); err != nil {
		return err
	}
	if progress.RoutineUnknown {
		if found, err := w.adoptRoutine(ctx, req, progress); found || err != nil {
			return err
		}
	}
	err := w.ESA.CreateRoutine(ctx, req.Name, req.Description, req.HasAssets)
	switch failure := fault.From(err); {
	case err == nil:
		progress.Routine = routine.Created
		return nil
	case failure.Code == esa.CodeRoutineAlreadyExist:
		return w.existingRoutine(ctx, req, progress, failure)
	case failure.OutcomeUnknown:
		progress.RoutineUnknown = true
		// Reading back now usually settles it; if it does not, the next attempt reads before it acts.
		if found, conflict := w.adoptRoutine(ctx, req, progress); found || fault.HasKind(conflict, fault.Conflict) {
			return conflict
		}
	}
	return err
}

// existingRoutine decides about a name that is taken.
func (w *Workflow) existingRoutine(ctx context.Context, req routine.Request, progress *routine.Progress, taken *fault.Error) error {
	if req.IfExists == routine.Fail && !progress.RoutineUnknown {
		return mustNotExist(taken)
	}
	found, err := w.adoptRoutine(ctx, req, progress)
	if fault.HasKind(err, fault.Conflict) {
		conflict := *fault.From(err)
		conflict.RequestID = taken.RequestID // of the call that was refused
		return &conflict
	}
	if found || err != nil {
		return err
	}
	// ESA refused the name and then did not show the routine: one of the two is about to change.
	failure := *taken
	failure.Kind = fault.Unavailable
	return &failure
}

// adoptRoutine reads the routine back. found means that it is there and is what was asked for; a routine that is something
// else is a conflict.
func (w *Workflow) adoptRoutine(ctx context.Context, req routine.Request, progress *routine.Progress) (found bool, err error) {
	actual, err := w.ESA.GetRoutine(ctx, req.Name)
	if fault.HasCode(err, esa.CodeRoutineNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if difference := compare(req, actual); difference != "" {
		return false, &fault.Error{
			Kind: fault.Conflict, Step: string(routine.CreateRoutine), Code: esa.CodeRoutineAlreadyExist,
			Message: fmt.Sprintf("routine %q exists and is not what was asked for: %s", req.Name, difference),
			Hint:    "Choose another name, or make the existing routine's description and hasAssets equal to the request's, then redrive.",
		}
	}
	progress.Routine = routine.Adopted
	return true, nil
}

// compare names the first difference between the wish and the routine; what the request leaves open is not compared.
func compare(req routine.Request, actual esa.Routine) string {
	if req.Description != nil && !sameDescription(*req.Description, actual.Description) {
		return fmt.Sprintf("description is %q, asked for %q", actual.Description, *req.Description)
	}
	if req.HasAssets != nil && *req.HasAssets != actual.HasAssets {
		return fmt.Sprintf("hasAssets is %t, asked for %t", actual.HasAssets, *req.HasAssets)
	}
	return ""
}

// sameDescription also takes the Base64 form, which the examples of ESA's Get and List pages show.
func sameDescription(asked, actual string) bool {
	return asked == actual || base64.StdEncoding.EncodeToString([]byte(asked)) == actual
}

func (w *Workflow) createRecord(ctx context.Context, req routine.Request, progress *routine.Progress) (routine.Result, error) {
	if err := w.enoughTime(ctx, routine.CreateRoutineRelatedRecord); err != nil {
		return routine.Result{}, err
	}
	if progress.RecordUnknown {
		if result, found, err := w.adoptRecord(ctx, req, progress); found || err != nil {
			return result, err
		}
	}
	id, err := w.ESA.CreateRoutineRelatedRecord(ctx, req.Name, req.SiteID, req.RecordName)
	switch failure := fault.From(err); {
	case err == nil:
		return routine.Result{Routine: progress.Routine, Record: routine.Created, RecordID: id}, nil
	case failure.Code == esa.CodeParameterAlreadyExist:
		return w.existingRecord(ctx, req, progress, failure)
	case failure.OutcomeUnknown:
		progress.RecordUnknown = true
		if result, found, _ := w.adoptRecord(ctx, req, progress); found {
			return result, nil
		}
	}
	return routine.Result{}, err
}

// existingRecord decides about a record name that is taken.
func (w *Workflow) existingRecord(ctx context.Context, req routine.Request, progress *routine.Progress, taken *fault.Error) (routine.Result, error) {
	if req.IfExists == routine.Fail && !progress.RecordUnknown {
		return routine.Result{}, mustNotExist(taken)
	}
	result, found, err := w.adoptRecord(ctx, req, progress)
	if found || err != nil {
		return result, err
	}
	if progress.RecordUnknown {
		// An earlier call of this job may have made the record and the list may not show it yet.
		failure := *taken
		failure.Kind = fault.Unavailable
		return routine.Result{}, &failure
	}
	return routine.Result{}, taken
}

// adoptRecord looks for exactly the record asked for among those bound to the routine.
func (w *Workflow) adoptRecord(ctx context.Context, req routine.Request, progress *routine.Progress) (routine.Result, bool, error) {
	id, found, err := w.ESA.FindRelatedRecord(ctx, req.Name, req.SiteID, req.RecordName)
	if !found || err != nil {
		return routine.Result{}, false, err
	}
	return routine.Result{Routine: progress.Routine, Record: routine.Adopted, RecordID: id}, true, nil
}

// mustNotExist is the answer to a request that says "ifExists": "fail".
func mustNotExist(taken *fault.Error) error {
	failure := *taken
	failure.Hint = `The request says "ifExists":"fail". If an interrupted attempt of this very job created it, submit again with "adopt".`
	return &failure
}
