package provision

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// allowed refuses a job that the claim says its caller may not have done, and one that a newer deletion has overtaken.
func (r *run) allowed(ctx context.Context) error {
	if r.claims.Routine.DeleteNumber > r.job.Number {
		if err := r.overtaken(ctx); err != nil {
			return err
		}
	}
	claim, owner := r.claims.Routine, r.claims.Routine.Caller == r.job.Caller || r.job.Operate
	asked := r.req.Action == routine.Delete || r.req.Action == routine.Unbind
	expired := r.req.Action == routine.Expire || r.req.Action == routine.Remove
	switch {
	case asked && !r.MayDelete, expired && !r.MayExpire:
		return &fault.Error{
			Kind: fault.Denied, Code: CodeDeletionOff, Message: "this deployment does not delete that", Hint: "Set ROUTINELY_DELETE to requested, or to expired-too, attach the policy for deletions to the role of provision, deploy, and redrive.",
		}
	case !claim.There() || owner || r.req.Action != routine.Create:
		return nil
	case claim.Protected:
		return &fault.Error{
			Kind: fault.Denied, Code: CodeProtected, Message: fmt.Sprintf("routine %q is protected: only its owner's host names may be bound to it", r.req.Name),
			Hint: "Ask its owner to bind the host names, or to take the protection away; then redrive.",
		}
	case claim.Ownership == routine.Owned && (r.req.IfExists == routine.Update || r.req.ExpiresIn != 0 || r.req.Protected != nil || r.req.Labels != nil):
		return notOwner(r.req.Name)
	}
	return nil
}

// overtaken ends a job that a newer deletion has overtaken, and notes that in the claim: should the deletion fail, people want to know. It does not end
// one whose deletion was taken back since the claim was read.
func (r *run) overtaken(ctx context.Context) error {
	err := r.change(ctx, func(c *routine.Claim) {
		if c.DeleteNumber > r.job.Number && !slices.Contains(c.Overtook, r.job.ID) && len(c.Overtook) < routine.MaxOvertook {
			c.Overtook = append(slices.Clone(c.Overtook), r.job.ID)
		}
	})
	if err != nil || r.claims.Routine.DeleteNumber <= r.job.Number {
		return err
	}
	return &Superseded{By: r.claims.Routine.DeleteJob}
}

// isDescribed reports whether the description needs no change.
func (r *run) isDescribed() bool {
	claim := r.claims.Routine
	return r.req.IfExists != routine.Update || r.req.Description == nil || claim.DescriptionNumber > r.job.Number ||
		claim.DescriptionNumber == r.job.Number && sameDescription(*r.req.Description, claim.Description)
}

// describe gives an owned routine the description asked for, and reads it back.
func (r *run) describe(ctx context.Context) error {
	seen, err := r.ESA.GetRoutine(ctx, r.req.Name)
	if err != nil {
		return err
	}
	if seen.Routine == nil {
		return notVisible(&fault.Error{Step: string(routine.GetRoutine), Code: esa.CodeRoutineNotExist, RequestID: seen.RequestID, Message: "the routine was there a moment ago"})
	}
	if !sameDescription(*r.req.Description, seen.Routine.Description) {
		if err := r.keys(seen); err != nil {
			return err
		}
		if err := r.begunOnce(ctx); err != nil {
			return err
		}
		if err := r.change(ctx, func(c *routine.Claim) { c.DescriptionNumber = max(c.DescriptionNumber, r.job.Number) }); err != nil {
			return err
		}
		err := r.ESA.UpdateDescription(ctx, r.req.Name, *r.req.Description)
		r.written(fault.From(err))
		if err != nil {
			return err
		}
		if seen, err = r.ESA.GetRoutine(ctx, r.req.Name); err != nil {
			return err
		}
		if seen.Routine == nil || !sameDescription(*r.req.Description, seen.Routine.Description) {
			return &fault.Error{
				Kind: fault.Unavailable, Step: string(routine.UpdateRoutineConfigDescription), Code: "NotUpdated", RequestID: seen.RequestID,
				Message: "ESA does not show the new description", Hint: "Look at the routine in the ESA console, then redrive.",
			}
		}
	}
	r.progress.Routine = routine.Updated
	r.remember(*seen.Routine)
	r.note(func(c *routine.Claim) {
		c.Description, c.SeenAt, c.DescriptionNumber = seen.Routine.Description, seen.At, max(c.DescriptionNumber, r.job.Number)
	})
	return nil
}

// isKept reports whether the claim needs no change by what the request says beside its things.
func (r *run) isKept() bool {
	return r.req.ExpiresIn == 0 && r.req.Protected == nil && r.req.Labels == nil || r.claims.Routine.Ownership != routine.Owned ||
		r.claims.Routine.Caller != r.job.Caller && !r.job.Operate
}

