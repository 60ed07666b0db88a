package ledger

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/fault"
)

// stateRow is a row of the table of state.
type stateRow struct {
	key
	// found tells whether the row exists.
	found bool
	// mark is what it holds; write is the token of its latest write, and seq counts its writes.
	mark, write string
	seq         int64
	// listed is set once the index row that it needs was put, of a row that was written here.
	listed bool
}

func newStateRow(k key, columns []*sdk.AttributeColumn) stateRow {
	row := stateRow{key: k, found: len(columns) > 0}
	for _, column := range columns {
		text, _ := column.Value.(string)
		switch column.ColumnName {
		case columnMark:
			row.mark = text
		case columnWrite:
			row.write = text
		case columnSeq:
			row.seq, _ = column.Value.(int64)
		}
	}
	return row
}

// decode reads what the row holds, as JSON. A row that does not exist leaves into as it is.
func (r stateRow) decode(into any) error {
	if !r.found {
		return nil
	}
	if r.seq < 1 {
		return r.unreadable(fmt.Errorf("column %s is required", columnSeq))
	}
	if err := json.Unmarshal([]byte(r.mark), into); err != nil {
		return r.unreadable(fmt.Errorf("column %s: %w", columnMark, err))
	}
	return nil
}

func (r stateRow) unreadable(err error) error {
	failure := unreadable(r.p+" "+r.s, err)
	failure.Step = "ledger"
	return failure
}

// Mark returns where the janitor left off with a task; empty if it never began.
func (l *Ledger) Mark(ctx context.Context, task string) (mark string, err error) {
	row, err := l.readState(ctx, key{partitionMarks, task})
	return row.mark, err
}

// SetMark keeps where the janitor left off with a task.
func (l *Ledger) SetMark(ctx context.Context, task, mark string) error {
	change := &sdk.PutRowChange{TableName: l.state.name, PrimaryKey: key{partitionMarks, task}.primary()}
	change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
	change.AddColumn(columnMark, mark)
	if err := l.state.writeOne(ctx, change); err != nil {
		return fault.From(err)
	}
	return nil
}

// readState reads one row of the table of state.
func (l *Ledger) readState(ctx context.Context, k key) (row stateRow, err error) {
	err = l.state.call(ctx, "GetRow", func(c *sdk.TableStoreClient) error {
		res, err := c.GetRow(&sdk.GetRowRequest{SingleRowQueryCriteria: &sdk.SingleRowQueryCriteria{
			TableName: l.state.name, PrimaryKey: k.primary(), MaxVersion: 1,
		}})
		if err == nil {
			row = newStateRow(k, res.Columns)
		}
		return err
	})
	return row, err
}

