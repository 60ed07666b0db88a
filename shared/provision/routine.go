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
	return reading{seen, r.Now()}, err
}

// within bounds a call after a look: with both together no more time passes than one call may take.
func (r *run) within(ctx context.Context, seen reading) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.Timeout-r.Now().Sub(seen.answered))
}

// atESA is the present by ESA's clock.
func (r *run) atESA(seen reading) time.Time { return seen.At.Add(r.Now().Sub(seen.answered)) }

// createRoutine makes the routine unless it is there. A deletion that was begun and not read back is finished first: what it is about is not adopted.
func (r *run) createRoutine(ctx context.Context) error {
	if r.claims.Routine.State == routine.Deleting {
		if err := r.finishDeletion(ctx); err != nil {
			return err
		}
	}
	// What is remembered counts only if the claim says the same: after a panic, or if the ledger did not take it, the claim does not.
	if seen, found := r.known.routines[r.req.Name]; found && r.claims.Routine.There() && is(r.claims.Routine, seen.CreateTime) {
		if err := r.take(ctx, esa.Reading{Routine: &seen}); err == nil {
			r.remembered = true
			return nil
		} // a refusal is judged by what ESA shows now
	}
	seen, err := r.look(ctx)
	if err != nil {
		return err
	}
	return r.createUnlessThere(ctx, seen)
}

// recreateRoutine makes the routine of an earlier attempt again, since ESA said to the next step that it is gone.
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
	if open := r.deletionOpen(seen.At); open != nil { // what is there now could go with it
		return open
	}
	if seen.Routine != nil {
		return r.take(ctx, seen.Reading)
	}
	r.progress.Records, r.progress.Code = nil, routine.CodeProgress{} // what an earlier one had went with it
	before := r.progress.Look
	earlier := r.openBefore(seen.At)
	r.progress.Look = &routine.Look{At: seen.At, Until: latest(seen.At.Add(r.Timeout), earlier)}
	if err := r.begin(ctx); err != nil {
		r.progress.Look = before // no call was made
		return err
	}
	if err := r.change(ctx, r.creating(r.claims.Routine)); err != nil {
		return err
	}
	if r.claims.Routine.State != routine.Creating {
		r.progress.Look = before
		return &fault.Error{
			Kind: fault.Locked, Step: string(routine.CreateRoutine), Code: CodeCallOpen, RetryAfter: tolerance,
			Message: "another worker has made the routine a moment ago", Hint: "Nothing needs to be done: ESA is asked again.",
		}
	}
	return r.call(ctx, seen, earlier)
}

// creating makes a claim that of a call that is about to be made. One of a routine that another worker has made since the claim was read stays.
func (r *run) creating(was routine.Claim) func(*routine.Claim) {
	return func(c *routine.Claim) {
		if c.There() && !(was.There() && c.CreateTime.Equal(was.CreateTime)) {
			return
		}
		description := c.DescriptionNumber
		if r.req.Description != nil {
			description = max(description, r.job.Number)
		}
		*c = routine.Claim{
			Name: c.Name, State: routine.Creating, Caller: r.job.Caller, CallbackURL: r.req.CallbackURL, Call: r.progress.Look,
			CreateNumber: max(c.CreateNumber, r.job.Number), DeleteNumber: c.DeleteNumber, DescriptionNumber: description, ExpiryNumber: c.ExpiryNumber,
			CreateJob: r.job.ID, DeleteJob: c.DeleteJob, ExpiryJob: c.ExpiryJob, Overtook: c.Overtook, MadeAt: c.MadeAt,
			Deployed: c.Remaining(),
		}
	}
}

// lookBefore is the look before the latest CreateRoutine call of which nobody knows what became: of this job, or of an earlier one.
func (r *run) lookBefore() *routine.Look {
	if r.progress.Look == nil && r.claims.Routine.State == routine.Creating {
		return r.claims.Routine.Call
	}
	return r.progress.Look
}

// openBefore is the CreateRoutine call that may still take effect, of this job or of another one; of several the one that ends last. The claim says until
// when that may be, and not when its client gave up.
func (r *run) openBefore(now time.Time) *routine.Look {
	open, others := stillOpen(r.lookBefore(), now), stillOpen(r.claims.Routine.Call, now)
	if open == nil || others != nil && others.Until.After(open.Until) {
		return others
	}
	return open
}

