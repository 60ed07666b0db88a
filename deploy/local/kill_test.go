package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"routinely/deploy/local/stack"
)

// Who makes a call, and who is killed: functions, or the programs of a deployment, or all of these at once. Function Compute itself deletes
// the messages whose event a function has taken.
const (
	accept     = stack.FunctionAccept
	worker     = stack.FunctionWorker
	notify     = stack.FunctionNotify
	janitor    = stack.FunctionJanitor
	everything = "everything"
	// theReceiver is the server of the customer who is told. It is not killed.
	theReceiver = "receiver"
)

// call is a call to the outside: the n-th of its action, counted from 1, with these parameters since a life began.
type call struct {
	who, doing, server, action string
	params                     map[string]string
	n                          int
}

func rows(count string) map[string]string { return map[string]string{"rows": count} }

func queue(name string) map[string]string { return map[string]string{"queue": name} }

// life is what happens to jobs, with the calls that it takes, in their order.
type life struct {
	name  string
	calls []call
	// begin prepares a life and returns what starts it, which ends once its caller has an answer.
	begin func(d *deployment) (start func())
}

// lives name each kind of call that Routinely makes. Where several write at a time, the number of jobs in a call tells whose it is.
func lives() []life {
	return []life{
		{"a job succeeds, and its caller is told", []call{
			{accept, "create the job", tableService, "BatchWriteRow", nil, 1},
			{accept, "send it", messageService, "SendMessage", queue(stack.Queue), 1},
			{worker, "read it", tableService, "BatchGetRow", nil, 1},
			{worker, "look for the routine", edgeService, "GetRoutine", nil, 1},
			{worker, "begin", tableService, "BatchWriteRow", nil, 2},
			{worker, "step 1", edgeService, "CreateRoutine", nil, 1},
			{worker, "step 2", edgeService, "CreateRoutineRelatedRecord", nil, 1},
			{worker, "end, index rows", tableService, "BatchWriteRow", nil, 3},
			{worker, "end", tableService, "BatchWriteRow", nil, 4},
			{worker, "send the callback", messageService, "SendMessage", queue(stack.CallbackQueue), 1},
			{worker, "mark it as sent", tableService, "BatchWriteRow", nil, 5},
			{worker, "delete old index rows", tableService, "BatchWriteRow", nil, 6},
			{functionCompute, "the job is taken", messageService, "DeleteMessage", queue(stack.Queue), 1},
			{notify, "tell the receiver", theReceiver, "POST", nil, 1},
			{functionCompute, "the callback is taken", messageService, "DeleteMessage", queue(stack.CallbackQueue), 1},
		}, oneJob},
		{"a job fails once", []call{
			{worker, "look what became of it", edgeService, "GetRoutine", nil, 2},
			{worker, "send the next delivery", messageService, "SendMessage", queue(stack.Queue), 2},
			{worker, "hand over", tableService, "BatchWriteRow", nil, 3},
		}, failingOnce},
		{"a job's last answer is lost", []call{
			{worker, "look what became of it", edgeService, "ListRoutineRelatedRecords", nil, 1},
		}, lostAnswer},
		{"a job dies", []call{
			{worker, "end, index rows", tableService, "BatchWriteRow", nil, 3},
			{worker, "end", tableService, "BatchWriteRow", nil, 4},
			{worker, "delete old index rows", tableService, "BatchWriteRow", nil, 5},
		}, dyingJob},
		{"a batch is accepted", []call{
			{accept, "create the first jobs", tableService, "BatchWriteRow", nil, 1},
			{accept, "create the others", tableService, "BatchWriteRow", nil, 2},
			{accept, "send the first", messageService, "BatchSendMessage", queue(stack.Queue), 1},
			{accept, "send the last", messageService, "BatchSendMessage", queue(stack.Queue), 3},
		}, batchOfJobs},
		{"dead letters are redriven", []call{
			{accept, "find them", tableService, "GetRange", nil, 1},
			{accept, "read them", tableService, "BatchGetRow", rows("3"), 1},
			{accept, "queue them, index rows", tableService, "BatchWriteRow", nil, 1},
			{accept, "queue them", tableService, "BatchWriteRow", rows("3"), 1},
			{accept, "send them", messageService, "BatchSendMessage", queue(stack.Queue), 1},
			{accept, "mark them as sent", tableService, "BatchWriteRow", rows("3"), 2},
		}, redrive},
		{"a job is cancelled", []call{
			{accept, "read it", tableService, "BatchGetRow", nil, 1},
			{accept, "end, index rows", tableService, "BatchWriteRow", nil, 1},
			{accept, "end", tableService, "BatchWriteRow", nil, 2},
			{accept, "delete old index rows", tableService, "BatchWriteRow", nil, 3},
		}, cancellation},
		{"the janitor sends what is due", []call{
			{janitor, "find it", tableService, "GetRange", nil, 1},
			{janitor, "read it", tableService, "BatchGetRow", rows("2"), 1},
			{janitor, "send it", messageService, "BatchSendMessage", queue(stack.Queue), 1},
			{janitor, "mark it as sent", tableService, "BatchWriteRow", rows("2"), 1},
			{janitor, "read where the last run stopped", tableService, "GetRow", nil, 1},
		}, dueJobs},
		{"the janitor takes a dead letter of the trigger", []call{
			{janitor, "receive", messageService, "BatchReceiveMessage", queue(stack.DeadLetterQueue), 1},
			{janitor, "read the job", tableService, "BatchGetRow", nil, 1},
			{janitor, "mark it as due", tableService, "BatchWriteRow", nil, 1},
			{janitor, "send it", messageService, "SendMessage", queue(stack.Queue), 1},
			{janitor, "delete the dead letter", messageService, "BatchDeleteMessage", queue(stack.DeadLetterQueue), 1},
		}, undeliveredJob},
		{"the janitor files what holds no job", []call{
			{janitor, "file it", tableService, "BatchWriteRow", nil, 1},
			{janitor, "delete it", messageService, "BatchDeleteMessage", queue(stack.DeadLetterQueue), 1},
		}, unreadableMessage},
		{"a receiver wants no callback", []call{
			{notify, "give it up", messageService, "SendMessage", queue(stack.DeadLetterQueue), 1},
		}, unwantedCallback},
		{"the janitor tells a job that its receiver wants no callback", []call{
			{janitor, "receive it", messageService, "BatchReceiveMessage", queue(stack.DeadLetterQueue), 1},
			{janitor, "read the job", tableService, "BatchGetRow", nil, 1},
			{janitor, "tell the job, index rows", tableService, "BatchWriteRow", nil, 1},
			{janitor, "tell the job", tableService, "BatchWriteRow", nil, 2},
			{janitor, "delete it", messageService, "BatchDeleteMessage", queue(stack.DeadLetterQueue), 1},
		}, failedCallback},
	}
}

