package ledger

import (
	"context"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/fault"
)

// Mark returns where the janitor left off with a task; empty if it never began.
func (l *Ledger) Mark(ctx context.Context, task string) (mark string, err error) {
	err = l.state.call(ctx, "GetRow", func(c *sdk.TableStoreClient) error {
		res, err := c.GetRow(&sdk.GetRowRequest{SingleRowQueryCriteria: &sdk.SingleRowQueryCriteria{
			TableName: l.state.name, PrimaryKey: key{partitionMarks, task}.primary(), MaxVersion: 1,
		}})
		if err != nil {
			return err
		}
		for _, column := range res.Columns {
			mark, _ = column.Value.(string)
		}
		return nil
	})
	return mark, err
}

// SetMark keeps where the janitor left off with a task.
func (l *Ledger) SetMark(ctx context.Context, task, mark string) error {
	change := &sdk.PutRowChange{TableName: l.state.name, PrimaryKey: key{partitionMarks, task}.primary()}
	change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
	change.AddColumn(columnMark, mark)
	errs, err := l.state.write(ctx, []sdk.RowChange{change})
	if err == nil {
		err = errs[0]
	}
	if err != nil {
		return fault.From(err)
	}
	return nil
}
