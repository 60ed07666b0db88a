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

// silence is when a job without news is sent again.
const silence = 26*time.Hour + time.Second

func TestSilence(t *testing.T) {
	t.Run("a job without news is sent again under its own number, once a day", func(t *testing.T) {
		h := start(t)
		h.job(t, "waits")
		h.job(t, "begun")
		h.change(t, "begun", func(r *ledger.Row) { r.Begin(1, r.Progress, noon) })
		h.job(t, "later")
		h.change(t, "later", func(r *ledger.Row) {
			r.HandOver(2, ledger.HandOver{Sent: true, Waiting: routine.Waiting{For: routine.ForBackoff}}, noon)
		})
		h.job(t, "news")
		h.job(t, "ended")
		h.change(t, "ended", func(r *ledger.Row) { _ = r.Cancel("ci", "", noon) })
		h.clock.Advance(26*time.Hour - time.Second)
		h.change(t, "news", func(r *ledger.Row) { r.Begin(1, r.Progress, h.clock.Now()) })
		h.runs(t, janitor.Report{})
		for range 2 {
			h.clock.Advance(time.Hour) // until the next pass
			h.runs(t, janitor.Report{SentAgain: 3})
			h.sends(t, "begun/0.1", "later/0.2", "waits/0.1")
			h.clock.Advance(23 * time.Hour)
			h.change(t, "news", func(r *ledger.Row) { r.Look(r.Progress, h.clock.Now()) })
			h.runs(t, janitor.Report{})
		}
	})
	t.Run("a job whose key is gone is sent again in the next pass, once", func(t *testing.T) {
		h := start(t)
		for id, key := range map[string]string{"known": "k1", "bare": "", "lost": "k9"} {
			h.job(t, id)
			h.change(t, id, func(r *ledger.Row) {
				if key != "" {
					r.SealedUnder = sim.Keys(t, key).Sealing()
				}
			})
		}
		h.clock.Advance(time.Hour + time.Second)
		for _, want := range []janitor.Report{{SentAgain: 1}, {}} {
			h.runs(t, want)
			h.clock.Advance(time.Hour + time.Second)
		}
		h.sends(t, "lost/0.1")
	})
	t.Run("the next run goes on where one stops", func(t *testing.T) {
		h := start(t)
		h.many(t, 900, func(*ledger.Row) {})
		h.clock.Advance(silence)
		for _, want := range []janitor.Report{{SentAgain: 800, More: true}, {SentAgain: 100}, {}} {
			h.runs(t, want)
			h.clock.Advance(time.Minute)
		}
	})
	t.Run("a pass that could not begin is begun by the next run", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		h.clock.Advance(silence)
		fail(t, h.ots.Faults(), "GetRange")
		same(t, "sent again", h.fails(t).SentAgain, 0)
		h.ots.Faults().Clear()
		h.clock.Advance(time.Minute)
		h.runs(t, janitor.Report{SentAgain: 1})
	})
}

// stop parks or pauses the lane, or with two nils lets it run.
func (h *house) stop(t *testing.T, park *routine.Park, pause *routine.Pause) {
	t.Helper()
	if _, err := h.Ledger.ChangeAccount(t.Context(), func(a *routine.Account) error {
		a.Stop(park, pause, h.clock.Now())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestStoppedLane(t *testing.T) {
	const jobs = 3
	silent := func(t *testing.T) *house {
		h := start(t)
		h.many(t, jobs, func(*ledger.Row) {})
		h.clock.Advance(27 * time.Hour)
		return h
	}
	told := func(h *house, ago time.Duration) *routine.Park {
		return &routine.Park{Since: noon, ToldAt: h.clock.Now().Add(-ago), Kind: "account", Code: "RoutineUserServiceStatusHalt"}
	}
	t.Run("while a worker reports a parked lane, no job is sent to ask", func(t *testing.T) {
		h := silent(t)
		h.stop(t, told(h, 59*time.Minute), nil)
		h.runs(t, janitor.Report{})
	})
	t.Run("of a parked lane without a report, each run sends one job to ask, a different one each time", func(t *testing.T) {
		h := silent(t)
		h.stop(t, told(h, time.Hour), nil)
		for range jobs {
			h.runs(t, janitor.Report{SentAgain: 1})
			h.clock.Advance(time.Minute)
		}
		h.sends(t, "job-0000/0.1", "job-0001/0.1", "job-0002/0.1")
	})
	t.Run("once it runs again, all silent jobs are sent at once, also those that were sent to ask", func(t *testing.T) {
		h := start(t)
		h.runs(t, janitor.Report{})
		h.clock.Advance(time.Minute)
		h.many(t, jobs, func(*ledger.Row) {})
		h.clock.Advance(26*time.Hour + time.Minute)
		h.stop(t, told(h, 2*time.Hour), nil)
		h.runs(t, janitor.Report{SentAgain: 1})
		h.clock.Advance(time.Minute)
		h.stop(t, nil, nil)
		h.runs(t, janitor.Report{SentAgain: jobs})
		h.clock.Advance(time.Minute)
		h.runs(t, janitor.Report{})
	})
	t.Run("while a person has paused the lane, no job is sent", func(t *testing.T) {
		h := silent(t)
		h.stop(t, told(h, 100*time.Hour), &routine.Pause{Since: noon, By: "op"})
		h.runs(t, janitor.Report{})
	})
}
