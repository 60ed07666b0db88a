package ledger_test

import (
	"encoding/base64"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// pagesOf reads all pages of one job each, by the cursor that leads to them.
func pagesOf(t testing.TB, l *ledger.Ledger, f ledger.Filter) map[string][]routine.Job {
	t.Helper()
	pages := map[string][]routine.Job{}
	for cursor := ""; ; {
		jobs, next, err := l.Jobs(t.Context(), f, 1, cursor)
		if err != nil {
			t.Fatal(err)
		}
		if pages[cursor] = jobs; next == "" {
			return pages
		}
		cursor = next
	}
}

// FuzzCursor asserts that a list takes no cursor but those it has given, for the very filter that it has given them for.
func FuzzCursor(f *testing.F) {
	l, _ := newLedger(f)
	for n := range 4 {
		claim(f, l, newJob(n))
	}
	filters := []ledger.Filter{{}, {State: routine.Queued}, {Caller: "caller-0"}, {Name: "pr-1"}}
	var pages []map[string][]routine.Job
	for i, filter := range filters {
		pages = append(pages, pagesOf(f, l, filter))
		for cursor := range pages[i] {
			f.Add(uint8(i), cursor)
			f.Add(uint8(i+1), cursor) // of another filter
		}
	}
	f.Add(uint8(0), base64.RawURLEncoding.EncodeToString([]byte("2026-03-01T12:00:01.000000000Z/job-000001")))
	f.Fuzz(func(t *testing.T, which uint8, cursor string) {
		i := int(which) % len(filters)
		got, _, err := l.Jobs(t.Context(), filters[i], 1, cursor)
		want, given := pages[i][cursor]
		if !given {
			if codeOf(err) != "invalid InvalidCursor" || got != nil {
				t.Fatalf("%q was not given: got %v, %v", cursor, got, err)
			}
			return
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("%v, -want +got:\n%s", err, diff)
		}
	})
}
