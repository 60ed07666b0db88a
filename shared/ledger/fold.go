package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"routinely/shared/routine"
)

// Fold tells what a sequence of entries makes of a job, and what is kept of them as history. It is the rule that Append
// applies entry by entry, without the table around it; of job only ID, Caller, AcceptedAt and Request are read.
//
//   - Succeeded and Cancelled are final. DeadLettered changes only by a redrive: by the Redriven entry, or by any entry
//     that knows of a later redrive, whose Redriven entry must then have been lost (a gap).
//   - An entry from before a redrive changes nothing after it.
//   - Between two redrives the first end counts, whatever attempt it belongs to: a job that ended never looks unfinished.
//   - Attempts only grow: Started, Failed and HandedBack of an earlier attempt change nothing.
//   - Cancelled counts only while no worker has begun.
//
// What changes nothing is kept, marked late, unless it is known already.
func Fold(job routine.Job, entries ...Entry) (routine.Job, []Entry, error) {
	was, err := origin(job)
	if err != nil {
		return routine.Job{}, nil, err
	}
	var r record
	for _, e := range entries {
		if e, err = e.prepare(was.AcceptedAt); err != nil {
			return routine.Job{}, nil, err
		}
		if r.seq == 0 {
			r = begin(was, e)
			continue
		}
		r, _ = r.fold(e)
	}
	return r.job(), r.history(), nil
}

// record is a job's row.
type record struct {
	head head
	// seq counts the writes of the row; 0 is a row that does not exist.
	seq int64
	// entries are what is kept, by the number of their column.
	entries map[int]Entry
}

// head is the column job: what the entries folded into. Its Attempts are empty, being in the entries.
type head struct {
	routine.Job
	// Columns is how many entries were ever given a column.
	Columns int `json:"columns"`
	// Body is a hash of the request as it was asked for.
	Body string `json:"body"`
	// Claim tells who put the row, for a put whose answer was lost.
	Claim string `json:"claim,omitempty"`
}

// bodyHash is the same for requests that mean the same: it is made of the request after decoding.
func bodyHash(r routine.Request) string {
	sum := sha256.Sum256([]byte(encode(r)))
	return hex.EncodeToString(sum[:])
}

