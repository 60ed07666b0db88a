package accept

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"routinely/queue"
	"routinely/shared/auth"
	"routinely/shared/callback"
	"routinely/shared/dispatch"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
	"routinely/shared/trace"
)

// admission is a request on its way to being accepted, and what became of it.
type admission struct {
	// row is the job that stands for the request: a new one, or that of its idempotency key.
	row      ledger.Row
	replayed bool
	// holding are the claims that the request is about.
	holding ledger.Holding
	err     error
}

// condition refuses a request because of what the claims are when its number is read; nil refuses none.
type condition func(routine.Request, ledger.Holding) error

// terms are what holds for all jobs that are admitted together.
type terms struct {
	// bulk says that their messages give way to those of others.
	bulk bool
	more condition
	// number is that of the intent, if something else than the acceptance tells its place in the order; zero otherwise.
	number int64
}

// admit records new jobs and sends them. A job is accepted once the ledger has confirmed it, and either MNS has confirmed its message or the
// ledger that a send is due.
func (s *Service) admit(ctx context.Context, jobs []routine.Job, on terms) []admission {
	admissions := make([]admission, len(jobs))
	pending := make([]*admission, 0, len(jobs))
	for i, job := range jobs {
		a := &admissions[i]
		a.row = ledger.NewRow(job)
		a.row.Limits, a.row.SealedUnder, a.row.Bulk = callerOf(ctx).Limits, s.Queue.Keys().Sealing(), on.bulk
		a.row.Trace = trace.From(ctx)
		if a.err = checkSize(a.row); a.err == nil {
			pending = append(pending, a)
		}
	}
	// Nothing but its own time limit ends a call: once it is under way, giving it up would leave the outcome open.
	ctx = context.WithoutCancel(ctx)
	s.intend(ctx, pending, on)
	s.keepAll(ctx, pending)
	pending = slices.DeleteFunc(pending, func(a *admission) bool { return a.err != nil })
	s.create(ctx, pending)
	s.intended(ctx, pending)
	s.send(ctx, pending)
	for _, a := range pending {
		if a.err == nil {
			logging.Of(ctx, a.row.ID, a.row.Trace.ID()).WithFields(logging.Fields{
				logging.Event: logging.JobAccepted, logging.Action: a.row.Request.Action, "name": a.row.Request.Name, "recordNames": a.row.Request.RecordNames(),
				"replayed": a.replayed,
			}).Info("job accepted")
		}
	}
	return admissions
}

// create writes the jobs into the ledger, and finds out which of them are there already.
func (s *Service) create(ctx context.Context, pending []*admission) {
	rows := make([]ledger.Row, len(pending))
	for i, a := range pending {
		rows[i] = a.row
	}
	for i, made := range s.Ledger.Create(ctx, rows...) {
		a := pending[i]
		switch {
		case made.Err != nil:
			a.err = notRecorded(made.Err)
		case made.Existed && !made.Row.StandsFor(a.row.Request):
			a.err = keyReused(a.row.ID)
		default:
			a.row, a.replayed = made.Row, made.Existed
		}
	}
}

// send sends each job that no worker has begun with, those of earlier requests too: the request that recorded such a job can have failed before
// it sent the job. Sending twice is harmless.
func (s *Service) send(ctx context.Context, pending []*admission) {
	var rows []ledger.Row
	seen := map[string]bool{}
	for _, a := range pending {
		if a.err == nil && a.row.Unstarted() && !seen[a.row.ID] {
			seen[a.row.ID] = true
			rows = append(rows, a.row)
		}
	}
	sent := map[string]ledger.Changed{}
	var failed []ledger.Changed
	for _, done := range s.dispatch.Send(ctx, rows) {
		sent[done.Row.ID] = done
		if done.Err != nil {
			failed = append(failed, done)
		}
	}
	for _, done := range s.markDue(ctx, failed) {
		sent[done.Row.ID] = done
	}
	for _, a := range pending {
		if done, ok := sent[a.row.ID]; ok && a.err == nil {
			a.row, a.err = done.Row, done.Err
		}
	}
}

