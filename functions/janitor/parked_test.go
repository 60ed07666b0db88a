package janitor_test

import (
	"testing"
	"time"

	"routinely/functions/janitor"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

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
