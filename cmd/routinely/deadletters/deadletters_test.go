package deadletters_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/deadletters"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// run runs a command about dead letters against a server that answers the calls in turn, and returns the calls, with their bodies.
func run(t *testing.T, args []string, answers ...any) (code int, calls []string, stderr string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		calls = append(calls, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+string(body)))
		answer := answers[min(len(calls), len(answers))-1]
		w.Header().Set("Content-Type", "application/json")
		if p, refused := answer.(api.Problem); refused {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(p.Status)
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer server.Close()
	var out, told strings.Builder
	app := &cli.App{
		Environ: []string{"ROUTINELY_URL=" + server.URL}, Streams: cli.Streams{In: strings.NewReader(""), Out: &out, Err: &told},
	}
	code = app.Run(t.Context(), append([]string{"dead-letters"}, args...), deadletters.Command(app))
	return code, calls, told.String()
}

var died = time.Date(2026, 11, 30, 8, 0, 0, 5, time.UTC)

// found is a list of three dead letters, of which the latest is shown.
func found() api.DeadLetterList {
	return api.DeadLetterList{
		DeadLetters: []api.DeadLetter{{ID: "c", DeadAt: died}},
		Counts:      &api.Counts{Total: 3, Codes: []api.CodeCount{{Kind: "k", Code: "x", Count: 3}}, Complete: true},
	}
}

const until = `"until":"2026-11-30T08:00:00.000000005Z"`

func TestRedrive(t *testing.T) {
	t.Run("follows more to the end, up to the latest death that was listed", func(t *testing.T) {
		code, calls, stderr := run(t, []string{"redrive", "--all", "--yes"}, found(),
			api.WorkedOff{Count: 2, IDs: []string{"a", "b"}, More: true, Next: "n"}, api.WorkedOff{Count: 1, IDs: []string{"c"}})
		want := []string{
			"GET /v1/dead-letters?counts=true&limit=1", "POST /v1/dead-letters:redrive {" + until + "}", "POST /v1/dead-letters:redrive {" + until + `,"cursor":"n"}`,
		}
		if diff := cmp.Diff(want, calls); diff != "" || code != 0 {
			t.Errorf("exit code %d, %s -want +got:\n%s", code, stderr, diff)
		}
	})
	t.Run("counts what remains of a limit", func(t *testing.T) {
		_, calls, _ := run(t, []string{"redrive", "--code", "x", "--limit", "3", "--yes"}, found(),
			api.WorkedOff{Count: 2, IDs: []string{"a", "b"}, More: true, Next: "n"}, api.WorkedOff{Count: 1, IDs: []string{"c"}, More: true, Next: "m"})
		if len(calls) != 3 || !strings.HasSuffix(calls[2], `"limit":1,"cursor":"n"}`) {
			t.Errorf("got %q", calls)
		}
	})
	t.Run("says how to go on after a failure", func(t *testing.T) {
		code, _, stderr := run(t, []string{"redrive", "--all", "--yes"}, found(),
			api.WorkedOff{Count: 2, IDs: []string{"a", "b"}, More: true, Next: "n"}, api.Problem{Status: http.StatusForbidden, Code: "denied"})
		if code != 5 || !strings.Contains(stderr, "2 dead letters redriven") || !strings.Contains(stderr, "--until 2026-11-30T08:00:00.000000005Z") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	})
	t.Run("names the ids that are left after a failure", func(t *testing.T) {
		code, _, stderr := run(t, []string{"redrive", "b", "a", "--yes"}, api.DeadLetter{ID: "a", DeadAt: died}, api.DeadLetter{ID: "b", DeadAt: died},
			api.WorkedOff{Count: 1, IDs: []string{"a"}, More: true, Next: "n"}, api.Problem{Status: http.StatusForbidden, Code: "denied"})
		if code != 5 || !strings.Contains(stderr, "next: routinely dead-letters redrive b\n") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	})
	t.Run("ends when the service gets no further", func(t *testing.T) {
		code, calls, stderr := run(t, []string{"redrive", "--all", "--yes"}, found(), api.WorkedOff{More: true})
		if code != 9 || len(calls) != 2 || !strings.Contains(stderr, "got no further") {
			t.Errorf("exit code %d, %d calls: %s", code, len(calls), stderr)
		}
	})
	t.Run("tells what has failed, with the exit code of its kind", func(t *testing.T) {
		failed := []api.DeadLetterFailure{{ID: "a", Problem: &api.Problem{Status: http.StatusConflict, Code: "not-redrivable"}}}
		code, _, stderr := run(t, []string{"redrive", "--all", "--yes"}, found(), api.WorkedOff{Failed: failed})
		if code != 4 || !strings.Contains(stderr, "a: not-redrivable") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	})
}

