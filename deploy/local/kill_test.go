package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"routinely/deploy/local/stack"
	"routinely/deploy/sim"
)

// life is what happens to jobs, in words.
type life struct {
	name string
	// answered says that the calls after the answer to its caller do not count: they are in another life.
	answered bool
	// prepare does what comes before and returns the life, which ends once its caller has an answer. The life sets its own faults, after the
	// cell's: of two faults for a call the first is carried out.
	prepare func(d *deployment) (live func())
}

func lives() []life {
	return []life{
		{"three jobs in one invocation, and the deletion of a routine beside what somebody else has", false, jobsAndDeletion},
		{"code takes the place of code, and the oldest version goes", false, newCode},
		{"a batch is accepted", true, batchOfJobs},
		{"the janitor has all kinds of work", true, sweepOfAll},
	}
}

// jobsAndDeletion: of three jobs one succeeds, with two host names, one fails once and one is for a wrong site. What the first has made is deleted.
func jobsAndDeletion(d *deployment) func() {
	d.foreign()
	orders := append(d.several(2), d.hopeless())
	orders[0].pair = true
	deletion := d.deletion(orders[0])
	return func() {
		d.faultOf(orders[1], "CreateRoutine", `{"answer":"error","status":500,"code":"InternalException"}`)
		d.submit(orders...)
		until(d.t, "the jobs have ended", d.atRest)
		d.askAgain(deletion)
	}
}

// codeVersions is how many versions of its code a routine may have.
const codeVersions = 3

// newCode gives code to a routine that has as many versions as it may.
func newCode(d *deployment) func() {
	d.send(http.MethodPut, d.url[edgeService]+"/_local/account", fmt.Sprintf(`{"versionQuota":%d}`, codeVersions))
	o := d.order()
	o.code = "1"
	d.submit(o)
	d.awaitState(succeeded, o)
	change := func() *order {
		o.code += "+1"
		body := fmt.Sprintf(`{"name":%q,"recordName":%q%s}`, o.name, o.record(), codeMember(o.code))
		return d.question(succeeded, http.MethodPost, "/v1/routines", body)
	}
	for range codeVersions - 1 {
		earlier := change()
		d.askAgain(earlier)
		d.awaitState(succeeded, earlier)
	}
	last := change()
	return func() {
		d.askAgain(last)
		until(d.t, "the job has ended", d.atRest)
	}
}

func batchOfJobs(d *deployment) func() {
	orders := d.several(17) // one more than MNS takes in a call
	return func() { d.submit(orders...) }
}

// sweepOfAll lets the janitor find a callback that was given up, a message without a job, jobs that are due, and a job that the trigger gave up.
func sweepOfAll(d *deployment) func() {
	d.unwanted()
	d.submit(d.several(1)...)
	until(d.t, "the callback is given up", func() bool { return d.depth(stack.DeadLetterQueue) > 0 })
	d.unreadable++
	d.put(stack.DeadLetterQueue, "what is this?")
	d.outage(messageService)
	d.submit(d.several(2)...)
	d.heal(messageService)
	waiting := d.order() // for some seconds, because ESA asks for that
	d.faultOf(waiting, "CreateRoutine", `{"answer":"error","code":"Throttling.User","headers":{"x-acs-retry-after":"6000"}}`)
	d.submit(waiting)
	d.awaitState("throttle", waiting)
	d.put(stack.DeadLetterQueue, string(sim.Event(d.t, d.messageOf(waiting))))
	return d.sweep
}

// kind is a call to the outside: its server, its action, and of MNS the queue.
type kind struct{ server, action, queue string }

// byTheClock reports whether a trigger makes such calls when its time has come: their number is another in each run.
func (k kind) byTheClock() bool {
	return k.server == messageService && k.queue != stack.DeadLetterQueue && !strings.Contains(k.action, "Send") && !strings.HasSuffix(k.action, "DeleteMessage")
}

// oneOfEach is a kind of call of each function, at the first of which the function alone is killed: the simulation kills functions at every call.
func oneOfEach() []kind {
	return []kind{
		{messageService, "SendMessage", stack.Queue},                   // accept
		{edgeService, "CreateRoutine", ""},                             // provision
		{theReceiver, "POST", ""},                                      // notify
		{messageService, "BatchReceiveMessage", stack.DeadLetterQueue}, // janitor
	}
}

// victims are who is killed at the n-th call of the kind.
func (k kind) victims(n int) []string {
	all := []string{everything}
	if k.server != theReceiver {
		all = append(all, server)
	}
	if n == 1 && slices.Contains(oneOfEach(), k) {
		all = append(all, caller)
	}
	return all
}

