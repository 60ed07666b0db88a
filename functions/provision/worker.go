package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"routinely/functions/invocation"
	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/provision"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

// workerConfig is what a worker needs; every field is required.
type workerConfig struct {
	queue    *queue.Client
	record   *invocation.Record
	workflow provision.Workflow
	policy   retry.Policy
	// lockPollMin and lockPollMax bound the pauses between two tries for ESA's account lock.
	lockPollMin, lockPollMax time.Duration
	// reserve is kept back before the invocation's deadline for handing work back.
	reserve time.Duration
	now     func() time.Time
	draw    func() float64
	sleep   func(context.Context, time.Duration)
}

// worker decides what becomes of each delivered job.
type worker struct {
	workerConfig
	// finished remembers the jobs this instance has brought to success, for copies of them that are delivered afterwards. A
	// dead letter is not remembered: whoever puts it back on the queue wants it tried again.
	finished recent
}

func newWorker(cfg workerConfig) (*worker, error) {
	if err := cfg.policy.Check(); err != nil {
		return nil, err
	}
	if cfg.lockPollMin <= 0 || cfg.lockPollMax < cfg.lockPollMin {
		return nil, fmt.Errorf("lock polling: want 0 < minimum (%s) <= maximum (%s)", cfg.lockPollMin, cfg.lockPollMax)
	}
	if cfg.reserve <= 0 {
		return nil, fmt.Errorf("reserve: want more than 0, not %s", cfg.reserve)
	}
	return &worker{workerConfig: cfg}, nil
}

// outcome is what became of one delivered message.
type outcome string

const (
	succeeded    outcome = "succeeded"
	again        outcome = "again"
	handedBack   outcome = "handed-back"
	deadLettered outcome = "dead-lettered"
	duplicate    outcome = "duplicate"
	cancelled    outcome = "cancelled"
	notSettled   outcome = "not-settled"
)

// report is the function's answer: what became of each message, for whoever invokes the function by hand or reads its
// result; the trigger does not.
type report struct {
	Messages []entry `json:"messages"`
}

type entry struct {
	JobID        string          `json:"jobId,omitempty"`
	MessageID    string          `json:"messageId,omitempty"`
	Outcome      outcome         `json:"outcome"`
	Attempt      int             `json:"attempt,omitempty"`
	Result       *routine.Result `json:"result,omitempty"`
	Step         string          `json:"step,omitempty"`
	Kind         fault.Kind      `json:"kind,omitempty"`
	Code         string          `json:"code,omitempty"`
	Error        string          `json:"error,omitempty"`
	ESARequestID string          `json:"esaRequestId,omitempty"`
	Hint         string          `json:"hint,omitempty"`
	DelaySeconds float64         `json:"delaySeconds,omitempty"`
}

// handle settles every message of the event. It returns an error only if handing one over failed: then the platform
// delivers the event again, and what was done already is found done.
func (w *worker) handle(ctx context.Context, event []byte) (report, error) {
	work := ctx
	if deadline, ok := ctx.Deadline(); ok {
		bounded, cancel := context.WithDeadline(ctx, deadline.Add(-w.reserve))
		defer cancel()
		work = bounded
	}
	var out report
	var failed error
	for _, delivery := range queue.Decode(event, w.now().UTC()) {
		line, err := w.settle(work, delivery)
		if err != nil {
			line.Outcome, line.Error = notSettled, err.Error()
			failed = errors.Join(failed, err)
		}
		line.log(ctx)
		out.Messages = append(out.Messages, line)
	}
	return out, failed
}

