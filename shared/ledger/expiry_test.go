package ledger_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestAdmitExpiry(t *testing.T) {
	admits := func(t *testing.T, l *ledger.Ledger, id string, most int, want bool) {
		t.Helper()
		got, err := l.AdmitExpiry(t.Context(), id, most)
		must(t, err)
		check(t, fmt.Sprintf("%s is admitted: %t", id, got), got == want)
	}
	t.Run("admits so many jobs in an hour", func(t *testing.T) {
		b := newBook(t)
		admits(t, b.Ledger, "a", 2, true)
		b.clock.Advance(30 * time.Minute)
		admits(t, b.Ledger, "b", 2, true)
		admits(t, b.Ledger, "c", 2, false)
		admits(t, b.Ledger, "c", 3, true)
		b.clock.Advance(30 * time.Minute)
		admits(t, b.Ledger, "d", 3, true)
		admits(t, b.Ledger, "e", 3, false)
	})
	t.Run("counts a job once", func(t *testing.T) {
		b := newBook(t)
		for range 3 {
			admits(t, b.Ledger, "a", 2, true)
		}
		admits(t, b.Ledger, "b", 2, true)
		admits(t, b.Ledger, "a", 2, true)
		admits(t, b.Ledger, "c", 2, false)
	})
	t.Run("counts for two at once", func(t *testing.T) {
		b := newBook(t)
		other := b.before(t, 2, func() { admits(t, b.Ledger, "a", 1, true) })
		admits(t, other, "b", 1, false)
	})
	t.Run("counts a job whose answer was lost once", func(t *testing.T) {
		b := newBook(t)
		b.breaks(t, lost("BatchWriteRow", 0, 1))
		admits(t, b.Ledger, "a", 2, true)
		admits(t, b.Ledger, "b", 2, true)
		admits(t, b.Ledger, "c", 2, false)
	})
}

func TestUnfinishedOfOthers(t *testing.T) {
	b := newBook(t)
	find := func(want string) {
		t.Helper()
		id, err := b.UnfinishedOfOthers(t.Context(), "pr-1", "janitor")
		must(t, err)
		same(t, id, want)
	}
	add := func(n int, name, caller string) string {
		return b.create(t, ledger.NewRow(routine.Job{
			ID: fmt.Sprintf("job-%03d", n), Caller: caller, AcceptedAt: after(n), Request: routine.Request{Name: name},
		}))[0].ID
	}
	add(1, "pr-2", "ci")
	add(2, "pr-1", "janitor")
	find("")
	older := add(3, "pr-1", "ci")
	for n := range 150 { // more than a page of jobs that have ended
		b.change(t, add(10+n, "pr-1", "ci"), begins, succeeds)
	}
	find(older)
	newer := add(200, "pr-1", routine.QueueCaller)
	find(newer)
	b.change(t, newer, begins, succeeds)
	b.change(t, older, begins, succeeds)
	find("")
}

func TestListing(t *testing.T) {
	b := newBook(t)
	shown := func(minute int) routine.Listing {
		return routine.Listing{ReadAt: after(minute), Limit: 100, Used: 1, Routines: []routine.ListedRoutine{{Name: "pr-1", CreateTime: after(minute)}}}
	}
	read := func(want routine.Listing) {
		t.Helper()
		got, err := b.Listing(t.Context())
		must(t, err)
		same(t, got, want)
	}
	read(routine.Listing{})
	must(t, b.SetListing(t.Context(), shown(2)))
	must(t, b.SetListing(t.Context(), shown(1)))
	read(shown(2))
	long := shown(3)
	long.Routines[0].Description = strings.Repeat("x", 5000)
	must(t, b.SetListing(t.Context(), long))
	claim := b.claim(t, "pr-1", func(c *routine.Claim) error {
		c.State, c.Description = routine.Live, long.Routines[0].Description
		return nil
	})
	long.Routines = []routine.ListedRoutine{{Name: "pr-1", CreateTime: after(3), Description: claim.Description}}
	read(long)
}

func TestLargestListing(t *testing.T) {
	b := newBook(t)
	long := strings.Repeat("<", 5000) // each is six bytes as JSON
	s := routine.Listing{ReadAt: noon, Limit: 100, Used: 100}
	for n := range 100 {
		foreign := routine.Foreign{ReadAt: noon, MoreRecords: 1, MoreRoutes: 1}
		for range routine.MaxForeign {
			foreign.Records, foreign.Routes = append(foreign.Records, strings.Repeat("r", 300)), append(foreign.Routes, long)
		}
		s.Routines = append(s.Routines, routine.ListedRoutine{Name: fmt.Sprintf("pr-%d", n), CreateTime: noon, Description: long, Foreign: &foreign})
	}
	must(t, b.SetListing(t.Context(), s))
	got, err := b.Listing(t.Context())
	must(t, err)
	text, err := json.Marshal(got)
	must(t, err)
	check(t, len(text), len(got.Routines) == 100 && len(text) < 2<<20)
	same(t, len(got.Routines[99].Foreign.Records[4]), 255)
	same(t, len(s.Routines[99].Foreign.Routes[4]), 5000) // what was given is as it was
}

func TestGoneClaimKeepsNoURL(t *testing.T) {
	b := newBook(t)
	live := b.claim(t, "pr-1", func(c *routine.Claim) error {
		c.State, c.CallbackURL = routine.Live, "https://ci.example/hook?token=hush"
		return nil
	})
	same(t, live.CallbackURL, "https://ci.example/hook?token=hush")
	b.claim(t, "pr-1", becomes(routine.Gone))
	same(t, holding(t, b.Ledger, "pr-1").Claim.CallbackURL, "")
}
