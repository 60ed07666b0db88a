package janitor_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/sim"
	"routinely/functions/janitor"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

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
		if diff := cmp.Diff(janitor.Report{}, h.run(t)); diff != "" {
			t.Errorf("before 26 hours, -want +got:\n%s", diff)
		}
		for day := range 2 {
			h.clock.Advance(time.Hour) // until the next pass
			if diff := cmp.Diff(janitor.Report{SentAgain: 3}, h.run(t)); diff != "" {
				t.Errorf("day %d, -want +got:\n%s", day, diff)
			}
			if diff := cmp.Diff([]string{"begun/0.1", "later/0.2", "waits/0.1"}, h.sent(t)); diff != "" {
				t.Errorf("day %d, -want +got:\n%s", day, diff)
			}
			h.clock.Advance(23 * time.Hour)
			h.change(t, "news", func(r *ledger.Row) { r.Look(r.Progress, h.clock.Now()) })
			if diff := cmp.Diff(janitor.Report{}, h.run(t)); diff != "" {
				t.Errorf("day %d, too early, -want +got:\n%s", day, diff)
			}
		}
	})
	t.Run("sends a job whose key is known no more in the next pass, once", func(t *testing.T) {
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
			if diff := cmp.Diff(want, h.run(t)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			h.clock.Advance(time.Hour + time.Second)
		}
		if diff := cmp.Diff([]string{"lost/0.1"}, h.sent(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("what a run cannot do the next one goes on with", func(t *testing.T) {
		h := start(t)
		rows := make([]ledger.Row, 900)
		for i := range rows {
			rows[i] = ledger.NewRow(routine.Job{ID: fmt.Sprintf("job-%04d", i), AcceptedAt: noon, Request: routine.Request{Name: "pr-1"}})
		}
		for _, made := range h.Ledger.Create(t.Context(), rows...) {
			if made.Err != nil {
				t.Fatal(made.Err)
			}
		}
		h.clock.Advance(26*time.Hour + time.Second)
		for i, want := range []janitor.Report{{SentAgain: 800, More: true}, {SentAgain: 100}, {}} {
			if diff := cmp.Diff(want, h.run(t)); diff != "" {
				t.Errorf("run %d, -want +got:\n%s", i+1, diff)
			}
			h.clock.Advance(time.Minute)
		}
	})
	t.Run("a pass that could not begin is begun by the next run", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		h.clock.Advance(26*time.Hour + time.Second)
		fail(t, h.ots.Faults(), "GetRange")
		if out, err := h.Run(t.Context()); err == nil || out.SentAgain != 0 {
			t.Errorf("%+v, %v", out, err)
		}
		h.ots.Faults().Clear()
		h.clock.Advance(time.Minute)
		if diff := cmp.Diff(janitor.Report{SentAgain: 1}, h.run(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("what the queue does not confirm is due, and sent by the next run", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		h.clock.Advance(26*time.Hour + time.Second)
		fail(t, h.mns.Faults(), "SendMessage")
		if out, err := h.Run(t.Context()); err == nil || out.SentAgain != 0 {
			t.Errorf("%+v, %v", out, err)
		}
		h.mns.Faults().Clear()
		if diff := cmp.Diff(janitor.Report{Sent: 1}, h.run(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if diff := cmp.Diff([]string{"job-1/0.1"}, h.sent(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}
