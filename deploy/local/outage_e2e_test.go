package main_test

import (
	"net/http"
	"strings"
	"testing"

	"routinely/deploy/local/stack"
)

// holdLock lets somebody else have the account lock until it is given back, so that the worker stays with its job.
func (d *deployment) holdLock() (release func()) {
	d.t.Helper()
	lock := d.url[edgeService] + "/_local/lock"
	d.send(http.MethodPost, lock, `{"holdMillis":600000}`)
	return func() { d.send(http.MethodDelete, lock, "") }
}

// several submits a number of orders whose callers want to be told.
func (d *deployment) several(n int) (orders []*order) {
	d.t.Helper()
	for range n {
		o := d.order()
		o.told = true
		d.submit(o)
		orders = append(orders, o)
	}
	return orders
}

func TestLedgerOutage(t *testing.T) {
	t.Parallel()
	d := deploy(t, "-batch", "3", "-batch-window", "1s")
	release := d.holdLock()
	d.several(7)
	d.busy(stack.FunctionWorker)
	end := d.outage(tableService)
	release()
	o := d.order()
	status, answer := d.call(http.MethodPost, "/v1/routines", d.body(o), "Idempotency-Key", o.name)
	if status != http.StatusServiceUnavailable || !strings.Contains(answer, `"retryable":true`) {
		t.Errorf("a request without a ledger: %d %s", status, answer)
	}
	if status, answer := d.call(http.MethodGet, "/v1/jobs", ""); status != http.StatusServiceUnavailable {
		t.Errorf("a list without a ledger: %d %s", status, answer)
	}
	until(t, "the worker tells the platform that the ledger does not answer", func() bool {
		var counters map[string]struct{ Failed int }
		d.read(d.url[functionCompute]+"/_local/counters", &counters)
		return counters[stack.FunctionWorker].Failed > 0
	})
	if n := len(d.messages(stack.Queue)); n != 7 {
		t.Errorf("%d messages are on the queue without a ledger, want all 7", n)
	}
	end()
	d.submit(o)
	d.settle()
	d.check()
}

func TestQueueOutage(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	end := d.outage(messageService)
	orders := d.several(5)
	for _, o := range orders {
		if j := d.job(o.id); j.State != queued || j.Waiting == nil || j.Waiting.For != "queue" {
			t.Errorf("without a queue the job is %+v, waiting %+v", j, j.Waiting)
		}
	}
	end()
	d.settle() // with the janitor's help
	d.check()
}

// TestEverythingKilled starts everything again after it was killed in the middle of its work.
func TestEverythingKilled(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	d.several(10)
	d.busy(stack.FunctionWorker)
	d.restart(programNames()...)
	for _, o := range d.orders {
		d.submit(o)
	}
	d.settle()
	d.check()
}
