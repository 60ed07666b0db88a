package accept

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// Faults of the services behind the function.
var (
	refusedByOTS = faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSServerUnavailable"}
	refusedByMNS = faults.Fault{Answer: faults.Error, Status: 500, Code: "InternalError"}
	lostBefore   = faults.Fault{Answer: faults.Reset}
	lostAfter    = faults.Fault{Answer: faults.Reset, Execute: true}

	mnsDown = faults.Rule{Times: -1, Fault: refusedByMNS}
	otsDown = faults.Rule{Times: -1, Fault: refusedByOTS}
)

// due lists the jobs of which something is due within a minute.
func (f *function) due(t *testing.T) []ledger.Row {
	t.Helper()
	rows, more, err := f.Ledger.Due(t.Context(), f.clock.Now().Add(time.Minute), 100)
	if err != nil || more {
		t.Fatalf("more %t, %v", more, err)
	}
	return rows
}

func TestQueueTrouble(t *testing.T) {
	for name, injected := range map[string]faults.Fault{
		"down":           {Answer: faults.Error, Status: 500, Code: "InternalError"},
		"refusing":       {Answer: faults.Error, Status: 403, Code: "AccessDenied"},
		"not there":      {Answer: faults.Error, Status: 404, Code: "QueueNotExist"},
		"a proxy":        {Answer: faults.HTML},
		"silent":         {Answer: faults.Empty, Status: 201},
		"busy":           {Answer: faults.Error, Status: 429, Code: "TooManyRequests"},
		"half an answer": {Answer: faults.Truncated},
	} {
		t.Run("refuses nobody while MNS is "+name+": the row says that a send is due", func(t *testing.T) {
			f := start(t)
			breaks(t, f.mns, faults.Rule{Action: "SendMessage", Times: -1, Fault: injected})
			job := f.post(t, good)
			if want := (&routine.Waiting{For: routine.ForQueue, Since: now}); !cmp.Equal(job.Waiting, want) {
				t.Errorf("waits for %+v", job.Waiting)
			}
			if due := f.due(t); len(due) != 1 || due[0].ID != job.ID {
				t.Errorf("due %+v", due)
			}
			if n := strings.Count(f.log.String(), "MNS did not confirm"); n != 1 {
				t.Errorf("logged %d times: %s", n, f.log)
			}
		})
	}
	t.Run("refuses no item of a batch, and what is sent again is due no longer", func(t *testing.T) {
		f := start(t)
		body := wishes(40)
		breaks(t, f.mns, mnsDown)
		if got := read[api.BatchResult](t, f.call(t, batch(body, "Idempotency-Key", "b")), 202); got.Accepted != 40 || len(f.due(t)) != 40 {
			t.Errorf("got %+v, %d due", got, len(f.due(t)))
		}
		f.mns.Faults().Clear()
		if got := read[api.BatchResult](t, f.call(t, batch(body, "Idempotency-Key", "b")), 202); got.Duplicate != 40 || len(f.due(t)) != 0 {
			t.Errorf("got %+v, %d due", got, len(f.due(t)))
		}
		if got := f.queued(t); len(got) != 40 {
			t.Errorf("queued %d", len(got))
		}
	})
	t.Run("leaves a job alone that a worker has begun with although MNS did not confirm it", func(t *testing.T) {
		f := start(t)
		breaks(t, f.mns, faults.Rule{Action: "SendMessage", Fault: faults.Fault{Answer: faults.Error, Execute: true, Status: 500, Code: "InternalError"}})
		id, begun := queue.KeyedJobID(anonymous, "k"), false
		f.Now = func() time.Time {
			if sent := len(f.mns.Faults().Calls()) > 0; sent && !begun { // the row was read to be marked as due
				begun = true
				f.begins(t, id)
			}
			return f.clock.Now()
		}
		f.post(t, good, "Idempotency-Key", "k")
		if row := f.row(t, id); !begun || !row.DueAt.IsZero() || row.Begun.IsZero() {
			t.Errorf("begun %t, got %+v", begun, row)
		}
	})
}

