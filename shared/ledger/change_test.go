package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/deploy/local/faults"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

var errRefused = errors.New("not this one")

// butTheFirst begins jobs other than the first, which it refuses.
func butTheFirst(r *ledger.Row) error {
	if r.ID == newRow(0).ID {
		return errRefused
	}
	return begins(r)
}

func TestChange(t *testing.T) {
	t.Run("begins again when another writer came first", func(t *testing.T) {
		for call := 2; call <= 3; call++ { // before the index rows, and between them and the row
			b := newBook(t, newRow(1))
			slow := b.before(t, call, func() { b.change(t, newRow(1).ID, func(r *ledger.Row) error { r.Answered(noon, 0); return nil }) })
			got, err := slow.Change(t.Context(), newRow(1).ID, dies(5, "Taken"))
			must(t, err)
			check(t, got, got.State == routine.DeadLettered && !got.AnsweredAt.IsZero())
			b.wantListed(t, newRow(1).ID)
		}
	})
	t.Run("begins again when another writer puts the same index row", func(t *testing.T) {
		b := newBook(t, newRow(1))
		b.breaks(t, partly(t, "jobs", 1+6, 0, "OTSRowOperationConflict", false)) // the list of its new state, six of dead letters
		b.change(t, newRow(1).ID, dies(5, "Taken"))
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("is not made if an index row is refused, since a list would miss it", func(t *testing.T) {
		b := newBook(t, newRow(1))
		b.breaks(t, partly(t, "jobs", 1+6, 3, "OTSServerBusy", false))
		_, err := b.Change(t.Context(), newRow(1).ID, dies(5, "Taken"))
		wantCode(t, err, "unavailable OTSServerBusy")
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("is asked again about the row as it is then, and may refuse", func(t *testing.T) {
		b := newBook(t, newRow(1))
		slow := b.before(t, 2, func() { b.change(t, newRow(1).ID, succeeds) })
		got, err := slow.Change(t.Context(), newRow(1).ID, func(r *ledger.Row) error { return r.Cancel("olga", "", noon) })
		wantCode(t, err, "conflict Ended")
		check(t, got, got.State == routine.Succeeded)
	})
	t.Run("gives up where it never comes first", func(t *testing.T) {
		b := newBook(t, newRow(1))
		refused := partly(t, "jobs", 1, 0, "OTSConditionCheckFail", false)
		refused.Times = -1
		b.breaks(t, refused)
		_, err := b.Change(t.Context(), newRow(1).ID, begins)
		wantCode(t, err, "conflict Changed")
		calls := b.calls()
		check(t, calls, len(calls) == 60) // each time the row, the write, and the row again: was the write its own?
	})
}

func TestChangeAll(t *testing.T) {
	t.Run("answers in the order of the ids, each for itself, and changes a job once that is named twice", func(t *testing.T) {
		b := newBook(t, newRows(3)...)
		ids := []string{"job-000002", "nobody", "", "\xff", strings.Repeat("x", 2000), "job-000000", "job-000001", "job-000002"}
		var got []string
		for _, done := range b.ChangeAll(t.Context(), ids, butTheFirst) {
			got = append(got, strings.TrimSpace(fmt.Sprint(done.Row.ID, " ", done.Row.Begins, " ", codeOf(done.Err))))
		}
		const unknown = "0 not-found UnknownJob"
		same(t, got, []string{"job-000002 1", unknown, unknown, unknown, unknown, "job-000000 0 internal Unclassified", "job-000001 1", "job-000002 1"})
	})
	for fails, want := range map[string][]string{"BatchGetRow": {"BatchGetRow"}, "BatchWriteRow": {"BatchGetRow", "BatchWriteRow"}} {
		t.Run("makes no other call, however many jobs, once the service does not answer "+fails, func(t *testing.T) {
			b := newBook(t, newRows(100)...)
			b.breaks(t, faults.Rule{Action: fails, Times: -1, Fault: faults.Fault{Answer: faults.HTML}})
			for _, done := range b.ChangeAll(t.Context(), idsOf(newRows(100)), dies(5, "Taken")) {
				wantCode(t, done.Err, "unavailable HTTP502")
			}
			b.wantCalls(t, want...)
		})
	}
}

func TestUpdate(t *testing.T) {
	t.Run("writes a row that was written before, without a read, and leaves the given one as it is", func(t *testing.T) {
		b := newBook(t)
		row := b.create(t, newRow(1))[0]
		b.calls()
		next, err := update(t, b.Ledger, row, dies(5, "Taken"))
		must(t, err)
		b.wantCalls(t, "BatchWriteRow", "BatchWriteRow", "BatchWriteRow")
		got, err := b.Row(t.Context(), row.ID)
		must(t, err)
		same(t, got.Job, next.Job)
		check(t, row, row.State == routine.Queued && row.Attempts == nil)
	})
	t.Run("does not write over somebody else's row", func(t *testing.T) {
		b := newBook(t)
		row := b.create(t, newRow(1))[0]
		b.change(t, row.ID, succeeds)
		_, err := update(t, b.Ledger, row, dies(5, "Taken"))
		wantCode(t, err, "conflict Changed")
		b.wantListed(t, row.ID)
	})
	t.Run("may be repeated with the same row after a fault", func(t *testing.T) {
		b := newBook(t)
		row := b.create(t, newRow(1))[0]
		for call := range 2 {
			b.breaks(t, faults.Rule{Action: "BatchWriteRow", Skip: call, Times: 2, Fault: faults.Fault{Answer: faults.Reset}})
			_, err := update(t, b.Ledger, row, dies(5, "Taken"))
			check(t, err, fault.HasKind(err, fault.Unavailable))
			b.server.Faults().Clear()
		}
		_, err := update(t, b.Ledger, row, dies(5, "Taken"))
		must(t, err)
		b.wantListed(t, row.ID)
	})
	t.Run("refuses a row of a list, whose history it would erase", func(t *testing.T) {
		b := newBook(t, deadRows(1)...)
		rows, _, err := b.DeadLetters(t.Context(), ledger.DeadFilter{}, 10, "")
		must(t, err)
		_, err = update(t, b.Ledger, rows[0], redriven(9))
		wantCode(t, err, "internal PartialRow")
	})
	t.Run("does not write a row whose change is refused, and writes the others", func(t *testing.T) {
		b := newBook(t)
		done := b.UpdateAll(t.Context(), b.create(t, newRows(2)...), butTheFirst)
		check(t, done, errors.Is(done[0].Err, errRefused) && done[0].Row.Begins == 0 && done[1].Err == nil && done[1].Row.Begins == 1)
	})
}

// TestLostAnswer is about writes that took effect without an answer. If one answer is lost, the transport sends the write again, and its
// condition fails; if two are, nothing is known of it.
func TestLostAnswer(t *testing.T) {
	updates := func(change step) func(*ledger.Ledger, ledger.Row) (ledger.Row, error) {
		return func(l *ledger.Ledger, existing ledger.Row) (ledger.Row, error) { return update(t, l, existing, change) }
	}
	for name, test := range map[string]struct {
		skip  int
		write func(*ledger.Ledger, ledger.Row) (ledger.Row, error)
	}{
		"a new row": {0, func(l *ledger.Ledger, _ ledger.Row) (ledger.Row, error) {
			made := l.Create(t.Context(), newRow(2))[0]
			check(t, made, !made.Existed)
			return made.Row, made.Err
		}},
		"a row":                         {0, updates(begins)},
		"a row that needs index rows":   {1, updates(dies(5, "Taken"))},
		"the deletes that come at last": {2, updates(dies(5, "Taken"))},
	} {
		for times := 1; times <= 2; times++ {
			t.Run(fmt.Sprintf("to the write of %s, %d times, is settled by the token", name, times), func(t *testing.T) {
				b := newBook(t)
				existing := b.create(t, newRow(1))[0] // a connection is kept
				b.breaks(t, lost("BatchWriteRow", test.skip, times))
				row, err := test.write(b.Ledger, existing)
				must(t, err)
				read, err := b.Row(t.Context(), row.ID)
				must(t, err)
				same(t, read.Write, row.Write)
				b.wantListed(t, row.ID)
			})
		}
	}
	for times := 1; times <= 2; times++ {
		t.Run(fmt.Sprintf("%d times leaves the outcome unknown while nothing can be read; the caller's token settles it later", times), func(t *testing.T) {
			b := newBook(t)
			row := b.create(t, newRow(1))[0]
			for _, write := range []func() error{
				func() error { return b.Create(t.Context(), newRow(2))[0].Err },
				func() error {
					_, err := update(t, b.Ledger, row, func(r *ledger.Row) error { r.Write = "mark"; return nil })
					return err
				},
			} {
				b.breaks(t, lost("BatchWriteRow", 0, times))
				b.breaks(t, faults.Rule{Action: "BatchGetRow", Times: -1, Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: "OTSAuthFailed"}})
				err := write()
				check(t, err, err != nil && fault.From(err).OutcomeUnknown)
				b.server.Faults().Clear()
			}
			now, err := b.Row(t.Context(), row.ID)
			must(t, err)
			same(t, now.Write, "mark")
		})
	}
}

func TestHistory(t *testing.T) {
	row := newRow(1)
	row.Request.CallbackURL = "https://ci.example/hook?secret"
	b := newBook(t, row)
	got := b.change(t, row.ID, dies(5, "Taken"), redriven(60), dies(5, "Taken"), sent)
	read, err := b.Row(t.Context(), row.ID)
	must(t, err)
	same(t, read.Job, got.Job)
	check(t, read, len(read.Attempts) == 2 && len(read.Redrives) == 1 && read.Request.CallbackURL == row.Request.CallbackURL)
	shown, err := b.Job(t.Context(), row.ID)
	must(t, err)
	same(t, shown.Request.CallbackURL, "https://ci.example/hook?***")
}

func TestRows(t *testing.T) {
	b := newBook(t, deadRows(9)...)
	t.Run("are read in the order of the ids, whole, in one call for a delivery of ten", func(t *testing.T) {
		ids := append([]string{"", newRow(8).ID, "nobody", "\xff"}, idsOf(newRows(9))...)
		found, err := b.Rows(t.Context(), ids)
		must(t, err)
		b.wantCalls(t, "BatchGetRow")
		for i, id := range ids {
			switch got := found[i]; id {
			case "", "nobody", "\xff":
				wantCode(t, got.Err, "not-found UnknownJob")
			default:
				check(t, got, got.Err == nil && got.Row.ID == id && len(got.Row.Attempts) == 1)
			}
		}
	})
	t.Run("are told apart from one that cannot be read", func(t *testing.T) {
		b := newBook(t, newRow(1))
		change := &sdk.PutRowChange{TableName: "jobs", PrimaryKey: b.rows(t, "jobs")[slices.IndexFunc(b.rows(t, "jobs"), isJob)].PrimaryKey}
		change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
		change.AddColumn("job", "{")
		_, err := b.sdkClient().PutRow(&sdk.PutRowRequest{PutRowChange: change})
		must(t, err)
		b.create(t, newRow(2))
		found, err := b.Rows(t.Context(), []string{newRow(1).ID, newRow(2).ID})
		must(t, err)
		wantCode(t, found[0].Err, "internal UnreadableRow")
		wantCode(t, found[1].Err, "")
		wantCode(t, b.ChangeAll(t.Context(), []string{newRow(1).ID}, begins)[0].Err, "internal UnreadableRow")
	})
	t.Run("fail as a whole where the ledger is down", func(t *testing.T) {
		b.breaks(t, faults.Rule{Action: "BatchGetRow", Times: 2, Fault: faults.Fault{Answer: faults.Reset}})
		_, err := b.Rows(t.Context(), []string{newRow(1).ID})
		wantCode(t, err, "unavailable ConnectionBroken")
	})
}
