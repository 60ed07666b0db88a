package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"routinely/deploy/local/faults"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// claimsPage are the names of a page of claims.
func claimsPage(l *ledger.Ledger, f ledger.ClaimFilter, limit int, cursor string) (names []string, next string, err error) {
	claims, next, err := l.Claims(context.Background(), f, limit, cursor)
	for _, c := range claims {
		names = append(names, c.Name)
	}
	return names, next, err
}

// claimed are the names of all pages of a list of claims.
func claimed(t rapid.TB, l *ledger.Ledger, f ledger.ClaimFilter, limit int) []string {
	t.Helper()
	return pages(t, func(cursor string) ([]string, string, error) { return claimsPage(l, f, limit, cursor) })
}

func TestClaims(t *testing.T) {
	b := newBook(t)
	names := func(numbers ...int) []string {
		out := []string{}
		for _, n := range numbers {
			out = append(out, fmt.Sprintf("pr-%02d", n))
		}
		return out
	}
	for n, name := range names(11, 3, 7, 1, 5, 9, 0, 2, 4, 6, 8, 10) {
		b.claim(t, name, func(c *routine.Claim) error {
			c.State, c.Ownership, c.Caller = routine.Live, routine.Owned, fmt.Sprintf("caller-%d", n%2)
			return nil
		})
	}
	b.claim(t, "pr-02", becomes(routine.Gone))
	b.claim(t, "pr-03", becomes(routine.Deleting))
	b.claim(t, "pr-04", func(c *routine.Claim) error { c.Ownership = routine.Unproven; return nil })
	b.claim(t, "pr-05", func(c *routine.Claim) error { c.Labels = map[string]string{"team": "web"}; return nil })
	b.claim(t, "pr-06", func(c *routine.Claim) error { c.Labels = map[string]string{"team": ""}; return nil })
	b.claim(t, "pr-07", func(c *routine.Claim) error { c.ExpiresAt = after(10); return nil })
	b.claim(t, "pr-08", func(c *routine.Claim) error { c.ExpiresAt = after(20); return nil })
	b.bind(t, "pr-12", "a.example.com") // a host name alone is no claim of the routine
	for name, test := range map[string]struct {
		filter ledger.ClaimFilter
		want   []string
	}{
		"all but the gone":        {ledger.ClaimFilter{}, names(0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11)},
		"a caller":                {ledger.ClaimFilter{Caller: "caller-0"}, names(0, 4, 5, 7, 8, 11)},
		"a state":                 {ledger.ClaimFilter{State: routine.Deleting}, names(3)},
		"an ownership":            {ledger.ClaimFilter{Ownership: routine.Unproven}, names(4)},
		"a label":                 {ledger.ClaimFilter{LabelKey: "team"}, names(5, 6)},
		"a label and its value":   {ledger.ClaimFilter{LabelKey: "team", LabelValue: "web"}, names(5)},
		"what expires":            {ledger.ClaimFilter{ExpiringBefore: after(20)}, names(7)},
		"a state that none is in": {ledger.ClaimFilter{State: routine.Expiring}, names()},
		"a caller and ownership":  {ledger.ClaimFilter{Caller: "caller-0", Ownership: routine.Owned}, names(0, 5, 7, 8, 11)},
	} {
		t.Run("of "+name+" are exact, by name, in pages of any size", func(t *testing.T) {
			for _, page := range []int{1, 5, 100} {
				same(t, claimed(t, b.Ledger, test.filter, page), test.want)
			}
		})
	}
	t.Run("of fifty are two calls", func(t *testing.T) {
		b.calls()
		_, _, err := claimsPage(b.Ledger, ledger.ClaimFilter{}, 50, "")
		must(t, err)
		b.wantCalls(t, "GetRange", "BatchGetRow")
	})
	t.Run("come whole", func(t *testing.T) {
		claims, _, err := b.Claims(t.Context(), ledger.ClaimFilter{LabelKey: "team"}, 1, "")
		must(t, err)
		same(t, claims, []routine.Claim{holding(t, b.Ledger, "pr-05").Claim.Claim})
	})
	t.Run("are not known while the service does not answer", func(t *testing.T) {
		b.calls()
		b.breaks(t, faults.Rule{Times: 1, Fault: faults.Fault{Answer: faults.HTML}})
		_, _, err := claimsPage(b.Ledger, ledger.ClaimFilter{}, 50, "")
		wantCode(t, err, "unavailable HTTP502")
		b.wantCalls(t, "GetRange")
	})
}

