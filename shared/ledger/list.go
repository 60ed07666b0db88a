package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// MaxPage is the largest page of a list.
const MaxPage = 100

// maxPageBytes bounds what the rows of a page take as they are stored. A page of longer ones is short and has a cursor.
const maxPageBytes = 1 << 20

// maxCalls bounds the calls of a page. Where a filter by several values fits few of the many rows that have one of them, the page is short
// and has a cursor.
const maxCalls = 5

// Filter says which jobs to list: those that have all of the given values, exactly. The zero Filter is all jobs.
type Filter struct {
	State routine.State
	// Name is the routine's name.
	Name string
	// RecordName is the host name, as it is stored: lower case, ASCII, no trailing dot.
	RecordName string
	Caller     string
	// CallbackFailed chooses jobs whose callback was given up.
	CallbackFailed bool
}

// partition chooses the index with the fewest jobs to look at: few share a record name, many a caller.
func (f Filter) partition() string {
	switch {
	case f.CallbackFailed:
		return partitionFailed
	case f.RecordName != "":
		return partition(familyRecord, anyState, f.RecordName)
	case f.Name != "":
		return partition(familyName, anyState, f.Name)
	case f.Caller != "":
		return partition(familyCaller, anyState, f.Caller)
	case f.State != "":
		return partition(familyAll, string(f.State), "")
	}
	return partition(familyAll, anyState, "")
}

func (f Filter) fits(r *Row) bool {
	return (f.State == "" || f.State == r.State) && (f.Name == "" || f.Name == r.Request.Name) &&
		(f.RecordName == "" || slices.Contains(r.Request.RecordNames(), f.RecordName)) && (f.Caller == "" || f.Caller == r.Caller)
}

func (f Filter) check() *fault.Error {
	if f.State != "" && !slices.Contains(routine.States(), f.State) {
		return invalid("InvalidFilter", fmt.Sprintf("state %q: want one of %q", f.State, routine.States()))
	}
	return checkWords(map[string]string{"name": f.Name, "recordName": f.RecordName, "caller": f.Caller})
}

func checkWords(words map[string]string) *fault.Error {
	for name, text := range words {
		if cut(text, maxWord) != text {
			return invalid("InvalidFilter", fmt.Sprintf("%s: want a text of at most %d bytes", name, maxWord))
		}
	}
	return nil
}

// Jobs lists jobs, those accepted latest first, without what routine.Job says lists do not have. limit is 1 to MaxPage. cursor is empty for
// the first page, then what the page before returned as next; next is empty after the last job. A page can hold fewer jobs than limit, even
// none, and not be the last: no page but one of a single job takes more than a MiB.
//
// A job that exists all the time is listed exactly once over all pages, whatever is written meanwhile, unless a filter by state is given
// and its state changes. Invalid faults have the codes InvalidFilter, InvalidLimit and InvalidCursor.
func (l *Ledger) Jobs(ctx context.Context, f Filter, limit int, cursor string) (jobs []routine.Job, next string, err error) {
	if err := f.check(); err != nil {
		return nil, "", err
	}
	rows, next, err := l.page(ctx, query{
		name: encode(f), span: span{partition: f.partition()}, fits: f.fits,
	}, limit, cursor)
	if err != nil {
		return nil, "", err
	}
	jobs = make([]routine.Job, 0, len(rows))
	for _, r := range rows {
		jobs = append(jobs, r.Shown())
	}
	return jobs, next, nil
}

// query is a list: the part of an index that it is read from, and which of its entries and rows belong to it.
type query struct {
	// name tells the lists apart that a cursor could be used for.
	name string
	span span
	// holds looks at the index row alone; nil takes all.
	holds func(entry) bool
	// fits looks at the job's row.
	fits func(*Row) bool
}

// held are the rows of a page so far.
type held struct {
	rows  []*Row
	bytes int
}

// add adds a row, unless the page would then be longer than maxPageBytes. The first row always has room.
func (h *held) add(r *Row) bool {
	if h.bytes += r.listed; h.bytes > maxPageBytes && len(h.rows) > 0 {
		return false
	}
	h.rows = append(h.rows, r)
	return true
}

