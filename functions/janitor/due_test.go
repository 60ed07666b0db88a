package janitor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/deploy/sim"
	"routinely/functions/janitor"
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
		h.runs(t, janitor.Report{Sent: 2})
		h.runs(t, janitor.Report{})
		if got := h.take(t, sim.CallbackQueue); len(got) != 1 || h.row(t, "job-2").Callback.State != routine.HandedOver {
			t.Errorf("%d callbacks", len(got))
		}
		h.sends(t, "job-1/0.1")
	})
	t.Run("a task that fails is named, and the others are done", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		h.change(t, "job-1", h.due)
		h.put(t, "garbage")
		fail(t, h.mns.Faults(), "SendMessage")
		if out := h.fails(t); out.Sent != 0 || out.Filed != 1 || len(out.Failed) != 1 || out.Failed[0].Task != "send what is due" {
			t.Errorf("%+v", out)
		}
	})
	t.Run("a message that is too large ends its job and holds up no other", func(t *testing.T) {
		h := start(t)
		row := h.job(t, "job-1")
		large := strings.Repeat("x", 45_000)
		row.ID, row.Request.Description = "job-0", &large
		h.record(t, row)
		h.change(t, "job-0", h.due)
		h.change(t, "job-1", h.due)
		h.runs(t, janitor.Report{Sent: 1, GivenUp: 1})
		same(t, "code of job-0", h.dead(t, "job-0"), "MessageTooLarge")
	})
	t.Run("a callback that cannot be made has failed and is not tried again", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		h.change(t, "job-1", func(r *ledger.Row) {
			r.Succeed(routine.Result{}, r.Progress, noon, noon)
			r.UpdatedAt = time.Time{} // without it no event can say when the job ended
		})
		for range 2 {
			h.runs(t, janitor.Report{})
		}
		if got := h.row(t, "job-1").Callback; got == nil || got.State != routine.CallbackFailed {
			t.Errorf("%+v", got)
		}
	})
}

func TestBounds(t *testing.T) {
	t.Run("a run sends 2,000, and the next ones go on", func(t *testing.T) {
		h := start(t)
		rows, want := 5000, []janitor.Report{{Sent: 2000, More: true}, {Sent: 2000, More: true}, {Sent: 1000}, {}}
		if testing.Short() {
			rows, want = 2050, []janitor.Report{{Sent: 2000, More: true}, {Sent: 50}, {}}
		}
		h.many(t, rows, h.due)
		for _, report := range want {
			h.runs(t, report)
		}
		same(t, "messages", len(h.sent(t)), rows)
	})
	t.Run("a run whose time is over begins nothing", func(t *testing.T) {
		h := start(t)
		h.many(t, 1, h.due)
		h.put(t, "garbage")
		late, end := context.WithDeadline(t.Context(), time.Now())
		defer end()
		stopped, stop := context.WithCancel(t.Context())
		stop()
		h.mns.Faults().Reset()
		h.ots.Faults().Reset()
		for _, ctx := range []context.Context{late, stopped} {
			out, err := h.Run(ctx)
			if same(t, "report", out, janitor.Report{More: true}); err != nil {
				t.Error(err)
			}
		}
		same(t, "calls", len(h.mns.Faults().Calls())+len(h.ots.Faults().Calls()), 0)
		h.runs(t, janitor.Report{Sent: 1, Filed: 1})
	})
	t.Run("a run ends before its time although nobody answers", func(t *testing.T) {
		h := start(t)
		h.many(t, 1, h.due)
		for server, set := range map[string]*faults.Set{"the queue": h.mns.Faults(), "the ledger": h.ots.Faults()} {
			_, err := set.Add(faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.Hang}})
			must(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if out, err := h.Run(ctx); err == nil || ctx.Err() != nil {
				t.Errorf("%s: %+v, %v, context %v", server, out, err, ctx.Err())
			}
			set.Clear()
		}
	})
}
