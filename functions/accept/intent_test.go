package accept

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestIntents(t *testing.T) {
	number := func(t *testing.T, f *function, job routine.Job) int64 {
		t.Helper()
		return f.row(t, job.ID).Intent
	}
	t.Run("are the acceptance in milliseconds", func(t *testing.T) {
		f := start(t)
		if got := number(t, f, f.post(t, good)); got != now.UnixMilli() {
			t.Errorf("got %d", got)
		}
	})
	ahead := now.Add(time.Minute).UnixMilli()
	t.Run("are above those of the routine, whatever the clocks say", func(t *testing.T) {
		for name, alter := range map[string]func(*routine.Claim){
			"create": func(c *routine.Claim) { c.CreateNumber = ahead }, "delete": func(c *routine.Claim) { c.DeleteNumber = ahead },
			"description": func(c *routine.Claim) { c.DescriptionNumber = ahead }, "expiry": func(c *routine.Claim) { c.ExpiryNumber = ahead },
		} {
			f := start(t)
			f.claims(t, "pr-1", alter)
			if got := number(t, f, f.post(t, good)); got != ahead+1 {
				t.Errorf("%s: got %d, want %d", name, got, ahead+1)
			}
		}
	})
	t.Run("are above those of each host name", func(t *testing.T) {
		f := start(t)
		f.binds(t, "pr-1", "b.example.com", func(c *routine.RecordClaim) { c.Number = ahead })
		job := f.post(t, `{"name":"pr-1","records":[{"recordName":"a.example.com"},{"recordName":"b.example.com"}]}`)
		if got := number(t, f, job); got != ahead+1 {
			t.Errorf("got %d, want %d", got, ahead+1)
		}
	})
	t.Run("go up within a batch for one routine, and are the same for different ones", func(t *testing.T) {
		f := start(t)
		items := []string{
			`{"name":"pr-1","recordName":"a.example.com"}`, `{"name":"pr-2","recordName":"b.example.com"}`, `{"name":"pr-1","recordName":"c.example.com"}`,
		}
		result := read[api.BatchResult](t, f.call(t, batch("["+strings.Join(items, ",")+"]")), 202)
		var got []int64
		for _, item := range result.Items {
			got = append(got, f.row(t, item.JobID).Intent-now.UnixMilli())
		}
		if !cmp.Equal(got, []int64{0, 0, 1}) {
			t.Errorf("got %d", got)
		}
	})
	t.Run("are kept by a replay", func(t *testing.T) {
		f := start(t)
		job := f.post(t, good, "Idempotency-Key", "k")
		f.clock.Advance(time.Hour)
		if again := f.post(t, good, "Idempotency-Key", "k"); again.ID != job.ID || number(t, f, again) != now.UnixMilli() {
			t.Errorf("got %d", number(t, f, again))
		}
	})
	t.Run("are kept by a redrive of a dead letter", func(t *testing.T) {
		f := start(t)
		job := f.post(t, good)
		f.dies(t, job.ID)
		read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters/"+job.ID+":redrive", "")), 200)
		if got := number(t, f, job); got != now.UnixMilli() {
			t.Errorf("got %d", got)
		}
	})
	for name, test := range map[string]struct {
		body string
		want int64
		ends func(*function, *ledger.Row)
	}{
		"superseded job": {"", ahead + 1, func(f *function, r *ledger.Row) { r.Supersede("newer", r.Progress, f.clock.Now(), f.clock.Now()) }},
		"dead letter that is corrected, of the corrected routine": {`{"request":{"name":"pr-2"}}`, ahead + 11, func(f *function, r *ledger.Row) { f.die(r, "Forbidden") }},
	} {
		t.Run("are new in the redrive of a "+name, func(t *testing.T) {
			f := start(t)
			job := f.post(t, good)
			f.changes(t, job.ID, func(r *ledger.Row) { test.ends(f, r) })
			f.claims(t, "pr-1", func(c *routine.Claim) { c.DeleteNumber = ahead })
			f.claims(t, "pr-2", func(c *routine.Claim) { c.DeleteNumber = ahead + 10 })
			read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters/"+job.ID+":redrive", test.body)), 200)
			if row := f.row(t, job.ID); row.Intent != test.want || row.State != routine.Queued || row.SupersededBy != "" {
				t.Errorf("got %+v, want number %d", row, test.want)
			}
		})
	}
	t.Run("of a redriven deletion are in the claim again", func(t *testing.T) {
		for name, path := range map[string]string{"alone": "/v1/dead-letters/ID:redrive", "among others": "/v1/dead-letters:redrive"} {
			f := start(t)
			f.owns(t, anonymous, "pr-1")
			job := f.accepts(t, deletion("pr-1"))
			f.dies(t, job.ID)
			f.claims(t, "pr-1", func(c *routine.Claim) { c.TakeBack(job.ID, "Forbidden") })
			body := map[string]string{"among others": `{"all":true}`}[name]
			read[api.WorkedOff](t, f.call(t, event("POST", strings.Replace(path, "ID", job.ID, 1), body)), 200)
			if claim := f.holding(t, "pr-1").Claim; claim.DeleteNumber != number(t, f, job) || claim.DeleteJob != job.ID || len(f.queued(t)) != 2 {
				t.Errorf("%s: claim %+v", name, claim)
			}
		}
	})
}