// encode writes our own types, which hold texts, numbers and times in range: nothing that JSON cannot.
func encode(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// change says what folding an entry did to a record.
type change struct {
	// none: the record has the entry already, there is nothing to write.
	none bool
	// column is the number of the entry's column; -1 if the entry found no room.
	column int
	// late: the entry did not change the job.
	late bool
}

// begin is a record that starts with the entry.
func begin(job routine.Job, e Entry) record {
	job.State, job.Attempt, job.UpdatedAt, job.Gap = routine.Queued, 1, e.At, e.Kind != Queued
	r := record{head: head{Job: job}, seq: 1, entries: map[int]Entry{}}
	if e.Kind != Queued {
		e.Late = r.judge(e) != applies
		if !e.Late {
			r.head.apply(e)
		}
	}
	r.keep(e)
	return r
}

// fold returns the record after the entry.
func (r record) fold(e Entry) (record, change) {
	if known, late := r.knows(e); known {
		return r, change{none: true, late: late}
	}
	next := record{head: r.head, seq: r.seq + 1, entries: maps.Clone(r.entries)}
	switch r.judge(e) {
	case isKnown:
		return r, change{none: true}
	case isLate:
		e.Late = true
		if r.tellsNothing(e) {
			return r, change{none: true, late: true}
		}
	case applies:
		next.head.apply(e)
	}
	column := next.keep(e)
	full := column < 0 && next.head.Gap == r.head.Gap && e.Late
	return next, change{none: full, column: column, late: e.Late}
}

// verdict is what an entry may do to a job.
type verdict int

const (
	applies verdict = iota
	isKnown
	isLate
)

// judge applies the rules of Fold.
func (r record) judge(e Entry) verdict {
	h := r.head
	switch {
	case h.State == routine.Succeeded, h.State == routine.Cancelled, e.Redriven < h.Redriven, e.Kind == Queued:
		return isLate
	case e.Kind == Cancelled:
		if h.State == routine.DeadLettered || e.Redriven != h.Redriven || h.begun() {
			return isLate
		}
		return applies
	case e.Redriven > h.Redriven:
		return applies
	case h.State == routine.DeadLettered, e.Kind == Redriven:
		return isLate
	}
	return r.judgeAttempt(e)
}

// judgeAttempt judges what a worker says of a job that is queued, in the present round.
func (r record) judgeAttempt(e Entry) verdict {
	switch e.Kind {
	case Succeeded, DeadLettered:
		return applies
	case Started:
		if _, found := r.find(func(o Entry) bool { return sameAttempt(o, e) && !o.Late }); found {
			return isKnown
		}
	case HandedBack:
		shared, found := r.find(func(o Entry) bool { return sameAttempt(o, e) && !o.Late })
		if found && e.HandedBack <= r.entries[shared].HandedBack {
			return isKnown
		}
	case Failed, Queued, Cancelled, Redriven:
	}
	if e.Attempt < r.head.Attempt {
		return isLate
	}
	return applies
}

// begun reports whether a worker has had the job since it was accepted or redriven.
func (h *head) begun() bool { return !h.StartedAt.IsZero() || h.Attempt > 1 || h.HandedBack > 0 }

// apply changes the job as the entry says. It has been judged.
func (h *head) apply(e Entry) {
	if e.Redriven > h.Redriven {
		h.reopen(e)
	}
	if e.At.After(h.UpdatedAt) {
		h.UpdatedAt = e.At
	}
	if e.Attempt > h.Attempt {
		h.Gap, h.Attempt = true, e.Attempt
	}
	if h.StartedAt.IsZero() && slices.Contains([]Kind{Started, Failed, HandedBack, Succeeded}, e.Kind) {
		h.StartedAt = e.At
	}
	h.blame(e.Failure)
	switch e.Kind {
	case Failed:
		h.Attempt = e.Attempt + 1
	case HandedBack:
		h.HandedBack = max(h.HandedBack, e.HandedBack)
	case Succeeded:
		h.State, h.Ready, h.Result = routine.Succeeded, true, e.Result
		h.Kind, h.Code, h.Hint, h.Reason = "", "", "", ""
	case DeadLettered:
		h.State, h.Reason = routine.DeadLettered, e.Reason
	case Cancelled:
		h.State, h.Reason = routine.Cancelled, e.Reason
	case Queued, Started, Redriven:
	}
}

// reopen begins the round after a redrive.
func (h *head) reopen(e Entry) {
	if h.State != routine.DeadLettered || e.Kind != Redriven || e.Redriven != h.Redriven+1 {
		h.Gap = true
	}
	h.State, h.Redriven, h.Attempt, h.HandedBack = routine.Queued, e.Redriven, 1, 0
	h.StartedAt = time.Time{}
	h.Kind, h.Code, h.Hint, h.Reason = "", "", "", e.Reason
}

func (h *head) blame(failure *routine.Attempt) {
	if failure != nil {
		h.Kind, h.Code, h.Hint = failure.Kind, failure.Code, failure.Hint
	}
}

// keep gives the entry a column, or adds it to the one it shares, and returns the column's number. A record that is full
// keeps no more, and says so by its gap; ends and redrives have room of their own.
func (r *record) keep(e Entry) (column int) {
	if e.Kind == HandedBack && !e.Late {
		if shared, found := r.find(func(o Entry) bool { return sameAttempt(o, e) && !o.Late }); found {
			e.At, e.Until = r.entries[shared].At, e.At
			r.entries[shared] = e
			return shared
		}
	}
	room := maxEntries
	if !e.Late && slices.Contains([]Kind{Succeeded, DeadLettered, Cancelled, Redriven}, e.Kind) {
		room += maxEnds
	}
	if r.head.Columns >= room {
		r.head.Gap = true
		return -1
	}
	column = r.head.Columns
	r.head.Columns++
	r.entries[column] = e
	return column
}

// knows reports whether the very entry is kept, and whether as late.
func (r record) knows(e Entry) (found, late bool) {
	column, found := r.find(func(o Entry) bool {
		o.Late = false
		return equal(o, e)
	})
	return found, found && r.entries[column].Late
}

// tellsNothing reports whether a late entry adds nothing to what is kept: of a worker that keeps coming back with an attempt
// that is over, one start and one return are enough.
func (r record) tellsNothing(e Entry) bool {
	if e.Kind != Started && e.Kind != HandedBack {
		return false
	}
	_, found := r.find(func(o Entry) bool { return sameAttempt(o, e) })
	return found
}

func (r record) find(fits func(Entry) bool) (column int, found bool) {
	for column, e := range r.entries {
		if fits(e) {
			return column, true
		}
	}
	return 0, false
}

func sameAttempt(a, b Entry) bool {
	return a.Kind == b.Kind && a.Redriven == b.Redriven && a.Attempt == b.Attempt
}

func equal(a, b Entry) bool { return a.Kind == b.Kind && a.At.Equal(b.At) && encode(a) == encode(b) }

// history is what is kept, oldest first.
func (r record) history() []Entry {
	out := make([]Entry, 0, len(r.entries))
	for _, column := range slices.Sorted(maps.Keys(r.entries)) {
		out = append(out, r.entries[column])
	}
	return out
}

// job is the whole job, with the attempts that failed.
func (r record) job() routine.Job {
	out := r.head.Job
	for _, e := range r.history() {
		if !e.Late && e.Failure != nil && (e.Kind == Failed || e.Kind == DeadLettered) {
			out.Attempts = append(out.Attempts, *e.Failure)
		}
	}
	return out
}
