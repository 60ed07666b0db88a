package seeds_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"routinely/deploy/sim"
)

// rounds bounds how long a run may take to come to rest.
const rounds = 400

// rest lets everything come to its end: users get their answers, triggers deliver, the janitor runs each minute, until nothing is left to do.
func (r *run) rest() {
	for range rounds {
		for r.busy() {
			r.answer(r.held()[0])
		}
		switch {
		case r.acted(r.ask), r.acted(r.deliver), r.acted(func() bool { return r.receiveFrom(sim.JobQueue) }), r.acted(func() bool { return r.receiveFrom(sim.CallbackQueue) }):
		case r.clock.Now().Sub(r.swept) >= time.Minute:
			r.acted(r.sweep)
		case r.idle():
			return
		default:
			r.advance(r.next())
		}
	}
	r.t.Errorf("not at rest after %d rounds", rounds)
}

// busy reports whether an invocation is at work.
func (r *run) busy() bool {
	return len(r.gate.calls()) > 0
}

// next is how much time passes while there is nothing to do: a minute, or more than a day if only the janitor can go on.
func (r *run) next() time.Duration {
	if len(r.deliveries) > 0 || r.depth(sim.JobQueue, sim.CallbackQueue, sim.DeadLetterQueue) > 0 {
		return time.Minute
	}
	if r.due() {
		return time.Minute
	}
	return 27 * time.Hour
}

// due reports whether something is to be sent. A page can be empty and not be the last.
func (r *run) due() bool {
	rows, more, err := r.ledger.Due(r.t.Context(), r.clock.Now().Add(time.Hour), 1)
	r.must(err)
	return len(rows) > 0 || more
}

// idle reports whether nothing is left to do.
func (r *run) idle() bool {
	rows, next, err := r.ledger.Unfinished(r.t.Context(), r.clock.Now().Add(time.Hour), "", 1)
	r.must(err)
	return next == "" && !r.due() && len(rows)+len(r.deliveries)+r.depth(sim.JobQueue, sim.CallbackQueue, sim.DeadLetterQueue) == 0
}

// depth is how many messages queues have, hidden ones too.
func (r *run) depth(queues ...string) (n int) {
	out := httptest.NewRecorder()
	r.mns.ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/_local/queues", nil))
	var all []struct {
		Name                                            string
		ActiveMessages, InactiveMessages, DelayMessages int
	}
	r.must(json.Unmarshal(out.Body.Bytes(), &all))
	for _, q := range all {
		if slices.Contains(queues, q.Name) {
			n += q.ActiveMessages + q.InactiveMessages + q.DelayMessages
		}
	}
	return n
}
