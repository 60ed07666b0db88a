package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func begins(r *ledger.Row) error {
	r.Begin(1, routine.Progress{}, noon.Add(time.Minute))
	return nil
}

func TestChange(t *testing.T) {
	t.Run("begins anew when another writer came first", func(t *testing.T) {
		for call := 2; call <= 3; call++ { // before the index rows, and between them and the row
			b := newBook(t)
			b.create(t, newRow(1))
			slow := b.before(t, call, func() { b.change(t, newRow(1).ID, func(r *ledger.Row) { r.Answered(noon, 0) }) })
			got, err := slow.Change(t.Context(), newRow(1).ID, func(r *ledger.Row) error {
				dies(5, "Taken")(r)
				return nil
			})
			if err != nil || got.State != routine.DeadLettered || got.AnsweredAt.IsZero() {
				t.Errorf("before call %d: %s, answered %s, %v", call, got.State, got.AnsweredAt, err)
			}
			b.wantListed(t, newRow(1).ID)
		}
	})
	t.Run("is asked again about the row as it is then, and may refuse", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		slow := b.before(t, 2, func() { b.change(t, newRow(1).ID, succeeds) })
		got, err := slow.Change(t.Context(), newRow(1).ID, func(r *ledger.Row) error { return r.Cancel("olga", "", noon) })
		if codeOf(err) != "conflict Ended" || got.State != routine.Succeeded {
			t.Errorf("%s, %v", got.State, err)
		}
	})
	t.Run("gives up where it never comes first", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		b.calls()
		refused := partly(t, 1, 0, "OTSConditionCheckFail", false)
		refused.Times = -1
		b.breaks(t, refused)
		if _, err := b.Change(t.Context(), newRow(1).ID, begins); codeOf(err) != "conflict Changed" {
			t.Errorf("got %v", err)
		}
		if n := len(b.calls()); n != 60 { // each time the row, the write, and the row once more: was the write its own?
			t.Errorf("%d calls", n)
		}
	})
	t.Run("finds its own write by the token when the answer is lost", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		b.breaks(t, lost("BatchWriteRow", 0))
		got, err := b.Change(t.Context(), newRow(1).ID, begins)
		if err != nil || got.Begins != 1 {
			t.Errorf("begun %d times, %v", got.Begins, err)
		}
	})
	t.Run("tells of an outcome that stays unknown", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		b.breaks(t, lost("BatchWriteRow", 0))
		b.breaks(t, faults.Rule{Action: "BatchGetRow", Skip: 1, Times: -1, Fault: faults.Fault{Answer: faults.Reset}})
		if _, err := b.Change(t.Context(), newRow(1).ID, begins); !fault.HasKind(err, fault.Unavailable) || !fault.From(err).OutcomeUnknown {
			t.Errorf("got %v", err)
		}
	})
	t.Run("begins anew when another writer puts the same index row", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		b.breaks(t, partly(t, 1+6, 0, "OTSRowOperationConflict", false)) // the list of its new state, six of dead letters
		b.change(t, newRow(1).ID, dies(5, "Taken"))
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("knows no job that is not recorded, or that no job can be", func(t *testing.T) {
		b := newBook(t)
		for _, id := range []string{"nobody", "", strings.Repeat("x", 2000), "\xff"} {
			if _, err := b.Change(t.Context(), id, begins); codeOf(err) != "not-found UnknownJob" {
				t.Errorf("%q: %v", id, err)
			}
			if _, err := b.Row(t.Context(), id); codeOf(err) != "not-found UnknownJob" {
				t.Errorf("%q: %v", id, err)
			}
		}
	})
}