func TestCancelledDeletion(t *testing.T) {
	cancel := func(id string) map[string]any { return event("POST", "/v1/jobs/"+id+":cancel", "") }
	t.Run("overtakes nothing any more, and says what it had overtaken", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1")
		job := f.accepts(t, deletion("pr-1"))
		f.claims(t, "pr-1", func(c *routine.Claim) { c.Overtook = []string{"older"} })
		for range 2 { // to call it off twice is success
			got := read[routine.Job](t, f.call(t, cancel(job.ID)), 200)
			if got.State != routine.Cancelled || !cmp.Equal(got.Overtook, []string{"older"}) {
				t.Errorf("got %+v", got)
			}
		}
		if claim := f.holding(t, "pr-1").Claim; claim.DeleteNumber != 0 || claim.DeleteJob != "" || claim.Reason != "cancelled" || claim.State != routine.Live {
			t.Errorf("claim %+v", claim)
		}
	})
	t.Run("leaves a newer one alone", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1")
		older, newer := f.accepts(t, deletion("pr-1")), f.accepts(t, deletion("pr-1"))
		read[routine.Job](t, f.call(t, cancel(older.ID)), 200)
		if claim := f.holding(t, "pr-1").Claim; claim.DeleteJob != newer.ID || claim.DeleteNumber != f.row(t, newer.ID).Intent {
			t.Errorf("claim %+v", claim)
		}
	})
	t.Run("of a host name that is not bound lets older jobs bind it", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1")
		job := f.accepts(t, unbinding("pr-1", "new.example.com"))
		read[routine.Job](t, f.call(t, cancel(job.ID)), 200)
		if record := f.holding(t, "pr-1", "new.example.com").Records[0]; record.Leaving || record.Number != 0 {
			t.Errorf("claim %+v", record)
		}
	})
	t.Run("of a host name that is bound leaves it to the intent before", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1", "www.example.com")
		before := f.holding(t, "pr-1", "www.example.com").Records[0].RecordClaim
		job := f.accepts(t, unbinding("pr-1", "www.example.com"))
		read[routine.Job](t, f.call(t, cancel(job.ID)), 200)
		after := f.holding(t, "pr-1", "www.example.com").Records[0].RecordClaim
		if after.ChangedAt = before.ChangedAt; after != before {
			t.Errorf("claim %+v, before %+v", after, before)
		}
	})
	t.Run("is refused once a worker has begun with it, however long ago", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1")
		job := f.accepts(t, deletion("pr-1"))
		f.begins(t, job.ID)
		f.clock.Advance(time.Hour)
		refused(t, f.call(t, cancel(job.ID)), 409, "not-cancellable")
		if claim := f.holding(t, "pr-1").Claim; claim.DeleteJob != job.ID {
			t.Errorf("claim %+v", claim)
		}
	})
}

// TestOthersRoutine submits for a routine that belongs to another caller.
func TestOthersRoutine(t *testing.T) {
	start := func(t *testing.T, alter func(*routine.Claim)) (*function, map[string]string) {
		f, tokens := guarded(t, 0)
		f.owns(t, "shop", "pr-1")
		f.claims(t, "pr-1", alter)
		return f, tokens
	}
	with := func(members string) map[string]any {
		return event("POST", "/v1/routines", strings.Replace(good, "{", "{"+members, 1))
	}
	for _, members := range []string{`"expiresIn":"72h",`, `"protected":false,`, `"labels":{"team":"web"},`, `"ifExists":"update",`} {
		t.Run("refuses what its owner alone may say: "+members, func(t *testing.T) {
			f, tokens := start(t, func(*routine.Claim) {})
			refused(t, f.call(t, as(with(members), tokens["ci"])), 409, "owned-by-another")
			f.accepts(t, as(with(members), tokens["shop"]))
			one := strings.Replace(good, "{", "{"+members, 1)
			result := read[api.BatchResult](t, f.call(t, as(batch("["+one+","+wishFor(2)+"]"), tokens["ci"])), 202)
			if result.Accepted != 1 || result.Items[0].Problem == nil || result.Items[0].Problem.Code != "owned-by-another" {
				t.Errorf("got %+v", result)
			}
		})
	}
	t.Run("takes host names of others", func(t *testing.T) {
		f, tokens := start(t, func(*routine.Claim) {})
		f.accepts(t, as(with(""), tokens["ci"]))
	})
	t.Run("takes none if it is protected, and the owner's all the same", func(t *testing.T) {
		f, tokens := start(t, func(c *routine.Claim) { c.Protected = true })
		res := f.call(t, as(with(""), tokens["ci"]))
		if refused(t, res, 403, "not-owner"); !strings.Contains(res.Body, "protected") {
			t.Errorf("got %+v", res)
		}
		f.accepts(t, as(with(""), tokens["shop"]))
	})
	t.Run("takes anything for a caller who may operate", func(t *testing.T) {
		f, _ := start(t, func(c *routine.Claim) { c.Protected = true })
		tokens := f.knows(t, map[string]string{"boss": `"scopes":["submit","operate"]`})
		f.accepts(t, as(with(`"expiresIn":"72h","protected":false,`), tokens["boss"]))
	})
	t.Run("is nobody's once it is gone", func(t *testing.T) {
		f, tokens := start(t, func(c *routine.Claim) { c.State = routine.Gone })
		f.accepts(t, as(with(`"expiresIn":"72h",`), tokens["ci"]))
	})
	t.Run("is told again what was accepted before", func(t *testing.T) {
		f, tokens := guarded(t, 0)
		e := with(`"expiresIn":"72h",`)
		e["headers"].(map[string]string)["Idempotency-Key"] = "k"
		job := f.accepts(t, as(e, tokens["ci"]))
		f.owns(t, "shop", "pr-1")
		if again := f.accepts(t, as(e, tokens["ci"])); again.ID != job.ID {
			t.Errorf("got %+v", again)
		}
	})
}
