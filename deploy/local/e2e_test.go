package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"routinely/deploy/local/localtest"
)

// parallel is how many tests run at once. Most of their time they wait.
const parallel = "8"

// TestMain builds the three binaries once.
func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := localtest.Build("functions/accept/main", "functions/provision/main", "functions/notify/main", "deploy/local")
	if err == nil {
		err = flag.Set("test.parallel", parallel)
	}
	if err == nil {
		err = os.Setenv("LOCAL_TEST_BINARIES", dir)
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

func binary(name string) string { return filepath.Join(os.Getenv("LOCAL_TEST_BINARIES"), name) }

// limit bounds each wait for a process that does not do what it should.
const limit = time.Minute

// process is a running `local`.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  chan string
	seen   strings.Builder
	stdout bytes.Buffer
	// late ends the process when it does not come to its end.
	late *time.Timer
}

// start runs a command of `local` with its data in dir. Its progress, or with it the output when there is no progress, can be
// awaited line by line.
func start(t *testing.T, command, dir string, args ...string) *process {
	t.Helper()
	return startWith(t, nil, command, dir, args...)
}

// startWith starts a command with settings beside the environment of the test.
func startWith(t *testing.T, settings []string, command, dir string, args ...string) *process {
	t.Helper()
	args = append([]string{command, "-data", dir, "-no-sync", "-accept", binary("accept"), "-provision", binary("provision"), "-notify", binary("notify"), "-latency", "10ms"}, args...)
	p := &process{t: t, cmd: exec.Command(binary("local"), args...), lines: make(chan string, 10000)}
	p.cmd.Env = append(p.cmd.Environ(), settings...)
	p.cmd.Stdout = &p.stdout
	read, err := p.cmd.StderrPipe()
	if command == "run" {
		p.cmd.Stdout, p.cmd.Stderr = nil, nil
		read, err = p.cmd.StdoutPipe()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.late = time.AfterFunc(limit, func() { _ = p.cmd.Process.Kill() })
	go func() {
		defer close(p.lines)
		for scanner := bufio.NewScanner(read); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if p.cmd.ProcessState == nil {
			p.wait()
		}
	})
	return p
}

// await returns the first line from here on that matches, with its groups.
func (p *process) await(pattern string) []string {
	p.t.Helper()
	expression := regexp.MustCompile(pattern)
	for line := range p.lines {
		p.seen.WriteString(line + "\n")
		if match := expression.FindStringSubmatch(line); match != nil {
			return match
		}
	}
	p.t.Fatalf("%q did not come:\n%s%s", pattern, &p.seen, &p.stdout)
	return nil
}

// wait returns the exit code, -1 when the process was killed.
func (p *process) wait() int {
	for line := range p.lines {
		p.seen.WriteString(line + "\n")
	}
	_ = p.cmd.Wait()
	p.late.Stop()
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// succeeds waits for a demo's end and checks that it is a good one, and whether its directory is kept.
func (p *process) succeeds(dir string, kept bool) {
	p.t.Helper()
	code, report := p.wait(), p.stdout.String()
	if code != 0 || strings.Contains(report, "FAILED") || strings.Count(report, "\n  ok ") < 7 {
		p.t.Fatalf("exit code %d\n%s\n%s", code, &p.seen, report)
	}
	if _, err := os.Stat(dir); kept != (err == nil) {
		p.t.Errorf("the data directory: kept %t, want %t", err == nil, kept)
	}
}

// servers are the addresses a demo begins with.
type servers struct{ esa, mns, fc string }

func (p *process) servers() servers {
	p.t.Helper()
	urls := p.await(`ESA (\S+)  MNS (\S+)  Function Compute (\S+)`)
	return servers{urls[1], urls[2], urls[3]}
}

type instance struct {
	Function, State string
	PID             int
	GuardPID        int `json:"guardPid"`
}

func (s servers) instances(t *testing.T) []instance {
	t.Helper()
	var list []instance
	decode(t, send(t, http.MethodGet, s.fc+"/_local/instances", ""), &list)
	return list
}

// busy waits for an instance of the function that has an event.
func (s servers) busy(t *testing.T, function string) (found instance) {
	t.Helper()
	until(t, "an instance of "+function+" is busy", func() bool {
		list := s.instances(t)
		i := slices.IndexFunc(list, func(in instance) bool { return in.Function == function && in.State == "busy" })
		if i >= 0 {
			found = list[i]
		}
		return i >= 0
	})
	return found
}

// refusals is how many calls met the account lock.
func (s servers) refusals(t *testing.T) int {
	t.Helper()
	return bytes.Count(send(t, http.MethodGet, s.esa+"/_local/calls", ""), []byte(`"UserOperationStatusIsLocked"`))
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// soon is how long processes may outlive the parent that the kernel ends them with.
const soon = 10 * time.Second

// checkGone waits for the end of processes whose parent is dead.
func checkGone(t *testing.T, list []instance) {
	t.Helper()
	for _, in := range list {
		for _, pid := range []int{in.PID, in.GuardPID} {
			within(t, soon, longest, fmt.Sprintf("process %d of %s ends", pid, in.Function), func() bool { return !alive(pid) })
		}
	}
}

// alive reports whether a process runs. One that nobody has waited for is a zombie, state Z, and does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) || !hasProc()
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(rest, []byte("Z"))
}

func hasProc() bool {
	_, err := os.Stat("/proc/self/stat")
	return err == nil
}

// send makes a call that must succeed and returns the body of the answer.
func send(t *testing.T, method, url, body string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s %s: %s %s, %v", method, url, res.Status, answer, err)
	}
	return answer
}

