package provision

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/routine"
)

func TestLock(t *testing.T) {
	t.Run("waits in place while the invocation has time, and counts nothing", func(t *testing.T) {
		l := start(t)
		l.inject(t, l.esa.Faults(),
			faults.Rule{Action: "CreateRoutine", Times: 7, Fault: faults.Fault{Answer: faults.Error, Code: "UserOperationStatusIsLocked"}},
			faults.Rule{Action: "CreateRoutineRelatedRecord", Times: 7, Fault: faults.Fault{Answer: faults.Error, Code: "LockFailed"}},
		)
		began := l.clock.Now()
		line := l.invoke(t, body(t, l.envelope()))[0]
		if line.Outcome != succeeded || line.Attempt != 1 {
			t.Errorf("got %+v", line)
		}
		if waited := l.clock.Now().Sub(began); waited < 10*time.Second || waited > 45*time.Second {
			t.Errorf("waited %s for 14 refusals", waited)
		}
		if n := l.esa.Faults().Count("CreateRoutine"); n != 8 {
			t.Errorf("%d calls of CreateRoutine, want 8: step 1 is not done again for step 2", n)
		}
	})
	t.Run("goes back with its count unchanged when the time is over", func(t *testing.T) {
		l := start(t)
		l.inject(t, l.esa.Faults(), faults.Rule{Action: "CreateRoutineRelatedRecord", Times: -1, Fault: faults.Fault{Answer: faults.Error, Code: "UserOperationStatusIsLocked"}})
		e := l.envelope()
		e.Attempt = 4
		ctx, cancel := context.WithTimeout(t.Context(), 11100*time.Millisecond)
		defer cancel()
		out, err := l.handle(ctx, sim.Event(t, body(t, e)))
		if err != nil || out.Messages[0].Outcome != handedBack {
			t.Fatalf("%+v, %v", out, err)
		}
		l.clock.Advance(2 * time.Second)
		back := queue.Decode(sim.Event(t, l.take(t, "jobs")...), l.clock.Now())[0].Envelope
		e.HandedBack, e.Progress = 1, routine.Progress{Routine: routine.Created}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestRetry(t *testing.T) {
	t.Run("comes back after the backoff, with its history and its progress", func(t *testing.T) {
		l := start(t)
		l.inject(t, l.esa.Faults(), faults.Rule{Action: "CreateRoutineRelatedRecord", Times: -1, Fault: faults.Fault{Answer: faults.Error, Code: "InternalException", Message: "try later"}})
		e := l.envelope()
		e.Attempt = 3
		line := l.invoke(t, body(t, e))[0]
		if line.Outcome != again || line.DelaySeconds < 7 || line.DelaySeconds > 8 {
			t.Errorf("got %+v", line)
		}
		l.clock.Advance(7 * time.Second)
		if early := l.take(t, "jobs"); early != nil {
			t.Errorf("back after seven seconds: %q", early)
		}
		l.clock.Advance(time.Second)
		back := queue.Decode(sim.Event(t, l.take(t, "jobs")...), l.clock.Now())[0].Envelope
		if len(back.Failures) != 1 || back.Failures[0].RequestID == "" || !strings.Contains(back.Failures[0].Message, "InternalException: try later") {
			t.Errorf("failures %+v", back.Failures)
		}
		back.Failures = nil
		e.Attempt, e.Progress = 4, routine.Progress{Routine: routine.Created, RecordUnknown: true}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("honours a throttle's hint", func(t *testing.T) {
		l := start(t)
		l.inject(t, l.esa.Faults(), faults.Rule{Action: "CreateRoutine", Fault: faults.Fault{Answer: faults.Error, Code: "Throttling.User", Headers: map[string]string{"x-acs-retry-after": "60000"}}})
		if line := l.invoke(t, body(t, l.envelope()))[0]; line.Outcome != again || line.DelaySeconds < 60 || line.DelaySeconds > 62 {
			t.Errorf("got %+v", line)
		}
	})
	t.Run("gives up a job that is too old", func(t *testing.T) {
		l := start(t)
		l.inject(t, l.esa.Faults(), faults.Rule{Action: "CreateRoutine", Fault: faults.Fault{Answer: faults.Error, Code: "InternalException"}})
		e := l.envelope()
		e.AcceptedAt = e.AcceptedAt.Add(-24 * time.Hour)
		if line := l.invoke(t, body(t, e))[0]; line.Outcome != deadLettered {
			t.Errorf("got %+v", line)
		}
		if letter := l.letters(t)[0]; letter.Reason != "older than 24h0m0s" {
			t.Errorf("reason %q", letter.Reason)
		}
	})
	t.Run("hands back what does not fit before the deadline, untouched", func(t *testing.T) {
		l := start(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		e := l.envelope()
		out, err := l.handle(ctx, sim.Event(t, body(t, e), body(t, e)))
		if err != nil || out.Messages[0].Outcome != handedBack || out.Messages[1].Outcome != handedBack {
			t.Fatalf("%+v, %v", out, err)
		}
		if n := len(l.esa.Faults().Calls()); n != 0 {
			t.Errorf("%d ESA calls", n)
		}
		l.clock.Advance(2 * time.Second)
		e.HandedBack = 1
		if diff := cmp.Diff([]string{body(t, e), body(t, e)}, l.take(t, "jobs")); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestBatch(t *testing.T) {
	t.Run("settles each message by itself", func(t *testing.T) {
		l := start(t)
		bad := `{"name":"NO","siteId":0}`
		second := l.envelope()
		second.JobID, second.Request.Name, second.Request.RecordName = "job-2", "pr-2", "pr-2.elsewhere.net"
		lines := l.invoke(t, body(t, l.envelope()), "\x00rubbish", bad, body(t, second))
		var got []string
		for _, line := range lines {
			got = append(got, fmt.Sprintf("%s %s %s", line.MessageID, line.Outcome, line.Code))
		}
		want := []string{"M1 succeeded ", "M2 dead-lettered UnreadableMessage", "M3 dead-lettered InvalidRequest", "M4 dead-lettered SiteParameterNotMatch"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		letters := l.letters(t)
		if letters[0].Received.Body != "\x00rubbish" || letters[0].JobID != "" || letters[1].Received.Body != bad || len(letters[1].Problems) != 3 {
			t.Errorf("got %+v", letters[:2])
		}
	})
	t.Run("takes a message of another program, plain and in Base64", func(t *testing.T) {
		l := start(t)
		bare := `{"Name":"pr-1","SiteId":"54362329990032","RecordName":"PR-1.example.com."}`
		lines := l.invoke(t, bare, base64.StdEncoding.EncodeToString([]byte(bare)))
		if lines[0].Outcome != succeeded || lines[1].Outcome != succeeded || lines[1].Result.Routine != routine.Adopted {
			t.Errorf("got %+v", lines)
		}
	})
	t.Run("an event that is nothing is a dead letter, not an error", func(t *testing.T) {
		for _, event := range []string{"", "null", "[1,", "\xff\xfe"} {
			l := start(t)
			if _, err := l.handle(t.Context(), []byte(event)); err != nil {
				t.Fatal(err)
			}
			if letters := l.letters(t); len(letters) != 1 || letters[0].Code != "UnreadableMessage" {
				t.Errorf("%q: got %+v", event, letters)
			}
		}
	})
}

func TestPanic(t *testing.T) {
	l := start(t)
	l.workflow.ESA = nil // what uses it panics
	if diff := cmp.Diff([]outcome{again, again, deadLettered}, l.drain(t, body(t, l.envelope()))); diff != "" {
		t.Errorf("outcomes -want +got:\n%s", diff)
	}
	if letters := l.letters(t); len(letters) != 1 || letters[0].Code != "Panic" || letters[0].Kind != "internal" {
		t.Errorf("got %+v", letters)
	}
}

func TestDuplicates(t *testing.T) {
	strict := func(l *lane) queue.Envelope {
		e := l.envelope()
		e.Request.IfExists = routine.Fail
		return e
	}
	t.Run("a copy of a finished job is not judged anew", func(t *testing.T) {
		l := start(t)
		lines := append(l.invoke(t, body(t, strict(l))), l.invoke(t, body(t, strict(l)))...)
		if lines[0].Outcome != succeeded || lines[1].Outcome != duplicate {
			t.Errorf("got %+v", lines)
		}
		if n := len(l.esa.Faults().Calls()); n != 3 {
			t.Errorf("%d ESA calls, want a look and the two steps", n)
		}
	})
	t.Run("another request under the same job id is not a copy", func(t *testing.T) {
		l := start(t)
		other := strict(l)
		other.Request.Name, other.Request.RecordName = "pr-2", "pr-2.example.com"
		lines := append(l.invoke(t, body(t, strict(l))), l.invoke(t, body(t, other))...)
		if lines[0].Outcome != succeeded || lines[1].Outcome != succeeded {
			t.Errorf("got %+v", lines)
		}
	})
	t.Run("a redriven job is not a copy of its earlier round", func(t *testing.T) {
		l := start(t)
		e := l.envelope()
		l.invoke(t, body(t, e))
		e.Redrive(l.clock.Now(), "op", "")
		if line := l.invoke(t, body(t, e))[0]; line.Outcome != succeeded {
			t.Errorf("got %+v", line)
		}
	})
	t.Run("a dead letter put back on the queue is tried again", func(t *testing.T) {
		l := start(t)
		found, err := l.esa.RemoveSite(localtest.SiteID)
		if err != nil || !found {
			t.Fatal(found, err)
		}
		if line := l.invoke(t, body(t, l.envelope()))[0]; line.Outcome != deadLettered {
			t.Fatalf("got %+v", line)
		}
		if err := l.esa.AddSite(esaemu.Site{ID: localtest.SiteID, Name: localtest.SiteName}); err != nil {
			t.Fatal(err)
		}
		if line := l.invoke(t, l.letters(t)[0].Received.Body)[0]; line.Outcome != succeeded {
			t.Errorf("got %+v", line)
		}
	})
}

func TestRecent(t *testing.T) {
	var r recent
	for n := range 3 * rememberedJobs {
		r.add(fmt.Sprint(n))
	}
	if r.has(fmt.Sprint(2*rememberedJobs-1)) || !r.has(fmt.Sprint(2*rememberedJobs)) || len(r.known) > rememberedJobs {
		t.Errorf("%d jobs are remembered, want the latest %d", len(r.known), rememberedJobs)
	}
}

func TestHandOverFails(t *testing.T) {
	down := faults.Rule{Action: "SendMessage", Times: -1, Fault: faults.Fault{Answer: faults.Error, Status: 500, Code: "InternalError"}}
	for name, spoil := range map[string]func(*lane) string{
		"for the next attempt": func(l *lane) string {
			l.inject(t, l.esa.Faults(), faults.Rule{Action: "CreateRoutine", Fault: faults.Fault{Answer: faults.Error, Code: "InternalException"}})
			return body(t, l.envelope())
		},
		"of a dead letter":     func(*lane) string { return "rubbish" },
		"of a job handed back": func(l *lane) string { l.workflow.StepTime = time.Hour; return body(t, l.envelope()) },
	} {
		t.Run("an error leaves the function when handing over "+name+" failed", func(t *testing.T) {
			l := start(t)
			text := spoil(l)
			l.inject(t, l.mns.Faults(), down)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			out, err := l.handle(ctx, sim.Event(t, text))
			if err == nil || out.Messages[0].Outcome != notSettled {
				t.Errorf("%+v, %v", out, err)
			}
			l.mns.Faults().Clear()
			if left := append(l.take(t, "jobs"), l.take(t, "jobs-dead")...); left != nil {
				t.Errorf("messages %q", left)
			}
		})
	}
	t.Run("the others of the batch are done all the same", func(t *testing.T) {
		l := start(t)
		l.inject(t, l.mns.Faults(), down)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		out, err := l.handle(ctx, sim.Event(t, "rubbish", body(t, l.envelope())))
		if err == nil || out.Messages[1].Outcome != succeeded {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

func TestTimeIsOver(t *testing.T) {
	const most = 10 // attempts, by the policy of the lane
	for attempt, want := range map[int]outcome{1: again, most: deadLettered} {
		t.Run("a job whose invocation is called off in the middle is recorded and handed over all the same: "+string(want), func(t *testing.T) {
			l := startRecorded(t)
			e := l.envelope()
			e.Attempt, e.Request.CallbackURL = attempt, "https://hooks.example.com/routinely"
			l.claim(t, e)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			l.inject(t, l.esa.Faults(), faults.Rule{Action: "CreateRoutine", Fault: faults.Fault{Answer: faults.Error, Code: "UserOperationStatusIsLocked"}})
			l.sleep = func(context.Context, time.Duration) { cancel() }
			out, err := l.handle(ctx, sim.Event(t, body(t, e)))
			if err != nil || out.Messages[0].Outcome != want {
				t.Fatalf("%+v, %v", out, err)
			}
			l.clock.Advance(time.Minute)
			jobs, letters, told := len(l.take(t, "jobs")), len(l.letters(t)), len(l.callbacks(t))
			state := l.told(t, e.JobID).State
			if want == again && (jobs != 1 || letters != 0 || told != 0 || state != routine.Queued) {
				t.Errorf("%d messages, %d letters, %d callbacks, recorded as %s", jobs, letters, told, state)
			}
			if want == deadLettered && (jobs != 0 || letters != 1 || told != 1 || state != routine.DeadLettered) {
				t.Errorf("%d messages, %d letters, %d callbacks, recorded as %s", jobs, letters, told, state)
			}
		})
	}
}

func TestTooLargeToGoOn(t *testing.T) {
	l := start(t)
	l.inject(t, l.esa.Faults(), faults.Rule{Action: "CreateRoutine", Fault: faults.Fault{Answer: faults.Error, Code: "InternalException"}})
	bare := `{"name":"pr-1","siteId":54362329990032,"recordName":"pr-1.example.com","description":"` + strings.Repeat("d", 65_000) + `"}`
	if line := l.invoke(t, bare)[0]; line.Outcome != deadLettered || line.Code != "MessageTooLarge" {
		t.Errorf("got %+v", line)
	}
	if letters := l.letters(t); len(letters) != 1 || len(letters[0].Attempts) != 1 {
		t.Errorf("got %+v", letters)
	}
}

func TestStop(t *testing.T) {
	t.Run("hands back a job that waits for the lock, without counting an attempt", func(t *testing.T) {
		l := start(t)
		stopping, stop := context.WithCancel(t.Context())
		l.stopping = stopping
		l.sleep = func(waiting context.Context, _ time.Duration) {
			stop()
			<-waiting.Done()
		}
		l.inject(t, l.esa.Faults(), faults.Rule{
			Action: "CreateRoutine", Times: -1, Fault: faults.Fault{Answer: faults.Error, Status: 400, Code: "UserOperationStatusIsLocked"},
		})
		if got := l.invoke(t, body(t, l.envelope())); got[0].Outcome != handedBack || got[0].Attempt != 1 {
			t.Errorf("%+v", got)
		}
		if n := l.esa.Faults().Count("CreateRoutine"); n != 1 {
			t.Errorf("asked %d times", n)
		}
		l.clock.Advance(time.Minute)
		sent := l.take(t, "jobs")
		if len(sent) != 1 {
			t.Fatalf("%d messages", len(sent))
		}
		if e := queue.Decode([]byte(sent[0]), l.clock.Now())[0].Envelope; e.Attempt != 1 || e.HandedBack != 1 || len(e.Failures) != 0 {
			t.Errorf("%+v", e)
		}
	})
	t.Run("finishes a job that does not wait", func(t *testing.T) {
		l := start(t)
		stopping, stop := context.WithCancel(t.Context())
		stop()
		l.stopping = stopping
		if got := l.invoke(t, body(t, l.envelope())); got[0].Outcome != succeeded {
			t.Errorf("%+v", got)
		}
	})
}
