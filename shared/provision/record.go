package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// bindAll binds the host names with which the job is not done. If the routine was gone and is made again meanwhile, those before have to be bound again.
func (r *run) bindAll(ctx context.Context) error {
	err := r.bindEach(ctx)
	if err == nil && slices.ContainsFunc(r.req.RecordNames(), func(name string) bool { _, done := r.progress.Record(name); return !done }) {
		return r.bindEach(ctx)
	}
	return err
}

// bindEach binds one host name after the other. One that ESA refuses does not keep the others from being bound: the failure at the
// end says how many there were. A failure that may pass ends the step at once.
func (r *run) bindEach(ctx context.Context) error {
	var refused []string
	var first *fault.Error
	for _, record := range r.req.Records {
		if done, err := r.stillBound(ctx, record.RecordName); done {
			continue
		} else if err != nil {
			return err
		}
		err := r.bind(ctx, record)
		var failure *fault.Error
		switch {
		case err == nil:
			continue
		case r.lost != nil, !errors.As(err, &failure), failure.Kind.Retryable(), failure.Kind == fault.Account:
			return err
		}
		if refused = append(refused, record.RecordName); first == nil {
			first = failure
		}
	}
	if first == nil || len(r.req.Records) == 1 {
		return orNil(first)
	}
	all := *first
	all.Message = fmt.Sprintf("%d of %d host names are not bound (%s); the first: %s", len(refused), len(r.req.Records), strings.Join(refused, ", "), first.Message)
	return &all
}

// stillBound reports whether the job is done with a host name and what it has achieved holds. In an earlier round, or before the routine was made
// again, it was done with host names that somebody may have unbound since: unless the claim says so, it is done with them no more.
func (r *run) stillBound(ctx context.Context, recordName string) (bool, error) {
	result, done := r.progress.Record(recordName)
	claim := r.claims.Records[recordName]
	same := claim.State == routine.Live && claim.RecordID == result.RecordID
	if !done || same && claim.Number == r.job.Number || result.Outcome == routine.Passed && claim.Number > r.job.Number {
		return done, nil
	}
	if same && claim.Number < r.job.Number { // nobody wants anything else of it: ESA is asked, and the claim told that this intent is about it, too
		seen, found, err := r.ESA.FindRelatedRecord(ctx, r.req.Name, claim.SiteID, recordName)
		if err != nil && !fault.HasCode(err, esa.CodeRoutineNotExist) {
			return false, err
		}
		if found && seen.RecordID == claim.RecordID {
			r.noteRecord(recordName, func(c *routine.RecordClaim) {
				if c.Number < r.job.Number {
					c.Number, c.JobID, c.Leaving = r.job.Number, r.job.ID, false
				}
			})
			return true, nil
		}
	}
	r.progress.Records = slices.DeleteFunc(slices.Clone(r.progress.Records), func(r routine.RecordResult) bool { return r.RecordName == recordName })
	return false, nil
}

// orNil keeps a nil fault from becoming an error.
func orNil(failure *fault.Error) error {
	if failure == nil {
		return nil
	}
	return failure
}

// bind binds one host name, unless a newer intent is about it. A routine that is gone is made again, once.
func (r *run) bind(ctx context.Context, record routine.Record) error {
	if newer := r.claims.Records[record.RecordName]; newer.Number > r.job.Number {
		r.record(routine.RecordResult{RecordName: record.RecordName, SiteID: record.SiteID, Outcome: routine.Passed, SupersededBy: newer.JobID})
		return nil
	}
	site, err := r.siteOf(ctx, record)
	if err != nil {
		return err
	}
	err = r.createRecord(ctx, record, site)
	if !fault.HasCode(err, esa.CodeRoutineNotExist) {
		return err
	}
	delete(r.known.routines, r.req.Name)
	switch {
	case r.remembered: // it was there a moment ago, for another job: ESA is asked now
		r.progress.Routine, r.remembered = "", false
		if err := r.createRoutine(ctx); err != nil {
			return err
		}
	case r.fresh:
		return notVisible(err)
	case r.progress.RoutineRecreated:
		// It was made a second time already; who deletes it again means it.
		return err
	default:
		if err := r.recreateRoutine(ctx, err); err != nil {
			return err
		}
	}
	if err = r.createRecord(ctx, record, site); fault.HasCode(err, esa.CodeRoutineNotExist) { // ESA has just shown it
		return notVisible(err)
	}
	return err
}

