package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/stack"
)

// Times between two looks at something that is waited for: many deployments share few processors. What takes the leases of the
// dead to end is looked at seldom.
const (
	shortest = 30 * time.Millisecond
	between  = 50 * time.Millisecond
	longest  = 250 * time.Millisecond
)

// until looks again and again until something is done.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	within(t, limit, longest, what, done)
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

// program is a command of `local`, which can be killed and started again as it was.
type program struct {
	args  []string
	ready string
	cmd   *exec.Cmd
	said  *output
}

// ports are those below the range that the kernel gives to callers, each once: nobody takes the place of a server that was
// killed before it is back.
type ports struct {
	mu   sync.Mutex
	next int
}

// newPorts returns ports of their own for each turn: 0, 1 and so on, for what runs at the same time.
func newPorts(turn int) *ports { return &ports{next: 16000 + 6000*turn + rand.IntN(5000)} }

func (p *ports) address(t *testing.T) string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for range 1000 {
		p.next++
		address := fmt.Sprintf("127.0.0.1:%d", p.next)
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

// Names of what can be killed, beside the functions: the commands of `local`.
const (
	everything      = "run"
	messageService  = "mns"
	edgeService     = "esa"
	tableService    = "ots"
	functionCompute = "fc"
)

// deployment is Routinely on this machine, all in processes of their own: one `local run`, or one for each server.
type deployment struct {
	t *testing.T
	servers
	// ots and http are the addresses of Tablestore and of accept.
	ots, http string
	// dir keeps the state of the servers.
	dir      string
	programs map[string]*program
	// wishes and cells are what was played.
	wishes []*wish
	cells  []*cell
}

// together is a `local run`.
func together(t *testing.T, free *ports) *deployment {
	t.Helper()
	d, addresses := newDeployment(t, free)
	d.programs[everything] = &program{ready: "Ctrl-C stops everything", args: slices.Concat([]string{
		everything, "-data", d.dir, "-no-sync", "-accept", binary("accept"), "-provision", binary("provision"), "-notify", binary("notify"), "-latency", "10ms",
	}, addresses)}
	d.start(everything)
	return d
}

func newDeployment(t *testing.T, free *ports) (d *deployment, addresses []string) {
	t.Helper()
	d = &deployment{t: t, dir: t.TempDir(), programs: map[string]*program{}}
	for _, part := range []struct {
		flag string
		url  *string
	}{{"-http", &d.http}, {"-mns", &d.mns}, {"-esa", &d.esa}, {"-ots", &d.ots}, {"-fc", &d.fc}} {
		address := free.address(t)
		addresses, *part.url = append(addresses, part.flag, address), "http://"+address
	}
	t.Cleanup(func() {
		for name, p := range d.programs {
			if p.cmd != nil && p.cmd.ProcessState == nil {
				d.end(name)
			}
			if said := p.said.String(); t.Failed() {
				t.Logf("%s: %s", name, said[max(0, len(said)-4000):])
			}
		}
	})
	return d, addresses
}

// patient settings leave calls that hang alone until the test kills somebody.
var patient = []string{"ROUTINELY_TABLESTORE_TIMEOUT=60s", "ROUTINELY_MNS_TIMEOUT=60s", "ROUTINELY_RETRY_BASE=100ms"}

// apart is a deployment with a process for each server. The worker has its time limit and settings beside the patient ones.
func apart(t *testing.T, free *ports, workerTime time.Duration, settings ...string) *deployment {
	t.Helper()
	d, _ := newDeployment(t, free)
	d.prepare()
	for name, server := range map[string]struct {
		url   string
		flags []string
	}{messageService: {url: d.mns}, edgeService: {d.esa, []string{"-latency", "5ms", "-routine-quota", "1000"}}, tableService: {url: d.ots}} {
		d.programs[name] = &program{ready: name + " listening on ", args: slices.Concat([]string{
			name, "-listen", host(server.url), "-data", filepath.Join(d.dir, name), "-no-sync",
			"-access-key", stack.AccessKeyID, "-secret-key", stack.AccessKeySecret,
		}, server.flags)}
		d.start(name)
	}
	d.createQueues()
	args := []string{
		functionCompute, "-listen", host(d.fc), "-http", accept + "=" + host(d.http), "-mns", d.mns,
		"-access-key", stack.AccessKeyID, "-secret-key", stack.AccessKeySecret,
		"-function", fmt.Sprintf("%s=%s,timeout=120s,instances=4", accept, binary("accept")),
		"-function", fmt.Sprintf("%s=%s,timeout=%s,instances=1", worker, binary("provision"), workerTime),
		"-queue", worker + "=" + stack.Queue, "-dead-letter", stack.DeadLetterQueue, "-retry", "EXPONENTIAL_DECAY_RETRY", "-tolerance", "ALL",
		"-env", accept + ":ROUTINELY_AUTH=none", "-env", worker + ":ROUTINELY_ESA_ENDPOINT=" + d.esa,
	}
	for _, function := range []string{accept, worker} {
		for _, setting := range slices.Concat(patient, []string{
			"ROUTINELY_MNS_ENDPOINT=" + d.mns, "ROUTINELY_TABLESTORE_ENDPOINT=" + d.ots, "ROUTINELY_TABLESTORE_INSTANCE=" + stack.Instance,
		}) {
			args = append(args, "-env", function+":"+setting)
		}
	}
	for _, setting := range settings {
		args = append(args, "-env", worker+":"+setting)
	}
	d.programs[functionCompute] = &program{args: args, ready: "fc: ready: http "}
	d.start(functionCompute)
	return d
}

// prepare puts the site and the table that a stack has into the data directory.
func (d *deployment) prepare() {
	d.t.Helper()
	const free, unused = "127.0.0.1:0", "true"
	s, err := stack.New(stack.Config{
		Dir: d.dir, Accept: unused, Provision: unused, Notify: unused, Addresses: stack.Addresses{HTTP: free, MNS: free, ESA: free, OTS: free, FC: free},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		d.t.Fatal(err)
	}
}

func host(url string) string { return strings.TrimPrefix(url, "http://") }

func (d *deployment) createQueues() {
	d.t.Helper()
	client, err := mnsclient.New(mnsclient.Config{Endpoint: d.mns, AccessKeyID: stack.AccessKeyID, AccessKeySecret: stack.AccessKeySecret})
	if err != nil {
		d.t.Fatal(err)
	}
	defer client.Close()
	visibility := 10 // seconds, as in a stack
	for _, queue := range []string{stack.Queue, stack.DeadLetterQueue} {
		if err := client.CreateQueue(d.t.Context(), queue, mnsclient.Attributes{VisibilityTimeout: &visibility}); err != nil {
			d.t.Fatal(err)
		}
	}
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

func (d *deployment) end(name string) {
	_ = d.programs[name].cmd.Process.Kill()
	_ = d.programs[name].cmd.Wait()
}

// restart kills a program and starts it again where it was. Functions do not outlive theirs.
func (d *deployment) restart(name string) {
	d.t.Helper()
	var left []instance
	if name == everything || name == functionCompute {
		left = d.instances(d.t)
	}
	d.end(name)
	checkGone(d.t, left)
	d.start(name)
}

// story is what the ledger tells of a job.
type story struct {
	ID, State, Code, Reason string
	Redriven                int
	Request                 struct{ Name string }
	Result                  struct{ Routine, Record string }
	// ends counts the ends by the number of redrives before.
	ends map[int]int
}

// stories reads the rows of all jobs, by the names of their routines.
func (d *deployment) stories() map[string][]story {
	d.t.Helper()
	var rows []struct {
		PrimaryKey map[string]string
		Columns    map[string]struct{ Value json.RawMessage }
	}
	decode(d.t, send(d.t, http.MethodGet, d.ots+"/_local/tables/"+stack.Table+"/rows?limit=1000000", ""), &rows)
	out := map[string][]story{}
	for _, row := range rows {
		if row.PrimaryKey["s"] != "job" {
			continue
		}
		s := story{ends: map[int]int{}}
		for column, cell := range row.Columns {
			var text string
			if column == "seq" || json.Unmarshal(cell.Value, &text) != nil {
				continue
			}
			if column == "job" {
				decode(d.t, []byte(text), &s)
				continue
			}
			var e struct {
				Kind     string
				Redriven int
				Late     bool
			}
			decode(d.t, []byte(text), &e)
			if slices.Contains([]string{succeeded, deadLettered, cancelled}, e.Kind) && !e.Late {
				s.ends[e.Redriven]++
			}
		}
		out[s.Request.Name] = append(out[s.Request.Name], s)
	}
	return out
}

// letter is a message of the dead-letter queue. Copies of one letter have one subject.
type letter struct {
	Subject string
	Data    struct{ JobID, Code, Reason string }
}

// letters reads the whole dead-letter queue, what is leased included, by job.
func (d *deployment) letters() map[string][]letter {
	d.t.Helper()
	out := map[string][]letter{}
	for _, body := range d.messages(stack.DeadLetterQueue) {
		var l letter
		decode(d.t, []byte(body), &l)
		out[l.Data.JobID] = append(out[l.Data.JobID], l)
	}
	return out
}

// messages are the bodies of all messages of a queue.
func (d *deployment) messages(queue string) []string {
	d.t.Helper()
	var list []struct{ Body string }
	decode(d.t, send(d.t, http.MethodGet, d.mns+"/_local/queues/"+queue+"/messages", ""), &list)
	bodies := make([]string, 0, len(list))
	for _, m := range list {
		bodies = append(bodies, m.Body)
	}
	return bodies
}

// awaitQuiet waits until the job queue is empty: nothing waits, nothing is delayed and nobody works on anything.
func (d *deployment) awaitQuiet() {
	d.t.Helper()
	until(d.t, "the job queue is empty", func() bool { return len(d.messages(stack.Queue)) == 0 })
}
