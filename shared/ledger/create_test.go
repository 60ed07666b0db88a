package ledger_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/deploy/local/faults"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestCreate(t *testing.T) {
	t.Run("records a job and its index rows in one call", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		b.wantCalls(t, "BatchWriteRow")
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("answers with the job that is there", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		b.change(t, newRow(1).ID, succeeds)
		other := newRow(1)
		other.Request.Name = "other"
		made := b.Create(t.Context(), other)[0]
		if made.Err != nil || !made.Existed || made.Row.State != routine.Succeeded || made.Row.Request.Name != "pr-1" {
			t.Errorf("%+v", made)
		}
		if got := listed(t, b.Ledger, ledger.Filter{Name: "other"}, 10); len(got) != 0 {
			t.Errorf("listed %v", got)
		}
	})
	t.Run("creates the first of two rows with the same id, and the second exists", func(t *testing.T) {
		b := newBook(t)
		second := newRow(1)
		second.Request.Name = "second"
		made := b.Create(t.Context(), newRow(1), newRow(2), second)
		if made[0].Existed || made[1].Existed || !made[2].Existed || made[2].Row.Request.Name != "pr-1" {
			t.Errorf("%+v", made)
		}
	})
	t.Run("has exactly one winner among creators at once", func(t *testing.T) {
		b := newBook(t)
		var wg sync.WaitGroup
		names := make(chan string, 8)
		for n := range cap(names) {
			l := b.connect(t, nil)
			wg.Go(func() {
				row := newRow(1)
				row.Request.Name = fmt.Sprintf("of-%d", n)
				made := l.Create(t.Context(), row)[0]
				if made.Err != nil {
					t.Error(made.Err)
				}
				if !made.Existed {
					names <- row.Request.Name
				}
			})
		}
		wg.Wait()
		close(names)
		if winner := <-names; winner == "" || len(names) != 0 {
			t.Errorf("first winner %q, %d others", winner, len(names))
		}
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("takes a thousand jobs in few calls", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRows(1000)...)
		if n := len(b.calls()); n > 50 {
			t.Errorf("%d calls", n)
		}
		if got := listed(t, b.Ledger, ledger.Filter{}, 100); len(got) != 1000 {
			t.Errorf("%d jobs are listed", len(got))
		}
	})
	t.Run("refuses what it could not store, and only that", func(t *testing.T) {
		b := newBook(t)
		long, timeless := newRow(1), newRow(2)
		long.ID, timeless.AcceptedAt = strings.Repeat("x", 256), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
		made := b.Create(t.Context(), long, timeless, newRow(3))
		if codeOf(made[0].Err) != "invalid InvalidJobID" || codeOf(made[1].Err) != "invalid InvalidJob" || made[2].Err != nil {
			t.Errorf("%+v", made)
		}
	})
}

func TestCreateWithFaults(t *testing.T) {
	t.Run("tells that nothing was done where that is known", func(t *testing.T) {
		b := newBook(t)
		b.breaks(t, faults.Rule{Action: "BatchWriteRow", Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: "OTSNoPermissionAccess"}})
		err := b.Create(t.Context(), newRow(1))[0].Err
		if codeOf(err) != "account OTSNoPermissionAccess" || fault.From(err).OutcomeUnknown {
			t.Errorf("got %v", err)
		}
		b.wantCalls(t, "BatchWriteRow")
	})
	for name, test := range map[string]struct {
		answer faults.Fault
		code   string
		calls  []string
	}{
		"one call, however many jobs, where the service refuses": {
			faults.Fault{Answer: faults.Error, Status: 403, Code: "OTSAuthFailed"}, "account OTSAuthFailed", []string{"BatchWriteRow"},
		},
		"two calls, however many jobs, while nothing answers": {
			faults.Fault{Answer: faults.HTML}, "unavailable HTTP502", []string{"BatchWriteRow", "BatchGetRow"},
		},
	} {
		t.Run("costs "+name, func(t *testing.T) {
			b := newBook(t)
			b.breaks(t, faults.Rule{Times: -1, Fault: test.answer})
			for _, made := range b.Create(t.Context(), newRows(300)...) {
				if codeOf(made.Err) != test.code {
					t.Fatal(made.Err)
				}
			}
			b.wantCalls(t, test.calls...)
		})
	}
}

