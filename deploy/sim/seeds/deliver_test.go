package seeds_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"routinely/deploy/local/mnsclient"
	"routinely/deploy/sim"
)

// delivery is a batch of messages that a trigger hands to its function until that takes it.
type delivery struct {
	queue    string
	messages []mnsclient.Message
	tries    int
	// at is when it is tried next.
	at   time.Time
	open bool
}

func (r *run) receiveFrom(queue string) bool {
	messages, err := r.queues.Receive(r.t.Context(), queue, 1+r.random.IntN(10), 0)
	r.must(err)
	if len(messages) == 0 {
		return false
	}
	d := &delivery{queue: queue, messages: messages, at: r.clock.Now()}
	r.deliveries = append(r.deliveries, d)
	if queue == sim.JobQueue {
		r.copies = append(r.copies, messages...)
	}
	r.log("the trigger of %s receives %s", queue, r.named(messages))
	return true
}

// named is the numbers of messages.
func (r *run) named(messages []mnsclient.Message) string {
	var out []string
	for _, m := range messages {
		out = append(out, r.name(m))
	}
	return strings.Join(out, ",")
}

func (r *run) name(m mnsclient.Message) string {
	if r.names[m.ID] == "" {
		r.names[m.ID] = fmt.Sprintf("m%d", len(r.names)+1)
	}
	return r.names[m.ID]
}

// deliver lets a trigger hand over messages that it has received, or at times an old copy. If a worker is at work already, a second one can get them: the
// platform keeps to one, but for a moment at a deployment.
func (r *run) deliver() bool {
	worker := provisioner
	if r.atWork(provisioner) && !r.calm && r.chance(4) {
		worker += second
	}
	if len(r.copies) > 0 && !r.calm && r.chance(8) {
		old := r.copies[r.random.IntN(len(r.copies))]
		return r.start(worker, "a copy of "+r.name(old), r.event([]mnsclient.Message{old}), func(*invocation) {})
	}
	due := slices.DeleteFunc(slices.Clone(r.deliveries), func(d *delivery) bool { return d.open || d.at.After(r.clock.Now()) })
	if len(due) == 0 {
		return false
	}
	d := due[r.random.IntN(len(due))]
	if d.queue == sim.CallbackQueue {
		worker = notifier
	}
	d.open = r.start(worker, r.named(d.messages), r.event(d.messages), func(in *invocation) { r.delivered(d, in) })
	return d.open
}

// delivered is what the trigger does once its function has ended.
func (r *run) delivered(d *delivery, in *invocation) {
	d.open = false
	switch {
	case in.lived() && (r.calm || !r.chance(10)):
		var handles []string
		for _, m := range d.messages {
			handles = append(handles, m.ReceiptHandle)
		}
		_, err := r.queues.DeleteBatch(r.t.Context(), d.queue, handles)
		r.must(err)
	case d.tries > 3 && !r.calm && r.chance(2):
		r.givenUp++
		r.log("the trigger gives up %s", r.named(d.messages))
		for _, m := range d.messages {
			_, err := r.queues.Send(r.t.Context(), sim.DeadLetterQueue, m.Body, 0)
			r.must(err)
		}
	default:
		r.log("the trigger tries %s again", r.named(d.messages))
		d.at = r.clock.Now().Add(time.Second << min(d.tries, 9))
		d.tries++
		return
	}
	r.deliveries = slices.DeleteFunc(r.deliveries, func(other *delivery) bool { return other == d })
}

// event is what a trigger hands over.
func (r *run) event(messages []mnsclient.Message) []byte {
	var events []map[string]any
	for _, m := range messages {
		events = append(events, map[string]any{
			"id": r.name(m), "source": "MNS-Function-trigger", "specversion": "1.0", "type": "mns:Queue:SendMessage",
			"datacontenttype": "application/json; charset=utf-8",
			"data":            map[string]string{"requestId": "R", "messageId": r.name(m), "messageBody": m.Body},
		})
	}
	text, _ := json.Marshal(events)
	return text
}
