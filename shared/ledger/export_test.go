package ledger

import (
	"context"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/routine"
)

// FillBatch is how many jobs Fill writes in one call of at most 200 rows.
const FillBatch = 200 / 9

// Fill writes the rows of queued jobs as Claim does, many at a time. It lets benchmarks have a large table soon.
func (l *Ledger) Fill(ctx context.Context, jobs []routine.Job) error {
	batch, rows := new(sdk.BatchWriteRowRequest), 0
	put := func(k key, columns ...sdk.AttributeColumn) {
		change := &sdk.PutRowChange{TableName: l.table.name, PrimaryKey: k.primary(), Columns: columns}
		change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
		batch.AddRowChange(change)
		rows++
	}
	for _, job := range jobs {
		was, err := origin(job)
		if err != nil {
			return err
		}
		r := begin(was, Entry{Kind: Queued, At: was.AcceptedAt})
		put(jobKey(job.ID),
			sdk.AttributeColumn{ColumnName: columnJob, Value: encode(r.head)}, sdk.AttributeColumn{ColumnName: columnSeq, Value: r.seq},
			sdk.AttributeColumn{ColumnName: entryColumn(0), Value: encode(r.entries[0])})
		for _, k := range r.head.indexKeys() {
			put(k, sdk.AttributeColumn{ColumnName: columnID, Value: job.ID})
		}
	}
	return l.table.writeBatch(ctx, batch, rows)
}
