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
	// Errors lists everything wrong with a routine request.
	Errors []routine.Problem `json:"errors,omitempty"`
}

// NewProblem returns a problem of a code. It is retryable if something failed that can work again: a status from 500 on, and 429.
func NewProblem(status int, code, title, detail string) Problem {
	return Problem{
		Type: "/problems#" + code, Title: title, Status: status, Detail: detail, Code: code,
		Retryable: status == http.StatusTooManyRequests ||
			status >= http.StatusInternalServerError && status != http.StatusNotImplemented,
	}
}

// JobList is a page of jobs, those accepted latest first, without their attempts.
type JobList struct {
	Jobs []routine.Job `json:"jobs"`
	// Next is the cursor of the next page, empty after the last job. A page can be short, even empty, and not be the last.
	Next string `json:"next,omitempty"`
}

// Routine is what the ledger knows of one routine.
type Routine struct {
	Name string `json:"name"`
	// Ready means that a job succeeded: the routine and at least one of its records exist, unless somebody else removed them.
	Ready bool `json:"ready"`
	// Records are the host names that were asked for, those of the latest jobs first.
	Records []Record `json:"records"`
	// More means that the routine has more jobs than were looked at, the latest.
	More bool `json:"more,omitempty"`
}

// Record is the latest job of a routine about one host name.
type Record struct {
	RecordName string `json:"recordName"`
	SiteID     int64  `json:"siteId"`
	// RecordID is ESA's, of a record that is there.
	RecordID  int64         `json:"recordId,omitempty"`
	JobID     string        `json:"jobId"`
	State     routine.State `json:"state"`
	UpdatedAt time.Time     `json:"updatedAt"`
}

// Status is the verdict about one item of a batch.
type Status string

// The verdicts.
const (
	// Accepted: the job is on the queue.
	Accepted Status = "accepted"
	// Duplicate: the item's idempotency key stands for a job that is there already.
	Duplicate Status = "duplicate"
	// Rejected: the item is wrong; nothing was done.
	Rejected Status = "rejected"
	// Failed: the item could not be queued and may be sent again.
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
	// JobID is that of an accepted or duplicate item.
	JobID string `json:"jobId,omitempty"`
	// State is that of the job of a duplicate item.
	State routine.State `json:"state,omitempty"`
	// Problem is why an item was rejected or has failed.
	Problem *Problem `json:"problem,omitempty"`
}

// Cancellation is the body of a cancellation; it may be left out.
type Cancellation struct {
	// Reason is kept with the job, at most 200 bytes.
	Reason string `json:"reason,omitempty"`
}

// Origin says who put a message on the dead-letter queue.
type Origin string

// The origins of dead letters.
const (
	// Worker: the function provision gave up a job, or a message that holds none.
	Worker Origin = "worker"
	// Trigger: the message is as it was on the job queue; the trigger could not deliver it.
	Trigger Origin = "trigger"
)

// DeadLetter is a job, or a message that holds none, that was given up.
type DeadLetter struct {
	// ID names the dead letter in this interface.
	ID     string `json:"id"`
	Origin Origin `json:"origin"`
	// JobID is empty for a message that holds no job.
	JobID string `json:"jobId,omitempty"`
	// Kind, Code, Message, RequestID (the cloud's) and Step are those of the last failure; Hint says what to do next.
	Kind      string       `json:"kind"`
	Code      string       `json:"code"`
	Message   string       `json:"message"`
	RequestID string       `json:"requestId,omitempty"`
	Step      routine.Step `json:"step,omitempty"`
	Hint      string       `json:"hint"`
	// Reason says why the job was not tried again.
	Reason string `json:"reason"`
	// Problems lists what is wrong with a request that breaks the rules.
	Problems []routine.Problem `json:"problems,omitempty"`
	// DeadAt is when it was given up.
	DeadAt     time.Time        `json:"deadAt"`
	Caller     string           `json:"caller,omitempty"`
	AcceptedAt time.Time        `json:"acceptedAt,omitzero"`
	Attempt    int              `json:"attempt,omitempty"`
	Redriven   int              `json:"redriven,omitempty"`
	Request    *routine.Request `json:"request,omitempty"`
	// Progress, Attempts and Redrives tell the job's life. Dead letters from a list come without them.
	Progress routine.Progress  `json:"progress,omitzero"`
	Attempts []routine.Attempt `json:"attempts,omitempty"`
	Redrives []routine.Redrive `json:"redrives,omitempty"`
	// Callback is the callback that could not be delivered, of a dead letter that is about one: its job has ended otherwise.
	Callback *Callback `json:"callback,omitempty"`
	// Received is the message as it came. Dead letters from a list, and those about callbacks, come without it.
	Received *Received `json:"received,omitempty"`
	// Incomplete means that not all the messages that make up this dead letter could be seen at this moment.
	Incomplete bool `json:"incomplete,omitempty"`
}

