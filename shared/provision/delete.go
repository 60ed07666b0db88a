package provision

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Codes of faults of deletions.
const (
	// CodeNotOwned: what is to be altered or deleted is not claimed as owned, or ESA shows another one of its name.
	CodeNotOwned = "NotOwned"
	// CodeNotOwner: it is another caller's.
	CodeNotOwner = "NotOwner"
	// CodeProtected: only its owner's host names may be bound to the routine.
	CodeProtected = "Protected"
	// CodeForeign: something that is not owned would go with the routine.
	CodeForeign = "BoundByOthers"
	// CodeCallOpen: a call of ours about the same thing may still take effect.
	CodeCallOpen = "CallOpen"
	// CodeDeletionOff: the deployment does not delete.
	CodeDeletionOff = "DeletionOff"
	// CodeNotGone: ESA still shows what it says it has deleted.
	CodeNotGone = "NotGone"
)

// foreignPatience is how long a record that nobody claims is looked at again before it refuses a deletion: a claim may be on its way.
const foreignPatience = 10 * time.Minute

// deletion is the end of one routine in one run.
type deletion struct {
	*run
	// number is that of the deletion's intent: of a deletion that a newer create finishes, the earlier one's.
	number int64
	// own are the records to be deleted, with their ids in ESA.
	own []routine.RecordClaim
	// newer is the job of a newer intent, which wants the routine to stay; empty if there is none.
	newer string
	// foreign names what is not owned, foreignSeen is ESA's id of the call that listed the last of it, and unknown is set if some of it is a record that
	// nobody claims.
	foreign     []string
	foreignSeen string
	unknown     bool
}

// deleteAll unbinds the routine's own host names and deletes it. Whatever a newer intent is about stays.
func (r *run) deleteAll(ctx context.Context) error {
	if err := r.intend(ctx); err != nil {
		return err
	}
	return r.delete(ctx, r.job.Number)
}

// intend writes the deletion's number to the claim, unless whoever accepted it did so.
func (r *run) intend(ctx context.Context) error {
	if r.claims.Routine.DeleteNumber >= r.job.Number {
		return nil
	}
	return r.change(ctx, func(c *routine.Claim) {
		if c.DeleteNumber < r.job.Number {
			c.DeleteNumber, c.DeleteJob, c.Overtook = r.job.Number, r.job.ID, nil
		}
	})
}

// finishDeletion carries out a deletion that was begun before, for a newer create. If another worker has bound host names for a newer intent meanwhile,
// the routine stays: there is nothing to finish.
func (r *run) finishDeletion(ctx context.Context) error {
	err := r.delete(ctx, r.claims.Routine.DeleteNumber)
	var newer *Superseded
	if errors.As(err, &newer) {
		r.note(func(c *routine.Claim) {
			if c.State == routine.Deleting {
				c.State = routine.Live
			}
		})
		return nil
	}
	return err
}

// delete carries out the deletion of a number: own records, then the routine, then its absence is read back.
func (r *run) delete(ctx context.Context, number int64) error {
	d := &deletion{run: r, number: number}
	if claim := r.claims.Routine; claim.CreateNumber > number && claim.State != routine.Deleting {
		d.newer = claim.CreateJob
	}
	seen, err := r.ESA.GetRoutine(ctx, r.req.Name)
	if err != nil {
		return err
	}
	if seen.Routine == nil || d.replaced(seen.Routine.CreateTime) {
		return d.absent(ctx, seen)
	}
	d.settle(seen)
	if err := d.mayDelete(seen); err != nil {
		return err
	}
	if err := d.inspect(ctx); err != nil {
		return err
	}
	if err := d.refuseForeign(seen.At); err != nil {
		return err
	}
	for _, record := range d.own {
		if err := d.deleteRecord(ctx, record, d.number); err != nil {
			var newer *Superseded
			if !errors.As(err, &newer) {
				return err
			}
			d.newer = newer.By
		}
	}
	switch {
	case d.newer == "":
		return d.deleteRoutine(ctx)
	case len(r.progress.Records) == 0:
		return &Superseded{By: d.newer}
	}
	r.progress.Routine = routine.Passed
	return nil
}

// replaced reports whether ESA shows another routine than the one whose deletion was begun: that one is gone.
func (d *deletion) replaced(created time.Time) bool {
	claim := d.claims.Routine
	known := !claim.CreateTime.IsZero() && !created.IsZero()
	return claim.State == routine.Deleting && known && !is(claim, created) && !proven(claim.Call, created)
}

// absent ends a deletion of a routine that ESA does not show. A create of ours that may still take effect is waited for.
func (d *deletion) absent(ctx context.Context, seen esa.Reading) error {
	claim := d.claims.Routine
	if open := stillOpen(claim.Call, seen.At); open != nil {
		return callOpen("a CreateRoutine call", open.Until.Sub(seen.At))
	}
	if d.newer != "" { // it was deleted by somebody else; the newer job makes it again
		return &Superseded{By: d.newer}
	}
	outcome := routine.Absent
	if claim.State == routine.Deleting {
		outcome = routine.Deleted
	}
	return d.gone(ctx, seen, outcome)
}

