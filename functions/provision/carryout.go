package provision

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"routinely/queue"
	"routinely/shared/dispatch"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// callbackGrace is how long the janitor leaves a callback to the worker that is about to send it.
const callbackGrace = 30 * time.Second

// conclude decides about an attempt.
func (t *task) conclude(result routine.Result, a attempt) conclusion {
	now := t.Now()
	a.number, a.age = t.row.Attempt, t.row.Age(now, t.account.StoppedFor(now))
	switch d := decide(t.Policy, a, t.Draw()); d.do {
	case succeed:
		return t.succeed(result)
	case giveUp:
		return t.giveUp(a.failure, d.reason)
	default:
		return func() (entry, error) { return t.handOver(a.failure, d) }
	}
}

// succeed ends the job with its result.
func (t *task) succeed(result routine.Result) conclusion {
	t.line.Outcome, t.line.Result = succeeded, &result
	progress := t.row.Progress
	return func() (entry, error) {
		return t.end(anybodys, func(r *ledger.Row) { r.Succeed(result, progress, t.Now(), t.callbackDue()) })
	}
}

func (t *task) callbackDue() time.Time { return t.Now().Add(callbackGrace) }

// supersede ends a job with nothing left to do. A deletion by the janitor then overtakes nothing: it gives way to older intents too.
func (t *task) supersede(by string) conclusion {
	t.line.Outcome = superseded
	progress := t.row.Progress
	return func() (entry, error) {
		if t.row.Request.Action == routine.Remove {
			if _, err := t.takeBack(""); err != nil {
				return t.line, err
			}
		}
		return t.end(anybodys, func(r *ledger.Row) { r.Supersede(by, progress, t.Now(), t.callbackDue()) })
	}
}

// giveUp makes a dead letter of the job. A deletion that is given up overtakes nothing any more, and says what it has overtaken.
func (t *task) giveUp(failure *fault.Error, reason string) conclusion {
	last := ledger.NewAttempt(t.row.Attempt, t.Now(), failure)
	t.line.blame(last)
	t.line.Outcome = deadLettered
	progress := t.row.Progress
	return func() (entry, error) {
		overtook, err := t.takeBack(failure.Code)
		if err != nil {
			return t.line, err
		}
		if failure.Code == esa.CodeRoutineQuota {
			last.Hint = t.whatToFree(last.Hint)
		}
		return t.end(mine, func(r *ledger.Row) {
			r.Overtook = overtook
			r.Die(last, reason, ledger.Worker, progress, t.callbackDue())
		})
	}
}

// whatToFree adds the routines that could go to the hint about a full account.
func (t *task) whatToFree(hint string) string {
	names, err := t.Ledger.ToFree(t.reserve, t.Now())
	if err != nil || len(names) == 0 {
		return hint
	}
	return "These could go: " + strings.Join(names, "; ") + ": routinely routines delete NAME. " + hint
}

// takeBack takes a deletion that is given up back from the claims, and returns what it has overtaken. It reads the claims again: it runs beside the
// lane.
func (t *task) takeBack(code string) (overtook []string, err error) {
	req := t.row.Request
	if !req.Action.Deletes() {
		return nil, nil
	}
	err = t.patiently(t.reserve, func() error {
		row, err := t.Ledger.Row(t.reserve, t.row.ID)
		if err != nil || row.State.Final() { // another worker has carried it out meanwhile: what it overtook stays overtaken
			return err
		}
		overtook, err = t.Ledger.TakeBack(t.reserve, t.row.ID, req, code)
		return err
	})
	return overtook, err
}

// end writes the job's end and tells whoever wants to know.
func (t *task) end(whose owner, change func(*ledger.Row)) (entry, error) {
	err := t.settle(whose, change)
	switch {
	case errors.Is(err, errPassed):
		return t.repeat()
	case err != nil:
		return t.line, err
	}
	t.sendDue()
	return t.line, nil
}

// sendDue sends the callback that an end has made due. If that fails the janitor does it.
func (t *task) sendDue() {
	if t.row.DueAt.IsZero() {
		return
	}
	if sent := t.dispatch.Send(t.reserve, []ledger.Row{t.row})[0]; sent.Err != nil {
		logging.Of(t.reserve, t.row.ID, t.row.Trace.ID()).WithField(logging.Error, sent.Err.Error()).Warn("the callback is sent later")
	}
}

