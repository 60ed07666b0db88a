package accept

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// dies puts a job among the dead letters, as the worker does, and returns it.
func (f *function) dies(t *testing.T, n int) routine.Job {
	t.Helper()
	f.clock.Advance(time.Second)
	job := f.post(t, wishFor(n))
	e := f.queued(t)[0]
	if err := f.jobs.SendDead(t.Context(), queue.DeadLetter{
		JobID: e.JobID, Kind: "not-found", Code: "SiteParameterNotMatch", Message: "no such site", RequestID: "R1", Step: routine.CreateRoutineRelatedRecord,
		Hint: "check siteId", Reason: "not retryable", Caller: e.Caller, AcceptedAt: e.AcceptedAt, Attempt: 1, Request: &e.Request,
		Progress: routine.Progress{Routine: routine.Created}, Attempts: []routine.Attempt{*givenUp.Failure}, DeadAt: f.clock.Now(),
		Received: queue.ReceivedBody("M1", []byte(wishFor(n))),
	}); err != nil {
		t.Fatal(err)
	}
	if f.ledger != nil {
		f.happens(t, job, begun, givenUp)
	}
	return job
}

func (f *function) letters(t *testing.T, query map[string]string) api.DeadLetterList {
	t.Helper()
	return read[api.DeadLetterList](t, f.call(t, withParams(event("GET", "/v1/dead-letters", ""), query)), 200)
}

func ids(list api.DeadLetterList) []string {
	var out []string
	for _, l := range list.DeadLetters {
		out = append(out, l.JobID)
	}
	return out
}

func TestDeadLetters(t *testing.T) {
	t.Run("are listed, those of the worker and those of the trigger, and shown whole", func(t *testing.T) {
		f := startRecorded(t)
		first, second := f.dies(t, 1), f.dies(t, 2)
		if _, err := f.queue.Send(t.Context(), "jobs-dead", "nonsense", 0); err != nil {
			t.Fatal(err)
		}
		all := f.letters(t, nil)
		wantCodes := []api.CodeCount{{Kind: "not-found", Code: "SiteParameterNotMatch", Count: 2}, {Kind: "unavailable", Code: "Undelivered", Count: 1}}
		if diff := cmp.Diff(wantCodes, all.Codes); diff != "" || all.Total != 3 || !all.Complete {
			t.Errorf("got %+v, -want +got:\n%s", all, diff)
		}
		f.again(t)
		found := f.letters(t, map[string]string{"code": "SiteParameterNotMatch", "limit": "1"})
		if !cmp.Equal(ids(found), []string{second.ID}) || found.Total != 2 || found.Next == "" {
			t.Errorf("got %+v", found)
		}
		f.again(t)
		next := f.letters(t, map[string]string{"code": "SiteParameterNotMatch", "limit": "1", "cursor": found.Next})
		if !cmp.Equal(ids(next), []string{first.ID}) || next.Next != "" {
			t.Errorf("got %+v", next)
		}
		f.again(t)
		one := read[api.DeadLetter](t, f.call(t, event("GET", "/v1/dead-letters/"+found.DeadLetters[0].ID, "")), 200)
		if one.JobID != second.ID || len(one.Attempts) != 1 || one.Received == nil || one.Received.Body != wishFor(2) || one.Hint != "check siteId" {
			t.Errorf("got %+v", one)
		}
	})
	t.Run("are redriven, exactly those that fit, with the story kept", func(t *testing.T) {
		f := startRecorded(t)
		stays, goes := f.dies(t, 1), f.dies(t, 2)
		body := `{"record":"x"}`
		refused(t, f.call(t, event("POST", "/v1/dead-letters:redrive", body)), 400, "malformed-request")
		body = `{"recordName":"pr-2.example.com","reason":"site added"}`
		dry := read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters:redrive", strings.Replace(body, "{", `{"dryRun":true,`, 1))), 200)
		if dry.Count != 1 || !dry.DryRun || len(f.queued(t)) > 0 {
			t.Errorf("got %+v", dry)
		}
		f.again(t)
		done := read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters:redrive", body)), 200)
		if done.Count != 1 || done.More || !cmp.Equal(done.IDs, dry.IDs) {
			t.Errorf("got %+v", done)
		}
		e := f.queued(t)[0]
		wantRedrive := []routine.Redrive{{Number: 1, At: f.clock.Now(), By: "anonymous", Reason: "site added"}}
		if e.JobID != goes.ID || e.Attempt != 1 || e.Redriven != 1 || e.Progress.Routine != routine.Created || len(e.Failures) != 1 || !cmp.Equal(e.Redrives, wantRedrive) {
			t.Errorf("queued %+v", e)
		}
		job := read[routine.Job](t, f.call(t, event("GET", "/v1/jobs/"+goes.ID, "")), 200)
		if job.State != routine.Queued || job.Redriven != 1 || job.Reason != "site added" || len(job.Attempts) != 1 || job.Gap {
			t.Errorf("the ledger tells %+v", job)
		}
		f.again(t)
		if left := f.letters(t, nil); !cmp.Equal(ids(left), []string{stays.ID}) {
			t.Errorf("left %+v", left)
		}
		if strings.Count(f.log.String(), "dead letter redriven") != 1 {
			t.Errorf("log %s", f.log)
		}
	})
	t.Run("are redriven one by one, without a ledger too", func(t *testing.T) {
		f := start(t)
		f.dies(t, 1)
		id := f.letters(t, nil).DeadLetters[0].ID
		f.again(t)
		if done := read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters/"+id+":redrive", "")), 200); done.Count != 1 {
			t.Errorf("got %+v", done)
		}
		refused(t, f.call(t, event("POST", "/v1/dead-letters/"+id+":redrive", `{"reason":"again"}`)), 404, "unknown-dead-letter")
		if got := f.queued(t); len(got) != 1 {
			t.Errorf("queued %+v", got)
		}
	})
	t.Run("are deleted, one or by filter", func(t *testing.T) {
		f := start(t)
		for n := range 3 {
			f.dies(t, n)
		}
		id := f.letters(t, nil).DeadLetters[0].ID
		remove := func(path string, query map[string]string) api.WorkedOff {
			f.again(t)
			return read[api.WorkedOff](t, f.call(t, withParams(event("DELETE", path, ""), query)), 200)
		}
		if done := remove("/v1/dead-letters/"+id, map[string]string{"dryRun": "true"}); done.Count != 1 || !done.DryRun {
			t.Errorf("got %+v", done)
		}
		if done := remove("/v1/dead-letters/"+id, map[string]string{"reason": "a test"}); done.Count != 1 {
			t.Errorf("got %+v", done)
		}
		if done := remove("/v1/dead-letters", map[string]string{"name": "pr-0"}); done.Count != 1 {
			t.Errorf("got %+v", done)
		}
		if done := remove("/v1/dead-letters", map[string]string{"all": "true"}); done.Count != 1 {
			t.Errorf("got %+v", done)
		}
		if left := f.letters(t, nil); left.Total != 0 || f.queued(t) != nil {
			t.Errorf("left %+v", left)
		}
	})
}

