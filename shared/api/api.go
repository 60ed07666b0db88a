// Package api holds the bodies of accept's HTTP interface, as its handlers write them and the command line tool reads them.
// openapi.yaml of accept describes the same for everybody else. Single jobs are routine.Job.
package api

import (
	"encoding/json"
	"net/http"
	"time"

	"routinely/shared/routine"
)

// MaxBatch is how many requests one batch may hold, and MaxBatchBytes how long its body may be.
const (
	MaxBatch      = 1000
	MaxBatchBytes = 2 << 20
)

// Problem is an RFC 9457 problem.
type Problem struct {
	// Type is the address of the text that explains the code, relative to the function's.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Code is stable.
	Code string `json:"code"`
	// Retryable means that the same request can succeed later without anybody doing anything.
	Retryable bool `json:"retryable"`
	// RequestID leads to the function's log.
	RequestID string `json:"requestId,omitempty"`
	// JobID is that of the job which an idempotency key stands for.
	JobID string `json:"jobId,omitempty"`
	// Errors lists everything wrong with a routine request.
	Errors []routine.Problem `json:"errors,omitempty"`
}

// NewProblem returns a problem of a code. It is retryable if something failed that can work again: a status from 500 on, and 429.
func NewProblem(status int, code, title, detail string) Problem {
	return Problem{
		Type: "/problems#" + code, Title: title, Status: status, Detail: detail, Code: code,
		Retryable: status == http.StatusTooManyRequests || status >= http.StatusInternalServerError,
	}
}

// JobList is a page of jobs, those accepted latest first, without their attempts and redrives.
type JobList struct {
	Jobs []routine.Job `json:"jobs"`
	// Next is the cursor of the next page, empty after the last job. A page can be short, even empty, and not be the last.
	Next string `json:"next,omitempty"`
}

// Status is the verdict about one item of a batch.
type Status string

// The verdicts.
const (
	// Accepted: the job is recorded, and on the queue or about to be.
	Accepted Status = "accepted"
	// Duplicate: the item's idempotency key stands for a job that is there already.
	Duplicate Status = "duplicate"
	// Rejected: the item is wrong; nothing was done.
	Rejected Status = "rejected"
	// Failed: the item was not accepted and may be sent again.
	Failed Status = "failed"
)

// BatchResult holds a verdict for each item of a batch, in their order.
type BatchResult struct {
	Items     []Verdict `json:"items"`
	Accepted  int       `json:"accepted"`
	Duplicate int       `json:"duplicate"`
	Rejected  int       `json:"rejected"`
	Failed    int       `json:"failed"`
}

// Count adds one verdict to the counts.
func (r *BatchResult) Count(s Status) {
	switch s {
	case Accepted:
		r.Accepted++
	case Duplicate:
		r.Duplicate++
	case Rejected:
		r.Rejected++
	case Failed:
		r.Failed++
	}
}

// Verdict is what became of one item.
type Verdict struct {
	// Index counts the items from 0.
	Index  int    `json:"index"`
	Status Status `json:"status"`
	// JobID is that of an accepted or duplicate item, and of one whose idempotency key stands for another request.
	JobID string `json:"jobId,omitempty"`
	// State is that of the job of a duplicate item.
	State routine.State `json:"state,omitempty"`
	// Problem is why an item was rejected or has failed.
	Problem *Problem `json:"problem,omitempty"`
}

// MaxReason is the length of the longest reason, in bytes.
const MaxReason = 200

// Cancellation is the body of a cancellation; it may be left out.
type Cancellation struct {
	// Reason is kept with the job, at most MaxReason bytes.
	Reason string `json:"reason,omitempty"`
}

// Origin says who gave up a job.
type Origin string

// The origins of dead letters.
const (
	// Worker: the function provision, or the janitor by its rules, gave up the job.
	Worker Origin = "worker"
	// Trigger: the trigger could not deliver the message.
	Trigger Origin = "trigger"
)