// handOver sends the job's next delivery, then writes that down. If MNS does not confirm it, the row says that it is due.
func (t *task) handOver(failure *fault.Error, d decision) (entry, error) {
	now := t.Now()
	last := ledger.NewAttempt(t.row.Attempt, now, failure)
	t.line.blame(last)
	t.line.Hint, t.line.DelaySeconds, t.line.Outcome = d.hint, d.delay.Seconds(), again
	if d.do == handBack {
		t.line.Outcome = handedBack
	}
	last.Hint = d.hint
	since := now
	if w := t.row.Waiting; w != nil && w.For == d.waiting { // it goes on waiting for the same thing
		since = w.Since
	}
	next := dispatch.Envelope(t.row)
	next.Number = t.d.Envelope.Number + 1
	sent := t.Queue.Send(t.reserve, next, d.delay)
	if sent != nil {
		logging.Of(t.reserve, t.row.ID, t.row.Trace.ID()).WithField(logging.Error, sent.Error()).Warn("the next delivery is sent later")
	}
	progress := t.row.Progress
	err := t.settle(mine, func(r *ledger.Row) {
		r.HandOver(next.Number, ledger.HandOver{
			Failure: last, Counted: d.do == tryAgain, Progress: progress, Sent: sent == nil, SealedUnder: t.Queue.Keys().Sealing(),
			Waiting: routine.Waiting{For: d.waiting, Since: since, Until: now.Add(d.delay)},
		}, now)
	})
	if errors.Is(err, errPassed) {
		return t.repeat()
	}
	return t.line, err
}

// repeat deals with a delivery that has nothing to do any more. If its job has ended and somebody is still to be told, that is done now.
func (t *task) repeat() (entry, error) {
	calls := t.line.ESACalls
	t.line = newEntry(t.d)
	t.line.ESACalls = calls
	t.line.Attempt, t.line.TraceID, t.line.Outcome = t.row.Attempt, t.row.Trace.ID(), duplicate
	if t.row.State == routine.Cancelled {
		t.line.Outcome = cancelled
	}
	if t.row.State.Final() && t.row.Redriven == t.d.Envelope.Round {
		t.sendDue()
	}
	return t.line, nil
}

// file makes a dead letter of a message that cannot be carried out.
func (t *task) file(id string, failure *fault.Error, reason string) conclusion {
	row := dispatch.DeadLetter(id, t.d, failure, reason, ledger.Worker, t.Now().UTC())
	t.line.JobID, t.line.Outcome = id, deadLettered
	t.line.blame(*row.Last)
	return func() (entry, error) {
		return t.line, t.patiently(t.reserve, func() error { return t.Ledger.Create(t.reserve, row)[0].Err })
	}
}

// unreadable is why a message of the job queue holds no job that can be run; nil if it does.
func unreadable(d queue.Delivery) *fault.Error {
	if d.Callback != nil {
		return dispatch.Misplaced()
	}
	return dispatch.Unreadable(d)
}

// outside is why a job is not run that its caller may not ask for.
func outside(caller string, problems []routine.Problem) *fault.Error {
	return &fault.Error{
		Kind: fault.Denied, Code: "OutsideLimits", Message: fmt.Sprintf("caller %.64q: %v", caller, &routine.Invalid{Problems: problems}),
		Hint: "Correct the request. Or give the caller wider limits, in ROUTINELY_AUTH and those of the caller queue in ROUTINELY_QUEUE_LIMITS too; then redrive.",
	}
}

func killsWorker(begins int) *fault.Error {
	return &fault.Error{
		Kind: fault.Internal, Code: "KillsWorker", Message: fmt.Sprintf("the job was begun %d times and its worker ended each time before it was settled", begins),
		Hint: "Read the function's log at the times of these attempts: its memory or its time may be too short. Then redrive.",
	}
}

func ahead(d queue.Delivery) *fault.Error {
	return &fault.Error{
		Kind: fault.Internal, Code: "UnknownRound",
		Message: fmt.Sprintf("job %q: the ledger knows no round %d yet", d.Envelope.JobID, d.Envelope.Round),
		Hint:    "The delivery is tried again by the platform.",
	}
}