// keep writes down until when the routine is to live, its protection and its labels. A submit makes no life shorter: one without an end stays so,
// unless this job made the routine.
func (r *run) keep(context.Context) error {
	end := r.Now().Add(time.Duration(r.req.ExpiresIn)).UTC().Truncate(time.Second)
	made := r.progress.Routine == routine.Created
	r.note(func(c *routine.Claim) {
		if r.req.ExpiresIn != 0 && c.ExpiryNumber <= r.job.Number && (made && c.ExpiresAt.IsZero() || !c.ExpiresAt.IsZero() && end.After(c.ExpiresAt)) {
			c.ExpiresAt, c.ExpiryNumber, c.ExpiryJob, c.Expiry = end, r.job.Number, r.job.ID, nil
			if c.State == routine.Expiring {
				c.State = routine.Live
			}
		}
		if r.req.Protected != nil {
			c.Protected = *r.req.Protected
		}
		if r.req.Labels != nil {
			c.Labels = r.req.Labels
		}
	})
	return nil
}

// isWhole reports whether no host name can be unbound because the routine's time was over.
func (r *run) isWhole() bool {
	return r.req.ExpiresIn == 0 || r.progress.Routine == routine.Created || r.claims.Routine.Expiry != nil
}

// takeOwnership makes the routine that ESA shows, with its records, the caller's own. One that is owned already stays its owner's, who gets the records.
// It is no intent about what is there: an older deletion that was refused for the lack of ownership can be redriven after it.
func (r *run) takeOwnership(ctx context.Context) error {
	seen, err := r.ESA.GetRoutine(ctx, r.req.Name)
	if err != nil {
		return err
	}
	if seen.Routine == nil {
		return absentRoutine(r.req.Name, seen.RequestID)
	}
	if seen.Routine.CreateTime.IsZero() {
		return &fault.Error{
			Kind: fault.Conflict, Step: string(routine.GetRoutine), Code: CodeNotOwned, RequestID: seen.RequestID,
			Message: "ESA does not show a readable CreateTime: the routine could not be told from another one of its name", Hint: "Report this with the ESA request id.",
		}
	}
	records, err := r.ESA.RelatedRecords(ctx, r.req.Name)
	if err != nil {
		return err
	}
	if err := r.begunOnce(ctx); err != nil {
		return err
	}
	owner, callbackURL := r.job.Caller, r.req.CallbackURL
	if claim := r.claims.Routine; claim.Ownership == routine.Owned && is(claim, seen.Routine.CreateTime) {
		owner, callbackURL = claim.Caller, claim.CallbackURL
	}
	r.note(func(c *routine.Claim) {
		if c.State == routine.Gone { // the deletion was about another one
			c.CreateNumber, c.CreateJob = max(c.CreateNumber, r.job.Number), r.job.ID
		}
		c.Caller, c.CallbackURL = owner, callbackURL
		r.live(c, seen, routine.Owned)
	})
	r.progress.Records = nil
	for _, record := range records {
		r.noteRecord(record.RecordName, func(c *routine.RecordClaim) {
			if c.Number > r.job.Number {
				return
			}
			c.SiteID, c.RecordID, c.State, c.Ownership = record.SiteID, record.RecordID, routine.Live, routine.Owned
			c.Caller, c.Expired = owner, false
		})
		r.record(routine.RecordResult{RecordName: record.RecordName, SiteID: record.SiteID, RecordID: record.RecordID, Outcome: routine.Claimed})
	}
	r.progress.Routine = routine.Claimed
	return nil
}

func absentRoutine(name, requestID string) error {
	return &fault.Error{
		Kind: fault.NotFound, Step: string(routine.GetRoutine), Code: esa.CodeRoutineNotExist, RequestID: requestID,
		Message: fmt.Sprintf("ESA has no routine %q", name), Hint: "Check the name.",
	}
}

// renew sets the end of the routine's time.
func (r *run) renew(ctx context.Context) error {
	claim := r.claims.Routine
	if claim.ExpiryNumber > r.job.Number {
		return &Superseded{By: claim.ExpiryJob}
	}
	seen, err := r.ESA.GetRoutine(ctx, r.req.Name)
	switch {
	case err != nil:
		return err
	case seen.Routine == nil:
		return absentRoutine(r.req.Name, seen.RequestID)
	}
	r.settle(seen)
	if err := r.keys(seen); err != nil {
		return err
	}
	if err := r.begunOnce(ctx); err != nil {
		return err
	}
	r.progress.Routine = routine.Renewed
	end := r.Now().Add(time.Duration(r.req.ExpiresIn)).UTC().Truncate(time.Second)
	r.note(func(c *routine.Claim) {
		c.ExpiresAt, c.ExpiryNumber, c.ExpiryJob, c.Expiry, c.SeenAt = end, r.job.Number, r.job.ID, nil, seen.At
		if c.State == routine.Expiring {
			c.State = routine.Live
		}
	})
	return nil
}

// bindAgain binds the host names that were unbound because the routine's time was over.
func (r *run) bindAgain(ctx context.Context) error {
	rows, err := r.allRecords(ctx)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if _, done := r.progress.Record(row.RecordName); done || !row.Expired || row.State == routine.Live || row.Number > r.job.Number {
			continue
		}
		r.claims.Records[row.RecordName] = row
		if err := r.bind(ctx, routine.Record{SiteID: row.SiteID, RecordName: row.RecordName}); err != nil {
			return err
		}
	}
	return nil
}