// createRecord makes the record, or adopts it if it is bound to the routine already.
func (r *run) createRecord(ctx context.Context, record routine.Record, site esa.Site) error {
	if err := r.enoughTime(ctx, routine.CreateRoutineRelatedRecord); err != nil {
		return err
	}
	b := r.newBinding(record.RecordName, site)
	if b.doubt && b.mayAdopt() {
		if found, err := b.adopt(ctx); found || err != nil {
			return err
		}
	}
	if err := r.begunOnce(ctx); err != nil {
		return err
	}
	if err := r.changeRecord(ctx, b.name, b.creating); err != nil {
		return err
	}
	id, err := r.ESA.CreateRoutineRelatedRecord(ctx, r.req.Name, site.ID, b.name)
	failure := fault.From(err)
	r.written(failure)
	if err == nil || !failure.OutcomeUnknown {
		r.noteRecord(b.name, b.answered)
	}
	switch {
	case err == nil:
		return b.done(ctx, routine.Created, routine.Owned, id)
	case failure.Code == esa.CodeParameterAlreadyExist:
		return b.existing(ctx, failure)
	case failure.OutcomeUnknown:
		r.progress.RecordUnknown, b.doubt, b.lost = true, true, true
		if !b.mayAdopt() {
			break
		}
		if found, _ := b.adopt(ctx); found {
			return nil
		}
	case !failure.Kind.Retryable(), !b.lost: // otherwise a call before this one may have made it
		return b.refused(err)
	}
	return err
}

// binding is one host name on its way to be bound.
type binding struct {
	*run
	name string
	site esa.Site
	// was is the claim as it was before the call.
	was routine.RecordClaim
	// caller is whose the host name is once it is bound.
	caller string
	// doubt is set if a call of the job for it may have taken effect, and lost if nobody knows what became of that call.
	doubt, lost bool
}

func (r *run) newBinding(recordName string, site esa.Site) *binding {
	was := r.claims.Records[recordName]
	b := &binding{run: r, name: recordName, site: site, was: was, caller: r.job.Caller}
	if was.Expired && !slices.Contains(r.req.RecordNames(), recordName) { // it is bound again as it was
		b.caller = was.Caller
	}
	if r.progress.RecordUnknown && was.JobID == r.job.ID { // the claim shows which of the job's host names
		b.lost = was.State == routine.Creating
		b.doubt = b.lost || was.State == routine.Live
	}
	return b
}

// creating is the claim right before the call. One that is live stays so, as the call finds the record, unless it was bound to an earlier routine of the name.
func (b *binding) creating(c *routine.RecordClaim) {
	if c.Number <= b.job.Number {
		c.Number, c.JobID, c.SiteID, c.Leaving = b.job.Number, b.job.ID, b.site.ID, false
	}
	if c.State != routine.Live || c.ChangedAt.Before(b.claims.Routine.CreateTime) {
		c.State, c.Ownership, c.RecordID, c.Caller = routine.Creating, "", 0, b.caller
	}
	c.CallUntil = b.Now().UTC().Add(b.Timeout + tolerance)
}

// answered takes back that the call may still take effect. An earlier one may.
func (b *binding) answered(c *routine.RecordClaim) {
	if c.CallUntil = b.was.CallUntil; c.CallUntil.Before(b.Now()) {
		c.CallUntil = time.Time{}
	}
}

