package submit_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/cmd/routinely/cli"
	"routinely/cmd/routinely/submit"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// answer is what the server says to one call.
type answer struct {
	status int
	body   any
}

// run submits a CSV file of one row against a server that answers the calls in turn, and returns the calls.
func run(t *testing.T, flags []string, answers ...answer) (code int, calls []string, stdout, stderr string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls = append(calls, r.Method+" "+r.URL.Path)
		a := answers[min(len(calls), len(answers))-1]
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Idempotency-Replayed", "true")
		if a.status >= 400 {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(a.status)
		_ = json.NewEncoder(w).Encode(a.body)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(file, []byte("name,siteId,recordName\none,1,one.example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, told strings.Builder
	app := &cli.App{Environ: []string{"ROUTINELY_URL=" + server.URL}, Streams: cli.Streams{In: strings.NewReader(""), Out: &out, Err: &told}}
	code = app.Run(t.Context(), append([]string{"submit", file, "-o", "json"}, flags...), submit.Command(app))
	return code, calls, out.String(), told.String()
}

// reused says that the row's key stands for another request, of job j.
func reused() answer {
	verdict := api.Verdict{Status: api.Rejected, JobID: "j", Problem: &api.Problem{Status: http.StatusUnprocessableEntity, Code: "idempotency-key-reused"}}
	return answer{http.StatusOK, api.BatchResult{Items: []api.Verdict{verdict}, Rejected: 1}}
}

func accepted() answer {
	return answer{http.StatusOK, api.BatchResult{Items: []api.Verdict{{Status: api.Accepted, JobID: "j"}}, Accepted: 1}}
}

func refused(status int, code string) answer {
	return answer{status, api.Problem{Status: status, Code: code}}
}

func job(state routine.State) answer {
	return answer{http.StatusOK, routine.Job{ID: "j", State: state, Caller: "shop"}}
}

func TestRetryDead(t *testing.T) {
	none := answer{http.StatusOK, api.DeadLetterList{}}
	flags := []string{"--idempotency-key", "import", "--retry-dead"}
	for _, test := range []struct {
		name, want string
		code       int
		answers    []answer
	}{
		{
			"takes a job that is no dead letter any more, but was corrected, for what it is: the answer of an earlier call was lost",
			`"status":"duplicate","jobId":"j","state":"queued"`, 0,
			[]answer{reused(), refused(http.StatusNotFound, "unknown-dead-letter"), job(routine.Queued), job(routine.Queued), none},
		},
		{
			"leaves a job alone that was never dead", `"problem":{"type":"","title":"","status":422,"code":"idempotency-key-reused"`, 2,
			[]answer{reused(), refused(http.StatusNotFound, "unknown-dead-letter"), refused(http.StatusUnprocessableEntity, "idempotency-key-reused"), job(routine.Succeeded), none},
		},
		{
			"tells what is wrong with a correction", `"code":"invalid-request"`, 2,
			[]answer{reused(), refused(http.StatusUnprocessableEntity, "invalid-request"), job(routine.DeadLettered), none},
		},
		{
			"reports a job that could not be redriven", `"status":"failed"`, 9,
			[]answer{
				reused(),
				{http.StatusOK, api.WorkedOff{Failed: []api.DeadLetterFailure{{ID: "j", Problem: &api.Problem{Status: 409, Code: "not-redrivable"}}}}},
				job(routine.DeadLettered), none,
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, calls, stdout, stderr := run(t, flags, test.answers...)
			if code != test.code || !strings.Contains(stdout, test.want) || len(calls) != len(test.answers) {
				t.Errorf("exit code %d, calls %q, %s%s", code, calls, stdout, stderr)
			}
		})
	}
}

func TestForgotten(t *testing.T) {
	row := accepted()
	letters := answer{http.StatusOK, api.DeadLetterList{DeadLetters: []api.DeadLetter{
		{ID: "removed", Key: "import/0123456789abcdef"},
		{ID: "of-a-longer-key", Key: "import/7/0123456789abcdef"},
		{ID: "j", Key: "import/ab9f61585df1c71a"},
	}}}
	code, calls, stdout, stderr := run(t, []string{"--idempotency-key", "import", "--retry-dead"}, row, job(routine.Queued), letters)
	want := []string{"POST /v1/routines:batch", "GET /v1/jobs/j", "GET /v1/dead-letters"}
	if diff := cmp.Diff(want, calls); diff != "" || code != 0 {
		t.Errorf("exit code %d, -want +got:\n%s", code, diff)
	}
	if !strings.Contains(stdout, "import/ab9f61585df1c71a") {
		t.Fatalf("the row has another key: %s", stdout)
	}
	if !strings.HasSuffix(stderr, "next: routinely dead-letters drop removed --dry-run\n") || strings.Contains(stderr, "of-a-longer-key") {
		t.Errorf("got %s", stderr)
	}
}

func TestWait(t *testing.T) {
	t.Run("does not take the job of another request for the row's own", func(t *testing.T) {
		code, calls, stdout, _ := run(t, []string{"--idempotency-key", "import", "--wait"}, reused(), job(routine.Succeeded))
		if code != 2 || len(calls) != 1 || !strings.Contains(stdout, `"status":"rejected"`) {
			t.Errorf("exit code %d, %q, %s", code, calls, stdout)
		}
	})
	t.Run("tells the next command of a dead job", func(t *testing.T) {
		code, _, _, stderr := run(t, []string{"--wait"}, accepted(), job(routine.DeadLettered))
		if code != 7 || !strings.Contains(stderr, "next: routinely dead-letters show j\n") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
	})
}

func TestKeys(t *testing.T) {
	t.Run("of a file leave room for what is added for each row", func(t *testing.T) {
		code, calls, _, stderr := run(t, []string{"--idempotency-key", strings.Repeat("k", 239)})
		if code != 2 || len(calls) != 0 || !strings.Contains(stderr, "at most 255") {
			t.Errorf("exit code %d, %q, %s", code, calls, stderr)
		}
	})
}

func TestFlags(t *testing.T) {
	for _, test := range []struct{ name, flags, want string }{
		{"describe one host name", "--record a.example.com", `{"name":"one","recordName":"a.example.com"}`},
		{"call it as a request does", "--record-name a.example.com --site-id 7", `{"name":"one","siteId":7,"recordName":"a.example.com"}`},
		{
			"describe several, each on a site of its own or on that of all", "--record a.example.com@8 --record b.example.com --site-id 7",
			`{"name":"one","records":[{"siteId":8,"recordName":"a.example.com"},{"siteId":7,"recordName":"b.example.com"}]}`,
		},
		{
			"describe the life of a routine", "--record a.example.com --expires-in 3d --protected --if-exists update --label team=web --label env=a=b,c",
			`{"name":"one","recordName":"a.example.com","ifExists":"update","expiresIn":"72h","protected":true,"labels":{"env":"a=b,c","team":"web"}}`,
		},
		{"refuse a label without a value", "--record a.example.com --label team", `--label: "team" is not a label such as team=web`},
		{"refuse a site that is no number", "--record a.example.com@x", `/siteId: "x" is not a 64-bit integer`},
		{"refuse a site that is empty", "--record a.example.com@", "/recordName: is not a host name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			app := &cli.App{Streams: cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out}}
			args := append([]string{"submit", "--name", "one", "--dry-run", "-o", "json"}, strings.Fields(test.flags)...)
			if app.Run(t.Context(), args, submit.Command(app)); !strings.Contains(out.String(), test.want) {
				t.Errorf("not shown: %s in %s", test.want, &out)
			}
		})
	}
}

func TestRetryDeadTakesBackWhatARowLeavesOpen(t *testing.T) {
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		a := reused().body
		if strings.HasSuffix(r.URL.Path, ":redrive") {
			text, _ := io.ReadAll(r.Body)
			body, a = string(text), api.WorkedOff{Count: 1, IDs: []string{"j"}}
		}
		_ = json.NewEncoder(w).Encode(a)
	}))
	defer server.Close()
	var out strings.Builder
	app := &cli.App{
		Environ: []string{"ROUTINELY_URL=" + server.URL}, Streams: cli.Streams{In: strings.NewReader(`{"name":"one","recordName":"a.example.com"}`), Out: &out, Err: &out},
	}
	app.Run(t.Context(), []string{"submit", "-", "--idempotency-key", "import", "--retry-dead"}, submit.Command(app))
	for _, member := range []string{"siteId", "records", "description", "hasAssets", "ifExists", "expiresIn", "protected", "labels", "callbackUrl"} {
		if !strings.Contains(body, `"`+member+`":null`) {
			t.Errorf("%s is not taken back by %s", member, body)
		}
	}
}
