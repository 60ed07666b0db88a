package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/fault"
	"routinely/shared/plain"
	"routinely/shared/routine"
	"routinely/shared/trace"
)

// Row is all that is kept of a job: what its readers see, and what the next delivery of it needs. The methods that change one are
// the job's life; they know nothing of the table.
type Row struct {
	// Job is the job with its whole request, the callback URL included: show Shown to readers.
	routine.Job
	// Limits are what the job's caller may name and bind, by the rules at the acceptance or the latest redrive.
	Limits routine.Limits `json:"limits,omitzero"`
	// Intent orders the job among those about the same things, see routine.NextNumber; zero in rows that older versions wrote.
	Intent int64 `json:"intent,omitempty"`
	// Operate says that the caller may alter what others own.
	Operate bool `json:"operate,omitempty"`
	// Owner is the caller whose receiver is told of the job's end, of a job that the janitor made about somebody's routine; empty for the job's caller.
	Owner string `json:"owner,omitempty"`
	// Number is that of the delivery that is on its way or with a worker. It counts from 1 in each round (Job.Redriven).
	Number int `json:"number"`
	// Begun is when a worker began with that delivery; zero when none has, and once it is settled.
	Begun time.Time `json:"begun,omitzero"`
	// Begins counts how often that delivery was begun without being settled.
	Begins int `json:"begins,omitempty"`
	// DueAt is when something has to be sent: of an unfinished job its message, of one that has ended its callback. Zero if nothing.
	DueAt time.Time `json:"dueAt,omitzero"`
	// SealedUnder names the message key under which the job's message was last sealed.
	SealedUnder string `json:"sealedUnder,omitempty"`
	// SentAt is when the job's message was last sent because it was due.
	SentAt time.Time `json:"sentAt,omitzero"`
	// AnsweredAt is when ESA first answered in this round: the job's age counts from there.
	AnsweredAt time.Time `json:"answeredAt,omitzero"`
	// AnsweredStopped is how long the account's lane was stopped in all by then: what comes on top of it does not count as age.
	AnsweredStopped time.Duration `json:"answeredStopped,omitempty"`
	// Bulk says that the job came in a batch: its messages give way to those of single requests.
	Bulk bool `json:"bulk,omitempty"`
	// DiedAt is when the job was dead-lettered; zero unless it is, or was until it was dropped.
	DiedAt time.Time `json:"diedAt,omitzero"`
	// DiedOf is why a job was given up that was dropped, whose Reason is that of the drop.
	DiedOf string `json:"diedOf,omitempty"`
	// Progress is what the steps have achieved or left in doubt.
	Progress routine.Progress `json:"progress,omitzero"`
	// Last is the latest failure.
	Last *routine.Attempt `json:"last,omitempty"`
	// Origin says who gave up a dead-lettered job.
	Origin Origin `json:"origin,omitempty"`
	// Hashes tell the requests that the job's id stands for: the present one and those that corrections replaced.
	Hashes []string `json:"hashes"`
	// Undelivered are MNS's ids of the trigger's dead letters of this round.
	Undelivered []string `json:"undelivered,omitempty"`
	// Trace is the span of the acceptance, or of the latest redrive; empty in rows that older versions wrote.
	Trace trace.Parent `json:"traceparent,omitempty"`
	// Problems lists what is wrong with a message that holds no valid request, and Received is that message.
	Problems []routine.Problem `json:"-"`
	Received *routine.Received `json:"-"`

	// Dues counts how often something was made due. It is part of index keys, so that no key stands for two different facts.
	Dues int `json:"dues,omitempty"`
	// ListedAt is when all index rows of the job were last put, by the writer's clock.
	ListedAt time.Time `json:"listedAt,omitzero"`
	// Write tells one write from all others, so that a writer whose answer was lost can find out whether it was its own. A change may set it
	// for that; otherwise the ledger does.
	Write string `json:"write"`
	// seq counts the writes of the row; 0 is a row that does not exist yet.
	seq int64
	// partial is set of a row that was read without what lists do not show.
	partial bool
	// listed is what a row that was read takes in the columns that lists show, in bytes.
	listed int
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

// extra is the column more: what lists do not show.
type extra struct {
	Attempts []routine.Attempt `json:"attempts,omitempty"`
	Redrives []routine.Redrive `json:"redrives,omitempty"`
	Problems []routine.Problem `json:"problems,omitempty"`
	Received *routine.Received `json:"received,omitempty"`
}

// Columns of a job's row and of an index row.
const (
	columnP       = "p"
	columnS       = "s"
	columnJob     = "job"
	columnRequest = "request"
	columnMore    = "more"
	columnSeq     = "seq"
	columnID      = "id"
	columnDead    = "dead"
	columnWrite   = "write"
	columnMark    = "mark"
)

// listColumns are those that lists read.
var listColumns = []string{columnJob, columnRequest, columnSeq}

// Shown is the job as its readers may see it: without the query of the callback URL.
func (r Row) Shown() routine.Job {
	job := r.Job
	job.Request, job.TraceID = job.Request.Shown(), r.Trace.ID()
	job.Redrives = slices.Clone(job.Redrives)
	for i, redrive := range job.Redrives {
		if redrive.Was != nil {
			was := redrive.Was.Shown()
			job.Redrives[i].Was = &was
		}
	}
	return job
}

// News is the job as the news of its end tells it, which is the same whenever it is made: of a dropped job that it died.
func (r Row) News() routine.Job {
	job := r.Shown()
	if r.State == routine.Dropped {
		job.State, job.UpdatedAt, job.By, job.Reason = routine.DeadLettered, r.DiedAt, "", r.DiedOf
	}
	return job
}

// columns are all columns of the row. They are always written together, so that they are forgotten together.
func (r *Row) columns() map[string]any {
	head := *r
	head.Request, head.Attempts, head.Redrives = routine.Request{}, nil, nil
	return map[string]any{
		columnJob: encode(head), columnRequest: encode(r.Request),
		columnMore: encode(extra{r.Attempts, r.Redrives, r.Problems, r.Received}), columnSeq: r.seq,
	}
}

// readRow reads a row; one that does not exist has no columns and is nil.
func readRow(k key, columns []*sdk.AttributeColumn) (*Row, error) {
	if len(columns) == 0 {
		return nil, nil
	}
	texts := map[string]string{}
	var seq int64
	for _, column := range columns {
		switch value := column.Value.(type) {
		case int64:
			seq = value
		case string:
			texts[column.ColumnName] = value
		}
	}
	r := &Row{partial: true, listed: len(texts[columnJob]) + len(texts[columnRequest])}
	if err := json.Unmarshal([]byte(texts[columnJob]), r); err != nil {
		return nil, unreadable(k.p, fmt.Errorf("column %s: %w", columnJob, err))
	}
	if err := json.Unmarshal([]byte(texts[columnRequest]), &r.Request); err != nil {
		return nil, unreadable(k.p, fmt.Errorf("column %s: %w", columnRequest, err))
	}
	if more, found := texts[columnMore]; found {
		var e extra
		if err := json.Unmarshal([]byte(more), &e); err != nil {
			return nil, unreadable(k.p, fmt.Errorf("column %s: %w", columnMore, err))
		}
		r.partial = false
		r.Attempts, r.Redrives, r.Problems, r.Received = e.Attempts, e.Redrives, e.Problems, e.Received
	}
	if seq < 1 || r.ID == "" {
		return nil, unreadable(k.p, fmt.Errorf("columns %s and %s are required", columnJob, columnSeq))
	}
	r.seq = seq
	return r, nil
}

// encode writes our own types, which hold texts, numbers and times in range: nothing that JSON cannot. It leaves < and & as they are, which
// as escapes would take six bytes each.
func encode(v any) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v)
	return strings.TrimSuffix(out.String(), "\n")
}

