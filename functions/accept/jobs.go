package accept

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"routinely/shared/api"
	"routinely/shared/fault"
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
	a := s.admit(r.Context(), job)[0]
	if a.err != nil {
		return reply{}, a.err
	}
	out := s.answerJob(r, a.row.Shown(), http.StatusAccepted)
	out.header["Location"] = "/v1/jobs/" + a.row.ID
	if a.replayed {
		out.header["Idempotency-Replayed"] = "true"
	}
	return out, nil
}

// job tells of one job.
func (s *Service) job(r *http.Request) (reply, error) {
	job, err := s.Ledger.Job(r.Context(), r.PathValue("id"))
	if err != nil {
		return reply{}, ledgerFailed(err)
	}
	return s.answerJob(r, job, http.StatusOK), nil
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
		job = s.await(r.Context(), job, wait)
		out.header["Preference-Applied"] = fmt.Sprintf("wait=%d", int(wait.Seconds()))
	}
	if !job.State.Final() {
		out.status, out.header["Retry-After"] = unfinished, pollAfter
	}
	out.body = visible(r, job)
	return out
}

// How long a caller may be kept waiting: less than a minute, since each waiting request has an instance of its own, and with
// answerTime left of the invocation's time.
const (
	maxWait    = 50 * time.Second
	answerTime = 3 * time.Second
)

// preferredWait is how long the client wants to wait for the job to end (RFC 7240), as far as that is possible; 0 is not at
// all. The preference of a signed request is not signed, and counts for nothing.
func (s *Service) preferredWait(r *http.Request) time.Duration {
	wanted := waitPreference(r.Header.Get("Prefer"))
	if wanted == 0 || callerOf(r.Context()).Signed() {
		return 0
	}
	longest := maxWait
	if deadline, ok := r.Context().Deadline(); ok {
		longest = min(longest, deadline.Sub(s.Now())-answerTime)
	}
	return max(0, min(wanted, longest.Truncate(time.Second)))
}

// waitPreference finds wait=SECONDS among the preferences of a header.
func waitPreference(header string) time.Duration {
	for part := range strings.FieldsFuncSeq(header, func(c rune) bool { return c == ',' || c == ';' }) {
		name, value, _ := strings.Cut(part, "=")
		seconds, err := strconv.ParseUint(strings.Trim(value, ` "`), 10, 16)
		if strings.EqualFold(strings.TrimSpace(name), "wait") && err == nil {
			return time.Duration(seconds) * time.Second
		}
	}
	return 0
}

// How often a job is looked at while somebody waits for it.
const (
	firstLook = 100 * time.Millisecond
	lastLook  = 2 * time.Second
)

// await looks at a job until it has ended or the time is over, and returns it as it was seen last.
func (s *Service) await(ctx context.Context, job routine.Job, limit time.Duration) routine.Job {
	end := s.Now().Add(limit)
	for pause := firstLook; !job.State.Final() && s.Now().Add(pause).Before(end); pause = min(pause*3/2, lastLook) {
		s.Sleep(ctx, pause)
		if ctx.Err() != nil {
			break
		}
		if seen, err := s.Ledger.Job(ctx, job.ID); err == nil {
			job = seen
		}
	}
	return job
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
	for i := range jobs {
		jobs[i] = visible(r, jobs[i])
	}
	return reply{status: http.StatusOK, body: api.JobList{Jobs: jobs, Next: next}}, nil
}

// routine tells what the ledger knows of a routine: the latest job of each of its host names.
func (s *Service) routine(r *http.Request) (reply, error) {
	name := r.PathValue("id")
	jobs, next, err := s.Ledger.Jobs(r.Context(), ledger.Filter{Name: name}, ledger.MaxPage, "")
	if err != nil && !fault.HasKind(err, fault.Invalid) { // no routine has a name that the ledger does not take
		return reply{}, ledgerFailed(err)
	}
	if len(jobs) == 0 {
		return reply{}, problemUnknownRoutine.with(fmt.Sprintf("no job for a routine %q is recorded", name))
	}
	out := api.Routine{Name: name, More: next != ""}
	seen := map[string]bool{}
	for _, job := range jobs {
		out.Ready = out.Ready || job.State == routine.Succeeded
		if seen[job.Request.RecordName] {
			continue
		}
		seen[job.Request.RecordName] = true
		record := api.Record{
			RecordName: job.Request.RecordName, SiteID: job.Request.SiteID, JobID: job.ID, State: job.State, UpdatedAt: job.UpdatedAt,
		}
		if job.Result != nil {
			record.RecordID = job.Result.RecordID
		}
		out.Records = append(out.Records, record)
	}
	return reply{status: http.StatusOK, body: out}, nil
}