// call is the CreateRoutine call after a look that showed no routine. earlier is a call of ours that may still take effect.
func (r *run) call(ctx context.Context, seen reading, earlier *routine.Look) error {
	bounded, cancel := r.within(ctx, seen)
	err := r.ESA.CreateRoutine(bounded, r.req.Name, r.req.Description, r.req.HasAssets)
	cancel()
	failure := fault.From(err)
	r.written(failure)
	switch {
	case err == nil:
		r.known.Changed, r.answered, r.earlier = true, true, earlier
		r.progress.Look = &routine.Look{At: seen.At, Until: latest(r.atESA(seen), earlier)}
		return r.readCreated(ctx)
	case failure.OutcomeUnknown:
		r.progress.Look = &routine.Look{At: seen.At, Until: latest(r.atESA(seen), earlier)}
		return r.readBack(ctx, failure)
	}
	r.progress.Look = earlier
	// The call made nothing, whatever ESA shows now. That is written at once, and what the ledger holds is seen: perhaps another worker has made it.
	if lost := r.change(ctx, func(c *routine.Claim) {
		if c.State != routine.Creating {
			return
		}
		if c.Call = earlier; earlier == nil {
			c.State = routine.Gone
		}
	}); lost != nil {
		return lost
	}
	if failure.Kind == fault.Conflict { // the name is taken, in any of its spellings
		return r.nameTaken(ctx, failure)
	}
	return err
}

// readCreated reads back the routine that ESA says it has made: its CreateTime tells it from any other of its name.
func (r *run) readCreated(ctx context.Context) error {
	seen, err := r.ESA.GetRoutine(ctx, r.req.Name)
	if err != nil {
		return err
	}
	if seen.Routine == nil {
		return notVisible(&fault.Error{Step: string(routine.GetRoutine), Code: esa.CodeRoutineNotExist, RequestID: seen.RequestID, Message: "the routine was just created"})
	}
	r.own(seen, routine.Created)
	return nil
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
	return r.take(ctx, seen)
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
	return r.take(ctx, seen)
}

// take decides about a routine that is there: it is the job's own if a call of ours is proven to have made it; anything else is
// adopted if the request allows it and it is what was asked for.
func (r *run) take(ctx context.Context, seen esa.Reading) error {
	claim, created := r.claims.Routine, seen.Routine.CreateTime
	known := claim.There() && is(claim, created)
	// A call of another job can have made it within the time of ours, which had no effect: then the claim says so.
	anothers := known && claim.Ownership == routine.Owned && claim.CreateJob != r.job.ID
	ours := !anothers && proven(r.lookBefore(), created)
	switch {
	case ours && (claim.CreateJob == r.job.ID || claim.State != routine.Creating && r.progress.Look != nil):
		// Of several jobs that called without an answer the one that called last counts as the maker.
		r.own(seen, routine.Created)
		return nil
	case known && claim.CreateJob == r.job.ID && claim.Ownership == routine.Owned: // by an earlier attempt, or in an earlier round
		if r.redescribed(claim) {
			if err := r.equals(seen); err != nil {
				return err
			}
		}
		r.done(routine.Created, *seen.Routine)
		return nil
	}
	if err := r.fits(seen); err != nil {
		return err
	}
	switch {
	case known: // nothing new
		r.done(routine.Adopted, *seen.Routine)
		return nil
	case ours: // another job has made it
		r.own(seen, routine.Adopted)
		return nil
	}
	ownership := routine.AdoptedThing
	if r.lookBefore() != nil { // a call of ours had no answer, and nothing proves that it made this one
		ownership = routine.Unproven
	}
	if err := r.begunOnce(ctx); err != nil {
		return err
	}
	r.note(func(c *routine.Claim) {
		if c.CreateNumber < r.job.Number {
			c.CreateNumber, c.CreateJob = r.job.Number, r.job.ID
		}
		c.Caller, c.CallbackURL, c.Expiry, c.ExpiresAt, c.Protected, c.Labels = r.job.Caller, r.req.CallbackURL, nil, time.Time{}, false, nil
		r.live(c, seen, ownership)
	})
	r.done(routine.Adopted, *seen.Routine)
	return nil
}

