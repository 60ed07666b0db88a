package janitor_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"routinely/deploy/sim"
	"routinely/functions/janitor"
	"routinely/queue"
	"routinely/shared/dispatch"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// callbackOf puts the callback of a job on the dead-letter queue, as notify does when it gives up.
func (h *house) callbackOf(t *testing.T, row ledger.Row, attempt, status int) {
	t.Helper()
	c, err := dispatch.Callback(row)
	must(t, err)
	c.Attempt, c.LastStatus = attempt, status
	must(t, h.Queue.GiveUpCallback(t.Context(), c))
}

// tell ends a job and marks its callback as sent.
func (h *house) tell(t *testing.T, id string) ledger.Row {
	t.Helper()
	h.change(t, id, func(r *ledger.Row) { r.Succeed(routine.Result{}, r.Progress, noon, noon) })
	return h.change(t, id, func(r *ledger.Row) {
		must(t, r.Sent(r.Redriven, r.Number, "k1", noon))
	})
}

// told records a job, ends it and marks its callback as sent.
func (h *house) told(t *testing.T, id string) ledger.Row {
	t.Helper()
	h.job(t, id)
	return h.tell(t, id)
}

// undelivered is the message of a job's callback, as its trigger received it.
func (h *house) undelivered(t *testing.T, row ledger.Row) string {
	t.Helper()
	c, err := dispatch.Callback(row)
	must(t, err)
	must(t, h.Queue.SendCallback(t.Context(), c, 0))
	return h.take(t, sim.CallbackQueue)[0]
}

// callbacks takes the callbacks from their queue, as id of the job and attempt.
func (h *house) callbacks(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, text := range h.take(t, sim.CallbackQueue) {
		c := sim.Keys(t, sim.Key).Decode([]byte(text), noon)[0].Callback
		out = append(out, fmt.Sprintf("%s/%d", c.JobID, c.Attempt))
	}
	slices.Sort(out)
	return out
}

func TestCallbacksGivenUp(t *testing.T) {
	t.Run("the job says that its receiver did not take the callback", func(t *testing.T) {
		h := start(t)
		h.callbackOf(t, h.told(t, "job-1"), 10, 503)
		h.gone(t, janitor.Report{CallbacksFailed: 1})
		same(t, "callback", h.row(t, "job-1").Callback, &routine.CallbackStatus{State: routine.CallbackFailed, Attempts: 10, LastStatus: 503})
	})
	t.Run("that of an earlier end changes nothing", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		h.change(t, "job-1", h.die)
		h.callbackOf(t, h.row(t, "job-1"), 10, 503)
		h.redrive(t, "job-1")
		h.gone(t, janitor.Report{Passed: 1})
	})
	t.Run("without its job it is a dead letter with its bytes", func(t *testing.T) {
		h := start(t)
		row := h.told(t, "job-1")
		row.ID = "job-2"
		h.callbackOf(t, row, 10, 503)
		h.gone(t, janitor.Report{Filed: 1})
		letters := h.letters(t)
		if len(letters) != 1 || letters[0].Code != "UnknownJob" || !strings.Contains(h.row(t, letters[0].ID).Received.Body, queue.TypeCallback) {
			t.Fatalf("%+v", letters)
		}
	})
}

func TestCallbacksUndelivered(t *testing.T) {
	t.Run("one that is never delivered has failed in the end", func(t *testing.T) {
		h := start(t)
		text := h.undelivered(t, h.told(t, "job-1"))
		for range 5 {
			h.put(t, text)
			h.gone(t, janitor.Report{Redelivered: 1})
			h.callbacks(t)
		}
		h.put(t, text)
		h.gone(t, janitor.Report{CallbacksFailed: 1})
		if got := h.row(t, "job-1").Callback; got == nil || got.State != routine.CallbackFailed {
			t.Errorf("%+v", got)
		}
	})
	t.Run("that of a dropped dead letter has failed", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		h.change(t, "job-1", func(r *ledger.Row) {
			h.die(r)
			_ = r.CallbackDue(noon)
			_ = r.Sent(r.Redriven, r.Number, "k1", noon)
		})
		text := h.undelivered(t, h.row(t, "job-1"))
		h.change(t, "job-1", func(r *ledger.Row) { _ = r.Drop("op", "", h.clock.Now()) })
		h.put(t, text)
		h.gone(t, janitor.Report{CallbacksFailed: 1})
	})
}
