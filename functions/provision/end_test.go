package provision

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/callback"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// noSite is ESA's refusal of a site that the account has not.
func noSite() faults.Rule {
	return faults.Rule{
		Action: "CreateRoutineRelatedRecord",
		Fault:  faults.Fault{Answer: faults.Error, Status: 400, Code: "SiteParameterNotMatch"},
	}
}

// noQueue breaks the sending of messages.
func noQueue() faults.Rule {
	return faults.Rule{Action: "SendMessage", Times: -1, Fault: faults.Fault{Answer: faults.Error, Status: 500, Code: "InternalError"}}
}

func TestDeadJob(t *testing.T) {
	t.Run("is recorded before its letter is sent, so that a worker killed in between leaves a message that sends it", func(t *testing.T) {
		l := startRecorded(t)
		e := l.claimed(t)
		l.inject(t, l.esa.Faults(), noSite())
		l.inject(t, l.mns.Faults(), noQueue())
		if _, err := l.handle(t.Context(), sim.Event(t, body(t, e))); !fault.HasKind(err, fault.Unavailable) {
			t.Fatalf("got %v, want the fault of the queue", err)
		}
		if got := l.told(t, e.JobID); got.State != routine.DeadLettered {
			t.Errorf("recorded %+v", got)
		}
		l.mns.Faults().Clear()
		// ESA would take the job by now, but its end is on record.
		if got := l.invoke(t, body(t, e)); got[0].Outcome != deadLettered || got[0].Code != "SiteParameterNotMatch" {
			t.Errorf("%+v", got)
		}
		letters := l.letters(t)
		if len(letters) != 1 || letters[0].Code != "SiteParameterNotMatch" || len(letters[0].Attempts) != 1 || letters[0].Reason == "" || letters[0].Hint == "" {
			t.Errorf("letters %+v", letters)
		}
		if _, records := l.holds(t); records != 0 {
			t.Errorf("%d records", records)
		}
	})
	t.Run("has one letter however often its message comes", func(t *testing.T) {
		l := startRecorded(t)
		e := l.claimed(t)
		l.inject(t, l.esa.Faults(), noSite())
		var ids []string
		for range 3 {
			l.invoke(t, body(t, e))
			for _, text := range l.take(t, "jobs-dead") {
				ids = append(ids, queue.ReadLetter(queue.Message{Body: text}).ID)
			}
		}
		if len(ids) != 3 || ids[0] != ids[1] || ids[0] != ids[2] {
			t.Errorf("letters %q, want copies of one", ids)
		}
	})
	t.Run("is not tried by another message of it", func(t *testing.T) {
		l := startRecorded(t)
		e := l.claimed(t)
		l.inject(t, l.esa.Faults(), noSite())
		l.invoke(t, body(t, e))
		copied := e
		copied.Attempt = 2
		if got := l.invoke(t, body(t, copied)); got[0].Outcome != duplicate {
			t.Errorf("%+v", got)
		}
		if letters := l.letters(t); len(letters) != 1 {
			t.Errorf("%d letters", len(letters))
		}
	})
	t.Run("has a letter of its own if its key stands for another request that has succeeded", func(t *testing.T) {
		l := startRecorded(t)
		first := l.claimed(t)
		if got := l.invoke(t, body(t, first)); got[0].Outcome != succeeded {
			t.Fatalf("%+v", got)
		}
		second := first
		second.Request.Name, second.Request.RecordName = "pr-2", "pr-2.example.com"
		l.inject(t, l.esa.Faults(), noSite())
		if got := l.invoke(t, body(t, second)); got[0].Outcome != deadLettered {
			t.Errorf("%+v", got)
		}
		if letters := l.letters(t); len(letters) != 1 || letters[0].Request.Name != "pr-2" {
			t.Errorf("letters %+v", letters)
		}
	})
	t.Run("leaves an older message of it nothing to do once it is redriven", func(t *testing.T) {
		l := startRecorded(t)
		e := l.claimed(t)
		l.inject(t, l.esa.Faults(), noSite(), noSite())
		l.invoke(t, body(t, e))
		l.letters(t)
		if _, err := l.ledger.Append(t.Context(), routine.Job{ID: e.JobID}, ledger.Entry{Kind: ledger.Redriven, Redriven: 1}); err != nil {
			t.Fatal(err)
		}
		older := e
		older.Attempt = 2
		if got := l.invoke(t, body(t, older)); got[0].Outcome != duplicate {
			t.Errorf("%+v", got)
		}
		if letters := l.letters(t); len(letters) != 0 {
			t.Errorf("letters %+v", letters)
		}
	})
	t.Run("is tried again once it is redriven", func(t *testing.T) {
		l := startRecorded(t)
		e := l.claimed(t)
		l.inject(t, l.esa.Faults(), noSite())
		l.invoke(t, body(t, e))
		e.Redrive(l.clock.Now(), "op", "site added")
		if got := l.invoke(t, body(t, e)); got[0].Outcome != succeeded {
			t.Errorf("%+v", got)
		}
		if got := l.told(t, e.JobID); got.State != routine.Succeeded || got.Redriven != 1 {
			t.Errorf("recorded %+v", got)
		}
	})
	t.Run("goes on after a redrive with what its steps achieved, and does not take its own routine for another's", func(t *testing.T) {
		l := start(t)
		e := l.envelope()
		e.Request.IfExists = routine.Fail
		l.inject(t, l.esa.Faults(), noSite())
		l.invoke(t, body(t, e))
		letters := l.letters(t)
		if len(letters) != 1 {
			t.Fatalf("%d letters", len(letters))
		}
		again, err := letters[0].Redrive(l.clock.Now(), "op", "site added")
		if err != nil || len(again) != 1 {
			t.Fatalf("%+v, %v", again, err)
		}
		if got := l.invoke(t, again[0].Body); got[0].Outcome != succeeded || l.esa.Faults().Count("CreateRoutine") != 1 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("has no letter if it succeeded meanwhile", func(t *testing.T) {
		l := startRecorded(t)
		e := l.claimed(t)
		l.inject(t, l.esa.Faults(), noSite())
		l.overtaken(t, e)
		if letters := l.letters(t); len(letters) != 0 {
			t.Errorf("letters %+v", letters)
		}
		if got := l.told(t, e.JobID); got.State != routine.Succeeded {
			t.Errorf("recorded %+v", got)
		}
	})
}

// overtaken lets a job fail that another worker brings to success while it waits for the lock.
func (l *lane) overtaken(t *testing.T, e queue.Envelope) {
	t.Helper()
	l.inject(t, l.esa.Faults(), faults.Rule{Action: "CreateRoutine", Fault: faults.Fault{Answer: faults.Error, Status: 400, Code: "UserOperationStatusIsLocked"}})
	pause := l.sleep
	l.sleep = func(ctx context.Context, d time.Duration) {
		pause(ctx, d)
		entry := ledger.Entry{Kind: ledger.Succeeded, Attempt: 1, Result: &routine.Result{Routine: routine.Created, Record: routine.Created, RecordID: 1}}
		if _, err := l.ledger.Append(ctx, routine.Job{ID: e.JobID}, entry); err != nil {
			t.Error(err)
		}
	}
	if got := l.invoke(t, body(t, e)); got[0].Outcome != duplicate {
		t.Errorf("%+v", got)
	}
}

// callbacks decodes the callbacks that wait on their queue.
func (l *lane) callbacks(t *testing.T) (out []queue.Callback) {
	t.Helper()
	for _, text := range l.take(t, "jobs-callbacks") {
		d := queue.DecodeCallbacks([]byte(text))
		if len(d) != 1 || d[0].Err != nil {
			t.Fatalf("%+v", d)
		}
		out = append(out, d[0].Callback)
	}
	return out
}

// event is what the receiver of a callback will read.
func event(t *testing.T, c queue.Callback) callback.Event {
	t.Helper()
	var e callback.Event
	if err := json.Unmarshal(c.Event, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestCallback(t *testing.T) {
	const hook = "https://hooks.example.com/routinely?token=hush"
	for _, kept := range []bool{true, false} {
		begin, recorded := start, "without a ledger"
		if kept {
			begin, recorded = startRecorded, "with a ledger"
		}
		t.Run("tells of a success, "+recorded, func(t *testing.T) {
			l := begin(t)
			e := l.envelope()
			e.Request.CallbackURL = hook
			l.invoke(t, body(t, e))
			got := l.callbacks(t)
			if len(got) != 1 {
				t.Fatalf("%d callbacks", len(got))
			}
			news := event(t, got[0])
			want := queue.Callback{
				ID: news.ID(), JobID: e.JobID, Caller: e.Caller, URL: hook, Event: got[0].Event, CreatedAt: news.Timestamp, Attempt: 1,
			}
			if diff := cmp.Diff(want, got[0]); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if j := news.Data; news.Type != "routinely.job.succeeded" || j.State != routine.Succeeded || !j.Ready || j.Result == nil || j.Request.CallbackURL != e.Request.Shown().CallbackURL {
				t.Errorf("event %+v", news)
			}
		})
		t.Run("tells of a dead letter, "+recorded, func(t *testing.T) {
			l := begin(t)
			e := l.envelope()
			e.Request.CallbackURL = hook
			l.inject(t, l.esa.Faults(), noSite())
			l.invoke(t, body(t, e))
			got := l.callbacks(t)
			if len(got) != 1 {
				t.Fatalf("%d callbacks", len(got))
			}
			news := event(t, got[0])
			if j := news.Data; news.Type != "routinely.job.dead-lettered" || j.Code != "SiteParameterNotMatch" || j.Hint == "" || j.Reason == "" || len(j.Attempts) != 1 {
				t.Errorf("event %+v", news)
			}
		})
		t.Run("is told again until it could be handed over, "+recorded, func(t *testing.T) {
			l := begin(t)
			e := l.envelope()
			e.Request.CallbackURL = hook
			l.inject(t, l.mns.Faults(), noQueue())
			for range 2 {
				if _, err := l.handle(t.Context(), sim.Event(t, body(t, e))); !fault.HasKind(err, fault.Unavailable) {
					t.Fatalf("got %v, want the fault of the queue", err)
				}
			}
			l.mns.Faults().Clear()
			l.invoke(t, body(t, e))
			if got := l.callbacks(t); len(got) != 1 || event(t, got[0]).Type != "routinely.job.succeeded" {
				t.Errorf("callbacks %+v", got)
			}
			if l.invoke(t, body(t, e)); len(l.callbacks(t)) != 0 {
				t.Error("the job is told of once more")
			}
		})
	}
	t.Run("is not made for jobs that want none, or that try again", func(t *testing.T) {
		l := start(t)
		l.invoke(t, body(t, l.envelope()))
		e := l.envelope()
		e.JobID, e.Request.Name, e.Request.RecordName, e.Request.CallbackURL = "job-2", "pr-2", "pr-2.example.com", hook
		l.inject(t, l.esa.Faults(), faults.Rule{Action: "CreateRoutine", Fault: faults.Fault{Answer: faults.Error, Status: 500, Code: "InternalException"}})
		if got := l.invoke(t, body(t, e)); got[0].Outcome != again {
			t.Errorf("%+v", got)
		}
		if got := l.callbacks(t); len(got) != 0 {
			t.Errorf("callbacks %+v", got)
		}
	})
}
