package accept

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// plan asks which routines a deletion would delete.
func (f *function) plan(t *testing.T, body, token string) api.Plan {
	t.Helper()
	return read[api.Plan](t, f.call(t, as(event("POST", "/v1/routines:plan-delete", body), token)), 200)
}

// applying carries a plan out.
func applying(t *testing.T, p api.Plan, headers ...string) map[string]any {
	t.Helper()
	text, err := json.Marshal(api.ApplyRequest{Hash: p.Hash, Items: p.Items, Reason: "previews of last week"})
	if err != nil {
		t.Fatal(err)
	}
	return event("POST", "/v1/routines:apply-delete", string(text), headers...)
}

// told writes what became of a plan in short.
func told(a api.Applied) []string {
	out := []string{}
	for _, item := range a.Items {
		text := item.Name + " " + string(item.Status)
		if item.Problem != nil {
			text += " " + item.Problem.Code
		}
		out = append(out, text)
	}
	return out
}

// planned writes a plan in short.
func planned(p api.Plan) []string {
	out := []string{}
	for _, item := range p.Items {
		out = append(out, fmt.Sprintf("%s %t: %s", item.Name, item.Delete, item.Why))
	}
	return out
}

// town is a function with routines of two callers, in all conditions.
func town(t *testing.T) (*function, map[string]string) {
	t.Helper()
	f := start(t)
	tokens := f.knows(t, map[string]string{
		"ci": `"scopes":["submit"]`, "shop": `"scopes":["submit"]`, "ops": `"scopes":["submit","operate"]`, "narrow": `"scopes":["submit","operate"],"names":["ci-"]`,
	})
	for _, name := range []string{"ci-adopted", "ci-expired", "ci-leaving", "ci-live", "ci-new"} {
		f.owns(t, "ci", name)
	}
	f.owns(t, "shop", "shop")
	f.claims(t, "ci-adopted", func(c *routine.Claim) { c.Ownership = routine.AdoptedThing })
	f.claims(t, "ci-expired", func(c *routine.Claim) { c.ExpiresAt = now.Add(-time.Hour) })
	f.claims(t, "ci-leaving", func(c *routine.Claim) { c.DeleteNumber, c.DeleteJob = c.CreateNumber+1, "job-9" })
	f.claims(t, "ci-live", func(c *routine.Claim) { c.Labels = map[string]string{"team": "web", "kind": "preview"} })
	f.claims(t, "ci-new", func(c *routine.Claim) { c.State, c.Ownership = routine.Creating, "" })
	f.owns(t, "ci", "ci-gone")
	f.deletes(t, "ci-gone")
	return f, tokens
}

func TestPlan(t *testing.T) {
	f, tokens := town(t)
	own := []string{
		"ci-adopted false: kept: it is adopted and not proven to be made by Routinely",
		"ci-expired true: its time is over since 2026-01-15T05:28:17Z",
		"ci-leaving false: kept: job job-9 deletes it already",
		"ci-live true: the filter chooses it",
		"ci-new false: kept: it is being made",
	}
	for _, test := range []struct {
		name, who, body string
		want            []string
	}{
		{"says of each routine why it would be deleted, or what keeps it", "ci", `{"all":true}`, own},
		{"has those of all callers for an operator", "ops", `{"all":true}`, append(own[:5:5], "shop true: the filter chooses it")},
		{"keeps what the caller may not name", "narrow", `{"names":["shop","ci-live"]}`, []string{
			"ci-live true: the filter chooses it", `shop false: kept: "shop" is not the caller's: a name must begin with ci-`,
		}},
		{"chooses by owner", "ops", `{"caller":"shop"}`, []string{"shop true: the filter chooses it"}},
		{"chooses by a label", "ci", `{"label":"team"}`, own[3:4]},
		{"chooses by a label's value", "ci", `{"label":"team=web","ownership":"owned"}`, own[3:4]},
		{"chooses none by another value", "ci", `{"label":"team=shop"}`, []string{}},
		{"chooses by expiry", "ci", `{"expiringBefore":"2026-01-15T06:00:00Z"}`, own[1:2]},
		{"chooses by state", "ci", `{"state":"creating"}`, own[4:]},
		{"chooses by name among the caller's own", "ci", `{"names":["ci-live","shop"]}`, own[3:4]},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := f.plan(t, test.body, tokens[test.who])
			if diff := cmp.Diff(test.want, planned(p)); diff != "" || p.Hash == "" || p.Delete != strings.Count(strings.Join(planned(p), "\n"), " true: ") {
				t.Errorf("%+v, -want +got:\n%s", p, diff)
			}
		})
	}
	t.Run("changes nothing", func(t *testing.T) {
		if claim := f.holding(t, "ci-live").Claim; claim.DeleteNumber != 0 || len(f.queued(t)) != 0 {
			t.Errorf("claim %+v", claim)
		}
	})
	t.Run("shows who may not operate nothing of others", func(t *testing.T) {
		refused(t, f.call(t, as(event("POST", "/v1/routines:plan-delete", `{"caller":"shop"}`), tokens["ci"])), 403, "not-owner")
	})
	t.Run("has another hash once something has changed", func(t *testing.T) {
		before := f.plan(t, `{"all":true}`, tokens["ci"]).Hash
		if again := f.plan(t, `{"all":true}`, tokens["ci"]).Hash; again != before {
			t.Errorf("%s and %s", before, again)
		}
		f.claims(t, "ci-live", func(c *routine.Claim) { c.ExpiryNumber = c.CreateNumber + 1 })
		if f.plan(t, `{"all":true}`, tokens["ci"]).Hash == before {
			t.Error("it has the same hash")
		}
	})
}

