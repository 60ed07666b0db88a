// Package provision is the queue-triggered function: it takes jobs one at a time, performs the two steps against ESA, and decides about each:
// done, again later, or dead letter. The ledger says what a job is and whether a delivery of it is still to be worked on; while it does not
// answer, nothing is begun, and the platform delivers again.
//
// A delivery goes through three files: worker.go delivers and runs it, decide.go decides, carryout.go carries that out.
package provision

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"routinely/queue"
	"routinely/shared/callback"
	"routinely/shared/dispatch"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/provision"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

// Config is what a Worker needs; every field but QueueLimits and Receivers is required.
type Config struct {
	Queue    *queue.Client
	Ledger   *ledger.Ledger
	Workflow provision.Workflow
	Policy   retry.Policy
	// QueueLimits are what the caller queue may name and bind: whoever may write to the job queue.
	QueueLimits routine.Limits
	// Receivers says where callbacks may go, that requests on the queue ask for.
	Receivers callback.Policy
	// LockPollMin and LockPollMax bound the pauses between two tries for ESA's account lock.
	LockPollMin, LockPollMax time.Duration
	// Reserve is kept back before the invocation's deadline for handing work back.
	Reserve time.Duration
	Now     func() time.Time
	// Draw returns a random number in [0, 1).
	Draw  func() float64
	Sleep func(context.Context, time.Duration)
	// Stopping is done once the process shall end: then a job that waits for the lock is handed back.
	Stopping context.Context
}

// Worker decides what becomes of each delivered job. It handles one event at a time.
type Worker struct {
	Config
	dispatch dispatch.Dispatcher
}

// New checks the configuration and returns a worker.
func New(cfg Config) (*Worker, error) {
	if err := errors.Join(cfg.Policy.Check(), cfg.Receivers.Check()); err != nil {
		return nil, err
	}
	if cfg.LockPollMin <= 0 || cfg.LockPollMax < cfg.LockPollMin {
		return nil, fmt.Errorf("lock polling: want 0 < minimum (%s) <= maximum (%s)", cfg.LockPollMin, cfg.LockPollMax)
	}
	if cfg.Reserve <= 0 {
		return nil, fmt.Errorf("reserve: want more than 0, not %s", cfg.Reserve)
	}
	return &Worker{Config: cfg, dispatch: dispatch.Dispatcher{Queue: cfg.Queue, Ledger: cfg.Ledger, Now: cfg.Now}}, nil
}

// Handle settles every message of the event. It returns an error only if the ledger did not take what became of one: then the platform
// delivers the event again, and what is settled is found settled.
func (w *Worker) Handle(ctx context.Context, event json.RawMessage) (Report, error) {
	work := ctx
	if deadline, ok := ctx.Deadline(); ok {
		bounded, cancel := context.WithDeadline(ctx, deadline.Add(-w.Reserve))
		defer cancel()
		work = bounded
	}
	var out Report
	var failed []error
	var down error
	for _, d := range w.Queue.Keys().Decode(event, w.Now().UTC()) {
		line, err := entry{JobID: d.Envelope.JobID, MessageID: d.MessageID}, down
		if down == nil { // else the others would only wait for the ledger too
			if line, err = w.deliver(work, d); err != nil {
				failed = append(failed, err)
			}
			if fault.HasKind(err, fault.Unavailable) {
				down = err
			}
		}
		if err != nil {
			line.unsettled(fault.From(err))
		}
		line.log(ctx)
		out.Messages = append(out.Messages, line)
	}
	return out, errors.Join(failed...)
}

// maxBegins is how often a delivery may be begun without being settled.
const maxBegins = 10

