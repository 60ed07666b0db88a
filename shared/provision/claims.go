package provision

import (
	"context"

	"routinely/shared/routine"
)

// Claims is what is known of the job's routine, and the way to change it. An error of Change or All ends the run and is returned as it is.
type Claims struct {
	// Routine is the routine's claim, and Records are those of the host names that the request names.
	Routine routine.Claim
	Records map[string]routine.RecordClaim
	// Change writes claims as the changes leave them, and sets Routine and Records to what these claims are then. If somebody else has changed one
	// meanwhile, its change sees that, so that it may be called several times. The claims are not written as a whole: after an error, or a crash, some
	// may be written.
	Change func(ctx context.Context, changes Changes) error
	// All reads the claims of all host names of the routine.
	All func(ctx context.Context) ([]routine.RecordClaim, error)
}

// Changes are to be made of claims in one go: of that of the routine, unless it is nil, and of those of host names.
type Changes struct {
	Routine func(*routine.Claim)
	Records map[string]func(*routine.RecordClaim)
}

// note keeps what ESA has shown or answered in the routine's claim. It counts in this run at once, and is written with the next change, before the next
// begin, or at the end of the run: so the claims of what is called one after the other cost one write for each call, not two. What a crash in between
// loses is an answer. The claim then is as it was right before the call, and the next run judges it as after a lost answer.
func (r *run) note(alter func(*routine.Claim)) {
	alter(&r.claims.Routine)
	r.noted.Routine = both(r.noted.Routine, alter)
}

// noteRecord is note for the claim of a host name.
func (r *run) noteRecord(recordName string, alter func(*routine.RecordClaim)) {
	claim := r.claims.Records[recordName]
	alter(&claim)
	r.claims.Records[recordName] = claim
	if r.noted.Records == nil {
		r.noted.Records = map[string]func(*routine.RecordClaim){}
	}
	r.noted.Records[recordName] = both(r.noted.Records[recordName], alter)
}

// both makes one change after another, if there is a first one.
func both[T any](first, second func(*T)) func(*T) {
	if first == nil {
		return second
	}
	return func(claim *T) {
		first(claim)
		second(claim)
	}
}

// change writes to the routine's claim what is about to be called, with all that is noted.
func (r *run) change(ctx context.Context, alter func(*routine.Claim)) error {
	r.note(alter)
	return r.write(ctx)
}

// changeRecord is change for the claim of a host name.
func (r *run) changeRecord(ctx context.Context, recordName string, alter func(*routine.RecordClaim)) error {
	r.noteRecord(recordName, alter)
	return r.write(ctx)
}

// write writes what is noted. If that fails the run is over, and nothing more is written.
func (r *run) write(ctx context.Context) error {
	if changes := r.noted; r.lost == nil && (changes.Routine != nil || changes.Records != nil) {
		r.noted = Changes{}
		r.lost = r.claims.Change(ctx, changes)
	}
	return r.lost
}

// allRecords reads the claims of all host names of the routine, without what is noted.
func (r *run) allRecords(ctx context.Context) (rows []routine.RecordClaim, err error) {
	if rows, err = r.claims.All(ctx); err != nil {
		r.lost = err
	}
	return rows, err
}
