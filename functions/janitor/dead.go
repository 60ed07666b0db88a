package janitor

import (
	"cmp"
	"context"
	"errors"
	"strconv"

	"routinely/queue"
	"routinely/shared/dispatch"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
)

const (
	// maxDead bounds the messages that a run takes from the dead-letter queue.
	maxDead = 1000
	// maxEmpty is after how many empty receives in a row the queue counts as empty. One says little: MNS looks at a part of a queue, and of 27
	// recorded receives 3 missed a visible message.
	maxEmpty = 3
	// maxUndelivered is how often the trigger may give up a job in a round: the job may be what ends the worker.
	maxUndelivered = 3
	// maxUntold is how often triggers may give up a job and the news of its end in a round.
	maxUntold = 2 * maxUndelivered
)

// takeDead works off the dead-letter queue. A message is deleted once all that it holds is settled in the ledger and, where it was sent again,
// on the queue; before that it comes again. Once the ledger does not answer no other message is taken.
func (r *run) takeDead(ctx context.Context) error {
	var failed error
	for taken, empty := 0, 0; taken < maxDead; {
		if r.over(ctx) {
			return failed
		}
		messages, err := r.Queue.ReceiveDead(ctx, queue.MaxBatch, 0)
		if err != nil {
			return cmp.Or(failed, err)
		}
		if len(messages) == 0 {
			if empty++; empty == maxEmpty {
				return failed
			}
			continue
		}
		empty, taken = 0, taken+len(messages)
		err = r.settleAll(ctx, messages)
		if failed = cmp.Or(failed, err); down(err) {
			return failed
		}
	}
	r.out.More = true
	return failed
}

// settleAll settles messages until the ledger or the queue does not answer, and deletes those that are settled.
func (r *run) settleAll(ctx context.Context, messages []queue.Message) error {
	var handles []string
	var failed error
	for i, m := range messages {
		settled, err := r.settle(ctx, m)
		if settled {
			handles = append(handles, m.ReceiptHandle)
		}
		if failed = cmp.Or(failed, err); down(err) {
			r.out.Left += len(messages) - i - 1
			break
		}
	}
	for _, err := range r.Queue.DeleteDead(context.WithoutCancel(ctx), handles) {
		if err != nil { // it comes again, and is found settled
			logging.From(ctx).WithField(logging.Error, err.Error()).Warn("a message stays on the dead-letter queue")
		}
	}
	return failed
}

// settle does what each delivery in a message asks for, and reports whether the message can be deleted.
func (r *run) settle(ctx context.Context, m queue.Message) (settled bool, failed error) {
	settled = true
	for i, d := range r.Queue.Keys().Open(m, r.Now().UTC()) {
		what, err := r.settleOne(ctx, m.ID+"/"+strconv.Itoa(i), d)
		if err != nil {
			what, failed = left, cmp.Or(failed, err)
		}
		r.count(ctx, d, what, err)
		settled = settled && what != left
	}
	return settled, failed
}

// settleOne does what one delivery asks for. key is the same whenever this dead letter is read.
func (r *run) settleOne(ctx context.Context, key string, d queue.Delivery) (outcome, error) {
	if d.Callback != nil {
		return r.settleCallback(ctx, key, d)
	}
	if failure := dispatch.Unreadable(d); failure != nil {
		return r.file(ctx, queue.UnreadableJobID(d), d, failure, "the message holds no job that could be carried out")
	}
	what := redelivered
	row, err := r.Ledger.Change(ctx, d.Envelope.JobID, func(row *ledger.Row) (err error) {
		what, err = r.undelivered(row, key, d)
		return err
	})
	switch {
	case fault.HasCode(err, ledger.CodeUnknownJob) && d.Bare:
		return r.file(ctx, d.Envelope.JobID, d, undelivered(), reasonUndelivered)
	case fault.HasCode(err, ledger.CodeUnknownJob):
		return r.file(ctx, d.Envelope.JobID, d, dispatch.UnknownJob(d), "the job is not in the ledger")
	case errors.Is(err, errReused):
		return r.file(ctx, queue.UnreadableJobID(d), d, dispatch.KeyReused(d), "the job's id stands for another request")
	case passing(err) != nil:
		return left, err
	}
	if what != redelivered && what != givenUp || row.DueAt.IsZero() {
		return what, nil
	}
	_, err = r.send(ctx, []ledger.Row{row}, "sent again what a trigger gave up")
	if what == givenUp { // the job is dead, and that its callback is due is in its row
		return what, nil
	}
	return what, err
}

