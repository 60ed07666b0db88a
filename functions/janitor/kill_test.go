package janitor_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/deploy/sim"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// fill makes work for every task: a job without news, one that is due, a callback that is due, and a dead-letter queue with an event of a job
// and garbage, a bare request, a callback that was given up, and a routine whose time is over.
func (h *house) fill(t *testing.T) {
	t.Helper()
	h.job(t, "silent")
	h.clock.Advance(silence)
	h.job(t, "due")
	h.change(t, "due", h.due)
	h.job(t, "ended")
	h.change(t, "ended", func(r *ledger.Row) { r.Succeed(routine.Result{}, r.Progress, h.clock.Now(), h.clock.Now()) })
	h.callbackOf(t, h.told(t, "told"), 10, 503)
	h.put(t, string(sim.Event(t, message(t, h.job(t, "undelivered")), "garbage")))
	h.put(t, bare)
	h.overdue(t, "over")
	h.mns.Faults().Reset()
}

// finish makes runs until nothing is left to do, as the timer does.
func (h *house) finish(t *testing.T) {
	t.Helper()
	for range 3 {
		h.clock.Advance(time.Minute)
		h.run(t)
	}
	h.clock.Advance(time.Hour) // until the next pass
	h.run(t)
}

// settled checks that everything was done, and each message sent once, or at most so often.
func (h *house) settled(t *testing.T, most int) {
	t.Helper()
	var codes []string
	for _, letter := range h.letters(t) {
		codes = append(codes, letter.Code)
	}
	slices.Sort(codes)
	same(t, "dead letters", codes, []string{"Undelivered", "UnreadableMessage"})
	same(t, "callback of told", h.row(t, "told").Callback, &routine.CallbackStatus{State: routine.CallbackFailed, Attempts: 10, LastStatus: 503})
	same(t, "callback of ended", h.row(t, "ended").Callback, &routine.CallbackStatus{State: routine.HandedOver})
	same(t, "how often it counts as undelivered", len(h.row(t, "undelivered").Undelivered), 1)
	same(t, "jobs about expired routines", h.made(t), []string{"expire over queued"})
	expiry := h.claim(t, "over").Expiry
	same(t, "tries", expiry.Try, 1)
	times := map[string]int{"callback": len(h.take(t, sim.CallbackQueue))}
	for _, id := range h.sent(t) {
		times[id]++
	}
	for _, id := range []string{"callback", "due/0.1", "silent/0.1", "undelivered/0.1", expiry.JobID + "/0.1"} {
		if n := times[id]; n < 1 || n > most {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
	if n := len(h.take(t, sim.DeadLetterQueue)); len(times) != 5 || n != 0 {
		t.Errorf("sent %v; %d messages on the dead-letter queue", times, n)
	}
	if rows, _, err := h.Ledger.Due(t.Context(), h.clock.Now(), ledger.MaxPage); err != nil || len(rows) != 0 {
		t.Errorf("%d are due, %v", len(rows), err)
	}
}

// TestKilled lets a run lose the queue or the ledger at each of its calls in turn, before or after the call took effect, for that call or for
// the rest of the run. The next runs do what is left.
func TestKilled(t *testing.T) {
	for _, server := range []string{"queue", "ledger"} {
		for _, executed := range []bool{false, true} {
			for times, long := range map[int]string{1: "for a call", -1: "for good"} {
				if testing.Short() && times == 1 {
					continue
				}
				name := fmt.Sprintf("a run that loses the %s %s, executed %t", server, long, executed)
				t.Run(name, func(t *testing.T) { loseEachCall(t, server, executed, times) })
			}
		}
	}
}

// loseEachCall makes runs of which each loses a later call.
func loseEachCall(t *testing.T, server string, executed bool, times int) {
	for n := 0; ; n++ {
		h := start(t)
		h.fill(t)
		set, most := h.ots.Faults(), 2 // what was sent and could not be marked is sent again
		switch {
		case server == "queue" && executed:
			set, most = h.mns.Faults(), 3 // the client itself tries again when a connection that it kept breaks
		case server == "queue":
			set, most = h.mns.Faults(), 1
		}
		rule := faults.Rule{Skip: n, Times: times, Fault: faults.Fault{Answer: faults.Reset, Execute: executed}}
		if _, err := set.Add(rule); err != nil {
			t.Fatal(err)
		}
		_, _ = h.Run(t.Context()) // a deletion that fails is no error
		hit := slices.ContainsFunc(set.Calls(), func(c faults.Record) bool { return c.Fault != "" })
		set.Clear()
		h.finish(t)
		h.settled(t, most)
		if t.Failed() {
			t.Fatalf("lost at call %d", n)
		}
		if !hit {
			if n < 5 {
				t.Errorf("a run makes only %d calls", n)
			}
			return
		}
	}
}

func TestTwoRunsAtOnce(t *testing.T) {
	h := start(t)
	h.fill(t)
	h.atOnce(t, 2)
	h.finish(t)
	h.settled(t, 2)
}
