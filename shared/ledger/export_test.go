package ledger

import (
	"cmp"
	"context"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/routine"
)

// FillBatch is how many jobs Fill writes in one call of at most 200 rows.
const FillBatch = maxWrites / (1 + maxIndexRows)

// Fill writes the rows of queued jobs as Claim does, many at a time. It lets benchmarks have a large table soon.
func (l *Ledger) Fill(ctx context.Context, jobs []routine.Job) error {
	var changes []sdk.RowChange
	for _, job := range jobs {
		was, err := origin(job)
		if err != nil {
			return err
		}
		r := begin(was, Entry{Kind: Queued, At: was.AcceptedAt})
		changes = append(changes, l.table.newRow(r))
		for _, k := range r.head.indexKeys() {
			changes = append(changes, l.table.indexPut(k, job.ID))
		}
	}
	errs, err := l.table.writeBatch(ctx, changes)
	return cmp.Or(append(errs, err)...)
}
