package ledger

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"slices"
	"time"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/fault"
)

// Limits of one call by the service's limits page: rows of a BatchGetRow and of a BatchWriteRow. A request may have 4 MB; a quarter of it
// bounds the memory, since the SDK copies what it sends several times. An answer may have 4 MB too, which wholeRows rows never fill.
const (
	maxReads        = 100
	maxWrites       = 200
	maxRequestBytes = 1 << 20
	wholeRows       = 16
	listedRows      = 50
)

// maxTries bounds how often a change starts again because another writer was faster. A job has few writers with little to say.
const maxTries = 20

// Changed is what became of the change of one job.
type Changed struct {
	// Row is the job as it is now, if it could be read.
	Row Row
	// Err is a *fault.Error, or what the change itself returned.
	Err error
}

// Change reads a job, lets change alter it, and writes it, on condition that nobody else wrote it meanwhile; otherwise it starts again. An error of
// change ends it, with nothing written. A job that is not recorded is a fault of kind NotFound with CodeUnknownJob.
func (l *Ledger) Change(ctx context.Context, id string, change func(*Row) error) (Row, error) {
	done := l.ChangeAll(ctx, []string{id}, change)[0]
	return done.Row, done.Err
}

// ChangeAll is Change for many jobs, in few calls, and answers in their order. A job that is named twice is changed once. After a call that failed
// as Unavailable only the outcome of that call is asked for: a ledger that is down costs two time limits.
func (l *Ledger) ChangeAll(ctx context.Context, ids []string, change func(*Row) error) []Changed {
	done := make(map[string]Changed, len(ids))
	var down error
	for chunk := range slices.Chunk(distinct(ids), wholeRows) {
		if down == nil {
			down = l.changeChunk(ctx, chunk, change, done)
			continue
		}
		for _, id := range chunk {
			done[id] = Changed{Err: down}
		}
	}
	out := make([]Changed, len(ids))
	for i, id := range ids {
		var possible bool
		if out[i], possible = done[id]; !possible {
			out[i].Err = UnknownJob(cut(id, maxWord))
		}
	}
	return out
}

// changeChunk changes jobs whose rows fit into one answer. It returns the fault after which no call is to be made.
func (l *Ledger) changeChunk(ctx context.Context, ids []string, change func(*Row) error, done map[string]Changed) (down error) {
	for range maxTries {
		works, err := l.prepare(ctx, ids, change, done)
		if err != nil {
			for _, id := range ids {
				done[id] = Changed{Err: err}
			}
			return err
		}
		down = l.write(ctx, works)
		ids = nil
		for _, w := range works {
			done[w.was.ID] = w.outcome()
			if fault.HasCode(w.err, CodeChanged) {
				ids = append(ids, w.was.ID)
			}
		}
		if len(ids) == 0 || down != nil {
			return down
		}
	}
	return nil
}

// prepare reads rows and changes them in memory. Those that are not to be written are done.
func (l *Ledger) prepare(ctx context.Context, ids []string, change func(*Row) error, done map[string]Changed) ([]*work, error) {
	rows, err := l.jobs.read(ctx, ids, nil)
	if err != nil {
		return nil, err
	}
	var works []*work
	for i, id := range ids {
		row := rows[i].row
		if row == nil {
			done[id] = Changed{Err: cmp.Or(rows[i].err, UnknownJob(id))}
			continue
		}
		w := l.work(row)
		if w.err = change(w.next); w.err != nil {
			done[id] = w.outcome()
			continue
		}
		works = append(works, w)
	}
	return works, nil
}

// Update writes a row that was read or written before, as change alters it, unless somebody else has written it meanwhile: that is a fault of
// kind Conflict with CodeChanged. Update may be repeated with the same row after any other fault.
func (l *Ledger) Update(ctx context.Context, row Row, change func(*Row)) (Row, error) {
	done := l.UpdateAll(ctx, []Row{row}, func(r *Row) error {
		change(r)
		return nil
	})[0]
	return done.Row, done.Err
}

// UpdateAll is Update for many rows, each of another job, in few calls, and answers in their order. A row for which change returns an error
// is not written, and neither is one from DeadLetters, which is not whole. What is said of a ledger that is down for ChangeAll holds here.
func (l *Ledger) UpdateAll(ctx context.Context, rows []Row, change func(*Row) error) []Changed {
	works := make([]*work, len(rows))
	for i := range rows {
		w := l.work(&rows[i])
		if w.err = partialRow(&rows[i]); w.err == nil {
			w.err = change(w.next)
		}
		works[i] = w
	}
	_ = l.write(ctx, unfailed(works)) // each of the works has its error
	out := make([]Changed, len(rows))
	for i, w := range works {
		out[i] = w.outcome()
	}
	return out
}

// work is one row on its way from what it was to its new content.
type work struct {
	was, next *Row
	err       error
	// all means that all index rows are put, and not only those that the row did not have.
	all bool
}

// renewAfter is how old index rows may be, compared with their job's row, before all are put again. They live as long as the row, but for this
// time.
const renewAfter = 24 * time.Hour

// work prepares the next state of a row. Changes replace slices and pointers and never write through them.
func (l *Ledger) work(was *Row) *work {
	next, now := *was, stored(l.cfg.Now())
	next.seq, next.Write = was.seq+1, rand.Text()
	w := &work{was: was, next: &next}
	if w.all = now.Sub(was.ListedAt) > renewAfter; w.all {
		next.ListedAt = now
	}
	return w
}

// outcome is the row as it is next, or as it was if it was not written.
func (w *work) outcome() Changed {
	if w.err != nil {
		return Changed{*w.was, w.err}
	}
	return Changed{Row: *w.next}
}