// Callback is the news of a job's end that somebody asked for.
type Callback struct {
	// ID is the webhook-id that the receiver knows it by.
	ID string `json:"id"`
	// URL is where it goes. Its query is not shown.
	URL string `json:"url"`
	// CreatedAt is when the job ended.
	CreatedAt time.Time `json:"createdAt"`
	// Event is what is sent. Dead letters from a list come without it.
	Event json.RawMessage `json:"event,omitempty"`
}

// Received is a message, byte for byte.
type Received struct {
	// MessageID is MNS's, if it is known.
	MessageID string `json:"messageId,omitempty"`
	// Encoding is text or base64.
	Encoding string `json:"encoding"`
	Body     string `json:"body"`
}

// DeadLetterFilter chooses dead letters by exact values; empty fields choose all.
type DeadLetterFilter struct {
	IDs        []string     `json:"ids,omitempty"`
	JobID      string       `json:"jobId,omitempty"`
	Kind       string       `json:"kind,omitempty"`
	Code       string       `json:"code,omitempty"`
	Step       routine.Step `json:"step,omitempty"`
	Origin     Origin       `json:"origin,omitempty"`
	Name       string       `json:"name,omitempty"`
	RecordName string       `json:"recordName,omitempty"`
	SiteID     int64        `json:"siteId,omitempty"`
	Caller     string       `json:"caller,omitempty"`
}

// DeadLetterList is a page of dead letters, the latest first.
type DeadLetterList struct {
	DeadLetters []DeadLetter `json:"deadLetters"`
	// Next is the cursor of the next page, empty after the last.
	Next string `json:"next,omitempty"`
	// Total is how many fit the filter, on all pages, and Codes says why they died, the most frequent first.
	Total int         `json:"total"`
	Codes []CodeCount `json:"codes"`
	// Complete means that the queue was looked through to its end. Otherwise the time was over before: there are more.
	Complete bool `json:"complete"`
}

// CodeCount is how many dead letters have a kind and code.
type CodeCount struct {
	Kind  string `json:"kind"`
	Code  string `json:"code"`
	Count int    `json:"count"`
}

// Redrive asks for dead letters to be put back on the job queue.
type Redrive struct {
	DeadLetterFilter
	// All must be set if no filter is.
	All bool `json:"all,omitempty"`
	// DryRun only says which would be redriven.
	DryRun bool `json:"dryRun,omitempty"`
	// Rate is how many are redriven in a second at most; 0 means as fast as it goes.
	Rate int `json:"rate,omitempty"`
	// Limit is how many are redriven at most; 0 means all.
	Limit int `json:"limit,omitempty"`
	// Reason is kept with the jobs, at most 200 bytes.
	Reason string `json:"reason,omitempty"`
}

// WorkedOff says what became of the dead letters that a redrive or a deletion chose.
type WorkedOff struct {
	// Count is how many were redriven or deleted, in a dry run how many would be.
	Count  int  `json:"count"`
	DryRun bool `json:"dryRun,omitempty"`
	// IDs are theirs, at most MaxIDs.
	IDs []string `json:"ids"`
	// Failed lists those that are still on the queue, at most MaxIDs.
	Failed []DeadLetterFailure `json:"failed,omitempty"`
	// More means that the time, or the limit, was over before the end of the queue: ask again to go on.
	More bool `json:"more"`
}

// MaxIDs bounds the lists of a WorkedOff.
const MaxIDs = 1000

// DeadLetterFailure is why one dead letter could not be worked off.
type DeadLetterFailure struct {
	ID      string   `json:"id"`
	Problem *Problem `json:"problem"`
}
