package accept

import (
	"context"
	"encoding/json"
	"fmt"
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

// read decodes the body of an answer that must have the status.
func read[T any](t *testing.T, res response, status int) T {
	t.Helper()
	var out T
	if err := json.Unmarshal([]byte(res.Body), &out); err != nil {
		t.Fatalf("%v: %+v", err, res)
	}
	if res.StatusCode != status {
		t.Fatalf("status %d, want %d: %+v", res.StatusCode, status, res)
	}
	return out
}

// refused expects a problem.
func refused(t *testing.T, res response, status int, code string) {
	t.Helper()
	if p := read[api.Problem](t, res, status); p.Code != code || p.Detail == "" {
		t.Errorf("got %+v, want %s", p, code)
	}
}

// post sends a request and returns the job.
func (f *function) post(t *testing.T, body string, headers ...string) routine.Job {
	t.Helper()
	return read[routine.Job](t, f.call(t, event("POST", "/v1/routines", body, headers...)), 202)
}

// happens writes down what a worker does with the job, a second after the last thing.
func (f *function) happens(t *testing.T, job routine.Job, entries ...ledger.Entry) {
	t.Helper()
	for _, e := range entries {
		f.clock.Advance(time.Second)
		e.At = f.clock.Now()
		if _, err := f.ledger.Append(t.Context(), routine.Job{ID: job.ID}, e); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	begun   = ledger.Entry{Kind: ledger.Started, Attempt: 1}
	done    = ledger.Entry{Kind: ledger.Succeeded, Attempt: 1, Result: &routine.Result{Routine: routine.Created, Record: routine.Adopted, RecordID: 9}}
	givenUp = ledger.Entry{Kind: ledger.DeadLettered, Attempt: 1, Reason: "not retryable", Failure: &routine.Attempt{
		Number: 1, At: now, Step: routine.CreateRoutineRelatedRecord, Kind: "not-found", Code: "SiteParameterNotMatch", Message: "no such site", Hint: "check siteId",
	}}
)

// wishFor is a request for the n-th routine.
func wishFor(n int) string {
	return fmt.Sprintf(`{"name":"pr-%d","siteId":7,"recordName":"pr-%d.example.com"}`, n, n)
}

func withParams(e map[string]any, query map[string]string) map[string]any {
	e["queryParameters"] = query
	return e
}

func TestJobs(t *testing.T) {
	t.Run("are recorded before they are queued, and can be read", func(t *testing.T) {
		f := startRecorded(t)
		posted := f.post(t, good)
		res := f.call(t, event("GET", "/v1/jobs/"+posted.ID, ""))
		want := posted
		want.UpdatedAt = now
		if diff := cmp.Diff(want, read[routine.Job](t, res, 200)); diff != "" || res.Headers["Retry-After"] != "2" {
			t.Errorf("%v, -want +got:\n%s", res.Headers, diff)
		}
		f.happens(t, posted, begun, givenUp)
		res = f.call(t, event("GET", "/v1/jobs/"+posted.ID, ""))
		job := read[routine.Job](t, res, 200)
		if job.State != routine.DeadLettered || len(job.Attempts) != 1 || job.Hint != "check siteId" || res.Headers["Retry-After"] != "" {
			t.Errorf("got %+v", res)
		}
	})
	t.Run("are listed by state, name, host name and caller, the latest first", func(t *testing.T) {
		f := startRecorded(t)
		var jobs []routine.Job
		for n := range 5 {
			jobs = append(jobs, f.post(t, wishFor(n)))
			f.clock.Advance(time.Second)
		}
		f.happens(t, jobs[1], begun, done)
		f.happens(t, jobs[3], begun, done)
		names := func(query map[string]string) (names []string, next string) {
			list := read[api.JobList](t, f.call(t, withParams(event("GET", "/v1/jobs", ""), query)), 200)
			for _, job := range list.Jobs {
				names = append(names, job.Request.Name)
			}
			return names, list.Next
		}
		for _, test := range []struct {
			query map[string]string
			want  []string
		}{
			{nil, []string{"pr-4", "pr-3", "pr-2", "pr-1", "pr-0"}},
			{map[string]string{"state": "succeeded"}, []string{"pr-3", "pr-1"}},
			{map[string]string{"name": "pr-2"}, []string{"pr-2"}},
			{map[string]string{"record": "pr-4.example.com", "state": "queued"}, []string{"pr-4"}},
			{map[string]string{"caller": "nobody"}, nil},
		} {
			if got, next := names(test.query); !cmp.Equal(got, test.want) || next != "" {
				t.Errorf("%v: got %v, next %q", test.query, got, next)
			}
		}
		var paged []string
		for query := (map[string]string{"limit": "2"}); ; {
			got, next := names(query)
			paged = append(paged, got...)
			if query["cursor"] = next; next == "" {
				break
			}
		}
		if !cmp.Equal(paged, []string{"pr-4", "pr-3", "pr-2", "pr-1", "pr-0"}) {
			t.Errorf("pages: %v", paged)
		}
	})
	t.Run("tell of a routine by its latest job for each host name", func(t *testing.T) {
		f := startRecorded(t)
		old := f.post(t, `{"name":"app","siteId":7,"recordName":"a.example.com"}`)
		f.happens(t, old, begun, givenUp)
		ok := f.post(t, `{"name":"app","siteId":7,"recordName":"a.example.com"}`)
		f.happens(t, ok, begun, done)
		other := f.post(t, `{"name":"app","siteId":8,"recordName":"b.example.com"}`)
		got := read[api.Routine](t, f.call(t, event("GET", "/v1/routines/app", "")), 200)
		want := api.Routine{Name: "app", Ready: true, Records: []api.Record{
			{RecordName: "b.example.com", SiteID: 8, JobID: other.ID, State: routine.Queued, UpdatedAt: other.AcceptedAt},
			{RecordName: "a.example.com", SiteID: 7, RecordID: 9, JobID: ok.ID, State: routine.Succeeded, UpdatedAt: other.AcceptedAt},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestJobRefusals(t *testing.T) {
	f := startRecorded(t)
	for name, test := range map[string]struct {
		event  map[string]any
		status int
		code   string
	}{
		"a job nobody knows":       {event("GET", "/v1/jobs/1", ""), 404, "unknown-job"},
		"to cancel it":             {event("POST", "/v1/jobs/1:cancel", ""), 404, "unknown-job"},
		"a routine nobody knows":   {event("GET", "/v1/routines/x", ""), 404, "unknown-routine"},
		"a state there is not":     {withParams(event("GET", "/v1/jobs", ""), map[string]string{"state": "lost"}), 400, "invalid-parameter"},
		"a limit of nothing":       {withParams(event("GET", "/v1/jobs", ""), map[string]string{"limit": "0"}), 400, "invalid-parameter"},
		"a limit beyond all":       {withParams(event("GET", "/v1/jobs", ""), map[string]string{"limit": "101"}), 400, "invalid-parameter"},
		"a limit that is none":     {withParams(event("GET", "/v1/jobs", ""), map[string]string{"limit": "many"}), 400, "invalid-parameter"},
		"a cursor of one's own":    {withParams(event("GET", "/v1/jobs", ""), map[string]string{"cursor": "abc"}), 400, "invalid-parameter"},
		"a misspelt parameter":     {withParams(event("GET", "/v1/jobs", ""), map[string]string{"State": "queued"}), 400, "invalid-parameter"},
		"a cancellation with more": {event("POST", "/v1/jobs/1:cancel", `{"why":"x"}`), 400, "malformed-request"},
		"two cancellations":        {event("POST", "/v1/jobs/1:cancel", `{} {}`), 400, "malformed-request"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, f.call(t, test.event), test.status, test.code)
		})
	}
}

func TestCancel(t *testing.T) {
	cancel := func(id string) map[string]any {
		return event("POST", "/v1/jobs/"+id+":cancel", `{"reason":"typing error"}`)
	}
	t.Run("calls off a job that nobody has begun", func(t *testing.T) {
		f := startRecorded(t)
		posted := f.post(t, good)
		for range 2 { // asking twice is success
			job := read[routine.Job](t, f.call(t, cancel(posted.ID)), 200)
			if job.State != routine.Cancelled || job.Reason != "typing error" {
				t.Errorf("got %+v", job)
			}
		}
	})
	t.Run("needs no body", func(t *testing.T) {
		f := startRecorded(t)
		posted := f.post(t, good)
		e := event("POST", "/v1/jobs/"+posted.ID+":cancel", "")
		delete(e["headers"].(map[string]string), "Content-Type")
		if job := read[routine.Job](t, f.call(t, e), 200); job.State != routine.Cancelled {
			t.Errorf("got %+v", job)
		}
	})
	t.Run("is refused once a worker has begun, and after the end", func(t *testing.T) {
		f := startRecorded(t)
		posted := f.post(t, good)
		f.happens(t, posted, begun)
		refused(t, f.call(t, cancel(posted.ID)), 409, "not-cancellable")
		f.happens(t, posted, done)
		refused(t, f.call(t, cancel(posted.ID)), 409, "not-cancellable")
	})
}

func TestIdempotencyKey(t *testing.T) {
	t.Run("answers the same job, in whatever state it is, marked as a replay", func(t *testing.T) {
		f := startRecorded(t)
		first := f.post(t, good, "Idempotency-Key", "k1")
		f.happens(t, first, begun)
		f.queued(t)
		res := f.call(t, event("POST", "/v1/routines", `{"siteId":7,"Name":"pr-1","RecordName":"pr-1.example.com.","description":"<b>&"}`, "Idempotency-Key", "k1"))
		again := read[routine.Job](t, res, 202)
		if again.ID != first.ID || again.StartedAt.IsZero() || res.Headers["Idempotency-Replayed"] != "true" || res.Headers["Location"] != "/v1/jobs/"+first.ID {
			t.Errorf("got %+v", res)
		}
		f.happens(t, first, done)
		res = f.call(t, event("POST", "/v1/routines", good, "webhook-id", "k1"))
		if job := read[routine.Job](t, res, 200); !job.Ready || res.Headers["Retry-After"] != "" {
			t.Errorf("got %+v", res)
		}
		if got := f.queued(t); got != nil {
			t.Errorf("queued again: %+v", got)
		}
	})
	t.Run("is refused with another body", func(t *testing.T) {
		f := startRecorded(t)
		f.post(t, good, "Idempotency-Key", "k1")
		f.queued(t)
		refused(t, f.call(t, event("POST", "/v1/routines", wishFor(2), "Idempotency-Key", "k1")), 422, "idempotency-key-reused")
		if got := f.queued(t); got != nil {
			t.Errorf("queued: %+v", got)
		}
	})
	t.Run("sends again what was recorded and may never have been queued", func(t *testing.T) {
		f := startRecorded(t)
		if _, err := f.mns.Faults().Add(faults.Rule{Action: "SendMessage", Fault: faults.Fault{Answer: faults.Error, Status: 500, Code: "InternalError"}}); err != nil {
			t.Fatal(err)
		}
		refused(t, f.call(t, event("POST", "/v1/routines", good, "Idempotency-Key", "k1")), 503, "queue-unavailable")
		f.clock.Advance(time.Hour)
		job := f.post(t, good, "Idempotency-Key", "k1")
		want := []queue.Envelope{{JobID: job.ID, Caller: "anonymous", AcceptedAt: now, Attempt: 1, Request: wish}}
		if diff := cmp.Diff(want, f.queued(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestWait(t *testing.T) {
	// finish makes the job end while somebody waits for the n-th time.
	finish := func(t *testing.T, f *function, n int) {
		t.Helper()
		s := f.service
		s.sleep = func(_ context.Context, d time.Duration) {
			f.clock.Advance(d)
			if n--; n == 0 {
				jobs, _, err := f.ledger.Jobs(t.Context(), ledger.Filter{}, 1, "")
				if err != nil || len(jobs) != 1 {
					t.Fatalf("%+v, %v", jobs, err)
				}
				f.happens(t, jobs[0], begun, done)
			}
		}
		f.routes = newRoutes(s)
	}
	t.Run("turns a new job into the finished one", func(t *testing.T) {
		f := startRecorded(t)
		finish(t, f, 3)
		res := f.call(t, event("POST", "/v1/routines", good, "Prefer", "respond-async, wait=10"))
		if job := read[routine.Job](t, res, 200); !job.Ready || res.Headers["Preference-Applied"] != "wait=10" || res.Headers["Location"] == "" {
			t.Errorf("got %+v", res)
		}
	})
	t.Run("ends in time with the job as it is", func(t *testing.T) {
		f := startRecorded(t)
		res := f.call(t, event("POST", "/v1/routines", good, "Prefer", `wait="10"`))
		job := read[routine.Job](t, res, 202)
		if took := f.clock.Now().Sub(now); took > 10*time.Second || took < 7*time.Second {
			t.Errorf("waited %s", took)
		}
		res = f.call(t, event("GET", "/v1/jobs/"+job.ID, "", "Prefer", "wait=7200; foo=bar"))
		if read[routine.Job](t, res, 200); res.Headers["Preference-Applied"] != "wait=50" || res.Headers["Retry-After"] != "2" {
			t.Errorf("got %+v", res)
		}
	})
	t.Run("leaves time to answer before the invocation's deadline", func(t *testing.T) {
		f := startRecorded(t)
		ctx, cancel := context.WithDeadline(t.Context(), f.clock.Now().Add(100*365*24*time.Hour))
		defer cancel()
		f.clock.Advance(100*365*24*time.Hour - 13*time.Second)
		text, err := json.Marshal(event("POST", "/v1/routines", good, "Prefer", "wait=40"))
		if err != nil {
			t.Fatal(err)
		}
		if res := serveEvent(ctx, text, f.routes); res.Headers["Preference-Applied"] != "wait=10" {
			t.Errorf("got %+v", res)
		}
	})
	for name, preference := range map[string]string{"no number": "wait=soon", "nothing": "wait", "a negative number": "wait=-1", "another preference": "awaiting=5"} {
		t.Run("is not applied to "+name, func(t *testing.T) {
			res := startRecorded(t).call(t, event("POST", "/v1/routines", good, "Prefer", preference))
			if _, applied := res.Headers["Preference-Applied"]; applied || res.StatusCode != 202 {
				t.Errorf("got %+v", res)
			}
		})
	}
	t.Run("is not applied without a ledger", func(t *testing.T) {
		res := start(t).call(t, event("POST", "/v1/routines", good, "Prefer", "wait=5"))
		if _, applied := res.Headers["Preference-Applied"]; applied || res.StatusCode != 202 {
			t.Errorf("got %+v", res)
		}
	})
}

func TestLedgerTrouble(t *testing.T) {
	broken := faults.Rule{Times: -1, Fault: faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSServerUnavailable"}}
	t.Run("holds up no request, and is said once", func(t *testing.T) {
		f := startRecorded(t)
		if _, err := f.ots.Faults().Add(broken); err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			f.post(t, wishFor(n))
		}
		if got := f.queued(t); len(got) != 3 {
			t.Errorf("queued %+v", got)
		}
		if n := strings.Count(f.log.String(), "the ledger fails"); n != 1 {
			t.Errorf("said %d times: %s", n, f.log)
		}
	})
	t.Run("is a 503 for readers", func(t *testing.T) {
		f := startRecorded(t)
		job := f.post(t, good)
		if _, err := f.ots.Faults().Add(broken); err != nil {
			t.Fatal(err)
		}
		for _, e := range []map[string]any{
			event("GET", "/v1/jobs/"+job.ID, ""), event("GET", "/v1/jobs", ""), event("GET", "/v1/routines/pr-1", ""), event("POST", "/v1/jobs/"+job.ID+":cancel", ""),
		} {
			res := f.call(t, e)
			if refused(t, res, 503, "ledger-unavailable"); res.Headers["Retry-After"] != "5" {
				t.Errorf("got %+v", res)
			}
		}
	})
}
