package queue

import (
	"cmp"
	"time"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Redelivery is a message that puts a dead letter back on the queue it came from.
type Redelivery struct {
	// Body is the message's body.
	Body string
	// Job is the job in it, nil if there is none that can be read.
	Job *Envelope
	// Callback means that it is one, and belongs on their queue.
	Callback bool
}

// Redrive returns the messages that put the letter back on its queue: one, but for an event that holds several messages.
// A job that can be read keeps its id, its history and what its steps achieved, and begins another round; a message that
// holds none goes back byte for byte as it was received. Received must be whole. What MNS could not take is a fault of kind
// Invalid.
func (d DeadLetter) Redrive(at time.Time, by, reason string) ([]Redelivery, error) {
	if d.Callback != nil {
		return d.Callback.redelivery()
	}
	if d.Request != nil && d.JobID != "" {
		return redeliver([]Delivery{{Envelope: d.envelope(*d.Request)}}, at, by, reason)
	}
	body, err := d.Received.Bytes()
	if err != nil {
		return nil, err
	}
	deliveries := d.deliveries(body)
	one, ok := single(deliveries)
	switch {
	case len(body) == 0:
		return nil, &fault.Error{
			Kind: fault.Invalid, Code: "EmptyMessage", Message: "the message was empty", Hint: "There is nothing to redrive. Delete the dead letter.",
		}
	case ok && one.Err == nil && d.JobID != "":
		deliveries = []Delivery{{Envelope: d.envelope(one.Envelope.Request)}}
	case ok && one.Err != nil, len(deliveries) == 0:
		return []Redelivery{{Body: string(body)}}, tooLarge(len(carried(string(body))))
	}
	return redeliver(deliveries, at, by, reason)
}

// deliveries are the messages that the letter's body holds: one, but for an event that holds several.
func (d DeadLetter) deliveries(body []byte) []Delivery {
	accepted := cmp.Or(d.AcceptedAt, d.DeadAt)
	found := Decode(body, accepted)
	if one, ok := single(found); ok && one.MessageID == "" {
		return []Delivery{read(d.Received.MessageID, one.Body, accepted)}
	}
	return found
}

// envelope is the letter's job as it was when it was given up.
func (d DeadLetter) envelope(request routine.Request) Envelope {
	return Envelope{
		JobID: d.JobID, Caller: d.Caller, AcceptedAt: cmp.Or(d.AcceptedAt, d.DeadAt), Redriven: d.Redriven, Redrives: d.Redrives,
		Request: request, Progress: d.Progress, Failures: d.Attempts,
	}
}

func redeliver(deliveries []Delivery, at time.Time, by, reason string) ([]Redelivery, error) {
	out := make([]Redelivery, 0, len(deliveries))
	for _, d := range deliveries {
		one := Redelivery{Body: string(d.Body)}
		err := tooLarge(len(carried(one.Body)))
		if d.Err == nil {
			one, err = d.Envelope.redelivery(at, by, reason)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// redelivery makes the message of a redriven job. Its history is told as far as it fits.
func (e Envelope) redelivery(at time.Time, by, reason string) (Redelivery, error) {
	e.Redrive(at, by, reason)
	for {
		body, err := e.Encode()
		if err != nil {
			return Redelivery{}, err
		}
		err = tooLarge(len(carried(string(body))))
		if err == nil {
			return Redelivery{Body: string(body), Job: &e}, nil
		}
		if !e.forget() {
			return Redelivery{}, err
		}
	}
}

// redelivery makes the message of a callback that begins anew.
func (c Callback) redelivery() ([]Redelivery, error) {
	c.Redriven++
	c.Attempt = 1
	body, err := c.Encode()
	if err != nil {
		return nil, err
	}
	return []Redelivery{{Body: string(body), Callback: true}}, tooLarge(len(carried(string(body))))
}

// forget drops the oldest of the history and reports whether there was any to drop. The latest redrive stays: the job's age
// counts from it.
func (e *Envelope) forget() bool {
	switch {
	case len(e.Failures) > 0:
		e.Failures = e.Failures[1:]
	case len(e.Redrives) > 1:
		e.Redrives = e.Redrives[1:]
	default:
		return false
	}
	return true
}
