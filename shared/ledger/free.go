package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"routinely/shared/routine"
)

// toFree is how many routines ToFree names, and freePages how many pages of claims it looks at.
const (
	toFree    = 3
	freePages = 3
)

// ToFree names owned routines that could be deleted to make room, each with why: those whose time is over, then the oldest that have an end. What
// is to be deleted already is not among them.
func (l *Ledger) ToFree(ctx context.Context, now time.Time) ([]string, error) {
	var all []routine.Claim
	for cursor, page := "", 0; page < freePages; page++ {
		claims, next, err := l.Claims(ctx, ClaimFilter{Ownership: routine.Owned}, MaxPage, cursor)
		if err != nil {
			return nil, err
		}
		all = append(all, claims...)
		if cursor = next; next == "" {
			break
		}
	}
	all = slices.DeleteFunc(all, func(c routine.Claim) bool { return c.ExpiresAt.IsZero() || c.DeleteNumber > c.CreateNumber })
	over := func(c routine.Claim) bool { return !c.ExpiresAt.After(now) }
	slices.SortFunc(all, func(a, b routine.Claim) int {
		switch {
		case over(a) && !over(b):
			return -1
		case over(b) && !over(a):
			return 1
		}
		return a.CreateTime.Compare(b.CreateTime)
	})
	var out []string
	for _, c := range all[:min(len(all), toFree)] {
		why := "made " + c.CreateTime.Format(time.RFC3339)
		if over(c) {
			why = "expired " + c.ExpiresAt.Format(time.RFC3339)
		}
		out = append(out, fmt.Sprintf("%s (%s)", c.Name, why))
	}
	return out, nil
}