// inDoubt reports whether the row may have been written although the write failed. One whose condition failed is in doubt too: if the transport
// sent the write twice and the first took effect, the second failed its condition.
func (w *work) inDoubt() bool { return inDoubt(w.err) }

func inDoubt(err error) bool { return err != nil && (lost(err) || fault.From(err).OutcomeUnknown) }

// write writes rows in the order that the package's comment describes: index rows, then the rows themselves; then it deletes the index rows
// that were left. It returns the fault after which nothing more was tried.
func (l *Ledger) write(ctx context.Context, works []*work) (down error) {
	down = l.putEntries(ctx, works)
	for pack := range packs(unfailed(works), maxWrites, maxRequestBytes, func(w *work) int { return w.next.size() }) {
		if down != nil {
			fail(pack, down)
			continue
		}
		l.putRows(ctx, pack)
		down = l.settle(ctx, pack)
	}
	if down != nil {
		return down
	}
	var over []entry
	for _, w := range unfailed(works) {
		over = append(over, left(w.was, w.next)...)
	}
	l.jobs.deleteEntries(ctx, over)
	return nil
}

func fail(works []*work, err error) {
	for _, w := range works {
		w.err = err
	}
}

func (l *Ledger) putRows(ctx context.Context, works []*work) {
	changes := make([]sdk.RowChange, 0, len(works))
	for _, w := range works {
		changes = append(changes, l.jobs.rowChange(w.was, w.next))
	}
	errs, err := l.jobs.write(ctx, changes)
	for i, w := range works {
		if w.err = err; err == nil {
			w.err = errs[i]
		}
	}
}

// settle finds out what became of the rows in doubt. It returns the fault of the read, after which nothing more is to be tried and each of
// these stays in doubt.
func (l *Ledger) settle(ctx context.Context, works []*work) (down error) {
	doubtful := slices.DeleteFunc(slices.Clone(works), func(w *work) bool { return !w.inDoubt() })
	for chunk := range slices.Chunk(doubtful, listedRows) {
		var rows []outcome
		if down == nil {
			rows, down = l.jobs.read(ctx, idsOf(chunk), listColumns)
		}
		for i, w := range chunk {
			switch {
			case down != nil && lost(w.err):
				w.err = outcomeUnknown(down)
			case down != nil: // the fault of the write says that its outcome is unknown
			case rows[i].row != nil && rows[i].row.Write == w.next.Write:
				w.err = nil
			case lost(w.err), rows[i].row != nil && rows[i].row.seq != w.was.seq:
				w.err = changed(w.next.ID)
			}
		}
	}
	return down
}

// outcomeUnknown is a fault of a read that was to find out what became of a write.
func outcomeUnknown(err error) *fault.Error {
	unknown := *fault.From(err)
	unknown.OutcomeUnknown = true
	return &unknown
}

// putEntries puts the index rows that the works need and do not have yet. It returns the fault after which nothing more was tried.
func (l *Ledger) putEntries(ctx context.Context, works []*work) (down error) {
	var puts []sdk.RowChange
	var owners []*work
	for _, w := range works {
		for _, e := range w.entries() {
			puts, owners = append(puts, l.jobs.indexPut(e)), append(owners, w)
		}
	}
	for start := 0; start < len(puts); start += maxWrites {
		end := min(start+maxWrites, len(puts))
		errs, err := l.jobs.write(ctx, puts[start:end])
		if err != nil {
			fail(owners[start:], err)
			return err
		}
		for i, w := range owners[start:end] {
			switch {
			case lost(errs[i]): // another writer puts the same index row right now
				w.err = changed(w.next.ID)
			case errs[i] != nil:
				w.err = errs[i]
			}
		}
	}
	return nil
}

// entries are the index rows to put before the row.
func (w *work) entries() []entry {
	if w.all || w.was.Redriven != w.next.Redriven {
		return w.next.entries()
	}
	return without(w.next.entries(), w.was.entries())
}

func unfailed(works []*work) []*work {
	return slices.DeleteFunc(slices.Clone(works), func(w *work) bool { return w.err != nil })
}

func idsOf(works []*work) []string {
	ids := make([]string, 0, len(works))
	for _, w := range works {
		ids = append(ids, w.next.ID)
	}
	return ids
}

// size is about how many bytes the row takes in a request.
func (r *Row) size() int {
	return len(encode(*r)) + len(encode(extra{r.Attempts, r.Redrives, r.Problems, r.Received})) + 1024
}

// packs cuts a list into pieces of at most so many items and, unless an item alone has more, so much weight.
func packs[T any](items []T, count, room int, weigh func(T) int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		first, weight := 0, 0
		for i, item := range items {
			w := weigh(item)
			if i > first && (i-first == count || weight+w > room) {
				if !yield(items[first:i]) {
					return
				}
				first, weight = i, 0
			}
			weight += w
		}
		if first < len(items) {
			yield(items[first:])
		}
	}
}

// partialRow refuses to write a row that would erase what was not read of it.
func partialRow(r *Row) error {
	if !r.partial {
		return nil
	}
	return &fault.Error{
		Kind: fault.Internal, Step: "ledger", Code: "PartialRow", Message: fmt.Sprintf("job %q was read without its history", r.ID), Hint: hintOurs,
	}
}

func changed(id string) *fault.Error {
	return &fault.Error{
		Kind: fault.Conflict, Step: "ledger", Code: CodeChanged, Message: fmt.Sprintf("job %q was written by somebody else meanwhile", id),
		Hint: "Read the job again.",
	}
}
