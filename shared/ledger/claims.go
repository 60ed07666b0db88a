package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// ClaimFilter says which routines to list: those that have all of the given values, exactly. The zero ClaimFilter is all of them.
type ClaimFilter struct {
	// Caller is the owner.
	Caller    string
	State     routine.ClaimState
	Ownership routine.Ownership
	// LabelKey chooses claims with that label, and LabelValue, if it is not empty, those whose label has that value.
	LabelKey, LabelValue string
	// ExpiringBefore chooses routines whose time is over before then.
	ExpiringBefore time.Time
}

func (f ClaimFilter) check() *fault.Error {
	states := slices.DeleteFunc(routine.ClaimStates(), func(s routine.ClaimState) bool { return s == routine.Gone })
	switch {
	case f.State != "" && !slices.Contains(states, f.State):
		return invalid("InvalidFilter", fmt.Sprintf("state %q: want one of %q", f.State, states))
	case f.Ownership != "" && !slices.Contains(routine.Ownerships(), f.Ownership):
		return invalid("InvalidFilter", fmt.Sprintf("ownership %q: want one of %q", f.Ownership, routine.Ownerships()))
	case f.LabelKey == "" && f.LabelValue != "":
		return invalid("InvalidFilter", "a label's value: want its key as well")
	case !f.ExpiringBefore.IsZero() && !storable(f.ExpiringBefore):
		return invalid("InvalidFilter", "expiringBefore: the time is out of range")
	}
	return checkWords(map[string]string{"caller": f.Caller, "label": f.LabelKey, "label's value": f.LabelValue})
}

func (f ClaimFilter) fits(c routine.Claim) bool {
	value, labelled := c.Labels[f.LabelKey]
	return same(f.Caller, c.Caller) && same(f.State, c.State) && same(f.Ownership, c.Ownership) &&
		(f.LabelKey == "" || labelled && same(f.LabelValue, value)) &&
		(f.ExpiringBefore.IsZero() || !c.ExpiresAt.IsZero() && c.ExpiresAt.Before(f.ExpiringBefore))
}

// Claims lists the claims of routines that are not gone, by name. limit, cursor, next and faults are as for Jobs, and a page can be short or
// empty and not be the last. A claim that is not gone all the time is listed exactly once over all pages. Index rows that do not count any more
// are deleted on the way.
func (l *Ledger) Claims(ctx context.Context, f ClaimFilter, limit int, cursor string) (claims []routine.Claim, next string, err error) {
	if err := f.check(); err != nil {
		return nil, "", err
	}
	if limit < 1 || limit > MaxPage {
		return nil, "", invalidLimit(limit)
	}
	q := query{name: encode(f), span: span{partition: partitionRoutines, forward: true}}
	if cursor != "" {
		if q.span.from, err = l.openCursor(q, cursor); err != nil {
			return nil, "", err
		}
	}
	step := limit
	if f != (ClaimFilter{}) {
		step = MaxPage // what fits can be rare
	}
	p := claimPage{Ledger: l, filter: f, limit: limit, claims: []routine.Claim{}}
	for calls := 0; calls+2 < maxCalls; calls += 2 {
		if q.span.from, err = p.read(ctx, q.span, step); err != nil {
			return nil, "", err
		}
		if q.span.from == "" || len(p.claims) == limit {
			break
		}
	}
	l.state.deleteEntries(ctx, p.over)
	if q.span.from != "" {
		next = l.cursor(q, q.span.from)
	}
	return p.claims, next, nil
}

// claimPage is a page of claims on its way.
type claimPage struct {
	*Ledger
	filter ClaimFilter
	limit  int
	claims []routine.Claim
	// over are index rows that do not count and are old enough to be deleted.
	over []entry
}

// read reads so many index rows, and their claims, and takes what fits until the page is full. It returns where to go on, empty at the end.
func (p *claimPage) read(ctx context.Context, s span, step int) (next string, err error) {
	entries, next, err := p.state.scan(ctx, s, step)
	if err != nil {
		return "", err
	}
	wanted := make([]Wanted, 0, len(entries))
	for _, e := range entries {
		wanted = append(wanted, Wanted{Name: e.s})
	}
	holdings, err := p.Holdings(ctx, wanted)
	if err != nil {
		return "", err
	}
	for i, e := range entries {
		claim := holdings[i].Claim
		switch {
		case !claim.Exists() || claim.State == routine.Gone:
			if p.cfg.Now().Sub(e.at) > settleTime {
				p.over = append(p.over, e)
			}
		case !p.filter.fits(claim.Claim):
		case len(p.claims) == p.limit:
			return e.s, nil
		default:
			p.claims = append(p.claims, claim.Claim)
		}
	}
	return next, nil
}
