package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func begins(r *ledger.Row) error {
	r.Begin(1, routine.Progress{}, after(1))
	return nil
}

var errRefused = errors.New("not this one")

// butTheFirst begins jobs other than the first, which it refuses.
func butTheFirst(r *ledger.Row) error {
	if r.ID == newRow(0).ID {
		return errRefused
	}
	return begins(r)
}

func TestChange(t *testing.T) {
	t.Run("begins anew when another writer came first", func(t *testing.T) {
		for call := 2; call <= 3; call++ { // before the index rows, and between them and the row
			b := newBook(t)
			b.create(t, newRow(1))
			slow := b.before(t, call, func() { b.change(t, newRow(1).ID, func(r *ledger.Row) { r.Answered(noon, 0) }) })
			got, err := slow.Change(t.Context(), newRow(1).ID, death)
			if err != nil || got.State != routine.DeadLettered || got.AnsweredAt.IsZero() {
				t.Errorf("before call %d: %s, answered %s, %v", call, got.State, got.AnsweredAt, err)
			}
			b.wantListed(t, newRow(1).ID)
		}
	})
	t.Run("begins anew when another writer puts the same index row", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		b.breaks(t, partly(t, 1+6, 0, "OTSRowOperationConflict", false)) // the list of its new state, six of dead letters
		b.steps(t, newRow(1).ID, death)
		b.wantListed(t, newRow(1).ID)
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
	t.Run("answers in the order of the ids, each for itself, and changes a job once that is named twice", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRows(3)...)
		ids := []string{"job-000002", "nobody", "\xff", "job-000000", "job-000001", "job-000002"}
		done := b.ChangeAll(t.Context(), ids, butTheFirst)
		var got []string
		for _, d := range done {
			got = append(got, fmt.Sprint(d.Row.ID, " ", d.Row.Begins, " ", d.Err != nil))
		}
		want := []string{"job-000002 1 false", " 0 true", " 0 true", "job-000000 0 true", "job-000001 1 false", "job-000002 1 false"}
		if diff := cmp.Diff(want, got); diff != "" || !errors.Is(done[3].Err, errRefused) {
			t.Errorf("%v, -want +got:\n%s", done[3].Err, diff)
		}
	})
	for fails, want := range map[string][]string{"BatchGetRow": {"BatchGetRow"}, "BatchWriteRow": {"BatchGetRow", "BatchWriteRow"}} {
		t.Run("makes no other call, however many jobs, once the service does not answer "+fails, func(t *testing.T) {
			b := newBook(t)
			b.create(t, newRows(100)...)
			b.calls()
			b.breaks(t, faults.Rule{Action: fails, Times: -1, Fault: faults.Fault{Answer: faults.HTML}})
			for _, done := range b.ChangeAll(t.Context(), idsOf(newRows(100)), death) {
				if codeOf(done.Err) != "unavailable HTTP502" {
					t.Fatal(done.Err)
				}
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
		next, err := b.Update(t.Context(), row, dies(5, "Taken"))
		b.wantCalls(t, "BatchWriteRow", "BatchWriteRow", "BatchWriteRow")
		got, readErr := b.Row(t.Context(), row.ID)
		if diff := cmp.Diff(next.Shown(), got.Shown()); diff != "" || err != nil || readErr != nil {
			t.Errorf("%v, %v, -want +got:\n%s", err, readErr, diff)
		}
		if row.State != routine.Queued || row.Attempts != nil {
			t.Errorf("%s, %d attempts", row.State, len(row.Attempts))
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
	t.Run("refuses a row of a list, whose history it would erase", func(t *testing.T) {
		b := newBook(t)
		b.create(t, deadRows(1, func(int) string { return "Taken" })...)
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
		done := b.UpdateAll(t.Context(), b.create(t, newRows(2)...), butTheFirst)
		if !errors.Is(done[0].Err, errRefused) || done[0].Row.Begins != 0 || done[1].Err != nil || done[1].Row.Begins != 1 {
			t.Errorf("%+v", done)
		}
	})
}

// TestLostAnswer is about writes that took effect without an answer. If one answer is lost, the transport sends the write once more, and its
// condition fails; if two are, nothing is known of it.
func TestLostAnswer(t *testing.T) {
	writes := map[string]func(l *ledger.Ledger, existing ledger.Row) (id, token string, err error){
		"of a new row": func(l *ledger.Ledger, _ ledger.Row) (string, string, error) {
			made := l.Create(t.Context(), newRow(2))[0]
			if made.Existed {
				made.Err = errors.New("taken for somebody else's")
			}
			return newRow(2).ID, made.Row.Write, made.Err
		},
		"of a row": func(l *ledger.Ledger, existing ledger.Row) (string, string, error) {
			row, err := l.Update(t.Context(), existing, func(r *ledger.Row) { _ = begins(r) })
			return existing.ID, row.Write, err
		},
		"of a row after its index rows": func(l *ledger.Ledger, existing ledger.Row) (string, string, error) {
			row, err := l.Update(t.Context(), existing, dies(5, "Taken"))
			return existing.ID, row.Write, err
		},
	}
	for name, write := range writes {
		skip := strings.Count(name, "after")
		for times := 1; times <= 2; times++ {
			t.Run(fmt.Sprintf("%d times %s, is settled by the token", times, name), func(t *testing.T) {
				b := newBook(t)
				existing := b.create(t, newRow(1))[0] // a connection is kept
				b.breaks(t, lost("BatchWriteRow", skip, times))
				id, token, err := write(b.Ledger, existing)
				if row, readErr := b.Row(t.Context(), id); err != nil || readErr != nil || row.Write != token {
					t.Errorf("token %q, want %q; %v, %v", token, row.Write, err, readErr)
				}
				b.wantListed(t, id)
			})
			t.Run(fmt.Sprintf("%d times %s, is told as unknown while nothing can be read", times, name), func(t *testing.T) {
				b := newBook(t)
				existing := b.create(t, newRow(1))[0]
				b.breaks(t, lost("BatchWriteRow", skip, times))
				b.breaks(t, faults.Rule{Action: "BatchGetRow", Times: -1, Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: "OTSAuthFailed"}})
				if _, _, err := write(b.Ledger, existing); err == nil || !fault.From(err).OutcomeUnknown {
					t.Errorf("got %v", err)
				}
			})
		}
	}
	t.Run("can be settled later, by a token of the caller", func(t *testing.T) {
		b := newBook(t)
		row := b.create(t, newRow(1))[0]
		b.breaks(t, lost("BatchWriteRow", 0, 2))
		b.breaks(t, faults.Rule{Action: "BatchGetRow", Times: 2, Fault: faults.Fault{Answer: faults.Reset}})
		if _, err := b.Update(t.Context(), row, func(r *ledger.Row) { r.Write = "mark" }); !fault.HasKind(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
		b.server.Faults().Clear()
		if now, err := b.Row(t.Context(), row.ID); err != nil || now.Write != "mark" {
			t.Errorf("%q, %v", now.Write, err)
		}
	})
}

// TestKill ends a writer before each of its calls: read, index rows, row, deletes.
func TestKill(t *testing.T) {
	for name, change := range map[string]step{"a death": death, "a hand-over that was not sent": handOver} {
		for call := 1; call <= 4; call++ {
			t.Run(fmt.Sprintf("before call %d of %s leaves a job that is listed right", call, name), func(t *testing.T) {
				b := newBook(t)
				b.create(t, newRow(1))
				if _, err := b.killed(t, call).Change(t.Context(), newRow(1).ID, change); (err == nil) != (call == 4) {
					t.Errorf("error %v", err)
				}
				b.wantListed(t, newRow(1).ID)
				b.steps(t, newRow(1).ID, change)
				b.wantListed(t, newRow(1).ID)
			})
		}
	}
}

func TestHistory(t *testing.T) {
	b := newBook(t)
	row := newRow(1)
	row.Request.CallbackURL = "https://ci.example/hook?secret"
	b.create(t, row)
	b.steps(t, row.ID, death, redrive, death)
	got := b.change(t, row.ID, func(r *ledger.Row) { _ = sent(r) })
	t.Run("is kept by every write", func(t *testing.T) {
		read, err := b.Row(t.Context(), row.ID)
		if diff := cmp.Diff(got.Job, read.Job); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
		if len(read.Attempts) != 2 || len(read.Redrives) != 1 || read.Request.CallbackURL != row.Request.CallbackURL {
			t.Errorf("%+v", read.Job)
		}
	})
	t.Run("is shown without the query of the callback URL", func(t *testing.T) {
		if shown, err := b.Job(t.Context(), row.ID); err != nil || shown.Request.CallbackURL != "https://ci.example/hook?***" {
			t.Errorf("%s, %v", shown.Request.CallbackURL, err)
		}
	})
}

func TestRows(t *testing.T) {
	t.Run("answers in the order of the ids, whole, in one call for a delivery of ten", func(t *testing.T) {
		b := newBook(t)
		b.create(t, deadRows(9, func(int) string { return "Taken" })...)
		b.calls()
		ids := append([]string{"", newRow(8).ID, "nobody"}, idsOf(newRows(9))...)
		found, err := b.Rows(t.Context(), ids)
		if err != nil || len(found) != len(ids) {
			t.Fatalf("%d of %d, %v", len(found), len(ids), err)
		}
		b.wantCalls(t, "BatchGetRow")
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
