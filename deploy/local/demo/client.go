package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The states of a job that was given up, and of one that a newer one has overtaken.
const (
	deadLettered = "dead-lettered"
	superseded   = "superseded"
)

// client asks accept, as users do.
type client struct {
	url  string
	http *http.Client
}

// submission is what accept answered to one line.
type submission struct {
	// status is the HTTP status, 0 for a line that went to the queue. code and detail are those of a refusal.
	status       int
	code, detail string
	// jobID is the accepted job's, and waitingFor what it waits for.
	jobID, waitingFor string
}

func (s submission) String() string {
	switch {
	case s.status == 0:
		return "put on the queue"
	case s.code != "":
		return fmt.Sprintf("refused %d %s", s.status, s.code)
	}
	return "accepted  job " + s.jobID[:min(8, len(s.jobID))]
}

// submit hands one line over, under its key.
func (c client) submit(ctx context.Context, l *line) (submission, error) {
	method, path := cmp.Or(l.Method, http.MethodPost), cmp.Or(l.Path, routines)
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(l.text()))
	if err != nil {
		return submission{}, err
	}
	req.Header.Set("Idempotency-Key", l.Key)
	req.Header.Set("Content-Type", cmp.Or(l.ContentType, "application/json"))
	var said struct {
		ID           string
		Waiting      struct{ For string }
		Code, Detail string
		Errors       []struct{ Pointer, Detail string }
	}
	status, _, err := c.do(req, &said)
	if err != nil {
		return submission{}, err
	}
	if status < http.StatusBadRequest { // a job, whose code is that of its latest failure
		return submission{status: status, jobID: said.ID, waitingFor: said.Waiting.For}, nil
	}
	var details []string
	for _, e := range said.Errors {
		details = append(details, strings.TrimSpace(e.Pointer+" "+e.Detail))
	}
	if len(details) == 0 {
		details = []string{said.Detail}
	}
	return submission{status: status, code: said.Code, detail: strings.Join(details, "; ")}, nil
}

// do makes a call and reads the answer, which is kept for errors.
func (c client) do(req *http.Request, into any) (status int, answer []byte, err error) {
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	if err != nil {
		return 0, nil, err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return 0, nil, fmt.Errorf("answer %d is not JSON: %.100q", res.StatusCode, answer)
	}
	return res.StatusCode, answer, nil
}

// get reads something that must be there. It asks again for a while if it is told to: the machine may have other things to do.
func (c client) get(ctx context.Context, address string, into any) error {
	for tries := 1; ; tries++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
		if err != nil {
			return err
		}
		status, answer, err := c.do(req, into)
		switch {
		case err == nil && status == http.StatusServiceUnavailable && tries < mostTries:
			time.Sleep(lookEvery)
			continue
		case err == nil && status != http.StatusOK:
			err = fmt.Errorf("status %d: %.300s", status, answer)
		}
		if err != nil {
			return fmt.Errorf("GET %s: %w", address, err)
		}
		return nil
	}
}

// mostTries bounds how often something is asked for that is told to be unavailable.
const mostTries = 20

// job is a job or a dead letter as accept shows it.
type job struct {
	ID, State string
	// Kind, Code, Step, Hint and RequestID are those of the latest failure; only dead letters have Step and RequestID.
	Kind, Code, Step, Hint, RequestID string
	Attempt                           int
	Attempts                          []struct{ Kind, Code string }
	Result                            *result
	Request                           struct{ Name string }
	// Received is the message of a dead letter that holds no job.
	Received *struct{ Encoding, Body string }
}

// result is what a job has achieved: Record of one about one host name, Records of others.
type result struct {
	Routine, Record string
	Records         []struct{ Outcome string }
}

func (r *result) String() string {
	var done []string
	if r.Routine != "" {
		done = append(done, "routine "+r.Routine)
	}
	if r.Record != "" {
		return strings.Join(append(done, "record "+r.Record), ", ")
	}
	for _, record := range r.Records {
		done = append(done, "record "+record.Outcome)
	}
	return strings.Join(done, ", ")
}

// jobs lists all jobs, in short.
func (c client) jobs(ctx context.Context) ([]*job, error) {
	var page struct {
		Jobs []*job
		Next string
	}
	err := c.get(ctx, c.url+"/v1/jobs?limit=100", &page)
	if err == nil && page.Next != "" {
		err = errors.New("there are more jobs than the demo makes")
	}
	return page.Jobs, err
}

// job reads a job, and of a dead letter also what only dead letters have.
func (c client) job(ctx context.Context, id string) (*job, error) {
	j := &job{}
	if err := c.get(ctx, c.url+"/v1/jobs/"+url.PathEscape(id), j); err != nil || j.State != deadLettered {
		return j, err
	}
	return j, c.get(ctx, c.url+"/v1/dead-letters/"+url.PathEscape(id), j)
}