// again lets the second pass after which messages that were given back can be received again.
func (f *function) again(t *testing.T) {
	t.Helper()
	f.mnsClock.Advance(2 * time.Second)
}

func TestDeadLetterRefusals(t *testing.T) {
	f := start(t)
	list := func(name, value string) map[string]any {
		return withParams(event("GET", "/v1/dead-letters", ""), map[string]string{name: value})
	}
	for name, test := range map[string]struct {
		event  map[string]any
		status int
		code   string
	}{
		"a letter nobody knows":       {event("GET", "/v1/dead-letters/1", ""), 404, "unknown-dead-letter"},
		"to redrive it":               {event("POST", "/v1/dead-letters/1:redrive", ""), 404, "unknown-dead-letter"},
		"to delete it":                {event("DELETE", "/v1/dead-letters/1", ""), 404, "unknown-dead-letter"},
		"a kind there is not":         {list("kind", "sad"), 400, "invalid-parameter"},
		"a step there is not":         {list("step", "Create"), 400, "invalid-parameter"},
		"an origin there is not":      {list("origin", "x"), 400, "invalid-parameter"},
		"a site that is no number":    {list("siteId", "x"), 400, "invalid-parameter"},
		"a misspelt filter":           {list("recordname", "x"), 400, "invalid-parameter"},
		"a limit beyond all":          {list("limit", "1001"), 400, "invalid-parameter"},
		"a cursor of one's own":       {list("cursor", "x"), 400, "invalid-parameter"},
		"to redrive nothing":          {event("POST", "/v1/dead-letters:redrive", "{}"), 422, "invalid-redrive"},
		"to redrive all and some":     {event("POST", "/v1/dead-letters:redrive", `{"all":true,"code":"x"}`), 422, "invalid-redrive"},
		"to redrive at a bad rate":    {event("POST", "/v1/dead-letters:redrive", `{"all":true,"rate":-1}`), 422, "invalid-redrive"},
		"to redrive for a long story": {event("POST", "/v1/dead-letters:redrive", `{"all":true,"reason":"`+strings.Repeat("x", 201)+`"}`), 422, "invalid-redrive"},
		"to redrive without saying":   {event("POST", "/v1/dead-letters:redrive", ""), 400, "malformed-request"},
		"to redrive as a table":       {event("POST", "/v1/dead-letters:redrive", "all", "Content-Type", "text/csv"), 415, "unsupported-media-type"},
		"to delete nothing":           {event("DELETE", "/v1/dead-letters", ""), 400, "invalid-parameter"},
		"to delete and something":     {withParams(event("DELETE", "/v1/dead-letters/1", ""), map[string]string{"force": "yes"}), 400, "invalid-parameter"},
		"to delete with a method":     {event("POST", "/v1/dead-letters", ""), 405, "method-not-allowed"},
		"to read a redrive":           {event("GET", "/v1/dead-letters/1:redrive", ""), 404, "unknown-dead-letter"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, f.call(t, test.event), test.status, test.code)
		})
	}
	if f.log.Len() > 0 {
		t.Errorf("a client's mistake was logged: %s", f.log)
	}
}

func TestDeadLettersInTrouble(t *testing.T) {
	f := startRecorded(t)
	f.dies(t, 1)
	if _, err := f.mns.Faults().Add(faults.Rule{Match: map[string]string{"queue": "jobs-dead"}, Times: -1, Fault: faults.Fault{Answer: faults.Error, Status: 500, Code: "InternalError"}}); err != nil {
		t.Fatal(err)
	}
	for _, e := range []map[string]any{
		event("GET", "/v1/dead-letters", ""), event("GET", "/v1/dead-letters/1", ""),
		event("POST", "/v1/dead-letters:redrive", `{"all":true}`), withParams(event("DELETE", "/v1/dead-letters", ""), map[string]string{"all": "true"}),
	} {
		res := f.call(t, e)
		if refused(t, res, http.StatusServiceUnavailable, "queue-unavailable"); res.Headers["Retry-After"] != "5" {
			t.Errorf("got %+v", res)
		}
	}
	jobs, _, err := f.ledger.Jobs(t.Context(), ledger.Filter{State: routine.DeadLettered}, 10, "")
	if err != nil || len(jobs) != 1 {
		t.Errorf("%+v, %v", jobs, err)
	}
}