// Bounds of what is stored of people's and clouds' texts, in bytes, and of lists, in number. With them a row takes less than
// 240 KiB, so that wholeRows fit into one answer.
const (
	maxID       = 255
	maxWord     = 255
	maxText     = 400
	maxAttempts = 12
	maxRedrives = 5
	maxLeft     = 2 * (1 + routine.MaxRecords)
	maxHashes   = 20
	// maxUndelivered is more than the janitor waits for before it gives up.
	maxUndelivered = 20
	// maxReceived is above the longest message of MNS in Base64. Only an event that somebody makes by hand can hold more.
	maxReceived = 88 << 10
	// maxRequest is the longest request that a message of the queue can hold, as JSON.
	maxRequest = 40_000
)

func validID(id string) bool { return id != "" && len(id) <= maxID && utf8.ValidString(id) }

// storable reports whether JSON and the keys of index rows can hold the time.
func storable(t time.Time) bool { return t.UTC().Year() >= 0 && t.UTC().Year() <= 9999 }

// stored is a time as it comes back from JSON.
func stored(t time.Time) time.Time { return t.UTC().Round(0) }

// cut makes a text fit for a row: clean, and at most limit bytes long.
func cut(text string, limit int) string { return plain.Clip(plain.Clean(text), limit) }

func invalid(code, message string) *fault.Error {
	return &fault.Error{Kind: fault.Invalid, Step: "ledger", Code: code, Message: message, Hint: hintCaller}
}
