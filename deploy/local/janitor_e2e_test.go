package main_test

import (
	"encoding/json"
	"strings"
	"testing"

	"routinely/deploy/local/stack"
)

// TestDeadLetterQueue fills the dead-letter queue as the trigger does, and as nobody should, and lets the janitor file it.
func TestDeadLetterQueue(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	// Behind a job that waits for the account lock, the message of another can be seen on the queue.
	first, ended := d.order(), d.order()
	release := d.holdLock()
	d.submit(first)
	d.busy(stack.FunctionWorker)
	d.submit(ended)
	message := d.messageOf(ended)
	release()
	d.awaitState(ended, succeeded)
	second, waiting := d.order(), d.order()
	waiting.told = true
	release = d.holdLock()
	d.submit(second)
	d.busy(stack.FunctionWorker)
	d.submit(waiting)

	const garbage = "\tnobody <knows> what \"this\" is "
	const bare = `{"name":"bare","siteId":54362329990032,"recordName":"bare.example.com"}`
	client := d.queues()
	for _, body := range []string{message, triggerEvent(t, d.messageOf(waiting), bare), garbage} {
		if _, err := client.Send(t.Context(), stack.DeadLetterQueue, body, 0); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the dead-letter queue is empty", func() bool {
		d.sweep()
		return len(d.messages(stack.DeadLetterQueue)) == 0
	})
	if n := len(d.letters()); n != 2 {
		t.Errorf("%d dead letters, want the garbage and the bare request: %+v", n, d.letters())
	}
	for _, l := range d.letters() {
		var whole letter
		decode(t, d.insist("GET", "/v1/dead-letters/"+l.ID, ""), &whole)
		kept := whole.Received != nil && (whole.Received.Body == garbage || whole.Received.Body == bare)
		if !kept || whole.Origin != "trigger" || whole.Code == "" || whole.Hint == "" {
			t.Errorf("dead letter %+v, received %+v", whole, whole.Received)
		}
		d.insist("DELETE", "/v1/dead-letters/"+l.ID+"?reason=seen", "")
	}
	release()
	d.settle()
	for _, o := range []*order{first, ended, second, waiting} {
		if j := d.job(o.id); j.State != succeeded {
			t.Errorf("%s is %+v", o.name, j)
		}
	}
	d.receiver.check(d.orders)
	d.checkRoutines()
}

// messageOf waits for the message of an order's job on the job queue.
func (d *deployment) messageOf(o *order) (message string) {
	d.t.Helper()
	until(d.t, "the message of "+o.name+" is on the queue", func() bool {
		for _, body := range d.messages(stack.Queue) {
			if strings.Contains(body, `"`+o.name+`"`) {
				message = body
			}
		}
		return message != ""
	})
	return message
}

// triggerEvent is an event of the trigger, as it puts it on the dead-letter queue whole.
func triggerEvent(t *testing.T, bodies ...string) string {
	t.Helper()
	type data struct {
		RequestID   string `json:"requestId"`
		MessageID   string `json:"messageId"`
		MessageBody string `json:"messageBody"`
	}
	var events []map[string]any
	for _, body := range bodies {
		events = append(events, map[string]any{
			"id": "e-" + t.Name(), "source": "MNS-Function-jobs", "specversion": "1.0", "type": "mns:Queue:SendMessage",
			"datacontenttype": "application/json; charset=utf-8", "subject": "acs:mns:cn-hangzhou:123456:queues/" + stack.Queue,
			"data": data{"68B3A42F", "5F290C92EAB1", body},
		})
	}
	text, err := json.Marshal(events)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
