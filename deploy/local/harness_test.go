package main_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/stack"
)

// parallel is how many tests run at once. Most of their time they wait.
const parallel = "16"

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

// servers are the services that functions call, and programs these and the platform, in the order in which they start.
func servers() []string  { return []string{messageService, edgeService, tableService} }
func programs() []string { return append(servers(), functionCompute) }

func functions() []string {
	return []string{stack.FunctionAccept, stack.FunctionWorker, stack.FunctionNotify, stack.FunctionJanitor}
}

// deployment is the whole of Routinely on this machine: each server is a process of its own, and Function Compute runs the functions as
// they are deployed. Each process can be killed and started again. The janitor runs when a test says so, and not by a timer.
type deployment struct {
	t *testing.T
	// url is the address of each program, of accept, and of the receiver.
	url      map[string]string
	dir      string
	programs map[string]*program
	receiver *receiver
	// orders are what was asked for.
	orders []*order
	// planted is what others have in ESA, as a text.
	planted string
	// unreadable counts the messages without a job that were put on the dead-letter queue.
	unreadable int
}

// program is a command of `local`, which can be killed and started again as it was.
type program struct {
	args  []string
	ready string
	cmd   *exec.Cmd
	// said is the file with what it says.
	said string
}

// deploy starts a deployment that ends with the test. settings are further flags of `local fc`; they take the place of those that are given
// here.
func deploy(t *testing.T, settings ...string) *deployment {
	t.Helper()
	d := &deployment{t: t, url: map[string]string{}, dir: t.TempDir(), programs: map[string]*program{}}
	d.receiver, d.url[theReceiver] = newReceiver(t)
	for _, name := range append(programs(), stack.FunctionAccept) {
		d.url[name] = "http://" + freeAddress(t)
	}
	t.Cleanup(func() { d.close(t) })
	d.prepare()
	key := []string{"-access-key", stack.AccessKeyID, "-secret-key", stack.AccessKeySecret}
	for _, name := range servers() {
		args := slices.Concat([]string{name, "-listen", host(d.url[name]), "-data", filepath.Join(d.dir, name), "-no-sync"}, key)
		if name == edgeService {
			args = append(args, "-latency", "5ms", "-routine-quota", "30000")
		}
		d.add(name, name+" listening on ", args)
	}
	visibility := 3 // seconds: messages come again soon after Function Compute was killed
	for _, queue := range []string{stack.Queue, stack.DeadLetterQueue, stack.CallbackQueue} {
		if err := d.queues().CreateQueue(t.Context(), queue, mnsclient.Attributes{VisibilityTimeout: &visibility}); err != nil {
			t.Fatal(err)
		}
	}
	d.add(functionCompute, "fc: ready: http ", slices.Concat(d.platform(), key, settings))
	return d
}

// add starts a program for the first time. It is ready once it says so.
func (d *deployment) add(name, ready string, args []string) {
	d.t.Helper()
	d.programs[name] = &program{args: args, ready: ready, said: filepath.Join(d.dir, name+".log")}
	d.start(name)
}

// platform are the flags of `local fc`: s.yaml in short. A call waits long for its answer, so that a call that hangs stays until a test kills
// somebody.
func (d *deployment) platform() []string {
	args := []string{
		functionCompute, "-listen", host(d.url[functionCompute]), "-http", stack.FunctionAccept + "=" + host(d.url[stack.FunctionAccept]),
		"-mns", d.url[messageService], "-dead-letter", stack.DeadLetterQueue, "-batch", "10", "-batch-window", "1s",
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
	}
	return append(args, everywhere(
		"MNS_ENDPOINT="+d.url[messageService], "ESA_ENDPOINT="+d.url[edgeService], "TABLESTORE_ENDPOINT="+d.url[tableService],
		"TABLESTORE_INSTANCE="+stack.Instance, "PREFIX="+stack.Prefix, "AUTH=none", "CALLBACK_SECRETS=whsec_"+callbackSecret,
		"MESSAGE_KEYS="+messageKey, "CALLBACK_HTTP=true", "CALLBACK_NETWORKS=127.0.0.0/8",
		"TABLESTORE_TIMEOUT=60s", "MNS_TIMEOUT=60s", "ESA_TIMEOUT=15s", "RETRY_BASE=100ms", "LOCK_POLL_MIN=5ms", "LOCK_POLL_MAX=50ms",
		"PARK_WAIT=1s", "PARK_DELAY_MIN=1s", "PARK_DELAY_MAX=2s", "DELETE=expired-too",
	)...)
}