// gone writes down that the routine is not there, and that with it none of its host names is.
func (d *deletion) gone(ctx context.Context, seen esa.Reading, outcome routine.Outcome) error {
	rows, err := d.allRecords(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if open := d.bindingOpen(row); open != nil { // it binds to whatever has the name by then
			return open
		}
	}
	for _, row := range rows {
		if row.State == routine.Gone && !row.Expired {
			continue
		}
		d.noteRecord(row.RecordName, func(c *routine.RecordClaim) { c.State, c.RecordID, c.Expired = routine.Gone, 0, false })
	}
	delete(d.known.routines, d.req.Name)
	d.known.Deleted = true
	if d.number == d.job.Number {
		d.progress.Routine = outcome
	}
	d.note(func(c *routine.Claim) {
		c.State, c.Ownership, c.Expiry, c.ExpiresAt, c.Reason, c.SeenAt = routine.Gone, "", nil, time.Time{}, "", seen.At
		c.Description, c.Protected, c.Labels, c.Call = "", false, nil, nil
		if stillOpen(c.DeleteCall, seen.At) == nil {
			c.DeleteCall = nil
		}
	})
	return nil
}

// deletionOpen is why a routine is not made or adopted yet: a DeleteRoutine call of ours may still take effect. Nil if none may.
func (r *run) deletionOpen(now time.Time) error {
	if open := stillOpen(r.claims.Routine.DeleteCall, now); open != nil {
		return callOpen("a DeleteRoutine call", open.Until.Sub(now))
	}
	return nil
}

// bindingOpen is why a host name is not unbound yet: a call of ours to bind it may still take effect. Nil if none may.
func (r *run) bindingOpen(claim routine.RecordClaim) error {
	if wait := claim.CallUntil.Sub(r.Now()); wait > 0 {
		return callOpen("a CreateRoutineRelatedRecord call", wait)
	}
	return nil
}

// callOpen is reported as Locked: the job waits, and no attempt counts.
func callOpen(what string, wait time.Duration) error {
	return &fault.Error{
		Kind: fault.Locked, Step: string(routine.GetRoutine), Code: CodeCallOpen, RetryAfter: wait + tolerance,
		Message: what + " of an earlier job had no answer and may still take effect", Hint: "Nothing needs to be done: ESA is asked again.",
	}
}

// inspect walks all routes and records of the routine, and tells what is own from what is foreign.
func (d *deletion) inspect(ctx context.Context) error {
	routes, err := d.ESA.Routes(ctx, d.req.Name)
	if err != nil {
		return err
	}
	records, err := d.ESA.RelatedRecords(ctx, d.req.Name)
	if err != nil {
		return err
	}
	rows, err := d.allRecords(ctx)
	if err != nil {
		return err
	}
	claimed := make(map[string]routine.RecordClaim, len(rows))
	for _, row := range rows {
		claimed[row.RecordName] = row
		if row.Number > d.number && !row.Leaving && (row.State == routine.Creating || row.State == routine.Live) { // whether ESA lists it yet or not
			d.newer = row.JobID
		}
	}
	for _, route := range routes {
		d.foreign, d.foreignSeen = append(d.foreign, fmt.Sprintf("route %q of site %d", route.RouteName, route.SiteID)), route.RequestID
	}
	for _, record := range records {
		name := strings.ToLower(record.RecordName)
		row, known := claimed[name]
		delete(claimed, name)
		switch {
		case known && row.RecordID == record.RecordID && row.Ownership == routine.Owned:
			d.own = append(d.own, row)
		default:
			d.foreign, d.foreignSeen = append(d.foreign, fmt.Sprintf("record %s of site %d", record.RecordName, record.SiteID)), record.RequestID
			d.unknown = d.unknown || !known || row.State == routine.Creating
		}
	}
	for _, row := range rows {
		if open := d.bindingOpen(row); open != nil && d.newer == "" { // it would stay behind
			return open
		}
		if _, absent := claimed[row.RecordName]; absent && row.State == routine.Deleting { // by a call whose answer was lost
			d.unbound(row, routine.Deleted)
		}
	}
	return nil
}

// refuseForeign refuses a deletion that something foreign would go with. Of a record that nobody claims a claim may be on its way: it is looked at
// again for a while. If the routine stays because of a newer intent, what is foreign keeps nobody from unbinding what is own.
func (d *deletion) refuseForeign(now time.Time) error {
	if len(d.foreign) == 0 || d.newer != "" {
		d.progress.ForeignSince = time.Time{}
		return nil
	}
	const most = 5
	names := strings.Join(d.foreign[:min(len(d.foreign), most)], ", ")
	if over := len(d.foreign) - most; over > 0 {
		names += fmt.Sprintf(" and %d more", over)
	}
	refused := &fault.Error{
		Kind: fault.Conflict, Step: string(routine.ListRoutineRelatedRecords), Code: CodeForeign, RequestID: d.foreignSeen,
		Message: fmt.Sprintf("what is not claimed as owned would go with routine %q: %s", d.req.Name, names),
		Hint:    "Nothing was deleted. Remove it in the ESA console, or claim it (routinely routines claim " + d.req.Name + "), then redrive.",
	}
	if d.progress.ForeignSince.IsZero() {
		d.progress.ForeignSince = now
	}
	if d.unknown && now.Sub(d.progress.ForeignSince) < foreignPatience {
		refused.Kind, refused.RetryAfter = fault.Throttled, foreignPatience/4
	}
	return refused
}