func TestCorrect(t *testing.T) {
	t.Run("has a correction checked before it is carried out", func(t *testing.T) {
		code, calls, stderr := run(t, []string{"redrive", "a", "--set", "siteId=7", "--set", "description=x=y,z", "--set", "hasAssets=TRUE", "--yes"},
			api.DeadLetter{ID: "a", DeadAt: died}, api.WorkedOff{Count: 1, IDs: []string{"a"}, DryRun: true}, api.WorkedOff{Count: 1, IDs: []string{"a"}})
		request := `"request":{"description":"x=y,z","hasAssets":true,"siteId":"7"}`
		want := []string{
			"GET /v1/dead-letters/a", "POST /v1/dead-letters/a:redrive {\"dryRun\":true," + request + "}", "POST /v1/dead-letters/a:redrive {" + request + "}",
		}
		if diff := cmp.Diff(want, calls); diff != "" || code != 0 {
			t.Errorf("exit code %d, %s -want +got:\n%s", code, stderr, diff)
		}
	})
	t.Run("only asks in a dry run", func(t *testing.T) {
		code, calls, _ := run(t, []string{"redrive", "a", "--set", "siteId=7", "--dry-run"},
			api.DeadLetter{ID: "a", DeadAt: died}, api.WorkedOff{Count: 1, IDs: []string{"a"}, DryRun: true})
		if code != 0 || len(calls) != 2 || !strings.Contains(calls[1], `"dryRun":true`) {
			t.Errorf("exit code %d, %q", code, calls)
		}
	})
}

