package accept

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/dispatch"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// unknown files a message under a key as the worker does that does not know it, and returns the letter's id.
func (f *function) unknown(t *testing.T, body string) string {
	t.Helper()
	d := f.Queue.Keys().Reread(routine.Received{MessageID: "M1", Encoding: routine.TextEncoding, Body: body}, f.clock.Now())
	if d.Err == nil { // the worker does not know what accept knows
		d = sim.Keys(t, "none").Reread(routine.Received{MessageID: "M1", Encoding: routine.TextEncoding, Body: body}, f.clock.Now())
	}
	failure := dispatch.Unreadable(d)
	if failure == nil || failure.Code != queue.CodeUnknownKey {
		t.Fatalf("%v", failure)
	}
	row := dispatch.DeadLetter(queue.UnreadableJobID(d), d, failure, "unreadable", ledger.Worker, f.clock.Now())
	f.files(t, row)
	return row.ID
}

func TestUnknownKey(t *testing.T) {
	e := queue.Envelope{JobID: "job-1", Caller: "ci", AcceptedAt: now, Round: 2, Number: 3, Request: wish}
	news := queue.Callback{ID: "msg_1", JobID: "job-1", Round: 2, URL: "https://hooks.example.com", Event: []byte(`{}`), CreatedAt: now, Attempt: 10}
	sealed := func(t *testing.T, key string) string {
		t.Helper()
		body, err := sim.Keys(t, key).Seal(e)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	for name, redrive := range map[string]func(*testing.T, *function, string, string) Response{
		"alone": func(t *testing.T, f *function, id, dry string) Response {
			return f.call(t, event("POST", "/v1/dead-letters/"+id+":redrive", `{"dryRun":`+dry+`}`))
		},
		"by filter": func(t *testing.T, f *function, _, dry string) Response {
			return f.call(t, event("POST", "/v1/dead-letters:redrive", `{"code":"UnknownKey","dryRun":`+dry+`}`))
		},
	} {
		t.Run("redriven "+name+": the job goes on under its own round and number, and the letter is over", func(t *testing.T) {
			f := start(t)
			id := f.unknown(t, sealed(t, sim.Key))
			if got := f.letter(t, id); got.ClaimsJob != "job-1" || got.Request != nil || got.Caller != "" {
				t.Errorf("%+v", got)
			}
			if dry := read[api.WorkedOff](t, redrive(t, f, id, "true"), 200); dry.Count != 1 || len(f.queued(t)) != 0 {
				t.Errorf("%+v", dry)
			}
			if done := read[api.WorkedOff](t, redrive(t, f, id, "false"), 200); done.Count != 1 || len(done.Failed) != 0 {
				t.Errorf("%+v", done)
			}
			if diff := cmp.Diff([]queue.Envelope{e}, f.queued(t)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			row := f.row(t, id)
			if row.State != routine.Dropped || !strings.Contains(row.Reason, "job job-1, round 2, number 3") || row.By != anonymous {
				t.Errorf("%+v", row)
			}
		})
		t.Run("redriven "+name+" while the key is unknown still: refused, and nothing is sent", func(t *testing.T) {
			f := start(t)
			id := f.unknown(t, sealed(t, "k9"))
			res := redrive(t, f, id, "false")
			if name == "alone" {
				refused(t, res, 422, "not-redrivable")
			} else if out := read[api.WorkedOff](t, res, 200); out.Count != 0 || len(out.Failed) != 1 || out.Failed[0].Problem.Code != "not-redrivable" {
				t.Errorf("%+v", out)
			}
			if got := f.queued(t); len(got) > 0 || f.row(t, id).State != routine.DeadLettered {
				t.Errorf("%+v", got)
			}
		})
		t.Run("redriven "+name+" while the queue is down: it stays a dead letter", func(t *testing.T) {
			f := start(t)
			id := f.unknown(t, sealed(t, sim.Key))
			breaks(t, f.mns, mnsDown)
			if res := redrive(t, f, id, "false"); strings.Contains(res.Body, `"count":1`) {
				t.Errorf("%+v", res)
			}
			if row := f.row(t, id); row.State != routine.DeadLettered {
				t.Errorf("%+v", row)
			}
		})
	}
	t.Run("of a callback: it goes to the queue of callbacks", func(t *testing.T) {
		f := start(t)
		if err := f.Queue.GiveUpCallback(t.Context(), news); err != nil {
			t.Fatal(err)
		}
		id := f.unknown(t, sim.Take(t, f.queue, sim.DeadLetterQueue)[0])
		read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters/"+id+":redrive", "")), 200)
		sent := sim.Take(t, f.queue, sim.CallbackQueue)
		if len(sent) != 1 || len(f.queued(t)) > 0 {
			t.Fatalf("%q", sent)
		}
		if diff := cmp.Diff(&news, sim.Keys(t, sim.Key).Decode([]byte(sent[0]), now)[0].Callback); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("cannot be corrected: nothing proves what its message asks for", func(t *testing.T) {
		f := start(t)
		id := f.unknown(t, sealed(t, sim.Key))
		refused(t, f.call(t, event("POST", "/v1/dead-letters/"+id+":redrive", `{"request":`+good+`}`)), 422, "not-redrivable")
	})
	t.Run("cannot be corrected either while the ledger answers only every other call", func(t *testing.T) {
		f := start(t)
		id := f.unknown(t, sealed(t, "k9"))
		down := refusedByOTS
		breaks(t, f.ots, faults.Rule{Times: 1, Fault: down})
		refused(t, f.call(t, event("POST", "/v1/dead-letters/"+id+":redrive", `{"request":`+good+`}`)), 503, "ledger-unavailable")
		if got := f.queued(t); len(got) > 0 || f.row(t, id).State != routine.DeadLettered {
			t.Errorf("%+v", got)
		}
	})
	t.Run("redriven by filter asks a queue that is down once, and leaves the others as they are", func(t *testing.T) {
		f := start(t)
		for n := range 20 {
			one := e
			one.JobID = fmt.Sprint("job-", n)
			body, err := sim.Keys(t, sim.Key).Seal(one)
			if err != nil {
				t.Fatal(err)
			}
			f.unknown(t, body)
		}
		breaks(t, f.mns, faults.Rule{Action: "SendMessage", Times: 1, Fault: refusedByMNS})
		res := f.call(t, event("POST", "/v1/dead-letters:redrive", `{"code":"UnknownKey"}`))
		if out := read[api.WorkedOff](t, res, 200); out.Count != 0 || len(out.Failed) != 20 {
			t.Errorf("%+v", out)
		}
		if sent := f.queued(t); len(sent) > 0 {
			t.Errorf("%d are sent", len(sent))
		}
	})
	t.Run("does not come of a job that accept sent: its row names the key", func(t *testing.T) {
		f := start(t)
		job := f.post(t, good)
		if row := f.row(t, job.ID); !sim.Keys(t, sim.Key).Know(row.SealedUnder) {
			t.Errorf("sealed under %q", row.SealedUnder)
		}
	})
	t.Run("can be dropped like any other", func(t *testing.T) {
		f := start(t)
		id := f.unknown(t, sealed(t, "k9"))
		read[api.WorkedOff](t, f.call(t, event("DELETE", "/v1/dead-letters/"+id, "")), 200)
		if row := f.row(t, id); row.State != routine.Dropped || len(f.queued(t)) > 0 {
			t.Errorf("%+v", row)
		}
	})
}
