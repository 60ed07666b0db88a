package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
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
		{"three jobs in one invocation, of which one succeeds, one fails once and one is for a wrong site", false, threeJobs},
		{"a job whose last answer is lost and whose receiver wants no callback", false, lostAnswer},
		{"a routine is made with two host names and deleted, beside what somebody else has", false, madeAndDeleted},
		{"a batch is accepted", true, batchOfJobs},
		{"dead letters are redriven", true, redrive},
		{"a job is cancelled", true, cancellation},
		{"the janitor sends what is due", true, dueJobs},
		{"the janitor sends again what the trigger gave up", true, undeliveredJob},
		{"the janitor files what holds no job", true, unreadableMessage},
		{"the janitor tells a job that its receiver wants no callback", true, unwantedCallback},
	}
}

func threeJobs(d *deployment) func() {
	orders := append(d.several(2), d.hopeless())
	return func() {
		d.faultOf(orders[1], "CreateRoutine", `{"answer":"error","status":500,"code":"InternalException"}`)
		d.submit(orders...)
	}
}

func lostAnswer(d *deployment) func() {
	o := d.several(1)[0]
	return func() {
		d.unwanted()
		d.faultOf(o, "CreateRoutineRelatedRecord", `{"answer":"reset","execute":true}`)
		d.submit(o)
	}
}

func madeAndDeleted(d *deployment) func() {
	d.foreign()
	o := d.several(1)[0]
	o.pair = true
	deletion := d.deletion(o)
	return func() {
		d.submit(o)
		until(d.t, "the routine is made", d.atRest)
		d.askAgain(deletion)
	}
}

func batchOfJobs(d *deployment) func() {
	orders := d.several(17) // one more than MNS takes in a call
	return func() { d.submit(orders...) }
}

func redrive(d *deployment) func() {
	orders := d.several(3)
	for _, o := range orders {
		d.faultOf(o, "CreateRoutineRelatedRecord", `{"answer":"error","code":"SiteParameterNotMatch"}`)
	}
	d.submit(orders...)
	d.awaitState(deadLettered, orders...)
	return func() { d.redrive(wrongSite) }
}

// delayed submits an order whose job waits for some seconds because ESA has asked for that.
func (d *deployment) delayed() *order {
	d.t.Helper()
	o := d.order()
	d.faultOf(o, "CreateRoutine", `{"answer":"error","code":"Throttling.User","headers":{"x-acs-retry-after":"6000"}}`)
	d.submit(o)
	d.awaitState("throttle", o)
	return o
}

func cancellation(d *deployment) func() {
	o := d.delayed()
	o.want = cancelled
	return func() { d.insist(http.MethodPost, "/v1/jobs/"+url.PathEscape(o.id)+":cancel", "") }
}

func dueJobs(d *deployment) func() {
	d.outage(messageService)
	d.submit(d.several(2)...)
	d.heal(messageService)
	return d.sweep
}

func undeliveredJob(d *deployment) func() {
	d.put(stack.DeadLetterQueue, string(sim.Event(d.t, d.messageOf(d.delayed()))))
	return d.sweep
}

func unreadableMessage(d *deployment) func() {
	d.unreadable++
	d.put(stack.DeadLetterQueue, fmt.Sprintf("what is this, number %d?", d.unreadable))
	return d.sweep
}

func unwantedCallback(d *deployment) func() {
	d.unwanted()
	d.submit(d.several(1)...)
	until(d.t, "the callback is given up", func() bool { return d.depth(stack.DeadLetterQueue) > 0 })
	return d.sweep
}

// kind is a call to the outside: its server, its action, and of MNS the queue.
type kind struct{ server, action, queue string }

// platforms reports whether Function Compute makes such calls itself: its triggers receive, renew leases, and delete what a function has taken.
func (k kind) platforms() bool {
	return k.server == messageService && k.queue != stack.DeadLetterQueue && !strings.Contains(k.action, "Send")
}

// byTheClock reports whether a trigger makes such calls when its time has come: their number is another in each run.
func (k kind) byTheClock() bool {
	return k.platforms() && !strings.HasSuffix(k.action, "DeleteMessage")
}

// cell is a kill: of a victim, at the n-th call of a kind, before or after the call has taken effect.
type cell struct {
	kind
	n      int
	after  bool
	victim string
}

// Victims: whoever makes the call, the server that answers it, and all processes.
const (
	caller     = "its caller"
	server     = "its server"
	everything = "everything"
)

func (c cell) String() string {
	when := "before"
	if c.after {
		when = "after"
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %d, %s is killed %s it", c.server, c.action, c.queue, c.n, c.victim, when)), " ")
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
			for _, victim := range []string{caller, server, everything} {
				if !k.byTheClock() && !(victim == server && name == theReceiver) {
					all = append(all, cell{k, count[k], false, victim}, cell{k, count[k], true, victim})
				}
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
		"action": c.action, "match": match, "skip": c.n - 1, "fault": map[string]any{"answer": "hang", "execute": c.after},
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

// kill kills the cell's victim. Only the functions that make calls are at work; where the platform makes the call itself, it is the caller.
func (d *deployment) kill(c cell) {
	d.t.Helper()
	switch {
	case c.victim == everything:
		d.restart(programs()...)
	case c.victim == server:
		d.restart(c.server)
	case c.platforms():
		d.restart(functionCompute)
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

// TestKillMatrix kills processes with SIGKILL at each call that Routinely makes, before and after it takes effect. Callers whose call was cut off
// make it again. Afterwards what settle waits for and checks holds: every accepted job has ended as it must, ESA has each routine and record
// once, nothing of a routine that was deleted, and all that is somebody else's; all callbacks of a job are about the same end, and the queues are
// empty. The short form takes every shortChoice-th cell.
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
