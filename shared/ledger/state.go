package ledger

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
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

// stateChange is what a row of the table of state is to hold next, and the index row that has to be there before, if there is one.
type stateChange struct {
	mark  string
	index *entry
}

// changeState lets change look at a row as it was read, and writes what it returns, on condition that nobody else wrote the row meanwhile;
// otherwise it reads the row and begins again. An error of change ends it, with nothing written. It returns the row as it was last read or
// written.
func (l *Ledger) changeState(ctx context.Context, row stateRow, change func(stateRow) (stateChange, error)) (stateRow, error) {
	for range maxTries {
		what, err := change(row)
		if err != nil {
			return row, err
		}
		next := stateRow{key: row.key, found: true, mark: what.mark, write: rand.Text(), seq: row.seq + 1}
		if err = l.putState(ctx, row, next, what.index); err == nil {
			return next, nil
		}
		if !inDoubt(err) {
			return row, err
		}
		now, readErr := l.readState(ctx, row.key)
		switch {
		case readErr != nil && lost(err):
			return row, outcomeUnknown(readErr)
		case readErr != nil: // the fault of the write says that its outcome is unknown
			return row, err
		case now.write == next.write:
			return next, nil
		case !lost(err) && now.seq == row.seq:
			return row, err
		}
		row = now
	}
	return row, &fault.Error{
		Kind: fault.Unavailable, Step: "ledger", Code: CodeChanged, Hint: "Try again.",
		Message: fmt.Sprintf("row %q was changed by others %d times in a row", row.p+" "+row.s, maxTries),
	}
}

// putState writes a row of the table of state on condition that it is as it was, after the index row that it needs.
func (l *Ledger) putState(ctx context.Context, was, next stateRow, index *entry) error {
	if index != nil {
		index.write = next.write
		if err := l.state.writeOne(ctx, l.state.indexPut(*index)); err != nil {
			return err
		}
	}
	change := l.state.put(next.key, was.seq)
	change.AddColumn(columnMark, next.mark)
	change.AddColumn(columnWrite, next.write)
	change.AddColumn(columnSeq, next.seq)
	return l.state.writeOne(ctx, change)
}
