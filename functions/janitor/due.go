package janitor

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// maxDue bounds what a run sends.
const maxDue = 2000

// sendDue sends what rows say is due, what is due longest first.
func (r *run) sendDue(ctx context.Context) error {
	tried := map[string]bool{}
	var failed error
	for len(tried) < maxDue {
		rows, more, err := r.due(ctx, tried)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(rows, queue.MaxBatch) {
			if r.over(ctx) {
				return failed
			}
			sent, err := r.send(ctx, chunk, "sent what was due")
			r.out.Sent += sent
			if failed = cmp.Or(failed, err); err != nil && sent == 0 {
				return failed // the others would only wait for the queue too
			}
		}
		if !more || len(rows) == 0 {
			return failed
		}
	}
	r.out.More = true
	return failed
}

// due reads a page of what is due and was not tried in this run. A page can be all index rows that do not count: the next is read then.
func (r *run) due(ctx context.Context, tried map[string]bool) (rows []ledger.Row, more bool, err error) {
	for range 2 {
		rows, more, err = r.Ledger.Due(ctx, r.Now(), ledger.MaxPage)
		if err != nil || len(rows) > 0 {
			break
		}
	}
	rows = slices.DeleteFunc(rows, func(row ledger.Row) bool { return tried[row.ID] })
	for _, row := range rows {
		tried[row.ID] = true
	}
	return rows, more, err
}

// send sends what is due of rows, logs each with the message, and says how many were sent. The error is that of the first that was not.
func (r *run) send(ctx context.Context, rows []ledger.Row, message string) (sent int, failed error) {
	for i, done := range r.dispatch.Send(ctx, rows) {
		row, err := rows[i], done.Err
		if fault.HasKind(err, fault.Invalid) {
			err = r.unsendable(ctx, row, err)
		} else if err == nil {
			sent++
			logging.Of(ctx, row.ID, row.Trace.ID()).Info(message)
		}
		if err != nil {
			failed = cmp.Or(failed, fmt.Errorf("job %s: %w", row.ID, err))
		}
	}
	return sent, failed
}

// unsendable gives up a job whose message no queue takes. Of a callback that is noted already.
func (r *run) unsendable(ctx context.Context, row ledger.Row, err error) error {
	if row.State.Final() {
		logging.Of(ctx, row.ID, row.Trace.ID()).WithField(logging.Error, err.Error()).Error("the callback cannot be sent")
		return nil
	}
	now := r.Now()
	_, failed := r.Ledger.Change(ctx, row.ID, func(current *ledger.Row) error {
		if current.State != routine.Queued || current.Redriven != row.Redriven || current.Number != row.Number {
			return errPassed
		}
		last := ledger.NewAttempt(current.Attempt, now, fault.From(err))
		current.Die(last, "its message cannot be sent", ledger.Worker, current.Progress, now)
		return nil
	})
	if failed == nil {
		r.out.GivenUp++
		logging.Of(ctx, row.ID, row.Trace.ID()).WithFields(logging.Fields{
			logging.Event: logging.JobEnded, logging.State: routine.DeadLettered, logging.Outcome: givenUp, logging.Code: fault.From(err).Code,
			logging.Error: err.Error(),
		}).Error("job given up")
	}
	return passing(failed)
}
