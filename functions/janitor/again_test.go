package janitor_test

import (
	"testing"
	"time"

	"routinely/deploy/sim"
	"routinely/functions/janitor"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

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