func TestDrop(t *testing.T) {
	t.Run("leaves alone what dies after the list", func(t *testing.T) {
		_, calls, _ := run(t, []string{"drop", "--all", "--yes"}, found(), api.WorkedOff{Count: 3})
		want := []string{"GET /v1/dead-letters?counts=true&limit=1", "DELETE /v1/dead-letters?until=2026-11-30T08%3A00%3A00.000000005Z"}
		if diff := cmp.Diff(want, calls); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("keeps to an earlier time that was given", func(t *testing.T) {
		_, calls, _ := run(t, []string{"drop", "--until", "2026-11-01T00:00:00Z", "--yes"}, found(), api.WorkedOff{Count: 3})
		if len(calls) != 2 || !strings.HasSuffix(calls[1], "?until=2026-11-01T00%3A00%3A00Z") {
			t.Errorf("got %q", calls)
		}
	})
	t.Run("does nothing without dead letters", func(t *testing.T) {
		_, calls, _ := run(t, []string{"drop", "--all", "--yes"}, api.DeadLetterList{Counts: &api.Counts{Complete: true}})
		if len(calls) != 1 {
			t.Errorf("got %q", calls)
		}
	})
}

// letterWith is a dead letter of a job that has made something.
func letterWith(left ...routine.Left) api.DeadLetter {
	return api.DeadLetter{ID: "a", DeadAt: died, Request: &routine.Request{Name: "hello"}, Left: left}
}

func TestUndo(t *testing.T) {
	made := []routine.Left{{Routine: "hello", Outcome: routine.Created}, {Routine: "hello", RecordName: "a.example.com", Outcome: routine.Created}}
	own := api.RoutineRecord{RecordName: "a.example.com", JobID: "a"}
	deletion := routine.Job{ID: "d", State: routine.Queued, Request: routine.Request{Action: routine.Delete, Name: "hello"}}
	look := []string{"GET /v1/dead-letters/a", "GET /v1/routines/hello"}
	for _, test := range []struct {
		name    string
		letter  api.DeadLetter
		routine api.Routine
		calls   []string
		told    string
	}{
		{
			"deletes the routine that the job has made", letterWith(made...),
			api.Routine{Name: "hello", Records: []api.RoutineRecord{own}},
			[]string{"DELETE /v1/routines/hello {}"},
			"undo: delete routine hello with its records\n",
		},
		{
			"leaves a routine to whose host name it is, and unbinds the job's own", letterWith(made...),
			api.Routine{Name: "hello", Records: []api.RoutineRecord{own, {RecordName: "b.example.com", JobID: "b"}}},
			[]string{"DELETE /v1/routines/hello/records/a.example.com {}"},
			"undo: unbind a.example.com from routine hello\nstays: routine hello: other jobs are about it\n",
		},
		{
			"leaves a routine to a job that waits", letterWith(made[:1]...),
			api.Routine{Name: "hello", Jobs: []api.RoutineJob{{JobID: "b", State: routine.Queued}}},
			nil, "stays: routine hello: other jobs are about it\n",
		},
		{
			"leaves a host name to the newer job that is about it", letterWith(made[1:]...),
			api.Routine{Name: "hello", Records: []api.RoutineRecord{{RecordName: "a.example.com", JobID: "b"}}},
			nil, "",
		},
		{
			"leaves what nobody can prove", letterWith(routine.Left{Routine: "hello", Outcome: routine.Unknown}),
			api.Routine{Name: "hello"},
			nil, "stays: routine hello: nothing proves that the job made it\n",
		},
		{"has nothing to do once the routine is gone", letterWith(made...), api.Routine{Name: "hello", State: routine.Gone}, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, calls, stderr := run(t, []string{"drop", "a", "--undo", "--yes"}, test.letter, test.routine, api.WorkedOff{Count: 1, IDs: []string{"a"}}, deletion)
			want := append(append(slices.Clone(look), "DELETE /v1/dead-letters?id=a&until=2026-11-30T08%3A00%3A00.000000005Z"), test.calls...)
			if diff := cmp.Diff(want, calls); diff != "" || code != 0 || !strings.Contains(stderr, test.told) {
				t.Errorf("exit code %d, %s -want +got:\n%s", code, stderr, diff)
			}
		})
	}
	for state, want := range map[routine.State]struct {
		code int
		told string
	}{
		routine.Succeeded:    {0, "1 dead letter dropped\n"},
		routine.DeadLettered: {7, "next: routinely dead-letters show d\n"},
	} {
		t.Run("is waited for if that is wanted, and the exit code tells that it is "+string(state), func(t *testing.T) {
			ended := deletion
			ended.State = state
			code, calls, stderr := run(t, []string{"drop", "a", "--undo", "--wait", "--yes"}, letterWith(made...), api.Routine{Name: "hello"},
				api.WorkedOff{Count: 1, IDs: []string{"a"}}, deletion, ended)
			if code != want.code || calls[len(calls)-1] != "GET /v1/jobs/d" || !strings.HasSuffix(stderr, want.told) {
				t.Errorf("exit code %d, %q, %s", code, calls, stderr)
			}
		})
	}
	t.Run("tells in a dry run what it would delete", func(t *testing.T) {
		code, calls, stderr := run(t, []string{"drop", "a", "--undo", "--dry-run"}, letterWith(made...), api.Routine{Name: "hello"})
		if diff := cmp.Diff(look, calls); diff != "" || code != 0 || !strings.Contains(stderr, "undo: delete routine hello with its records\n") ||
			!strings.HasSuffix(stderr, "next: routinely dead-letters drop a --undo\n") {
			t.Errorf("exit code %d, %s -want +got:\n%s", code, stderr, diff)
		}
	})
	t.Run("deletes nothing of a dead letter that was not dropped", func(t *testing.T) {
		failed := []api.DeadLetterFailure{{ID: "a", Problem: &api.Problem{Status: http.StatusConflict, Code: "not-droppable"}}}
		code, calls, stderr := run(t, []string{"drop", "a", "--undo", "--yes"}, letterWith(made...), api.Routine{Name: "hello"}, api.WorkedOff{Failed: failed})
		if code != 4 || len(calls) != 3 {
			t.Errorf("exit code %d, %q, %s", code, calls, stderr)
		}
	})
	t.Run("tells how to delete by hand what was dropped and not deleted", func(t *testing.T) {
		code, _, stderr := run(t, []string{"drop", "a", "--undo", "--yes"}, letterWith(made...), api.Routine{Name: "hello"},
			api.WorkedOff{Count: 1, IDs: []string{"a"}}, api.Problem{Status: http.StatusConflict, Code: "deletion-off"})
		if code != 4 || !strings.Contains(stderr, "next: routinely routines delete hello\n") || !strings.Contains(stderr, "1 dead letter dropped") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
	})
}
