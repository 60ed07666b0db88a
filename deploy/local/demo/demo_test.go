package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
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

var update = flag.Bool("update", false, "write the golden files")

// TestMain builds the functions as they are deployed.
func TestMain(m *testing.M) {
	dir, err := localtest.Build("functions/accept/main", "functions/provision/main", "functions/notify/main")
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

// watcher is a progress output that calls a function for the first line that holds a text. Whatever the line tells of waits
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
			Addresses:  stack.Addresses{HTTP: free, MNS: free, ESA: free, OTS: free, FC: free},
			ESALatency: 10 * time.Millisecond,
		},
		Output: output, Progress: progress,
	}
}

func TestRun(t *testing.T) {
	t.Run("tells what became of each request and leaves nothing behind", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "demo")
		var output bytes.Buffer
		progress := &watcher{}
		if err := demo.Run(t.Context(), config(dir, &output, progress)); err != nil {
			t.Errorf("%v\n%s", err, progress.seen.String())
		}
		golden(t, "report.txt", timeless(output.String()))
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the data directory is still there: %v", err)
		}
	})

	t.Run("says what is missing", func(t *testing.T) {
		if err := demo.Run(t.Context(), demo.Config{}); err == nil || !strings.Contains(err.Error(), "required") {
			t.Errorf("got %v", err)
		}
	})
}

func TestChecks(t *testing.T) {
	t.Run("fail when the world is not as promised, and the next demo begins anew", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "demo")
		var output bytes.Buffer
		progress := &watcher{on: "settled 22/", do: func(seen string) { tamper(t, seen) }}
		err := demo.Run(t.Context(), config(dir, &output, progress))
		if err == nil || !strings.Contains(err.Error(), "7 of 8 checks FAILED") || !strings.Contains(err.Error(), dir) {
			t.Errorf("got %v", err)
		}
		for _, want := range []string{
			`"a routine and its host name" succeeded and was given up`,
			`"step 1: 503" was accepted and lost`,
			`"a routine somebody else made, different" was given up and has no dead letter`,
			`a dead letter belongs to no request: job "", "who is this?"`,
			`"over the quota of routines, again": routine created, record created; expected: dead-lettered operator RoutineNumberExceedQuotaLimit CreateRoutine`,
			`missing: routine busy-1 (`,
			`not asked for: routine intruder (description "was not asked for", hasAssets false)`,
			`not asked for: record over-quota-2.example.com of routine over-quota-2`,
			`"a message that is no request at all": no hint`,
			`"a message that is no request at all" is not in the dead-letter queue as it was`,
			`1 attempts failed and only 0 errors were injected`,
			`throttled on CreateRoutine: 1 of 1 did not`,
		} {
			if !strings.Contains(output.String(), want) {
				t.Errorf("the report does not say: %s", want)
			}
		}
		if t.Failed() {
			t.Log(output.String())
		}
		output.Reset()
		again := &watcher{}
		ctx, stop := context.WithCancel(t.Context())
		again.on, again.do = "submitted 3/", func(string) { stop() }
		if err := demo.Run(ctx, config(dir, &output, again)); err == nil || !strings.Contains(err.Error(), "the next demo resumes") {
			t.Errorf("stopped: got %v", err)
		}
		if strings.Contains(again.seen.String(), "resuming") {
			t.Errorf("resumes a demo that had come to its end:\n%s", again.seen.String())
		}
	})
}

func TestDirectory(t *testing.T) {
	t.Run("is one demo's", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "demo")
		ctx, stop := context.WithCancel(t.Context())
		var output bytes.Buffer
		var second error
		progress := &watcher{on: "submitted 1/", do: func(string) {
			second = demo.Run(ctx, config(dir, &output, &watcher{}))
			stop()
		}}
		if err := demo.Run(ctx, config(dir, &output, progress)); err == nil {
			t.Error("the first demo was not stopped")
		}
		if second == nil || !strings.Contains(second.Error(), "is another demo running?") {
			t.Errorf("got %v", second)
		}
	})

	t.Run("is refused when it holds something else", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		file := filepath.Join(dir, "thesis.txt")
		if err := os.WriteFile(file, []byte("years of work"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := demo.Run(t.Context(), config(dir, &bytes.Buffer{}, &watcher{}))
		if err == nil || !strings.Contains(err.Error(), "not empty and not a demo's") {
			t.Errorf("got %v", err)
		}
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	})
}