// settle is the life of one delivery: run it, then decide. This switch is the only place where a job is retried.
func (w *worker) settle(ctx context.Context, d queue.Delivery) (entry, error) {
	line := entry{JobID: d.Envelope.JobID, MessageID: d.MessageID, Attempt: d.Envelope.Attempt}
	if d.Err != nil {
		return w.giveUp(ctx, d, unreadable(d.Err), "the message holds no valid request", line)
	}
	e := d.Envelope
	if over := w.begin(ctx, e); over != "" {
		line.Outcome = over
		return line, nil
	}
	result, err := w.run(ctx, &e)
	d.Envelope = e
	if err == nil {
		w.finished.add(identity(e))
		w.write(ctx, e, ledger.Entry{Kind: ledger.Succeeded, Result: &result})
		line.Outcome, line.Result = succeeded, &result
		return line, nil
	}
	failure := fault.From(err)
	line.blame(failure)
	locked := failure.Kind == fault.Locked
	if !locked {
		d.Envelope.Fail(w.attempt(e, failure))
	}
	switch next := w.policy.Next(failure, e.Attempt, w.now().Sub(e.Since()), w.draw()); {
	case !next.Again:
		return w.giveUp(ctx, d, failure, next.Reason, line)
	case locked:
		return w.handBack(ctx, d, next.Delay, line)
	default:
		return w.tryAgain(ctx, d, next.Delay, line)
	}
}

// begin finds out whether the job is over already: a copy of one that succeeded, or one that was cancelled. Without an answer
// of the ledger the job is done: doing it twice is harmless, not doing it is not.
func (w *worker) begin(ctx context.Context, e queue.Envelope) (over outcome) {
	if w.finished.has(identity(e)) {
		return duplicate
	}
	was, ok := w.write(ctx, e, ledger.Entry{Kind: ledger.Started})
	// The same key may have been used for another request while the ledger was down.
	if !ok || requestText(was.Job.Request) != requestText(e.Request) {
		return ""
	}
	switch was.Job.State {
	case routine.Succeeded:
		return duplicate
	case routine.Cancelled:
		return cancelled
	case routine.Queued, routine.DeadLettered:
	}
	return ""
}

// write records what happens to the job.
func (w *worker) write(ctx context.Context, e queue.Envelope, entry ledger.Entry) (ledger.Record, bool) {
	entry.Redriven, entry.Attempt = e.Redriven, e.Attempt
	job := routine.Job{ID: e.JobID, Caller: e.Caller, AcceptedAt: e.AcceptedAt, Request: e.Request}
	return w.record.Append(context.WithoutCancel(ctx), job, entry)
}

// identity tells copies of a job from others. The request belongs to it, since a key that was used for another request gives
// the same job id, and so does the number of redrives.
func identity(e queue.Envelope) string {
	return fmt.Sprintf("%s %d %s", e.JobID, e.Redriven, requestText(e.Request))
}

// requestText tells requests apart.
func requestText(req routine.Request) string {
	text, err := json.Marshal(req)
	if err != nil { // strings, numbers and booleans always marshal
		return ""
	}
	return string(text)
}

func (w *worker) attempt(e queue.Envelope, failure *fault.Error) routine.Attempt {
	return routine.Attempt{
		Number: e.Attempt, Redriven: e.Redriven, At: w.now().UTC(), Step: routine.Step(failure.Step), Kind: string(failure.Kind),
		Code: failure.Code, RequestID: failure.RequestID, Message: failure.Error(), Hint: failure.Hint,
	}
}

// run performs the job, waiting in place for the account lock as long as the invocation has time: the lane stays busy.
func (w *worker) run(ctx context.Context, e *queue.Envelope) (routine.Result, error) {
	pause := w.lockPollMin
	for {
		result, err := w.runOnce(ctx, e)
		if !fault.HasKind(err, fault.Locked) || !w.canWait(ctx, pause) {
			return result, err
		}
		w.sleep(ctx, pause/2+time.Duration(w.draw()*float64(pause/2)))
		pause = min(2*pause, w.lockPollMax)
	}
}

// canWait reports whether another step fits after the pause.
func (w *worker) canWait(ctx context.Context, pause time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) > pause+w.workflow.StepTime
}

// runOnce makes a defect in the workflow a fault of this one job.
func (w *worker) runOnce(ctx context.Context, e *queue.Envelope) (result routine.Result, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = &fault.Error{
				Kind: fault.Internal, Code: "Panic", Message: fmt.Sprint(broken), OutcomeUnknown: true,
				Hint: "This is a defect of Routinely: report it with the log lines of the job.",
			}
		}
	}()
	return w.workflow.Run(ctx, e.Request, &e.Progress)
}

