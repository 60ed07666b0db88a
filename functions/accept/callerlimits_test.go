package accept

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// limited is a function with callers that may name and bind little, and one that may everything. Tokens are by name.
func limited(t *testing.T) (*function, map[string]string) {
	t.Helper()
	f := start(t)
	return f, f.knows(t, map[string]string{
		"preview": fmt.Sprintf(`"scopes":["submit"],"githubSecrets":[%q],"names":["pr-"],"recordSuffixes":["preview.example.com"],"sites":["7"],"expiresAt":%q`,
			githubSecret, f.clock.Now().Add(time.Hour).Format(time.RFC3339)),
		"shop": `"scopes":["submit","read","operate"],"names":["shop-"]`,
		"ops":  `"scopes":["submit","read","operate"]`,
	})
}

const inside = `{"name":"pr-1","siteId":7,"recordName":"PR-1.preview.example.com"}`

// outsides are requests that the caller preview may not make, with the members that say so.
var outsides = map[string]string{
	`{"name":"shop-1","siteId":7,"recordName":"a.preview.example.com"}`:       "/name",
	`{"name":"pr-1","siteId":7,"recordName":"example.com"}`:                   "/recordName",
	`{"name":"pr-1","siteId":7,"recordName":"evilpreview.example.com"}`:       "/recordName",
	`{"name":"pr-1","siteId":8,"recordName":"preview.example.com"}`:           "/siteId",
	`{"Name":"x-1","SiteId":"8","RecordName":"preview.example.com.evil.com"}`: "/name /recordName /siteId",
}

// outside expects a refusal that tells the members.
func outside(t *testing.T, p *api.Problem, members string) {
	t.Helper()
	var got []string
	for _, one := range p.Errors {
		got = append(got, one.Pointer)
		if one.Code != "outside-limits" || one.Detail == "" {
			t.Errorf("got %+v", one)
		}
	}
	if p.Code != "outside-limits" || p.Status != 403 || strings.Join(got, " ") != members {
		t.Errorf("got %+v, want the members %s", p, members)
	}
}

func TestCallersLimits(t *testing.T) {
	t.Run("hold for one request, by token and by signature", func(t *testing.T) {
		f, tokens := limited(t)
		for body, members := range outsides {
			byToken := f.call(t, as(event("POST", "/v1/routines", body), tokens["preview"]))
			outside(t, ptr(read[api.Problem](t, byToken, 403)), members)
			bySignature := f.call(t, event("POST", "/v1/routines", body, signedByGitHub(body, "d-1")...))
			outside(t, ptr(read[api.Problem](t, bySignature, 403)), members)
		}
		if f.jobs(t) != 0 {
			t.Errorf("%d jobs", f.jobs(t))
		}
		read[routine.Job](t, f.call(t, as(event("POST", "/v1/routines", inside), tokens["preview"])), 202)
		f.post(t, inside, signedByGitHub(inside, "d-1")...)
	})
	t.Run("hold for each item of a batch", func(t *testing.T) {
		f, tokens := limited(t)
		for body, members := range outsides {
			res := f.call(t, as(batch("["+inside+","+body+"]"), tokens["preview"]))
			got := read[api.BatchResult](t, res, 202)
			if diff := cmp.Diff([]string{"accepted", "rejected outside-limits " + members}, verdicts(got)); diff != "" {
				t.Fatalf("-want +got:\n%s", diff)
			}
			outside(t, got.Items[1].Problem, members)
		}
		if got := f.jobs(t); got != len(outsides) {
			t.Errorf("%d jobs", got)
		}
	})
	t.Run("do not concern other callers", func(t *testing.T) {
		f, tokens := limited(t)
		for body := range outsides {
			read[routine.Job](t, f.call(t, as(event("POST", "/v1/routines", body), tokens["ops"])), 202)
		}
	})
	t.Run("end a caller at their time, at every door", func(t *testing.T) {
		f, tokens := limited(t)
		f.clock.Advance(time.Hour)
		for _, e := range []map[string]any{
			as(event("POST", "/v1/routines", inside), tokens["preview"]), as(batch("["+inside+"]"), tokens["preview"]),
			as(event("POST", "/v1/jobs/1:cancel", ""), tokens["preview"]), event("POST", "/v1/routines", inside, signedByGitHub(inside, "d-1")...),
		} {
			res := f.call(t, e)
			if refused(t, res, 403, "denied"); !strings.Contains(res.Body, "expiresAt") {
				t.Errorf("got %+v", res)
			}
		}
	})
}