// expire unbinds the host names of a routine whose time is over. Any intent that is newer keeps it.
func (r *run) expire(ctx context.Context) error {
	if err := r.stillOver(); err != nil {
		return err
	}
	d := &deletion{run: r, number: r.job.Number}
	seen, err := r.ESA.GetRoutine(ctx, r.req.Name)
	switch {
	case err != nil:
		return err
	case seen.Routine == nil:
		return d.absent(ctx, seen)
	}
	if err := d.keys(seen); err != nil {
		return err
	}
	if err := d.inspect(ctx); err != nil {
		return err
	}
	if d.newer != "" {
		return &Superseded{By: d.newer}
	}
	if err := r.begunOnce(ctx); err != nil {
		return err
	}
	r.note(func(c *routine.Claim) { c.State = routine.Expiring })
	for _, record := range d.own {
		if err := r.deleteRecord(ctx, record, d.number); err != nil {
			return err
		}
	}
	now := r.Now().UTC()
	r.note(func(c *routine.Claim) {
		if c.Expiry != nil {
			next := *c.Expiry
			next.UnboundAt, next.Try = now, 0
			c.Expiry = &next
		}
	})
	return nil
}

// stillOver ends a job of the janitor about a routine that has got a new time, or of which somebody wants something since.
func (r *run) stillOver() error {
	claim := r.claims.Routine
	switch {
	case claim.CreateNumber > r.job.Number:
		return &Superseded{By: claim.CreateJob}
	case claim.ExpiryNumber > r.job.Number, claim.ExpiresAt.IsZero(), claim.ExpiresAt.After(r.Now()):
		return &Superseded{By: cmp.Or(claim.ExpiryJob, claim.CreateJob)}
	}
	return nil
}

// remove deletes a routine whose grace is over, unless it was renewed: then older intents hold again. What was begun is finished: a call to delete it may
// have taken effect.
func (r *run) remove(ctx context.Context) error {
	if c := r.claims.Routine; c.DeleteJob != r.job.ID || c.State != routine.Deleting && c.State != routine.Gone {
		if over := r.stillOver(); over != nil {
			r.note(func(c *routine.Claim) { c.TakeBack(r.job.ID, "") })
			return over
		}
	}
	return r.deleteAll(ctx)
}

// unbind deletes one record of the routine. Who asked for it may do that, the routine's owner, and a caller with the scope operate.
func (r *run) unbind(ctx context.Context) error {
	name := r.req.Records[0].RecordName
	claim := r.claims.Records[name]
	if claim.Number > r.job.Number {
		return &Superseded{By: claim.JobID}
	}
	if claim.State != "" && claim.State != routine.Gone && claim.Caller != r.job.Caller && r.claims.Routine.Caller != r.job.Caller && !r.job.Operate {
		return notOwner(r.req.Name)
	}
	if claim.Number < r.job.Number {
		if err := r.changeRecord(ctx, name, func(c *routine.RecordClaim) { c.Leave(r.job.Number, r.job.ID) }); err != nil {
			return err
		}
		claim = r.claims.Records[name]
	}
	seen, err := r.ESA.GetRoutine(ctx, r.req.Name)
	switch {
	case err != nil:
		return err
	case seen.Routine == nil:
		r.unbound(claim, routine.Absent)
		return nil
	}
	return r.unbindFrom(ctx, claim, seen)
}

// unbindFrom deletes the record if it is the claim's own.
func (r *run) unbindFrom(ctx context.Context, claim routine.RecordClaim, seen esa.Reading) error {
	r.settle(seen)
	record, found, err := r.findRecord(ctx, claim)
	open := r.bindingOpen(claim)
	switch {
	case err != nil:
		return err
	case open != nil:
		return open
	case !found:
		outcome := routine.Absent
		if claim.State == routine.Deleting {
			outcome = routine.Deleted
		}
		r.unbound(claim, outcome)
		return nil
	case claim.Ownership != routine.Owned || claim.RecordID != record.RecordID || !is(r.claims.Routine, seen.Routine.CreateTime):
		return &fault.Error{
			Kind: fault.Conflict, Step: string(routine.ListRoutineRelatedRecords), Code: CodeNotOwned, RequestID: record.RequestID,
			Message: fmt.Sprintf("record %s of site %d is not proven to be made by Routinely", claim.RecordName, record.SiteID),
			Hint:    "Nothing was changed. If it is yours, an operator can claim it with its routine: routinely routines claim " + r.req.Name + ". Then redrive.",
		}
	}
	return r.deleteRecord(ctx, claim, r.job.Number)
}

// findRecord looks for a host name among the records of the routine, on whatever site.
func (r *run) findRecord(ctx context.Context, claim routine.RecordClaim) (record esa.RelatedRecord, found bool, err error) {
	if claim.SiteID != 0 {
		return r.ESA.FindRelatedRecord(ctx, r.req.Name, claim.SiteID, claim.RecordName)
	}
	records, err := r.ESA.RelatedRecords(ctx, r.req.Name)
	for _, record := range records {
		if record.RecordName == claim.RecordName {
			return record, true, nil
		}
	}
	return esa.RelatedRecord{}, false, err
}