// tamper breaks what the checks look at: it makes a routine, loses all messages, forges dead letters, and injects an error
// that the demo did not plan.
func tamper(t *testing.T, seen string) {
	urls := regexp.MustCompile(`accept (\S+)  ESA (\S+)  MNS (\S+)`).FindStringSubmatch(seen)
	if urls == nil {
		t.Errorf("no addresses in %q", seen)
		return
	}
	accept, esa, mns := urls[1], urls[2], urls[3]
	call(t, http.MethodPost, esa+"/_local/routines", `{"name":"intruder","description":"was not asked for"}`)
	call(t, http.MethodPost, esa+"/_local/faults",
		`{"action":"CreateRoutine","match":{"Name":"over-quota-2"},"fault":{"answer":"error","code":"InternalException"}}`)
	for _, queue := range []string{stack.Queue, stack.DeadLetterQueue} {
		call(t, http.MethodDelete, mns+"/_local/queues/"+queue+"/messages", "")
	}
	var shop struct{ ID string }
	answer := call(t, http.MethodPost, accept+"/v1/routines", `{"name":"shop","siteId":54362329990032,"recordName":"shop.example.com"}`)
	if err := json.Unmarshal(answer, &shop); err != nil || shop.ID == "" {
		t.Errorf("%v: %s", err, answer)
	}
	client, err := mnsclient.New(mnsclient.Config{Endpoint: mns, AccessKeyID: stack.AccessKeyID, AccessKeySecret: stack.AccessKeySecret})
	if err != nil {
		t.Error(err)
		return
	}
	defer client.Close()
	for _, letter := range []string{
		fmt.Sprintf(`{"type":"routinely.dead-letter.v1","data":{"received":{"encoding":"base64","body":%s}}}`, malformed(t)),
		`{"type":"routinely.dead-letter.v1","data":{"jobId":"` + shop.ID + `"}}`,
		"who is this?",
	} {
		if _, err := client.Send(t.Context(), stack.DeadLetterQueue, letter, 0); err != nil {
			t.Error(err)
		}
	}
}

// malformed is the body of the line "malformed" as a JSON string.
func malformed(t *testing.T) json.RawMessage {
	file, err := os.ReadFile("requests.ndjson")
	if err != nil {
		t.Error(err)
	}
	for line := range bytes.Lines(file) {
		var l struct {
			Key  string
			Body json.RawMessage
		}
		if err := json.Unmarshal(line, &l); err != nil {
			t.Error(err)
		}
		if l.Key == "malformed" {
			return l.Body
		}
	}
	t.Error("there is no such line")
	return nil
}

// call sends a JSON body, with the key that the line "shop" has, and returns the answer.
func call(t *testing.T, method, url, body string) []byte {
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return nil
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", "shop")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusBadRequest {
		t.Errorf("%s %s: %s", method, url, res.Status)
	}
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return answer
}

// timeless replaces what differs from demo to demo: ids, times, and how often the lock was met and the look before it made.
func timeless(report string) string {
	for pattern, with := range map[string]string{
		`│ [0-9a-f]{8} │`:                        "│ ######## │",
		`in [0-9.]+ s`:                           "in #.# s",
		`(?m)^.*UserOperationStatusIsLocked.*\n`: "", `(?m)(│ (?:all|GetRoutine +│ RoutineNotExist) .*│)( +[0-9]+) │$`: "$1 ##### │",
		`\([0-9]+ refusals`: "(# refusals",
	} {
		report = regexp.MustCompile(pattern).ReplaceAllString(report, with)
	}
	return report
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
