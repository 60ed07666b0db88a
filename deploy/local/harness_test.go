package main_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/stack"
)

// parallel is how many tests run at once. Most of their time they wait.
const parallel = "8"

// TestMain builds the functions and the local servers once.
func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := localtest.Build(
		"functions/accept/main", "functions/provision/main", "functions/notify/main", "functions/janitor/main", "deploy/local")
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

// Names of the programs that a deployment consists of: the commands of `local`.
const (
	messageService  = "mns"
	edgeService     = "esa"
	tableService    = "ots"
	functionCompute = "fc"
)

// programNames are all programs in the order in which they start.
func programNames() []string {
	return []string{messageService, edgeService, tableService, functionCompute}
}

// deployment is the whole of Routinely on this machine: each server is a process of its own, and Function Compute runs the functions as
// they are deployed. Each process can be killed and started again. The janitor runs when a test says so, and not by a timer.
type deployment struct {
	t *testing.T
	// url is the address of each program, and of accept.
	url      map[string]string
	dir      string
	programs map[string]*program
	receiver *receiver

	mu sync.Mutex
	// orders are what was asked for.
	orders []*order
	// unreadable counts the messages without a job that were put on the dead-letter queue.
	unreadable int
}

// program is a command of `local`, which can be killed and started again as it was.
type program struct {
	args  []string
	ready string
	cmd   *exec.Cmd
	said  *output
}

// deploy starts a deployment that ends with the test. settings are further flags of `local fc`, such as "-env", "accept:NAME=value"; they
// take the place of those that are given here.
func deploy(t *testing.T, settings ...string) *deployment {
	t.Helper()
	d := &deployment{t: t, url: map[string]string{}, dir: t.TempDir(), programs: map[string]*program{}, receiver: newReceiver(t)}
	for _, name := range append(programNames(), stack.FunctionAccept) {
		d.url[name] = "http://" + freeAddress(t)
	}
	t.Cleanup(d.close)
	d.prepare()
	key := []string{"-access-key", stack.AccessKeyID, "-secret-key", stack.AccessKeySecret}
	for _, name := range []string{messageService, edgeService, tableService} {
		args := slices.Concat([]string{name, "-listen", host(d.url[name]), "-data", filepath.Join(d.dir, name), "-no-sync"}, key)
		if name == edgeService {
			args = append(args, "-latency", "5ms", "-routine-quota", "30000")
		}
		d.programs[name] = &program{args: args, ready: name + " listening on "}
	}
	d.programs[functionCompute] = &program{args: slices.Concat(d.functions(), key, settings), ready: "fc: ready: http "}
	for _, name := range []string{messageService, edgeService, tableService} {
		d.start(name)
	}
	d.createQueues()
	d.start(functionCompute)
	return d
}

// functions are the flags of `local fc`: s.yaml in short. Calls wait for long, so that one that hangs is alone until somebody is killed.
func (d *deployment) functions() []string {
	args := []string{
		functionCompute, "-listen", host(d.url[functionCompute]), "-http", stack.FunctionAccept + "=" + host(d.url[stack.FunctionAccept]),
		"-mns", d.url[messageService], "-dead-letter", stack.DeadLetterQueue, "-retry", "EXPONENTIAL_DECAY_RETRY", "-tolerance", "ALL",
		"-queue", stack.FunctionWorker + "=" + stack.Queue, "-queue", stack.FunctionNotify + "=" + stack.CallbackQueue,
		"-security-token", sessionToken,
	}
	for _, f := range []struct{ name, binary, limits string }{
		{stack.FunctionAccept, "accept", "timeout=120s,instances=4,prestop"},
		{stack.FunctionWorker, "provision", "timeout=300s,instances=1,prestop"},
		{stack.FunctionNotify, "notify", "timeout=60s,instances=2"},
		{stack.FunctionJanitor, "janitor", "timeout=50s,instances=1,async-retries=0"},
	} {
		args = append(args, "-function", f.name+"="+binary(f.binary)+","+f.limits)
		for _, setting := range []string{
			"MNS_ENDPOINT=" + d.url[messageService], "ESA_ENDPOINT=" + d.url[edgeService], "TABLESTORE_ENDPOINT=" + d.url[tableService],
			"TABLESTORE_INSTANCE=" + stack.Instance, "PREFIX=" + stack.Prefix, "AUTH=none", "CALLBACK_SECRETS=whsec_" + callbackSecret,
			"MESSAGE_KEYS=" + messageKey,
			"CALLBACK_HTTP=true", "CALLBACK_NETWORKS=127.0.0.0/8",
			"TABLESTORE_TIMEOUT=60s", "MNS_TIMEOUT=60s", "RETRY_BASE=100ms", "LOCK_POLL_MIN=5ms", "LOCK_POLL_MAX=50ms",
		} {
			args = append(args, "-env", f.name+":ROUTINELY_"+setting)
		}
	}
	return args
}

