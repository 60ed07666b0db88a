package ledger_test

import (
	"testing"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/sim"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestWriteThatTheTransportRepeats(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	lostAnswer := faults.Rule{Action: "BatchWriteRow", Skip: 1, Fault: faults.Fault{Answer: faults.Reset, Execute: true}} // the row, after its index rows
	dead := func(t *testing.T, rules ...faults.Rule) *ledger.Ledger {
		t.Helper()
		server, jobs := sim.NewLedger(t, clock.NewManual(noon))
		row := ledger.NewRow(routine.Job{ID: "j", AcceptedAt: noon, Request: routine.Request{Name: "pr-1", SiteID: 7, RecordName: "a.example.com"}})
		row.Die(routine.Attempt{At: noon, Kind: "conflict", Code: "X"}, "because", ledger.Worker, row.Progress, noon)
		if made := jobs.Create(t.Context(), row)[0]; made.Err != nil {
			t.Fatal(made.Err)
		}
		for _, rule := range rules {
			if _, err := server.Faults().Add(rule); err != nil {
				t.Fatal(err)
			}
		}
		return jobs
	}
	redrive := func(r *ledger.Row) error { return r.Redrive("me", "", nil, noon, noon, noon.Add(time.Minute)) }
	t.Run("is known as our own, although its condition fails", func(t *testing.T) {
		row, err := dead(t, lostAnswer).Change(t.Context(), "j", redrive)
		if err != nil || row.Redriven != 1 {
			t.Errorf("got %+v, %v", row.Job, err)
		}
	})
	t.Run("fails as what it is if nobody can find out", func(t *testing.T) {
		jobs := dead(t, lostAnswer, faults.Rule{
			Action: "BatchGetRow", Skip: 1, Times: -1, Fault: faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSServerUnavailable"},
		})
		if _, err := jobs.Change(t.Context(), "j", redrive); !fault.HasKind(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
	})
}
