package accept

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"routinely/queue"
	"routinely/shared/callback"
	"routinely/shared/fault"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// admission is a request on its way to being accepted, and what became of it.
type admission struct {
	// job is the job that stands for the request: a new one, or that of its idempotency key.
	job      routine.Job
	replayed bool
	// body is the message to send; empty if there is none to be sent.
	body string
	err  error
}

// admit records new jobs and puts them on the queue. A job counts as accepted only after MNS has confirmed it.
func (s service) admit(ctx context.Context, jobs ...routine.Job) []admission {
	admissions := make([]admission, len(jobs))
	pending := make([]*admission, 0, len(jobs))
	for i, job := range jobs {
		a := &admissions[i]
		a.job = job
		if a.body, a.err = envelope(job); a.err == nil {
			pending = append(pending, a)
		}
	}
	// Nothing but its own time limit ends a call: once it is under way, giving it up would leave the outcome open.
	ctx = context.WithoutCancel(ctx)
	s.claim(ctx, pending)
	s.enqueue(ctx, pending)
	for _, a := range pending {
		a.job.Request = a.job.Request.Shown()
		if a.err == nil {
			logging.From(ctx).WithFields(logging.Fields{
				logging.Job: a.job.ID, "name": a.job.Request.Name, "recordName": a.job.Request.RecordName, "replayed": a.replayed,
			}).Info("job accepted")
		}
	}
	return admissions
}

// claim finds out which of the jobs are there already.
func (s service) claim(ctx context.Context, pending []*admission) {
	jobs := make([]routine.Job, len(pending))
	for i, a := range pending {
		jobs[i] = a.job
	}
	for i, claim := range s.record.Claim(ctx, jobs...) {
		a := pending[i]
		switch {
		case claim.Existing == nil:
		case !claim.SameBody:
			a.body, a.err = "", problemKeyReused.with(fmt.Sprintf("the key stands for job %s, which asks for something else", a.job.ID))
		default:
			a.job, a.replayed, a.body = *claim.Existing, true, ""
			if unsent(a.job) {
				whole := a.job
				whole.Request = jobs[i].Request // nothing in it is hidden
				a.body, a.err = envelope(whole)
			}
		}
	}
}

// enqueue sends what is to be sent.
func (s service) enqueue(ctx context.Context, pending []*admission) {
	var bodies []string
	var senders []*admission
	for _, a := range pending {
		if a.body != "" {
			bodies, senders = append(bodies, a.body), append(senders, a)
		}
	}
	for i, err := range s.jobs.SendBatch(ctx, bodies) {
		if err != nil {
			senders[i].err = notQueued(err)
		}
	}
}

// unsent reports whether a job that is recorded may never have reached the queue: whoever recorded it can have failed in
// between. Sending it once more is harmless.
func unsent(job routine.Job) bool {
	return job.State == routine.Queued && job.StartedAt.IsZero() && job.Redriven == 0
}

// envelope is the message that carries a new job.
func envelope(job routine.Job) (string, error) {
	e := queue.Envelope{JobID: job.ID, Caller: job.Caller, AcceptedAt: job.AcceptedAt, Attempt: 1, Request: job.Request}
	body, err := e.Encode()
	if err != nil {
		return "", err
	}
	if len(body) > queue.MaxAcceptedBytes {
		return "", problemTooLarge.with(fmt.Sprintf("the job would take %d bytes on the queue, at most %d are possible: shorten the description",
			len(body), queue.MaxAcceptedBytes))
	}
	return string(body), nil
}

// newJob is the job of a request under an idempotency key; without a key its id is random.
func (s service) newJob(caller string, req routine.Request, key string) (routine.Job, error) {
	job := routine.Job{State: routine.Queued, Request: req, Caller: caller, AcceptedAt: s.now().UTC(), Attempt: 1}
	if err := s.checkCallback(req.CallbackURL); err != nil {
		return job, err
	}
	if len(key) > maxKey {
		return job, problemKey.with(fmt.Sprintf("the idempotency key has %d bytes, at most %d are possible", len(key), maxKey))
	}
	if key != "" {
		job.ID = queue.KeyedJobID(caller, key)
		return job, nil
	}
	id, err := s.newID()
	job.ID = id.String()
	return job, err
}

// checkCallback refuses a callback URL that no callback could go to.
func (s service) checkCallback(url string) error {
	if url == "" {
		return nil
	}
	err := callback.CheckURL(url, s.receivers)
	if err == nil {
		return nil
	}
	failure := fault.From(err)
	return &routine.Invalid{Problems: []routine.Problem{{Pointer: "/callbackUrl", Code: "value", Detail: failure.Message + ". " + failure.Hint}}}
}

// maxKey is the longest idempotency key, in bytes.
const maxKey = 255

// keyOf is the request's idempotency key, or the id of the webhook that it is.
func keyOf(r *http.Request) string {
	return cmp.Or(r.Header.Get("Idempotency-Key"), callerOf(r.Context()).Key)
}
