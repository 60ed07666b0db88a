package ledger

import (
	"cmp"
	"context"
	"slices"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/routine"
)

// Fill writes the rows of queued jobs as Claim does, but in fewer calls, and of their index rows only those of the lists that
// the filters choose; without filters all. It lets tests and benchmarks have a large table soon.
func (l *Ledger) Fill(ctx context.Context, jobs []routine.Job, lists ...Filter) error {
	var changes []sdk.RowChange
	for _, job := range jobs {
		was, err := origin(job)
		if err != nil {
			return err
		}
		r := begin(was, Entry{Kind: Queued, At: was.AcceptedAt})
		changes = append(changes, l.table.newRow(r))
		for _, k := range r.head.indexKeys() {
			if len(lists) == 0 || slices.ContainsFunc(lists, func(f Filter) bool { return f.indexedBy() == k.p }) {
				changes = append(changes, l.table.indexPut(k, job.ID))
			}
		}
	}
	for batch := range slices.Chunk(changes, maxWrites) {
		errs, err := l.table.writeBatch(ctx, batch)
		if err := cmp.Or(append(errs, err)...); err != nil {
			return err
		}
	}
	return nil
}
