package provision

import (
	"context"

	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

func (r *run) createRecord(ctx context.Context) (routine.Result, error) {
	if err := r.enoughTime(ctx, routine.CreateRoutineRelatedRecord); err != nil {
		return routine.Result{}, err
	}
	if r.progress.RecordUnknown && r.mayAdoptRecord() {
		if result, found, err := r.adoptRecord(ctx); found || err != nil {
			return result, err
		}
	}
	if !r.begun {
		if err := r.begin(ctx); err != nil {
			return routine.Result{}, err
		}
	}
	id, err := r.ESA.CreateRoutineRelatedRecord(ctx, r.req.Name, r.req.SiteID, r.req.RecordName)
	failure := fault.From(err)
	r.written(failure)
	switch {
	case err == nil:
		return routine.Result{Routine: r.progress.Routine, Record: routine.Created, RecordID: id}, nil
	case failure.Code == esa.CodeParameterAlreadyExist:
		return r.existingRecord(ctx, failure)
	case failure.OutcomeUnknown:
		r.progress.RecordUnknown = true
		if !r.mayAdoptRecord() {
			break
		}
		if result, found, _ := r.adoptRecord(ctx); found {
			return result, nil
		}
	}
	return routine.Result{}, err
}

// mayAdoptRecord reports whether a record that is bound to the routine already may be the job's. With "fail" it must come from an
// earlier call of this job: one had no known outcome, and nobody else could bind to the routine before this job made it.
func (r *run) mayAdoptRecord() bool {
	return r.req.IfExists != routine.Fail || r.progress.RecordUnknown && r.progress.Routine == routine.Created
}

// existingRecord decides about a record name that is taken.
func (r *run) existingRecord(ctx context.Context, taken *fault.Error) (routine.Result, error) {
	if !r.mayAdoptRecord() {
		return routine.Result{}, mustNotExist(taken)
	}
	result, found, err := r.adoptRecord(ctx)
	if found || err != nil {
		return result, err
	}
	if r.progress.RecordUnknown {
		// An earlier call of this job may have made the record and the list may not show it yet.
		failure := *taken
		failure.Kind = fault.Unavailable
		return routine.Result{}, &failure
	}
	return routine.Result{}, taken
}

// adoptRecord looks for exactly the record asked for among those bound to the routine.
func (r *run) adoptRecord(ctx context.Context) (routine.Result, bool, error) {
	id, found, err := r.ESA.FindRelatedRecord(ctx, r.req.Name, r.req.SiteID, r.req.RecordName)
	if !found || err != nil {
		return routine.Result{}, false, err
	}
	return routine.Result{Routine: r.progress.Routine, Record: routine.Adopted, RecordID: id}, true, nil
}
