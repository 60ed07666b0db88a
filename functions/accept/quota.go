package accept

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"routinely/shared/ledger"
	"routinely/shared/routine"
)

const (
	// listingFresh is how old a reading of the account's routines may be by which a new one is refused.
	listingFresh = 15 * time.Minute
	// queuedPages bounds the pages of unfinished jobs that are looked at to count new names. With more nobody is refused.
	queuedPages = 5
	// countedFresh is how long an instance goes by what it has counted, and plenty how much room must be left then: to count takes several reads of
	// the ledger, and other instances accept jobs too.
	countedFresh = 2 * time.Second
	plenty       = 10
)

// capacity is how many more routines the account has room for.
type capacity struct {
	*Service
	// listing is what ESA showed last.
	listing routine.Listing
	// free is how many more there may be. names need none: these routines exist, or are asked for.
	free  int64
	names map[string]bool
	// full is the problem of a routine for which there is no room; nil until one was refused.
	full error
}

// memory is what an instance has counted last. It is safe for concurrent use.
type memory struct {
	mu sync.Mutex
	// at is when, and capacity what it was; nil if nothing was counted yet.
	at       time.Time
	capacity *capacity
}

// enough reports whether what was counted lately leaves plenty of room for routines, and takes it. A later reading of the quota makes it old.
func (m *memory) enough(names []string, now time.Time, quota *routine.Quota) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case now.Sub(m.at) >= countedFresh:
		return false
	case m.capacity == nil, quota != nil && quota.ReadAt.After(m.capacity.listing.ReadAt), m.capacity.free-int64(len(names)) < plenty:
		return false
	}
	m.capacity.takeAll(names)
	return true
}

func (m *memory) keep(c *capacity, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at, m.capacity = now, c
}

// makesRoutine reports whether a job that is not refused makes a routine that was not there.
func makesRoutine(a *admission) bool {
	claim := a.holding.Claim
	return a.err == nil && a.row.Request.Action == routine.Create && !claim.There() && claim.State != routine.Creating
}

// newRoutines are the names of the routines that jobs make.
func newRoutines(pending []*admission) []string {
	names := map[string]bool{}
	for _, a := range pending {
		if makesRoutine(a) {
			names[a.row.Request.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// capacityFor is the room there is for routines of these names; nil if there is enough for all, or if what ESA showed last is not fresh: then nobody is
// refused.
func (s *Service) capacityFor(ctx context.Context, names []string) *capacity {
	if len(names) == 0 {
		return nil
	}
	now := s.Now()
	account, err := s.Ledger.Account(ctx)
	if err != nil || s.memory.enough(names, now, account.Quota) {
		return nil //nolint:nilerr // nobody is refused by what is not known
	}
	c := s.capacity(ctx, account.Quota)
	if c != nil && c.takeAll(names) {
		s.memory.keep(c, now)
		return nil
	}
	return c
}

// takeAll takes room for routines if there is enough for all of them.
func (c *capacity) takeAll(names []string) bool {
	var more []string
	for _, name := range names {
		if !c.names[name] {
			more = append(more, name)
		}
	}
	if len(more) > 0 && int64(len(more)) > c.free {
		return false
	}
	c.free -= int64(len(more))
	for _, name := range more {
		c.names[name] = true
	}
	return true
}

// take takes room for one routine, or returns the problem that there is none. It names what could go.
func (c *capacity) take(ctx context.Context, name string) error {
	if c.takeAll([]string{name}) {
		return nil
	}
	if c.full == nil {
		detail := fmt.Sprintf("the account had %d of %d routines at %s", c.listing.Used, c.listing.Limit, c.listing.ReadAt.Format(time.RFC3339))
		if c.listing.Used < c.listing.Limit {
			detail += ", and accepted jobs take what is left"
		}
		detail += ". "
		if candidates, err := c.Ledger.ToFree(ctx, c.Now()); err == nil && len(candidates) > 0 {
			detail += "These could go: " + strings.Join(candidates, "; ") + ". "
		}
		c.full = problemQuota.with(detail + "routinely routines delete NAME deletes one")
	}
	return c.full
}

// capacity finds out how much room there is: what ESA showed, with the new names of unfinished jobs, and without the routines of accepted deletions.
// It returns nil if that is not known.
func (s *Service) capacity(ctx context.Context, quota *routine.Quota) *capacity {
	listing, err := s.Ledger.Listing(ctx)
	if err != nil || s.Now().Sub(listing.ReadAt) > listingFresh {
		return nil
	}
	if quota != nil && quota.ReadAt.After(listing.ReadAt) {
		listing.Limit, listing.Used, listing.ReadAt = quota.Limit, quota.Used, quota.ReadAt
	}
	c := &capacity{Service: s, listing: listing, free: listing.Limit - listing.Used, names: map[string]bool{}}
	for _, seen := range listing.Routines {
		c.names[seen.Name] = true
	}
	made, leaving, known := s.unfinished(ctx)
	if !known {
		return nil
	}
	for name := range leaving { // one that is made again needs the room that it leaves
		if made[name] {
			delete(leaving, name)
		}
	}
	return c.with(ctx, made, leaving)
}

// with counts the routines that unfinished jobs make and delete. It returns nil if the claims could not be read.
func (c *capacity) with(ctx context.Context, made, leaving map[string]bool) *capacity {
	holdings, err := c.Ledger.Holdings(ctx, slices.Concat(wantedOf(made), wantedOf(leaving)))
	if err != nil {
		return nil
	}
	for _, h := range holdings {
		switch name := h.Claim.Name; {
		case leaving[name] && h.Claim.There():
			c.free++
		case made[name] && !h.Claim.There() && !c.names[name]:
			c.free--
		}
		c.names[h.Claim.Name] = true
	}
	return c
}

// unfinished are the names that unfinished jobs make, and those that they delete. They are not known if there are too many jobs.
func (s *Service) unfinished(ctx context.Context) (made, leaving map[string]bool, known bool) {
	made, leaving = map[string]bool{}, map[string]bool{}
	for cursor, page := "", 0; page < queuedPages; page++ {
		jobs, next, err := s.Ledger.Jobs(ctx, ledger.Filter{State: routine.Queued}, ledger.MaxPage, cursor)
		if err != nil {
			return nil, nil, false
		}
		for _, job := range jobs {
			switch job.Request.Action {
			case routine.Create:
				made[job.Request.Name] = true
			case routine.Delete, routine.Remove:
				leaving[job.Request.Name] = true
			default:
			}
		}
		if cursor = next; next == "" {
			return made, leaving, true
		}
	}
	return nil, nil, false
}

func wantedOf(names map[string]bool) []ledger.Wanted {
	out := make([]ledger.Wanted, 0, len(names))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		out = append(out, ledger.Wanted{Name: name})
	}
	return out
}
