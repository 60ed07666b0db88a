package accept

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"

	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/retry"
	"routinely/shared/routine"
	"routinely/shared/strictjson"
)

// Media types of a batch beside JSON's: one request per line.
const (
	mediaNDJSON = "application/x-ndjson"
	mediaLines  = "application/jsonl"
)

// createRoutines accepts many requests, each for itself.
func (s *Service) createRoutines(r *http.Request) (reply, error) {
	body, media, err := readBody(r, mediaNDJSON, mediaLines)
	if err != nil {
		return reply{}, err
	}
	caller := callerOf(r.Context())
	if caller.Signed() && !isJSON(media) {
		return reply{}, problemMediaType.with("a signature does not cover Content-Type: send a signed batch as a JSON array")
	}
	key, err := keyOf(r)
	if err != nil {
		return reply{}, err
	}
	items, err := batchItems(body, isJSON(media))
	if err != nil {
		return reply{}, err
	}
	if err := s.spend(r.Context(), len(items)-1); err != nil {
		return reply{}, err
	}
	admissions := make([]admission, len(items))
	told := room{problems: batchProblems}
	var jobs []routine.Job
	var places []int
	for i, item := range items {
		job, err := s.batchJob(caller, item, i, key)
		if err != nil {
			admissions[i].err = told.only(err)
			continue
		}
		jobs, places = append(jobs, job), append(places, i)
	}
	for n, a := range s.admit(r.Context(), jobs, terms{bulk: true}) {
		admissions[places[n]] = a
	}
	return s.answerBatch(r.Context(), admissions), nil
}

// batchItems cuts a batch into its requests, which are parts of the body. It stops at the first that is too many.
func batchItems(body []byte, array bool) (items []json.RawMessage, err error) {
	pieces := lines(body)
	if array {
		if pieces, err = elements(body); err != nil {
			return nil, err
		}
	}
	for item := range pieces {
		if len(items) == api.MaxBatch {
			return nil, problemTooLarge.with(fmt.Sprintf("the batch holds more than the %d requests that are possible", api.MaxBatch))
		}
		items = append(items, item)
	}
	if len(items) == 0 {
		return nil, malformed("the batch holds no request")
	}
	return items, nil
}

// elements are those of a body that must be a JSON array.
func elements(body []byte) (iter.Seq[json.RawMessage], error) {
	if detail := strictjson.Check(body); detail != "" {
		return nil, malformed(detail)
	}
	array := bytes.TrimSpace(body)
	if array[0] != '[' {
		return nil, malformed("want a JSON array of requests")
	}
	return strictjson.Elements(array), nil
}

// lines are those of a body that are not empty.
func lines(body []byte) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		for line := range bytes.Lines(body) {
			if line = bytes.TrimSpace(line); len(line) > 0 && !yield(line) {
				return
			}
		}
	}
}

// batchProblems is how many problems the answer to a batch lists, beside the first of each item.
const batchProblems = 1000

// room is how many more problems an answer may list.
type room struct{ problems int }

// only shortens the problems of an error to those for which there is room. The first always stays.
func (r *room) only(err error) error {
	var invalid *routine.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	few := routine.Few(invalid.Problems, 1+r.problems)
	r.problems = max(0, r.problems-len(few)+1)
	return &routine.Invalid{Malformed: invalid.Malformed, Problems: few}
}

// batchJob is the job of one item. An item without a key of its own has one if the whole batch has: sending the batch again
// is then safe.
func (s *Service) batchJob(caller auth.Caller, item []byte, index int, batchKey string) (routine.Job, error) {
	req, key, err := routine.DecodeItem(item)
	if err != nil {
		return routine.Job{}, err
	}
	if key == "" && batchKey != "" {
		key = batchKey + "/" + strconv.Itoa(index)
	}
	return s.newJob(caller, req, key)
}

// answerBatch gives a verdict on each item. The status is that of the best of them.
func (s *Service) answerBatch(ctx context.Context, admissions []admission) reply {
	out := api.BatchResult{Items: make([]api.Verdict, len(admissions))}
	var failed problem
	for i, a := range admissions {
		v := verdictOf(a)
		v.Index = i
		out.Items[i] = v
		if out.Count(v.Status); v.Status == api.Failed {
			failed = problemOf(a.err)
		}
	}
	return answerVerdicts(ctx, out, out.Accepted+out.Duplicate, failed, http.StatusUnprocessableEntity)
}

// verdictOf is what became of one request of several.
func verdictOf(a admission) api.Verdict {
	switch {
	case a.err == nil && a.replayed:
		return api.Verdict{Status: api.Duplicate, JobID: a.row.ID, State: a.row.State}
	case a.err == nil:
		return api.Verdict{Status: api.Accepted, JobID: a.row.ID}
	}
	p := problemOf(a.err)
	v := api.Verdict{Status: api.Rejected, JobID: p.JobID, Problem: &p.Problem}
	if p.Status >= http.StatusInternalServerError {
		v.Status = api.Failed
	}
	return v
}

// answerVerdicts answers with the verdicts on several requests, of which so many were taken. failed is the problem of those that may be sent again,
// and otherwise the status if each was rejected.
func answerVerdicts(ctx context.Context, body any, taken int, failed problem, otherwise int) reply {
	logCause(ctx, failed) // one for all: they have failed together
	switch {
	case taken > 0:
		return reply{status: http.StatusAccepted, body: body}
	case failed.Code != "":
		wait := retry.Seconds(max(retryAfter, failed.retryAfter))
		return reply{status: http.StatusServiceUnavailable, body: body, header: map[string]string{"Retry-After": wait}}
	}
	return reply{status: otherwise, body: body}
}
