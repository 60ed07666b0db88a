package accept

import (
	"fmt"
	"net/http"

	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// pollAfter is what Retry-After suggests to a caller who wants to know what became of the job, in seconds.
const pollAfter = "2"

// createRoutine accepts one request.
func (s *Service) createRoutine(r *http.Request) (reply, error) {
	body, _, err := readBody(r)
	if err != nil {
		return reply{}, err
	}
	req, err := routine.Decode(body)
	if err != nil {
		return reply{}, err
	}
	key, err := keyOf(r)
	if err != nil {
		return reply{}, err
	}
	job, err := s.newJob(callerOf(r.Context()), req, key)
	if err != nil {
		return reply{}, err
	}
	return s.acceptJob(r, job, terms{})
}

// job answers with one job.
func (s *Service) job(r *http.Request) (reply, error) {
	job, err := s.Ledger.Job(r.Context(), r.PathValue("id"))
	if err != nil {
		return reply{}, ledgerFailed(err)
	}
	shown := []routine.Job{job}
	if err := s.ready(r.Context(), shown); err != nil {
		return reply{}, err
	}
	return s.answerJob(r, shown[0], http.StatusOK), nil
}

// visible is a job as the caller may see it.
func visible(r *http.Request, job routine.Job) routine.Job {
	if !mayKnowKey(callerOf(r.Context()), job.Caller) {
		job.Key = ""
	}
	return job
}

// answerJob answers with the job, after the wait that the request prefers. unfinished is the status of one that has not ended.
func (s *Service) answerJob(r *http.Request, job routine.Job, unfinished int) reply {
	out := reply{status: http.StatusOK, header: map[string]string{}}
	if wait := s.preferredWait(r); wait > 0 {
		var waited bool
		if job, waited = s.await(r.Context(), job, wait); waited {
			out.header["Preference-Applied"] = fmt.Sprintf("wait=%d", int(wait.Seconds()))
		}
	}
	if !job.State.Final() {
		out.status, out.header["Retry-After"] = unfinished, pollAfter
	}
	out.body = visible(r, job)
	return out
}

// defaultPage is how many jobs or dead letters a list has unless a limit is given.
const defaultPage = 50

// listJobs lists jobs.
func (s *Service) listJobs(r *http.Request) (reply, error) {
	q := readQuery(r)
	f := ledger.Filter{
		State: choice(q, "state", routine.States()...), Name: q.name("name"), RecordName: q.recordName("record"), Caller: q.word("caller"),
		CallbackFailed: choice(q, "callback", routine.CallbackFailed) != "",
	}
	limit, cursor := q.number("limit", defaultPage, 1, ledger.MaxPage), q.short("cursor", maxCursor)
	if err := q.end(); err != nil {
		return reply{}, err
	}
	jobs, next, err := s.Ledger.Jobs(r.Context(), f, int(limit), cursor)
	if err != nil {
		return reply{}, ledgerFailed(err)
	}
	if err := s.ready(r.Context(), jobs); err != nil {
		return reply{}, err
	}
	for i := range jobs {
		jobs[i] = visible(r, jobs[i])
	}
	return reply{status: http.StatusOK, body: api.JobList{Jobs: jobs, Next: next}}, nil
}
