package ledger_test

import (
	"context"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/shared/ledger"
)

// notify makes a callback due when that of the death was: a clock may be coarse.
func notify(r *ledger.Row) error { return r.CallbackDue(noon.Add(5 * time.Second)) }

// rowsOfDead are a dead letter's: those that a queued job has too, but for its state, and six lists of dead letters.
const rowsOfDead = rowsOfQueued + 6

// TestIndexRowsThatAreLeft is about the index rows that a job no longer has after a change.
func TestIndexRowsThatAreLeft(t *testing.T) {
	t.Run("are deleted by the change, all in one call", func(t *testing.T) {
		b := newBook(t, newRows(16)...)
		for _, done := range b.ChangeAll(t.Context(), idsOf(newRows(16)), dies(5, "Taken")) {
			must(t, done.Err)
		}
		b.wantCalls(t, "BatchGetRow", "BatchWriteRow", "BatchWriteRow", "BatchWriteRow")
		b.wantRows(t, 16*rowsOfDead)
		b.change(t, newRow(1).ID, redriven(60), dies(5, "Taken"))
		b.wantRows(t, 16*rowsOfDead)
	})
	t.Run("are deleted although the caller goes away", func(t *testing.T) {
		b := newBook(t, newRow(1))
		ctx, cancel := context.WithCancel(t.Context())
		_, err := b.before(t, 4, cancel).Change(ctx, newRow(1).ID, succeeds)
		must(t, err)
		b.wantRows(t, rowsOfQueued)
	})
	for name, rule := range map[string]faults.Rule{
		"the call fails":   {Action: "BatchWriteRow", Fault: faults.Fault{Answer: faults.HTML}},
		"a row is refused": partly(t, "jobs", 7, 3, "OTSServerBusy", false),
	} {
		t.Run("stay if "+name+", which is no failure of the change and does no harm", func(t *testing.T) {
			b := newBook(t, newRow(1))
			b.change(t, newRow(1).ID, dies(5, "Taken"))
			rule.Skip = 2 // index rows, row
			b.breaks(t, rule)
			b.change(t, newRow(1).ID, redriven(60))
			b.wantRows(t, rowsOfQueued+1+7) // due, and all that the dead letter had
			b.wantListed(t, newRow(1).ID)
			b.change(t, newRow(1).ID, dies(90, "Taken"))
			b.wantListed(t, newRow(1).ID)
		})
	}
	correct := func(name string, minute int) step {
		return func(r *ledger.Row) error {
			corrected := r.Request
			corrected.Name = name
			return r.Redrive("olga", "", &corrected, after(minute), after(minute), after(minute))
		}
	}
	for name, test := range map[string]struct {
		before    []step
		late      step
		deletes   int
		meanwhile []step
	}{
		"a death, after a redrive":       {nil, dies(5, "Taken"), 4, []step{redriven(60)}},
		"a redrive, after another death": {[]step{dies(5, "Taken")}, redriven(60), 4, []step{dies(5, "Taken")}},
		"a correction, after it was taken back": {
			[]step{dies(5, "Taken")}, correct("other", 1), 4, []step{dies(61, "Taken"), correct("pr-1", 2)},
		},
		"a send, after it was due again":        {[]step{dies(5, "Taken")}, sent, 3, []step{notify}},
		"a callback due, after it failed again": {[]step{dies(5, "Taken"), sent, callbackFailed}, notify, 4, []step{sent, callbackFailed}},
	} {
		t.Run("are all that is taken by a delete that comes late: of "+name, func(t *testing.T) {
			row := newRow(1)
			row.Request.CallbackURL = "https://ci.example/hook"
			b := newBook(t, row)
			b.change(t, row.ID, test.before...)
			late := b.before(t, test.deletes, func() { b.change(t, row.ID, test.meanwhile...) })
			_, err := late.Change(t.Context(), row.ID, test.late)
			must(t, err)
			b.wantListed(t, row.ID)
		})
	}
}

