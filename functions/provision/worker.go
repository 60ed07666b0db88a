package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"routinely/functions/record"
	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/provision"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

// workerConfig is what a worker needs; every field is required.
type workerConfig struct {
	queue    *queue.Client
	record   *record.Record
	workflow provision.Workflow
	policy   retry.Policy
	// lockPollMin and lockPollMax bound the pauses between two tries for ESA's account lock.
	lockPollMin, lockPollMax time.Duration
	// reserve is kept back before the invocation's deadline for handing work back.
	reserve time.Duration
	now     func() time.Time
	draw    func() float64
	sleep   func(context.Context, time.Duration)
	// stopping is done once the process shall end: then a job that waits for the lock is handed back.
	stopping context.Context
}

// worker decides what becomes of each delivered job.
type worker struct {
	workerConfig
	// finished remembers the jobs this instance has brought to success, for copies of them that are delivered afterwards.
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

// handle settles every message of the event. It returns an error only if handing one over failed: then the platform
// delivers the event again, and what was done already is found done.
func (w *worker) handle(ctx context.Context, event json.RawMessage) (report, error) {
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
		return w.giveUp(ctx, d, w.attempt(d.Envelope, unreadable(d.Err)), "the message holds no valid request", line)
	}
	e := d.Envelope
	if known, over := w.begin(ctx, e); over {
		return w.repeat(ctx, d, known, line)
	}
	result, err := w.run(ctx, &e)
	d.Envelope = e
	if err == nil {
		line.Outcome, line.Result = succeeded, &result
		return line, w.finish(ctx, e, w.end(ctx, e, ledger.Entry{Kind: ledger.Succeeded, Result: &result}))
	}
	failure := fault.From(err)
	last := w.attempt(e, failure)
	line.blame(last)
	locked := failure.Kind == fault.Locked
	if !locked {
		d.Envelope.Fail(last)
	}
	switch next := w.policy.Next(failure, e.Attempt, w.now().Sub(e.Since()), w.draw()); {
	case !next.Again:
		return w.giveUp(ctx, d, last, next.Reason, line)
	case locked:
		return w.handBack(ctx, d, next.Delay, line)
	default:
		return w.tryAgain(ctx, d, next.Delay, line)
	}
}

// begin records that a worker has the job, and finds out whether its message is over: that of a job that has ended already, or was
// cancelled, or was redriven, which has another message then. known is the job as it is recorded, empty if it is only remembered.
// Without an answer of the ledger the job is done: doing it twice is harmless, not doing it is not.
func (w *worker) begin(ctx context.Context, e queue.Envelope) (known routine.Job, over bool) {
	if w.finished.has(identity(e)) {
		return routine.Job{}, true
	}
	was, ok := w.write(ctx, e, ledger.Entry{Kind: ledger.Started})
	if !ok || !isOf(e, was.Job) {
		return routine.Job{}, false
	}
	return was.Job, was.Job.State.Final() || was.Job.Redriven > e.Redriven
}

// isOf reports whether what is recorded is about the request in the envelope: the same key may have been used for another one while
// the ledger was down.
func isOf(e queue.Envelope, recorded routine.Job) bool {
	return requestText(recorded.Request) == requestText(e.Request.Shown())
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
	return queue.NewAttempt(e.Attempt, e.Redriven, w.now(), failure)
}

// run performs the job, waiting in place for the account lock as long as the invocation has time and the process shall live: the
// lane stays busy.
func (w *worker) run(ctx context.Context, e *queue.Envelope) (routine.Result, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.stopping, cancel)()
	pause := w.lockPollMin
	for {
		result, err := w.runOnce(ctx, e)
		if !fault.HasKind(err, fault.Locked) || !w.canWait(ctx, pause) {
			return result, err
		}
		w.sleep(waiting, pause/2+time.Duration(w.draw()*float64(pause/2)))
		if w.stopping.Err() != nil {
			return result, err
		}
		pause = min(2*pause, w.lockPollMax)
	}
}

// canWait reports whether another step fits after the pause.
func (w *worker) canWait(ctx context.Context, pause time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) > pause+w.workflow.StepTime && w.stopping.Err() == nil
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
	return w.workflow.Run(ctx, e.Request, &e.Progress, func(context.Context, routine.Progress) error { return nil })
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
		return w.giveUp(ctx, d, w.attempt(d.Envelope, fault.From(err)), "the job with its history does not fit into a message", line)
	}
	line.DelaySeconds = delay.Seconds()
	if err == nil {
		w.write(ctx, d.Envelope, happened)
	}
	return line, err
}
