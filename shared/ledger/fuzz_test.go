package ledger_test

import (
	"encoding/base64"
	"testing"

	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// FuzzReadRow asserts that columns of any content are a job, are none, or are refused, and that a job comes back as it was read.
func FuzzReadRow(f *testing.F) {
	for _, row := range []ledger.Row{queued(), begun(), died(), succeeded()} {
		columns := row.Columns()
		f.Add(columns["job"].(string), columns["request"].(string), columns["more"].(string), columns["seq"].(int64))
	}
	f.Add("", "", "", int64(0))
	f.Add(`{"id":"x"}`, `{}`, `{"redrives":[{"was":null}]}`, int64(1))
	f.Add(`{"id":"x","state":"dead-lettered","left":[{}],"callback":{"state":"failed"}}`, `null`, `null`, int64(1))
	f.Fuzz(func(t *testing.T, job, request, more string, seq int64) {
		r, err := ledger.ReadRow(map[string]any{"job": job, "request": request, "more": more, "seq": seq})
		if err != nil {
			wantCode(t, err, "internal UnreadableRow")
			return
		}
		r.Shown()
		r.News()
		again, err := ledger.ReadRow(r.Columns())
		must(t, err)
		same(t, again.Columns()["job"], r.Columns()["job"])
	})
}

func TestReadRow(t *testing.T) {
	t.Run("takes no columns for no job", func(t *testing.T) {
		r, err := ledger.ReadRow(nil)
		must(t, err)
		check(t, r, r == nil)
	})
	for name, change := range map[string]func(map[string]any){
		"no job": func(c map[string]any) { delete(c, "job") }, "no request": func(c map[string]any) { delete(c, "request") },
		"no sequence": func(c map[string]any) { delete(c, "seq") }, "another's column": func(c map[string]any) { clear(c); c["x"] = true },
		"an empty job": func(c map[string]any) { c["job"] = "{}" }, "broken JSON": func(c map[string]any) { c["more"] = "{" },
	} {
		t.Run("refuses a row with "+name, func(t *testing.T) {
			r := died()
			columns := r.Columns()
			change(columns)
			_, err := ledger.ReadRow(columns)
			wantCode(t, err, "internal UnreadableRow")
		})
	}
}

// pagesOf reads all pages of one job each, by the cursor that leads to them.
func pagesOf(t testing.TB, l *ledger.Ledger, f ledger.Filter) map[string][]routine.Job {
	t.Helper()
	found := map[string][]routine.Job{}
	for cursor := ""; ; {
		jobs, next, err := l.Jobs(t.Context(), f, 1, cursor)
		must(t, err)
		if found[cursor] = jobs; next == "" {
			return found
		}
		cursor = next
	}
}

// FuzzCursor asserts that a list takes no cursor but those it has given, for the very filter that it has given them for.
func FuzzCursor(f *testing.F) {
	b := newBook(f, newRows(4)...)
	filters := []ledger.Filter{{}, {State: routine.Queued}, {Caller: "caller-0"}, {Name: "pr-1"}}
	var given []map[string][]routine.Job
	for i, filter := range filters {
		given = append(given, pagesOf(f, b.Ledger, filter))
		for cursor := range given[i] {
			f.Add(uint8(i), cursor)
			f.Add(uint8(i+1), cursor) // of another filter
		}
	}
	f.Add(uint8(0), base64.RawURLEncoding.EncodeToString([]byte("2026-03-01T12:00:01.000000000Z/job-000001")))
	f.Fuzz(func(t *testing.T, which uint8, cursor string) {
		i := int(which) % len(filters)
		got, _, err := b.Jobs(t.Context(), filters[i], 1, cursor)
		want, known := given[i][cursor]
		if !known {
			wantCode(t, err, "invalid InvalidCursor")
			return
		}
		must(t, err)
		same(t, got, want)
	})
}