// page reads one page of a list. An index row counts only if the job's row, read after it, would give it exactly that key.
func (l *Ledger) page(ctx context.Context, q query, limit int, cursor string) (rows []*Row, next string, err error) {
	if limit < 1 || limit > MaxPage {
		return nil, "", invalidLimit(limit)
	}
	if cursor != "" {
		if q.span.from, err = l.openCursor(q, cursor); err != nil {
			return nil, "", err
		}
	}
	var h held
	step := limit
	for calls := 0; calls+1+callsFor(limit-len(h.rows)) <= maxCalls; {
		entries, following, err := l.jobs.scan(ctx, q.span, step)
		if err != nil {
			return nil, "", err
		}
		wanted, rest := q.choose(entries, limit-len(h.rows))
		found, err := l.readListed(ctx, wanted, listColumns, listedRows)
		if err != nil {
			return nil, "", err
		}
		calls += 1 + callsFor(len(wanted))
		full := false
		for _, e := range wanted {
			if r := found[e.id]; r != nil && r.lists(e.key) && q.fits(r) && !h.add(r) {
				rest, full = e.s, true
				break
			}
		}
		if q.span.from = following; rest != "" {
			q.span.from = rest
		}
		if q.span.from == "" || len(h.rows) == limit || full {
			break
		}
		if q.holds != nil {
			step = maxScan // what fits is rare here, and the index rows tell
		}
	}
	if q.span.from == "" {
		return h.rows, "", nil
	}
	return h.rows, l.cursor(q, q.span.from), nil
}

func invalidLimit(limit int) *fault.Error {
	return invalid("InvalidLimit", fmt.Sprintf("limit %d: want 1 to %d", limit, MaxPage))
}

// maxScan is how many index rows one call looks at once it is known that few of them fit.
const maxScan = 1000

func callsFor(rows int) int { return (rows + listedRows - 1) / listedRows }

// choose returns the entries that hold, at most limit, and where the next page begins if there were more.
func (q query) choose(entries []entry, limit int) (wanted []entry, rest string) {
	for _, e := range entries {
		if q.holds != nil && !q.holds(e) {
			continue
		}
		if len(wanted) == limit {
			return wanted, e.s
		}
		wanted = append(wanted, e)
	}
	return wanted, ""
}

// readListed reads the given columns, or all if none is given, of the jobs that index rows point to, so many in a call; those that do not
// exist are left out.
func (l *Ledger) readListed(ctx context.Context, entries []entry, columns []string, size int) (map[string]*Row, error) {
	ids := make([]string, 0, len(entries))
	for _, e := range entries {
		ids = append(ids, e.id)
	}
	return l.readJobs(ctx, distinct(ids), columns, size)
}

func (l *Ledger) readJobs(ctx context.Context, ids, columns []string, size int) (map[string]*Row, error) {
	out := make(map[string]*Row, len(ids))
	for chunk := range slices.Chunk(ids, size) {
		rows, err := l.jobs.read(ctx, chunk, columns)
		if err != nil {
			return nil, err
		}
		for i, row := range rows {
			if row.err != nil {
				return nil, row.err
			}
			if row.row != nil {
				out[chunk[i]] = row.row
			}
		}
	}
	return out, nil
}

// A cursor is where the next page begins in the index that the filter chooses, after a sum over it, the list and the table. The sum finds
// out mistakes; it is no secret and needs none, since a cursor only ever points into the list that the caller asks for anyway.
const cursorSum = 12

func (l *Ledger) cursor(q query, from string) string {
	return base64.RawURLEncoding.EncodeToString(append(l.sum(q, from), from...))
}

func (l *Ledger) openCursor(q query, cursor string) (from string, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	// Decoding passes over line ends and unused bits, so the text is compared and not what it means.
	if err != nil || len(raw) <= cursorSum || cursor != l.cursor(q, string(raw[cursorSum:])) {
		return "", invalid("InvalidCursor", "the cursor is not one that a list with this very filter returned")
	}
	return string(raw[cursorSum:]), nil
}

func (l *Ledger) sum(q query, from string) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "cursor 2\n%q %q %q %q", l.jobs.name, q.span.partition, q.name, from))
	return sum[:cursorSum]
}