// everywhere are the flags that put variables, without their ROUTINELY_, into the environment of all functions.
func everywhere(variables ...string) (flags []string) {
	for _, function := range functions() {
		for _, variable := range variables {
			flags = append(flags, "-env", function+":ROUTINELY_"+variable)
		}
	}
	return flags
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

// launch starts `local`, which writes what it says to a file, in the file's directory.
func launch(t *testing.T, said string, args ...string) *exec.Cmd {
	t.Helper()
	file, err := os.Create(said)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command(binary("local"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Dir(said), file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// said is what Function Compute and its functions have said.
func (d *deployment) said() string { return read(d.t, d.programs[functionCompute].said) }

// start starts a program as it was, and waits until it is ready.
func (d *deployment) start(name string) {
	d.t.Helper()
	p := d.programs[name]
	p.cmd = launch(d.t, p.said, p.args...)
	until(d.t, name+" is ready", func() bool { return strings.Contains(read(d.t, p.said), p.ready) })
}

// restart kills programs all together, and starts them again where they were. Functions die with Function Compute.
func (d *deployment) restart(names ...string) {
	d.t.Helper()
	for _, name := range names {
		_ = d.programs[name].cmd.Process.Kill()
	}
	for _, name := range names {
		_ = d.programs[name].cmd.Wait()
	}
	for _, name := range names {
		d.start(name)
	}
}

// close ends all programs. What they said is shown if the test has failed.
func (d *deployment) close(t *testing.T) {
	for name, p := range d.programs {
		if p.cmd == nil {
			continue
		}
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if t.Failed() {
			said := read(t, p.said)
			t.Logf("%s: %s", name, said[max(0, len(said)-6000):])
		}
	}
}

// run runs a part of the test as a subtest, on the same deployment, and reports whether it has passed.
func (d *deployment) run(name string, part func()) bool {
	whole := d.t
	defer func() { d.t = whole }()
	return whole.Run(name, func(t *testing.T) {
		d.t = t
		part()
	})
}

// instance is a process of a function.
type instance struct {
	Function, State string
	PID             int
}

// atWork are the processes that have an event.
func (d *deployment) atWork() (list []instance) {
	d.t.Helper()
	d.read(d.url[functionCompute]+"/_local/instances", &list)
	return slices.DeleteFunc(list, func(in instance) bool { return in.State != "busy" })
}

// busy waits for a process of a function that has an event.
func (d *deployment) busy(function string) (pid int) {
	d.t.Helper()
	until(d.t, function+" is busy", func() bool {
		for _, in := range d.atWork() {
			if in.Function == function {
				pid = in.PID
			}
		}
		return pid != 0
	})
	return pid
}

// terminate asks a function to end in the middle of its work, as the platform does.
func (d *deployment) terminate(function string) {
	d.t.Helper()
	if err := syscall.Kill(d.busy(function), syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
}

// limit bounds each wait but those of the soak, and the pauses between two looks grow from shortest to longest: many deployments share few
// processors.
const (
	limit    = 90 * time.Second
	shortest = 20 * time.Millisecond
	longest  = 250 * time.Millisecond
)

// until looks again and again until something is done.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	within(t, limit, what, done)
}

func within(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	late := time.After(limit)
	for pause := shortest; !done(); pause = min(pause*4/3, longest) {
		select {
		case <-time.After(pause):
		case <-late:
			t.Fatalf("waited %s without effect: %s", limit, what)
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
