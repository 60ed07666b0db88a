package accept

import (
	"context"
	"errors"
	"net/http"

	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// errAsWished ends a change of what is as it is to be already.
var errAsWished = errors.New("nothing to change")

// cancelJob calls a job off that no worker has begun with. To call it off twice is success.
func (s *Service) cancelJob(r *http.Request) (reply, error) {
	var given api.Cancellation
	if err := readOptional(r, &given); err != nil {
		return reply{}, err
	}
	if p, wrong := checkReason(given.Reason); wrong {
		return reply{}, problemMalformed.about(p)
	}
	caller := callerOf(r.Context())
	if err := caller.MayCancel(caller.Name); err != nil {
		return reply{}, notAllowed(problemDenied, err) // before anything is looked up
	}
	ctx := context.WithoutCancel(r.Context())
	row, err := s.Ledger.Change(ctx, r.PathValue("id"), func(row *ledger.Row) error {
		if err := mayCancel(caller, row); err != nil {
			return err
		}
		if row.State == routine.Cancelled {
			return errAsWished
		}
		return row.Cancel(caller.Name, given.Reason, s.Now())
	})
	if err != nil && !errors.Is(err, errAsWished) {
		return reply{}, notCancelled(err)
	}
	if err == nil {
		logging.Of(ctx, row.ID, row.Trace.ID()).WithFields(logging.Fields{logging.Event: logging.JobEnded, logging.State: row.State}).Info("job cancelled")
	}
	if row, err = s.takeBack(ctx, row); err != nil {
		return reply{}, ledgerFailed(err) // to cancel again takes it back
	}
	return reply{status: http.StatusOK, body: visible(r, row.Shown())}, nil
}

// takeBack takes the intent of a cancelled deletion back from the claim, and writes down which jobs it has overtaken.
func (s *Service) takeBack(ctx context.Context, row ledger.Row) (ledger.Row, error) {
	if !row.Request.Action.Deletes() {
		return row, nil
	}
	overtook, err := s.Ledger.TakeBack(ctx, row.ID, row.Request, "cancelled")
	if err != nil || len(overtook) == 0 {
		return row, err
	}
	return s.Ledger.Change(ctx, row.ID, func(row *ledger.Row) error {
		row.Overtook = overtook
		return nil
	})
}

// mayCancel refuses a job of another caller. To a caller who may not see it, there is no such job.
func mayCancel(caller auth.Caller, row *ledger.Row) error {
	err := caller.MayCancel(row.Caller)
	switch {
	case err == nil:
		return nil
	case caller.May(auth.Read) != nil:
		return ledger.UnknownJob(row.ID)
	}
	return notAllowed(problemDenied, err)
}

func notCancelled(err error) problem {
	var refused problem
	switch {
	case errors.As(err, &refused):
		return refused
	case fault.HasCode(err, ledger.CodeBegun), fault.HasCode(err, ledger.CodeEnded):
		p := problemNotCancellable.with(fault.From(err).Message)
		p.retryAfter = fault.From(err).RetryAfter
		return p
	}
	return ledgerFailed(err)
}

// notifyJob sends the callback of an ended job again. What MNS does not confirm stays due, and the janitor sends it.
func (s *Service) notifyJob(r *http.Request) (reply, error) {
	ctx := context.WithoutCancel(r.Context())
	row, err := s.Ledger.Change(ctx, r.PathValue("id"), func(row *ledger.Row) error { return row.CallbackDue(s.Now()) })
	switch {
	case fault.HasCode(err, ledger.CodeNoCallback):
		return reply{}, problemNoCallback.with(fault.From(err).Message)
	case err != nil:
		return reply{}, ledgerFailed(err)
	}
	done := s.dispatch.Send(ctx, []ledger.Row{row})[0]
	logging.Of(ctx, row.ID, row.Trace.ID()).WithField("sent", done.Err == nil).Info("callback sent again")
	shown := []routine.Job{done.Row.Shown()}
	if err := s.ready(ctx, shown); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: visible(r, shown[0])}, nil
}