// markDue makes sure that the janitor sends what MNS did not confirm. A job has an error if neither its message nor that mark is confirmed.
func (s *Service) markDue(ctx context.Context, failed []ledger.Changed) []ledger.Changed {
	if len(failed) == 0 {
		return nil
	}
	ids := make([]string, len(failed))
	for i, f := range failed {
		ids[i] = f.Row.ID
	}
	out := s.Ledger.ChangeAll(ctx, ids, func(r *ledger.Row) error { return r.Due(s.Now()) })
	for i := range out {
		switch {
		case out[i].Err == nil:
		case fault.HasCode(out[i].Err, ledger.CodeEnded): // a worker has the message after all
			out[i].Err = nil
		default:
			out[i] = ledger.Changed{Row: failed[i].Row, Err: notQueued(failed[i].Err, out[i].Err)}
		}
	}
	logging.From(ctx).WithField(logging.Error, failed[0].Err.Error()).WithField("jobs", len(failed)).
		Warn("MNS did not confirm jobs: the janitor sends those whose rows say so")
	return out
}

// checkSize refuses a job whose message would be too long.
func checkSize(r ledger.Row) error {
	if err := dispatch.Envelope(r).Check(); err != nil {
		failure := fault.From(err)
		return problemTooLarge.with(failure.Message + ". " + failure.Hint)
	}
	return nil
}

// newJob is the job of a caller's request under an idempotency key; without a key its id is random.
func (s *Service) newJob(caller auth.Caller, req routine.Request, key string) (routine.Job, error) {
	job := routine.Job{Request: req, Caller: caller.Name, Key: key, AcceptedAt: s.Now().UTC()}
	if outside := caller.Limits.Outside(req, s.Now()); len(outside) > 0 {
		return job, outsideLimits(outside)
	}
	if err := s.checkRequest(req); err != nil {
		return job, err
	}
	if detail := checkKey(key); detail != "" {
		return job, problemKey.with(detail)
	}
	if key != "" {
		job.ID = queue.KeyedJobID(caller.Name, key)
		return job, nil
	}
	id, err := s.NewID()
	job.ID = id.String()
	return job, err
}

// checkRequest holds a valid request to the rules of the deployment, and tells all that is wrong at once.
func (s *Service) checkRequest(req routine.Request) error {
	var problems []routine.Problem
	for _, err := range []error{callback.CheckRequest(req, s.Receivers), s.checkSpan(req.ExpiresIn)} {
		var invalid *routine.Invalid
		if errors.As(err, &invalid) {
			problems = append(problems, invalid.Problems...)
		}
	}
	if len(problems) > 0 {
		return &routine.Invalid{Problems: problems}
	}
	return nil
}

// checkSpan holds how long a routine is to live to the deployment's bounds.
func (s *Service) checkSpan(span routine.Span) error {
	least, most := routine.Span(s.ExpiryMin), routine.Span(s.ExpiryMax)
	if span == 0 || span >= least && span <= most {
		return nil
	}
	detail := fmt.Sprintf("%s is not possible in this deployment: want %s to %s", span, least, most)
	if most == 0 {
		detail = "in this deployment no routine has an end: leave it out"
	}
	return &routine.Invalid{Problems: []routine.Problem{{Pointer: "/expiresIn", Code: "value", Detail: detail}}}
}

// maxKey is the longest idempotency key, in bytes.
const maxKey = 255

// checkKey says what is wrong with an idempotency key; empty if nothing is. What was no character on its way to us has become the replacement
// character, so that a key with one can be any of several.
func checkKey(key string) (detail string) {
	switch {
	case len(key) > maxKey:
		return "the idempotency key " + tooManyBytes(key, maxKey)
	case strings.ContainsRune(key, utf8.RuneError), strings.ContainsFunc(key, isControl):
		return "the idempotency key is not UTF-8, or holds a control character: two keys could be taken for one"
	}
	return ""
}

// keyOf is the request's idempotency key: that of the header, or the one in what is signed. For a caller that a signature alone shows, a
// header that says something else is refused: with it, who has seen one request could make any number of jobs of it.
func keyOf(r *http.Request) (string, error) {
	caller, given := callerOf(r.Context()), r.Header.Get("Idempotency-Key")
	if caller.Signed() && given != "" && given != caller.Key {
		return "", problemKey.with("the key of a signed request is in what is signed: leave the header Idempotency-Key out, or send a bearer token too")
	}
	return cmp.Or(given, caller.Key), nil
}
