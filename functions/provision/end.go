package provision

import (
	"context"
	"encoding/json"
	"errors"

	"routinely/queue"
	"routinely/shared/callback"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// repeat deals with a message of a job that is over. Its end was recorded before what follows from it was handed over, and whoever
// did the one may not have come to the other: so that is done once more.
func (w *worker) repeat(ctx context.Context, d queue.Delivery, known routine.Job, line entry) (entry, error) {
	line.Outcome = duplicate
	switch known.State {
	case routine.Cancelled:
		line.Outcome = cancelled
	case routine.Succeeded:
		return line, w.finish(ctx, d.Envelope, known)
	case routine.DeadLettered:
		last := lastAttempt(known)
		if e := d.Envelope; last.Number != e.Attempt || last.Redriven != e.Redriven {
			return line, nil // another message of the job has died, and that one is not settled before its letter is sent
		}
		line.Outcome = deadLettered
		line.blame(last)
		if line.Kind != fault.Locked {
			d.Envelope.Fail(last)
		}
		return line, w.bury(ctx, d, known, last)
	case routine.Queued:
	}
	return line, nil
}

// lastAttempt is what a job died of, as far as the record had room for it.
func lastAttempt(job routine.Job) routine.Attempt {
	if n := len(job.Attempts); n > 0 {
		return job.Attempts[n-1]
	}
	return routine.Attempt{
		Number: job.Attempt, Redriven: job.Redriven, At: job.UpdatedAt, Kind: job.Kind, Code: job.Code, Hint: job.Hint, Message: job.Reason,
	}
}

// finish tells of a success and then remembers the job: until then a copy of it does all this again.
func (w *worker) finish(ctx context.Context, e queue.Envelope, job routine.Job) error {
	err := w.tell(ctx, e, job)
	if err == nil {
		w.finished.add(identity(e))
	}
	return err
}

// end records the end of a job and returns the job as it ended. If another copy of it came to another end before, that is the one
// that counts.
func (w *worker) end(ctx context.Context, e queue.Envelope, entry ledger.Entry) routine.Job {
	if was, ok := w.write(ctx, e, entry); ok && isOf(e, was.Job) && was.Job.State.Final() {
		return was.Job
	}
	job := routine.Job{
		ID: e.JobID, State: routine.DeadLettered, Request: e.Request, Caller: e.Caller, AcceptedAt: e.AcceptedAt, UpdatedAt: w.now().UTC(),
		Attempt: e.Attempt, HandedBack: e.HandedBack, Redriven: e.Redriven, Attempts: e.Failures, Reason: entry.Reason, Result: entry.Result,
	}
	if entry.Kind == ledger.Succeeded {
		job.State, job.Ready = routine.Succeeded, true
	}
	if f := entry.Failure; f != nil {
		job.Kind, job.Code, job.Hint = f.Kind, f.Code, f.Hint
	}
	return job
}

// tell hands over the news of the job's end to whoever wants them. They are sent by a function of their own: a receiver may be slow,
// and the lane must not wait.
func (w *worker) tell(ctx context.Context, e queue.Envelope, job routine.Job) error {
	if e.Request.CallbackURL == "" {
		return nil
	}
	event, err := callback.NewEvent(job)
	var text []byte
	if err == nil {
		text, err = json.Marshal(event)
	}
	if err != nil {
		logging.From(ctx).WithFields(logging.Fields{logging.Job: e.JobID, logging.Error: err.Error()}).Error("nobody is told of the job's end")
		return nil
	}
	return w.queue.SendCallback(context.WithoutCancel(ctx), queue.Callback{
		ID: event.ID(), JobID: e.JobID, Caller: e.Caller, URL: e.Request.CallbackURL, Event: text, CreatedAt: event.Timestamp, Attempt: 1,
	}, 0)
}

// giveUp puts the job, or the message that holds none, on the dead-letter queue. The end is recorded first: should the worker be
// killed in between, the message comes again and its letter is sent then, while no copy of it is tried any more.
func (w *worker) giveUp(ctx context.Context, d queue.Delivery, last routine.Attempt, reason string, line entry) (entry, error) {
	line.blame(last)
	line.Outcome = deadLettered
	if d.Err != nil {
		return line, w.bury(ctx, d, routine.Job{Reason: reason}, last)
	}
	job := w.end(ctx, d.Envelope, ledger.Entry{Kind: ledger.DeadLettered, Failure: &last, Reason: reason})
	if job.State != routine.DeadLettered {
		line.Outcome = duplicate
		return line, nil
	}
	return line, w.bury(ctx, d, job, last)
}

// bury sends the dead letter of a job, or of a message that holds none, and tells of the job's end.
func (w *worker) bury(ctx context.Context, d queue.Delivery, job routine.Job, last routine.Attempt) error {
	e := d.Envelope
	letter := queue.NewDeadLetter(last, job.Reason)
	letter.JobID, letter.Caller, letter.AcceptedAt, letter.Progress = e.JobID, e.Caller, e.AcceptedAt, e.Progress
	letter.Attempt, letter.Attempts, letter.Redriven, letter.Redrives = e.Attempt, e.Failures, e.Redriven, e.Redrives
	letter.Received = queue.ReceivedBody(d.MessageID, d.Body)
	if d.Err == nil {
		letter.Request = &e.Request
	}
	var invalid *routine.Invalid
	if errors.As(d.Err, &invalid) {
		letter.Problems = invalid.Problems
	}
	if err := w.queue.SendDead(context.WithoutCancel(ctx), letter); err != nil || d.Err != nil {
		return err
	}
	return w.tell(ctx, e, job)
}

// unreadable classifies a message without a valid request.
func unreadable(err error) *fault.Error {
	code := "UnreadableMessage"
	var invalid *routine.Invalid
	if errors.As(err, &invalid) && !invalid.Malformed {
		code = "InvalidRequest"
	}
	return &fault.Error{
		Kind: fault.Invalid, Code: code, Message: err.Error(), Err: err,
		Hint: "Correct the request and submit it again; the message as received is below. See POST /v1/routines for the rules.",
	}
}
