package ledger

import (
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

// maxTries bounds how often a change begins anew because another writer was faster. A job has few writers with little to say.
const maxTries = 20

// Changed is what became of the change of one job.
type Changed struct {
	// Row is the job as it is now, if it could be read.
	Row Row
	// Err is a *fault.Error, or what the change itself returned.
	Err error
}

// Change reads a job, lets change alter it, and writes it, on condition that nobody else wrote it meanwhile: then all begins anew. An error of
// change ends it, with nothing written. A job that is not recorded is a fault of kind NotFound with CodeUnknownJob.
func (l *Ledger) Change(ctx context.Context, id string, change func(*Row) error) (Row, error) {
	done := l.ChangeAll(ctx, []string{id}, change)[0]
	return done.Row, done.Err
}

// ChangeAll is Change for many jobs, in few calls, and answers in their order. A job that is named twice is changed once. After a call that failed
// as Unavailable only the outcome of that call is asked for: a ledger that is down costs two time limits.
func (l *Ledger) ChangeAll(ctx context.Context, ids []string, change func(*Row) error) []Changed {
	out := make(map[string]Changed, len(ids))
	var unique []string
	for _, id := range ids {
		if _, twice := out[id]; twice {
			continue
		}
		if out[id] = (Changed{Err: UnknownJob(cut(id, maxWord))}); validID(id) {
			unique = append(unique, id)
		}
	}
	var down error
	for chunk := range slices.Chunk(unique, wholeRows) {
		done := make([]Changed, len(chunk))
		if down == nil {
			down = l.changeChunk(ctx, chunk, done, change)
		}
		for i, id := range chunk {
			if out[id] = done[i]; down != nil && done[i].Err == nil && done[i].Row.seq == 0 {
				out[id] = Changed{Err: down}
			}
		}
	}
	inOrder := make([]Changed, 0, len(ids))
	for _, id := range ids {
		inOrder = append(inOrder, out[id])
	}
	return inOrder
}

// changeChunk changes jobs whose rows fit into one answer. It returns the error after which no call is to be made.
func (l *Ledger) changeChunk(ctx context.Context, ids []string, done []Changed, change func(*Row) error) error {
	open := make([]int, len(ids))
	for i := range open {
		open[i] = i
	}
	for range maxTries {
		works, err := l.prepare(ctx, ids, open, done, change)
		if err != nil {
			for _, at := range open {
				done[at].Err = err
			}
			return err
		}
		down := l.write(ctx, works)
		open = open[:0]
		for _, w := range works {
			done[w.at] = Changed{*w.next, w.err}
			if w.err != nil {
				done[w.at].Row = *w.was
			}
			if fault.HasCode(w.err, CodeChanged) {
				open = append(open, w.at)
			}
		}
		if len(open) == 0 || down != nil {
			return down
		}
	}
	return nil
}

// prepare reads the rows of the open ones and changes them in memory.
func (l *Ledger) prepare(ctx context.Context, ids []string, open []int, done []Changed, change func(*Row) error) ([]*work, error) {
	wanted := make([]string, 0, len(open))
	for _, at := range open {
		wanted = append(wanted, ids[at])
	}
	rows, err := l.jobs.read(ctx, wanted, nil)
	if err != nil {
		return nil, err
	}
	var works []*work
	for i, at := range open {
		switch row := rows[i].row; {
		case rows[i].err != nil:
			done[at] = Changed{Err: rows[i].err}
		case row == nil:
			done[at] = Changed{Err: UnknownJob(ids[at])}
		default:
			w := l.work(at, row)
			if err := change(w.next); err != nil {
				done[at] = Changed{*row, err}
				continue
			}
			works = append(works, w)
		}
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
	out := make([]Changed, len(rows))
	works := make([]*work, 0, len(rows))
	for i := range rows {
		if rows[i].partial {
			out[i] = Changed{rows[i], partialRow(rows[i].ID)}
			continue
		}
		w := l.work(i, &rows[i])
		if out[i] = (Changed{rows[i], change(w.next)}); out[i].Err == nil {
			works = append(works, w)
		}
	}
	l.write(ctx, works)
	for _, w := range works {
		if out[w.at].Err = w.err; w.err == nil {
			out[w.at].Row = *w.next
		}
	}
	return out
}

// work is one row on its way from what it was to what it is to be.
type work struct {
	at        int
	was, next *Row
	err       error
	// listAgain means that all index rows are put, and not only those that the row did not have.
	listAgain bool
	// unknown means that a write may have taken effect without saying so.
	unknown bool
}

// listAgain is how old index rows may be, compared with their job's row, before all are put again. They live as long as the row, but for this
// time.
const listAgain = 24 * time.Hour

// work prepares the next state of a row. Changes replace slices and pointers and never write through them.
func (l *Ledger) work(at int, was *Row) *work {
	next, now := *was, stored(l.cfg.Now())
	next.seq, next.Write = was.seq+1, rand.Text()
	w := &work{at: at, was: was, next: &next}
	if w.listAgain = now.Sub(was.ListedAt) > listAgain; w.listAgain {
		next.ListedAt = now
	}
	return w
}

// write writes rows in the order that the package's comment describes: index rows, then the rows themselves. It returns the fault after which
// nothing more was tried.
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
	for _, w := range works {
		if w.err == nil {
			l.stale.add(left(w.was, w.next))
		}
	}
	return down
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
		w.unknown = w.err != nil && fault.From(w.err).OutcomeUnknown
	}
}

// settle finds out what became of writes without an answer, and of those whose condition failed: of two that the transport sent for one, it is
// the first that fails the condition of the second. It returns the fault of the read, after which nothing more is to be tried and each of
// these stays in doubt.
func (l *Ledger) settle(ctx context.Context, works []*work) (down error) {
	doubtful := slices.DeleteFunc(slices.Clone(works), func(w *work) bool { return !w.unknown && !lost(w.err) })
	for chunk := range slices.Chunk(doubtful, listedRows) {
		rows, err := l.jobs.read(ctx, idsOf(chunk), listColumns)
		if err != nil {
			fail(slices.DeleteFunc(doubtful, func(w *work) bool { return !lost(w.err) }), err)
			return err
		}
		for i, w := range chunk {
			switch row := rows[i].row; {
			case row != nil && row.Write == w.next.Write:
				w.err = nil
			case lost(w.err), row != nil && row.seq != w.was.seq:
				w.err = changed(w.next.ID)
			}
		}
	}
	return nil
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
	if w.listAgain || w.was.Redriven != w.next.Redriven {
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
func partialRow(id string) *fault.Error {
	return &fault.Error{
		Kind: fault.Internal, Step: "ledger", Code: "PartialRow", Message: fmt.Sprintf("job %q was read without its history", id), Hint: hintOurs,
	}
}

func changed(id string) *fault.Error {
	return &fault.Error{
		Kind: fault.Conflict, Step: "ledger", Code: CodeChanged, Message: fmt.Sprintf("job %q was written by somebody else meanwhile", id),
		Hint: "Read the job again.",
	}
}
