package janitor_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/functions/janitor"
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

// runs wants a report of the next run, a minute later.
func (h *house) runs(t *testing.T, what string, want janitor.Report) {
	t.Helper()
	if diff := cmp.Diff(want, h.run(t)); diff != "" {
		t.Errorf("%s, -want +got:\n%s", what, diff)
	}
	h.clock.Advance(time.Minute)
}

func TestStoppedLane(t *testing.T) {
	const many = 3
	silent := func(t *testing.T) *house {
		h := start(t)
		for n := range many {
			h.job(t, fmt.Sprintf("job-%d", n))
		}
		h.clock.Advance(27 * time.Hour)
		return h
	}
	told := func(h *house, ago time.Duration) *routine.Park {
		return &routine.Park{Since: noon, ToldAt: h.clock.Now().Add(-ago), Kind: "account", Code: "RoutineUserServiceStatusHalt"}
	}
	t.Run("a parked lane of which a worker tells needs nobody to ask", func(t *testing.T) {
		h := silent(t)
		h.stop(t, told(h, 59*time.Minute), nil)
		h.runs(t, "within the hour", janitor.Report{})
	})
	t.Run("a parked lane without news is asked by one job a run, another one each time", func(t *testing.T) {
		h := silent(t)
		h.stop(t, told(h, time.Hour), nil)
		for range many {
			h.runs(t, "parked", janitor.Report{SentAgain: 1})
		}
		if diff := cmp.Diff([]string{"job-0/0.1", "job-1/0.1", "job-2/0.1"}, h.sent(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("once it runs again all that is overdue is sent at once, the jobs that asked too", func(t *testing.T) {
		h := start(t)
		h.runs(t, "a pass just before", janitor.Report{})
		for n := range many {
			h.job(t, fmt.Sprintf("job-%d", n))
		}
		h.clock.Advance(26*time.Hour + time.Minute)
		h.stop(t, told(h, 2*time.Hour), nil)
		h.runs(t, "parked", janitor.Report{SentAgain: 1})
		h.stop(t, nil, nil)
		h.runs(t, "running", janitor.Report{SentAgain: many})
		h.runs(t, "a minute later", janitor.Report{})
	})
	t.Run("a pause by a person holds", func(t *testing.T) {
		h := silent(t)
		h.stop(t, told(h, 100*time.Hour), &routine.Pause{Since: noon, By: "op"})
		h.runs(t, "paused", janitor.Report{})
	})
}
