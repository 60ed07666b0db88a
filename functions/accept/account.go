package accept

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"routinely/shared/api"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// account tells whether the lane runs, and if not, why.
func (s *Service) account(r *http.Request) (reply, error) {
	account, err := s.Ledger.Account(r.Context())
	if err != nil {
		return reply{}, ledgerFailed(err)
	}
	oldest, err := s.oldestWaiting(r.Context())
	if err != nil {
		return reply{}, ledgerFailed(err)
	}
	answer := answerAccount(account, oldest)
	if known := s.capacity(r.Context(), account.Quota); known != nil {
		left := max(0, known.free)
		answer.RoutinesLeft = &left
	}
	return reply{status: http.StatusOK, body: answer}, nil
}

func answerAccount(account routine.Account, oldest *api.WaitingJob) api.Account {
	body := api.NewAccount(account)
	body.OldestWaiting = oldest
	return body
}

// oldestWaiting is the unfinished job that was accepted first; nil if there is none. A call can find nothing but index rows that do not count,
// so that it asks on.
func (s *Service) oldestWaiting(ctx context.Context) (*api.WaitingJob, error) {
	const few = 10
	for from := ""; ; {
		rows, next, err := s.Ledger.Unfinished(ctx, s.Now().Add(routine.ClockSkew), from, few)
		switch {
		case err != nil:
			return nil, err
		case len(rows) > 0:
			return &api.WaitingJob{JobID: rows[0].ID, AcceptedAt: rows[0].AcceptedAt, Waiting: rows[0].Waiting}, nil
		case next == "":
			return nil, nil
		}
		from = next
	}
}

// pauseLane stops the lane until somebody resumes it. To pause a paused lane updates who did it and why.
func (s *Service) pauseLane(r *http.Request) (reply, error) {
	var given api.PauseRequest
	if err := readStrict(r, &given); err != nil {
		return reply{}, err
	}
	if strings.TrimSpace(given.Reason) == "" {
		return reply{}, problemMalformed.about(routine.Problem{
			Pointer: "/reason", Code: "missing", Detail: "is required: others must know why nothing is done, and when to resume the lane",
		})
	}
	return s.changeLane(r, "lane paused", given.Reason, func(a *routine.Account, by string) error {
		now := s.Now().UTC()
		pause := &routine.Pause{Since: now, By: by, Reason: given.Reason}
		if a.Pause != nil {
			pause.Since = a.Pause.Since
		}
		a.Stop(a.Park, pause, now)
		return nil
	})
}

// resumeLane takes back a pause. A park stays: the worker takes it back when ESA works again. A change that begins again and finds the pause
// taken back is done: by itself, if the answer about its write was lost, or by somebody else.
func (s *Service) resumeLane(r *http.Request) (reply, error) {
	var given api.ResumeRequest
	if err := readOptional(r, &given); err != nil {
		return reply{}, err
	}
	tried := false
	return s.changeLane(r, "lane resumed", given.Reason, func(a *routine.Account, _ string) error {
		switch {
		case a.Pause == nil && tried:
			return errAsWished
		case a.Pause == nil:
			return notPaused(*a)
		}
		tried = true
		a.Stop(a.Park, nil, s.Now())
		return nil
	})
}

func notPaused(a routine.Account) problem {
	if a.Park != nil {
		return problemNotPaused.with("the lane is parked, and nobody has paused it: it runs again by itself as soon as ESA works")
	}
	return problemNotPaused.with("the lane is running")
}

// changeLane changes the account for the caller, and logs what was done and why.
func (s *Service) changeLane(r *http.Request, done, reason string, change func(a *routine.Account, by string) error) (reply, error) {
	if p, wrong := checkReason(reason); wrong {
		return reply{}, problemMalformed.about(p)
	}
	ctx, by := context.WithoutCancel(r.Context()), callerOf(r.Context()).Name
	account, err := s.Ledger.ChangeAccount(ctx, func(a *routine.Account) error { return change(a, by) })
	var refused problem
	switch {
	case errors.As(err, &refused):
		return reply{}, refused
	case err != nil && !errors.Is(err, errAsWished):
		return reply{}, ledgerFailed(err)
	}
	logging.From(ctx).WithFields(logging.Fields{"reason": reason, "lane": account.Lane()}).Warn(done)
	oldest, err := s.oldestWaiting(ctx)
	if err != nil { // the change is made: an error would say that it is not
		logging.From(ctx).WithField(logging.Error, err.Error()).Warn("the oldest waiting job is not known")
	}
	return reply{status: http.StatusOK, body: answerAccount(account, oldest)}, nil
}