// deliver is the life of one delivery: find its job, run it unless it is over, decide, carry out.
func (w *Worker) deliver(ctx context.Context, d queue.Delivery) (entry, error) {
	if d.Bare && d.Err == nil { // accept has held every other request to that
		d.Err = callback.CheckRequest(d.Envelope.Request, w.Receivers)
	}
	t := &task{Worker: w, d: d, line: entry{JobID: d.Envelope.JobID, MessageID: d.MessageID}}
	if failure := unreadable(d); failure != nil {
		return t.file(ctx, queue.UnreadableJobID(d), failure, "the message holds no job that could be carried out")
	}
	row, err := w.find(ctx, d)
	switch {
	case fault.HasCode(err, ledger.CodeUnknownJob) && d.Bare:
		return t.file(ctx, d.Envelope.JobID, outside(routine.QueueCaller, w.QueueLimits.Outside(d.Envelope.Request, w.Now())), "the caller may not ask for it")
	case fault.HasCode(err, ledger.CodeUnknownJob):
		return t.file(ctx, d.Envelope.JobID, dispatch.UnknownJob(d), "the job is not in the ledger")
	case err != nil:
		return t.line, err
	case !row.StandsFor(d.Envelope.Request):
		return t.file(ctx, queue.UnreadableJobID(d), dispatch.KeyReused(d), "the job's id stands for another request")
	}
	t.row, t.line.Attempt = row, row.Attempt
	switch e := d.Envelope; row.Standing(e.Round, e.Number) {
	case ledger.Over, ledger.Passed:
		return t.repeat(ctx)
	case ledger.Ahead:
		return t.line, ahead(d)
	case ledger.Ours:
	}
	t.row.Progress = row.Known()
	if beyond := w.beyond(row); len(beyond) > 0 {
		return t.giveUp(ctx, outside(row.Caller, beyond), "the caller may not ask for it")
	}
	if row.Begins >= maxBegins && d.Envelope.Number == row.Number {
		return t.giveUp(ctx, killsWorker(row.Begins), "begun again and again, and never settled")
	}
	result, err := t.run(ctx)
	if t.passed {
		return t.repeat(ctx)
	}
	if t.lost != nil {
		return t.line, t.lost
	}
	return t.carryOut(ctx, result, err)
}

// beyond lists what of a job its caller may not name or bind. That the caller has ended since is no reason: what was accepted goes on. What the
// caller queue sent after its end was never accepted, whoever redrives it.
func (w *Worker) beyond(row ledger.Row) []routine.Problem {
	if row.Caller == routine.QueueCaller {
		return w.QueueLimits.Outside(row.Request, row.AcceptedAt)
	}
	limits := row.Limits
	limits.ExpiresAt = time.Time{}
	return limits.Outside(row.Request, row.AcceptedAt)
}

// find reads the job's row. A bare request gets one first, if its caller may make it.
func (w *Worker) find(ctx context.Context, d queue.Delivery) (row ledger.Row, err error) {
	ctx = context.WithoutCancel(ctx) // a job whose turn does not come any more is handed back in the reserve
	err = w.patiently(ctx, func() error {
		if !d.Bare || len(w.QueueLimits.Outside(d.Envelope.Request, w.Now())) > 0 {
			row, err = w.Ledger.Row(ctx, d.Envelope.JobID)
			return err
		}
		e := d.Envelope
		made := w.Ledger.Create(ctx, ledger.NewRow(routine.Job{
			ID: e.JobID, Caller: e.Caller, AcceptedAt: e.AcceptedAt, ProducedAt: e.ProducedAt, Request: e.Request,
		}))[0]
		row = made.Row
		return made.Err
	})
	return row, err
}

// How often, and after which pauses, the worker asks a ledger that does not answer: a short hiccup must not cost a delivery.
const (
	patience   = 3
	firstPause = 200 * time.Millisecond
)

// patiently makes a call of the ledger, and again after a short wait if the ledger does not answer.
func (w *Worker) patiently(ctx context.Context, call func() error) error {
	pause := firstPause
	for left := patience; ; left-- {
		err := call()
		if err == nil || left == 1 || !fault.HasKind(err, fault.Unavailable) && !fault.HasKind(err, fault.Throttled) {
			return err
		}
		w.Sleep(ctx, pause)
		pause *= 4
	}
}

// task is one delivery with the worker.
type task struct {
	*Worker
	d    queue.Delivery
	row  ledger.Row
	line entry
	// begun is set once the row says that this delivery is begun.
	begun bool
	// passed is set once the job was found to be over, or with somebody else, and lost once the ledger did not take the begin.
	passed bool
	lost   error
}

