package main_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/stack"
	"routinely/deploy/sim"
)

// TestJobs follows jobs through the whole of Routinely.
func TestJobs(t *testing.T) {
	t.Parallel()
	d := deploy(t)

	d.run("an accepted request becomes a routine with its record, and its caller gets a callback", func() {
		o := d.several(1)[0]
		d.submit(o)
		d.settle()
		if j := d.job(o); j.Callback.State != "handed-over" {
			d.t.Errorf("the job is %+v", j)
		}
	})

	d.run("a dead letter is corrected and redriven, and its key stands for both requests", func() {
		o := d.hopeless()
		d.submit(o)
		d.awaitState(deadLettered, o)
		wrong := *o
		d.correct(o)
		d.awaitState(succeeded, o)
		d.submit(o)
		d.submit(&wrong)
	})

	d.settle()
}

// TestCallback lets a receiver refuse a callback, and get it when somebody asks for it again.
func TestCallback(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	o := d.several(1)[0]
	d.unwanted()
	d.submit(o)
	until(t, "the job says that its receiver wants no callback", func() bool {
		d.sweep()
		return d.job(o).Callback.State == "failed"
	})
	d.heal(theReceiver)
	d.insist(http.MethodPost, "/v1/jobs/"+o.id+":notify", "")
	until(t, "the job says that its receiver has the callback", func() bool { return d.job(o).Callback.State == "handed-over" })
	d.settle()
	if n := len(d.calls(theReceiver)); n != 2 {
		t.Errorf("the receiver was called %d times", n)
	}
}

// TestDeadLetterQueue puts on the dead-letter queue what the trigger puts there and what others put there by mistake, and lets the janitor file it.
func TestDeadLetterQueue(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	// While a job waits for the account lock, the messages of all can be seen on the queue.
	orders := d.several(3)
	ended, waiting := orders[1], orders[2]
	release := d.holdLock()
	d.submit(orders[:2]...)
	message := d.messageOf(ended)
	release()
	d.awaitState(succeeded, ended)
	release = d.holdLock()
	d.submit(waiting)

	const garbage = "\tnobody <knows> what \"this\" is "
	const bare = `{"name":"bare","siteId":54362329990032,"recordName":"bare.example.com"}`
	d.put(stack.DeadLetterQueue, message, string(sim.Event(t, d.messageOf(waiting), bare)), garbage)
	until(t, "the dead-letter queue is empty", func() bool {
		d.sweep()
		return d.depth(stack.DeadLetterQueue) == 0
	})
	if n := len(d.letters()); n != 2 {
		t.Errorf("%d dead letters, want the garbage and the bare request: %+v", n, d.letters())
	}
	for _, l := range d.letters() {
		var whole letter
		decode(t, d.insist("GET", "/v1/dead-letters/"+l.ID, ""), &whole)
		kept := whole.Received.Body == garbage || whole.Received.Body == bare
		if !kept || whole.Origin != "trigger" || whole.Code == "" || whole.Hint == "" {
			t.Errorf("dead letter %+v, received %+v", whole, whole.Received)
		}
		d.insist("DELETE", "/v1/dead-letters/"+l.ID+"?reason=seen", "")
	}
	release()
	d.awaitState(succeeded, orders...)
	until(t, "nothing is left to be done", d.settled)
	d.receiver.check(d.orders)
	d.checkRoutines()
}

// TestForeignCaller shares the account's lock with a program of the same account, which uses the official SDK and never pauses between its
// operations. The lock costs no job an attempt.
func TestForeignCaller(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	sdk, err := esa.NewClient(&openapi.Config{
		Endpoint: tea.String(host(d.url[edgeService])), Protocol: tea.String("HTTP"),
		AccessKeyId: tea.String(stack.AccessKeyID), AccessKeySecret: tea.String(stack.AccessKeySecret),
	})
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	// insist makes a call until it does not meet the lock.
	insist := func(call func() error) (err error) {
		var refusal *tea.SDKError
		for err = call(); errors.As(err, &refusal) && tea.StringValue(refusal.Code) == locked && t.Context().Err() == nil; err = call() {
			refused++
		}
		return err
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		name := tea.String("foreign")
		var err error
		for err == nil && ctx.Err() == nil {
			err = insist(func() error { _, err := sdk.CreateRoutine(&esa.CreateRoutineRequest{Name: name}); return err })
			if err == nil {
				err = insist(func() error { _, err := sdk.DeleteRoutine(&esa.DeleteRoutineRequest{Name: name}); return err })
			}
		}
		ended <- err
	}()
	until(t, "jobs meet the lock", func() bool {
		d.submit(d.order())
		return len(d.orders) >= 10 && slices.ContainsFunc(d.calls(edgeService), func(c serverCall) bool {
			return c.Code == locked && strings.HasPrefix(c.Params.Name, "job-")
		})
	})
	d.awaitState(succeeded, d.orders...)
	stop()
	if err := <-ended; err != nil || refused == 0 {
		t.Errorf("the other program met the lock %d times: %v", refused, err)
	}
	d.settle()
	for _, o := range d.orders {
		if j := d.job(o); j.Attempt != 1 || len(j.Attempts) > 0 {
			t.Errorf("%s: attempt %d, failures %v", o.name, j.Attempt, j.Attempts)
		}
	}
}
