package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/stack"
)

// submission is what came of handing one line over.
type submission struct {
	// status is the HTTP status, 0 for a line that went to the queue. code and detail are the problem's, empty on success.
	status       int
	code, detail string
	// jobID is the accepted job's.
	jobID string
}

func (s submission) shown() string {
	switch s.status {
	case 0:
		return "put on the queue"
	case http.StatusAccepted, http.StatusOK: // the latter for a job that has ended already
		return "accepted  job " + short(s.jobID)
	}
	return fmt.Sprintf("refused %d %s", s.status, s.code)
}

const (
	// tries is how often a request is handed over while accept fails, pause the time between two tries. The key makes that
	// safe: it is one job, however many copies of it are queued.
	tries = 20
	pause = 250 * time.Millisecond
	// answerLimit bounds what is read of an answer.
	answerLimit = 1 << 20
)

// submitter hands lines over as users do.
type submitter struct {
	accept string
	http   *http.Client
	mns    *mnsclient.Client
	// sent writes down the message of a line that went to the queue.
	sent func(key, messageID string) error
	// note is told of each try that failed.
	note func(format string, args ...any)
	// repeated is how many tries failed. Each may have left its job on the queue.
	repeated int
}

// submit hands one line over. It fails only when accept never answers, or MNS does not take the message.
func (s *submitter) submit(ctx context.Context, l *line) (submission, error) {
	if l.Queue {
		id, err := s.mns.Send(ctx, stack.Queue, l.text(), 0)
		if err != nil {
			return submission{}, err
		}
		return submission{}, s.sent(l.Key, id)
	}
	for try := 1; ; try++ {
		got, err := s.post(ctx, l)
		if err == nil && got.status < http.StatusInternalServerError && got.status != http.StatusTooManyRequests {
			return got, nil
		}
		reason := got.shown()
		if err != nil {
			reason = err.Error()
		}
		if try == tries {
			return got, fmt.Errorf("%q: accept failed %d times, at last: %s", l.Case, tries, reason)
		}
		s.repeated++
		s.note("submitting %q once more, with the same key: %s", l.Case, reason)
		if err := wait(ctx, pause); err != nil {
			return got, err
		}
	}
}

func (s *submitter) post(ctx context.Context, l *line) (submission, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.accept+"/v1/routines", strings.NewReader(l.text()))
	if err != nil {
		return submission{}, err
	}
	req.Header.Set("Idempotency-Key", l.Key)
	req.Header.Set("Content-Type", "application/json")
	if l.ContentType != "" {
		req.Header.Set("Content-Type", l.ContentType)
	}
	res, err := s.http.Do(req)
	if err != nil {
		return submission{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerLimit))
	if err != nil {
		return submission{}, err
	}
	var said struct {
		ID     string `json:"id"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
		Errors []struct {
			Pointer string `json:"pointer"`
			Detail  string `json:"detail"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return submission{}, fmt.Errorf("answer %d is not JSON: %.100q", res.StatusCode, body)
	}
	if res.StatusCode < http.StatusBadRequest { // a job, whose code is that of its latest failure
		if said.ID == "" {
			return submission{}, fmt.Errorf("answer %d names no job: %.100q", res.StatusCode, body)
		}
		return submission{status: res.StatusCode, jobID: said.ID}, nil
	}
	got := submission{status: res.StatusCode, code: said.Code, detail: said.Detail}
	for i, e := range said.Errors {
		if i == 0 {
			got.detail = ""
		}
		got.detail = strings.TrimSpace(got.detail + "\n" + e.Pointer + " " + e.Detail)
	}
	return got, nil
}

// wait returns after d, or early with the error of ctx.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
