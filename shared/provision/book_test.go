package provision_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	// broken is what a change ends with, nil if it is written, and breaks is how many are written before.
	broken error
	breaks int
	// unread is what the reading of the claims of all host names fails with.
	unread error
	// writes are the changes that were written: the state of the routine if it is one of them, and of host names, without their site's name.
	writes []string
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
	out.Change = func(_ context.Context, changes provision.Changes) error {
		if b.broken != nil && len(b.writes) >= b.breaks {
			return b.broken
		}
		var written []string
		if changes.Routine != nil {
			claim := b.routine(req.Name)
			changes.Routine(&claim)
			claim.ChangedAt = b.now()
			b.routines[req.Name], out.Routine = claim, claim
			written = append(written, string(claim.State))
		}
		for _, name := range slices.Sorted(maps.Keys(changes.Records)) {
			claim := b.record(req.Name, name)
			changes.Records[name](&claim)
			claim.ChangedAt = b.now()
			b.put(claim)
			out.Records[name] = claim
			written = append(written, strings.TrimSuffix(name, ".example.com")+" "+string(claim.State))
		}
		b.writes = append(b.writes, strings.Join(written, ", "))
		return nil
	}
	out.All = func(context.Context) ([]routine.RecordClaim, error) {
		return slices.Collect(maps.Values(b.records[req.Name])), b.unread
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