func oneJob(d *deployment) func() {
	o := d.order()
	o.told = true
	return func() { d.submit(o) }
}

func failingOnce(d *deployment) func() {
	o := d.order()
	d.breakESA("CreateRoutine", o, `{"answer":"error","status":500,"code":"InternalException"}`)
	return func() { d.submit(o) }
}

func lostAnswer(d *deployment) func() {
	o := d.order()
	d.breakESA("CreateRoutineRelatedRecord", o, `{"answer":"reset","execute":true}`)
	return func() { d.submit(o) }
}

func dyingJob(d *deployment) func() {
	o := d.hopeless()
	return func() { d.submit(o) }
}

func batchOfJobs(d *deployment) func() {
	const size = 40 // two calls of Tablestore, three of MNS
	orders, items := make([]*order, size), make([]string, size)
	for i := range size {
		orders[i] = d.order()
		items[i] = d.body(orders[i])
	}
	return func() {
		until(d.t, "each item is accepted", func() bool {
			var result struct {
				Failed int
				Items  []struct{ JobID string }
			}
			answer := d.insist(http.MethodPost, "/v1/routines:batch", "["+strings.Join(items, ",")+"]", "Idempotency-Key", orders[0].name)
			decode(d.t, answer, &result)
			for i, item := range result.Items {
				orders[i].id = item.JobID
			}
			return result.Failed == 0
		})
	}
}

func redrive(d *deployment) func() {
	orders := []*order{d.order(), d.order(), d.order()}
	for _, o := range orders {
		d.breakESA("CreateRoutineRelatedRecord", o, `{"answer":"error","code":"SiteParameterNotMatch"}`)
		d.submit(o)
		d.awaitState(o, deadLettered)
	}
	d.awaitIdle()
	return func() {
		d.insist(http.MethodPost, "/v1/dead-letters:redrive", `{"code":"SiteParameterNotMatch","reason":"mended"}`)
	}
}

// delayed submits an order whose job waits for some seconds because ESA has asked for that.
func (d *deployment) delayed(o *order) {
	d.t.Helper()
	d.breakESA("CreateRoutine", o, `{"answer":"error","code":"Throttling.User","headers":{"x-acs-retry-after":"6000"}}`)
	d.submit(o)
	until(d.t, o.name+" waits", func() bool {
		waiting := d.job(o.id).Waiting
		return waiting != nil && waiting.For == "throttle"
	})
}

func cancellation(d *deployment) func() {
	o := d.order()
	d.delayed(o)
	d.awaitIdle()
	o.want = cancelled
	return func() { d.insist(http.MethodPost, "/v1/jobs/"+url.PathEscape(o.id)+":cancel", "") }
}

func dueJobs(d *deployment) func() {
	end := d.outage(messageService)
	for range 2 {
		d.submit(d.order())
	}
	end()
	return d.sweep
}

func undeliveredJob(d *deployment) func() {
	o := d.order()
	d.delayed(o)
	d.awaitIdle()
	d.bury(triggerEvent(d.t, d.messageOf(o)))
	return d.sweep
}

