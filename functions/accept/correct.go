package accept

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"routinely/shared/api"
	"routinely/shared/auth"
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
	newest, err := s.newestOf(ctx, row, given.Request)
	if err != nil {
		return reply{}, ledgerFailed(err)
	}
	return s.workOffOne(r, given.DryRun, "redriven", func(row *ledger.Row) error {
		var corrected *routine.Request
		if given.Request != nil && isRedrivable(*row) {
			request, err := s.correct(by, *row, given.Request)
			if err != nil {
				return err
			}
			corrected = &request
		} else if err := mayRedrive(by, row, s.Now()); err != nil {
			return err
		}
		row.Limits, row.Trace = s.Guard.Limits(row.Caller), row.Trace.Child(s.Bits)
		was, now := row.Intent, s.Now()
		asOf := slices.MaxFunc([]time.Time{now, row.DiedAt}, time.Time.Compare) // the worker's clock may be ahead of this one
		if err := row.Redrive(by.Name, given.Reason, corrected, asOf, now, now.Add(sendWithin)); err != nil {
			return err
		}
		if row.Intent != was { // it is a new intent
			row.Intent = max(row.Intent, newest+1)
		}
		return nil
	})
}

// isRedrivable reports whether a job is one that can be redriven: a dead letter, or one that a newer job has overtaken.
func isRedrivable(row ledger.Row) bool {
	return row.State == routine.DeadLettered || row.State == routine.Superseded
}

// newestOf is the newest number of the things that a job is about, with the changes that correct it: the redrive of a superseded job, and one that
// corrects, is a new intent. What is wrong with the changes the redrive says.
func (s *Service) newestOf(ctx context.Context, row ledger.Row, changes []byte) (int64, error) {
	request := row.Request
	if changes != nil {
		if corrected, err := routine.Correct(request, changes); err == nil {
			request = corrected
		}
	}
	if !isRedrivable(row) || request.Name == "" {
		return 0, nil
	}
	holdings, err := s.Ledger.Holdings(ctx, []ledger.Wanted{{Name: request.Name, RecordNames: request.RecordNames()}})
	if err != nil {
		return 0, err
	}
	newest := holdings[0].Claim.Newest()
	for _, record := range holdings[0].Records {
		newest = max(newest, record.Number)
	}
	return newest, nil
}

// correct is the request of a dead letter with some members replaced, held to the rules of a new request.
func (s *Service) correct(by auth.Caller, row ledger.Row, changes []byte) (routine.Request, error) {
	request, err := routine.Correct(row.Request, changes)
	if err == nil {
		err = s.checkRequest(request)
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

// finish sends a job that was redriven.
func (s *Service) finish(ctx context.Context, row ledger.Row, verb string) {
	if row.State == routine.Queued {
		s.sendAgain(ctx, []ledger.Row{row})
	}
	logging.Of(ctx, row.ID, row.Trace.ID()).Info("dead letter " + verb)
}

// sendAgain sends jobs that were redriven, after the numbers of deletions were written to the claims. If that fails the worker does it; what MNS
// does not confirm stays due.
func (s *Service) sendAgain(ctx context.Context, rows []ledger.Row) {
	s.renewCode(ctx, rows)
	var wanted []ledger.Wanted
	var deletions []ledger.Row
	for _, row := range rows {
		if row.Request.Action.Deletes() {
			wanted = append(wanted, ledger.Wanted{Name: row.Request.Name, RecordNames: row.Request.RecordNames()})
			deletions = append(deletions, row)
		}
	}
	holdings, err := s.Ledger.Holdings(ctx, wanted)
	for i, h := range holdings {
		err = cmp.Or(err, s.Ledger.Intend(ctx, deletions[i], h))
	}
	if err != nil {
		logFailure(ctx, err, "the number of a deletion is written later, by the worker")
	}
	s.dispatch.Send(ctx, rows)
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
