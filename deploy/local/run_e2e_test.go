package main_test

import (
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// running is a `local run` with the addresses that its banner tells.
type running struct {
	cmd    *exec.Cmd
	said   *output
	banner func(pattern string) string
}

// run starts everything in one process, as `make run` does, with its state in dir, where it works too.
func run(t *testing.T, dir string) running {
	t.Helper()
	const free = "127.0.0.1:0"
	r := running{said: &output{}, cmd: exec.Command(binary("local"), "run", "-data", dir, "-no-sync",
		"-accept", binary("accept"), "-provision", binary("provision"), "-notify", binary("notify"), "-janitor", binary("janitor"),
		"-http", free, "-mns", free, "-esa", free, "-ots", free, "-fc", free, "-latency", "10ms")}
	r.cmd.Stdout, r.cmd.Stderr, r.cmd.Dir = r.said, r.said, dir
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	until(t, "everything runs", func() bool { return strings.Contains(r.said.String(), "Ctrl-C stops everything") })
	r.banner = func(pattern string) string {
		match := regexp.MustCompile(pattern).FindStringSubmatch(r.said.String())
		if match == nil {
			t.Fatalf("no %s in %s", pattern, r.said.String())
		}
		return match[1]
	}
	return r
}

// stop presses Ctrl-C and checks that this is no error.
func (r running) stop(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, r.said.String())
	}
}

func TestRunKeepsItsState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := run(t, dir)
	status, answer := request(t.Context(), http.MethodPost, first.banner(`curl -i (\S+) `), first.banner(`-d '(.*)'`))
	var accepted struct{ ID string }
	if decode(t, answer, &accepted); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, answer)
	}
	until(t, "the job succeeds", func() bool { return strings.Contains(first.said.String(), "job succeeded  jobId="+accepted.ID) })
	first.stop(t)

	second := run(t, dir)
	status, answer = request(t.Context(), http.MethodGet, second.banner(`HTTP trigger\)\s+(http\S+)`)+"/v1/jobs/"+accepted.ID, "")
	if status != http.StatusOK || !strings.Contains(answer, succeeded) {
		t.Errorf("the job after a restart: %d %s", status, answer)
	}
	second.stop(t)
}