func TestApply(t *testing.T) {
	t.Run("deletes what the plan deletes, and leaves a line in the log", func(t *testing.T) {
		f, tokens := town(t)
		p := f.plan(t, `{"all":true}`, tokens["ci"])
		done := read[api.Applied](t, f.call(t, as(applying(t, p), tokens["ci"])), 202)
		if diff := cmp.Diff([]string{"ci-expired accepted", "ci-live accepted"}, told(done)); diff != "" || done.Accepted != 2 {
			t.Errorf("%+v, -want +got:\n%s", done, diff)
		}
		for i, name := range []string{"ci-expired", "ci-live"} {
			claim, row := f.holding(t, name).Claim, f.row(t, done.Items[i].JobID)
			if claim.DeleteJob != row.ID || claim.DeleteNumber != row.Intent || row.Request.Action != routine.Delete || !row.Bulk {
				t.Errorf("claim %+v, row %+v", claim, row)
			}
		}
		if len(f.queued(t)) != 2 || !strings.Contains(f.log.String(), `"reason":"previews of last week"`) {
			t.Errorf("log %s", f.log)
		}
	})
	for name, alter := range map[string]func(*routine.Claim){
		"was made again":          func(c *routine.Claim) { c.CreateTime = c.CreateTime.Add(time.Second) },
		"was asked for again":     func(c *routine.Claim) { c.CreateNumber++ },
		"was renewed":             func(c *routine.Claim) { c.ExpiryNumber = c.CreateNumber + 1 },
		"has another description": func(c *routine.Claim) { c.DescriptionNumber = c.CreateNumber + 1 },
		"is deleted already":      func(c *routine.Claim) { c.DeleteNumber = c.CreateNumber + 1 },
		"is gone":                 func(c *routine.Claim) { c.State = routine.Gone },
	} {
		t.Run("leaves alone a routine that "+name+" since", func(t *testing.T) {
			f, tokens := town(t)
			p := f.plan(t, `{"all":true}`, tokens["ci"])
			f.claims(t, "ci-live", alter)
			before := f.holding(t, "ci-live").Claim
			done := read[api.Applied](t, f.call(t, as(applying(t, p), tokens["ci"])), 202)
			if diff := cmp.Diff([]string{"ci-expired accepted", "ci-live rejected plan-changed"}, told(done)); diff != "" || done.Rejected != 1 {
				t.Errorf("%+v, -want +got:\n%s", done, diff)
			}
			if after := f.holding(t, "ci-live").Claim; after.DeleteNumber != before.DeleteNumber {
				t.Errorf("claim %+v", after)
			}
		})
	}
	for code, alter := range map[string]func(*routine.Claim){
		"not-owner": func(c *routine.Claim) { c.Caller = "shop" }, "not-owned": func(c *routine.Claim) { c.Ownership = routine.Unproven },
	} {
		t.Run("leaves alone a routine that is not the caller's to delete any more: "+code, func(t *testing.T) {
			f, tokens := town(t)
			p := f.plan(t, `{"all":true}`, tokens["ci"])
			f.claims(t, "ci-live", alter)
			done := read[api.Applied](t, f.call(t, as(applying(t, p), tokens["ci"])), 202)
			if got := told(done); !cmp.Equal(got, []string{"ci-expired accepted", "ci-live rejected " + code}) {
				t.Errorf("got %q", got)
			}
		})
	}
	t.Run("refuses items that are not the plan's", func(t *testing.T) {
		f, tokens := town(t)
		for name, spoil := range map[string]func(*api.Plan){
			"another hash":    func(p *api.Plan) { p.Hash = strings.Repeat("0", 32) },
			"one item fewer":  func(p *api.Plan) { p.Items = p.Items[1:] },
			"one to be kept":  func(p *api.Plan) { p.Items[0].Delete = true },
			"another number":  func(p *api.Plan) { p.Items[1].Number++ },
			"another routine": func(p *api.Plan) { p.Items[1].Name = "shop" },
		} {
			p := f.plan(t, `{"all":true}`, tokens["ci"])
			spoil(&p)
			if p := f.refuses(t, as(applying(t, p), tokens["ci"]), 409, "plan-changed"); p.Detail == "" {
				t.Errorf("%s: got %+v", name, p)
			}
		}
	})
	t.Run("holds a caller to the rules, even with a plan of its own making", func(t *testing.T) {
		f, tokens := town(t)
		body := planOf(t, api.PlanItem{Name: "shop", CreateTime: made, Number: made.UnixMilli(), Delete: true, Why: "I wish"},
			api.PlanItem{Name: "ci-leaving", CreateTime: made, Number: made.UnixMilli() + 1, Delete: true, Why: "again"})
		done := read[api.Applied](t, f.call(t, as(event("POST", "/v1/routines:apply-delete", body), tokens["ci"])), 409)
		if got := told(done); !cmp.Equal(got, []string{"shop rejected not-owner", "ci-leaving rejected plan-changed"}) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("twice under one key is the same jobs", func(t *testing.T) {
		f, tokens := town(t)
		p := f.plan(t, `{"all":true}`, tokens["ci"])
		first := read[api.Applied](t, f.call(t, as(applying(t, p, "Idempotency-Key", "k"), tokens["ci"])), 202)
		again := read[api.Applied](t, f.call(t, as(applying(t, p, "Idempotency-Key", "k"), tokens["ci"])), 202)
		if again.Duplicate != 2 || again.Items[0].JobID != first.Items[0].JobID || first.Items[0].JobID != queue.KeyedJobID("ci", "k/ci-expired") {
			t.Errorf("got %+v, then %+v", first, again)
		}
		without := read[api.Applied](t, f.call(t, as(applying(t, p), tokens["ci"])), 409)
		if got := told(without); !cmp.Equal(got, []string{"ci-expired rejected plan-changed", "ci-live rejected plan-changed"}) {
			t.Errorf("without a key: %q", got)
		}
	})
	t.Run("says what has failed, and goes on under the same key", func(t *testing.T) {
		f, tokens := town(t)
		p := f.plan(t, `{"all":true}`, tokens["ci"])
		breaks(t, f.ots, faults.Rule{Action: "BatchWriteRow", Fault: refusedByOTS})
		res := f.call(t, as(applying(t, p, "Idempotency-Key", "k"), tokens["ci"]))
		if done := read[api.Applied](t, res, 503); done.Failed != 2 || res.Headers["Retry-After"] != "5" {
			t.Errorf("got %+v", res)
		}
		if done := read[api.Applied](t, f.call(t, as(applying(t, p, "Idempotency-Key", "k"), tokens["ci"])), 202); done.Accepted != 2 {
			t.Errorf("got %+v", done)
		}
	})
	t.Run("counts each deletion against the caller's rate", func(t *testing.T) {
		f, _ := town(t)
		tokens := f.knows(t, map[string]string{"ci": `"scopes":["submit"],"requestsPerMinute":2`})
		p := f.plan(t, `{"all":true}`, tokens["ci"])
		refused(t, f.call(t, as(applying(t, p), tokens["ci"])), 429, "too-many-requests")
		if claim := f.holding(t, "ci-live").Claim; claim.DeleteNumber != 0 {
			t.Errorf("claim %+v", claim)
		}
	})
	t.Run("is refused where the deployment does not delete", func(t *testing.T) {
		f, tokens := town(t)
		p := f.plan(t, `{"all":true}`, tokens["ci"])
		f.MayDelete = false
		f.refuses(t, as(applying(t, p), tokens["ci"]), 409, "deletion-off")
	})
	t.Run("of a plan that deletes nothing says so", func(t *testing.T) {
		f, tokens := town(t)
		done := read[api.Applied](t, f.call(t, as(applying(t, f.plan(t, `{"state":"creating"}`, tokens["ci"])), tokens["ci"])), 409)
		if len(done.Items) != 0 {
			t.Errorf("got %+v", done)
		}
	})
}