// readStates reads rows of the table of state, in few calls. A key may be there twice.
func (l *Ledger) readStates(ctx context.Context, keys []key) (map[key]stateRow, error) {
	rows := make(map[key]stateRow, len(keys))
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(cmp.Compare(a.p, b.p), cmp.Compare(a.s, b.s)) })
	for chunk := range slices.Chunk(slices.Compact(keys), maxReads) {
		errs, err := l.state.get(ctx, chunk, nil, func(i int, columns []*sdk.AttributeColumn) error {
			rows[chunk[i]] = newStateRow(chunk[i], columns)
			return nil
		})
		if err = cmp.Or(append(errs, err)...); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// stateChange is what a row of the table of state is to hold next, and the index row that it needs and may not have yet, if there is one.
type stateChange struct {
	mark  string
	index *entry
	// indexFirst puts the index row in a call before that of the row. Otherwise both go in one call, which the service does not carry out as a whole:
	// after a crash the row may be there without its index row.
	indexFirst bool
}

// stateWork is one row of the table of state on its way to be written.
type stateWork struct {
	// row is the row as it was last read or written.
	row    stateRow
	change func(stateRow) (stateChange, error)
	what   stateChange
	next   stateRow
	// err is what became of the latest write, and in the end of all.
	err  error
	done bool
}

func (w *stateWork) end(err error) { w.done, w.err = true, err }

// errSame is what a change returns that leaves the row as it is: nothing is written.
var errSame = errors.New("nothing is changed")

// begin makes the row as it is to be next, unless the change refuses.
func (w *stateWork) begin() {
	what, err := w.change(w.row)
	switch {
	case errors.Is(err, errSame):
		w.end(nil)
		return
	case err != nil:
		w.end(err)
		return
	}
	w.what = what
	w.next = stateRow{key: w.row.key, found: true, mark: what.mark, write: rand.Text(), seq: w.row.seq + 1, listed: w.row.listed || what.index != nil}
	if what.index != nil {
		what.index.write = w.next.write
	}
}

// written ends the work: the row is there, and so is its index row.
func (w *stateWork) written() {
	w.row = w.next
	w.end(nil)
}

// changeState is changeStates for one row. It returns the row as it was last read or written.
func (l *Ledger) changeState(ctx context.Context, row stateRow, change func(stateRow) (stateChange, error)) (stateRow, error) {
	w := &stateWork{row: row, change: change}
	l.changeStates(ctx, []*stateWork{w})
	return w.row, w.err
}

// changeStates lets the change of each row look at the row as it was read, and writes what it returns, on condition that nobody else wrote the row
// meanwhile; otherwise it reads the row and begins again. An error of a change ends the work of its row, with nothing written. The rows are written
// in few calls, in which each can fail alone. After a call that failed as a whole only its outcome is asked for.
func (l *Ledger) changeStates(ctx context.Context, works []*stateWork) {
	for range maxTries {
		if works = undone(works); len(works) == 0 {
			return
		}
		for _, w := range works {
			w.begin()
		}
		l.putStates(ctx, undone(works))
		l.settleStates(ctx, undone(works))
	}
	for _, w := range undone(works) {
		w.end(&fault.Error{
			Kind: fault.Unavailable, Step: "ledger", Code: CodeChanged, Hint: "Try again.",
			Message: fmt.Sprintf("row %q was changed by others %d times in a row", w.row.p+" "+w.row.s, maxTries),
		})
	}
}

func undone(works []*stateWork) []*stateWork {
	return slices.DeleteFunc(slices.Clone(works), func(w *stateWork) bool { return w.done })
}

// putStates writes rows on condition that they are as they were, with the index rows that they need.
func (l *Ledger) putStates(ctx context.Context, works []*stateWork) {
	for _, w := range works {
		if !w.what.indexFirst {
			continue
		}
		if err := l.state.writeOne(ctx, l.state.indexPut(*w.what.index)); err != nil {
			failAll(works, err)
			return
		}
	}
	var down error
	size := func(w *stateWork) int { return len(w.next.mark) + 1024 }
	for pack := range packs(works, maxWrites/2, maxRequestBytes, size) { // each may need an index row
		if down == nil {
			down = l.putPack(ctx, pack)
			continue
		}
		for _, w := range pack {
			w.end(down)
		}
	}
}

func failAll(works []*stateWork, err error) {
	for _, w := range works {
		w.err = err
	}
}

// putPack is putStates for the rows of one call. It returns the fault of a call that failed as a whole.
func (l *Ledger) putPack(ctx context.Context, works []*stateWork) error {
	var changes []sdk.RowChange
	for _, w := range works {
		if w.together() {
			changes = append(changes, l.state.indexPut(*w.what.index))
		}
		changes = append(changes, l.state.statePut(w.row, w.next))
	}
	errs, err := l.state.write(ctx, changes)
	if err != nil {
		failAll(works, err)
		return err
	}
	for _, w := range works {
		var unlisted error
		if w.together() {
			unlisted, errs = errs[0], errs[1:]
		}
		w.err, errs = errs[0], errs[1:]
		switch {
		case w.err == nil && unlisted != nil:
			l.list(ctx, w)
		case w.err == nil:
			w.written()
		}
	}
	return nil
}

// together reports whether the row and its index row are put in one call.
func (w *stateWork) together() bool { return w.what.index != nil && !w.what.indexFirst }

// list puts the index row of a row that was written, since it is not known to be there. If that fails the row is there and may not be listed.
func (l *Ledger) list(ctx context.Context, w *stateWork) {
	w.written()
	for range maxTries {
		if w.err = l.state.writeOne(ctx, l.state.indexPut(*w.what.index)); !lost(w.err) { // else another writer puts the same one right now
			break
		}
	}
	if w.err != nil {
		w.row.listed, w.err = false, outcomeUnknown(w.err)
	}
}

// settleStates finds out what became of the rows that are not known to be written. Those that another writer has changed are not done.
func (l *Ledger) settleStates(ctx context.Context, works []*stateWork) {
	var doubtful []*stateWork
	var keys []key
	for _, w := range works {
		if !inDoubt(w.err) {
			w.end(w.err)
			continue
		}
		doubtful, keys = append(doubtful, w), append(keys, w.row.key)
	}
	rows, err := l.readStates(ctx, keys)
	for _, w := range doubtful {
		now := rows[w.row.key]
		switch {
		case err != nil && lost(w.err):
			w.end(outcomeUnknown(err))
		case err != nil: // the fault of the write says that its outcome is unknown
			w.end(w.err)
		case now.write == w.next.write && w.together():
			l.list(ctx, w)
		case now.write == w.next.write:
			w.written()
		case !lost(w.err) && now.seq == w.row.seq:
			w.end(w.err)
		default:
			w.row, w.err = now, nil
		}
	}
}

// statePut is the put of a row of the table of state on condition that it is as it was.
func (t *table) statePut(was, next stateRow) sdk.RowChange {
	change := t.put(next.key, was.seq)
	change.AddColumn(columnMark, next.mark)
	change.AddColumn(columnWrite, next.write)
	change.AddColumn(columnSeq, next.seq)
	return change
}
