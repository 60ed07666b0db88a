package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"routinely/deploy/local/stack"
)

// TestTermination asks processes of functions to end in the middle of their work, as a platform does.
func TestTermination(t *testing.T) {
	t.Parallel()
	d := deploy(t)

	t.Run("a job at ESA comes to its end first, and is not done twice", func(t *testing.T) {
		d.send(http.MethodPut, d.url[edgeService]+"/_local/account", `{"latencyMillis":500}`)
		o := d.order()
		d.submit(o)
		until(t, "ESA has a call", func() bool { return strings.Contains(d.esaCalls(), `"Name":"`+o.name+`"`) })
		kill(t, d.busy(stack.FunctionWorker).PID, syscall.SIGTERM)
		d.awaitState(o, succeeded)
		d.send(http.MethodPut, d.url[edgeService]+"/_local/account", `{"latencyMillis":5}`)
		if j := d.job(o.id); len(j.Attempts) > 0 || j.HandedBack > 0 {
			t.Errorf("%+v", j)
		}
		if n := strings.Count(d.esaCalls(), `"action":"CreateRoutine",`); n != 1 {
			t.Errorf("CreateRoutine was called %d times", n)
		}
	})

	t.Run("a job that waits for the account lock is handed back, and no attempt counts as failed", func(t *testing.T) {
		release := d.holdLock()
		o := d.order()
		d.submit(o)
		until(t, "ESA refuses the job", func() bool { return strings.Contains(d.esaCalls(), locked) })
		kill(t, d.busy(stack.FunctionWorker).PID, syscall.SIGTERM)
		until(t, "the job is handed back", func() bool { return d.job(o.id).HandedBack > 0 })
		release()
		d.awaitState(o, succeeded)
		if j := d.job(o.id); len(j.Attempts) > 0 {
			t.Errorf("%+v", j)
		}
	})

	t.Run("a request is answered first that waits for its job to be on the queue", func(t *testing.T) {
		d.send(http.MethodPost, d.url[messageService]+"/_local/faults", fmt.Sprintf(
			`[{"action":"SendMessage","match":{"queue":%q},"fault":{"answer":"slow","delayMillis":1000}},
			{"action":"BatchSendMessage","match":{"queue":%[1]q},"fault":{"answer":"slow","delayMillis":1000}}]`, stack.Queue))
		o, answered := d.order(), make(chan int, 1)
		go func() {
			status, answer := d.call(http.MethodPost, "/v1/routines", d.body(o), "Idempotency-Key", o.name)
			d.accepted(o, answer)
			answered <- status
		}()
		kill(t, d.busy(stack.FunctionAccept).PID, syscall.SIGTERM)
		if status := <-answered; status != http.StatusAccepted {
			t.Errorf("answered with %d", status)
		}
		d.send(http.MethodDelete, d.url[messageService]+"/_local/faults", "")
	})

	t.Run("a callback on its way is delivered first, and not twice", func(t *testing.T) {
		arrived, release := make(chan bool, 10), make(chan bool)
		var calls atomic.Int64
		receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			calls.Add(1)
			arrived <- true
			<-release
		}))
		defer receiver.Close()
		o := d.order()
		body := strings.Replace(d.body(o), "}", fmt.Sprintf(`,"callbackUrl":%q}`, receiver.URL), 1)
		d.accepted(o, d.insist(http.MethodPost, "/v1/routines", body))
		<-arrived
		kill(t, d.busy(stack.FunctionNotify).PID, syscall.SIGTERM)
		close(release)
		d.settle()
		if n := calls.Load(); n != 1 {
			t.Errorf("it was sent %d times", n)
		}
	})

	d.settle()
	d.check()
}

// locked is ESA's answer while another routine operation of the account runs.
const locked = "UserOperationStatusIsLocked"

// esaCalls is the log of ESA's calls, as JSON.
func (d *deployment) esaCalls() string {
	d.t.Helper()
	return d.send(http.MethodGet, d.url[edgeService]+"/_local/calls", "")
}
