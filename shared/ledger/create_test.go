package ledger_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

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
	t.Run("answers with the job that exists", func(t *testing.T) {
		b := newBook(t, newRow(1))
		b.change(t, newRow(1).ID, succeeds)
		other := newRow(1)
		other.Request.Name = "other"
		made := b.Create(t.Context(), other)[0]
		check(t, made, made.Err == nil && made.Existed && made.Row.State == routine.Succeeded && made.Row.Request.Name == "pr-1")
		same(t, listed(t, b.Ledger, ledger.Filter{Name: "other"}, 10), []string{})
	})
	t.Run("creates the first of two rows with the same id, and the second exists", func(t *testing.T) {
		b := newBook(t)
		second := newRow(1)
		second.Request.Name = "second"
		made := b.Create(t.Context(), newRow(1), newRow(2), second)
		check(t, made, !made[0].Existed && !made[1].Existed && made[2].Existed && made[2].Row.Request.Name == "pr-1")
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
				check(t, made, made.Err == nil)
				if !made.Existed {
					names <- row.Request.Name
				}
			})
		}
		wg.Wait()
		check(t, len(names), len(names) == 1)
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("takes a thousand jobs in few calls", func(t *testing.T) {
		b := newBook(t)
		b.create(t, newRows(1000)...)
		calls := len(b.calls())
		check(t, calls, calls <= 50)
		same(t, len(listed(t, b.Ledger, ledger.Filter{}, 100)), 1000)
	})
	t.Run("refuses what it could not store, and only that", func(t *testing.T) {
		long, timeless := newRow(1), newRow(2)
		long.ID, timeless.AcceptedAt = strings.Repeat("x", 256), noon.AddDate(8000, 0, 0)
		made := newBook(t).Create(t.Context(), long, timeless, newRow(3))
		wantCode(t, made[0].Err, "invalid InvalidJobID")
		wantCode(t, made[1].Err, "invalid InvalidJob")
		wantCode(t, made[2].Err, "")
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
				wantCode(t, made.Err, test.code)
				check(t, made.Err, fault.From(made.Err).OutcomeUnknown == fault.HasKind(made.Err, fault.Unavailable))
			}
			b.wantCalls(t, test.calls...)
		})
	}
}

// TestIncompleteCreate is about a job whose creator was killed between the row and the index rows: the service writes the rows of a batch one by one.
func TestIncompleteCreate(t *testing.T) {
	t.Run("is completed by the next to create the job, before the answer", func(t *testing.T) {
		b := newBook(t, newRow(1))
		b.deleteRows(t, func(row *sdk.Row) bool { return !isJob(row) })
		again := newRow(1)
		again.AcceptedAt = after(60)
		made := b.Create(t.Context(), again)[0]
		check(t, made, made.Err == nil && made.Existed && made.Row.AcceptedAt.Equal(newRow(1).AcceptedAt))
		b.wantListed(t, newRow(1).ID)
	})
	t.Run("is not told as done while the index rows are not confirmed", func(t *testing.T) {
		b := newBook(t, newRow(1))
		made := b.killed(t, 3).Create(t.Context(), newRow(1))[0] // after the put and the read
		check(t, made, made.Err != nil && fault.From(made.Err).OutcomeUnknown)
	})
}

// TestPartialBatch is about batches in which one row fails.
func TestPartialBatch(t *testing.T) {
	const rows = rowsOfQueued // of a new job: its own first
	t.Run("an index row that was not confirmed is put again, alone", func(t *testing.T) {
		b := newBook(t)
		b.breaks(t, partly(t, "jobs", 2*rows, 3, "OTSServerBusy", true))
		b.create(t, newRow(1), newRow(2))
		calls := b.server.Faults().Calls()
		check(t, calls, len(calls) == 2 && calls[1].Action == "BatchWriteRow" && calls[1].Params["rows"] == "1")
	})
	for name, test := range map[string]struct {
		rules   []faults.Rule
		code    string
		unknown bool
		calls   []string
	}{
		"an index row that is refused again is told, with its job perhaps recorded": {
			[]faults.Rule{partly(t, "jobs", 2*rows, 3, "OTSServerBusy", true), partly(t, "jobs", 1, 0, "OTSServerBusy", false)},
			"unavailable OTSServerBusy", true,
			[]string{"BatchWriteRow", "BatchWriteRow"},
		},
		"a row whose outcome is unknown is looked for": {
			[]faults.Rule{partly(t, "jobs", 2*rows, 0, "OTSTimeout", true)}, "", false, []string{"BatchWriteRow", "BatchGetRow", "BatchWriteRow"},
		},
		"a row that is not found keeps the error of its put": {
			[]faults.Rule{partly(t, "jobs", 2*rows, 0, "OTSTimeout", false)}, "unavailable OTSTimeout", true, []string{"BatchWriteRow", "BatchGetRow"},
		},
		"a refused row fails alone": {
			[]faults.Rule{partly(t, "jobs", 2*rows, 0, "OTSOutOfRowSizeLimit", true)}, "internal OTSOutOfRowSizeLimit", false, []string{"BatchWriteRow"},
		},
		"a row that another writer holds is put again": {
			[]faults.Rule{partly(t, "jobs", 2*rows, 0, "OTSRowOperationConflict", false)}, "", false, []string{"BatchWriteRow", "BatchGetRow", "BatchWriteRow"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(t)
			for _, rule := range test.rules {
				b.breaks(t, rule)
			}
			made := b.Create(t.Context(), newRow(1), newRow(2))
			wantCode(t, made[0].Err, test.code)
			check(t, made[0].Err, test.code == "" || fault.From(made[0].Err).OutcomeUnknown == test.unknown)
			wantCode(t, made[1].Err, "")
			b.wantCalls(t, test.calls...)
		})
	}
}