func TestChangeAll(t *testing.T) {
	refused := errors.New("not this one")
	t.Run("answers in the order of the ids, each for itself", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRows(3)...)
		ids := []string{"job-000002", "nobody", strings.Repeat("x", 2000), "job-000000", "job-000001"}
		done := b.ChangeAll(t.Context(), ids, func(r *ledger.Row) error {
			if r.ID == "job-000000" {
				return refused
			}
			return begins(r)
		})
		var got []string
		for _, d := range done {
			got = append(got, fmt.Sprint(d.Row.ID, " ", d.Row.Begins, " ", d.Err != nil))
		}
		want := []string{"job-000002 1 false", " 0 true", " 0 true", "job-000000 0 true", "job-000001 1 false"}
		if diff := cmp.Diff(want, got); diff != "" || !errors.Is(done[3].Err, refused) {
			t.Errorf("%v, -want +got:\n%s", done[3].Err, diff)
		}
	})
	t.Run("changes a job once that is named twice", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		done := b.ChangeAll(t.Context(), []string{newRow(1).ID, newRow(1).ID}, begins)
		if done[0].Err != nil || done[1].Err != nil || done[0].Row.Begins != 1 || done[1].Row.Begins != 1 {
			t.Errorf("%+v", done)
		}
	})
	t.Run("takes sixteen jobs in three calls", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRows(16)...)
		b.calls()
		ids := idsOf(newRows(16))
		for _, done := range b.ChangeAll(t.Context(), ids, func(r *ledger.Row) error { dies(5, "Taken")(r); return nil }) {
			if done.Err != nil {
				t.Error(done.Err)
			}
		}
		if diff := cmp.Diff([]string{"BatchGetRow", "BatchWriteRow", "BatchWriteRow"}, b.calls()); diff != "" {
			t.Errorf("calls -want +got:\n%s", diff)
		}
	})
	for name, test := range map[string]struct {
		fails string
		want  []string
	}{
		"reads":  {"BatchGetRow", []string{"BatchGetRow"}},
		"writes": {"BatchWriteRow", []string{"BatchGetRow", "BatchWriteRow"}},
	} {
		t.Run("makes no other call once the service does not answer "+name, func(t *testing.T) {
			b := newBook(t)
			b.create(t, newRows(100)...)
			b.calls()
			b.breaks(t, faults.Rule{Action: test.fails, Times: -1, Fault: faults.Fault{Answer: faults.HTML}})
			for _, done := range b.ChangeAll(t.Context(), idsOf(newRows(100)), func(r *ledger.Row) error { dies(5, "Taken")(r); return nil }) {
				if codeOf(done.Err) != "unavailable HTTP502" {
					t.Fatal(done.Err)
				}
			}
			if diff := cmp.Diff(test.want, b.calls()); diff != "" {
				t.Errorf("calls -want +got:\n%s", diff)
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	t.Run("writes a row that was written before, without a read", func(t *testing.T) {
		b := newBook(t)
		row := b.create(t, newRow(1))[0]
		b.calls()
		for _, change := range []func(*ledger.Row){func(r *ledger.Row) { _ = begins(r) }, dies(5, "Taken")} {
			var err error
			if row, err = b.Update(t.Context(), row, change); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]string{"BatchWriteRow", "BatchWriteRow", "BatchWriteRow"}, b.calls()); diff != "" {
			t.Errorf("calls -want +got:\n%s", diff)
		}
		got, err := b.Row(t.Context(), row.ID)
		if diff := cmp.Diff(row.Shown(), got.Shown()); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
	})
	t.Run("does not write over somebody else's row", func(t *testing.T) {
		b := newBook(t)
		row := b.create(t, newRow(1))[0]
		b.change(t, row.ID, succeeds)
		if _, err := b.Update(t.Context(), row, dies(5, "Taken")); codeOf(err) != "conflict Changed" {
			t.Errorf("got %v", err)
		}
		b.wantListed(t, row.ID)
	})
	t.Run("may be repeated with the same row after a fault", func(t *testing.T) {
		b := newBook(t)
		row := b.create(t, newRow(1))[0]
		for call := range 2 {
			b.breaks(t, faults.Rule{Action: "BatchWriteRow", Skip: call, Times: 2, Fault: faults.Fault{Answer: faults.Reset}})
			if _, err := b.Update(t.Context(), row, dies(5, "Taken")); !fault.HasKind(err, fault.Unavailable) {
				t.Errorf("got %v", err)
			}
			b.server.Faults().Clear()
		}
		if _, err := b.Update(t.Context(), row, dies(5, "Taken")); err != nil {
			t.Error(err)
		}
		b.wantListed(t, row.ID)
	})
	t.Run("does not alter the row that it was given", func(t *testing.T) {
		b := newBook(t)
		row := b.create(t, newRow(1))[0]
		if _, err := b.Update(t.Context(), row, dies(5, "Taken")); err != nil || row.State != routine.Queued || row.Attempts != nil {
			t.Errorf("%s, %d attempts, %v", row.State, len(row.Attempts), err)
		}
	})
	t.Run("refuses a row of a list, whose history it would erase", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		b.change(t, newRow(1).ID, dies(5, "Taken"))
		rows, _, err := b.DeadLetters(t.Context(), ledger.DeadFilter{}, 10, "")
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		if _, err := b.Update(t.Context(), rows[0], redriven(t, 9)); codeOf(err) != "internal PartialRow" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("does not write a row whose change is refused, and writes the others", func(t *testing.T) {
		b := newBook(t)
		done := b.UpdateAll(t.Context(), b.create(t, newRows(2)...), func(r *ledger.Row) error {
			if r.ID == "job-000000" {
				return errors.New("not this one")
			}
			return begins(r)
		})
		if done[0].Err == nil || done[0].Row.Begins != 0 || done[1].Err != nil || done[1].Row.Begins != 1 {
			t.Errorf("%+v", done)
		}
	})
}

// TestKill ends the writer before each of its calls, or after it without its answer.
func TestKill(t *testing.T) {
	changes := map[string]func(*ledger.Row){
		"a death": dies(5, "Taken"),
		"a hand-over that was not sent": func(r *ledger.Row) {
			r.HandOver(2, ledger.HandOver{Failure: failureAt(5, "Busy"), Counted: true}, noon.Add(5*time.Second))
		},
	}
	for name, change := range changes {
		for call := 1; call <= 4; call++ { // read, index rows, row, and what comes then
			t.Run(fmt.Sprintf("before call %d of %s leaves a job that is listed right", call, name), func(t *testing.T) {
				b := newBook(t)
				b.create(t, newRow(1))
				killed := b.killed(t, call)
				_, err := killed.Change(t.Context(), newRow(1).ID, func(r *ledger.Row) error { change(r); return nil })
				if (err == nil) != (call == 4) {
					t.Errorf("error %v", err)
				}
				b.wantListed(t, newRow(1).ID)
				b.change(t, newRow(1).ID, change)
				b.wantListed(t, newRow(1).ID)
			})
		}
	}
}

func TestHistory(t *testing.T) {
	t.Run("is kept by every write", func(t *testing.T) {
		b := newBook(t)
		row := newRow(1)
		row.Request.CallbackURL = "https://ci.example/hook?secret"
		b.create(t, row)
		b.change(t, row.ID, dies(5, "Taken"))
		b.change(t, row.ID, redriven(t, 6))
		b.change(t, row.ID, dies(7, "Quota"))
		got := b.change(t, row.ID, func(r *ledger.Row) {
			if err := r.Sent(1, 1, "k1", noon); err != nil {
				t.Error(err)
			}
		})
		read, err := b.Row(t.Context(), row.ID)
		if diff := cmp.Diff(got.Job, read.Job); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
		if len(read.Attempts) != 2 || len(read.Redrives) != 1 || read.Request.CallbackURL != row.Request.CallbackURL {
			t.Errorf("%+v", read.Job)
		}
		if shown, err := b.Job(t.Context(), row.ID); err != nil || shown.Request.CallbackURL != "https://ci.example/hook?***" {
			t.Errorf("shown with %s, %v", shown.Request.CallbackURL, err)
		}
	})
}

func TestRows(t *testing.T) {
	t.Run("answers in the order of the ids, whole, in one call for a delivery of ten", func(t *testing.T) {
		b := newBook(t)
		b.create(t, deadRows(9, func(int) string { return "Taken" })...)
		b.calls()
		ids := append([]string{"", newRow(8).ID}, idsOf(newRows(8))...)
		ids = append(ids, "nobody", newRow(8).ID)
		found, err := b.Rows(t.Context(), ids)
		if err != nil || len(found) != len(ids) {
			t.Fatalf("%d of %d, %v", len(found), len(ids), err)
		}
		if diff := cmp.Diff([]string{"BatchGetRow"}, b.calls()); diff != "" {
			t.Errorf("calls -want +got:\n%s", diff)
		}
		for i, id := range ids {
			switch got := found[i]; id {
			case "", "nobody":
				if codeOf(got.Err) != "not-found UnknownJob" {
					t.Errorf("%q: %v", id, got.Err)
				}
			default:
				if got.Err != nil || got.Row.ID != id || len(got.Row.Attempts) != 1 {
					t.Errorf("%q: got %q with %d attempts, %v", id, got.Row.ID, len(got.Row.Attempts), got.Err)
				}
			}
		}
	})
	t.Run("fails as a whole where the ledger is down", func(t *testing.T) {
		b := newBook(t)
		b.breaks(t, faults.Rule{Action: "BatchGetRow", Times: 2, Fault: faults.Fault{Answer: faults.Reset}})
		if _, err := b.Rows(t.Context(), []string{newRow(1).ID}); codeOf(err) != "unavailable ConnectionBroken" {
			t.Errorf("got %v", err)
		}
	})
}
