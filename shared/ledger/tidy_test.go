package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// rowsOfQueued are those of a queued job of newRow: its own, four lists of all jobs, and that of its state.
const rowsOfQueued = 1 + 4 + 1

func (b *book) wantRows(t testing.TB, want int) {
	t.Helper()
	rows := b.rows(t)
	if len(rows) == want {
		return
	}
	for _, row := range rows {
		t.Log(row.PrimaryKey.PrimaryKeys[0].Value, row.PrimaryKey.PrimaryKeys[1].Value)
	}
	t.Errorf("%d rows, want %d", len(rows), want)
}

func TestTidy(t *testing.T) {
	t.Run("deletes what changes have left behind, in one call", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRows(3)...)
		for _, row := range newRows(3) {
			b.change(t, row.ID, dies(5, "Taken"))
			b.change(t, row.ID, redriven(t, 6))
			b.change(t, row.ID, succeeds)
		}
		b.calls()
		if err := b.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"BatchWriteRow"}, b.calls()); diff != "" {
			t.Errorf("calls -want +got:\n%s", diff)
		}
		b.wantRows(t, 3*rowsOfQueued)
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("keeps all of what it could not delete for the next time", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRows(240)...) // more than one call deletes
		for _, done := range b.ChangeAll(t.Context(), idsOf(newRows(240)), func(r *ledger.Row) error { succeeds(r); return nil }) {
			if done.Err != nil {
				t.Fatal(done.Err)
			}
		}
		b.breaks(t, partly(t, 200, 7, "OTSServerBusy", true))
		if err := b.Tidy(t.Context()); codeOf(err) != "unavailable OTSServerBusy" {
			t.Errorf("got %v", err)
		}
		b.breaks(t, faults.Rule{Action: "BatchWriteRow", Fault: faults.Fault{Answer: faults.HTML}})
		if err := b.Tidy(t.Context()); codeOf(err) != "unavailable HTTP502" {
			t.Errorf("got %v", err)
		}
		if err := b.Tidy(t.Context()); err != nil {
			t.Error(err)
		}
		b.wantRows(t, 240*rowsOfQueued)
	})
	t.Run("does not delete what a correction has taken up again", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		correct := func(name string, second int) {
			b.change(t, newRow(1).ID, dies(second, "Taken"))
			b.change(t, newRow(1).ID, func(r *ledger.Row) {
				corrected, at := r.Request, noon.Add(time.Duration(second+1)*time.Second)
				corrected.Name = name
				if err := r.Redrive("olga", "", &corrected, at, at, at); err != nil {
					t.Fatal(err)
				}
			})
		}
		correct("other", 5)
		correct("pr-1", 7)
		if err := b.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("does not delete the row of a callback that failed twice", func(t *testing.T) {
		b := newBook(t)
		row := newRow(1)
		row.Request.CallbackURL = "https://ci.example/hook"
		b.create(t, row)
		b.change(t, row.ID, dies(5, "Taken"))
		step := func(change func(*ledger.Row) error) {
			t.Helper()
			b.change(t, row.ID, func(r *ledger.Row) {
				if err := change(r); err != nil {
					t.Error(err)
				}
			})
		}
		sent := func(r *ledger.Row) error { return r.Sent(0, 1, "k1", noon) }
		failed := func(r *ledger.Row) error { return r.CallbackFailed(0, 8, 500) }
		step(sent)
		step(failed)
		b.wantListed(t, row.ID)
		step(func(r *ledger.Row) error { return r.CallbackDue(noon) }) // as due as before: a clock may be coarse
		b.wantListed(t, row.ID)
		step(sent)
		step(failed)
		if err := b.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.wantListed(t, row.ID)
	})
}

func TestSweep(t *testing.T) {
	sweep := func(t *testing.T, l *ledger.Ledger) {
		t.Helper()
		later := noon.AddDate(1, 0, 0)
		if _, _, err := l.Due(t.Context(), later, 100); err != nil {
			t.Error(err)
		}
		if _, _, err := l.Unfinished(t.Context(), later, "", 100); err != nil {
			t.Error(err)
		}
		if _, _, err := l.DeadBefore(t.Context(), noon, later, "", 100); err != nil {
			t.Error(err)
		}
		if err := l.Tidy(t.Context()); err != nil {
			t.Error(err)
		}
	}
	// handOver makes a job due whose latest news is an hour old.
	handOver := func(r *ledger.Row) error {
		r.HandOver(2, ledger.HandOver{Failure: failureAt(5, "Busy")}, noon.Add(time.Hour))
		return nil
	}
	t.Run("deletes the index rows of a change that was never made", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		if _, err := b.killed(t, 3).Change(t.Context(), newRow(1).ID, handOver); err == nil {
			t.Fatal("the writer was not killed")
		}
		b.clock.Advance(2 * time.Minute)
		sweep(t, b.connect(t, nil))
		b.wantRows(t, rowsOfQueued)
	})
	t.Run("leaves the index row of a change that is being made", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		b.clock.Advance(time.Hour)
		slow := b.before(t, 3, func() { sweep(t, b.connect(t, nil)) })
		if _, err := slow.Change(t.Context(), newRow(1).ID, handOver); err != nil {
			t.Fatal(err)
		}
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("leaves the index row that was put again since it was read", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		if _, err := b.killed(t, 3).Change(t.Context(), newRow(1).ID, handOver); err == nil {
			t.Fatal("the writer was not killed")
		}
		b.clock.Advance(2 * time.Minute)
		// Due reads the index and the row, then Tidy deletes.
		slow := b.before(t, 3, func() { _, _ = b.Change(t.Context(), newRow(1).ID, handOver) })
		if rows, _, err := slow.Due(t.Context(), noon.Add(2*time.Hour), 10); err != nil || len(rows) != 0 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		if err := slow.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("leaves the index rows of a job whose row is not there yet", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		var own int
		rows := b.rows(t)
		for i, row := range rows {
			if row.PrimaryKey.PrimaryKeys[1].Value == "job" {
				own = i
			}
		}
		b.deleteRow(t, rows[own])
		sweep(t, b.connect(t, nil))
		b.wantRows(t, rowsOfQueued-1)
		b.clock.Advance(2 * time.Minute)
		sweep(t, b.connect(t, nil))
		b.wantRows(t, rowsOfQueued-2) // the list of what is queued is swept
	})
}

