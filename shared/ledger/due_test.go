package ledger_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// step is a change of a job that may be refused.
type step func(*ledger.Row) error

// steps makes changes of a job, none of which is refused.
func (b *book) steps(t testing.TB, id string, steps ...step) {
	t.Helper()
	for _, step := range steps {
		if _, err := b.Change(t.Context(), id, step); err != nil {
			t.Fatal(err)
		}
	}
}

func death(r *ledger.Row) error { dies(5, "Taken")(r); return nil }

func redrive(r *ledger.Row) error { return r.Redrive("olga", "", nil, after(1), after(1), after(1)) }

// handOver makes a job due an hour after noon.
func handOver(r *ledger.Row) error {
	r.HandOver(r.Number+1, ledger.HandOver{Failure: failureAt(5, "Busy"), Counted: true}, after(60))
	return nil
}

func sent(r *ledger.Row) error { return r.Sent(r.Redriven, r.Number, "k1", noon) }

// notify makes a callback due when that of death was: a clock may be coarse.
func notify(r *ledger.Row) error { return r.CallbackDue(after(0).Add(5 * time.Second)) }

func callbackFailed(r *ledger.Row) error { return r.CallbackFailed(r.Redriven, 8, 500) }

// rowsOfDead are a dead letter's: those that a queued job has too, but for its state, and six lists of dead letters.
const rowsOfDead = rowsOfQueued + 6

// TestIndexRowsThatAreLeft is about the index rows that a job no longer has after a change.
func TestIndexRowsThatAreLeft(t *testing.T) {
	t.Run("are deleted by the change, all in one call", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRows(16)...)
		b.calls()
		for _, done := range b.ChangeAll(t.Context(), idsOf(newRows(16)), death) {
			if done.Err != nil {
				t.Fatal(done.Err)
			}
		}
		b.wantCalls(t, "BatchGetRow", "BatchWriteRow", "BatchWriteRow", "BatchWriteRow")
		b.wantRows(t, 16*rowsOfDead)
		b.steps(t, newRow(1).ID, redrive, death)
		b.wantRows(t, 16*rowsOfDead)
	})
	t.Run("are deleted although the caller goes away", func(t *testing.T) {
		b := newBook(t)
		row := b.create(t, newRow(1))[0]
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := b.before(t, 3, cancel).Update(ctx, row, succeeds); err != nil {
			t.Fatal(err)
		}
		b.wantRows(t, rowsOfQueued)
	})
	for name, rule := range map[string]faults.Rule{
		"the call fails":   {Action: "BatchWriteRow", Fault: faults.Fault{Answer: faults.HTML}},
		"a row is refused": partly(t, 7, 3, "OTSServerBusy", false),
	} {
		t.Run("stay if "+name+", which is no failure of the change and does no harm", func(t *testing.T) {
			b := newBook(t)
			b.create(t, newRow(1))
			b.steps(t, newRow(1).ID, death)
			rule.Skip = 2 // index rows, row
			b.breaks(t, rule)
			b.steps(t, newRow(1).ID, redrive)
			b.wantRows(t, rowsOfQueued+1+7) // due, and all that the dead letter had
			b.wantListed(t, newRow(1).ID)
		})
	}
	t.Run("stay if another correction can take them up again", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		for round, name := range []string{"other", "pr-1"} {
			b.steps(t, newRow(1).ID, death, func(r *ledger.Row) error {
				corrected, at := r.Request, after(1+round)
				corrected.Name = name
				return r.Redrive("olga", "", &corrected, at, at, at)
			})
		}
		b.wantListed(t, newRow(1).ID)
	})
	for name, test := range map[string]struct {
		before    []step
		late      step
		deletes   int
		meanwhile []step
	}{
		"a death, after a redrive and another death": {nil, death, 4, []step{redrive, death}},
		"a send, after it was due again":             {[]step{death}, sent, 3, []step{notify}},
		"a callback due, after it failed again":      {[]step{death, sent, callbackFailed}, notify, 4, []step{sent, callbackFailed}},
	} {
		t.Run("are all that is taken by a delete that comes late: of "+name, func(t *testing.T) {
			b := newBook(t)
			row := newRow(1)
			row.Request.CallbackURL = "https://ci.example/hook"
			b.create(t, row)
			b.steps(t, row.ID, test.before...)
			late := b.before(t, test.deletes, func() { b.steps(t, row.ID, test.meanwhile...) })
			if _, err := late.Change(t.Context(), row.ID, test.late); err != nil {
				t.Fatal(err)
			}
			b.wantListed(t, row.ID)
		})
	}
}

