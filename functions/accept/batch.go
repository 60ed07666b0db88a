package accept

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/routine"
)

// Media types of a batch beside JSON's: one request per line.
const (
	mediaNDJSON = "application/x-ndjson"
	mediaLines  = "application/jsonl"
)

// createRoutines accepts many requests, each for itself.
func (s *Service) createRoutines(r *http.Request) (reply, error) {
	body, media, err := readBody(r, api.MaxBatchBytes, mediaNDJSON, mediaLines)
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
	if err := s.spend(r.Context(), len(items)); err != nil {
		return reply{}, err
	}
	admissions := make([]admission, len(items))
	var jobs []routine.Job
	var places []int
	for i, item := range items {
		job, err := s.batchJob(caller, item, i, key)
		if err != nil {
			admissions[i].err = err
			continue
		}
		jobs, places = append(jobs, job), append(places, i)
	}
	for n, a := range s.admit(r.Context(), jobs...) {
		admissions[places[n]] = a
	}
	return s.answerBatch(r.Context(), admissions), nil
}

// batchItems cuts a batch into its requests.
func batchItems(body []byte, array bool) ([]json.RawMessage, error) {
	var items []json.RawMessage
	if array {
		if err := json.Unmarshal(body, &items); err != nil {
			return nil, problemMalformed.with("want a JSON array of requests: " + err.Error())
		}
	} else {
		for line := range bytes.Lines(body) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				items = append(items, line)
			}
		}
	}
	switch {
	case len(items) == 0:
		return nil, problemMalformed.with("the batch holds no request")
	case len(items) > api.MaxBatch:
		return nil, problemTooLarge.with(fmt.Sprintf("the batch holds %d requests, at most %d are possible", len(items), api.MaxBatch))
	}
	return items, nil
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
		v := &out.Items[i]
		v.Index = i
		switch {
		case a.err != nil:
			p := problemOf(a.err)
			v.Problem, v.Status, v.JobID = &p.Problem, api.Rejected, p.JobID
			if p.Status >= http.StatusInternalServerError {
				v.Status, failed = api.Failed, p
			}
		case a.replayed:
			v.Status, v.JobID, v.State = api.Duplicate, a.row.ID, a.row.State
		default:
			v.Status, v.JobID = api.Accepted, a.row.ID
		}
		out.Count(v.Status)
	}
	logCause(ctx, failed) // one for all: they have failed together
	r := reply{status: http.StatusUnprocessableEntity, body: out}
	switch {
	case out.Accepted+out.Duplicate > 0:
		r.status = http.StatusAccepted
	case out.Failed > 0:
		r.status, r.header = http.StatusServiceUnavailable, map[string]string{"Retry-After": seconds(max(retryAfter, failed.retryAfter))}
	}
	return r
}