func unreadableMessage(d *deployment) func() {
	d.unreadable++
	d.bury(fmt.Sprintf("what is this, number %d?", d.unreadable))
	return d.sweep
}

func unwantedCallback(d *deployment) func() {
	o := d.order()
	o.told = true
	d.receiver.refuse(true)
	return func() { d.submit(o) }
}

func failedCallback(d *deployment) func() {
	unwantedCallback(d)()
	until(d.t, "the callback is given up", func() bool { return len(d.messages(stack.DeadLetterQueue)) > 0 })
	d.awaitIdle()
	return d.sweep
}

// breakESA breaks ESA's next answer about an order.
func (d *deployment) breakESA(action string, o *order, fault string) {
	d.t.Helper()
	d.send(http.MethodPost, d.url[edgeService]+"/_local/faults", fmt.Sprintf(`{"action":%q,"match":{"Name":%q},"fault":%s}`, action, o.name, fault))
}

// bury puts a message on the dead-letter queue.
func (d *deployment) bury(body string) {
	d.t.Helper()
	if _, err := d.queues().Send(d.t.Context(), stack.DeadLetterQueue, body, 0); err != nil {
		d.t.Fatal(err)
	}
}

// awaitIdle waits until no function is at work.
func (d *deployment) awaitIdle() {
	d.t.Helper()
	until(d.t, "no function is at work", func() bool {
		return !slices.ContainsFunc(d.instances(), func(in instance) bool { return in.State == "busy" })
	})
}

// cell is one kill: at this call, before or after it has taken effect.
type cell struct {
	call
	victim string
	after  bool
}

// cells are all kills of a life: of who makes the call, of the server that answers it, and of everything.
func (l life) cells() (all []cell) {
	for _, c := range l.calls {
		for _, victim := range []string{c.who, c.server, everything} {
			if victim != theReceiver {
				all = append(all, cell{c, victim, false}, cell{c, victim, true})
			}
		}
	}
	return all
}

// hold makes the server hold its answer to a call back, and returns what tells that it does.
func (d *deployment) hold(c cell) (held func() bool) {
	d.t.Helper()
	if c.server == theReceiver {
		return d.receiver.hold(c.after)
	}
	rule, err := json.Marshal(map[string]any{
		"action": c.action, "match": c.params, "skip": c.n - 1, "fault": map[string]any{"answer": "hang", "execute": c.after},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.send(http.MethodPost, d.url[c.server]+"/_local/faults", string(rule))
	return func() bool {
		var calls struct{ Hanging int }
		d.read(d.url[c.server]+"/_local/calls?log=false", &calls)
		return calls.Hanging > 0
	}
}

// play lets a life come to a call, kills the victim, and waits until everything has come to its end.
func (d *deployment) play(l life, c cell) {
	d.t.Helper()
	start := l.begin(d)
	held := d.hold(c)
	var life sync.WaitGroup
	life.Go(start)
	until(d.t, fmt.Sprintf("%s: %s", c.who, c.doing), held)
	switch c.victim {
	case everything:
		d.restart(programNames()...)
	case accept, worker, notify, janitor:
		kill(d.t, d.busy(c.victim).PID, syscall.SIGKILL)
	default:
		d.restart(c.victim)
	}
	life.Wait()
	d.settle()
}

// TestKillMatrix kills functions and servers with SIGKILL at each call that Routinely makes, before and after it takes effect; in short
// tests at a choice of them. Afterwards every accepted job has come to one end, and ESA has each routine and record once. Callers whose call
// was cut off make it again.
func TestKillMatrix(t *testing.T) {
	t.Parallel()
	for i, l := range lives() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			d := deploy(t)
			for n, c := range l.cells() {
				if testing.Short() && (n+i)%shortChoice != 0 {
					continue
				}
				t.Logf("%-19s  %-24s  %-3s %-26s  %-19s killed %s", c.who, c.doing, c.server, c.action, c.victim, c.when())
				d.play(l, c)
			}
			d.check()
		})
	}
}

// TestKillMatrixIsWhole lives each life without a kill: every kind of call that is made must be in the table.
func TestKillMatrixIsWhole(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	// The trigger receives and renews its leases all the time.
	named := map[string]bool{"mns ReceiveMessage": true, "mns ChangeMessageVisibility": true, "mns CreateQueue": true}
	for _, l := range lives() {
		for _, c := range l.calls {
			named[c.server+" "+c.action] = true
		}
		l.begin(d)()
		d.settle()
	}
	d.check()
	for _, server := range []string{messageService, edgeService, tableService} {
		var log struct{ Counters map[string]int }
		d.read(d.url[server]+"/_local/calls?log=false", &log)
		for action := range log.Counters {
			if !named[server+" "+action] {
				t.Errorf("nobody is killed at %s %s", server, action)
			}
		}
	}
}

// shortChoice is of how many cells short tests play one.
const shortChoice = 17

func (c cell) when() string {
	if c.after {
		return "after"
	}
	return "before"
}
