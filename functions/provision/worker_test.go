package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
	"routinely/queue"
	"routinely/shared/esa"
	"routinely/shared/provision"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

// lane is a worker with its queue and its ESA account, all on one clock that only the test moves.
type lane struct {
	*worker
	mns   *mnsemu.Server
	esa   *esaemu.Server
	jobs  *mnsclient.Client
	clock *clock.Manual
}

func start(t *testing.T) *lane {
	t.Helper()
	manual := clock.NewManual(time.Now())
	mns, mnsURL := localtest.MNS(t, manual, "jobs", "jobs-dead")
	account, esaURL := localtest.ESA(t, nil, 0)
	jobs, err := queue.New(queue.Config{
		Endpoint: mnsURL, Queue: "jobs", DeadLetterQueue: "jobs-dead", Credentials: localtest.Credentials, Timeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(jobs.Close)
	client, err := esa.New(esa.Config{Endpoint: esaURL, Credentials: localtest.Credentials, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	w, err := newWorker(workerConfig{
		queue: jobs, workflow: provision.Workflow{ESA: client, StepTime: time.Second},
		policy:      retry.Policy{Base: 2 * time.Second, Cap: 15 * time.Minute, MaxAttempts: 10, MaxInternalAttempts: 3, MaxAge: 24 * time.Hour},
		lockPollMin: 200 * time.Millisecond, lockPollMax: 3 * time.Second, reserve: 10 * time.Second,
		now: manual.Now, draw: func() float64 { return 0.999 },
		sleep: func(_ context.Context, d time.Duration) { manual.Advance(d) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return &lane{worker: w, mns: mns, esa: account, jobs: localtest.MNSClient(t, mnsURL), clock: manual}
}

func (l *lane) inject(t *testing.T, set *faults.Set, rules ...faults.Rule) {
	t.Helper()
	for _, rule := range rules {
		if _, err := set.Add(rule); err != nil {
			t.Fatal(err)
		}
	}
}

// envelope is a new job.
func (l *lane) envelope() queue.Envelope {
	return queue.Envelope{
		JobID: "job-1", Caller: "ci", AcceptedAt: l.clock.Now().UTC().Truncate(time.Second), Attempt: 1,
		Request: routine.Request{Name: "pr-1", SiteID: localtest.SiteID, RecordName: "pr-1.example.com"},
	}
}

func body(t *testing.T, e queue.Envelope) string {
	t.Helper()
	text, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// delivered wraps message bodies as the trigger does.
func delivered(t *testing.T, bodies ...string) []byte {
	t.Helper()
	type data struct {
		MessageID   string `json:"messageId"`
		MessageBody string `json:"messageBody"`
	}
	var elements []map[string]any
	for i, text := range bodies {
		elements = append(elements, map[string]any{"specversion": "1.0", "id": fmt.Sprint(i), "data": data{fmt.Sprintf("M%d", i+1), text}})
	}
	event, err := json.Marshal(elements)
	if err != nil {
		t.Fatal(err)
	}
	return event
}

// handle runs one invocation with five minutes of time and expects it to settle everything.
func (l *lane) invoke(t *testing.T, bodies ...string) []entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := l.handle(ctx, delivered(t, bodies...))
	if err != nil {
		t.Fatal(err)
	}
	return out.Messages
}

// take removes and returns the visible messages of a queue.
func (l *lane) take(t *testing.T, name string) []string {
	t.Helper()
	var out []string
	for {
		messages, err := l.jobs.Receive(t.Context(), name, 16, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(messages) == 0 {
			return out
		}
		for _, m := range messages {
			out = append(out, m.Body)
			if err := l.jobs.Delete(t.Context(), name, m.ReceiptHandle); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// letters decodes the dead letters.
func (l *lane) letters(t *testing.T) []queue.DeadLetter {
	t.Helper()
	var out []queue.DeadLetter
	for _, text := range l.take(t, "jobs-dead") {
		var message struct {
			Data queue.DeadLetter `json:"data"`
		}
		if err := json.Unmarshal([]byte(text), &message); err != nil {
			t.Fatal(err)
		}
		out = append(out, message.Data)
	}
	return out
}

// drain works the queue until it is empty, a day and more into the future if need be, and returns every outcome.
func (l *lane) drain(t *testing.T, first string) []outcome {
	t.Helper()
	var outcomes []outcome
	pending := []string{first}
	for round := 0; len(pending) > 0; round++ {
		if round > 1000 {
			t.Fatal("the job goes round for ever")
		}
		for _, text := range pending {
			for _, line := range l.invoke(t, text) {
				outcomes = append(outcomes, line.Outcome)
			}
		}
		l.clock.Advance(15 * time.Minute)
		pending = l.take(t, "jobs")
	}
	return outcomes
}

func (l *lane) holds(t *testing.T) (routines, records int) {
	t.Helper()
	state, err := l.esa.State()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range state.Routines {
		records += len(r.Records)
	}
	return len(state.Routines), records
}

func repeat(o outcome, n int) []outcome { return slices.Repeat([]outcome{o}, n) }

// TestEveryDocumentedError injects each row of the two official error tables and states what becomes of the job: when ESA
// answers so for ever, and when it answers so once.
func TestEveryDocumentedError(t *testing.T) {
	type fate struct {
		forever []outcome
		once    []outcome
		kind    string
		left    [2]int // routines and records in ESA in the end, when it answers so for ever
	}
	dead := []outcome{deadLettered}
	tenTimes := append(repeat(again, 9), deadLettered)
	threeTimes := append(repeat(again, 2), deadLettered)
	soon := []outcome{again, succeeded}
	rows := map[string]map[string]fate{
		"CreateRoutine": {
			"RoutineAlreadyExist":           {tenTimes, soon, "unavailable", [2]int{}}, // nothing is there to adopt: see package provision
			"InternalOperationError":        {tenTimes, soon, "unavailable", [2]int{}},
			"ParameterNotExist":             {dead, dead, "invalid", [2]int{}},
			"ServiceNotOpen":                {dead, dead, "operator", [2]int{}},
			"RoutineNumberExceedQuotaLimit": {dead, dead, "operator", [2]int{}},
			"DependedByOthers":              {threeTimes, soon, "internal", [2]int{}},
			"RoutineUserServiceStatusHalt":  {dead, dead, "operator", [2]int{}},
			"InternalException":             {tenTimes, soon, "unavailable", [2]int{}},
			"InvalidParameter":              {dead, dead, "invalid", [2]int{}},
			"UserOperationStatusIsLocked":   {nil, []outcome{succeeded}, "locked", [2]int{}},
		},
		"CreateRoutineRelatedRecord": {
			"InternalException":                   {tenTimes, soon, "unavailable", [2]int{1, 0}},
			"InvalidParameter":                    {dead, dead, "invalid", [2]int{1, 0}},
			"RoutineNotExist":                     {[]outcome{again, again, deadLettered}, soon, "not-found", [2]int{1, 0}},
			"DependedByOthers":                    {threeTimes, soon, "internal", [2]int{1, 0}},
			"SiteParameterNotMatch":               {dead, dead, "not-found", [2]int{1, 0}},
			"InternalOperationError":              {tenTimes, soon, "unavailable", [2]int{1, 0}},
			"ParameterAlreadyExist":               {dead, dead, "conflict", [2]int{1, 0}},
			"RelatedRecordNumberExceedQuotaLimit": {dead, dead, "operator", [2]int{1, 0}},
			"RoutineUserServiceStatusHalt":        {dead, dead, "operator", [2]int{1, 0}},
			"UserOperationStatusIsLocked":         {nil, []outcome{succeeded}, "locked", [2]int{1, 0}},
		},
	}
	for action, codes := range rows {
		for code, want := range codes {
			t.Run(action+" answers "+code+" for ever", func(t *testing.T) {
				l := start(t)
				l.inject(t, l.esa.Faults(), faults.Rule{Action: action, Times: -1, Fault: faults.Fault{Answer: faults.Error, Code: code}})
				if want.kind == "locked" {
					l.expectPatience(t)
				} else if diff := cmp.Diff(want.forever, l.drain(t, body(t, l.envelope()))); diff != "" {
					t.Errorf("outcomes -want +got:\n%s", diff)
				}
				letters := l.letters(t)
				if len(letters) != 1 {
					t.Fatalf("%d dead letters, want 1", len(letters))
				}
				letter := letters[0]
				if letter.JobID != "job-1" || letter.Kind != want.kind || letter.Code != code || letter.RequestID == "" || letter.Hint == "" || letter.Reason == "" || letter.Step != routine.Step(action) {
					t.Errorf("got %+v", letter)
				}
				if tries := len(want.forever); want.kind != "locked" && len(letter.Attempts) != tries {
					t.Errorf("%d attempts told, want %d", len(letter.Attempts), tries)
				}
				routines, records := l.holds(t)
				if diff := cmp.Diff(want.left, [2]int{routines, records}); diff != "" {
					t.Errorf("routines and records left, -want +got:\n%s", diff)
				}
			})
			t.Run(action+" answers "+code+" once", func(t *testing.T) {
				l := start(t)
				l.inject(t, l.esa.Faults(), faults.Rule{Action: action, Fault: faults.Fault{Answer: faults.Error, Code: code}})
				if diff := cmp.Diff(want.once, l.drain(t, body(t, l.envelope()))); diff != "" {
					t.Errorf("outcomes -want +got:\n%s", diff)
				}
				routines, records := l.holds(t)
				if succeeds := want.once[len(want.once)-1] == succeeded; succeeds && (routines != 1 || records != 1) {
					t.Errorf("ESA holds %d routines and %d records", routines, records)
				}
			})
		}
	}
}

// expectPatience works a job whose account stays locked, delivery by delivery, until its age is spent: an invocation of a
// few seconds each, so that waiting in place does not take the day.
func (l *lane) expectPatience(t *testing.T) {
	t.Helper()
	text := body(t, l.envelope())
	for round := 0; ; round++ {
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		out, err := l.handle(ctx, delivered(t, text))
		cancel()
		if err != nil || round > 200 {
			t.Fatalf("round %d: %v", round, err)
		}
		line := out.Messages[0]
		if line.Outcome == deadLettered {
			if round < 90 {
				t.Errorf("given up after %d rounds, long before a day", round)
			}
			return
		}
		if line.Outcome != handedBack || line.Attempt != 1 || line.DelaySeconds > 2 {
			t.Fatalf("got %+v", line)
		}
		l.clock.Advance(15 * time.Minute)
		text = l.take(t, "jobs")[0]
	}
}

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
		out, err := l.handle(ctx, delivered(t, body(t, e)))
		if err != nil || out.Messages[0].Outcome != handedBack {
			t.Fatalf("%+v, %v", out, err)
		}
		l.clock.Advance(2 * time.Second)
		back := queue.Decode(delivered(t, l.take(t, "jobs")...), l.clock.Now())[0].Envelope
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
		back := queue.Decode(delivered(t, l.take(t, "jobs")...), l.clock.Now())[0].Envelope
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
		out, err := l.handle(ctx, delivered(t, body(t, e), body(t, e)))
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
		if n := len(l.esa.Faults().Calls()); n != 2 {
			t.Errorf("%d ESA calls, want 2", n)
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
			out, err := l.handle(ctx, delivered(t, text))
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
		out, err := l.handle(ctx, delivered(t, "rubbish", body(t, l.envelope())))
		if err == nil || out.Messages[1].Outcome != succeeded {
			t.Errorf("%+v, %v", out, err)
		}
	})
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

func TestRun(t *testing.T) {
	t.Run("joins the parts", func(t *testing.T) {
		_, mnsURL := localtest.MNS(t, nil)
		account, esaURL := localtest.ESA(t, nil, 0)
		event := delivered(t, `{"name":"pr-1","siteId":54362329990032,"recordName":"pr-1.example.com"}`)
		var out report
		err := run([]string{
			"ROUTINELY_MNS_ENDPOINT=" + mnsURL, "ROUTINELY_ESA_ENDPOINT=" + esaURL,
			"ALIBABA_CLOUD_ACCESS_KEY_ID=" + localtest.AccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + localtest.AccessKeySecret,
		}, io.Discard, func(handler any) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			var err error
			out, err = handler.(func(context.Context, json.RawMessage) (report, error))(ctx, event)
			if err != nil {
				t.Error(err)
			}
		})
		if err != nil || len(out.Messages) != 1 || out.Messages[0].Outcome != succeeded {
			t.Errorf("%v, %+v", err, out)
		}
		if n := account.Faults().Count("CreateRoutine"); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
	for name, setting := range map[string]string{
		"no attempts": "ROUTINELY_RETRY_ATTEMPTS=0", "a cap below the base": "ROUTINELY_RETRY_CAP=1s",
		"a bad endpoint": "ROUTINELY_ESA_ENDPOINT=http://", "no ESA time": "ROUTINELY_ESA_TIMEOUT=0s",
		"no pause for the lock": "ROUTINELY_LOCK_POLL_MIN=0s", "no reserve": "ROUTINELY_RESERVE=0s", "a bad number": "ROUTINELY_RETRY_ATTEMPTS=x",
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if err := run([]string{"ROUTINELY_MNS_ENDPOINT=http://localhost", setting}, io.Discard, func(any) { t.Error("started") }); err == nil {
				t.Error("accepted")
			}
		})
	}
}
