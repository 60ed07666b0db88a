package accept

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"time"

	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// sendWithin is how long a redriven job may wait for its message before the janitor sends it. The message follows the row at once, so the
// janitor has something to do only if that failed.
const sendWithin = 30 * time.Second

// maxWork is the highest limit of a redrive or a drop: what every client can hold.
const maxWork = math.MaxInt32

// redriveDeadLetters puts dead letters that fit a filter back on the job queue.
func (s *Service) redriveDeadLetters(r *http.Request) (reply, error) {
	var wanted api.Redrive
	if err := readStrict(r, &wanted); err != nil {
		return reply{}, err
	}
	problems := checkFilter(&wanted.DeadLetterFilter)
	from, detail := readPlace(wanted.Cursor, s.Now())
	if detail != "" {
		problems = append(problems, routine.Problem{Pointer: "/cursor", Code: "value", Detail: detail})
	}
	if wanted.Limit < 0 || wanted.Limit > maxWork {
		problems = append(problems, routine.Problem{Pointer: "/limit", Code: "value", Detail: fmt.Sprintf("must be from 1 to %d", maxWork)})
	}
	if p, wrong := checkReason(wanted.Reason); wrong {
		problems = append(problems, p)
	}
	if len(problems) > 0 {
		return reply{}, problemRedrive.about(problems...)
	}
	if detail := whichOnes(wanted.DeadLetterFilter, wanted.All, `"all": true`); detail != "" {
		return reply{}, problemRedrive.about(routine.Problem{Code: "missing", Detail: detail})
	}
	by := callerOf(r.Context())
	return s.workOff(r, chosen{
		filter: wanted.DeadLetterFilter, from: from, limit: wanted.Limit, dryRun: wanted.DryRun, verb: "redriven", by: by, sends: true,
		change: func(row *ledger.Row, asOf time.Time) error {
			now := s.Now()
			if err := mayRedrive(by, row, now); err != nil {
				return err
			}
			row.Limits = s.Guard.Limits(row.Caller)
			row.Trace = row.Trace.Child(s.Bits)
			return row.Redrive(by.Name, wanted.Reason, nil, asOf, now, now.Add(sendWithin))
		},
	})
}

// dropDeadLetters leaves dead letters that fit a filter undone.
func (s *Service) dropDeadLetters(r *http.Request) (reply, error) {
	q := readQuery(r)
	f, all, dryRun, reason := readFilter(q), q.flag("all"), q.flag("dryRun"), q.reason()
	limit, from := q.number("limit", 0, 1, maxWork), q.place("cursor", s.Now())
	if err := q.end(); err != nil {
		return reply{}, err
	}
	if detail := whichOnes(f, all, "all=true"); detail != "" {
		return reply{}, problemParameter.about(routine.Problem{Code: "missing", Detail: detail})
	}
	return s.workOff(r, chosen{
		filter: f, from: from, limit: int(limit), dryRun: dryRun, verb: "dropped",
		change: func(row *ledger.Row, asOf time.Time) error {
			if row.DiedAt.After(asOf) {
				return errAsWished // it died again: somebody has redriven it meanwhile
			}
			return row.Drop(callerOf(r.Context()).Name, reason, s.Now())
		},
	})
}

// whichOnes says what is wrong with a choice: nothing wide is done because a variable was empty.
func whichOnes(filter any, all bool, word string) (detail string) {
	filtered := !reflect.ValueOf(filter).IsZero()
	switch {
	case !filtered && !all:
		return "give a filter, or " + word
	case filtered && all:
		return "give a filter or " + word + ", not both"
	}
	return ""
}

// chosen is a set of dead letters with what is to be done with each.
type chosen struct {
	filter api.DeadLetterFilter
	// from is where to begin. What died after from.AsOf is not of the set.
	from place
	// limit is how many are worked off at most; 0 means all.
	limit  int
	dryRun bool
	// verb says for the log what was done.
	verb string
	// by is who is asking.
	by auth.Caller
	// sends tells that a changed job is to be sent.
	sends bool
	// change changes a job, or refuses one that was not in the set at the time asOf.
	change func(row *ledger.Row, asOf time.Time) error
}

// How long one request works at most, and how much of the invocation's time it leaves for its last calls and its answer.
const (
	workTime = 20 * time.Second
	restTime = 10 * time.Second
)

// chunk is how many dead letters are worked off between two looks at the time: as many as MNS takes in one call.
const chunk = 16

