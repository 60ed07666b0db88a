package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// client asks accept, as users do.
type client struct {
	url  string
	http *http.Client
}

// answerLimit bounds what is read of an answer.
const answerLimit = 1 << 20

// submission is what came of handing one line over.
type submission struct {
	// status is the HTTP status, 0 for a line that went to the queue. code and detail are the problem's, empty on success.
	status       int
	code, detail string
	// jobID is the accepted job's, and waitingFor what it waits for.
	jobID, waitingFor string
}

func (s submission) shown() string {
	switch {
	case s.status == 0:
		return "put on the queue"
	case s.code != "":
		return fmt.Sprintf("refused %d %s", s.status, s.code)
	}
	return "accepted  job " + short(s.jobID)
}

// short is enough of an id to tell it from the others of a demo.
func short(id string) string { return id[:min(8, len(id))] }

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
		ID      string `json:"id"`
		Waiting struct {
			For string `json:"for"`
		} `json:"waiting"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
		Errors []struct {
			Pointer string `json:"pointer"`
			Detail  string `json:"detail"`
		} `json:"errors"`
	}
	status, err := c.do(req, &said)
	if err != nil {
		return submission{}, err
	}
	if status < http.StatusBadRequest { // a job, whose code is that of its latest failure
		return submission{status: status, jobID: said.ID, waitingFor: said.Waiting.For}, nil
	}
	got := submission{status: status, code: said.Code, detail: said.Detail}
	for i, e := range said.Errors {
		if i == 0 {
			got.detail = ""
		}
		got.detail = strings.TrimSpace(got.detail + "\n" + e.Pointer + " " + e.Detail)
	}
	return got, nil
}

// do makes a call and reads the answer.
func (c client) do(req *http.Request, into any) (status int, err error) {
	res, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerLimit))
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

// job is what accept tells of one job, or of one dead letter.
type job struct {
	ID    string `json:"id"`
	State string `json:"state"`
	// Kind, Code, Step, Hint and RequestID are those of the latest failure; Step and RequestID are told of dead letters alone.
	Kind      string `json:"kind"`
	Code      string `json:"code"`
	Step      string `json:"step"`
	Hint      string `json:"hint"`
	RequestID string `json:"requestId"`
	Attempt   int    `json:"attempt"`
	Attempts  []struct {
		Kind string `json:"kind"`
		Code string `json:"code"`
	} `json:"attempts"`
	Result *struct {
		Routine string `json:"routine"`
		Record  string `json:"record"`
	} `json:"result"`
	Request struct {
		Name string `json:"name"`
	} `json:"request"`
	// Received is the message of a dead letter that holds no job.
	Received *struct {
		Encoding string `json:"encoding"`
		Body     string `json:"body"`
	} `json:"received"`
}

// jobs lists all jobs, in short.
func (c client) jobs(ctx context.Context) (all []job, err error) {
	for cursor := ""; ; {
		var page struct {
			Jobs []job  `json:"jobs"`
			Next string `json:"next"`
		}
		if err := c.get(ctx, c.url+"/v1/jobs?limit=100"+cursor, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Jobs...)
		if page.Next == "" {
			return all, nil
		}
		cursor = "&cursor=" + url.QueryEscape(page.Next)
	}
}

// job reads all of a job, of a dead letter too what only dead letters tell.
func (c client) job(ctx context.Context, id string) (j job, err error) {
	if err := c.get(ctx, c.url+"/v1/jobs/"+url.PathEscape(id), &j); err != nil || j.State != deadLettered {
		return j, err
	}
	return j, c.get(ctx, c.url+"/v1/dead-letters/"+url.PathEscape(id), &j)
}