func TestLedgerTrouble(t *testing.T) {
	t.Run("costs a batch one call, not one for each item", func(t *testing.T) {
		f := start(t)
		breaks(t, f.ots, otsDown)
		f.call(t, batch(wishes(200)))
		if calls := len(f.ots.Faults().Calls()); calls > 3 {
			t.Errorf("%d calls", calls)
		}
	})
	t.Run("says that a request may still be carried out if an answer was lost", func(t *testing.T) {
		f := start(t)
		breaks(t, f.ots,
			faults.Rule{Action: "BatchWriteRow", Fault: lostAfter}, faults.Rule{Action: "BatchGetRow", Skip: 1, Fault: refusedByOTS},
		)
		p := read[api.Problem](t, f.call(t, event("POST", "/v1/routines", good, "Idempotency-Key", "k")), 503)
		if !strings.Contains(p.Detail, "may still be carried out") {
			t.Errorf("got %+v", p)
		}
		breaks(t, f.ots, otsDown)
		p = read[api.Problem](t, f.call(t, event("POST", "/v1/routines", good)), 503)
		f.ots.Faults().Clear()
		again := f.call(t, event("POST", "/v1/routines", good, "Idempotency-Key", "k"))
		if job := read[routine.Job](t, again, 202); again.Headers["Idempotency-Replayed"] != "true" || len(f.queued(t)) != 1 || job.State != routine.Queued {
			t.Errorf("got %+v", again)
		}
	})
	t.Run("says that nothing was accepted if that is so", func(t *testing.T) {
		f := start(t)
		breaks(t, f.ots, faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: "OTSAuthFailed"}})
		p := read[api.Problem](t, f.call(t, event("POST", "/v1/routines", good)), 503)
		if !strings.HasPrefix(p.Detail, "Nothing was accepted") {
			t.Errorf("got %+v", p)
		}
	})
}