func TestSweep(t *testing.T) {
	for name, test := range map[string]struct {
		before  []step
		change  step
		call    int
		remains int
	}{
		"a hand-over, before the row":   {nil, handsOver, 3, rowsOfQueued},
		"a death, before the row":       {nil, dies(5, "Taken"), 3, rowsOfQueued + 6}, // in lists that are not swept
		"a death, before the deletes":   {nil, dies(5, "Taken"), 4, rowsOfDead},
		"a redrive, before the deletes": {[]step{dies(5, "Taken")}, redriven(60), 4, rowsOfQueued + 1 + 6}, // due, and the same lists
	} {
		t.Run("deletes what a process left that was killed in "+name, func(t *testing.T) {
			b := newBook(t, newRow(1))
			b.change(t, newRow(1).ID, test.before...)
			_, err := b.killed(t, test.call).Change(t.Context(), newRow(1).ID, test.change)
			check(t, err, (err == nil) == (test.call == 4))
			b.wantListed(t, newRow(1).ID) // nothing is swept yet
			b.clock.Advance(2 * time.Minute)
			b.sweep(t)
			b.wantRows(t, test.remains)
			b.wantListed(t, newRow(1).ID)
		})
	}
	t.Run("leaves the index row of a change that is being made", func(t *testing.T) {
		b := newBook(t, newRow(1))
		b.clock.Advance(time.Hour)
		slow := b.before(t, 3, func() { b.sweep(t) })
		_, err := slow.Change(t.Context(), newRow(1).ID, handsOver)
		must(t, err)
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("leaves the index row that was put again since it was read", func(t *testing.T) {
		b := newBook(t, newRow(1))
		_, err := b.killed(t, 3).Change(t.Context(), newRow(1).ID, handsOver)
		check(t, err, err != nil)
		b.clock.Advance(2 * time.Minute)
		slow := b.before(t, 3, func() { b.change(t, newRow(1).ID, handsOver) }) // after the index and the row are read
		rows, _, err := slow.Due(t.Context(), later, 10)
		must(t, err)
		check(t, rows, len(rows) == 0)
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("leaves the index rows of a job whose row is about to come", func(t *testing.T) {
		b := newBook(t, newRow(1))
		b.deleteRows(t, isJob)
		b.sweep(t)
		b.wantRows(t, rowsOfQueued-1)
		b.clock.Advance(2 * time.Minute)
		b.sweep(t)
		b.wantRows(t, rowsOfQueued-2) // the list of what is queued is swept
	})
}

func TestDue(t *testing.T) {
	b := newBook(t, newRows(7)...)
	for n, second := range []int{50, 40, 30, 20, 10, 10, 10} {
		b.change(t, newRow(n).ID, func(r *ledger.Row) error { return r.Due(noon.Add(time.Duration(second) * time.Second)) })
	}
	b.change(t, newRow(5).ID, sent)
	b.change(t, newRow(6).ID, begins)
	t.Run("lists what is due by now and was not sent or begun, the longest due first, so many at most", func(t *testing.T) {
		for limit, want := range map[int][]string{
			3: {"job-000004", "job-000003", "job-000002"}, 100: {"job-000004", "job-000003", "job-000002", "job-000001"},
		} {
			rows, more, err := b.Due(t.Context(), noon.Add(40*time.Second), limit)
			must(t, err)
			same(t, idsOf(rows), want)
			same(t, more, limit == 3)
		}
	})
	t.Run("lists whole rows, so that writing one keeps its history", func(t *testing.T) {
		b := newBook(t, newRow(1))
		b.change(t, newRow(1).ID, handsOver)
		rows, _, err := b.Due(t.Context(), later, 10)
		must(t, err)
		_, err = update(t, b.Ledger, rows[0], sent)
		must(t, err)
		got, err := b.Row(t.Context(), newRow(1).ID)
		must(t, err)
		check(t, got, len(got.Attempts) == 1 && got.DueAt.IsZero())
	})
	t.Run("refuses a limit out of range", func(t *testing.T) {
		for _, limit := range []int{0, -1, ledger.MaxPage + 1} {
			_, _, err := b.Due(t.Context(), noon, limit)
			wantCode(t, err, "invalid InvalidLimit")
		}
	})
}

func TestListsFromTheOldEnd(t *testing.T) {
	b := newBook(t, newRows(7)...)
	b.change(t, newRow(2).ID, succeeds)
	for _, n := range []int{3, 5, 6} {
		b.change(t, newRow(n).ID, dies(10*n, "Taken"))
	}
	at := func(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }
	for name, test := range map[string]struct {
		read func(from string) ([]ledger.Row, string, error)
		want []string
	}{
		"unfinished jobs from before a time": {func(from string) ([]ledger.Row, string, error) {
			return b.Unfinished(t.Context(), at(4), from, 1)
		}, []string{"job-000000", "job-000001"}},
		"dead letters from between two times": {func(from string) ([]ledger.Row, string, error) {
			return b.DeadBefore(t.Context(), at(30), at(60), from, 1)
		}, []string{"job-000003", "job-000005"}},
	} {
		t.Run("hold "+name+", in bounded pages", func(t *testing.T) {
			same(t, pages(t, func(from string) ([]string, string, error) {
				rows, next, err := test.read(from)
				check(t, rows, len(rows) <= 1)
				return idsOf(rows), next, err
			}), test.want)
		})
	}
}

func TestMark(t *testing.T) {
	b := newBook(t)
	must(t, b.SetMark(t.Context(), "unfinished", "here"))
	for task, want := range map[string]string{"unfinished": "here", "other": ""} {
		got, err := b.connect(t, nil).Mark(t.Context(), task)
		must(t, err)
		same(t, got, want)
	}
}
