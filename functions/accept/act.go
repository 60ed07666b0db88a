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
	row, err := s.Ledger.Change(context.WithoutCancel(r.Context()), r.PathValue("id"), func(row *ledger.Row) error {
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
	return reply{status: http.StatusOK, body: visible(r, row.Shown())}, nil
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
	logging.From(ctx).WithField(logging.Job, row.ID).WithField("sent", done.Err == nil).Info("callback sent again")
	return reply{status: http.StatusOK, body: visible(r, done.Row.Shown())}, nil
}
