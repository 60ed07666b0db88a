package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/deploy/local/demo"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/stack"
)

var update = flag.Bool("update", false, "write the golden file")

// TestMain builds the functions as they are deployed.
func TestMain(m *testing.M) {
	dir, err := localtest.Build("functions/accept/main", "functions/provision/main", "functions/notify/main", "functions/janitor/main")
	if err == nil {
		err = os.Setenv("DEMO_TEST_BINARIES", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// watcher is a progress output that calls a function for the first line that holds a text. The demo waits
// until the function is done.
type watcher struct {
	mu   sync.Mutex
	seen strings.Builder
	on   string
	do   func(seen string)
}

func (w *watcher) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen.Write(text)
	if do := w.do; do != nil && strings.Contains(string(text), w.on) {
		w.do = nil
		do(w.seen.String())
	}
	return len(text), nil
}

func config(dir string, output *bytes.Buffer, progress *watcher) demo.Config {
	const free = "127.0.0.1:0"
	binaries := os.Getenv("DEMO_TEST_BINARIES")
	return demo.Config{
		Stack: stack.Config{
			Dir: dir, NoSync: true, Accept: filepath.Join(binaries, "accept"), Provision: filepath.Join(binaries, "provision"), Notify: filepath.Join(binaries, "notify"),
			Janitor:    filepath.Join(binaries, "janitor"),
			Addresses:  stack.Addresses{HTTP: free, MNS: free, ESA: free, OTS: free, FC: free},
			ESALatency: 10 * time.Millisecond,
		},
		Output: output, Progress: progress,
	}
}

func TestRun(t *testing.T) {
	t.Run("tells what became of each request and leaves nothing behind", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		var output bytes.Buffer
		progress := &watcher{}
		if err := demo.Run(t.Context(), config(dir, &output, progress)); err != nil {
			t.Errorf("%v\n%s", err, progress.seen.String())
		}
		got, file := timeless(output.String()), filepath.Join("testdata", "report.txt")
		if *update {
			_ = os.WriteFile(file, []byte(got), 0o600)
		}
		want, err := os.ReadFile(file)
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); err != nil || diff != "" {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})

	t.Run("says where the state is when it is stopped", func(t *testing.T) {
		t.Parallel()
		ctx, stop := context.WithCancel(t.Context())
		dir := t.TempDir()
		progress := &watcher{on: "submitted 3/", do: func(string) { stop() }}
		err := demo.Run(ctx, config(dir, &bytes.Buffer{}, progress))
		if err == nil || !strings.Contains(err.Error(), "the state is in "+dir) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("says what is missing", func(t *testing.T) {
		if err := demo.Run(t.Context(), demo.Config{}); err == nil || !strings.Contains(err.Error(), "required") {
			t.Errorf("got %v", err)
		}
	})
}

func TestChecks(t *testing.T) {
	t.Run("fail when the world is not as promised", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		var output bytes.Buffer
		progress := &watcher{on: "submitted 50/", do: func(seen string) { tamper(t, seen) }}
		err := demo.Run(t.Context(), config(dir, &output, progress))
		if err == nil || !strings.Contains(err.Error(), "6 of 9 checks FAILED") || !strings.Contains(err.Error(), dir) {
			t.Errorf("got %v", err)
		}
		for _, want := range []string{
			`FAILED  every request is accounted for exactly once`,
			`belongs to no request`,
			`"step 2: throttled, with a hint": cancelled; expected: routine created, record created`,
			`missing: record throttled-2.example.com of routine throttled-2`,
			`not asked for: routine intruder (description "was not asked for", hasAssets false)`,
			`FAILED  the queues are empty`,
			`17 further attempts for 16 errors that are tried again`,
			`error Throttling.User on CreateRoutineRelatedRecord of throttled-2: 1 did not`,
		} {
			if !strings.Contains(output.String(), want) {
				t.Errorf("the report does not say: %s", want)
			}
		}
		if t.Failed() {
			t.Log(output.String())
		}
	})
}

// tamper breaks what the checks look at: it makes a routine, calls a job off, asks for another, leaves a message, and injects errors that the
// demo did not plan.
func tamper(t *testing.T, seen string) {
	var accept, esa, mns string
	if _, err := fmt.Sscanf(seen[strings.Index(seen, "accept"):], "accept %s  ESA %s  MNS %s", &accept, &esa, &mns); err != nil {
		t.Errorf("no addresses in %q: %v", seen, err)
		return
	}
	call(t, esa+"/_local/routines", "", `{"name":"intruder","description":"was not asked for"}`)
	call(t, esa+"/_local/faults", "", `[
		{"action":"CreateRoutine","match":{"Name":"over-quota"},"fault":{"answer":"error","code":"InternalException"}},
		{"action":"CreateRoutine","match":{"Name":"bare"},"fault":{"answer":"error","code":"InternalException"}}]`)
	const throttled = `{"name":"throttled-2","siteId":54362329990032,"recordName":"throttled-2.example.com"}`
	var job struct{ ID string }
	if err := json.Unmarshal(call(t, accept+"/v1/routines", "throttled-2", throttled), &job); err != nil {
		t.Error(err)
	}
	call(t, accept+"/v1/jobs/"+job.ID+":cancel", "", "")
	call(t, accept+"/v1/routines", "nobody", `{"name":"shop","siteId":54362329990032,"recordName":"shop.example.com"}`)
	client, err := mnsclient.New(mnsclient.Config{Endpoint: mns, AccessKeyID: stack.AccessKeyID, AccessKeySecret: stack.AccessKeySecret})
	if err != nil {
		t.Error(err)
		return
	}
	defer client.Close()
	if _, err := client.Send(t.Context(), stack.DeadLetterQueue, "who is this?", 0); err != nil {
		t.Error(err)
	}
}

// call posts a JSON body under an idempotency key, if there is one, and returns the answer.
func call(t *testing.T, url, key, body string) []byte {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return nil
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= http.StatusBadRequest {
		t.Errorf("%s: %s %s %v", url, res.Status, answer, err)
	}
	return answer
}

// timeless replaces what differs from demo to demo, the time it took and how often the lock was met, and the product's own hints.
func timeless(report string) string {
	report = regexp.MustCompile(`in [0-9.]+ s`).ReplaceAllString(report, "in #.# s")
	report = regexp.MustCompile(`\([0-9]+ refusals`).ReplaceAllString(report, "(# refusals")
	return regexp.MustCompile(`(?m)^     [^ ].*$`).ReplaceAllString(report, "     (why, or what to do)")
}