// run performs the job, waiting in place for the account lock as long as the invocation has time and the process shall live: the
// lane stays busy.
func (t *task) run(ctx context.Context) (routine.Result, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.Stopping, cancel)()
	progress := t.row.Progress
	pause := t.LockPollMin
	for {
		result, err := t.runOnce(ctx, &progress)
		t.row.Progress = progress
		if t.passed || t.lost != nil || !fault.HasKind(err, fault.Locked) || !t.canWait(ctx, pause) {
			return result, err
		}
		t.Sleep(waiting, pause/2+time.Duration(t.Draw()*float64(pause/2)))
		if t.Stopping.Err() != nil {
			return result, err
		}
		pause = min(2*pause, t.LockPollMax)
	}
}

// canWait reports whether another step fits after the pause.
func (t *task) canWait(ctx context.Context, pause time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) > pause+t.Workflow.StepTime && t.Stopping.Err() == nil
}

// runOnce makes a defect in the workflow a fault of this one job.
func (t *task) runOnce(ctx context.Context, progress *routine.Progress) (result routine.Result, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			progress.RecordUnknown = true
			err = &fault.Error{
				Kind: fault.Internal, Code: "Panic", Message: fmt.Sprint(broken), OutcomeUnknown: true,
				Hint: "This is a defect of Routinely: report it with the log lines of the job.",
			}
		}
	}()
	return t.Workflow.Run(ctx, t.row.Request, progress, t.begin)
}

// begin marks in the row that the delivery is begun, with what was seen of ESA right before.
func (t *task) begin(ctx context.Context, progress routine.Progress) error {
	mark := func(r *ledger.Row) { r.Look(progress, t.Now()) }
	if !t.begun {
		mark = func(r *ledger.Row) { r.Begin(t.d.Envelope.Number, progress, t.Now()) }
	}
	switch err := t.write(ctx, mine, mark); {
	case errors.Is(err, errPassed):
		t.passed = true
		return err
	case err != nil:
		t.lost = err
		return err
	}
	t.begun = true
	return nil
}

// settle writes what became of the delivery.
func (t *task) settle(ctx context.Context, whose owner, change func(*ledger.Row)) error {
	answered := t.row.AnsweredAt
	return t.write(ctx, whose, func(r *ledger.Row) {
		if !answered.IsZero() {
			r.Answered(answered, 0)
		}
		change(r)
	})
}

// owner says which of several workers with the same delivery may write.
type owner int

const (
	// mine: only the one that began last, so that the marks of its calls stay until their outcome is known.
	mine owner = iota
	// anybodys: also one that another has overtaken.
	anybodys
)

// errPassed says that a delivery is no longer to be worked on, and errWritten that the row is as it was to be written.
var (
	errPassed  = errors.New("the job has ended, or is with another worker")
	errWritten = errors.New("written before")
)

// write changes the row. If somebody else has written it since it was read, that is done only while the delivery is to be worked on, by
// its owner. A write whose answer was lost is known by its mark when it is made again.
func (t *task) write(ctx context.Context, whose owner, change func(*ledger.Row)) error {
	// Once the work is done, its time being over is no reason not to record it.
	ctx = context.WithoutCancel(ctx)
	was, mark := t.row, rand.Text()
	marked := func(r *ledger.Row) {
		change(r)
		r.Write = mark
	}
	return t.patiently(ctx, func() error {
		row, err := t.Ledger.Update(ctx, was, marked)
		if fault.HasCode(err, ledger.CodeChanged) {
			row, err = t.Ledger.Change(ctx, was.ID, func(r *ledger.Row) error {
				overtaken := !r.Begun.Equal(was.Begun) || r.Begins != was.Begins
				switch {
				case r.Write == mark:
					return errWritten
				case r.Standing(t.d.Envelope.Round, t.d.Envelope.Number) != ledger.Ours, overtaken && whose == mine:
					return errPassed
				}
				marked(r)
				return nil
			})
		}
		if err == nil || errors.Is(err, errPassed) || errors.Is(err, errWritten) {
			t.row = row
		}
		if errors.Is(err, errWritten) {
			return nil
		}
		return err
	})
}