// is reports whether the routine that ESA shows is the one of the claim. A CreateTime that was never read tells nothing.
func is(claim routine.Claim, created time.Time) bool {
	return !created.IsZero() && claim.CreateTime.Equal(created)
}

// own notes that the routine that ESA shows was made by a call of ours.
func (r *run) own(seen esa.Reading, outcome routine.Outcome) {
	ownership := routine.Owned
	if seen.Routine.CreateTime.IsZero() { // it could not be told from another one later
		ownership = routine.Unproven
	}
	r.note(func(c *routine.Claim) { r.live(c, seen, ownership) })
	r.done(outcome, *seen.Routine)
}

// live is a claim of the routine that ESA shows. It keeps a call that may still take effect: should the routine be deleted soon, that makes it again.
func (r *run) live(c *routine.Claim, seen esa.Reading, ownership routine.Ownership) {
	switch {
	case r.answered:
		c.Call = r.earlier
	case stillOpen(c.Call, seen.At) == nil:
		c.Call = nil
	}
	c.State, c.Ownership, c.CreateTime = routine.Live, ownership, seen.Routine.CreateTime
	c.Description, c.HasAssets, c.SeenAt = seen.Routine.Description, seen.Routine.HasAssets, seen.At
}

// fits refuses a routine that is there and that the request does not take as it is.
func (r *run) fits(seen esa.Reading) error {
	if r.req.IfExists == routine.Fail {
		return mustNotExist(exists(seen, fmt.Sprintf("routine %q exists and is not proven to be made by this job", r.req.Name)))
	}
	return r.equals(seen)
}

// equals refuses a routine that is not what was asked for.
func (r *run) equals(seen esa.Reading) error {
	asked := r.req
	if asked.IfExists == routine.Update {
		asked.Description = nil // a later step gives it
	}
	difference := compare(asked, *seen.Routine)
	if difference == "" {
		return nil
	}
	conflict := exists(seen, fmt.Sprintf("routine %q exists and is not what was asked for: %s", r.req.Name, difference))
	conflict.Hint = "Choose another name, or make the existing routine's description and hasAssets equal to the request's, then redrive."
	return conflict
}

func exists(seen esa.Reading, message string) *fault.Error {
	return &fault.Error{
		Kind: fault.Conflict, Step: string(routine.CreateRoutine), Code: esa.CodeRoutineAlreadyExist, RequestID: seen.RequestID, Message: message,
	}
}

// proven reports whether the call after the look made the routine: ESA's CreateTime lies within the call. A zero CreateTime, which
// ESA did not show readably, proves nothing.
func proven(look *routine.Look, created time.Time) bool {
	return look != nil && !created.Before(look.At.Add(-tolerance)) && !created.After(look.Until.Add(tolerance))
}

// done ends the step about the routine with the one that is there.
func (r *run) done(outcome routine.Outcome, there esa.Routine) {
	r.progress.Routine, r.progress.RoutineCreated, r.progress.Look = outcome, there.CreateTime, nil
	r.fresh = true
	r.remember(there)
}

// remember keeps what ESA shows of the routine for the other jobs of the invocation.
func (r *run) remember(there esa.Routine) {
	if r.known.routines == nil {
		r.known.routines = map[string]esa.Routine{}
	}
	r.known.routines[r.req.Name] = there
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

// notVisible makes a retryable fault of RoutineNotExist about a routine that is there: ESA promises no read-after-write.
func notVisible(err error) error {
	failure := *fault.From(err)
	failure.Kind = fault.Unavailable
	failure.Hint = "ESA made the routine and does not show it. Look for it in the console, then redrive."
	return &failure
}

// mustNotExist is the answer to a request that says "ifExists": "fail".
func mustNotExist(taken *fault.Error) error {
	failure := *taken
	failure.Hint = `The request says "ifExists":"fail". If an interrupted attempt of this very job created it, submit again with "adopt".`
	return &failure
}
