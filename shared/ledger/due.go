package ledger

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/fault"
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
	for _, e := range entries {
		r := found[e.id]
		switch {
		case r != nil && r.lists(e.key):
			rows = append(rows, *r)
		case l.cfg.Now().Sub(e.at) > settleTime:
			l.stale.add([]entry{e})
		}
	}
	return rows, next, nil
}

// settleTime is how long an index row that does not count is left alone after it was put: whoever put it may be about to write the job's row.
// It is many times the time limit of a call.
const settleTime = time.Minute

// stale are index rows that do not count any more and are still to be deleted. Its zero value has none.
type stale struct {
	mu      sync.Mutex
	entries map[key]entry
}

// maxStale bounds the memory; what is beyond it stays as dead weight until its time to live ends.
const maxStale = 2000

// add remembers index rows, each once: the service refuses a batch that deletes one twice.
func (s *stale) add(entries []entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries == nil {
		s.entries = map[key]entry{}
	}
	for _, e := range entries {
		if _, known := s.entries[e.key]; known || len(s.entries) < maxStale {
			s.entries[e.key] = e
		}
	}
}

func (s *stale) take() []entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := slices.Collect(maps.Values(s.entries))
	s.entries = nil
	return taken
}

// Tidy deletes the index rows that the writes so far have left behind. They do no harm: lists pass over them. Call it when the work at hand
// is done. What could not be deleted is tried again the next time, and the error tells of it.
func (l *Ledger) Tidy(ctx context.Context) error {
	entries := l.stale.take()
	for len(entries) > 0 {
		chunk := entries[:min(maxWrites, len(entries))]
		changes := make([]sdk.RowChange, 0, len(chunk))
		for _, e := range chunk {
			changes = append(changes, l.jobs.indexDelete(e))
		}
		errs, err := l.jobs.write(ctx, changes)
		if err != nil {
			l.stale.add(entries)
			return err
		}
		entries = entries[len(chunk):]
		for i, e := range chunk {
			if errs[i] != nil && !fault.HasCode(errs[i], codeConditionFailed) { // by that code it was put again: it may count
				l.stale.add(append([]entry{e}, entries...))
				return errs[i]
			}
		}
	}
	return nil
}
