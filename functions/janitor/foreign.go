package janitor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/plain"
	"routinely/shared/routine"
)

const (
	// foreignRoutines is of how many routines a reading lists records and routes, with two calls of ESA for each, or more.
	foreignRoutines = 20
	// foreignTime is how long it goes on with one more routine, and listTime how long it goes on at all.
	foreignTime = 10 * time.Second
	// maxRouteName bounds the name of a route, in bytes.
	maxRouteName = 100
)

// readForeign lists the records and routes of some routines that are owned, each time the routines were listed, and keeps what no claim owns. The next
// reading goes on with others, so that all have their turn. Of a routine whose lists are not whole, what was read before stays.
func (r *run) readForeign(ctx context.Context) error {
	if r.seen == nil {
		return nil
	}
	owned, err := r.nextOwned(ctx)
	if len(owned) == 0 || err != nil {
		return err
	}
	begun := time.Now()
	bounded, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	var failed error
	for _, one := range owned {
		if r.over(ctx) || time.Since(begun) > foreignTime {
			break
		}
		r.seen.ForeignUpTo = one.Name
		foreign, err := r.foreignOf(ctx, bounded, one.Name)
		switch {
		case err == nil:
			one.Foreign = foreign
			continue
		case fault.HasCode(err, esa.CodeRoutineNotExist): // it was deleted since the routines were listed
			continue
		}
		if failed = cmp.Or(failed, err); down(err) && !fault.HasCode(err, esa.CodeIncompleteList) {
			break
		}
	}
	return cmp.Or(r.Ledger.SetListing(ctx, *r.seen), failed)
}

// nextOwned are the next routines whose records and routes are to be listed, by name: those of the listing that are owned, and are the very ones that
// their claims are about.
func (r *run) nextOwned(ctx context.Context) (owned []*routine.ListedRoutine, err error) {
	wanted := make([]ledger.Wanted, len(r.seen.Routines))
	for i, seen := range r.seen.Routines {
		wanted[i].Name = seen.Name
	}
	holdings, err := r.Ledger.Holdings(ctx, wanted)
	if err != nil {
		return nil, err
	}
	for i, h := range holdings {
		seen, claim := &r.seen.Routines[i], h.Claim.Claim
		there := claim.State == routine.Live || claim.State == routine.Expiring
		if there && claim.Ownership == routine.Owned && !seen.CreateTime.IsZero() && seen.CreateTime.Equal(claim.CreateTime) {
			owned = append(owned, seen)
		}
	}
	slices.SortFunc(owned, func(a, b *routine.ListedRoutine) int { return cmp.Compare(a.Name, b.Name) })
	from := max(0, slices.IndexFunc(owned, func(one *routine.ListedRoutine) bool { return one.Name > r.seen.ForeignUpTo }))
	owned = slices.Concat(owned[from:], owned[:from])
	return owned[:min(len(owned), foreignRoutines)], nil
}

// foreignOf lists the records and routes of a routine, in the time of bounded, and returns what no claim owns; nil if nothing is foreign. A record
// whose claim is about to change, or has just been changed, is not foreign yet.
func (r *run) foreignOf(ctx, bounded context.Context, name string) (*routine.Foreign, error) {
	out := routine.Foreign{ReadAt: r.Now().UTC()}
	routes, err := r.ESA.Routes(bounded, name)
	if err != nil {
		return nil, err
	}
	records, err := r.ESA.RelatedRecords(bounded, name)
	if err != nil {
		return nil, err
	}
	claims, err := r.recordClaims(ctx, name) // after ESA: what was bound meanwhile has its claim
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		claim := claims[strings.ToLower(record.RecordName)]
		own := claim.Ownership == routine.Owned && claim.RecordID == record.RecordID
		if own || claim.State == routine.Creating || claim.ChangedAt.After(out.ReadAt.Add(-routine.ClockSkew)) {
			continue
		}
		out.Records, out.MoreRecords = note(out.Records, out.MoreRecords, record.RecordName)
	}
	for _, route := range routes {
		text := fmt.Sprintf("%q of site %d", plain.Clip(route.RouteName, maxRouteName), route.SiteID)
		out.Routes, out.MoreRoutes = note(out.Routes, out.MoreRoutes, text)
	}
	if len(out.Records)+len(out.Routes) == 0 {
		return nil, nil
	}
	return &out, nil
}

// note adds a name, or counts it if there are enough.
func note(names []string, more int, name string) (now []string, over int) {
	if len(names) == routine.MaxForeign {
		return names, more + 1
	}
	return append(names, name), more
}

// recordClaims reads the claims of all host names of a routine.
func (r *run) recordClaims(ctx context.Context, name string) (map[string]routine.RecordClaim, error) {
	out := map[string]routine.RecordClaim{}
	for row, err := range r.Ledger.RecordClaims(ctx, name) {
		if err != nil {
			return nil, err
		}
		out[row.RecordName] = row.RecordClaim
	}
	return out, nil
}