// prepare puts the site and the tables that a stack has into the data directory.
func (d *deployment) prepare() {
	d.t.Helper()
	const free, unused = "127.0.0.1:0", "true"
	s, err := stack.New(stack.Config{
		Dir: d.dir, NoSync: true, Accept: unused, Provision: unused, Notify: unused, Janitor: unused,
		Addresses: stack.Addresses{HTTP: free, MNS: free, ESA: free, OTS: free, FC: free},
	})
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *deployment) createQueues() {
	d.t.Helper()
	visibility := 3 // seconds: soon after Function Compute was killed, messages come again
	for _, queue := range []string{stack.Queue, stack.DeadLetterQueue, stack.CallbackQueue} {
		if err := d.queues().CreateQueue(d.t.Context(), queue, mnsclient.Attributes{VisibilityTimeout: &visibility}); err != nil {
			d.t.Fatal(err)
		}
	}
}

// queues is a client of MNS that knows nothing of Routinely.
func (d *deployment) queues() *mnsclient.Client {
	d.t.Helper()
	client, err := mnsclient.New(mnsclient.Config{
		Endpoint: d.url[messageService], AccessKeyID: stack.AccessKeyID, AccessKeySecret: stack.AccessKeySecret,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(client.Close)
	return client
}

// start starts a program, for the first time or again, and waits until it is ready.
func (d *deployment) start(name string) {
	d.t.Helper()
	p := d.programs[name]
	p.cmd, p.said = exec.Command(binary("local"), p.args...), &output{}
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	if err := p.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	until(d.t, name+" is ready", func() bool { return strings.Contains(p.said.String(), p.ready) })
}

// restart kills programs all together, and starts them again where they were. The functions do not outlive Function Compute.
func (d *deployment) restart(names ...string) {
	d.t.Helper()
	var left []instance
	if slices.Contains(names, functionCompute) {
		left = d.instances()
	}
	for _, name := range names {
		_ = d.programs[name].cmd.Process.Kill()
	}
	for _, name := range names {
		_ = d.programs[name].cmd.Wait()
	}
	checkGone(d.t, left)
	for _, name := range names {
		d.start(name)
	}
}

// close ends all programs. What they said is shown if the test has failed.
func (d *deployment) close() {
	for name, p := range d.programs {
		if p.cmd == nil {
			continue
		}
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if d.t.Failed() {
			said := regexp.MustCompile("(?m)^ *FC .*\n").ReplaceAllString(p.said.String(), "")
			d.t.Logf("%s: %s", name, said[max(0, len(said)-6000):])
		}
	}
}

// instance is a process of a function.
type instance struct {
	Function, State string
	PID             int
	GuardPID        int `json:"guardPid"`
}

func (d *deployment) instances() []instance {
	d.t.Helper()
	var list []instance
	d.read(d.url[functionCompute]+"/_local/instances", &list)
	return list
}

// busy waits for an instance of the function that has an event.
func (d *deployment) busy(function string) (found instance) {
	d.t.Helper()
	until(d.t, "an instance of "+function+" is busy", func() bool {
		list := d.instances()
		i := slices.IndexFunc(list, func(in instance) bool { return in.Function == function && in.State == "busy" })
		if i >= 0 {
			found = list[i]
		}
		return i >= 0
	})
	return found
}

func kill(t *testing.T, pid int, with syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, with); err != nil {
		t.Fatal(err)
	}
}

// checkGone waits for the end of processes whose parent is dead: the kernel ends them.
func checkGone(t *testing.T, list []instance) {
	t.Helper()
	for _, in := range list {
		for _, pid := range []int{in.PID, in.GuardPID} {
			until(t, fmt.Sprintf("process %d of %s ends", pid, in.Function), func() bool { return !alive(pid) })
		}
	}
}

// alive reports whether a process runs. One that nobody has waited for is a zombie, state Z, and does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if errors.Is(err, fs.ErrNotExist) {
		_, err := os.Stat("/proc/self/stat")
		return err != nil // there is no /proc
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(rest, []byte("Z"))
}

// output is what a process has said.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(text)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// limit bounds each wait, and the pauses between two looks grow from shortest to longest: many deployments share few processors.
const (
	limit    = 90 * time.Second
	shortest = 20 * time.Millisecond
	longest  = 250 * time.Millisecond
)

// until looks again and again until something is done.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	late := time.After(limit)
	for pause := shortest; !done(); pause = min(pause*4/3, longest) {
		select {
		case <-time.After(pause):
		case <-late:
			t.Fatalf("waited %s in vain: %s", limit, what)
		}
	}
}

func host(url string) string { return strings.TrimPrefix(url, "http://") }

// freeAddress is a port below the range that the kernel gives to callers, each once: nobody takes the place of a server that was killed before
// it is back. A file beside the binaries says that a port is taken.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := 12000 + rand.IntN(20000)
		taken, err := os.OpenFile(binary(fmt.Sprintf("port-%d", port)), os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			continue
		}
		_ = taken.Close()
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}