// handBack returns a job to the queue without counting an attempt.
func (w *worker) handBack(ctx context.Context, d queue.Delivery, delay time.Duration, line entry) (entry, error) {
	happened := ledger.Entry{Kind: ledger.HandedBack, HandedBack: d.Envelope.HandedBack + 1}
	next := d
	next.Envelope.HandedBack++
	line.Outcome = handedBack
	return w.send(ctx, d, next, delay, happened, line)
}

// tryAgain returns a job to the queue for its next attempt.
func (w *worker) tryAgain(ctx context.Context, d queue.Delivery, delay time.Duration, line entry) (entry, error) {
	happened := ledger.Entry{Kind: ledger.Failed, Failure: &d.Envelope.Failures[len(d.Envelope.Failures)-1]}
	next := d
	next.Envelope.Attempt++
	line.Outcome = again
	return w.send(ctx, d, next, delay, happened, line)
}

// send puts the job on the queue as it is next, and records what happened once it is there.
func (w *worker) send(ctx context.Context, d, next queue.Delivery, delay time.Duration, happened ledger.Entry, line entry) (entry, error) {
	// The job's own time may be over; handing it over has the reserve.
	err := w.queue.Send(context.WithoutCancel(ctx), next.Envelope, delay)
	if fault.HasKind(err, fault.Invalid) {
		return w.giveUp(ctx, d, fault.From(err), "the job with its history does not fit into a message", line)
	}
	line.DelaySeconds = delay.Seconds()
	if err == nil {
		w.write(ctx, d.Envelope, happened)
	}
	return line, err
}

// giveUp puts the job, or the message that holds none, on the dead-letter queue.
func (w *worker) giveUp(ctx context.Context, d queue.Delivery, failure *fault.Error, reason string, line entry) (entry, error) {
	e := d.Envelope
	letter := queue.DeadLetter{
		JobID: e.JobID, Kind: string(failure.Kind), Code: failure.Code, Message: failure.Error(), RequestID: failure.RequestID,
		Step: routine.Step(failure.Step), Hint: failure.Hint, Reason: reason, Caller: e.Caller, AcceptedAt: e.AcceptedAt,
		Attempt: e.Attempt, Redriven: e.Redriven, Redrives: e.Redrives, Progress: e.Progress, Attempts: e.Failures,
		DeadAt:   w.now().UTC(),
		Received: queue.ReceivedBody(d.MessageID, d.Body),
	}
	if d.Err == nil {
		letter.Request = &e.Request
	}
	var invalid *routine.Invalid
	if errors.As(d.Err, &invalid) {
		letter.Problems = invalid.Problems
	}
	line.blame(failure)
	line.Outcome = deadLettered
	err := w.queue.SendDead(context.WithoutCancel(ctx), letter)
	if err == nil && d.Err == nil {
		last := w.attempt(e, failure)
		w.write(ctx, e, ledger.Entry{Kind: ledger.DeadLettered, Failure: &last, Reason: reason})
	}
	return line, err
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

func (l *entry) blame(failure *fault.Error) {
	l.Step, l.Kind, l.Code, l.Error = failure.Step, failure.Kind, failure.Code, failure.Error()
	l.ESARequestID, l.Hint = failure.RequestID, failure.Hint
}

// log writes the one line of a message's outcome.
func (l *entry) log(ctx context.Context) {
	fields := logging.Fields{logging.Outcome: l.Outcome, logging.Job: l.JobID, logging.MessageID: l.MessageID, logging.Attempt: l.Attempt}
	if l.Result != nil {
		fields["routine"], fields["record"], fields["recordId"] = l.Result.Routine, l.Result.Record, l.Result.RecordID
	}
	if l.Error != "" {
		fields[logging.Error], fields[logging.Kind], fields[logging.Code] = l.Error, l.Kind, l.Code
		fields[logging.Step], fields[logging.ESARequestID], fields[logging.Hint] = l.Step, l.ESARequestID, l.Hint
	}
	if l.Outcome == again || l.Outcome == handedBack {
		fields[logging.DelaySeconds] = l.DelaySeconds
	}
	log := logging.From(ctx).WithFields(fields)
	switch l.Outcome {
	case succeeded, duplicate, cancelled:
		log.Info("job " + string(l.Outcome))
	case again, handedBack:
		log.Warn("job " + string(l.Outcome))
	case deadLettered, notSettled:
		log.Error("job " + string(l.Outcome))
	}
}
