package main_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRun starts everything in one process, as `make run` does, stops it with Ctrl-C and starts it again. `make clean` deletes its state only
// while nothing runs.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state, said := filepath.Join(dir, ".local"), filepath.Join(dir, "said")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	start := func() (stop func()) {
		const free = "127.0.0.1:0"
		cmd := launch(t, said, "run", "-data", state, "-no-sync",
			"-accept", binary("accept"), "-provision", binary("provision"), "-notify", binary("notify"), "-janitor", binary("janitor"),
			"-http", free, "-mns", free, "-esa", free, "-ots", free, "-fc", free, "-latency", "10ms")
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		until(t, "everything runs", func() bool { return strings.Contains(read(t, said), "Ctrl-C stops everything") })
		return func() {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, read(t, said))
			}
		}
	}
	banner := func(pattern string) string {
		match := regexp.MustCompile(pattern).FindStringSubmatch(read(t, said))
		if match == nil {
			t.Fatalf("no %s in %s", pattern, read(t, said))
		}
		return match[1]
	}
	there := func() bool { _, err := os.Stat(state); return err == nil }

	stop := start()
	status, answer := request(t.Context(), http.MethodPost, banner(`curl -i (\S+) `), banner(`-d '(.*)'`))
	var accepted struct{ ID string }
	if decode(t, answer, &accepted); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, answer)
	}
	until(t, "the job succeeds", func() bool { return strings.Contains(read(t, said), "job succeeded  jobId="+accepted.ID) })
	if said, err := makes(t, dir, "clean"); err == nil || !strings.Contains(said, "Stop it first") || !there() {
		t.Errorf("clean while everything runs: %v, %s", err, said)
	}
	stop()

	stop = start()
	status, answer = request(t.Context(), http.MethodGet, banner(`HTTP trigger\)\s+(http\S+)`)+"/v1/jobs/"+accepted.ID, "")
	if status != http.StatusOK || !strings.Contains(answer, succeeded) {
		t.Errorf("the job after a restart: %d %s", status, answer)
	}
	stop()
	if left, _ := filepath.Glob(filepath.Join(state, "running", "*")); len(left) > 0 {
		t.Errorf("after its end %q are left", left)
	}
	// What a killed process leaves stops nobody. 2147483646 is no process: Linux has fewer.
	if err := os.WriteFile(filepath.Join(state, "running", "2147483646"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := makes(t, dir, "clean"); err != nil || there() {
		t.Errorf("clean afterwards: %v, %s", err, said)
	}
}

// makes runs a target of the Makefile in another directory.
func makes(t *testing.T, dir, target string, settings ...string) (said string, err error) {
	t.Helper()
	makefile, err := filepath.Abs("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("make", append([]string{"-C", dir, "-f", makefile, target}, settings...)...).CombinedOutput()
	return string(out), err
}

func TestMakeBuildTellsOfTheFirst(t *testing.T) {
	t.Parallel()
	for stale, want := range map[string]bool{"true": true, "false": false, "": true} {
		compiler := filepath.Join(t.TempDir(), "go") // it only says whether packages must be compiled
		script := "#!/bin/sh\nif [ $1 = list ]; then echo " + stale + "; fi\n"
		if err := os.WriteFile(compiler, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		said, err := makes(t, filepath.Dir(compiler), "build", "GO="+compiler)
		if err != nil || strings.Contains(said, "The first build takes some minutes") != want {
			t.Errorf("stale %q: %v, %s", stale, err, said)
		}
	}
}
