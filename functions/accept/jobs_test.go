package accept

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestJobs(t *testing.T) {
	t.Run("are recorded before they are queued, and can be read", func(t *testing.T) {
		f := start(t)
		posted := f.post(t, good)
		res := f.call(t, event("GET", "/v1/jobs/"+posted.ID, ""))
		want := posted
		if diff := cmp.Diff(want, read[routine.Job](t, res, 200)); diff != "" || res.Headers["Retry-After"] != "2" {
			t.Errorf("%v, -want +got:\n%s", res.Headers, diff)
		}
		f.begins(t, posted.ID)
		f.dies(t, posted.ID)
		res = f.call(t, event("GET", "/v1/jobs/"+posted.ID, ""))
		job := read[routine.Job](t, res, 200)
		if job.State != routine.DeadLettered || len(job.Attempts) != 1 || job.Hint != "check siteId" || res.Headers["Retry-After"] != "" {
			t.Errorf("got %+v", res)
		}
	})
	t.Run("are listed by state, name, host name and caller, the latest first", func(t *testing.T) {
		f := start(t)
		var jobs []routine.Job
		for n := range 5 {
			jobs = append(jobs, f.post(t, wishFor(n)))
			f.clock.Advance(time.Second)
		}
		f.succeeds(t, jobs[1].ID)
		f.succeeds(t, jobs[3].ID)
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
			{map[string]string{"record": "PR-4.example.com."}, []string{"pr-4"}},
			{map[string]string{"caller": "nobody"}, nil},
			{map[string]string{"callback": "failed"}, nil},
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
}

func TestCancel(t *testing.T) {
	cancel := func(id string) map[string]any {
		return event("POST", "/v1/jobs/"+id+":cancel", `{"reason":"typing error"}`)
	}
	t.Run("calls off a job that nobody has begun", func(t *testing.T) {
		f := start(t)
		posted := f.post(t, good)
		for range 2 { // asking twice is success
			job := read[routine.Job](t, f.call(t, cancel(posted.ID)), 200)
			if job.State != routine.Cancelled || job.Reason != "typing error" {
				t.Errorf("got %+v", job)
			}
		}
	})
	t.Run("needs no body", func(t *testing.T) {
		f := start(t)
		posted := f.post(t, good)
		e := event("POST", "/v1/jobs/"+posted.ID+":cancel", "")
		delete(e["headers"].(map[string]string), "Content-Type")
		if job := read[routine.Job](t, f.call(t, e), 200); job.State != routine.Cancelled {
			t.Errorf("got %+v", job)
		}
	})
	t.Run("is refused while a worker may be at it, and says when to ask again", func(t *testing.T) {
		f := start(t)
		posted := f.post(t, good)
		f.begins(t, posted.ID)
		f.clock.Advance(9 * time.Minute)
		res := f.call(t, cancel(posted.ID))
		if refused(t, res, 409, "not-cancellable"); res.Headers["Retry-After"] != "60" {
			t.Errorf("got %+v", res)
		}
		f.clock.Advance(time.Minute)
		if job := read[routine.Job](t, f.call(t, cancel(posted.ID)), 200); job.State != routine.Cancelled {
			t.Errorf("got %+v", job)
		}
	})
	t.Run("is possible between two attempts, and tells what was left in ESA", func(t *testing.T) {
		f := start(t)
		posted := f.post(t, good)
		f.begins(t, posted.ID)
		f.changes(t, posted.ID, func(r *ledger.Row) {
			r.HandOver(2, ledger.HandOver{
				Failure: routine.Attempt{Number: 1, At: f.clock.Now(), Kind: "throttled", Code: "X"}, Counted: true, Sent: true,
				Waiting:  routine.Waiting{For: routine.ForBackoff, Since: f.clock.Now(), Until: f.clock.Now().Add(time.Minute)},
				Progress: routine.Progress{Routine: routine.Created},
			}, f.clock.Now())
		})
		waiting := read[routine.Job](t, f.call(t, event("GET", "/v1/jobs/"+posted.ID, "")), 200)
		if waiting.Waiting == nil || waiting.Waiting.For != routine.ForBackoff {
			t.Errorf("waits for %+v", waiting.Waiting)
		}
		job := read[routine.Job](t, f.call(t, cancel(posted.ID)), 200)
		if job.State != routine.Cancelled || !cmp.Equal(job.Left, []routine.Left{{Routine: "pr-1", Outcome: routine.Created}}) {
			t.Errorf("got %+v", job)
		}
	})
	t.Run("is refused after the end", func(t *testing.T) {
		f := start(t)
		posted := f.post(t, good)
		f.succeeds(t, posted.ID)
		res := f.call(t, cancel(posted.ID))
		if refused(t, res, 409, "not-cancellable"); res.Headers["Retry-After"] != "" {
			t.Errorf("got %+v", res)
		}
	})
}

func TestIdempotencyKey(t *testing.T) {
	t.Run("answers the same job, in whatever state it is, marked as a replay", func(t *testing.T) {
		f := start(t)
		first := f.post(t, good, "Idempotency-Key", "k1")
		f.begins(t, first.ID)
		f.queued(t)
		res := f.call(t, event("POST", "/v1/routines", `{"siteId":7,"Name":"pr-1","RecordName":"pr-1.example.com.","description":"<b>&"}`, "Idempotency-Key", "k1"))
		again := read[routine.Job](t, res, 202)
		if again.ID != first.ID || again.StartedAt.IsZero() || res.Headers["Idempotency-Replayed"] != "true" || res.Headers["Location"] != "/v1/jobs/"+first.ID {
			t.Errorf("got %+v", res)
		}
		if other, free := f.post(t, good, "Idempotency-Key", "k2"), f.post(t, good); other.ID == first.ID || free.ID == first.ID || f.post(t, good).ID == free.ID {
			t.Error("another key, or none, has the same id")
		}
		f.queued(t)
		f.succeeds(t, first.ID)
		res = f.call(t, event("POST", "/v1/routines", good, "webhook-id", "k1"))
		if job := read[routine.Job](t, res, 200); !job.Ready || res.Headers["Retry-After"] != "" {
			t.Errorf("got %+v", res)
		}
		if got := f.queued(t); got != nil {
			t.Errorf("queued again: %+v", got)
		}
	})
	t.Run("is refused with another body", func(t *testing.T) {
		f := start(t)
		first := f.post(t, good, "Idempotency-Key", "k1")
		f.queued(t)
		p := read[api.Problem](t, f.call(t, event("POST", "/v1/routines", wishFor(2), "Idempotency-Key", "k1")), 422)
		if p.Code != "idempotency-key-reused" || p.JobID != first.ID {
			t.Errorf("got %+v", p)
		}
		if got := f.queued(t); got != nil {
			t.Errorf("queued: %+v", got)
		}
	})
}

func TestWait(t *testing.T) {
	// finish makes the job end while somebody waits for the n-th time.
	finish := func(t *testing.T, f *function, n int) {
		t.Helper()
		f.Sleep = func(_ context.Context, d time.Duration) {
			f.clock.Advance(d)
			if n--; n == 0 {
				jobs, _, err := f.Ledger.Jobs(t.Context(), ledger.Filter{}, 1, "")
				if err != nil || len(jobs) != 1 {
					t.Fatalf("%+v, %v", jobs, err)
				}
				f.succeeds(t, jobs[0].ID)
			}
		}
	}
	t.Run("turns a new job into the finished one", func(t *testing.T) {
		f := start(t)
		finish(t, f, 3)
		res := f.call(t, event("POST", "/v1/routines", good, "Prefer", "respond-async, wait=10"))
		if job := read[routine.Job](t, res, 200); !job.Ready || res.Headers["Preference-Applied"] != "wait=10" || res.Headers["Location"] == "" {
			t.Errorf("got %+v", res)
		}
	})
	t.Run("ends in time with the job as it is", func(t *testing.T) {
		f := start(t)
		res := f.call(t, event("POST", "/v1/routines", good, "Prefer", `wait="10"`))
		job := read[routine.Job](t, res, 202)
		if took := f.clock.Now().Sub(now); took != 10*time.Second {
			t.Errorf("waited %s", took)
		}
		began := f.clock.Now()
		res = f.call(t, event("GET", "/v1/jobs/"+job.ID, "", "Prefer", "wait=7200; foo=bar"))
		if read[routine.Job](t, res, 200); res.Headers["Preference-Applied"] != "wait=50" || res.Headers["Retry-After"] != "2" {
			t.Errorf("got %+v", res)
		}
		if took := f.clock.Now().Sub(began); took != 50*time.Second {
			t.Errorf("waited %s", took)
		}
	})
	for preference, want := range map[string]time.Duration{
		"wait=1": time.Second, "wait=50": maxWait, "wait=51": maxWait, "wait=99999999999999999999": maxWait, "wait=3, wait=9": 3 * time.Second,
		`foo="a, wait=9", wait=4`: 4 * time.Second, "foo; wait=9": 0, "handling=lenient;x=y,WAIT = 5 ;z": 5 * time.Second, "wait=0": 0, "wait=+5": 0, "wait=5s": 0,
		"wait=soon": 0, "wait": 0, "wait=-1": 0, "awaiting=5": 0,
	} {
		t.Run("lasts what it says: "+preference, func(t *testing.T) {
			f := start(t)
			res := f.call(t, event("POST", "/v1/routines", good, "Prefer", preference))
			applied := ""
			if want > 0 {
				applied = fmt.Sprintf("wait=%d", int(want.Seconds()))
			}
			if took := f.clock.Now().Sub(now); took != want || res.Headers["Preference-Applied"] != applied {
				t.Errorf("waited %s, said %q", took, res.Headers["Preference-Applied"])
			}
		})
	}
	t.Run("leaves time to answer before the invocation's deadline", func(t *testing.T) {
		f := start(t)
		ctx, cancel := context.WithDeadline(t.Context(), f.clock.Now().Add(100*365*24*time.Hour))
		defer cancel()
		f.clock.Advance(100*365*24*time.Hour - 13*time.Second)
		text, err := json.Marshal(event("POST", "/v1/routines", good, "Prefer", "wait=40"))
		if err != nil {
			t.Fatal(err)
		}
		if res := serveEvent(ctx, text, f.routes()); res.Headers["Preference-Applied"] != "wait=10" {
			t.Errorf("got %+v", res)
		}
	})
}