// DeadLetter is a job that was given up, or a message that holds none.
type DeadLetter struct {
	// ID is that of the job, and so is JobID.
	ID     string `json:"id"`
	JobID  string `json:"jobId"`
	Origin Origin `json:"origin"`
	// Kind, Code, Message, RequestID (the cloud's) and Step are those of the last failure; Hint says what to do next.
	Kind      string       `json:"kind"`
	Code      string       `json:"code"`
	Message   string       `json:"message"`
	RequestID string       `json:"requestId,omitempty"`
	Step      routine.Step `json:"step,omitempty"`
	Hint      string       `json:"hint"`
	// Reason says why the job was not tried again.
	Reason string `json:"reason"`
	// DeadAt is when it was given up.
	DeadAt time.Time `json:"deadAt"`
	Caller string    `json:"caller,omitempty"`
	Key    string    `json:"key,omitempty"`
	// ClaimsJob is the job that a message with an unknown key says it is about. Nothing proves it.
	ClaimsJob  string    `json:"claimsJob,omitempty"`
	AcceptedAt time.Time `json:"acceptedAt"`
	ProducedAt time.Time `json:"producedAt,omitzero"`
	Attempt    int       `json:"attempt,omitempty"`
	Redriven   int       `json:"redriven,omitempty"`
	// Request is nil if the message holds no valid one.
	Request *routine.Request `json:"request,omitempty"`
	// Left is what the job has made, or may have made, in ESA.
	Left []routine.Left `json:"left,omitempty"`
	// Callback is what became of the news of the job's death.
	Callback *routine.CallbackStatus `json:"callback,omitempty"`
	// The rest tells the job's life. Dead letters from a list come without it.
	Progress routine.Progress  `json:"progress,omitzero"`
	Attempts []routine.Attempt `json:"attempts,omitempty"`
	Redrives []routine.Redrive `json:"redrives,omitempty"`
	// Problems lists what is wrong with a message that holds no valid request, and Received is that message.
	Problems []routine.Problem `json:"problems,omitempty"`
	Received *routine.Received `json:"received,omitempty"`
}

// DeadLetterFilter chooses dead letters by exact values; what is not given chooses all.
type DeadLetterFilter struct {
	IDs        []string     `json:"ids,omitempty"`
	Kind       string       `json:"kind,omitempty"`
	Code       string       `json:"code,omitempty"`
	Step       routine.Step `json:"step,omitempty"`
	Origin     Origin       `json:"origin,omitempty"`
	Name       string       `json:"name,omitempty"`
	RecordName string       `json:"recordName,omitempty"`
	SiteID     int64        `json:"siteId,omitempty"`
	Caller     string       `json:"caller,omitempty"`
	// KeyPrefix is how the idempotency key of the job begins.
	KeyPrefix string `json:"keyPrefix,omitempty"`
	// Since and Until bound the time of death, both included.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// DeadLetterList is a page of dead letters, those that died latest first.
type DeadLetterList struct {
	DeadLetters []DeadLetter `json:"deadLetters"`
	// Next is the cursor of the next page, empty after the last. A page can be short, even empty, and not be the last.
	Next string `json:"next,omitempty"`
	// Counts is there if it was asked for.
	Counts *Counts `json:"counts,omitempty"`
}

// Counts tells how many dead letters fit a filter, on all pages.
type Counts struct {
	Total int `json:"total"`
	// Codes says why they died, the most frequent first, at most 100.
	Codes []CodeCount `json:"codes"`
	// Complete is false if there are more than were counted, some 100,000.
	Complete bool `json:"complete"`
}

// CodeCount is how many dead letters have a kind and code.
type CodeCount struct {
	Kind  string `json:"kind"`
	Code  string `json:"code"`
	Count int    `json:"count"`
}

// Redrive asks for dead letters to be queued again.
type Redrive struct {
	DeadLetterFilter
	// All must be set if no filter is.
	All bool `json:"all,omitempty"`
	// DryRun only says which would be redriven.
	DryRun bool `json:"dryRun,omitempty"`
	// Limit is how many are redriven at most. Zero, which is not sent, means all.
	Limit int `json:"limit,omitempty"`
	// Reason is kept with the jobs, at most MaxReason bytes.
	Reason string `json:"reason,omitempty"`
	// Cursor goes on with a redrive whose answer said more, with the same filter.
	Cursor string `json:"cursor,omitempty"`
}

// Correction is the body of the redrive of one dead letter; it may be left out.
type Correction struct {
	DryRun bool   `json:"dryRun,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Request has those members of the request that are to be another, as in a new request.
	Request json.RawMessage `json:"request,omitempty"`
}

// WorkedOff says what became of the dead letters that a redrive or a drop chose.
type WorkedOff struct {
	// Count is how many were redriven or dropped, in a dry run how many would be.
	Count  int  `json:"count"`
	DryRun bool `json:"dryRun,omitempty"`
	// Request is the request as corrected, of the redrive of one dead letter that corrects it.
	Request *routine.Request `json:"request,omitempty"`
	// IDs are theirs, at most MaxIDs.
	IDs []string `json:"ids"`
	// Failed lists those that are dead letters still, at most MaxIDs.
	Failed []DeadLetterFailure `json:"failed,omitempty"`
	// More means that the time was over, or the limit reached, before the end: ask again with Next as the cursor to go on.
	More bool   `json:"more"`
	Next string `json:"next,omitempty"`
}

// MaxIDs bounds the lists of a WorkedOff, and the ids of a filter.
const MaxIDs = 1000

// DeadLetterFailure is why one dead letter could not be worked off.
type DeadLetterFailure struct {
	ID      string   `json:"id"`
	Problem *Problem `json:"problem"`
}
