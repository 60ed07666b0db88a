package ledger

import (
	"context"
	"time"

	"routinely/shared/routine"
)

// Due lists jobs of which something is to be sent by now, those that are due longest first, at most limit (1 to MaxPage). Index rows that do
// not count any more are deleted on the way. more tells that there may be others.
func (l *Ledger) Due(ctx context.Context, now time.Time, limit int) (rows []Row, more bool, err error) {
	found, next, err := l.sweep(ctx, span{partition: partitionDue, to: sortable(now) + "~", forward: true}, limit)
	return found, next != "", err
}

// Unfinished lists queued jobs that were accepted before a time, the oldest first, at most limit (1 to MaxPage). from is empty, or the next of
// the call before; next is empty at the end.
func (l *Ledger) Unfinished(ctx context.Context, before time.Time, from string, limit int) (rows []Row, next string, err error) {
	return l.sweep(ctx, span{
		partition: partition(familyAll, string(routine.Queued), ""), from: from, to: sortable(before), forward: true,
	}, limit)
}

// DeadBefore lists dead letters that died from one time on and before another, the oldest first. Limits and cursors are as for Unfinished.
func (l *Ledger) DeadBefore(ctx context.Context, since, before time.Time, from string, limit int) (rows []Row, next string, err error) {
	if from == "" {
		from = sortable(since)
	}
	return l.sweep(ctx, span{partition: deadPartition(familyAll, ""), from: from, to: sortable(before), forward: true}, limit)
}

// sweep reads a part of an index and deletes the index rows in it that do not count, unless they were put a moment ago for a row that is
// about to be written. Its rows are whole, since they are changed: a write replaces what lists do not show too.
func (l *Ledger) sweep(ctx context.Context, s span, limit int) (rows []Row, next string, err error) {
	if limit < 1 || limit > MaxPage {
		return nil, "", invalidLimit(limit)
	}
	entries, next, err := l.jobs.scan(ctx, s, limit)
	if err != nil {
		return nil, "", err
	}
	found, err := l.readListed(ctx, entries, nil, wholeRows)
	if err != nil {
		return nil, "", err
	}
	var over []entry
	for _, e := range entries {
		switch r := found[e.id]; {
		case r != nil && r.lists(e.key):
			rows = append(rows, *r)
		case l.cfg.Now().Sub(e.at) > settleTime:
			over = append(over, e)
		}
	}
	l.jobs.deleteEntries(ctx, over)
	return rows, next, nil
}

// settleTime is how long an index row that does not count is left alone after it was put: its writer may be about to write the job's row.
// It is many times the time limit of a call.
const settleTime = time.Minute