func TestClaimsRefuse(t *testing.T) {
	b := newBook(t)
	for _, name := range []string{"pr-1", "pr-2", "pr-3"} {
		b.claim(t, name, counts)
	}
	_, cursor, err := claimsPage(b.Ledger, ledger.ClaimFilter{}, 1, "")
	must(t, err)
	for name, test := range map[string]struct {
		filter ledger.ClaimFilter
		limit  int
		cursor string
		want   string
	}{
		"no claims":                  {ledger.ClaimFilter{}, 0, "", "InvalidLimit"},
		"too many claims":            {ledger.ClaimFilter{}, ledger.MaxPage + 1, "", "InvalidLimit"},
		"an unknown state":           {ledger.ClaimFilter{State: "paused"}, 10, "", "InvalidFilter"},
		"what is gone":               {ledger.ClaimFilter{State: routine.Gone}, 10, "", "InvalidFilter"},
		"an unknown ownership":       {ledger.ClaimFilter{Ownership: "ours"}, 10, "", "InvalidFilter"},
		"a label's value alone":      {ledger.ClaimFilter{LabelValue: "web"}, 10, "", "InvalidFilter"},
		"a long caller":              {ledger.ClaimFilter{Caller: strings.Repeat("x", 256)}, 10, "", "InvalidFilter"},
		"a time out of range":        {ledger.ClaimFilter{ExpiringBefore: noon.AddDate(8000, 0, 0)}, 10, "", "InvalidFilter"},
		"no cursor":                  {ledger.ClaimFilter{}, 10, "x", "InvalidCursor"},
		"a cursor of another filter": {ledger.ClaimFilter{Caller: "caller-1"}, 10, cursor, "InvalidCursor"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := claimsPage(b.Ledger, test.filter, test.limit, test.cursor)
			wantCode(t, err, "invalid "+test.want)
		})
	}
}

// listedRoutines is how many index rows of routines there are.
func (b *book) listedRoutines(t testing.TB) (count int) {
	t.Helper()
	for _, row := range b.rows(t, "state") {
		if row.PrimaryKey.PrimaryKeys[0].Value == "routines" {
			count++
		}
	}
	return count
}

func TestIndexRowsOfRoutines(t *testing.T) {
	t.Run("are there before the claim that needs them", func(t *testing.T) {
		b := newBook(t)
		none := holding(t, b.Ledger, "pr-1").Claim
		_, err := b.killed(t, 2).ChangeClaim(t.Context(), none, counts)
		check(t, err, err != nil)
		same(t, b.listedRoutines(t), 1)
		same(t, claimed(t, b.Ledger, ledger.ClaimFilter{}, 10), []string{})
	})
	t.Run("are deleted by the list once the claim is gone, when nobody can be about to write it", func(t *testing.T) {
		b := newBook(t)
		b.claim(t, "pr-1", counts, becomes(routine.Gone))
		for _, test := range []struct {
			wait time.Duration
			want int
		}{{0, 1}, {time.Minute, 1}, {time.Second, 0}} {
			b.clock.Advance(test.wait)
			same(t, claimed(t, b.Ledger, ledger.ClaimFilter{}, 10), []string{})
			same(t, b.listedRoutines(t), test.want)
		}
	})
	t.Run("are put again for a name that comes back", func(t *testing.T) {
		b := newBook(t)
		b.claim(t, "pr-1", counts, becomes(routine.Gone))
		b.clock.Advance(time.Hour)
		claimed(t, b.Ledger, ledger.ClaimFilter{}, 10)
		b.claim(t, "pr-1", becomes(routine.Creating))
		same(t, claimed(t, b.Ledger, ledger.ClaimFilter{}, 10), []string{"pr-1"})
	})
	t.Run("are not taken from a name that comes back, by a delete that comes late", func(t *testing.T) {
		b := newBook(t)
		b.claim(t, "pr-1", counts, becomes(routine.Gone))
		b.clock.Advance(time.Hour)
		late := b.before(t, 3, func() { b.claim(t, "pr-1", becomes(routine.Creating)) })
		same(t, claimed(t, late, ledger.ClaimFilter{}, 10), []string{})
		same(t, claimed(t, b.Ledger, ledger.ClaimFilter{}, 10), []string{"pr-1"})
	})
	t.Run("stay without harm if the delete fails", func(t *testing.T) {
		b := newBook(t)
		b.claim(t, "pr-1", counts, becomes(routine.Gone))
		b.clock.Advance(time.Hour)
		b.breaks(t, faults.Rule{Action: "BatchWriteRow", Times: 1, Fault: faults.Fault{Answer: faults.HTML}})
		same(t, claimed(t, b.Ledger, ledger.ClaimFilter{}, 10), []string{})
		same(t, b.listedRoutines(t), 1)
	})
}