// diesOf makes a dead letter of a caller's request.
func (f *function) diesOf(t *testing.T, token, body string) routine.Job {
	t.Helper()
	job := read[routine.Job](t, f.call(t, as(event("POST", "/v1/routines", body), token)), 202)
	f.begins(t, job.ID)
	f.dies(t, job.ID)
	return job
}

func TestLimitsOfDeadLetters(t *testing.T) {
	redrive := func(id, body, token string) map[string]any {
		return as(event("POST", "/v1/dead-letters/"+id+":redrive", body), token)
	}
	t.Run("a correction stays within the limits of the job's caller, dry or not", func(t *testing.T) {
		f, tokens := limited(t)
		job := f.diesOf(t, tokens["preview"], inside)
		for _, dry := range []string{"", `,"dryRun":true`} {
			res := f.call(t, redrive(job.ID, `{"request":{"siteId":8,"name":"shop-1"}`+dry+`}`, tokens["ops"]))
			outside(t, ptr(read[api.Problem](t, res, 403)), "/request/name /request/siteId")
		}
		f.clock.Advance(2 * time.Hour) // a caller that has ended is no reason to lose its job
		read[api.WorkedOff](t, f.call(t, redrive(job.ID, `{"request":{"name":"pr-2"}}`, tokens["ops"])), 200)
	})
	t.Run("a correction stays within the limits of who corrects", func(t *testing.T) {
		f, tokens := limited(t)
		job := f.diesOf(t, tokens["ops"], inside)
		res := f.call(t, redrive(job.ID, `{"request":{"siteId":8}}`, tokens["shop"]))
		outside(t, ptr(read[api.Problem](t, res, 403)), "/request/name")
		read[api.WorkedOff](t, f.call(t, redrive(job.ID, `{"request":{"name":"shop-2"}}`, tokens["shop"])), 200)
	})
	t.Run("who corrects an own dead letter is told of each member once", func(t *testing.T) {
		f, tokens := limited(t)
		job := f.diesOf(t, tokens["shop"], `{"name":"shop-1","siteId":8,"recordName":"shop.example.com"}`)
		res := f.call(t, redrive(job.ID, `{"request":{"name":"pr-1"}}`, tokens["shop"]))
		outside(t, ptr(read[api.Problem](t, res, 403)), "/request/name")
	})
	t.Run("who redrives stays within the own limits, one by one and by filter", func(t *testing.T) {
		f, tokens := limited(t)
		foreign := f.diesOf(t, tokens["ops"], inside)
		own := f.diesOf(t, tokens["shop"], `{"name":"shop-1","siteId":8,"recordName":"shop.example.com"}`)
		outside(t, ptr(read[api.Problem](t, f.call(t, redrive(foreign.ID, "", tokens["shop"])), 403)), "/name")
		got := read[api.WorkedOff](t, f.call(t, as(event("POST", "/v1/dead-letters:redrive", `{"all":true}`), tokens["shop"])), 200)
		if !cmp.Equal(got.IDs, []string{own.ID}) || len(got.Failed) != 1 || got.Failed[0].ID != foreign.ID {
			t.Fatalf("got %+v", got)
		}
		outside(t, got.Failed[0].Problem, "/name")
		read[api.WorkedOff](t, f.call(t, redrive(foreign.ID, "", tokens["ops"])), 200)
	})
	t.Run("who redrives a message whose key was unknown stays within the own limits too", func(t *testing.T) {
		f, tokens := limited(t)
		body, err := sim.Keys(t, sim.Key).Seal(queue.Envelope{JobID: "job-1", Caller: "ops", AcceptedAt: now, Number: 1, Request: wish})
		if err != nil {
			t.Fatal(err)
		}
		id := f.unknown(t, body)
		outside(t, ptr(read[api.Problem](t, f.call(t, redrive(id, "", tokens["shop"])), 403)), "/name")
		got := read[api.WorkedOff](t, f.call(t, as(event("POST", "/v1/dead-letters:redrive", `{"all":true}`), tokens["shop"])), 200)
		if got.Count != 0 || len(got.Failed) != 1 || len(f.queued(t)) > 0 {
			t.Fatalf("got %+v", got)
		}
		outside(t, got.Failed[0].Problem, "/name")
		read[api.WorkedOff](t, f.call(t, redrive(id, "", tokens["ops"])), 200)
	})
	t.Run("what was redriven is told as before, whatever the limits", func(t *testing.T) {
		f, tokens := limited(t)
		job := f.diesOf(t, tokens["ops"], inside)
		read[api.WorkedOff](t, f.call(t, redrive(job.ID, "", tokens["ops"])), 200)
		refused(t, f.call(t, redrive(job.ID, "", tokens["shop"])), 404, "unknown-dead-letter")
	})
}
