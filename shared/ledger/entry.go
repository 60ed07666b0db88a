package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Kind says what happened to a job.
type Kind string

// The kinds of entries. What each does to a job is decided in Fold.
const (
	// Queued: the request was accepted.
	Queued Kind = "queued"
	// Started: a worker begins with an attempt.
	Started Kind = "started"
	// Failed: an attempt failed and another will be made.
	Failed Kind = "failed"
	// HandedBack: the job went back to the queue without an attempt being counted. All of one attempt share an entry, which
	// tells the first time, the latest time and how often, so that a job that waits for hours stays small.
	HandedBack Kind = "handed-back"
	// Succeeded: routine and record exist.
	Succeeded Kind = "succeeded"
	// DeadLettered: the job was given up.
	DeadLettered Kind = "dead-lettered"
	// Cancelled: somebody called the job off.
	Cancelled Kind = "cancelled"
	// Redriven: the job was taken from the dead letters and queued again.
	Redriven Kind = "redriven"
)

var kinds = []Kind{Queued, Started, Failed, HandedBack, Succeeded, DeadLettered, Cancelled, Redriven}

// Entry is one thing that happened to a job. Two equal entries are one: appending again after an unknown outcome is safe as
// long as At is the same.
type Entry struct {
	Kind Kind `json:"kind"`
	// At is when it happened; the ledger's clock fills in the time when it is zero.
	At time.Time `json:"at"`
	// Until is the latest time of a HandedBack entry that stands for several.
	Until time.Time `json:"until,omitzero"`
	// Redriven is how often the job had been redriven when it happened, for a Redriven entry this one included: entries of
	// a worker that still holds a message from before the redrive are told by it.
	Redriven int `json:"redriven,omitempty"`
	// Attempt counts from 1; 0 where there was none, which Started, Failed, HandedBack and Succeeded refuse.
	Attempt int `json:"attempt,omitempty"`
	// HandedBack is the envelope's count, this one included; required for the kind HandedBack.
	HandedBack int `json:"handedBack,omitempty"`
	// Failure is what went wrong: required for Failed, possible for HandedBack and DeadLettered.
	Failure *routine.Attempt `json:"failure,omitempty"`
	// Reason says why the job was dead-lettered, cancelled or redriven.
	Reason string `json:"reason,omitempty"`
	// By is who cancelled or redrove it.
	By string `json:"by,omitempty"`
	// Result is required for Succeeded.
	Result *routine.Result `json:"result,omitempty"`
	// Late is set by the ledger: the job was past this already and was not changed.
	Late bool `json:"late,omitempty"`
}

// Bounds of what is stored, in bytes; of entries in number. An entry takes less than 5 KiB and a job's row less than 2 MiB,
// within Tablestore's 2 MB for a column and 4 MB for an answer. No request that fits into a message is cut.
const (
	maxID      = 255
	maxWord    = 255
	maxText    = 400
	maxRequest = 64 << 10
	maxEntries = 200
	maxEnds    = 100
)

// prepare checks an entry and returns it in the form it is stored in: times in UTC, texts cut to their bounds.
func (e Entry) prepare(now time.Time) (Entry, error) {
	if problem := e.problem(); problem != "" {
		return e, invalid("InvalidEntry", fmt.Sprintf("entry %q: %s", e.Kind, problem))
	}
	if e.At.IsZero() {
		e.At = now
	}
	e.At, e.Until, e.Late = stored(e.At), time.Time{}, false
	e.Reason, e.By = cut(e.Reason, maxText), cut(e.By, maxWord)
	if e.Failure != nil {
		f := *e.Failure
		f.At, f.Step = stored(f.At), routine.Step(cut(string(f.Step), maxWord))
		f.Kind, f.Code, f.RequestID = cut(f.Kind, maxWord), cut(f.Code, maxWord), cut(f.RequestID, maxWord)
		f.Message, f.Hint = cut(f.Message, maxText), cut(f.Hint, maxText)
		e.Failure = &f
	}
	if e.Result != nil {
		r := *e.Result
		e.Result = &r
	}
	return e, nil
}

func (e Entry) problem() string {
	switch {
	case !slices.Contains(kinds, e.Kind):
		return fmt.Sprintf("want one of %q", kinds)
	case e.Attempt < 0 || e.Redriven < 0 || e.HandedBack < 0:
		return "counts must not be negative"
	case e.Attempt == 0 && slices.Contains([]Kind{Started, Failed, HandedBack, Succeeded}, e.Kind):
		return "the number of the attempt is required"
	case e.Kind == HandedBack && e.HandedBack == 0:
		return "the count of hand-backs is required"
	case e.Kind == Redriven && e.Redriven == 0:
		return "the count of redrives is required"
	case e.Kind == Failed && e.Failure == nil:
		return "the failure is required"
	case e.Kind == Succeeded && e.Result == nil:
		return "the result is required"
	case e.Kind == Queued && e.Redriven > 0:
		return "a redriven job is not queued anew: that is an entry of its own kind"
	case !storable(e.At) || e.Failure != nil && !storable(e.Failure.At):
		return "the time is out of range"
	}
	return ""
}

// origin is the part of a job that entries do not change: who asked for what, and when. What the request hides is not stored.
func origin(job routine.Job) (routine.Job, error) {
	switch {
	case !validID(job.ID):
		return job, invalid("InvalidJobID", fmt.Sprintf("a job's id is a text of 1 to %d bytes, this one has %d", maxID, len(job.ID)))
	case !storable(job.AcceptedAt):
		return job, invalid("InvalidJob", "the time of acceptance is out of range")
	}
	out := routine.Job{
		ID: job.ID, Caller: cut(job.Caller, maxWord), AcceptedAt: stored(job.AcceptedAt), Request: job.Request.Shown(),
	}
	if d := job.Request.Description; d != nil {
		shorter := cut(*d, maxRequest)
		out.Request.Description = &shorter
	}
	return out, nil
}

func validID(id string) bool { return id != "" && len(id) <= maxID && utf8.ValidString(id) }

// storable reports whether JSON and the keys of index rows can hold the time.
func storable(t time.Time) bool { return t.UTC().Year() >= 0 && t.UTC().Year() <= 9999 }

// stored is a time as it comes back from JSON.
func stored(t time.Time) time.Time { return t.UTC().Round(0) }

// cut shortens a text to limit bytes, in whole characters.
func cut(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	const mark = "…"
	end := limit - len(mark)
	for text[end]&0xC0 == 0x80 {
		end--
	}
	return text[:end] + mark
}

func invalid(code, message string) *fault.Error {
	return &fault.Error{Kind: fault.Invalid, Step: "ledger", Code: code, Message: message, Hint: hintCaller}
}
