// Package dispatch stands between the ledger and the queue: it makes messages of rows and rows of messages, sends what a row says is due, and
// marks it as sent. Accept, the worker and the janitor all send by it. It does not decide what becomes of a job.
package dispatch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"routinely/queue"
	"routinely/shared/callback"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// Dispatcher sends what is due. Every field is required. It is safe for concurrent use.
type Dispatcher struct {
	Queue  *queue.Client
	Ledger *ledger.Ledger
	Now    func() time.Time
}

// Envelope is the message of an unfinished job.
func Envelope(r ledger.Row) queue.Envelope {
	return queue.Envelope{
		JobID: r.ID, Caller: r.Caller, Limits: r.Limits, AcceptedAt: r.AcceptedAt, ProducedAt: r.ProducedAt, Round: r.Redriven, Number: r.Number, Request: r.Request,
		Trace: r.Trace, Bulk: r.Bulk,
	}
}

// Callback is the news of a job's end, the same whenever it is made. The error is a fault of kind Invalid if there can be none.
func Callback(r ledger.Row) (queue.Callback, error) {
	event, err := callback.NewEvent(r.News())
	if err != nil {
		return queue.Callback{}, err
	}
	text, err := json.Marshal(event)
	if err != nil {
		return queue.Callback{}, err
	}
	return queue.Callback{
		ID: event.ID(), JobID: r.ID, Caller: cmp.Or(r.Owner, r.Caller), Round: r.Redriven, URL: r.Request.CallbackURL, Event: text, CreatedAt: event.Timestamp,
		Attempt: 1, Trace: r.Trace,
	}, nil
}

// Send sends rows, each of another job: of an unfinished job its message, of one that has ended its callback if that is due. What MNS has
// confirmed is marked as sent; a mark that could not be written is no error, since sending twice is harmless. After a callback that failed as
// Unavailable no other is sent: a queue that is down costs one time limit for jobs and one for callbacks. The answer is in the order of the
// rows: the row as it is now, and why it could not be sent.
func (d *Dispatcher) Send(ctx context.Context, rows []ledger.Row) []ledger.Changed {
	out := make([]ledger.Changed, len(rows))
	for i, r := range rows {
		out[i].Row = r
	}
	d.sendJobs(ctx, out)
	d.sendCallbacks(ctx, out)
	d.mark(context.WithoutCancel(ctx), out) // what was sent was sent, however little time is left
	return out
}

func (d *Dispatcher) sendJobs(ctx context.Context, out []ledger.Changed) {
	var envelopes []queue.Envelope
	var places []int
	for i := range out {
		if !out[i].Row.State.Final() {
			envelopes, places = append(envelopes, Envelope(out[i].Row)), append(places, i)
		}
	}
	for n, err := range d.Queue.SendBatch(ctx, envelopes) {
		out[places[n]].Err = err
	}
}

func (d *Dispatcher) sendCallbacks(ctx context.Context, out []ledger.Changed) {
	var down error
	for i := range out {
		if !out[i].Row.State.Final() || out[i].Row.DueAt.IsZero() {
			continue
		}
		if out[i].Err = down; down == nil {
			out[i].Err = d.sendCallback(ctx, out[i].Row)
		}
		if fault.HasKind(out[i].Err, fault.Unavailable) {
			down = out[i].Err
		}
	}
}

func (d *Dispatcher) sendCallback(ctx context.Context, r ledger.Row) error {
	c, err := Callback(r)
	if err != nil {
		return err
	}
	return d.Queue.SendCallback(ctx, c, 0)
}

// mark clears the marks of what was sent, and of callbacks that can never be.
func (d *Dispatcher) mark(ctx context.Context, out []ledger.Changed) {
	var rows []ledger.Row
	var places []int
	for i, o := range out {
		impossible := o.Row.State.Final() && fault.HasKind(o.Err, fault.Invalid)
		if !o.Row.DueAt.IsZero() && (o.Err == nil || impossible) {
			rows, places = append(rows, o.Row), append(places, i)
		}
	}
	failed := make(map[string]error, len(rows))
	for n, r := range rows {
		failed[r.ID] = out[places[n]].Err
	}
	for n, done := range d.Ledger.UpdateAll(ctx, rows, func(r *ledger.Row) error {
		err := r.Sent(r.Redriven, r.Number, d.Queue.Keys().Sealing(), d.Now())
		if err == nil && failed[r.ID] != nil {
			err = r.CallbackFailed(r.Redriven, 0, 0)
		}
		return err
	}) {
		out[places[n]].Row = done.Row
	}
}

// DeadLetter is the row of a message that cannot be carried out because of the failure. at is when that was found out; the job was accepted
// then, unless the message tells otherwise. id is the id to file it under: the message's own only if it is an envelope whose job is unknown,
// which keeps its round, so that no copy of it is ahead of the row.
func DeadLetter(id string, d queue.Delivery, failure *fault.Error, reason string, origin ledger.Origin, at time.Time) ledger.Row {
	job := routine.Job{
		ID: id, Caller: d.Envelope.Caller, ClaimsJob: d.ClaimsJob, AcceptedAt: at, ProducedAt: d.Envelope.ProducedAt, Request: d.Envelope.Request,
	}
	if !d.Envelope.AcceptedAt.IsZero() {
		job.AcceptedAt = d.Envelope.AcceptedAt
	}
	if id == d.Envelope.JobID {
		job.Redriven = d.Envelope.Round
	}
	var invalid *routine.Invalid
	var problems []routine.Problem
	if errors.As(d.Err, &invalid) {
		problems = invalid.Problems
	}
	row := ledger.Unreadable(job, ledger.NewAttempt(0, at, failure), reason, origin, problems, d.Received())
	row.Trace = d.Envelope.Trace
	return row
}