// errPassed ends a change with which there is nothing to do, and errReused one that is about another request.
var (
	errPassed = errors.New("nothing to do")
	errReused = errors.New("another request")
)

// passing is an error other than errPassed.
func passing(err error) error {
	if errors.Is(err, errPassed) {
		return nil
	}
	return err
}

// undelivered changes the row of a job whose delivery the trigger gave up: it is due again, and the third time a dead letter.
func (r *run) undelivered(row *ledger.Row, key string, d queue.Delivery) (outcome, error) {
	if !row.StandsFor(d.Envelope.Request) {
		return filed, errReused
	}
	switch row.Standing(d.Envelope.Round, d.Envelope.Number) {
	case ledger.Over, ledger.Passed:
		return passed, errPassed
	case ledger.Ahead:
		return left, errPassed
	case ledger.Ours:
	}
	if d.Bare { // anybody can have written it, so that all copies count as one: what is sent of the job since then is sealed
		key = "bare"
	}
	before, now := len(row.Undelivered), r.Now()
	switch row.CountUndelivered(key) {
	case before: // it was counted, and made due, when it was seen first
		return redelivered, errPassed
	case maxUndelivered:
		row.Die(ledger.NewAttempt(row.Attempt, now, undelivered()), reasonUndelivered, ledger.Trigger, row.Progress, now)
		return givenUp, nil
	}
	return redelivered, row.SendAgain(now)
}

// settleCallback tells a job that the news of its end was not taken, or sends it again if it was only not delivered.
func (r *run) settleCallback(ctx context.Context, key string, d queue.Delivery) (what outcome, err error) {
	row, err := r.Ledger.Change(ctx, d.Callback.JobID, func(row *ledger.Row) (err error) {
		what, err = r.untold(row, key, *d.Callback)
		return err
	})
	switch {
	case fault.HasCode(err, ledger.CodeUnknownJob):
		return r.file(ctx, queue.UnreadableJobID(d), d, unknownCallback(d), "the job is not in the ledger")
	case passing(err) != nil:
		return left, err
	case err == nil && what == redelivered:
		_, err = r.send(ctx, []ledger.Row{row}, "sent again a callback that a trigger gave up")
		return what, err
	}
	return what, nil
}

// untold changes the row of a job that was not told of: the callback has failed if it was given up, and is due again if its trigger did not
// deliver it. A job that is past that end, or whose news is sent again, has no use for either.
func (r *run) untold(row *ledger.Row, key string, c queue.Callback) (outcome, error) {
	before := len(row.Undelivered)
	if row.CallbackFailed(c.Round, c.Attempt, c.LastStatus) != nil {
		return passed, errPassed
	}
	if c.GivenUp {
		return callbackFailed, nil
	}
	switch n := row.CountUndelivered(key); {
	case n == before: // it was counted, and made due, when it was seen first
		return redelivered, errPassed
	case n >= maxUntold || row.CallbackDue(r.Now()) != nil: // of a dead letter that was dropped no other callback can be made
		return callbackFailed, nil
	}
	return redelivered, nil
}

// file makes a dead letter of a message, unless that was done before. One whose job was recorded meanwhile stays on the queue: the next run
// finds the job.
func (r *run) file(ctx context.Context, id string, d queue.Delivery, failure *fault.Error, reason string) (outcome, error) {
	row := dispatch.DeadLetter(id, d, failure, reason, ledger.Trigger, r.Now().UTC())
	made := r.Ledger.Create(ctx, row)[0]
	switch {
	case made.Err != nil:
		return left, made.Err
	case !made.Existed:
		return filed, nil
	case !made.Row.State.Final() && made.Row.Redriven <= row.Redriven:
		return left, nil
	}
	return passed, nil
}
