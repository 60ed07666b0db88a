package ledger

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Record is what an entry made of a job.
type Record struct {
	// Job is the job after the entry.
	Job routine.Job
	// Late means that the job was past the entry and is unchanged.
	Late bool
	// Untidy is not nil if index rows that no longer count, of this job or of others, should have been deleted and could not
	// be. The entry is recorded and lists are right all the same; it is for the log.
	Untidy error
}

// maxTries bounds how often a write begins anew because another writer was faster. Each time one of the others got through,
// and a job has few writers with little to say.
const maxTries = 40

// Append records an entry of the job. Of job the ID is read, and Caller, AcceptedAt and Request if the ledger does not know
// the job; without AcceptedAt, and for a cancellation, an unknown job is a fault with the code UnknownJob. An entry that
// comes too late is no error, see Record.Late. Append may be repeated after any fault, with the same Entry.At.
func (l *Ledger) Append(ctx context.Context, job routine.Job, e Entry) (Record, error) {
	was, err := origin(job)
	if err != nil {
		return Record{}, err
	}
	now := l.cfg.Now()
	if e, err = e.prepare(now); err != nil {
		return Record{}, err
	}
	w := &writing{Ledger: l, now: now}
	r, recalled := l.memory.take(was.ID, now)
	for range maxTries {
		if !recalled {
			if r, err = l.table.read(ctx, was.ID); err != nil {
				return Record{}, err
			}
		}
		if r.seq == 0 && (e.Kind == Cancelled || job.AcceptedAt.IsZero()) {
			return Record{}, unknownJob(was.ID)
		}
		next, did := r.with(was, bodyHash(job.Request), e)
		// Only the table can say that an entry is late or known: what is recalled may be over.
		stale := recalled && (did.none || did.late)
		recalled = false
		if stale {
			continue
		}
		if err = w.write(ctx, r, next, did); err == nil {
			return w.done(ctx, next, did, e), nil
		} else if !lost(err) {
			return Record{}, err
		}
	}
	return Record{}, contended(was.ID)
}

// with folds the entry into the record, or begins one with it.
func (r record) with(was routine.Job, body string, e Entry) (record, change) {
	if r.seq > 0 {
		return r.fold(e)
	}
	next := begin(was, e)
	next.head.Body = body
	return next, change{}
}

// writing is one Append on its way.
type writing struct {
	*Ledger
	now time.Time
	// touched are the index rows of the states that the job was in or nearly was.
	touched []key
	// untidy is why some that were over could not be deleted.
	untidy error
}

// write makes the record in the table what it is to be next, in the order the package's comment describes.
func (w *writing) write(ctx context.Context, was, next record, did change) error {
	if did.none {
		return nil
	}
	var old []key
	if was.seq > 0 {
		old = was.head.indexKeys()
	}
	// A change of state changes half of the keys; the others are put again so that they live as long.
	if keys := next.head.indexKeys(); len(without(keys, old)) > 0 {
		w.touched = append(w.touched, append(old, keys...)...)
		if err := w.putIndex(ctx, next.head.ID, keys); err != nil {
			return err
		}
	}
	if was.seq == 0 {
		return w.table.create(ctx, next)
	}
	return w.table.update(ctx, was.seq, next, did.column)
}

// putIndex puts the job's index rows and deletes those that earlier changes left.
func (w *writing) putIndex(ctx context.Context, id string, keys []key) error {
	over := w.over.take()
	untidy, err := w.table.writeIndex(ctx, id, keys, without(over, keys))
	if err != nil {
		w.over.restore(over)
		return err
	}
	w.untidy = cmp.Or(w.untidy, untidy)
	return nil
}

// done tidies up, remembers the row for the worker that goes on with the job, and tells what the entry made of it.
func (w *writing) done(ctx context.Context, now record, did change, e Entry) Record {
	w.tidy(ctx, now)
	// A job that was redriven goes to a worker elsewhere, and one that ended to nobody.
	if !did.none && e.Kind != Redriven && !now.head.State.Final() {
		w.memory.keep(now, w.now)
	}
	return Record{Job: now.job(), Late: did.late, Untidy: w.untidy}
}

// tidy deletes the index rows that were touched and do not belong to the job, or leaves them to the next change. None of them
// can ever come to count: states that were left or missed are over, since the number of redrives is part of their keys.
func (w *writing) tidy(ctx context.Context, now record) {
	stale := without(w.touched, now.head.indexKeys())
	if len(stale) == 0 {
		return
	}
	if atOnce := w.over.leave(stale, w.now); len(atOnce) > 0 {
		untidy, err := w.table.writeIndex(ctx, now.head.ID, nil, atOnce)
		w.untidy = cmp.Or(w.untidy, untidy, err)
	}
}

// contended is a write that others were always faster than.
func contended(id string) error {
	return &fault.Error{
		Kind: fault.Unavailable, Step: "ledger", Code: "Contended",
		Message: fmt.Sprintf("job %q was written by others %d times in a row", id, maxTries), Hint: hintUnavailable,
	}
}