func TestSweep(t *testing.T) {
	for name, test := range map[string]struct {
		before  []step
		change  step
		killed  int
		remains int
	}{
		"between the index rows and the row": {nil, handOver, 3, rowsOfQueued},
		"before it deleted what is left":     {nil, death, 4, rowsOfDead},
		// What is left of the list by state, and of those of dead letters by a value, is not swept.
		"before it deleted the dead letter": {[]step{death}, redrive, 4, rowsOfQueued + 1 + 6},
	} {
		t.Run("deletes what a process left that was killed "+name, func(t *testing.T) {
			b := newBook(t)
			b.create(t, newRow(1))
			b.steps(t, newRow(1).ID, test.before...)
			_, err := b.killed(t, test.killed).Change(t.Context(), newRow(1).ID, test.change)
			if (err == nil) != (test.killed == 4) {
				t.Fatal(err)
			}
			b.clock.Advance(2 * time.Minute)
			b.sweep(t)
			b.wantRows(t, test.remains)
			b.wantListed(t, newRow(1).ID)
		})
	}
	t.Run("leaves the index row of a change that is being made", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		b.clock.Advance(time.Hour)
		slow := b.before(t, 3, func() { b.sweep(t) })
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
		slow := b.before(t, 3, func() { b.steps(t, newRow(1).ID, handOver) }) // after the index and the row are read
		if rows, _, err := slow.Due(t.Context(), later, 10); err != nil || len(rows) != 0 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("leaves the index rows of a job whose row is about to come", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		b.deleteRows(t, isJob)
		b.sweep(t)
		b.wantRows(t, rowsOfQueued-1)
		b.clock.Advance(2 * time.Minute)
		b.sweep(t)
		b.wantRows(t, rowsOfQueued-2) // the list of what is queued is swept
	})
}

func TestDue(t *testing.T) {
	b := newBook(t)
	b.create(t, newRows(7)...)
	for n, second := range []int{50, 40, 30, 20, 10, 10, 10} {
		b.steps(t, newRow(n).ID, func(r *ledger.Row) error { return r.Due(noon.Add(time.Duration(second) * time.Second)) })
	}
	b.steps(t, newRow(5).ID, sent)
	b.change(t, newRow(6).ID, func(r *ledger.Row) { r.Begin(1, routine.Progress{}, noon) })
	t.Run("lists what is due by now and was not sent or begun, the longest due first, so many at most", func(t *testing.T) {
		for limit, want := range map[int][]string{
			3: {"job-000004", "job-000003", "job-000002"}, 100: {"job-000004", "job-000003", "job-000002", "job-000001"},
		} {
			rows, more, err := b.Due(t.Context(), noon.Add(40*time.Second), limit)
			if diff := cmp.Diff(want, idsOf(rows)); diff != "" || more != (limit == 3) || err != nil {
				t.Errorf("more %t, %v, -want +got:\n%s", more, err, diff)
			}
		}
	})
	t.Run("lists whole rows, so that writing one keeps its history", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		b.steps(t, newRow(1).ID, handOver)
		rows, _, err := b.Due(t.Context(), later, 10)
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		if _, err := b.Update(t.Context(), rows[0], func(r *ledger.Row) { _ = sent(r) }); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Row(t.Context(), newRow(1).ID); err != nil || len(got.Attempts) != 1 || !got.DueAt.IsZero() {
			t.Errorf("%d attempts, due %s, %v", len(got.Attempts), got.DueAt, err)
		}
	})
	t.Run("refuses a limit out of range", func(t *testing.T) {
		for _, limit := range []int{0, -1, ledger.MaxPage + 1} {
			if _, _, err := b.Due(t.Context(), noon, limit); codeOf(err) != "invalid InvalidLimit" {
				t.Errorf("limit %d: %v", limit, err)
			}
		}
	})
}

func TestListsFromTheOldEnd(t *testing.T) {
	b := newBook(t)
	b.create(t, newRows(7)...)
	b.change(t, newRow(2).ID, succeeds)
	for _, n := range []int{0, 3, 5, 6} {
		b.change(t, newRow(n).ID, dies(10*n, "Taken"))
	}
	t.Run("hold unfinished jobs from before a time", func(t *testing.T) {
		got := pages(t, func(from string) ([]string, string, error) {
			rows, next, err := b.Unfinished(t.Context(), noon.Add(4*time.Second), from, 1)
			return idsOf(rows), next, err
		})
		if diff := cmp.Diff([]string{"job-000001"}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("hold dead letters from between two times", func(t *testing.T) {
		got := pages(t, func(from string) ([]string, string, error) {
			rows, next, err := b.DeadBefore(t.Context(), noon.Add(10*time.Second), noon.Add(60*time.Second), from, 1)
			if len(rows) > 1 {
				t.Errorf("%d rows", len(rows))
			}
			return idsOf(rows), next, err
		})
		if diff := cmp.Diff([]string{"job-000003", "job-000005"}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestMark(t *testing.T) {
	b := newBook(t)
	if err := b.SetMark(t.Context(), "unfinished", "here"); err != nil {
		t.Fatal(err)
	}
	for task, want := range map[string]string{"unfinished": "here", "other": ""} {
		if got, err := b.connect(t, nil).Mark(t.Context(), task); got != want || err != nil {
			t.Errorf("%s: %q, %v", task, got, err)
		}
	}
}
