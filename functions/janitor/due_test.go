package janitor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/deploy/sim"
	"routinely/functions/janitor"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestDue(t *testing.T) {
	t.Run("messages and callbacks are sent once, and not before their time", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		h.change(t, "job-1", h.due)
		h.job(t, "job-2")
		h.change(t, "job-2", func(r *ledger.Row) { r.Succeed(routine.Result{}, r.Progress, noon, noon) })
		h.job(t, "job-3")
		h.change(t, "job-3", func(r *ledger.Row) { _ = r.SendAgain(noon.Add(time.Second)) })
		for i, want := range []janitor.Report{{Sent: 2}, {}} {
			if diff := cmp.Diff(want, h.run(t)); diff != "" {
				t.Errorf("run %d, -want +got:\n%s", i+1, diff)
			}
		}
		if got := h.take(t, sim.CallbackQueue); len(got) != 1 || h.row(t, "job-2").Callback.State != routine.HandedOver {
			t.Errorf("%d callbacks", len(got))
		}
		if diff := cmp.Diff([]string{"job-1/0.1"}, h.sent(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("what the queue does not confirm stays due, and the other tasks are done", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		h.change(t, "job-1", h.due)
		h.put(t, "garbage")
		fail(t, h.mns.Faults(), "SendMessage")
		out, err := h.Run(t.Context())
		if !fault.HasKind(err, fault.Unavailable) || out.Sent != 0 || out.Filed != 1 || len(out.Failed) != 1 || out.Failed[0].Task != "send what is due" {
			t.Errorf("%+v, %v", out, err)
		}
		h.mns.Faults().Clear()
		if diff := cmp.Diff(janitor.Report{Sent: 1}, h.run(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("a message that one row cannot have holds up no other and ends its job", func(t *testing.T) {
		h := start(t)
		row := h.job(t, "job-1")
		large := strings.Repeat("x", 45_000)
		row.ID, row.Request.Description = "job-0", &large
		if made := h.Ledger.Create(t.Context(), row)[0]; made.Err != nil {
			t.Fatal(made.Err)
		}
		h.change(t, "job-0", h.due)
		h.change(t, "job-1", h.due)
		if diff := cmp.Diff(janitor.Report{Sent: 1, GivenUp: 1}, h.run(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if got := h.dead(t, "job-0"); got != "MessageTooLarge" {
			t.Errorf("job-0: %s", got)
		}
	})
	t.Run("a callback that cannot be made has failed and is not tried again", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		h.change(t, "job-1", func(r *ledger.Row) {
			r.Succeed(routine.Result{}, r.Progress, noon, noon)
			r.UpdatedAt = time.Time{} // without it no event can say when the job ended
		})
		for range 2 {
			if diff := cmp.Diff(janitor.Report{}, h.run(t)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
		if got := h.row(t, "job-1").Callback; got == nil || got.State != routine.CallbackFailed {
			t.Errorf("%+v", got)
		}
	})
}

// manyDue records so many jobs whose message is due.
func (h *house) manyDue(t *testing.T, n int) {
	t.Helper()
	rows := make([]ledger.Row, n)
	for i := range rows {
		rows[i] = ledger.NewRow(routine.Job{ID: fmt.Sprintf("job-%04d", i), AcceptedAt: noon, Request: routine.Request{Name: "pr-1"}})
		h.due(&rows[i])
	}
	for _, made := range h.Ledger.Create(t.Context(), rows...) {
		if made.Err != nil {
			t.Fatal(made.Err)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Run("a run sends 2,000, and the next ones go on", func(t *testing.T) {
		h := start(t)
		rows, want := 5000, []janitor.Report{{Sent: 2000, More: true}, {Sent: 2000, More: true}, {Sent: 1000}, {}}
		if testing.Short() {
			rows, want = 2050, []janitor.Report{{Sent: 2000, More: true}, {Sent: 50}, {}}
		}
		h.manyDue(t, rows)
		for i := range want {
			if diff := cmp.Diff(want[i], h.run(t)); diff != "" {
				t.Errorf("run %d, -want +got:\n%s", i+1, diff)
			}
		}
		if n := len(h.sent(t)); n != rows {
			t.Errorf("%d messages", n)
		}
	})
	t.Run("a run whose time is over begins nothing", func(t *testing.T) {
		h := start(t)
		h.manyDue(t, 1)
		h.put(t, "garbage")
		late, end := context.WithDeadline(t.Context(), time.Now())
		defer end()
		stopped, stop := context.WithCancel(t.Context())
		stop()
		h.mns.Faults().Reset()
		h.ots.Faults().Reset()
		for _, ctx := range []context.Context{late, stopped} {
			out, err := h.Run(ctx)
			if diff := cmp.Diff(janitor.Report{More: true}, out); diff != "" || err != nil {
				t.Errorf("%v, -want +got:\n%s", err, diff)
			}
		}
		if calls := append(h.mns.Faults().Calls(), h.ots.Faults().Calls()...); len(calls) != 0 {
			t.Errorf("calls: %v", calls)
		}
		if diff := cmp.Diff(janitor.Report{Sent: 1, Filed: 1}, h.run(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("a run ends before its time although nobody answers", func(t *testing.T) {
		for _, server := range []string{"the queue", "the ledger"} {
			h := start(t)
			h.manyDue(t, 1)
			set := map[string]*faults.Set{"the queue": h.mns.Faults(), "the ledger": h.ots.Faults()}[server]
			if _, err := set.Add(faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.Hang}}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			out, err := h.Run(ctx)
			if err == nil || ctx.Err() != nil {
				t.Errorf("%s: %+v, %v, context %v", server, out, err, ctx.Err())
			}
			cancel()
		}
	})
}
