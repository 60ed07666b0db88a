package routines_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/routines"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// outcome is what a command has done.
type outcome struct {
	code           int
	calls          []string
	keys           []string
	stdout, stderr string
}

// run runs a command about routines against a server that answers the calls in turn. Nobody can be asked.
func run(t *testing.T, args []string, answers ...any) (o outcome) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		o.calls = append(o.calls, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+string(body)))
		o.keys = append(o.keys, r.Header.Get("Idempotency-Key"))
		answer := answers[min(len(o.calls), len(answers))-1]
		w.Header().Set("Content-Type", "application/json")
		if p, refused := answer.(api.Problem); refused {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(p.Status)
		}
		if done, applied := answer.(api.Applied); applied && done.Accepted == 0 {
			w.WriteHeader(http.StatusConflict)
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer server.Close()
	var out, told strings.Builder
	app := &cli.App{Environ: []string{"ROUTINELY_URL=" + server.URL}, Streams: cli.Streams{In: strings.NewReader(""), Out: &out, Err: &told}}
	o.code = app.Run(t.Context(), append([]string{"routines"}, args...), routines.Command(app))
	o.stdout, o.stderr = out.String(), told.String()
	return o
}

// want fails unless a command ended with a code after these calls, and wrote some texts.
func (o outcome) want(t *testing.T, code int, calls []string, texts ...string) {
	t.Helper()
	if diff := cmp.Diff(calls, o.calls); diff != "" || o.code != code {
		t.Errorf("exit code %d, want %d; -want +got:\n%s%s", o.code, code, diff, o.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(o.stdout+o.stderr, text) {
			t.Errorf("not shown: %q in\n%s%s", text, o.stdout, o.stderr)
		}
	}
}

func job(id string, action routine.Action, state routine.State, recordNames ...string) routine.Job {
	req := routine.Request{Action: action, Name: "hello"}
	for _, name := range recordNames {
		req.Records = append(req.Records, routine.Record{RecordName: name})
	}
	return routine.Job{ID: id, State: state, Request: req}
}

func TestList(t *testing.T) {
	o := run(t, []string{
		"list", "--caller", "ci", "--state", "live", "--ownership", "owned", "--label", "team=web", "--expiring-before", "2026-11-30T08:00:00Z", "-q",
	}, api.RoutineList{Routines: []api.Routine{{Name: "hello"}, {Name: "world"}}})
	o.want(t, 0, []string{
		"GET /v1/routines?caller=ci&expiringBefore=2026-11-30T08%3A00%3A00Z&label=team%3Dweb&limit=50&ownership=owned&state=live",
	}, "hello\nworld\n")
}

func TestGetTellsWhatToDoNext(t *testing.T) {
	for name, test := range map[string]struct {
		routine api.Routine
		want    string
	}{
		"an unproven routine can be claimed":                 {api.Routine{Name: "hello", State: routine.Live, Ownership: routine.Unproven}, "next: routinely routines claim hello\n"},
		"a routine whose time is over can be renewed":        {api.Routine{Name: "hello", State: routine.Expiring}, "next: routinely routines renew hello --expires-in 72h\n"},
		"a routine that is being deleted has a job":          {api.Routine{Name: "hello", State: routine.Deleting, DeletionJob: "d"}, "next: routinely jobs get d\n"},
		"of a routine that is as it should be there is none": {api.Routine{Name: "hello", State: routine.Live, Ownership: routine.Owned}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if o := run(t, []string{"get", "hello"}, test.routine); o.code != 0 || o.stderr != test.want {
				t.Errorf("exit code %d, %q", o.code, o.stderr)
			}
		})
	}
}

