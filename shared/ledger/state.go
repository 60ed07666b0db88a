package ledger

import (
	"context"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/fault"
)

// Mark returns where the janitor left off with a task; empty if it never began.
func (l *Ledger) Mark(ctx context.Context, task string) (mark string, err error) {
	err = l.readState(ctx, key{partitionMarks, task}, func(text string, _ int64) error {
		mark = text
		return nil
	})
	return mark, err
}

// SetMark keeps where the janitor left off with a task.
func (l *Ledger) SetMark(ctx context.Context, task, mark string) error {
	change := &sdk.PutRowChange{PrimaryKey: key{partitionMarks, task}.primary()}
	change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
	change.AddColumn(columnMark, mark)
	if err := l.writeState(ctx, change); err != nil {
		return fault.From(err)
	}
	return nil
}

// readState hands a row of the table of state to read: its text and the number of its writes, "" and 0 if there is none.
func (l *Ledger) readState(ctx context.Context, k key, read func(text string, seq int64) error) error {
	return l.state.call(ctx, "GetRow", func(c *sdk.TableStoreClient) error {
		res, err := c.GetRow(&sdk.GetRowRequest{SingleRowQueryCriteria: &sdk.SingleRowQueryCriteria{
			TableName: l.state.name, PrimaryKey: k.primary(), MaxVersion: 1,
		}})
		if err != nil {
			return err
		}
		var text string
		var seq int64
		for _, column := range res.Columns {
			switch value := column.Value.(type) {
			case int64:
				seq = value
			case string:
				text = value
			}
		}
		return read(text, seq)
	})
}

// writeState writes a row of the table of state.
func (l *Ledger) writeState(ctx context.Context, change *sdk.PutRowChange) error {
	change.TableName = l.state.name
	errs, err := l.state.write(ctx, []sdk.RowChange{change})
	if err == nil {
		err = errs[0]
	}
	return err
}
