package main_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"routinely/deploy/local/stack"
)

func TestLedgerOutage(t *testing.T) {
	t.Parallel()
	d := deploy(t, "-batch", "3")
	release := d.holdLock()
	d.submit(d.several(7)...)
	d.busy(stack.FunctionWorker)
	d.outage(tableService)
	release()
	o := d.order()
	status, answer := d.call(http.MethodPost, "/v1/routines", d.body(o), "Idempotency-Key", o.name)
	if status != http.StatusServiceUnavailable || !strings.Contains(answer, `"retryable":true`) {
		t.Errorf("a request without a ledger: %d %s", status, answer)
	}
	if status, answer := d.call(http.MethodGet, "/v1/jobs", ""); status != http.StatusServiceUnavailable {
		t.Errorf("a list without a ledger: %d %s", status, answer)
	}
	until(t, "the worker reports to the platform that the ledger does not answer", func() bool {
		var counters map[string]struct{ Failed int }
		d.read(d.url[functionCompute]+"/_local/counters", &counters)
		return counters[stack.FunctionWorker].Failed > 0
	})
	if n := d.depth(stack.Queue); n != 7 {
		t.Errorf("%d messages are on the queue without a ledger, want all 7", n)
	}
	d.heal(tableService)
	d.submit(o)
	d.settle()
}

func TestQueueOutage(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	d.outage(messageService)
	orders := d.several(5)
	d.submit(orders...)
	d.awaitState("queue", orders...)
	d.heal(messageService)
	d.settle() // with the janitor's help
}

// TestOverdueBill lets the account's bill be overdue while jobs come, and be paid.
func TestOverdueBill(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	lane := func() (lane, why string) {
		var account struct {
			Lane   string
			Parked struct{ Code string }
		}
		decode(t, d.insist(http.MethodGet, "/v1/account", ""), &account)
		return account.Lane, account.Parked.Code
	}
	d.account(`{"overdue":true}`)
	orders := d.several(5)
	d.submit(orders...)
	d.awaitState("parked", orders...)
	if lane, why := lane(); lane != "parked" || why != "RoutineUserServiceStatusHalt" {
		t.Errorf("with an overdue bill the lane is %s, %q", lane, why)
	}
	d.account(`{"overdue":false}`)
	d.awaitState(succeeded, orders...)
	d.settle()
	if lane, why := lane(); lane != "running" || why != "" {
		t.Errorf("once the bill is paid the lane is %s, %q", lane, why)
	}
	attempts := 0
	for _, o := range orders {
		attempts += d.job(o).Attempt
	}
	if attempts != len(orders)+1 {
		t.Errorf("%d attempts were counted of %d jobs, want one more: that which found it out", attempts, len(orders))
	}
}

// TestTermination asks processes of functions to end in the middle of their work, as a platform does.
func TestTermination(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	// answered counts ESA's answers to calls about an order.
	answered := func(action string, o *order) int {
		return len(slices.DeleteFunc(d.calls(edgeService), func(c serverCall) bool { return c.Action != action || c.Params.Name != o.name }))
	}

	d.run("a job at ESA comes to its end first, and is not done twice", func() {
		d.account(`{"latencyMillis":2000}`)
		o := d.order()
		d.submit(o)
		until(d.t, "the routine is about to be made", func() bool { return answered("GetRoutine", o) > 0 })
		d.terminate(stack.FunctionWorker)
		d.awaitState(succeeded, o)
		d.account(`{"latencyMillis":5}`)
		if j := d.job(o); len(j.Attempts) > 0 || j.HandedBack > 0 || answered("CreateRoutine", o) != 1 {
			d.t.Errorf("%+v, made %d times", j, answered("CreateRoutine", o))
		}
	})

	d.run("a job that waits for the account lock is handed back, and no attempt counts as failed", func() {
		release := d.holdLock()
		o := d.order()
		d.submit(o)
		until(d.t, "ESA refuses the job", func() bool { return answered("CreateRoutine", o) > 0 })
		d.terminate(stack.FunctionWorker)
		until(d.t, "the job is handed back", func() bool { return d.job(o).HandedBack > 0 })
		release()
		d.awaitState(succeeded, o)
		if j := d.job(o); len(j.Attempts) > 0 {
			d.t.Errorf("%+v", j)
		}
	})

	d.run("a request is answered first that waits for its job to be on the queue", func() {
		d.fault(messageService, fmt.Sprintf(`{"action":"SendMessage","match":{"queue":%q},"fault":{"answer":"slow","delayMillis":1000}}`, stack.Queue))
		o, answered := d.order(), make(chan int, 1)
		recorded := func() int {
			return len(slices.DeleteFunc(d.calls(tableService), func(c serverCall) bool { return c.Action != "BatchWriteRow" }))
		}
		before := recorded()
		go func() {
			status, _ := d.call(http.MethodPost, "/v1/routines", d.body(o), "Idempotency-Key", o.name)
			answered <- status
		}()
		until(d.t, "the job is recorded", func() bool { return recorded() > before }) // sooner the process could end before it has the request
		d.terminate(stack.FunctionAccept)
		if status := <-answered; status != http.StatusAccepted {
			d.t.Errorf("answered with %d", status)
		}
		d.submit(o)
	})

	d.run("a callback on its way is delivered first, and not twice", func() {
		d.fault(theReceiver, `{"fault":{"answer":"slow","delayMillis":1000}}`)
		d.submit(d.several(1)...)
		d.terminate(stack.FunctionNotify)
		d.settle()
		if n := len(d.calls(theReceiver)); n != 1 {
			d.t.Errorf("it was sent %d times", n)
		}
	})

	d.settle()
}
