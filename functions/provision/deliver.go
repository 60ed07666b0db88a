package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"routinely/queue"
	"routinely/shared/callback"
	"routinely/shared/dispatch"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/provision"
	"routinely/shared/routine"
	"routinely/shared/trace"
)

// maxBegins is how often a delivery may be begun without being settled.
const maxBegins = 10

// conclusion writes down what became of a delivery and sends what follows from it. It asks nothing of ESA.
type conclusion func() (entry, error)

// deliver finds a delivery's job, runs it unless it is over, and decides about it. With stopped, the job is not run but handed back because of
// that.
func (l *lane) deliver(d queue.Delivery, stopped *fault.Error) conclusion {
	if d.Bare && d.Err == nil { // accept has held every other request to that
		d.Err = callback.CheckRequest(d.Envelope.Request, l.Receivers)
	}
	t := &task{lane: l, d: d, line: newEntry(d)}
	if failure := unreadable(d); failure != nil {
		return t.file(queue.UnreadableJobID(d), failure, "the message holds no job that could be carried out")
	}
	row, err := l.find(d)
	switch {
	case fault.HasCode(err, ledger.CodeUnknownJob) && d.Bare:
		return t.file(d.Envelope.JobID, outside(routine.QueueCaller, l.QueueLimits.Outside(d.Envelope.Request, l.Now())), "the caller may not ask for it")
	case fault.HasCode(err, ledger.CodeUnknownJob):
		return t.file(d.Envelope.JobID, dispatch.UnknownJob(d), "the job is not in the ledger")
	case err != nil:
		return t.unsettled(err)
	case !row.StandsFor(d.Envelope.Request):
		return t.file(queue.UnreadableJobID(d), dispatch.KeyReused(d), "the job's id stands for another request")
	}
	t.row, t.line.Attempt, t.line.TraceID = row, row.Attempt, row.Trace.ID()
	switch e := d.Envelope; row.Standing(e.Round, e.Number) {
	case ledger.Over, ledger.Passed:
		return t.repeat
	case ledger.Ahead:
		return t.unsettled(ahead(d))
	case ledger.Ours:
	}
	t.row.Progress = row.Known()
	if beyond := l.beyond(row); len(beyond) > 0 {
		return t.giveUp(outside(row.Caller, beyond), "the caller may not ask for it")
	}
	if row.Begins >= maxBegins && d.Envelope.Number == row.Number {
		return t.giveUp(killsWorker(row.Begins), "begun again and again, and never settled")
	}
	if stopped != nil {
		return t.conclude(routine.Result{}, attempt{failure: stopped, lane: l.account.Lane(), found: true})
	}
	return t.attempt()
}

// find returns the job's row. A bare request gets one first, if its caller may make it.
func (l *lane) find(d queue.Delivery) (row ledger.Row, err error) {
	id := d.Envelope.JobID
	if known, read := l.rows[id]; read && known.Err == nil {
		return known.Row, nil
	}
	err = l.patiently(l.reserve, func() error {
		if !d.Bare || len(l.QueueLimits.Outside(d.Envelope.Request, l.Now())) > 0 {
			row, err = l.Ledger.Row(l.reserve, id)
			return err
		}
		e := d.Envelope
		fresh := ledger.NewRow(routine.Job{
			ID: e.JobID, Caller: e.Caller, AcceptedAt: e.AcceptedAt, ProducedAt: e.ProducedAt, Request: e.Request,
		})
		fresh.Trace = e.Trace.Child(l.Bits)
		made := l.Ledger.Create(l.reserve, fresh)[0]
		row = made.Row
		return made.Err
	})
	return row, err
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

// task is one delivery with the worker.
type task struct {
	*lane
	d    queue.Delivery
	row  ledger.Row
	line entry
	// begun is set once the row says that this delivery is begun.
	begun bool
	// passed is set once the job was found to be over, or with somebody else, and lost once the ledger did not take the begin.
	passed bool
	lost   error
}

// unsettled is the conclusion of a delivery of which the ledger took nothing.
func (t *task) unsettled(err error) conclusion {
	return func() (entry, error) { return t.line, err }
}

// attempt runs the job and decides about it.
func (t *task) attempt() conclusion {
	found := t.account.Park != nil
	begun := time.Now()
	result, err := t.run()
	t.busy += time.Since(begun)
	switch {
	case t.passed:
		return t.repeat
	case t.lost != nil:
		return t.unsettled(t.lost)
	}
	var superseded *provision.Superseded
	if errors.As(err, &superseded) {
		return t.supersede(superseded.By)
	}
	failure := t.judge(fault.From(err))
	if failure == nil || failure.RequestID != "" { // ESA has answered
		t.row.Answered(t.Now(), t.account.StoppedFor(t.Now()))
	}
	return t.conclude(result, attempt{failure: failure, lane: t.account.Lane(), found: found})
}

// run performs the job, waiting in place for the account lock as long as the invocation has time and the process shall live: the
// lane stays busy.
func (t *task) run() (routine.Result, error) {
	progress := t.row.Progress
	pause := t.LockPollMin
	for {
		result, err := t.runOnce(&progress)
		t.row.Progress = progress
		if t.passed || t.lost != nil || !fault.HasKind(err, fault.Locked) || !t.fits(pause) || t.Stopping.Err() != nil {
			return result, err
		}
		if !t.sleep(pause/2 + time.Duration(t.Draw()*float64(pause/2))) {
			return result, err
		}
		pause = min(2*pause, t.LockPollMax)
	}
}

// runOnce makes a defect in the workflow a fault of this one job. The progress then is what a crash would leave, as the claims are.
func (t *task) runOnce(progress *routine.Progress) (result routine.Result, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			*progress = t.row.Known()
			progress.RecordUnknown = true
			err = defect(broken)
		}
	}()
	before := t.Workflow.ESA.Calls()
	defer func() { t.line.ESACalls += t.Workflow.ESA.Calls() - before }()
	claims := t.claims()
	if by, err := t.givesWay(claims.Routine); by != "" || err != nil {
		return result, cmp.Or[error](err, &provision.Superseded{By: by})
	}
	work := t.work
	if t.row.Trace != "" {
		work = trace.Into(work, t.row.Trace.Child(t.Bits))
	}
	return t.Workflow.Run(work, provision.Job{
		ID: t.row.ID, Request: t.row.Request, Caller: t.row.Caller, Operate: t.row.Operate, Number: t.row.IntentNumber(), Limits: t.row.Limits,
		Source: t.source,
	}, progress, claims, &t.known, t.begin)
}

// source reads the code of the job. If the ledger does not answer, the delivery is left to the platform.
func (t *task) source(context.Context) (source []byte, err error) {
	var unknown error
	err = t.keep(func() error {
		source, err = t.Ledger.Code(t.reserve, t.row.Caller, t.row.Request.Code.SHA256)
		if fault.HasCode(err, ledger.CodeUnknownCode) {
			unknown = err
			return nil
		}
		return err
	})
	return source, cmp.Or(err, unknown)
}

// defect is the fault of a panic.
func defect(broken any) *fault.Error {
	return &fault.Error{
		Kind: fault.Internal, Code: "Panic", Message: fmt.Sprint(broken), OutcomeUnknown: true,
		Hint: "This is a defect of Routinely: report it with the log lines of the job.",
	}
}
