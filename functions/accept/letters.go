package accept

import (
	"fmt"
	"math"
	"net/http"
	"strings"

	"routinely/shared/api"
	"routinely/shared/callback"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// maxLetters is the longest page of a list of dead letters.
const maxLetters = 1000

// readFilter takes the parameters that choose dead letters.
func readFilter(q *query) api.DeadLetterFilter {
	f := api.DeadLetterFilter{
		JobID: q.text("jobId"), Kind: q.text("kind"), Code: q.text("code"),
		Step:   choice(q, "step", routine.CreateRoutine, routine.CreateRoutineRelatedRecord, "GetRoutine", "ListRoutineRelatedRecords", callback.Step),
		Origin: choice(q, "origin", api.Worker, api.Trigger),
		Name:   q.text("name"), RecordName: q.text("record"), SiteID: q.number("siteId", 0, 1, math.MaxInt64), Caller: q.text("caller"),
	}
	if ids := q.text("id"); ids != "" {
		f.IDs = strings.Split(ids, ",")
	}
	return f
}

// listDeadLetters lists dead letters.
func (s service) listDeadLetters(r *http.Request) (reply, error) {
	q := readQuery(r)
	f := readFilter(q)
	limit, cursor := q.number("limit", defaultPage, 1, maxLetters), q.text("cursor")
	if err := q.end(); err != nil {
		return reply{}, err
	}
	found, err := s.letters.List(r.Context(), f, int(limit), cursor)
	if err != nil {
		return reply{}, deskFailed(err)
	}
	return reply{status: http.StatusOK, body: found}, nil
}

// deadLetter shows one dead letter whole.
func (s service) deadLetter(r *http.Request) (reply, error) {
	found, err := s.letters.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return reply{}, deskFailed(err)
	}
	return reply{status: http.StatusOK, body: found}, nil
}

// redriveDeadLetters puts dead letters that fit a filter back on the job queue.
func (s service) redriveDeadLetters(r *http.Request) (reply, error) {
	var wanted api.Redrive
	if err := readStrict(r, &wanted); err != nil {
		return reply{}, err
	}
	return s.redrive(r, wanted)
}

// redriveDeadLetter puts one dead letter back on the job queue.
func (s service) redriveDeadLetter(r *http.Request) (reply, error) {
	var given struct {
		DryRun bool   `json:"dryRun"`
		Reason string `json:"reason"`
	}
	if err := readOptional(r, &given); err != nil {
		return reply{}, err
	}
	return s.redrive(r, api.Redrive{DeadLetterFilter: only(r), DryRun: given.DryRun, Reason: given.Reason})
}

func (s service) redrive(r *http.Request, wanted api.Redrive) (reply, error) {
	done, err := s.letters.Redrive(r.Context(), wanted, callerOf(r.Context()).Name)
	return workedOff(r, done, err)
}

// deleteDeadLetters deletes dead letters that fit a filter.
func (s service) deleteDeadLetters(r *http.Request) (reply, error) {
	q := readQuery(r)
	return s.drop(r, readFilter(q), q.flag("all"), q)
}

// deleteDeadLetter deletes one dead letter.
func (s service) deleteDeadLetter(r *http.Request) (reply, error) {
	return s.drop(r, only(r), false, readQuery(r))
}

func (s service) drop(r *http.Request, f api.DeadLetterFilter, all bool, q *query) (reply, error) {
	dryRun, reason := q.flag("dryRun"), q.text("reason")
	if err := q.end(); err != nil {
		return reply{}, err
	}
	done, err := s.letters.Delete(r.Context(), f, all, dryRun, callerOf(r.Context()).Name, reason)
	return workedOff(r, done, err)
}

// only chooses the dead letter that the path names.
func only(r *http.Request) api.DeadLetterFilter {
	return api.DeadLetterFilter{IDs: []string{r.PathValue("id")}}
}

// workedOff answers a redrive or a deletion. One that is about a single dead letter must have found it.
func workedOff(r *http.Request, done api.WorkedOff, err error) (reply, error) {
	if err != nil {
		return reply{}, deskFailed(err)
	}
	if id := r.PathValue("id"); id != "" && done.Count == 0 && len(done.Failed) == 0 && !done.More {
		return reply{}, problemUnknownLetter.with(fmt.Sprintf("no dead letter %q could be seen on the queue", id))
	}
	return reply{status: http.StatusOK, body: done}, nil
}

// deskFailed turns an error of the dead-letter desk into a problem.
func deskFailed(err error) problem {
	failure := fault.From(err)
	switch {
	case failure.Code == "UnknownDeadLetter":
		return problemUnknownLetter.with(failure.Message)
	case failure.Code == "InvalidRedrive":
		return problemRedrive.with(failure.Message)
	case failure.Kind == fault.Invalid:
		return wrongParameter(failure)
	}
	return queueFailed("no dead letter is lost: ask again", err)
}