// TestIncompleteCreate is about a job whose creator was killed between the row and the index rows: the service writes the rows of a batch one by one.
func TestIncompleteCreate(t *testing.T) {
	isIndexRow := func(row *sdk.Row) bool { return !isJob(row) }
	t.Run("is completed by the next to create the job, before the answer", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		b.deleteRows(t, isIndexRow)
		again := newRow(1)
		again.AcceptedAt = after(60)
		if made := b.Create(t.Context(), again)[0]; made.Err != nil || !made.Existed || !made.Row.AcceptedAt.Equal(newRow(1).AcceptedAt) {
			t.Errorf("existed %t, accepted at %s, %v", made.Existed, made.Row.AcceptedAt, made.Err)
		}
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("is not told as done while the index rows are not confirmed", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRow(1))
		err := b.killed(t, 3).Create(t.Context(), newRow(1))[0].Err // after the put and the read
		if err == nil || !fault.From(err).OutcomeUnknown {
			t.Errorf("got %v", err)
		}
	})
}

func TestPartialBatch(t *testing.T) {
	const rows = rowsOfQueued // of a new job: its own first
	t.Run("an index row that was not confirmed is put again, alone", func(t *testing.T) {
		b := newBook(t)
		b.breaks(t, partly(t, 2*rows, 3, "OTSServerBusy", true))
		b.create(t, newRow(1), newRow(2))
		calls := b.server.Faults().Calls()
		if len(calls) != 2 || calls[1].Action != "BatchWriteRow" || calls[1].Params["rows"] != "1" {
			t.Errorf("calls %+v", calls)
		}
	})
	t.Run("an index row that is refused again is told, with its job perhaps there", func(t *testing.T) {
		b := newBook(t)
		b.breaks(t, partly(t, 2*rows, 3, "OTSServerBusy", true))
		b.breaks(t, partly(t, 1, 0, "OTSServerBusy", false))
		made := b.Create(t.Context(), newRow(1), newRow(2))
		if codeOf(made[0].Err) != "unavailable OTSServerBusy" || !fault.From(made[0].Err).OutcomeUnknown || made[1].Err != nil {
			t.Errorf("%v, %v", made[0].Err, made[1].Err)
		}
	})
	t.Run("a row whose outcome is unknown is looked for", func(t *testing.T) {
		b := newBook(t)
		b.breaks(t, partly(t, 2*rows, rows, "OTSTimeout", true))
		b.create(t, newRow(1), newRow(2))
		b.wantCalls(t, "BatchWriteRow", "BatchGetRow", "BatchWriteRow")
	})
	t.Run("a row that is not found keeps the error of its put", func(t *testing.T) {
		b := newBook(t)
		b.breaks(t, partly(t, rows, 0, "OTSTimeout", false))
		if err := b.Create(t.Context(), newRow(1))[0].Err; codeOf(err) != "unavailable OTSTimeout" || !fault.From(err).OutcomeUnknown {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a refused row fails alone", func(t *testing.T) {
		b := newBook(t)
		b.breaks(t, partly(t, 2*rows, 0, "OTSOutOfRowSizeLimit", true))
		made := b.Create(t.Context(), newRow(1), newRow(2))
		if codeOf(made[0].Err) != "internal OTSOutOfRowSizeLimit" || made[1].Err != nil {
			t.Errorf("%v, %v", made[0].Err, made[1].Err)
		}
	})
	t.Run("a row that another writer holds is put again", func(t *testing.T) {
		b := newBook(t)
		b.breaks(t, partly(t, rows, 0, "OTSRowOperationConflict", false))
		b.create(t, newRow(1))
		b.wantListed(t, newRow(1).ID)
	})
}