func TestReplay(t *testing.T) {
	t.Run("sends a job that was recorded before its sender ended", func(t *testing.T) {
		f := start(t)
		id := queue.KeyedJobID(anonymous, "k1")
		f.files(t, ledger.NewRow(routine.Job{ID: id, Caller: anonymous, Key: "k1", AcceptedAt: now, Request: wish}))
		f.clock.Advance(time.Hour)
		res := f.call(t, event("POST", "/v1/routines", good, "Idempotency-Key", "k1"))
		if job := read[routine.Job](t, res, 202); job.ID != id || res.Headers["Idempotency-Replayed"] != "true" {
			t.Errorf("got %+v", res)
		}
		want := []queue.Envelope{{JobID: id, Caller: anonymous, AcceptedAt: now, Number: 1, Request: wish}}
		if diff := cmp.Diff(want, f.queued(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("of a redriven job that no worker has begun sends it under its round", func(t *testing.T) {
		f := start(t)
		job := f.post(t, good, "Idempotency-Key", "k1")
		f.queued(t)
		f.dies(t, job.ID)
		breaks(t, f.mns, mnsDown)
		f.redrive(t, `{"all":true}`)
		f.mns.Faults().Clear()
		f.post(t, good, "Idempotency-Key", "k1")
		if got := f.queued(t); len(got) != 1 || got[0].Round != 1 || got[0].Number != 1 || len(f.due(t)) != 0 {
			t.Errorf("queued %+v", got)
		}
	})
}

// call is one call that the function makes, and what becomes of it: the nth of its action, not counting those before it in the list. A call of
// Tablestore that is lost on a connection which served others before is sent again by the transport.
type call struct {
	service string
	action  string
	nth     int
	outcome faults.Fault
}

// TestCallsFail breaks the calls behind each route. Whatever the first answer, the same request sent again reaches what it is for: see outcomes.
func TestCallsFail(t *testing.T) {
	for _, test := range []struct {
		name, route string
		calls       []call
		status      int
	}{
		{"the claims cannot be read", "submit", []call{{"ots", "BatchGetRow", 1, refusedByOTS}}, 503},
		{"the row is refused", "submit", []call{{"ots", "BatchWriteRow", 1, refusedByOTS}}, 503},
		{"the row is lost on its way, and sent again", "submit", []call{{"ots", "BatchWriteRow", 1, lostBefore}}, 202},
		{"the row is lost on its way twice", "submit", []call{{"ots", "BatchWriteRow", 1, lostBefore}, {"ots", "BatchWriteRow", 1, lostBefore}}, 503},
		{"the answer about the row is lost", "submit", []call{{"ots", "BatchWriteRow", 1, lostAfter}}, 202},
		{"its index rows are not confirmed", "submit", []call{{"ots", "BatchWriteRow", 1, lostAfter}, {"ots", "BatchWriteRow", 2, refusedByOTS}}, 503},
		{"the message is refused", "submit", []call{{"mns", "SendMessage", 1, refusedByMNS}}, 202},
		{"the message is lost on its way", "submit", []call{{"mns", "SendMessage", 1, lostBefore}}, 202},
		{"the answer about the message is lost", "submit", []call{{"mns", "SendMessage", 1, lostAfter}}, 202},
		{"message and mark are refused", "submit", []call{{"mns", "SendMessage", 1, refusedByMNS}, {"ots", "BatchGetRow", 2, refusedByOTS}}, 503},
		{"message and the mark's index row are refused", "submit", []call{{"mns", "SendMessage", 1, refusedByMNS}, {"ots", "BatchWriteRow", 2, refusedByOTS}}, 503},
		{"message and the marked row are refused", "submit", []call{{"mns", "SendMessage", 1, refusedByMNS}, {"ots", "BatchWriteRow", 3, refusedByOTS}}, 503},
		{"the message is refused, the answer about the mark lost", "submit", []call{{"mns", "SendMessage", 1, refusedByMNS}, {"ots", "BatchWriteRow", 3, lostAfter}}, 202},

		{"the rows are refused", "batch", []call{{"ots", "BatchWriteRow", 1, refusedByOTS}}, 503},
		{"the answer about the rows is lost", "batch", []call{{"ots", "BatchWriteRow", 1, lostAfter}}, 202},
		{"the messages are refused", "batch", []call{{"mns", "BatchSendMessage", 1, refusedByMNS}}, 202},
		{"the answer about the messages is lost", "batch", []call{{"mns", "BatchSendMessage", 1, lostAfter}}, 202},
		{"messages and marks are refused", "batch", []call{{"mns", "BatchSendMessage", 1, refusedByMNS}, {"ots", "BatchGetRow", 2, refusedByOTS}}, 503},

		{"the claim cannot be read", "delete", []call{{"ots", "BatchGetRow", 1, refusedByOTS}}, 503},
		{"the row is refused", "delete", []call{{"ots", "BatchWriteRow", 1, refusedByOTS}}, 503},
		{"its number is refused", "delete", []call{{"ots", "BatchWriteRow", 2, refusedByOTS}}, 202},
		{"the answer about its number is lost", "delete", []call{{"ots", "BatchWriteRow", 2, lostAfter}}, 202},
		{"the message is refused", "delete", []call{{"mns", "SendMessage", 1, refusedByMNS}}, 202},

		{"the job cannot be read", "cancel", []call{{"ots", "BatchGetRow", 1, refusedByOTS}}, 503},
		{"the index rows are refused", "cancel", []call{{"ots", "BatchWriteRow", 1, refusedByOTS}}, 503},
		{"the row is refused", "cancel", []call{{"ots", "BatchWriteRow", 2, refusedByOTS}}, 503},
		{"the answer about the row is lost", "cancel", []call{{"ots", "BatchWriteRow", 2, lostAfter}}, 200},
		{"old index rows stay", "cancel", []call{{"ots", "BatchWriteRow", 3, refusedByOTS}}, 200},

		{"the list is refused", "redrive", []call{{"ots", "GetRange", 1, refusedByOTS}}, 503},
		{"the intent is not taken back", "cancel deletion", []call{{"ots", "BatchWriteRow", 4, refusedByOTS}}, 503},
		{"the claim cannot be read", "cancel deletion", []call{{"ots", "BatchGetRow", 2, refusedByOTS}}, 503},

		{"the rows of the list are refused", "redrive", []call{{"ots", "BatchGetRow", 1, refusedByOTS}}, 503},
		{"the dead letters cannot be read", "redrive", []call{{"ots", "BatchGetRow", 2, refusedByOTS}}, 503},
		{"the index rows are refused", "redrive", []call{{"ots", "BatchWriteRow", 1, refusedByOTS}}, 503},
		{"the rows are refused", "redrive", []call{{"ots", "BatchWriteRow", 2, refusedByOTS}}, 503},
		{"the rows are lost on their way, and sent again", "redrive", []call{{"ots", "BatchWriteRow", 2, lostBefore}}, 200},
		{"the rows are lost on their way twice", "redrive", []call{{"ots", "BatchWriteRow", 2, lostBefore}, {"ots", "BatchWriteRow", 2, lostBefore}}, 503},
		{"the answer about the rows is lost", "redrive", []call{{"ots", "BatchWriteRow", 2, lostAfter}}, 200},
		{"the answer about the rows is lost, and they cannot be read", "redrive", []call{{"ots", "BatchWriteRow", 2, lostAfter}, {"ots", "BatchGetRow", 3, refusedByOTS}}, 503},
		{"the messages are refused", "redrive", []call{{"mns", "BatchSendMessage", 1, refusedByMNS}}, 200},
		{"the answer about the messages is lost", "redrive", []call{{"mns", "BatchSendMessage", 1, lostAfter}}, 200},
		{"the marks stay", "redrive", []call{{"ots", "BatchWriteRow", 3, refusedByOTS}}, 200},

		{"the row is refused", "correct", []call{{"ots", "BatchWriteRow", 2, refusedByOTS}}, 503},
		{"the answer about the row is lost", "correct", []call{{"ots", "BatchWriteRow", 2, lostAfter}}, 200},
		{"the message is refused", "correct", []call{{"mns", "SendMessage", 1, refusedByMNS}}, 200},

		{"the rows are refused", "drop", []call{{"ots", "BatchWriteRow", 2, refusedByOTS}}, 503},
		{"the answer about the rows is lost", "drop", []call{{"ots", "BatchWriteRow", 2, lostAfter}}, 200},

		{"the row is refused", "notify", []call{{"ots", "BatchWriteRow", 2, refusedByOTS}}, 503},
		{"the message is refused", "notify", []call{{"mns", "SendMessage", 1, refusedByMNS}}, 200},
		{"the answer about the message is lost", "notify", []call{{"mns", "SendMessage", 1, lostAfter}}, 200},

		{"the account cannot be read", "pause", []call{{"ots", "GetRow", 1, refusedByOTS}}, 503},
		{"the row is refused", "pause", []call{{"ots", "BatchWriteRow", 1, refusedByOTS}}, 503},
		{"the answer about the row is lost", "pause", []call{{"ots", "BatchWriteRow", 1, lostAfter}}, 200},
		{"the oldest job cannot be read", "pause", []call{{"ots", "GetRange", 1, refusedByOTS}}, 200},
		{"the row is refused", "resume", []call{{"ots", "BatchWriteRow", 1, refusedByOTS}}, 503},
		{"the answer about the row is lost", "resume", []call{{"ots", "BatchWriteRow", 1, lostAfter}}, 200},
	} {
		t.Run(test.route+": "+test.name, func(t *testing.T) {
			f := start(t)
			e, reached := outcomes(t, f, test.route)
			for _, c := range test.calls {
				server := map[string]interface{ Faults() *faults.Set }{"mns": f.mns, "ots": f.ots}[c.service]
				breaks(t, server, faults.Rule{Action: c.action, Skip: c.nth - 1, Fault: c.outcome})
			}
			res := f.call(t, e)
			if res.StatusCode != test.status || (res.StatusCode == 503) != (res.Headers["Retry-After"] == "5") {
				t.Errorf("got %+v, want %d", res, test.status)
			}
			for _, server := range []interface{ Faults() *faults.Set }{f.mns, f.ots} {
				for _, rule := range server.Faults().Rules() {
					t.Errorf("no call was hit by %+v", rule)
				}
				server.Faults().Clear()
			}
			if res.StatusCode == 503 {
				res = f.call(t, e)
			}
			if res.StatusCode >= 500 {
				t.Errorf("sent again: got %+v", res)
			}
			reached(t)
		})
	}
}

// outcomes makes what a route needs, and returns a request of it with what must hold in the end.
func outcomes(t *testing.T, f *function, route string) (e map[string]any, reached func(*testing.T)) {
	t.Helper()
	switch route {
	case "submit":
		return event("POST", "/v1/routines", wishFor(0), "Idempotency-Key", "k"), func(t *testing.T) { f.dispatched(t, 1, 0) }
	case "batch":
		return batch("["+wishFor(0)+","+wishFor(1)+",{}]", "Idempotency-Key", "k"), func(t *testing.T) { f.dispatched(t, 2, 0) }
	case "delete":
		f.owns(t, anonymous, "pr-0")
		return event("DELETE", "/v1/routines/pr-0", "", "Idempotency-Key", "k"), func(t *testing.T) { f.dispatched(t, 1, 0) }
	case "cancel deletion":
		f.owns(t, anonymous, "pr-0")
		job := read[routine.Job](t, f.call(t, event("DELETE", "/v1/routines/pr-0", "")), 202)
		return event("POST", "/v1/jobs/"+job.ID+":cancel", ""), func(t *testing.T) {
			if f.ended(t, job.ID, routine.Cancelled); f.holding(t, "pr-0").Claim.DeleteNumber != 0 {
				t.Error("the claim is to be deleted still")
			}
		}
	case "cancel":
		job := f.post(t, good)
		return event("POST", "/v1/jobs/"+job.ID+":cancel", ""), func(t *testing.T) { f.ended(t, job.ID, routine.Cancelled) }
	case "redrive":
		f.deadOnes(t, 3)
		return event("POST", "/v1/dead-letters:redrive", `{"all":true}`), func(t *testing.T) { f.dispatched(t, 3, 1) }
	case "correct":
		id := f.deadOnes(t, 1)[0]
		return event("POST", "/v1/dead-letters/"+id+":redrive", `{"request":{"siteId":8}}`), func(t *testing.T) {
			if f.dispatched(t, 1, 1); f.row(t, id).Request.Records[0].SiteID != 8 {
				t.Error("not corrected")
			}
		}
	case "drop":
		id := f.deadOnes(t, 1)[0]
		return asking("DELETE", "/v1/dead-letters", "all", "true"), func(t *testing.T) { f.ended(t, id, routine.Dropped) }
	case "pause":
		return pause, func(t *testing.T) { f.runs(t, routine.Paused) }
	case "resume":
		f.call(t, pause)
		return resume, func(t *testing.T) { f.runs(t, routine.Running) }
	}
	job := f.post(t, withCallback(hook))
	f.succeeds(t, job.ID)
	f.changes(t, job.ID, func(r *ledger.Row) { r.DueAt = time.Time{} })
	return event("POST", "/v1/jobs/"+job.ID+":notify", ""), func(t *testing.T) {
		if sent := sim.Take(t, f.queue, sim.CallbackQueue); len(sent) == 0 && len(f.due(t)) == 0 {
			t.Error("the callback is neither sent nor due")
		}
	}
}

// dispatched expects so many jobs, no more, each queued in the round, and each of them sent or due.
func (f *function) dispatched(t *testing.T, count, round int) {
	t.Helper()
	onTheWay := map[string]bool{}
	for _, e := range f.queued(t) {
		if e.Round != round || e.Number != 1 {
			t.Errorf("queued %+v", e)
		}
		onTheWay[e.JobID] = true
	}
	for _, r := range f.due(t) {
		onTheWay[r.ID] = true
	}
	jobs := read[api.JobList](t, f.call(t, event("GET", "/v1/jobs", "")), 200).Jobs
	if len(jobs) != count || len(onTheWay) != count {
		t.Errorf("%d jobs, %d sent or due, want %d", len(jobs), len(onTheWay), count)
	}
	for _, job := range jobs {
		if job.State != routine.Queued || job.Redriven != round || !onTheWay[job.ID] {
			t.Errorf("sent or due: %t, job %+v", onTheWay[job.ID], job)
		}
	}
}

// ended expects the job in a state, and its lists to say so.
func (f *function) ended(t *testing.T, id string, state routine.State) {
	t.Helper()
	jobs := read[api.JobList](t, f.call(t, asking("GET", "/v1/jobs", "state", string(state))), 200).Jobs
	if len(jobs) != 1 || jobs[0].ID != id || f.row(t, id).State != state {
		t.Errorf("listed %+v", jobs)
	}
}
