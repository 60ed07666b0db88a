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

// tolerance is by how much CreateTime may lie outside of a call's time: the Date of an answer and CreateTime are whole seconds, and
// may come from two machines.
const tolerance = time.Second

// reading is what a look showed and when it was answered, by our own clock.
type reading struct {
	esa.Reading
	answered time.Time
}

func (r *run) look(ctx context.Context) (reading, error) {
	seen, err := r.ESA.GetRoutine(ctx, r.req.Name)
	return reading{seen, time.Now()}, err
}

func (r *run) createRoutine(ctx context.Context) error {
	if err := r.enoughTime(ctx, routine.CreateRoutine); err != nil {
		return err
	}
	if seen, found := r.known.routines[r.req.Name]; found && r.take(esa.Reading{Routine: &seen}) == nil {
		r.remembered = true
		return nil
	} // a refusal is judged by what ESA shows now
	seen, err := r.look(ctx)
	if err != nil {
		return err
	}
	return r.createUnlessThere(ctx, seen)
}

// recreateRoutine makes the routine of an earlier attempt again, since ESA said to step 2 that it is gone.
func (r *run) recreateRoutine(ctx context.Context, gone error) error {
	if err := r.enoughTime(ctx, routine.CreateRoutine); err != nil {
		return err
	}
	seen, err := r.look(ctx)
	if err != nil {
		return err
	}
	known := r.progress.RoutineCreated
	if seen.Routine != nil && !known.IsZero() && known.Equal(seen.Routine.CreateTime) {
		return notVisible(gone)
	}
	r.progress.RoutineRecreated, r.progress.Routine, r.progress.RoutineCreated = true, "", time.Time{}
	return r.createUnlessThere(ctx, seen)
}

func (r *run) createUnlessThere(ctx context.Context, seen reading) error {
	if seen.Routine != nil {
		return r.take(seen.Reading)
	}
	before := r.progress.Look
	earlier := stillOpen(before, seen.At)
	r.progress.Look = &routine.Look{At: seen.At, Until: latest(seen.At.Add(r.Timeout), earlier)}
	if err := r.begin(ctx); err != nil {
		r.progress.Look = before // no call was made
		return err
	}
	return r.call(ctx, seen, earlier)
}

// call is the CreateRoutine call after a look that showed no routine. earlier is a call of ours that may still take effect.
func (r *run) call(ctx context.Context, seen reading, earlier *routine.Look) error {
	bounded, cancel := context.WithDeadline(ctx, seen.answered.Add(r.Timeout))
	err := r.ESA.CreateRoutine(bounded, r.req.Name, r.req.Description, r.req.HasAssets)
	cancel()
	failure := fault.From(err)
	r.written(failure)
	switch {
	case err == nil:
		r.known.Created = true
		r.done(routine.Created, r.asked())
		return nil
	case failure.OutcomeUnknown:
		ended := seen.At.Add(time.Since(seen.answered))
		r.progress.Look = &routine.Look{At: seen.At, Until: latest(ended, earlier)}
		return r.readBack(ctx, failure)
	}
	r.progress.Look = earlier
	if failure.Kind == fault.Conflict { // the name is taken, in any of its spellings
		return r.nameTaken(ctx, failure)
	}
	return err
}

// stillOpen is an earlier look whose call may still take effect now, with now, at which there was no routine, as its beginning;
// nil if there is none.
func stillOpen(look *routine.Look, now time.Time) *routine.Look {
	if look == nil || now.After(look.Until.Add(tolerance)) {
		return nil
	}
	return &routine.Look{At: now, Until: look.Until}
}

// latest is the later of t and the end of an earlier call, if there is one.
func latest(t time.Time, earlier *routine.Look) time.Time {
	if earlier != nil && earlier.Until.After(t) {
		return earlier.Until
	}
	return t
}

// readBack settles a call without a known outcome if ESA shows the routine; otherwise the next run looks before it acts.
func (r *run) readBack(ctx context.Context, lost *fault.Error) error {
	seen, err := r.ESA.GetRoutine(ctx, r.req.Name)
	if err != nil || seen.Routine == nil {
		return lost
	}
	return r.take(seen)
}

// nameTaken decides about a routine that ESA showed only by refusing its name.
func (r *run) nameTaken(ctx context.Context, taken *fault.Error) error {
	if r.req.IfExists == routine.Fail && r.progress.Look == nil {
		return mustNotExist(taken)
	}
	seen, err := r.ESA.GetRoutine(ctx, r.req.Name)
	if err != nil {
		return err
	}
	if seen.Routine == nil {
		// ESA refused the name and then did not show the routine: one of the two is about to change.
		failure := *taken
		failure.Kind = fault.Unavailable
		return &failure
	}
	seen.RequestID = taken.RequestID // of the call that was refused
	return r.take(seen)
}

// take decides about a routine that is there: it is the job's own if a call of ours is proven to have made it; anything else is
// adopted if the request allows it and it is what was asked for.
func (r *run) take(seen esa.Reading) error {
	if proven(r.progress.Look, seen.Routine.CreateTime) {
		r.done(routine.Created, *seen.Routine)
		return nil
	}
	conflict := fault.Error{
		Kind: fault.Conflict, Step: string(routine.CreateRoutine), Code: esa.CodeRoutineAlreadyExist, RequestID: seen.RequestID,
	}
	if r.req.IfExists == routine.Fail {
		conflict.Message = fmt.Sprintf("routine %q exists and is not proven to be made by this job", r.req.Name)
		return mustNotExist(&conflict)
	}
	if difference := compare(r.req, *seen.Routine); difference != "" {
		conflict.Message = fmt.Sprintf("routine %q exists and is not what was asked for: %s", r.req.Name, difference)
		conflict.Hint = "Choose another name, or make the existing routine's description and hasAssets equal to the request's, then redrive."
		return &conflict
	}
	r.done(routine.Adopted, *seen.Routine)
	return nil
}

// proven reports whether the call after the look made the routine: ESA's CreateTime lies within the call. A zero CreateTime, which
// ESA did not show readably, proves nothing.
func proven(look *routine.Look, created time.Time) bool {
	return look != nil && !created.Before(look.At.Add(-tolerance)) && !created.After(look.Until.Add(tolerance))
}

// done ends step 1 with the routine that is there; its CreateTime is zero where it was not read.
func (r *run) done(outcome routine.Outcome, there esa.Routine) {
	r.progress.Routine, r.progress.RoutineCreated, r.progress.Look = outcome, there.CreateTime, nil
	r.fresh = true
	if r.known.routines == nil {
		r.known.routines = map[string]esa.Routine{}
	}
	r.known.routines[r.req.Name] = there
}

// asked is the routine that a CreateRoutine call has made: ESA takes over what was asked for.
func (r *run) asked() esa.Routine {
	var made esa.Routine
	if r.req.Description != nil {
		made.Description = *r.req.Description
	}
	made.HasAssets = r.req.HasAssets != nil && *r.req.HasAssets
	return made
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

// mustNotExist is the answer to a request that says "ifExists": "fail".
func mustNotExist(taken *fault.Error) error {
	failure := *taken
	failure.Hint = `The request says "ifExists":"fail". If an interrupted attempt of this very job created it, submit again with "adopt".`
	return &failure
}