// mayAdopt reports whether a record that is bound to the routine already may be the job's. With "fail" it must come from an
// earlier call of this job: one had no known outcome, and nobody else could bind to the routine before this job made it.
func (b *binding) mayAdopt() bool {
	return b.req.IfExists != routine.Fail || b.doubt && b.progress.Routine == routine.Created
}

// existing decides about a record name that is taken.
func (b *binding) existing(ctx context.Context, taken *fault.Error) error {
	if !b.mayAdopt() {
		return b.refused(mustNotExist(taken))
	}
	found, err := b.adopt(ctx)
	if found || err != nil {
		return err
	}
	if b.doubt {
		// An earlier call of this job may have made the record and the list may not show it yet.
		failure := *taken
		failure.Kind = fault.Unavailable
		return &failure
	}
	return b.refused(taken)
}

// refused takes back the claim of a host name that ESA does not let us have, or not now: what is bound to it later is not ours.
func (b *binding) refused(failure error) error {
	b.noteRecord(b.name, func(c *routine.RecordClaim) {
		if c.State == routine.Creating {
			c.State = routine.Gone
		}
	})
	return failure
}

// sameRoutine reports whether ESA shows the routine of the claim. It is asked unless it was in this run: somebody may have made the routine again since
// the call whose answer was lost, and have bound the host name.
func (r *run) sameRoutine(ctx context.Context) (bool, error) {
	if r.fresh {
		return true, nil
	}
	seen, err := r.ESA.GetRoutine(ctx, r.req.Name)
	return err == nil && seen.Routine != nil && is(r.claims.Routine, seen.Routine.CreateTime), err
}

// adopt looks for exactly the record asked for among those bound to the routine. It is ours if it is the one of the claim, or if a call of ours had
// no answer and nobody else could bind to the routine before this job made it.
func (b *binding) adopt(ctx context.Context) (found bool, err error) {
	seen, found, err := b.ESA.FindRelatedRecord(ctx, b.req.Name, b.site.ID, b.name)
	if !found || err != nil {
		return false, err
	}
	ownership := routine.AdoptedThing
	switch {
	case b.was.State == routine.Live && b.was.RecordID == seen.RecordID:
		ownership = b.was.Ownership
	case b.lost && b.progress.Routine == routine.Created:
		same, err := b.sameRoutine(ctx)
		if err != nil {
			return false, err
		}
		if ownership = routine.Unproven; same {
			ownership = routine.Owned
		}
	case b.doubt, b.was.State == routine.Creating:
		ownership = routine.Unproven
	}
	return true, b.done(ctx, routine.Adopted, ownership, seen.RecordID)
}

// done ends the step for the host name.
func (b *binding) done(ctx context.Context, outcome routine.Outcome, ownership routine.Ownership, id int64) error {
	if err := b.begunOnce(ctx); err != nil {
		return err
	}
	needsCNAME := b.site.AccessType == esa.AccessCNAME
	b.noteRecord(b.name, func(c *routine.RecordClaim) {
		c.NeedsCNAME = needsCNAME
		if c.Number > b.job.Number { // somebody wants something else by now: what was made is kept all the same
			c.SiteID, c.RecordID, c.State, c.Ownership = b.site.ID, id, routine.Live, ownership
			return
		}
		if c.State != routine.Live || outcome == routine.Created {
			c.Caller = b.caller
		}
		c.Number, c.JobID, c.SiteID, c.RecordID = b.job.Number, b.job.ID, b.site.ID, id
		c.State, c.Ownership, c.Expired, c.Leaving = routine.Live, ownership, false, false
	})
	b.record(routine.RecordResult{RecordName: b.name, SiteID: b.site.ID, RecordID: id, Outcome: outcome, NeedsCNAME: needsCNAME})
	return nil
}

// record notes that the job is done with a host name.
func (r *run) record(result routine.RecordResult) {
	if len(r.progress.Records) == routine.MaxRecords { // of a deletion: a routine can have any number
		r.progress.More++
		return
	}
	r.progress.Records = append(r.progress.Records[:len(r.progress.Records):len(r.progress.Records)], result)
}
