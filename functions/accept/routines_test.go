package accept

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// routineOf asks for one routine.
func (f *function) routineOf(t *testing.T, name string) api.Routine {
	t.Helper()
	return read[api.Routine](t, f.call(t, event("GET", "/v1/routines/"+name, "")), 200)
}

func TestRoutine(t *testing.T) {
	t.Run("is shown with its claim, its host names and its jobs, the newest first", func(t *testing.T) {
		f := start(t)
		older := f.post(t, `{"name":"shop","records":[{"recordName":"a.example.com"},{"recordName":"b.example.com","siteId":7}]}`)
		f.owns(t, anonymous, "shop", "a.example.com", "b.example.com")
		f.claims(t, "shop", func(c *routine.Claim) {
			c.ExpiresAt, c.Labels, c.Protected, c.Description, c.HasAssets = now.Add(time.Hour), map[string]string{"team": "web"}, true, "a shop", true
		})
		f.binds(t, "shop", "b.example.com", func(c *routine.RecordClaim) { c.NeedsCNAME, c.JobID = true, older.ID })
		f.clock.Advance(time.Second)
		newer := f.accepts(t, deletion("shop"))
		at := f.clock.Now()
		want := api.Routine{
			Name: "shop", State: routine.Live, Ownership: routine.Owned, Ready: true, Caller: anonymous, CreateTime: made, Description: "a shop", HasAssets: true,
			Protected: true, Labels: map[string]string{"team": "web"}, ExpiresAt: now.Add(time.Hour), SeenAt: made, DeletionJob: newer.ID, ChangedAt: at,
			Records: []api.RoutineRecord{
				{RecordName: "a.example.com", SiteID: 7, RecordID: 100, State: routine.Live, Ownership: routine.Owned, Caller: anonymous, ChangedAt: now},
				{
					RecordName: "b.example.com", SiteID: 7, RecordID: 101, State: routine.Live, Ownership: routine.Owned, Caller: anonymous, JobID: older.ID, ChangedAt: now,
					NeedsCNAME: true,
				},
			},
			Jobs: []api.RoutineJob{
				{JobID: newer.ID, Action: routine.Delete, State: routine.Queued, Caller: anonymous, AcceptedAt: at},
				{JobID: older.ID, State: routine.Queued, Caller: anonymous, AcceptedAt: now, RecordNames: []string{"a.example.com", "b.example.com"}},
			},
			Note: "b.example.com gets traffic only once its owner has made a CNAME record for it: the ESA console shows the target.",
		}
		if diff := cmp.Diff(want, f.routineOf(t, "shop")); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("that is only asked for has its jobs alone", func(t *testing.T) {
		f := start(t)
		job := f.post(t, good)
		got := f.routineOf(t, "pr-1")
		if got.State != "" || got.Ready || len(got.Records) != 0 || len(got.Jobs) != 1 || got.Jobs[0].JobID != job.ID {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("that was made before there were claims is ready if a job says so", func(t *testing.T) {
		f := start(t)
		f.succeeds(t, f.post(t, good).ID)
		if got := f.routineOf(t, "pr-1"); !got.Ready {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("that is being deleted is not ready, whatever is still bound to it", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1", "pr-1.example.com")
		f.claims(t, "pr-1", func(c *routine.Claim) { c.State = routine.Deleting })
		if got := f.routineOf(t, "pr-1"); got.Ready || len(got.Records) != 1 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("that is gone is still known, without what is not bound any more", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1", "pr-1.example.com")
		f.deletes(t, "pr-1", "pr-1.example.com")
		if got := f.routineOf(t, "pr-1"); got.State != routine.Gone || got.Ready || len(got.Records) != 0 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("that has expired says when it was unbound and is deleted, and which host names a renewal binds again", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1", "pr-1.example.com")
		f.claims(t, "pr-1", func(c *routine.Claim) {
			c.State, c.ExpiresAt, c.Expiry = routine.Expiring, now.Add(-time.Hour), &routine.Expiry{SeenAt: now.Add(-time.Hour), UnboundAt: now}
		})
		f.binds(t, "pr-1", "pr-1.example.com", func(c *routine.RecordClaim) { c.State, c.Expired = routine.Gone, true })
		got := f.routineOf(t, "pr-1")
		if !got.UnboundAt.Equal(now) || !got.DeletedAfter.Equal(now.Add(f.ExpiryGrace)) || got.Ready || len(got.Records) != 1 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("with many host names shows some, and that there are more", func(t *testing.T) {
		f := start(t)
		var names []string
		for i := range api.MaxShownRecords + 1 {
			names = append(names, fmt.Sprintf("h%03d.example.com", i))
		}
		f.owns(t, anonymous, "shop", names...)
		if got := f.routineOf(t, "shop"); len(got.Records) != api.MaxShownRecords || !got.More || got.Records[0].RecordName != "h000.example.com" {
			t.Errorf("%d host names, more %t", len(got.Records), got.More)
		}
	})
	t.Run("of which nobody has asked anything is unknown", func(t *testing.T) {
		f := start(t)
		refused(t, f.call(t, event("GET", "/v1/routines/pr-1", "")), 404, "unknown-routine")
	})
}

func TestRoutines(t *testing.T) {
	f, tokens := town(t)
	list := func(t *testing.T, query map[string]string) ([]string, string) {
		t.Helper()
		e := withParams(event("GET", "/v1/routines", ""), query)
		page := read[api.RoutineList](t, f.call(t, as(e, tokens["ops"])), 200)
		names := []string{}
		for _, r := range page.Routines {
			names = append(names, strings.TrimPrefix(r.Name, "ci-"))
			if r.Ready != (r.State == routine.Live) || r.Records != nil || r.Jobs != nil {
				t.Errorf("listed %+v", r)
			}
		}
		return names, page.Next
	}
	tokens["ops"] = f.knows(t, map[string]string{"ops": `"scopes":["read"]`})["ops"]
	for _, test := range []struct{ filter, value, want string }{
		{"", "", "adopted expired leaving live new shop"},
		{"caller", "shop", "shop"},
		{"caller", "nobody", ""},
		{"state", "creating", "new"},
		{"ownership", "adopted", "adopted"},
		{"label", "team", "live"},
		{"label", "team=web", "live"},
		{"label", "team=shop", ""},
		{"label", "kind=preview", "live"},
		{"expiringBefore", "2026-01-15T05:28:18Z", "expired"},
		{"expiringBefore", "2026-01-15T05:28:17Z", ""},
	} {
		t.Run(fmt.Sprintf("with %s %q are %q", test.filter, test.value, test.want), func(t *testing.T) {
			query := map[string]string{}
			if test.filter != "" {
				query[test.filter] = test.value
			}
			if got, next := list(t, query); strings.Join(got, " ") != test.want || next != "" {
				t.Errorf("got %q, next %q", got, next)
			}
		})
	}
	t.Run("come in pages, each once", func(t *testing.T) {
		var all []string
		for query := (map[string]string{"limit": "2"}); ; {
			names, next := list(t, query)
			all = append(all, names...)
			if query["cursor"] = next; next == "" {
				break
			}
		}
		if got := strings.Join(all, " "); got != "adopted expired leaving live new shop" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("refuse a cursor of another filter", func(t *testing.T) {
		_, next := list(t, map[string]string{"limit": "1"})
		e := withParams(event("GET", "/v1/routines", ""), map[string]string{"cursor": next, "caller": "ci"})
		refused(t, f.call(t, as(e, tokens["ops"])), 400, "invalid-parameter")
	})
}

// TestReady asks for a job that has succeeded, in each way a job is shown.
func TestReady(t *testing.T) {
	ways := map[string]func(*testing.T, *function, string) routine.Job{
		"asked for": func(t *testing.T, f *function, id string) routine.Job {
			return read[routine.Job](t, f.call(t, event("GET", "/v1/jobs/"+id, "")), 200)
		},
		"waited for": func(t *testing.T, f *function, id string) routine.Job {
			return read[routine.Job](t, f.call(t, event("GET", "/v1/jobs/"+id, "", "Prefer", "wait=1")), 200)
		},
		"listed": func(t *testing.T, f *function, id string) routine.Job {
			return read[api.JobList](t, f.call(t, event("GET", "/v1/jobs", "")), 200).Jobs[0]
		},
		"replayed": func(t *testing.T, f *function, id string) routine.Job {
			return read[routine.Job](t, f.call(t, event("POST", "/v1/routines", withCallback(hook), "Idempotency-Key", "k")), 200)
		},
		"notified of": func(t *testing.T, f *function, id string) routine.Job {
			return read[routine.Job](t, f.call(t, event("POST", "/v1/jobs/"+id+":notify", "")), 200)
		},
	}
	for _, test := range []struct {
		name   string
		ready  bool
		worker func(*testing.T, *function, string)
	}{
		{"is ready", true, func(*testing.T, *function, string) {}},
		{"is not ready once the routine was deleted", false, func(t *testing.T, f *function, host string) { f.deletes(t, "pr-1", host) }},
		{"is not ready once its host name was unbound", false, func(t *testing.T, f *function, host string) {
			f.binds(t, "pr-1", host, func(c *routine.RecordClaim) { c.State = routine.Gone })
		}},
		{"is not ready while the routine is being deleted", false, func(t *testing.T, f *function, _ string) {
			f.claims(t, "pr-1", func(c *routine.Claim) { c.State = routine.Deleting })
		}},
		{"is ready as long as a deletion is only accepted", true, func(t *testing.T, f *function, _ string) {
			f.claims(t, "pr-1", func(c *routine.Claim) { c.DeleteNumber = c.CreateNumber + 1 })
		}},
	} {
		for way, show := range ways {
			t.Run("a job that is "+way+" "+test.name, func(t *testing.T) {
				f := start(t)
				job := f.post(t, withCallback(hook), "Idempotency-Key", "k")
				f.succeeds(t, job.ID)
				host := job.Request.Records[0].RecordName
				f.owns(t, anonymous, job.Request.Name, host)
				if test.worker(t, f, host); job.Request.Name != "pr-1" {
					t.Fatalf("the routine is %s", job.Request.Name)
				}
				if got := show(t, f, job.ID); got.Ready != test.ready || got.State != routine.Succeeded {
					t.Errorf("got %+v", got)
				}
			})
		}
	}
	t.Run("a job about a routine without a claim is as it was", func(t *testing.T) {
		f := start(t)
		job := f.post(t, good)
		f.succeeds(t, job.ID)
		if got := read[routine.Job](t, f.call(t, event("GET", "/v1/jobs/"+job.ID, "")), 200); !got.Ready {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("a deletion that has succeeded is never ready", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1")
		job := f.accepts(t, deletion("pr-1"))
		f.changes(t, job.ID, func(r *ledger.Row) {
			r.Succeed(routine.Result{Routine: routine.Deleted}, r.Progress, f.clock.Now(), f.clock.Now())
		})
		if got := read[routine.Job](t, f.call(t, event("GET", "/v1/jobs/"+job.ID, "")), 200); got.Ready {
			t.Errorf("got %+v", got)
		}
	})
}