// workOff does what is to be done with a set of dead letters, until the limit is reached or the time is over.
func (s *Service) workOff(r *http.Request, c chosen) (reply, error) {
	if c.filter.Until.IsZero() || c.filter.Until.After(c.from.AsOf) {
		c.filter.Until = c.from.AsOf
	}
	w := &work{Service: s, ctx: context.WithoutCancel(r.Context()), chosen: c}
	w.out.DryRun, w.out.IDs = c.dryRun, []string{}
	end := s.Now().Add(workTime)
	if deadline, ok := r.Context().Deadline(); ok && deadline.Add(-restTime).Before(end) {
		end = deadline.Add(-restTime)
	}
	err := w.run(end)
	if !c.dryRun {
		w.log()
	}
	if err != nil && w.out.Count == 0 {
		return reply{}, ledgerFailed(err)
	}
	return reply{status: http.StatusOK, body: w.out}, nil
}

// work is a set of dead letters on its way.
type work struct {
	*Service
	ctx context.Context
	chosen
	out api.WorkedOff
	// queueDown is why a message could not be put back.
	queueDown error
}

// run works off one chunk after the other until a time. If the ledger fails, what is left can be gone on with.
func (w *work) run(end time.Time) error {
	for {
		size := chunk
		if w.limit > 0 {
			size = min(chunk, w.limit-w.out.Count)
		}
		rows, next, err := w.Ledger.DeadLetters(w.ctx, inLedger(w.filter), size, w.from.Next)
		if err == nil {
			err = w.do(w.resent(rows))
		}
		if err != nil {
			w.out.More, w.out.Next = true, w.from.cursor()
			return err
		}
		if w.from.Next = next; next == "" {
			return nil
		}
		if w.out.Count == w.limit && w.limit > 0 || !w.Now().Before(end) {
			w.out.More, w.out.Next = true, w.from.cursor()
			return nil
		}
	}
}

// resent puts the messages back on their queues whose key was unknown, if that is what is to be done, and returns the other dead letters. Once
// the queue does not answer no other message is tried: each would cost its time limit.
func (w *work) resent(rows []ledger.Row) (others []ledger.Row) {
	for _, row := range rows {
		if !w.sends || !unverified(row) {
			others = append(others, row)
			continue
		}
		err := w.queueDown
		if err == nil {
			err = w.resendOne(row.ID)
		}
		if p, refused := errors.AsType[problem](err); refused && fault.HasKind(p.cause, fault.Unavailable) {
			w.queueDown = err
		}
		w.count(row.ID, err)
	}
	return others
}

func (w *work) resendOne(id string) error {
	row, err := w.Ledger.Row(w.ctx, id) // lists read no messages
	if err != nil {
		return err
	}
	return w.resend(w.ctx, row, w.by, w.dryRun)
}

// do works off one chunk. It returns an error if the ledger did not take all of it; those it did take are out of the set then.
func (w *work) do(rows []ledger.Row) error {
	if w.dryRun {
		for _, row := range rows {
			w.count(row.ID, w.change(&row, w.from.AsOf))
		}
		return nil
	}
	var ids []string
	for _, row := range rows {
		ids = append(ids, row.ID)
	}
	var changed []ledger.Row
	var down error
	for i, done := range w.Ledger.ChangeAll(w.ctx, ids, func(row *ledger.Row) error { return w.change(row, w.from.AsOf) }) {
		switch {
		case done.Err == nil:
			changed = append(changed, done.Row)
		case fault.HasKind(done.Err, fault.Unavailable), fault.HasKind(done.Err, fault.Account), fault.HasKind(done.Err, fault.Throttled):
			down = done.Err
			continue
		}
		w.count(ids[i], done.Err)
	}
	if w.sends {
		w.sendAgain(w.ctx, changed)
	}
	return down
}

// count notes what became of one dead letter. One that is not of the set any more counts as nothing.
func (w *work) count(id string, err error) {
	switch {
	case err == nil:
		if w.out.Count++; len(w.out.IDs) < api.MaxIDs {
			w.out.IDs = append(w.out.IDs, id)
		}
	case errors.Is(err, errAsWished), fault.HasCode(err, ledger.CodeNotDead), fault.HasCode(err, ledger.CodeUnknownJob):
	case len(w.out.Failed) < api.MaxIDs:
		p := notWorkedOff(err)
		w.out.Failed = append(w.out.Failed, api.DeadLetterFailure{ID: id, Problem: &p.Problem})
	}
}

// notWorkedOff is the problem of a dead letter that stays one.
func notWorkedOff(err error) problem {
	var refused problem
	if errors.As(err, &refused) {
		return refused
	}
	if fault.HasCode(err, ledger.CodeNoRequest) {
		return problemNotRedrivable.with(fault.From(err).Message)
	}
	return ledgerFailed(err)
}

func (w *work) log() {
	logging.From(w.ctx).WithFields(logging.Fields{
		"count": w.out.Count, "failed": len(w.out.Failed), "more": w.out.More,
	}).Info("dead letters " + w.verb)
}