// cell is a kill: of a victim, when the n-th call of a kind has taken effect and is not answered.
type cell struct {
	kind
	n      int
	victim string
}

// Victims: the function that makes the call, the server that answers it, and all processes.
const (
	caller     = "its caller"
	server     = "its server"
	everything = "everything"
)

func (c cell) String() string {
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %d, %s is killed", c.server, c.action, c.queue, c.n, c.victim)), " ")
}

// begin starts a deployment and makes everything ready for a life. Its queues miss no message, so that the calls are the same each time.
func (l life) begin(t *testing.T) (d *deployment, live func()) {
	t.Helper()
	d = deploy(t)
	d.programs[messageService].args = append(d.programs[messageService].args, "-calm")
	d.restart(messageService)
	live = l.prepare(d)
	until(t, "no function is at work", func() bool { return len(d.atWork()) == 0 })
	return d, live
}

// cells lives a life undisturbed. At each call that was made there is a cell for each kill.
func (l life) cells(t *testing.T) (all []cell) {
	t.Helper()
	d, live := l.begin(t)
	for _, name := range append(servers(), theReceiver) {
		d.forgetCalls(name)
	}
	live()
	until(t, "the life is over", func() bool { return l.answered || d.atRest() })
	count := map[kind]int{}
	for _, name := range append(servers(), theReceiver) {
		for _, call := range d.calls(name) {
			k := kind{name, call.Action, call.Params.Queue}
			count[k]++
			if k.byTheClock() {
				continue
			}
			for _, victim := range k.victims(count[k]) {
				all = append(all, cell{k, count[k], victim})
			}
		}
	}
	d.settle()
	return all
}

// atRest reports whether the functions have done what was on their queues. While a server is down it reports that they have not.
func (d *deployment) atRest() bool {
	d.t.Helper()
	status, _ := request(d.t.Context(), http.MethodGet, d.url[functionCompute]+"/_local/instances", "")
	return status == http.StatusOK && d.depth(stack.Queue, stack.CallbackQueue) == 0 && len(d.atWork()) == 0
}

// hold makes the server hold its answer to the cell's call back, and returns whether it does so now.
func (d *deployment) hold(c cell) (held func() bool) {
	d.t.Helper()
	match := map[string]string{}
	if c.queue != "" {
		match["queue"] = c.queue
	}
	rule, err := json.Marshal(map[string]any{
		"action": c.action, "match": match, "skip": c.n - 1, "fault": map[string]any{"answer": "hang", "execute": true},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.fault(c.server, string(rule))
	return func() bool {
		var calls struct{ Hanging int }
		d.read(d.url[c.server]+"/_local/calls?log=false", &calls)
		return calls.Hanging > 0
	}
}

// kill kills the cell's victim. Only the functions that make calls are at work.
func (d *deployment) kill(c cell) {
	d.t.Helper()
	switch {
	case c.victim == everything:
		d.restart(programs()...)
	case c.victim == server:
		d.restart(c.server)
	default:
		for _, in := range d.atWork() {
			_ = syscall.Kill(in.PID, syscall.SIGKILL) // another one may have ended by itself
		}
	}
}

// play lives a life up to the cell's call, kills the victim, and waits until nothing is left to be done.
func (l life) play(t *testing.T, c cell) {
	d, live := l.begin(t)
	held := d.hold(c)
	var over atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		live()
		over.Store(true)
	}()
	until(t, "the call is made", func() bool { return held() || over.Load() && d.atRest() })
	if !held() {
		t.Error("the call was not made")
	}
	d.kill(c)
	<-ended
	d.settle()
}

// TestKillMatrix kills a server, or everything, with SIGKILL right after each call that Routinely makes took effect: before the next one it is as it is
// then. Each function is killed once. Callers whose call was cut off make it again. Afterwards what settle waits for and checks holds: every accepted job
// has ended as it must, ESA has each routine and record once, nothing of a routine that was deleted, and all that is somebody else's; all callbacks of a
// job are about the same end, and the queues are empty. The short form takes every shortChoice-th cell.
func TestKillMatrix(t *testing.T) {
	t.Parallel()
	for i, l := range lives() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for n, c := range l.cells(t) {
				if testing.Short() && (n+i)%shortChoice != 0 {
					continue
				}
				t.Run(c.String(), func(t *testing.T) {
					t.Parallel()
					l.play(t, c)
				})
			}
		})
	}
}

// shortChoice is of how many cells short tests play one.
const shortChoice = 17