func TestDelete(t *testing.T) {
	t.Run("asks for the job of one routine, under a key", func(t *testing.T) {
		o := run(t, []string{"delete", "hello", "--yes", "--callback-url", "https://hooks.example.com"}, job("j", routine.Delete, routine.Queued))
		o.want(t, 0, []string{`DELETE /v1/routines/hello {"callbackUrl":"https://hooks.example.com"}`}, "action       delete\n", "next: routinely jobs get j --wait\n")
		if len(o.keys[0]) < 26 {
			t.Errorf("the key is %q", o.keys[0])
		}
	})
	t.Run("asks under the key that was given, as renew and claim do", func(t *testing.T) {
		for _, args := range [][]string{
			{"delete", "hello", "--yes"}, {"delete", "hello", "--record", "a.example.com", "--yes"}, {"renew", "hello", "--expires-in", "72h"}, {"claim", "hello"},
		} {
			o := run(t, append(args, "--idempotency-key", "k"), job("j", routine.Delete, routine.Queued, "a.example.com"))
			if diff := cmp.Diff([]string{"k"}, o.keys); diff != "" || o.code != 0 {
				t.Errorf("%v: exit code %d, -want +got:\n%s", args, o.code, diff)
			}
		}
	})
	t.Run("asks for several under the key that was given, as claim does", func(t *testing.T) {
		plan := api.Plan{Hash: "h", Items: []api.PlanItem{{Name: "hello", Delete: true}}, Delete: 1}
		done := api.Applied{Items: []api.AppliedItem{{Name: "hello", Status: api.Accepted, JobID: "j"}}, Accepted: 1}
		o := run(t, []string{"delete", "--all", "--yes", "--idempotency-key", "k"}, plan, done)
		if len(o.keys) != 2 || o.keys[1] != "k" {
			t.Errorf("deleted under %q", o.keys)
		}
		o = run(t, []string{"claim", "--unproven", "--yes", "--idempotency-key", "k"}, api.RoutineList{Routines: []api.Routine{{Name: "hello"}}},
			job("j", routine.TakeOwnership, routine.Queued))
		if len(o.keys) != 2 || o.keys[1] != "k/hello" {
			t.Errorf("claimed under %q", o.keys)
		}
	})
	t.Run("refuses a key that cannot be sent before anything is asked for, as renew and claim do", func(t *testing.T) {
		for _, args := range [][]string{{"delete", "hello", "--yes"}, {"renew", "hello", "--expires-in", "72h"}, {"claim", "hello"}} {
			run(t, append(args, "--idempotency-key", "a,b"), nil).want(t, 2, nil, "it holds a comma")
		}
		long := strings.Repeat("k", 220)
		for _, args := range [][]string{{"delete", "--all", "--yes"}, {"claim", "--unproven", "--yes"}} { // a name is added to it
			run(t, append(args, "--idempotency-key", long), nil).want(t, 2, nil, "at most 255 are possible")
		}
	})
	t.Run("waits for the job, and its exit code tells how it ended", func(t *testing.T) {
		o := run(t, []string{"delete", "hello", "--yes", "--wait"}, job("j", routine.Delete, routine.Queued), job("j", routine.Delete, routine.DeadLettered))
		o.want(t, 7, []string{"DELETE /v1/routines/hello {}", "GET /v1/jobs/j"}, "state        dead-lettered\n", "next: routinely jobs get j\n")
	})
	t.Run("unbinds one host name, in any of its forms", func(t *testing.T) {
		o := run(t, []string{"delete", "hello", "--record", "Bücher.example.com.", "--yes"}, job("j", routine.Unbind, routine.Queued, "xn--bcher-kva.example.com"))
		o.want(t, 0, []string{"DELETE /v1/routines/hello/records/xn--bcher-kva.example.com {}"}, "record       xn--bcher-kva.example.com\n")
	})
	t.Run("shows in a dry run which host name it would unbind", func(t *testing.T) {
		r := api.Routine{Name: "hello", Records: []api.RoutineRecord{{RecordName: "a.example.com"}}}
		o := run(t, []string{"delete", "hello", "--record", "a.example.com", "--dry-run"}, r)
		o.want(t, 0, []string{"GET /v1/routines/hello"}, "planned", "next: routinely routines delete hello --record a.example.com\n")
	})
	t.Run("refuses a host name that the routine does not have", func(t *testing.T) {
		o := run(t, []string{"delete", "hello", "--record", "b.example.com", "--dry-run"}, api.Routine{Name: "hello"})
		o.want(t, 3, []string{"GET /v1/routines/hello"}, "nothing was done", "routinely routines get hello")
	})
}

