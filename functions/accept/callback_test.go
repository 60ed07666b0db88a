package accept

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/sim"
	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// hook is a callback URL whose query is a secret.
const hook = "https://hooks.example.com/routinely?token=hush&tenant=7"

func withCallback(url string) string {
	return `{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com","callbackUrl":"` + url + `"}`
}

func TestCallbackURL(t *testing.T) {
	t.Run("travels with the job, and of its query nothing is shown", func(t *testing.T) {
		f := start(t)
		made := read[routine.Job](t, f.call(t, event("POST", "/v1/routines", withCallback(hook), "Idempotency-Key", "k")), 202)
		seen := read[routine.Job](t, f.call(t, event("GET", "/v1/jobs/"+made.ID, "")), 200)
		for _, job := range []routine.Job{made, seen} {
			if job.Request.CallbackURL != "https://hooks.example.com/routinely?***" {
				t.Errorf("shown as %q", job.Request.CallbackURL)
			}
		}
		got := f.queued(t)
		if len(got) != 1 || got[0].Request.CallbackURL != hook {
			t.Errorf("queued %+v", got)
		}
		if strings.Contains(f.log.String(), "hush") {
			t.Errorf("logged: %s", f.log)
		}
	})
	t.Run("is sent whole with a job that has to be sent again", func(t *testing.T) {
		f := start(t)
		for range 2 {
			f.call(t, event("POST", "/v1/routines", withCallback(hook), "Idempotency-Key", "k"))
		}
		for _, e := range f.queued(t) {
			if e.Request.CallbackURL != hook {
				t.Errorf("queued %q", e.Request.CallbackURL)
			}
		}
	})
	t.Run("belongs to what an idempotency key stands for", func(t *testing.T) {
		f := start(t)
		f.call(t, event("POST", "/v1/routines", withCallback(hook), "Idempotency-Key", "k"))
		res := f.call(t, event("POST", "/v1/routines", withCallback(hook+"7"), "Idempotency-Key", "k"))
		if p := read[api.Problem](t, res, 422); p.Code != "idempotency-key-reused" {
			t.Errorf("got %+v", p)
		}
	})
	for url, want := range map[string]string{ // package callback tests what is refused; here it is how that is told
		"https://127.0.0.1:8443/": "loopback", "https://user:hush@hooks.example.com/": "user", "https://hooks.example.com:x/?token=hush": "cannot be read", "": "empty",
	} {
		t.Run("is refused with the reason and without what may be secret: "+want, func(t *testing.T) {
			f := start(t)
			p := read[api.Problem](t, f.call(t, event("POST", "/v1/routines", withCallback(url))), 422)
			if p.Code != "invalid-request" || len(p.Errors) != 1 || p.Errors[0].Pointer != "/callbackUrl" || !strings.Contains(p.Errors[0].Detail, want) {
				t.Errorf("got %+v", p)
			}
			if text, _ := json.Marshal(p); strings.Contains(string(text), "hush") {
				t.Errorf("shown: %s", text)
			}
			if got := f.queued(t); len(got) != 0 {
				t.Errorf("queued %+v", got)
			}
		})
	}
	t.Run("shows no secret in a dead letter of the job", func(t *testing.T) {
		f := start(t)
		job := f.post(t, withCallback(hook))
		f.dies(t, job.ID)
		one := f.call(t, event("GET", "/v1/dead-letters/"+job.ID, ""))
		list := f.call(t, event("GET", "/v1/dead-letters", ""))
		for _, res := range []Response{one, list} {
			if strings.Contains(res.Body, "hush") || !strings.Contains(res.Body, "routinely?***") {
				t.Errorf("got %s", res.Body)
			}
		}
	})
	t.Run("is refused for one item of a batch alone", func(t *testing.T) {
		f := start(t)
		got := read[api.BatchResult](t, f.call(t, event("POST", "/v1/routines:batch", "["+withCallback(hook)+","+withCallback("https://10.0.0.1/")+"]")), 202)
		if got.Accepted != 1 || got.Rejected != 1 || got.Items[1].Problem.Errors[0].Pointer != "/callbackUrl" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestNotify(t *testing.T) {
	notify := func(id string) map[string]any { return event("POST", "/v1/jobs/"+id+":notify", "") }
	t.Run("sends the callback of an ended job again, under the same event id", func(t *testing.T) {
		f := start(t)
		job := f.post(t, withCallback(hook))
		f.succeeds(t, job.ID)
		f.changes(t, job.ID, func(r *ledger.Row) {
			if err := errors.Join(r.Sent(0, 1, "k1", f.clock.Now()), r.CallbackFailed(0, 10, 404)); err != nil {
				t.Error(err)
			}
		})
		failed := read[api.JobList](t, f.call(t, asking("GET", "/v1/jobs", "callback", "failed")), 200)
		want := &routine.CallbackStatus{State: routine.CallbackFailed, Attempts: 10, LastStatus: 404}
		if len(failed.Jobs) != 1 || !cmp.Equal(failed.Jobs[0].Callback, want) {
			t.Fatalf("got %+v", failed)
		}
		done := read[routine.Job](t, f.call(t, notify(job.ID)), 200)
		if done.Callback == nil || done.Callback.State != routine.HandedOver || !f.row(t, job.ID).DueAt.IsZero() {
			t.Errorf("got %+v", done)
		}
		read[routine.Job](t, f.call(t, notify(job.ID)), 200)
		sent := sim.Take(t, f.queue, sim.CallbackQueue)
		if len(sent) != 2 {
			t.Fatalf("sent %q", sent)
		}
		first, second := sim.Keys(t, sim.Key).Decode([]byte(sent[0]), now)[0].Callback, sim.Keys(t, sim.Key).Decode([]byte(sent[1]), now)[0].Callback
		if first.ID != second.ID || first.URL != hook || first.JobID != job.ID || string(first.Event) != string(second.Event) {
			t.Errorf("sent %+v and %+v", first, second)
		}
		if left := read[api.JobList](t, f.call(t, asking("GET", "/v1/jobs", "callback", "failed")), 200); len(left.Jobs) != 0 {
			t.Errorf("left %+v", left)
		}
	})
	t.Run("leaves due what MNS did not confirm", func(t *testing.T) {
		f := start(t)
		job := f.post(t, withCallback(hook))
		f.succeeds(t, job.ID)
		breaks(t, f.mns, mnsDown)
		if done := read[routine.Job](t, f.call(t, notify(job.ID)), 200); done.Callback != nil || f.row(t, job.ID).DueAt.IsZero() {
			t.Errorf("got %+v", done)
		}
	})
	t.Run("is refused where there is nobody to tell, or nothing", func(t *testing.T) {
		f := start(t)
		queued, silent := f.post(t, withCallback(hook)), f.post(t, good)
		f.succeeds(t, silent.ID)
		refused(t, f.call(t, notify(queued.ID)), 409, "no-callback")
		refused(t, f.call(t, notify(silent.ID)), 409, "no-callback")
	})
}