// deleteRecord deletes one own record for the intent of a number, and reads back that it is gone. It is superseded if a newer intent wants the host name since
// the claim was read.
func (r *run) deleteRecord(ctx context.Context, record routine.RecordClaim, number int64) error {
	if err := r.enoughTime(ctx, routine.DeleteRoutineRelatedRecord); err != nil {
		return err
	}
	if err := r.begunOnce(ctx); err != nil {
		return err
	}
	newer := false
	if err := r.changeRecord(ctx, record.RecordName, func(c *routine.RecordClaim) {
		if newer = c.Number > number && !c.Leaving; !newer {
			c.State = routine.Deleting
		}
	}); err != nil {
		return err
	}
	if newer {
		return &Superseded{By: r.claims.Records[record.RecordName].JobID}
	}
	err := r.ESA.DeleteRoutineRelatedRecord(ctx, r.req.Name, record.SiteID, record.RecordID, record.RecordName)
	r.written(fault.From(err))
	if err != nil && !fault.HasCode(err, esa.CodeParameterNotExist) && !fault.HasCode(err, esa.CodeRoutineNotExist) { // else it is gone already
		return err
	}
	seen, found, err := r.ESA.FindRelatedRecord(ctx, r.req.Name, record.SiteID, record.RecordName)
	switch {
	case err != nil && !fault.HasCode(err, esa.CodeRoutineNotExist):
		return err
	case found && seen.RecordID == record.RecordID:
		return notGone(routine.DeleteRoutineRelatedRecord, record.RecordName)
	}
	r.unbound(record, routine.Deleted)
	return nil
}

// unbound writes down that a host name is not bound any more. A renewal binds it again if it is because the routine's time is over.
func (r *run) unbound(record routine.RecordClaim, outcome routine.Outcome) {
	r.noteRecord(record.RecordName, func(c *routine.RecordClaim) {
		c.State, c.RecordID, c.Expired = routine.Gone, 0, r.req.Action == routine.Expire
	})
	if r.req.Action.Deletes() { // and not a create that finishes an earlier deletion
		r.record(routine.RecordResult{RecordName: record.RecordName, SiteID: record.SiteID, Outcome: outcome})
	}
}

// deleteRoutine deletes the routine. ESA is asked right before: between two calls of ours somebody may have made it again.
func (d *deletion) deleteRoutine(ctx context.Context) error {
	if err := d.enoughTime(ctx, routine.DeleteRoutine); err != nil {
		return err
	}
	seen, err := d.look(ctx)
	switch {
	case err != nil:
		return err
	case seen.Routine == nil:
		return d.absent(ctx, seen.Reading)
	}
	if err := d.mayDelete(seen.Reading); err != nil {
		return err
	}
	if err := d.begunOnce(ctx); err != nil {
		return err
	}
	before, earlier := d.claims.Routine.State, stillOpen(d.claims.Routine.DeleteCall, seen.At)
	if err := d.change(ctx, func(c *routine.Claim) {
		c.State, c.DeleteCall = routine.Deleting, &routine.Look{At: seen.At, Until: latest(seen.At.Add(d.Timeout), earlier)}
	}); err != nil {
		return err
	}
	bounded, cancel := d.within(ctx, seen)
	err = d.ESA.DeleteRoutine(bounded, d.req.Name)
	cancel()
	delete(d.known.routines, d.req.Name)
	d.written(fault.From(err))
	if err != nil && !fault.HasCode(err, esa.CodeRoutineNotExist) {
		return d.refused(fault.From(err), before, earlier)
	}
	after, err := d.ESA.GetRoutine(ctx, d.req.Name)
	switch {
	case err != nil:
		return err
	case after.Routine != nil && is(d.claims.Routine, after.Routine.CreateTime):
		return notGone(routine.DeleteRoutine, d.req.Name)
	}
	d.note(func(c *routine.Claim) { c.DeleteCall = earlier }) // the outcome of this one is known
	return d.absent(ctx, after)
}

// refused keeps why the routine could not be deleted. After a call that had no effect the claim is what it was before.
func (d *deletion) refused(failure *fault.Error, before routine.ClaimState, earlier *routine.Look) error {
	d.note(func(c *routine.Claim) {
		c.Reason = failure.Code
		if !failure.OutcomeUnknown {
			c.State, c.DeleteCall = before, earlier
		}
	})
	return failure
}

func notGone(step routine.Step, name string) error {
	return &fault.Error{
		Kind: fault.Unavailable, Step: string(step), Code: CodeNotGone, Message: fmt.Sprintf("ESA still shows %s, which it has deleted", name),
		Hint: "Look for it in the ESA console, then redrive.",
	}
}