func TestClaimsWithARareFilter(t *testing.T) {
	b := newBook(t)
	for n := range 250 {
		b.claim(t, fmt.Sprintf("pr-%03d", n), counts)
	}
	b.claim(t, "pr-240", becomes(routine.Deleting))
	b.calls()
	names, next, err := claimsPage(b.Ledger, ledger.ClaimFilter{State: routine.Deleting}, 10, "")
	must(t, err)
	b.wantCalls(t, "GetRange", "BatchGetRow", "GetRange", "BatchGetRow")
	check(t, names, len(names) == 0 && next != "")
	same(t, claimed(t, b.Ledger, ledger.ClaimFilter{State: routine.Deleting}, 10), []string{"pr-240"})
}

// runClaim lets a process change the claim of one of few routines to a state, and kills it before one of its calls, loses an answer, or lets
// another process in before a call.
func (b *book) runClaim(t testing.TB, rt *rapid.T, names []string) {
	name := rapid.SampledFrom(names).Draw(rt, "name")
	state := rapid.SampledFrom([]routine.ClaimState{routine.Creating, routine.Live, routine.Gone, routine.Gone}).Draw(rt, "state")
	process, end := b.Ledger, rapid.SampledFrom([]string{"", "", "killed", "lost", "another", "listed"}).Draw(rt, "end")
	row, call := holding(t, b.Ledger, name).Claim, rapid.IntRange(1, 2).Draw(rt, "call")
	switch end {
	case "killed":
		process = b.killed(t, call)
	case "lost":
		b.breaks(t, lost("BatchWriteRow", call-1, 2))
	case "another":
		process = b.before(t, call, func() { b.claim(t, name, becomes(routine.Gone)) })
	case "listed":
		process = b.before(t, call, func() { claimed(rt, b.Ledger, ledger.ClaimFilter{}, 100) })
	}
	_, err := process.ChangeClaim(context.Background(), row, becomes(state))
	b.server.Faults().Clear()
	rt.Logf("%s becomes %s (%s): %v", name, state, end, err)
}

func TestListOfClaims(t *testing.T) {
	b := newBook(t)
	next := 0
	t.Run("holds each claim that is not gone exactly once, whatever they go through and whoever is killed", rapid.MakeCheck(func(rt *rapid.T) {
		if testing.Short() && rapid.IntRange(0, 4).Draw(rt, "a few are enough") > 0 { // a server takes milliseconds
			return
		}
		if next++; next%50 == 0 { // the list is read whole
			b = newBook(t)
		}
		names := []string{fmt.Sprintf("pr-%d-1", next), fmt.Sprintf("pr-%d-2", next)}
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "what") {
			case 0:
				b.clock.Advance(2 * time.Minute)
			case 1:
				slow := b.before(t, rapid.IntRange(1, 3).Draw(rt, "before"), func() { b.runClaim(t, rt, names) })
				claimed(rt, slow, ledger.ClaimFilter{}, 100)
			default:
				b.runClaim(t, rt, names)
			}
		}
		want := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			claim := holding(t, b.Ledger, name).Claim
			return !claim.Exists() || claim.State == routine.Gone
		})
		got := slices.DeleteFunc(claimed(rt, b.Ledger, ledger.ClaimFilter{}, 100), func(name string) bool { return !slices.Contains(names, name) })
		if !slices.Equal(got, want) {
			rt.Fatalf("listed are %q, want %q", got, want)
		}
	}))
}
