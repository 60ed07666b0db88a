// Package notify is the function that reports the ends of jobs: it takes callbacks from their queue and posts each to the URL that
// its request names, again and again if it must, so that no receiver can hold up the jobs. It knows neither the ledger nor ESA: what it gives
// up goes to the dead-letter queue, and the janitor tells the job.
package notify

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"routinely/queue"
	"routinely/shared/callback"
	"routinely/shared/fault"
	"routinely/shared/routine"
	"routinely/shared/trace"
)

// Config is what a Notifier needs; every field is required.
type Config struct {
	Queue  *queue.Client
	Sender *callback.Sender
	Now    func() time.Time
	// Draw returns a random number in [0, 1).
	Draw func() float64
	// Bits returns 64 random bits, for the ids of spans and traces.
	Bits func() uint64
}

// Notifier decides what becomes of each delivered callback.
type Notifier struct{ Config }

// New checks the configuration and returns a notifier.
func New(cfg Config) (*Notifier, error) {
	if cfg.Queue == nil || cfg.Sender == nil || cfg.Now == nil || cfg.Draw == nil || cfg.Bits == nil {
		return nil, errors.New("notify: a queue, a sender, a clock and sources of random numbers and bits are required")
	}
	return &Notifier{cfg}, nil
}

// maxPosts bounds the posts under way, and with them memory: how many messages an event has is a setting of the trigger.
const maxPosts = 50

// Handle settles every message of the event, all at a time: a receiver that is slow shall hold up no other. If the context has a deadline,
// posts end after four fifths of the time until then, so that each callback can still be handed over. It returns an error only if handing
// one over failed: then the platform delivers the event again, and a receiver that has a callback already knows it by its id.
func (n *Notifier) Handle(ctx context.Context, event json.RawMessage) (Report, error) {
	if deadline, limited := ctx.Deadline(); limited {
		bounded, cancel := context.WithTimeout(ctx, time.Until(deadline)*4/5)
		defer cancel()
		ctx = bounded
	}
	deliveries := n.Queue.Keys().Decode(event, n.Now().UTC())
	out, failed := Report{make([]entry, len(deliveries))}, make([]error, len(deliveries))
	slots := make(chan struct{}, maxPosts)
	var running sync.WaitGroup
	for i, d := range deliveries {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			line, err := n.settle(ctx, d)
			if err != nil {
				line.Outcome, line.Error, failed[i] = notSettled, err.Error(), err
			}
			line.log(ctx)
			out.Messages[i] = line
		})
	}
	running.Wait()
	return out, errors.Join(failed...)
}

// settle posts one callback, then decides.
func (n *Notifier) settle(ctx context.Context, d queue.Delivery) (entry, error) {
	if d.Callback == nil {
		return n.passOn(ctx, d)
	}
	c := *d.Callback
	line := entry{ID: c.ID, JobID: c.JobID, TraceID: c.Trace.ID(), MessageID: d.MessageID, Attempt: c.Attempt, URL: routine.ShownURL(c.URL)}
	err := n.post(ctx, c)
	if err == nil {
		line.Outcome = delivered
		return line, nil
	}
	failure := fault.From(err)
	line.blame(failure)
	c.LastStatus = callback.Status(err)
	delay, more := callback.Next(failure, c.Attempt, n.Draw())
	// The invocation's time may be over; what it has found out is handed over all the same.
	ctx = context.WithoutCancel(ctx)
	if !more {
		line.Outcome = givenUp
		return line, n.Queue.GiveUpCallback(ctx, c)
	}
	c.Attempt++
	line.Outcome, line.DelaySeconds = again, delay.Seconds()
	return line, n.Queue.SendCallback(ctx, c, delay)
}

// post makes one attempt.
func (n *Notifier) post(ctx context.Context, c queue.Callback) error {
	var event callback.Event
	if err := json.Unmarshal(c.Event, &event); err != nil {
		return &fault.Error{
			Kind: fault.Invalid, Step: callback.Step, Code: callback.CodeEvent, Message: "the event cannot be read: " + err.Error(), Err: err,
			Hint: "Something other than Routinely has put this message on the queue of the callbacks.",
		}
	}
	event.Receiver = c.Caller
	if c.Trace != "" {
		ctx = trace.Into(ctx, c.Trace.Child(n.Bits))
	}
	return n.Sender.Post(ctx, c.URL, event)
}

// passOn puts a message that is no callback on the dead-letter queue, as it is. MNS takes no empty one, so that there is nothing to keep of it.
func (n *Notifier) passOn(ctx context.Context, d queue.Delivery) (entry, error) {
	line := entry{JobID: d.Envelope.JobID, TraceID: d.Envelope.Trace.ID(), MessageID: d.MessageID, Outcome: passedOn}
	failure := &fault.Error{
		Kind: fault.Invalid, Code: "UnreadableMessage", Message: "a job on the queue of callbacks", Err: d.Err,
		Hint: "Something other than Routinely has put this message on the queue of the callbacks. The janitor files it as a dead letter.",
	}
	switch {
	case fault.HasCode(d.Err, queue.CodeUnknownKey):
		failure = fault.From(d.Err)
	case d.Err != nil:
		failure.Message = d.Err.Error()
	}
	line.blame(failure)
	if len(d.Body) == 0 {
		return line, nil
	}
	return line, n.Queue.SendDead(context.WithoutCancel(ctx), d)
}
