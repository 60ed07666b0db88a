package accept

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/queue"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestDelete(t *testing.T) {
	t.Run("is a job like any other", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1", "pr-1.example.com")
		res := f.call(t, event("DELETE", "/v1/routines/pr-1", `{"callbackUrl":"`+hook+`"}`))
		job := read[routine.Job](t, res, 202)
		want := routine.Request{Action: routine.Delete, Name: "pr-1", CallbackURL: hook}
		if job.State != routine.Queued || job.Ready || res.Headers["Location"] != "/v1/jobs/"+job.ID || job.Request.Action != routine.Delete {
			t.Errorf("got %+v", res)
		}
		wanted := []queue.Envelope{{JobID: job.ID, Caller: anonymous, AcceptedAt: now, Number: 1, Request: want, Trace: f.row(t, job.ID).Trace}}
		if diff := cmp.Diff(wanted, f.queued(t)); diff != "" {
			t.Errorf("queued -want +got:\n%s", diff)
		}
		if !strings.Contains(f.log.String(), `"action":"delete"`) {
			t.Errorf("log %s", f.log)
		}
	})
	t.Run("writes its number to the claim: older jobs give way from then on", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1")
		job := f.accepts(t, deletion("pr-1"))
		claim, row := f.holding(t, "pr-1").Claim, f.row(t, job.ID)
		if row.Intent != now.UnixMilli() || claim.DeleteNumber != row.Intent || claim.DeleteJob != job.ID || claim.State != routine.Live {
			t.Errorf("number %d, claim %+v", row.Intent, claim)
		}
	})
	t.Run("of a routine that nobody has asked for is accepted too, and overtakes what comes late", func(t *testing.T) {
		f := start(t)
		job := f.accepts(t, deletion("pr-1"))
		if claim := f.holding(t, "pr-1").Claim; claim.State != routine.Gone || claim.DeleteNumber != f.row(t, job.ID).Intent {
			t.Errorf("claim %+v", claim)
		}
	})
	t.Run("of a routine that another caller has asked for is refused before it is there too", func(t *testing.T) {
		f, tokens := guarded(t, 0)
		f.accepts(t, as(event("POST", "/v1/routines", good), tokens["shop"]))
		refused(t, f.call(t, as(deletion("pr-1"), tokens["ci"])), 403, "not-owner")
		if claim := f.holding(t, "pr-1").Claim; claim.Exists() {
			t.Errorf("claim %+v", claim)
		}
		f.accepts(t, as(deletion("pr-1"), tokens["shop"]))
	})
	t.Run("is accepted if its number is not written to the claim: the worker writes it", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1")
		breaks(t, f.ots, faults.Rule{Action: "BatchWriteRow", Skip: 1, Times: -1, Fault: refusedByOTS})
		job := f.accepts(t, deletion("pr-1"))
		f.ots.Faults().Clear()
		if f.row(t, job.ID).Intent == 0 || f.holding(t, "pr-1").Claim.DeleteNumber != 0 || len(f.queued(t)) != 1 {
			t.Errorf("row %+v", f.row(t, job.ID))
		}
		if !strings.Contains(f.log.String(), "written later, by the worker") {
			t.Errorf("log %s", f.log)
		}
	})
	t.Run("writes no number before its row: a job that is not recorded overtakes nothing", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1")
		breaks(t, f.ots, faults.Rule{Action: "BatchWriteRow", Fault: refusedByOTS})
		refused(t, f.call(t, deletion("pr-1")), 503, "ledger-unavailable")
		if claim := f.holding(t, "pr-1").Claim; claim.DeleteNumber != 0 {
			t.Errorf("claim %+v", claim)
		}
	})
	t.Run("under one key is one job, whatever became of it", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1")
		job := f.accepts(t, deletion("pr-1", "Idempotency-Key", "k"))
		f.changes(t, job.ID, func(r *ledger.Row) {
			r.Succeed(routine.Result{Routine: routine.Deleted}, r.Progress, f.clock.Now(), f.clock.Now())
		})
		f.deletes(t, "pr-1")
		f.MayDelete = false
		res := f.call(t, deletion("pr-1", "Idempotency-Key", "k"))
		again := read[routine.Job](t, res, 200)
		if again.ID != job.ID || again.State != routine.Succeeded || again.Ready || res.Headers["Idempotency-Replayed"] != "true" {
			t.Errorf("got %+v", res)
		}
		refused(t, f.call(t, event("POST", "/v1/routines/pr-1:renew", `{"expiresIn":"72h"}`, "Idempotency-Key", "k")), 422, "idempotency-key-reused")
	})
	t.Run("is refused where the deployment does not delete, and so is an unbinding", func(t *testing.T) {
		f := start(t)
		f.owns(t, anonymous, "pr-1", "pr-1.example.com")
		f.MayDelete = false
		f.refuses(t, deletion("pr-1"), 409, "deletion-off")
		f.refuses(t, unbinding("pr-1", "pr-1.example.com"), 409, "deletion-off")
	})
	t.Run("is refused if nothing proves that the routine was made by Routinely, with the way out", func(t *testing.T) {
		f := start(t)
		for _, ownership := range []routine.Ownership{routine.AdoptedThing, routine.Unproven} {
			f.owns(t, anonymous, "pr-1")
			f.claims(t, "pr-1", func(c *routine.Claim) { c.Ownership = ownership })
			for _, e := range []map[string]any{deletion("pr-1"), renewal("pr-1")} {
				if p := f.refuses(t, e, 409, "not-owned"); !strings.Contains(p.Detail, "routinely routines claim pr-1") || !strings.Contains(p.Detail, string(ownership)) {
					t.Errorf("got %+v", p)
				}
			}
		}
	})
}

