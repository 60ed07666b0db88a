package ledger

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"routinely/shared/fault"
)

// Created is what became of a row that was to be created.
type Created struct {
	// Row is the job as it is now: the new one, or the one that was there before.
	Row Row
	// Existed tells that the job was there before.
	Existed bool
	// Err is a *fault.Error if the job could not be recorded with all its index rows. If its outcome is unknown, the job may be there all
	// the same, and may be carried out.
	Err error
}

// Create records new jobs, as they come from NewRow or Unreadable, unless a job of the id is there: then that job is the answer. Each job's
// row and index rows go in one call, and a job is created only once each of them is confirmed. Of rows with the same id the first is
// created, and the others find it existing. Of several writers at once exactly one creates a job.
//
// After a call that failed as Unavailable only its outcome is asked for: a ledger that is down costs two time limits at most.
func (l *Ledger) Create(ctx context.Context, rows ...Row) []Created {
	c := &creating{Ledger: l, out: make([]Created, len(rows))}
	pending := c.pending(rows)
	most := 1
	for _, n := range pending {
		most = max(most, 1+len(n.entries))
	}
	for range maxTries {
		for pack := range packs(pending, maxWrites/most, maxRequestBytes, func(n *newRow) int { return n.row.size() }) {
			c.put(ctx, pack)
		}
		pending = slices.DeleteFunc(pending, func(n *newRow) bool { return n.done })
	}
	for _, n := range pending {
		c.finish(n, Created{Err: changed(n.row.ID)})
	}
	return c.out
}

// creating is one Create on its way.
type creating struct {
	*Ledger
	out []Created
	// down is the fault after which no call is made.
	down error
}

// newRow is one id to be created.
type newRow struct {
	row *Row
	// entries are the row's index rows.
	entries []entry
	// at is where the rows of the id stand.
	at   []int
	done bool
	// err is what became of the latest put, if it did not create the job or did not say so.
	err error
}

// pending are the ids to be created, each once.
func (c *creating) pending(rows []Row) []*newRow {
	var out []*newRow
	byID := make(map[string]*newRow, len(rows))
	for i, row := range rows {
		switch n := byID[row.ID]; {
		case !validID(row.ID):
			c.out[i].Err = invalid("InvalidJobID", "a job's id is a text of 1 to 255 bytes")
		case !storable(row.AcceptedAt):
			c.out[i].Err = invalid("InvalidJob", "the time of acceptance is out of range")
		case n != nil:
			n.at = append(n.at, i)
		default:
			row.seq, row.Write, row.ListedAt = 1, rand.Text(), stored(c.cfg.Now())
			byID[row.ID] = &newRow{row: &row, entries: row.entries(), at: []int{i}}
			out = append(out, byID[row.ID])
		}
	}
	return out
}

func (c *creating) finish(n *newRow, what Created) {
	n.done = true
	for i, at := range n.at {
		c.out[at] = what
		if i > 0 && what.Err == nil {
			c.out[at].Existed = true
		}
	}
}

// put writes the rows of a pack with their index rows, and finds out about those that existed and those without an answer.
func (c *creating) put(ctx context.Context, pack []*newRow) {
	if c.down != nil {
		for _, n := range pack {
			c.finish(n, Created{Err: c.down})
		}
		return
	}
	var changes []sdk.RowChange
	for _, n := range pack {
		changes = append(changes, c.jobs.rowChange(&Row{}, n.row))
		changes = append(changes, c.puts(n.entries)...)
	}
	errs, err := c.jobs.write(ctx, changes)
	if err != nil && !fault.From(err).OutcomeUnknown {
		c.down = err
	}
	var unclear []*newRow
	for _, n := range pack {
		var listed []error
		if n.err = err; err == nil {
			n.err, listed, errs = errs[0], errs[1:1+len(n.entries)], errs[1+len(n.entries):]
		}
		switch {
		case n.err == nil:
			c.confirm(ctx, n, Created{Row: *n.row}, missing(n.entries, listed))
		case lost(n.err) || fault.From(n.err).OutcomeUnknown:
			unclear = append(unclear, n)
		default:
			c.finish(n, Created{Err: n.err})
		}
	}
	c.lookUp(ctx, unclear)
}

func (c *creating) puts(entries []entry) []sdk.RowChange {
	puts := make([]sdk.RowChange, 0, len(entries))
	for _, e := range entries {
		puts = append(puts, c.jobs.indexPut(e))
	}
	return puts
}

// missing are the index rows that were not confirmed.
func missing(entries []entry, errs []error) []entry {
	var out []entry
	for i, e := range entries {
		if errs[i] != nil {
			out = append(out, e)
		}
	}
	return out
}

// confirm puts those index rows of a job again that are not known to exist. If that fails, the job itself exists all the same.
func (c *creating) confirm(ctx context.Context, n *newRow, made Created, unconfirmed []entry) {
	if len(unconfirmed) > 0 {
		errs, err := c.jobs.write(ctx, c.puts(unconfirmed))
		if err = cmp.Or(append(errs, err)...); err != nil {
			made = Created{Err: outcomeUnknown(err)}
		}
	}
	c.finish(n, made)
}

// lookUp reads the rows that existed before, or whose put had no answer.
func (c *creating) lookUp(ctx context.Context, unclear []*newRow) {
	for chunk := range slices.Chunk(unclear, wholeRows) {
		ids := make([]string, 0, len(chunk))
		for _, n := range chunk {
			ids = append(ids, n.row.ID)
		}
		var rows []outcome
		if c.down == nil {
			rows, c.down = c.jobs.read(ctx, ids, nil)
		}
		for i, n := range chunk {
			switch {
			case c.down != nil && lost(n.err):
				c.finish(n, Created{Err: outcomeUnknown(c.down)})
			case c.down != nil: // the fault of the put says that its outcome is unknown
				c.finish(n, Created{Err: n.err})
			case rows[i].err != nil:
				c.finish(n, Created{Err: rows[i].err})
			default:
				c.settle(ctx, n, rows[i].row)
			}
		}
	}
}

// settle tells by the row what became of a put. A row that nobody has written since it was created may lack index rows: whoever created it may
// have ended before all were confirmed.
func (c *creating) settle(ctx context.Context, n *newRow, found *Row) {
	switch {
	case found == nil && lost(n.err): // forgotten, or somebody's put failed, between the two calls: it is put again
	case found == nil:
		c.finish(n, Created{Err: n.err})
	case found.Write == n.row.Write:
		c.confirm(ctx, n, Created{Row: *n.row}, n.entries)
	case found.seq == 1:
		c.confirm(ctx, n, Created{Row: *found, Existed: true}, found.entries())
	default:
		c.finish(n, Created{Row: *found, Existed: true})
	}
}