func decode(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

const (
	worker = "routinely-provision"
	accept = "routinely-accept"
)

func TestDemoOutlives(t *testing.T) {
	t.Parallel()
	t.Run("an instance that works", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "demo")
		p := start(t, "demo", dir)
		s := p.servers()
		p.await(`settled 5/`)
		// Once a call has met the lock that somebody else has, its job cannot end: the instance dies in the middle of it.
		send(t, http.MethodPost, s.esa+"/_local/lock", `{"holdMillis":60000}`)
		before := s.refusals(t)
		until(t, "a call meets the lock", func() bool { return s.refusals(t) > before })
		kill(t, s.busy(t, worker).PID)
		p.await(`invocation failed, its messages are delivered again`)
		send(t, http.MethodDelete, s.esa+"/_local/lock", "")
		p.succeeds(dir, false)
	})

	t.Run("an instance that accepts", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "demo")
		p := start(t, "demo", dir, "-keep")
		s := p.servers()
		// MNS takes a message from accept, the only one that sends without a delay, and never says so.
		send(t, http.MethodPost, s.mns+"/_local/faults",
			`{"action":"SendMessage","match":{"queue":"routinely-jobs","delaySeconds":"0"},"fault":{"answer":"hang","execute":true}}`)
		until(t, "the fault strikes", func() bool { return len(send(t, http.MethodGet, s.mns+"/_local/faults", "")) <= len("[]\n") })
		kill(t, s.busy(t, accept).PID)
		p.await(`submitting ".*" once more, with the same key`)
		p.succeeds(dir, true)
	})
}

func TestDemoResumes(t *testing.T) {
	t.Parallel()
	t.Run("after it was killed, twice", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "demo")
		for _, line := range []string{`submitted 44/`, `settled 20/`} {
			p := start(t, "demo", dir)
			s := p.servers()
			p.await(line)
			left := s.instances(t)
			p.signal(syscall.SIGKILL)
			p.wait()
			if len(left) < 2 {
				t.Errorf("%d instances were running, want those of two functions", len(left))
			}
			checkGone(t, left)
		}
		p := start(t, "demo", dir)
		p.await(`resuming .*start 3: submitting all requests again`)
		p.succeeds(dir, false)
	})

	t.Run("after Ctrl-C", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "demo")
		p := start(t, "demo", dir)
		s := p.servers()
		p.await(`settled 3/`)
		left := s.instances(t)
		p.signal(os.Interrupt)
		if code := p.wait(); code != 1 || !strings.Contains(p.seen.String(), "the next demo resumes this one in "+dir) {
			t.Errorf("exit code %d\n%s", code, &p.seen)
		}
		checkGone(t, left)
		p = start(t, "demo", dir)
		p.await(`resuming`)
		p.succeeds(dir, false)
	})
}

// onFreePorts are the flags of run that keep it out of the way of others.
var onFreePorts = []string{
	"-http", "127.0.0.1:0", "-mns", "127.0.0.1:0", "-esa", "127.0.0.1:0", "-ots", "127.0.0.1:0", "-fc", "127.0.0.1:0",
}

func TestRunKeepsItsState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, "run", dir, onFreePorts...)
	p.await(`^Routinely is running`)
	command := p.await(`curl -i (\S+) -H 'Content-Type: application/json' -d '(.*)'`)
	var job struct{ ID string }
	decode(t, send(t, http.MethodPost, command[1], command[2]), &job)
	p.await(`job succeeded  jobId=` + regexp.QuoteMeta(job.ID))
	p.signal(os.Interrupt)
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, &p.seen)
	}

	p = start(t, "run", dir, onFreePorts...)
	var state struct {
		Routines []struct {
			Name    string
			Records []struct{ RecordName string }
		}
	}
	decode(t, send(t, http.MethodGet, p.await(`ESA +(http\S+)`)[1]+"/_local/state", ""), &state)
	if len(state.Routines) != 1 || state.Routines[0].Name != "hello" || len(state.Routines[0].Records) != 1 {
		t.Errorf("got %+v", state)
	}
	p.await(`Ctrl-C`)
	p.signal(os.Interrupt)
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, &p.seen)
	}
}