func TestDue(t *testing.T) {
	due := func(b *book, t *testing.T, n, second int) {
		b.change(t, newRow(n).ID, func(r *ledger.Row) {
			if err := r.Due(noon.Add(time.Duration(second) * time.Second)); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("lists what is due by now, the longest due first, so many at most", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRows(5)...)
		for n, second := range []int{50, 40, 30, 20, 10} {
			due(b, t, n, second)
		}
		rows, more, err := b.Due(t.Context(), noon.Add(40*time.Second), 3)
		if diff := cmp.Diff([]string{"job-000004", "job-000003", "job-000002"}, idsOf(rows)); diff != "" || !more || err != nil {
			t.Errorf("more %t, %v, -want +got:\n%s", more, err, diff)
		}
		rows, more, err = b.Due(t.Context(), noon.Add(40*time.Second), 100)
		if len(rows) != 4 || more || err != nil {
			t.Errorf("%v, more %t, %v", idsOf(rows), more, err)
		}
	})
	t.Run("lists nothing that was sent, or that a worker has begun with", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRows(2)...)
		due(b, t, 0, 10)
		due(b, t, 1, 10)
		b.change(t, "job-000000", func(r *ledger.Row) {
			if err := r.Sent(0, 1, "k1", noon); err != nil {
				t.Error(err)
			}
		})
		b.change(t, "job-000001", func(r *ledger.Row) { r.Begin(1, routine.Progress{}, noon) })
		if rows, _, err := b.Due(t.Context(), noon.Add(time.Hour), 100); err != nil || len(rows) != 0 {
			t.Errorf("%v, %v", idsOf(rows), err)
		}
	})
	t.Run("rows are whole, so that writing one keeps its history", func(t *testing.T) {
		b := newBook(t)
		row := newRow(1)
		row.Request.CallbackURL = "https://ci.example/hook"
		b.create(t, row)
		b.change(t, row.ID, dies(5, "Taken"))
		rows, _, err := b.Due(t.Context(), noon.Add(time.Hour), 10)
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		if _, err := b.Update(t.Context(), rows[0], func(r *ledger.Row) { _ = r.Sent(0, 1, "k1", noon) }); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Row(t.Context(), row.ID); err != nil || len(got.Attempts) != 1 || !got.DueAt.IsZero() {
			t.Errorf("%d attempts, due %s, %v", len(got.Attempts), got.DueAt, err)
		}
	})
	t.Run("lists unfinished jobs from before a time, the oldest first, in bounded pages", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRows(7)...)
		b.change(t, "job-000002", succeeds)
		got := pages(t, func(from string) ([]string, string, error) {
			rows, next, err := b.Unfinished(t.Context(), noon.Add(5*time.Second), from, 2)
			if len(rows) > 2 {
				t.Errorf("%d rows", len(rows))
			}
			return idsOf(rows), next, err
		})
		if diff := cmp.Diff([]string{"job-000000", "job-000001", "job-000003", "job-000004"}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("lists dead letters of a time, the oldest first, in bounded pages", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRows(6)...)
		for n := range 6 {
			b.change(t, newRow(n).ID, dies(10*n, "Taken"))
		}
		got := pages(t, func(from string) ([]string, string, error) {
			rows, next, err := b.DeadBefore(t.Context(), noon.Add(10*time.Second), noon.Add(50*time.Second), from, 2)
			return idsOf(rows), next, err
		})
		if diff := cmp.Diff([]string{"job-000001", "job-000002", "job-000003", "job-000004"}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("refuses a limit out of range", func(t *testing.T) {
		b := newBook(t)
		for _, limit := range []int{0, -1, ledger.MaxPage + 1} {
			if _, _, err := b.Due(t.Context(), noon, limit); codeOf(err) != "invalid InvalidLimit" {
				t.Errorf("limit %d: %v", limit, err)
			}
		}
	})
}

func TestMark(t *testing.T) {
	b := newBook(t)
	if got, err := b.Mark(t.Context(), "unfinished"); got != "" || err != nil {
		t.Errorf("before the first: %q, %v", got, err)
	}
	if err := b.SetMark(t.Context(), "unfinished", "here"); err != nil {
		t.Fatal(err)
	}
	if got, err := b.connect(t, nil).Mark(t.Context(), "unfinished"); got != "here" || err != nil {
		t.Errorf("after it: %q, %v", got, err)
	}
	if got, err := b.Mark(t.Context(), "other"); got != "" || err != nil {
		t.Errorf("of another task: %q, %v", got, err)
	}
}
