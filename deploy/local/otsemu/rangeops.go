package otsemu

import (
	"bytes"
	"math"
	"time"

	"go.etcd.io/bbolt"
)

// A page of GetRange ends after this many rows or bytes were scanned, whether or not they passed the filter.
const (
	maxPageRows  = 5000
	maxPageBytes = 4 << 20
)

// Directions of a GetRange.
const (
	forward  = 0
	backward = 1
)

// rangeRead is a GetRange.
type rangeRead struct {
	name       string
	begin, end []cell
	backward   bool
	limit      int64
	wanted     *selection
}

func (s *Server) getRange(m *message) ([]byte, error) {
	g, err := readRange(m)
	if err != nil {
		return nil, err
	}
	var out []byte
	err = s.store.view(func(t tx) error {
		d, err := t.table(g.name)
		if err != nil {
			return err
		}
		if err := g.check(d); err != nil {
			return err
		}
		p := &page{}
		if err := p.read(t.rows(d).Cursor(), g, d, s.now()); err != nil {
			return err
		}
		out = p.answer()
		return nil
	})
	return out, err
}

func readRange(m *message) (*rangeRead, error) {
	m.require(2, 7, 8)
	name, err := tableName(m)
	if err != nil {
		return nil, err
	}
	g := &rangeRead{name: name, backward: m.number(2, 0) == backward, limit: m.number(6, math.MaxInt64)}
	switch direction := m.number(2, 0); {
	case direction != forward && direction != backward:
		return nil, invalid("Invalid direction: %d.", direction)
	case g.limit <= 0:
		return nil, invalid("The limit must be greater than 0.")
	case m.has(14):
		return nil, unsupported("A local transaction")
	case !m.flag(16, true):
		return nil, unsupported("A part of the primary key")
	}
	g.wanted, err = readSelection(m, selectionFields{
		columns: 3, timeRange: 4, maxVersions: 5, filter: 10, startColumn: 11, endColumn: 12, token: 13,
	})
	if err != nil {
		return nil, err
	}
	if g.begin, err = readKey(m.bytes(7)); err != nil {
		return nil, err
	}
	g.end, err = readKey(m.bytes(8))
	return g, err
}

func (g *rangeRead) check(d *table) error {
	for _, key := range [][]cell{g.begin, g.end} {
		if err := d.checkKey(key, true); err != nil {
			return err
		}
	}
	switch order := bytes.Compare(encodeKey(g.begin), encodeKey(g.end)); {
	case !g.backward && order >= 0:
		return invalid("Begin key must less than end key in FORWARD")
	case g.backward && order <= 0:
		return invalid("Begin key must more than end key in BACKWARD")
	}
	return nil
}

// page gathers the answer to a GetRange.
type page struct {
	rows []row
	// next is where the next page begins; nil when there is none.
	next          []cell
	scanned, size int
}

// read scans until the range or the page ends.
func (p *page) read(cursor *bbolt.Cursor, g *rangeRead, d *table, now time.Time) error {
	walk := &walk{cursor: cursor, backward: g.backward, end: encodeKey(g.end)}
	for raw := walk.first(encodeKey(g.begin)); raw != nil; raw = walk.next() {
		r, err := decodeStored(raw)
		if err != nil {
			return err
		}
		if p.full(g.limit) {
			p.next = r.key
			return nil
		}
		p.add(r, g, d, now)
	}
	return nil
}

func (p *page) full(limit int64) bool {
	return int64(len(p.rows)) >= limit || p.scanned >= maxPageRows || p.size >= maxPageBytes
}

func (p *page) add(r storedRow, g *rangeRead, d *table, now time.Time) {
	p.scanned++
	if !r.alive(d, now) {
		return
	}
	picked, found := g.wanted.pick(d, r.row)
	p.size += picked.size()
	if found {
		p.rows = append(p.rows, picked)
	}
}

func (p *page) answer() []byte {
	out := appendBytes(nil, 1, consumed(units(p.size), 0))
	out = appendBytes(out, 2, encodeRows(p.rows...))
	if p.next != nil {
		out = appendBytes(out, 3, encodeRows(row{key: p.next}))
	}
	// The rows are a PlainBuffer and not compressed, which the service says although nothing else can be asked for.
	return appendNumber(appendNumber(out, 5, 0), 6, 0)
}

// walk goes through the rows of a range, from the first key inclusive to the end exclusive, either way.
type walk struct {
	cursor   *bbolt.Cursor
	backward bool
	end      []byte
}

// first is the row at begin, or the one that comes next in the walk's direction; nil when the range is empty.
func (w *walk) first(begin []byte) []byte {
	key, raw := w.cursor.Seek(begin)
	if !w.backward || bytes.Equal(key, begin) {
		return w.within(key, raw)
	}
	if key == nil {
		return w.within(w.cursor.Last())
	}
	return w.within(w.cursor.Prev())
}

func (w *walk) next() []byte {
	if w.backward {
		return w.within(w.cursor.Prev())
	}
	return w.within(w.cursor.Next())
}

func (w *walk) within(key, raw []byte) []byte {
	order := bytes.Compare(key, w.end)
	if key == nil || !w.backward && order >= 0 || w.backward && order <= 0 {
		return nil
	}
	return raw
}
