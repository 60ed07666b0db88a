package accept

import (
	"context"
	"fmt"

	"routinely/queue"
	"routinely/shared/auth"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
)

// unverified reports whether a dead letter is a message whose key was unknown. It is no job: to redrive it is to put the message back on its
// queue once its key is known, and then the letter is over.
func unverified(row ledger.Row) bool { return row.Code == queue.CodeUnknownKey }

// resend puts the message of such a dead letter back on the queue of its type, sealed again: a job goes on under its own round and number, a
// callback that was given up is posted again. The caller who redrives must be allowed to make the job's request. If the letter cannot be written after
// the message was sent, both can happen again, which does no harm.
func (s *Service) resend(ctx context.Context, row ledger.Row, by auth.Caller, dryRun bool) error {
	if row.Received == nil {
		return problemNotRedrivable.with("the message was not kept")
	}
	d := s.Queue.Keys().Reread(*row.Received, s.Now())
	var sent string
	send := func() error { return s.Queue.Send(ctx, d.Envelope, 0) }
	switch {
	case d.Err != nil:
		return problemNotRedrivable.with(fault.From(d.Err).Message)
	case d.Callback != nil:
		sent = "a callback of job " + d.Callback.JobID
		send = func() error { return s.Queue.SendCallback(ctx, *d.Callback, 0) }
	case d.Bare:
		return problemNotRedrivable.with("the message is not one of Routinely's")
	default:
		if outside := by.Limits.Outside(d.Envelope.Request, s.Now()); len(outside) > 0 {
			return outsideLimits(outside)
		}
		sent = fmt.Sprintf("job %s, round %d, number %d", d.Envelope.JobID, d.Envelope.Round, d.Envelope.Number)
	}
	if dryRun {
		return nil
	}
	if err := send(); err != nil {
		return problemQueue.with("the message was not sent; the dead letter stays as it is").because(err)
	}
	_, err := s.Ledger.Change(ctx, row.ID, func(row *ledger.Row) error {
		return row.Drop(by.Name, "its key is known now: sent "+sent, s.Now())
	})
	if fault.HasCode(err, ledger.CodeNotDead) { // somebody has redriven or dropped it meanwhile
		return nil
	}
	logging.Of(ctx, row.ID, row.Trace.ID()).Info("dead letter redriven: sent " + sent)
	return err
}