// plan is one of two routines, of which one is kept.
func plan() api.Plan {
	return api.Plan{Hash: "h", Delete: 1, Items: []api.PlanItem{
		{Name: "hello", Number: 7, Delete: true, Why: "the filter chooses it"}, {Name: "world", Number: 8, Why: "kept: it is adopted"},
	}}
}

const planned = `"items":[{"name":"hello","number":7,"delete":true,"why":"the filter chooses it"},{"name":"world","number":8,"delete":false,"why":"kept: it is adopted"}]`

func TestDeleteSeveral(t *testing.T) {
	t.Run("carries out the plan, by its hash", func(t *testing.T) {
		o := run(t, []string{"delete", "--label", "team", "--reason", "tidy", "--yes"}, plan(),
			api.Applied{Accepted: 1, Items: []api.AppliedItem{{Name: "hello", Status: api.Accepted, JobID: "j"}}})
		o.want(t, 0, []string{
			`POST /v1/routines:plan-delete {"label":"team"}`, `POST /v1/routines:apply-delete {"hash":"h",` + planned + `,"reason":"tidy"}`,
		}, "2 routines: 1 to delete, 1 kept\n", "│ hello │ accepted │ j   │", "next: routinely jobs get j --wait\n")
	})
	t.Run("shows the plan in a dry run, and the command that carries it out", func(t *testing.T) {
		o := run(t, []string{"delete", "hello", "world", "--dry-run"}, plan())
		o.want(t, 0, []string{`POST /v1/routines:plan-delete {"names":["hello","world"]}`},
			"│ hello │ planned │ the filter chooses it │", "│ world │ kept    │ it is adopted         │", "next: routinely routines delete hello world\n")
	})
	t.Run("names for a shell what a dry run would delete", func(t *testing.T) {
		if o := run(t, []string{"delete", "--all", "--dry-run", "-q"}, plan()); o.stdout != "hello\n" {
			t.Errorf("got %q", o.stdout)
		}
	})
	t.Run("does not repeat a callback URL that may hold a secret", func(t *testing.T) {
		o := run(t, []string{"delete", "--all", "--dry-run", "--callback-url", "https://hooks.example.com/?key=hush"}, plan())
		if o.code != 0 || strings.Contains(o.stdout+o.stderr, "hush") {
			t.Errorf("exit code %d: %s", o.code, o.stderr)
		}
	})
	t.Run("does nothing if a name is unknown", func(t *testing.T) {
		o := run(t, []string{"delete", "hello", "wrold", "--yes"}, plan())
		o.want(t, 3, []string{`POST /v1/routines:plan-delete {"names":["hello","wrold"]}`}, `"wrold"; nothing was done`)
	})
	t.Run("does nothing if everything is kept", func(t *testing.T) {
		o := run(t, []string{"delete", "--state", "live", "--yes"}, api.Plan{Hash: "h", Items: plan().Items[1:]})
		o.want(t, 0, []string{`POST /v1/routines:plan-delete {"state":"live"}`}, "1 routine: 0 to delete, 1 kept\n")
	})
	t.Run("tells what has changed since the plan", func(t *testing.T) {
		o := run(t, []string{"delete", "--all", "--yes"}, plan(), api.Applied{Rejected: 1, Items: []api.AppliedItem{
			{Name: "hello", Status: api.Rejected, Problem: &api.Problem{Status: http.StatusConflict, Code: "plan-changed", Detail: "it has changed"}},
		}})
		if o.code != 4 || !strings.Contains(o.stderr, "plan-changed: it has changed") {
			t.Errorf("exit code %d: %s", o.code, o.stderr)
		}
	})
}

