package provision_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"routinely/shared/provision"
	"routinely/shared/routine"
)

// book holds claims, as the ledger does.
type book struct {
	now      func() time.Time
	routines map[string]routine.Claim
	// records are by routine and host name.
	records map[string]map[string]routine.RecordClaim
	// jobs are the ids of the jobs, each of which has a progress of its own.
	jobs map[*routine.Progress]string
	// broken is what a change ends with; nil if it is written.
	broken error
}

func newBook(now func() time.Time) *book {
	return &book{now: now, routines: map[string]routine.Claim{}, records: map[string]map[string]routine.RecordClaim{}, jobs: map[*routine.Progress]string{}}
}

// jobOf is the id of the job whose progress it is.
func (b *book) jobOf(progress *routine.Progress) string {
	if b.jobs[progress] == "" {
		b.jobs[progress] = fmt.Sprintf("job-%d", len(b.jobs)+1)
	}
	return b.jobs[progress]
}

// claims are those of a request.
func (b *book) claims(req routine.Request) *provision.Claims {
	out := &provision.Claims{Routine: b.routine(req.Name), Records: map[string]routine.RecordClaim{}}
	for _, name := range req.RecordNames() {
		out.Records[name] = b.record(req.Name, name)
	}
	out.ChangeRoutine = func(_ context.Context, alter func(*routine.Claim)) (routine.Claim, error) {
		claim := b.routine(req.Name)
		if alter(&claim); b.broken == nil {
			claim.ChangedAt = b.now()
			b.routines[req.Name] = claim
		}
		return claim, b.broken
	}
	out.ChangeRecord = func(_ context.Context, name string, alter func(*routine.RecordClaim)) (routine.RecordClaim, error) {
		claim := b.record(req.Name, name)
		if alter(&claim); b.broken == nil {
			claim.ChangedAt = b.now()
			b.put(claim)
		}
		return claim, b.broken
	}
	out.All = func(context.Context) ([]routine.RecordClaim, error) {
		return slices.Collect(maps.Values(b.records[req.Name])), b.broken
	}
	return out
}

// routine is the claim of a routine. One of which nothing was ever wanted has its name alone.
func (b *book) routine(name string) routine.Claim {
	claim := b.routines[name]
	claim.Name = name
	return claim
}

func (b *book) record(name, recordName string) routine.RecordClaim {
	claim := b.records[name][recordName]
	claim.Routine, claim.RecordName = name, recordName
	return claim
}

func (b *book) put(claim routine.RecordClaim) {
	if b.records[claim.Routine] == nil {
		b.records[claim.Routine] = map[string]routine.RecordClaim{}
	}
	b.records[claim.Routine][claim.RecordName] = claim
}
