package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"routinely/queue"
	"routinely/shared/callback"
	"routinely/shared/fault"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// notifier decides what becomes of each delivered callback.
type notifier struct {
	queue  *queue.Client
	sender *callback.Sender
	now    func() time.Time
	draw   func() float64
}

// outcome is what became of one delivered message.
type outcome string

const (
	delivered    outcome = "delivered"
	again        outcome = "again"
	deadLettered outcome = "dead-lettered"
	notSettled   outcome = "not-settled"
)

// report is the function's answer: what became of each message.
type report struct {
	Messages []entry `json:"messages"`
}

type entry struct {
	ID        string  `json:"id,omitempty"`
	JobID     string  `json:"jobId,omitempty"`
	MessageID string  `json:"messageId,omitempty"`
	Outcome   outcome `json:"outcome"`
	Attempt   int     `json:"attempt,omitempty"`
	// URL is shown without its query.
	URL          string     `json:"url,omitempty"`
	Kind         fault.Kind `json:"kind,omitempty"`
	Code         string     `json:"code,omitempty"`
	Error        string     `json:"error,omitempty"`
	Hint         string     `json:"hint,omitempty"`
	DelaySeconds float64    `json:"delaySeconds,omitempty"`
}

// handle settles every message of the event, all at a time: a receiver that is slow shall hold up no other. It returns an error only
// if handing one over failed: then the platform delivers the event again, and a receiver that has a callback already knows it by its
// id.
func (n notifier) handle(ctx context.Context, event json.RawMessage) (report, error) {
	deliveries := queue.DecodeCallbacks(event)
	out, failed := report{make([]entry, len(deliveries))}, make([]error, len(deliveries))
	var running sync.WaitGroup
	for i, d := range deliveries {
		running.Go(func() {
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
func (n notifier) settle(ctx context.Context, d queue.CallbackDelivery) (entry, error) {
	c := d.Callback
	line := entry{ID: c.ID, JobID: c.JobID, MessageID: d.MessageID, Attempt: c.Attempt, URL: routine.ShownURL(c.URL)}
	err := n.post(ctx, d)
	if err == nil {
		line.Outcome = delivered
		return line, nil
	}
	failure := fault.From(err)
	line.Kind, line.Code, line.Error, line.Hint = failure.Kind, failure.Code, failure.Error(), failure.Hint
	last := queue.NewAttempt(c.Attempt, c.Redriven, n.now(), failure)
	if d.Err == nil {
		d.Callback.Fail(last)
	}
	delay, more := callback.Next(failure, c.Attempt, n.draw())
	if !more || d.Err != nil {
		line.Outcome = deadLettered
		return line, n.giveUp(ctx, d, last)
	}
	d.Callback.Attempt++
	line.Outcome, line.DelaySeconds = again, delay.Seconds()
	return line, n.queue.SendCallback(context.WithoutCancel(ctx), d.Callback, delay)
}

// post makes one attempt.
func (n notifier) post(ctx context.Context, d queue.CallbackDelivery) error {
	var event callback.Event
	err := d.Err
	if err == nil {
		err = json.Unmarshal(d.Callback.Event, &event)
	}
	if err != nil {
		return &fault.Error{
			Kind: fault.Invalid, Step: callback.Step, Code: "UnreadableMessage", Message: err.Error(), Err: err,
			Hint: "Something other than Routinely has put this message on the queue of the callbacks. Delete it.",
		}
	}
	return n.sender.Post(ctx, d.Callback.URL, event)
}

// giveUp puts the callback, or the message that holds none, on the dead-letter queue.
func (n notifier) giveUp(ctx context.Context, d queue.CallbackDelivery, last routine.Attempt) error {
	c := d.Callback
	letter := queue.NewDeadLetter(last, reason(fault.Kind(last.Kind)))
	letter.JobID, letter.Caller, letter.Attempt, letter.Attempts, letter.Redriven = c.JobID, c.Caller, c.Attempt, c.Failures, c.Redriven
	if d.Err == nil {
		letter.Callback, d.Body = &c, nil // nothing is in the message but the callback
	}
	letter.Received = queue.ReceivedBody(d.MessageID, d.Body)
	return n.queue.SendDead(context.WithoutCancel(ctx), letter)
}

func reason(kind fault.Kind) string {
	if kind.Retryable() {
		return fmt.Sprintf("the callback was tried %d times", callback.MaxAttempts)
	}
	return "the callback would fail again"
}

// log writes the one line of a message's outcome.
func (l *entry) log(ctx context.Context) {
	fields := logging.Fields{
		logging.Outcome: l.Outcome, logging.Job: l.JobID, logging.MessageID: l.MessageID, logging.Attempt: l.Attempt, "callbackId": l.ID, "url": l.URL,
	}
	if l.Error != "" {
		fields[logging.Error], fields[logging.Kind], fields[logging.Code], fields[logging.Hint] = l.Error, l.Kind, l.Code, l.Hint
	}
	if l.Outcome == again {
		fields[logging.DelaySeconds] = l.DelaySeconds
	}
	log := logging.From(ctx).WithFields(fields)
	switch l.Outcome {
	case delivered:
		log.Info("callback delivered")
	case again:
		log.Warn("callback again")
	case deadLettered, notSettled:
		log.Error("callback " + string(l.Outcome))
	}
}
