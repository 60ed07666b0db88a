package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// deadLettered is the state of a job that was given up.
const deadLettered = "dead-lettered"

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
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/v1/routines", strings.NewReader(l.text()))
	if err != nil {
		return submission{}, err
	}
	req.Header.Set("Idempotency-Key", l.Key)
	req.Header.Set("Content-Type", "application/json")
	if l.ContentType != "" {
		req.Header.Set("Content-Type", l.ContentType)
	}
	var said struct {
		ID           string
		Waiting      struct{ For string }
		Code, Detail string
		Errors       []struct{ Pointer, Detail string }
	}
	status, err := c.do(req, &said)
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

// do makes a call and reads the answer.
func (c client) do(req *http.Request, into any) (status int, err error) {
	res, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return 0, fmt.Errorf("answer %d is not JSON: %.100q", res.StatusCode, body)
	}
	return res.StatusCode, nil
}

// get reads something that must be there.
func (c client) get(ctx context.Context, address string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	status, err := c.do(req, into)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err != nil {
		return fmt.Errorf("GET %s: %w", address, err)
	}
	return nil
}

// job is a job or a dead letter as accept shows it.
type job struct {
	ID, State string
	// Kind, Code, Step, Hint and RequestID are those of the latest failure; only dead letters have Step and RequestID.
	Kind, Code, Step, Hint, RequestID string
	Attempt                           int
	Attempts                          []struct{ Kind, Code string }
	Result                            *struct{ Routine, Record string }
	Request                           struct{ Name string }
	// Received is the message of a dead letter that holds no job.
	Received *struct{ Encoding, Body string }
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
