package accept

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/callback"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// redriveDeadLetter puts one dead letter back on the job queue, corrected if the body says so.
func (s *Service) redriveDeadLetter(r *http.Request) (reply, error) {
	var given api.Correction
	if err := readOptional(r, &given); err != nil {
		return reply{}, err
	}
	if p, wrong := checkReason(given.Reason); wrong {
		return reply{}, problemRedrive.about(p)
	}
	by := callerOf(r.Context())
	ctx, id := context.WithoutCancel(r.Context()), r.PathValue("id")
	row, err := s.Ledger.Row(ctx, id)
	if err != nil {
		return reply{}, oneFailed(r, err)
	}
	if row.State == routine.DeadLettered && unverified(row) {
		if given.Request != nil {
			return reply{}, problemNotRedrivable.with("nothing proves what the message asks for, so that it cannot be corrected: submit the request, and drop this one")
		}
		if err := s.resend(ctx, row, by, given.DryRun); err != nil {
			return reply{}, oneFailed(r, err)
		}
		return reply{status: http.StatusOK, body: api.WorkedOff{Count: 1, DryRun: given.DryRun, IDs: []string{id}}}, nil
	}
	return s.workOffOne(r, given.DryRun, "redriven", func(row *ledger.Row) error {
		var corrected *routine.Request
		if given.Request != nil && row.State == routine.DeadLettered {
			request, err := s.correct(by, *row, given.Request)
			if err != nil {
				return err
			}
			corrected = &request
		} else if err := mayRedrive(by, row, s.Now()); err != nil {
			return err
		}
		row.Limits = s.Guard.Limits(row.Caller)
		now := s.Now()
		asOf := slices.MaxFunc([]time.Time{now, row.DiedAt}, time.Time.Compare) // the worker's clock may be ahead of this one
		return row.Redrive(by.Name, given.Reason, corrected, asOf, now, now.Add(sendWithin))
	})
}

// correct is the request of a dead letter with some members replaced, held to the rules of a new request.
func (s *Service) correct(by auth.Caller, row ledger.Row, changes []byte) (routine.Request, error) {
	request, err := routine.Correct(row.Request, changes)
	if err == nil {
		err = callback.CheckRequest(request, s.Receivers)
	}
	if err != nil {
		return request, routine.Below("request", err)
	}
	if err := s.mayCorrect(by, row.Caller, request); err != nil {
		return request, err
	}
	row.Request = request
	return request, checkSize(row)
}

// dropDeadLetter leaves one dead letter undone.
func (s *Service) dropDeadLetter(r *http.Request) (reply, error) {
	q := readQuery(r)
	dryRun, reason := q.flag("dryRun"), q.reason()
	if err := q.end(); err != nil {
		return reply{}, err
	}
	by := callerOf(r.Context()).Name
	return s.workOffOne(r, dryRun, "dropped", func(row *ledger.Row) error { return row.Drop(by, reason, s.Now()) })
}

// workOffOne does what is to be done with the dead letter that the path names.
func (s *Service) workOffOne(r *http.Request, dryRun bool, verb string, change func(*ledger.Row) error) (reply, error) {
	ctx, id := context.WithoutCancel(r.Context()), r.PathValue("id")
	var was routine.Request
	changing := func(row *ledger.Row) error {
		was = row.Request
		return change(row)
	}
	var row ledger.Row
	var err error
	if !dryRun {
		row, err = s.Ledger.Change(ctx, id, changing)
	} else if row, err = s.Ledger.Row(ctx, id); err == nil {
		err = changing(&row)
	}
	if err != nil {
		return reply{}, oneFailed(r, err)
	}
	out := api.WorkedOff{Count: 1, DryRun: dryRun, IDs: []string{id}}
	if ledger.Hash(was) != ledger.Hash(row.Request) {
		shown := row.Request.Shown()
		out.Request = &shown
	}
	if !dryRun {
		s.finish(ctx, row, verb)
	}
	return reply{status: http.StatusOK, body: out}, nil
}

// finish sends a job that was redriven. What MNS does not confirm stays due.
func (s *Service) finish(ctx context.Context, row ledger.Row, verb string) {
	if row.State == routine.Queued {
		s.dispatch.Send(ctx, []ledger.Row{row})
	}
	logging.From(ctx).WithField(logging.Job, row.ID).Info("dead letter " + verb)
}

// oneFailed is the problem of a dead letter that the path names and that stays what it is.
func oneFailed(r *http.Request, err error) error {
	var wrong *routine.Invalid
	var refused problem
	switch {
	case errors.As(err, &wrong), errors.As(err, &refused):
		return err
	case fault.HasCode(err, ledger.CodeNoRequest):
		return notWorkedOff(err)
	}
	return letterFailed(r, err)
}
