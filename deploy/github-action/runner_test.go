// Package githubaction_test runs the action as GitHub's runner does, against the whole of Routinely on this machine and a local GitHub.
package githubaction_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"

	"routinely/deploy/local/localtest"
	"routinely/deploy/local/stack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// action is what is read of action.yml.
type action struct {
	Name, Description string
	Inputs            map[string]struct {
		Description, Default string
		Required             bool
	}
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []struct {
			ID, Shell, Run string
			Env            map[string]string
		}
	}
}

func readAction(t *testing.T) (a action) {
	t.Helper()
	text, err := os.ReadFile("action.yml")
	if err == nil {
		err = yaml.UnmarshalWithOptions(text, &a, yaml.DisallowUnknownField())
	}
	if err != nil || len(a.Runs.Steps) != 1 {
		t.Fatalf("%v, %d steps", err, len(a.Runs.Steps))
	}
	return a
}

// node skips a test where there is no Node.js, which GitHub's runners have.
func node(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("Node.js is not installed")
	}
}

// run is a run of the action.
type run struct {
	// inputs are those of the workflow, event and name the event, and branch where it happened.
	inputs        map[string]string
	event, branch string
	payload       any
	// environ are more variables of the step.
	environ []string
	github  string
}

// ended is what a run left.
type ended struct {
	code    int
	log     string
	outputs map[string]string
	dir     string
}

const expression = `\$\{\{ *(.+?) *\}\}`

// evaluate replaces the expressions of a text as GitHub does.
func evaluate(t *testing.T, text string, known map[string]string) string {
	t.Helper()
	return regexp.MustCompile(expression).ReplaceAllStringFunc(text, func(found string) string {
		inner := regexp.MustCompile(expression).FindStringSubmatch(found)[1]
		value, is := known[inner]
		if !is {
			t.Errorf("unknown expression %s", inner)
		}
		return value
	})
}

// start runs the step of action.yml with its own environment alone, as the runner makes it.
func (r run) start(t *testing.T) (e ended) {
	t.Helper()
	a := readAction(t)
	contexts := map[string]string{
		"github.token": githubToken, "github.head_ref || github.ref_name": r.branch, "github.action_repository": "routinely/routinely",
	}
	for name := range r.inputs {
		if _, is := a.Inputs[name]; !is {
			t.Errorf("there is no input %s", name)
		}
	}
	for name, input := range a.Inputs {
		contexts["inputs."+name] = evaluate(t, input.Default, contexts)
		if value, given := r.inputs[name]; given {
			contexts["inputs."+name] = value
		}
	}
	e.dir = t.TempDir()
	payload, err := json.Marshal(r.payload)
	if err != nil {
		t.Fatal(err)
	}
	event, output := filepath.Join(e.dir, "event.json"), filepath.Join(e.dir, "output")
	if err := errors.Join(os.WriteFile(event, payload, 0o600), os.WriteFile(output, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	step := a.Runs.Steps[0]
	cmd := exec.CommandContext(t.Context(), "sh", "-e", "-c", step.Run) // as the runner starts the shell sh
	cmd.Dir = e.dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + e.dir, "RUNNER_TEMP=" + e.dir, "GITHUB_ACTION_PATH=" + here, "GITHUB_EVENT_PATH=" + event,
		"GITHUB_EVENT_NAME=" + r.event, "GITHUB_OUTPUT=" + output, "GITHUB_REPOSITORY=acme/shop", "GITHUB_REPOSITORY_ID=42", "GITHUB_RUN_ID=7",
		"GITHUB_SERVER_URL=https://github.com", "GITHUB_API_URL=" + r.github,
	}, r.environ...)
	for name, value := range step.Env {
		cmd.Env = append(cmd.Env, name+"="+evaluate(t, value, contexts))
	}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	err = cmd.Run()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	e.code, e.log, e.outputs = cmd.ProcessState.ExitCode(), log.String(), readOutputs(t, output)
	for _, token := range []string{r.inputs["token"], githubToken} {
		if token != "" && strings.Contains(e.log+fmt.Sprint(e.outputs), token) {
			t.Errorf("a token is in the log or in the outputs: %s%v", e.log, e.outputs)
		}
	}
	return e
}

func readOutputs(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		out[name] = value
	}
	return out
}

// pullRequest is the event of a pull request from a branch of the repository, or of another one.
func pullRequest(action string, number int, repository string) any {
	return map[string]any{"action": action, "pull_request": map[string]any{
		"number": number, "head": map[string]any{"sha": strings.Repeat("0123456789", 4), "repo": map[string]any{"full_name": repository}},
	}}
}

// service is Routinely on this machine, with a caller for previews, and the edge on which their code runs.
type service struct {
	url, token, tool string
	edge             *localtest.Edge
}

// newService starts one. All host names answer with the header X-Commit: one.
func newService(t *testing.T) *service {
	t.Helper()
	bin, err := localtest.Build("functions/accept/main", "functions/provision/main", "functions/notify/main", "functions/janitor/main", "cmd/routinely")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(bin) })
	at := func(name string) string { return filepath.Join(bin, name) }
	var made struct{ Token, Hash string }
	text, err := exec.CommandContext(t.Context(), at("routinely"), "token", "-o", "json").Output()
	if err == nil {
		err = json.Unmarshal(text, &made)
	}
	if err != nil {
		t.Fatal(err)
	}
	edge, err := localtest.NewEdge(t.TempDir(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Commit", "one") }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(edge.Close)
	const free = "127.0.0.1:0"
	s, err := stack.New(stack.Config{
		Addresses: stack.Addresses{HTTP: free, MNS: free, ESA: free, OTS: free, FC: free}, Dir: t.TempDir(), NoSync: true, ESALatency: time.Millisecond,
		Accept: at("accept"), Provision: at("provision"), Notify: at("notify"), Janitor: at("janitor"),
		Auth: `{"callers":[{"name":"previews","scopes":["submit","read"],"tokens":["` + made.Hash + `"],"names":["pr-"],"recordSuffixes":["example.com"]}]}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	stop, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return &service{url: s.HTTPURL(), token: made.Token, tool: at("routinely"), edge: edge}
}

// routine is what the service knows of a routine, and whether it knows it.
func (s *service) routine(t *testing.T, name string) (text string, live bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.tool, "routines", "get", name, "-o", "json")
	cmd.Env = append(os.Environ(), "ROUTINELY_URL="+s.url, "ROUTINELY_TOKEN="+s.token)
	out, err := cmd.Output()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	return string(out), strings.Contains(string(out), `"state":"live"`)
}