func TestChoices(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"delete", "choose routines by name or with a filter, or give --all"},
		{"delete hello", "nobody can be asked"},
		{"delete hello --all --yes", "exclude each other"},
		{"delete hello --label a --yes", "exclude each other"},
		{"delete --label a --all --yes", "exclude each other"},
		{"delete --all=false --yes", "--all=false chooses nothing"},
		{"delete a b --record www.example.com --yes", "of one routine"},
		{"delete --record www.example.com --yes", "of one routine"},
		{"delete hello --record *.example.com --yes", "no wildcards"},
		{"delete hello --reason x --yes", "--reason is about the deletion of several"},
		{"delete --expiring-before soon --yes", "want a time such as"},
		{"list --expiring-before soon", "want a time such as"},
		{"renew hello", "--expires-in"},
		{"renew hello --expires-in soon", "is not a time such as 72h"},
		{"claim", "give the name of a routine, or --unproven"},
		{"claim hello --unproven", "a name stands without"},
		{"claim --unproven", "nobody can be asked"},
	} {
		t.Run(test.args, func(t *testing.T) {
			run(t, strings.Fields(test.args), nil).want(t, 2, nil, test.want)
		})
	}
}

func TestRenew(t *testing.T) {
	o := run(t, []string{"renew", "hello", "--expires-in", "72h"}, job("j", routine.Renew, routine.Queued))
	o.want(t, 0, []string{`POST /v1/routines/hello:renew {"expiresIn":"72h"}`}, "action       renew\n")
}

func TestClaim(t *testing.T) {
	unproven := api.RoutineList{Routines: []api.Routine{{Name: "hello", Ownership: routine.Unproven}, {Name: "world", Ownership: routine.Unproven}}}
	const list = "GET /v1/routines?limit=100&ownership=unproven"
	t.Run("asks for one", func(t *testing.T) {
		o := run(t, []string{"claim", "hello"}, job("j", routine.TakeOwnership, routine.Queued))
		o.want(t, 0, []string{"POST /v1/routines/hello:claim {}"}, "action       claim\n")
	})
	t.Run("shows in a dry run which are unproven", func(t *testing.T) {
		o := run(t, []string{"claim", "--unproven", "--dry-run"}, unproven)
		o.want(t, 0, []string{list}, "│ hello │ planned │", "2 routines unproven\n", "next: routinely routines claim --unproven\n")
	})
	t.Run("claims all that are unproven, and shows each that was refused", func(t *testing.T) {
		o := run(t, []string{"claim", "--unproven", "--yes"}, unproven, job("j", routine.TakeOwnership, routine.Queued),
			api.Problem{Status: http.StatusForbidden, Code: "denied", Detail: "not yours"})
		o.want(t, 9, []string{list, "POST /v1/routines/hello:claim {}", "POST /v1/routines/world:claim {}"}, "denied: not yours", "1 of 2 failed")
	})
}

func TestCheck(t *testing.T) {
	read := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	finding := api.Finding{Name: "hello", What: api.DriftGone, Detail: "ESA does not have it", Command: "routinely routines delete hello"}
	for name, test := range map[string]struct {
		drift api.Drift
		code  int
		texts []string
	}{
		"succeeds without a difference":        {api.Drift{ReadAt: read}, 0, []string{"read 2026-11-30"}},
		"fails with a difference":              {api.Drift{ReadAt: read, Findings: []api.Finding{finding}}, 4, []string{"│ hello │ gone", "1 difference\n"}},
		"cannot tell before the first reading": {api.Drift{}, 6, []string{"were not read yet"}},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, []string{"check"}, test.drift).want(t, test.code, []string{"GET /v1/routines:check"}, test.texts...)
		})
	}
	t.Run("tells programs when ESA was read", func(t *testing.T) {
		run(t, []string{"check", "-o", "json"}, api.Drift{ReadAt: read, Findings: []api.Finding{finding}}).
			want(t, 4, []string{"GET /v1/routines:check"}, `{"readAt":"2026-11-30T08:00:00Z","findings":[{"name":"hello"`)
	})
	t.Run("-q prints a name with two differences once", func(t *testing.T) {
		o := run(t, []string{"check", "-q"}, api.Drift{ReadAt: time.Date(2026, 1, 15, 6, 28, 17, 0, time.UTC), Findings: []api.Finding{
			{Name: "hello", What: api.DriftDescription}, {Name: "other", What: api.DriftUnclaimed}, {Name: "hello", What: api.DriftForeignRecord},
		}})
		if o.stdout != "hello\nother\n" || o.code != 4 {
			t.Errorf("exit code %d, %q, %s", o.code, o.stdout, o.stderr)
		}
	})
}
