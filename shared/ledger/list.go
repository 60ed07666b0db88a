package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"routinely/shared/routine"
)

// MaxPage is the largest page of a list.
const MaxPage = 100

// maxScan bounds the index rows that one call of Jobs looks at. It is met only where a filter by two values fits few of the
// many jobs that have one of them.
const maxScan = 1000

// Jobs lists jobs, those accepted latest first, without their Attempts. limit is 1 to MaxPage. cursor is empty for the first
// page, then what the page before returned as next; next is empty after the last job. A page can hold fewer jobs than limit,
// even none, and not be the last.
//
// A job that is there all the time is listed exactly once over all pages, whatever is written meanwhile, unless a filter by
// state is given and its state changes. Invalid faults have the codes InvalidFilter, InvalidLimit and InvalidCursor.
func (l *Ledger) Jobs(ctx context.Context, f Filter, limit int, cursor string) (jobs []routine.Job, next string, err error) {
	if err := f.check(); err != nil {
		return nil, "", err
	}
	if limit < 1 || limit > MaxPage {
		return nil, "", invalid("InvalidLimit", fmt.Sprintf("limit %d: want 1 to %d", limit, MaxPage))
	}
	from, err := l.openCursor(f, cursor)
	if err != nil {
		return nil, "", err
	}
	jobs = []routine.Job{}
	for scanned, step := 0, limit; scanned < maxScan; step = min(2*step, MaxPage) {
		rows, following, err := l.table.scan(ctx, f.indexedBy(), from, step)
		if err != nil {
			return nil, "", err
		}
		scanned += len(rows)
		found, err := l.table.heads(ctx, rows)
		if err != nil {
			return nil, "", err
		}
		for _, row := range rows {
			if len(jobs) == limit {
				return jobs, l.cursor(f, row.s), nil
			}
			if h := found[row.id]; h != nil && h.listed(row.key) && f.fits(h) {
				jobs = append(jobs, h.Job)
			}
		}
		if from = following; from == "" {
			return jobs, "", nil
		}
		if len(jobs) == limit {
			break
		}
	}
	return jobs, l.cursor(f, from), nil
}

// A cursor is where the next page begins in the index that the filter chooses, after a sum over it, the filter and the
// table. The sum finds out mistakes; it is no secret and needs none, since a cursor only ever points into the list that the
// caller asks for anyway.
const cursorSum = 12

func (l *Ledger) cursor(f Filter, from string) string {
	return base64.RawURLEncoding.EncodeToString(append(l.sum(f, from), from...))
}

func (l *Ledger) openCursor(f Filter, cursor string) (from string, err error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	// Decoding passes over line ends and unused bits, so the text is compared and not what it means.
	if err != nil || len(raw) <= cursorSum || cursor != l.cursor(f, string(raw[cursorSum:])) {
		return "", invalid("InvalidCursor", "the cursor is not one that a list with this very filter returned")
	}
	return string(raw[cursorSum:]), nil
}

func (l *Ledger) sum(f Filter, from string) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "cursor 1\n%q %q %q %q %q %q", l.table.name, f.State, f.Name, f.RecordName, f.Caller, from))
	return sum[:cursorSum]
}