// TestWhoMayChange tries each change of a routine of shop's, to which another caller has bound a host name.
func TestWhoMayChange(t *testing.T) {
	for _, test := range []struct {
		what string
		e    func() map[string]any
		may  string
	}{
		{"delete it", func() map[string]any { return deletion("shop") }, "shop ops"},
		{"renew it", func() map[string]any { return renewal("shop") }, "shop ops"},
		{"unbind the owner's host name", func() map[string]any { return unbinding("shop", "www.example.com") }, "shop ops"},
		{"unbind another caller's host name", func() map[string]any { return unbinding("shop", "PARTNER.example.com.") }, "shop partner ops"},
		{"unbind a host name that is not bound", func() map[string]any { return unbinding("shop", "new.example.com") }, "shop partner ops stranger"},
	} {
		f := start(t)
		tokens := f.knows(t, map[string]string{
			"shop": `"scopes":["submit"]`, "partner": `"scopes":["submit"]`, "stranger": `"scopes":["submit"]`, "ops": `"scopes":["submit","operate"]`,
		})
		f.owns(t, "shop", "shop", "www.example.com", "partner.example.com")
		f.binds(t, "shop", "partner.example.com", func(c *routine.RecordClaim) { c.Caller = "partner" })
		for _, who := range []string{"shop", "partner", "stranger", "ops"} {
			may := strings.Contains(test.may, who)
			t.Run(fmt.Sprintf("%s may %s: %t", who, test.what, may), func(t *testing.T) {
				if res := f.call(t, as(test.e(), tokens[who])); may {
					job := read[routine.Job](t, res, 202)
					if row := f.row(t, job.ID); row.Operate != (who == "ops") || row.Caller != who {
						t.Errorf("row %+v", row)
					}
				} else {
					refused(t, res, 403, "not-owner")
				}
			})
		}
	}
}

func TestUnbind(t *testing.T) {
	f := start(t)
	f.owns(t, anonymous, "shop", "www.example.com")
	job := f.accepts(t, unbinding("shop", "WWW.Example.com."))
	want := routine.Request{Action: routine.Unbind, Name: "shop", Records: []routine.Record{{RecordName: "www.example.com"}}}
	if diff := cmp.Diff(want, job.Request); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	record := f.holding(t, "shop", "www.example.com").Records[0]
	if record.Number != f.row(t, job.ID).Intent || record.JobID != job.ID || !record.Leaving || record.State != routine.Live {
		t.Errorf("claim %+v", record)
	}
}

func TestRenew(t *testing.T) {
	f := start(t)
	f.owns(t, anonymous, "pr-1")
	job := f.accepts(t, event("POST", "/v1/routines/pr-1:renew", `{"expiresIn":"1d12h","callbackUrl":"`+hook+`"}`))
	want := routine.Request{Action: routine.Renew, Name: "pr-1", ExpiresIn: routine.Span(36 * time.Hour), CallbackURL: hook}
	if diff := cmp.Diff(want, f.row(t, job.ID).Request); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestClaim(t *testing.T) {
	f, tokens := guarded(t, 0)
	f.claims(t, "old", func(c *routine.Claim) { c.State, c.Ownership, c.Caller = routine.Live, routine.AdoptedThing, "shop" })
	claim := event("POST", "/v1/routines/old:claim", "")
	refused(t, f.call(t, as(claim, tokens["shop"])), 403, "denied")
	job := f.accepts(t, as(claim, tokens["ops"]))
	if job.Request.Action != routine.TakeOwnership || !f.row(t, job.ID).Operate {
		t.Errorf("got %+v", job)
	}
	t.Run("leaves a line in the log", func(t *testing.T) {
		for line := range strings.Lines(f.log.String()) {
			if strings.Contains(line, `"msg":"routine claimed"`) && strings.Contains(line, `"caller":"ops"`) && strings.Contains(line, `"name":"old"`) {
				return
			}
		}
		t.Errorf("log %s", f.log)
	})
}

func TestSignaturesChangeNothing(t *testing.T) {
	item := `{"name":"pr-1","number":1,"delete":true,"why":"x"}`
	for name, at := range map[string][3]string{
		"delete": {"DELETE", "/v1/routines/pr-1", "{}"}, "unbind": {"DELETE", "/v1/routines/pr-1/records/pr-1.example.com", "{}"},
		"renew": {"POST", "/v1/routines/pr-1:renew", `{"expiresIn":"72h"}`}, "plan": {"POST", "/v1/routines:plan-delete", `{"all":true}`},
		"carry out a plan": {"POST", "/v1/routines:apply-delete", `{"hash":"x","items":[` + item + `]}`},
	} {
		t.Run("do not "+name, func(t *testing.T) {
			f, tokens := guarded(t, 0)
			f.owns(t, "ci", "pr-1", "pr-1.example.com")
			signed := event(at[0], at[1], at[2], signedWebhook(t, "msg-1", at[2], f.clock.Now())...)
			if p := f.refuses(t, signed, 403, "denied"); !strings.Contains(p.Detail, "send a bearer token") {
				t.Errorf("got %+v", p)
			}
			if res := f.call(t, as(signed, tokens["ci"])); res.StatusCode == 403 {
				t.Errorf("with a token: %+v", res)
			}
		})
	}
}
