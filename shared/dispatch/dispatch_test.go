package dispatch_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/dispatch"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestCallbacksThatAreDue(t *testing.T) {
	manual := clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	start := func(t *testing.T) (*dispatch.Dispatcher, *faults.Set, []ledger.Row) {
		t.Helper()
		mns, url := localtest.MNS(t, manual, sim.JobQueue, sim.CallbackQueue)
		_, book := sim.NewLedger(t, manual)
		var rows []ledger.Row
		for i := range 3 {
			row := book.Create(t.Context(), ledger.NewRow(routine.Job{
				ID: fmt.Sprint("job-", i), AcceptedAt: manual.Now(), Request: routine.Request{Name: "pr-1", CallbackURL: "https://ci.example/hook"},
			}))[0].Row
			row, err := book.Update(t.Context(), row, func(r *ledger.Row) {
				r.Succeed(routine.Result{}, routine.Progress{}, manual.Now(), manual.Now())
			})
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
		return &dispatch.Dispatcher{Queue: sim.Queue(t, queue.Config{Endpoint: url}), Ledger: book, Now: manual.Now}, mns.Faults(), rows
	}
	t.Run("cost one call of a queue that is down, and stay due", func(t *testing.T) {
		d, mns, rows := start(t)
		if _, err := mns.Add(faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.Reset}}); err != nil {
			t.Fatal(err)
		}
		for _, sent := range d.Send(t.Context(), rows) {
			if !fault.HasKind(sent.Err, fault.Unavailable) || sent.Row.DueAt.IsZero() {
				t.Errorf("%+v", sent)
			}
		}
		if n := mns.Count("SendMessage"); n > 2 { // a connection that breaks is tried again
			t.Errorf("%d calls", n)
		}
	})
	t.Run("are marked as sent although the time is over", func(t *testing.T) {
		d, mns, rows := start(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		d.Now = func() time.Time { cancel(); return manual.Now() } // the time is over once something is to be marked
		for _, sent := range d.Send(ctx, rows) {
			if sent.Err != nil || !sent.Row.DueAt.IsZero() || sent.Row.Callback == nil {
				t.Errorf("%+v", sent)
			}
		}
		if n := mns.Count("SendMessage"); n != 3 {
			t.Errorf("%d calls", n)
		}
	})
}
