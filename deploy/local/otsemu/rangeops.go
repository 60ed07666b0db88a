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
		p, err := g.scan(t, s.now())
		out = p.answer()
		return err
	})
	return out, err
}

func readRange(m *message) (*rangeRead, error) {
	m.require(2, 7, 8)
	name, err := tableName(m)
	if err != nil {
		return nil, err
	}
	direction := m.number(2, 0)
	g := &rangeRead{name: name, backward: direction == backward, limit: m.number(6, math.MaxInt64)}
	switch {
	case direction != forward && direction != backward:
		return nil, invalid("Invalid direction: %d.", direction)
	case g.limit <= 0:
		return nil, invalid("The limit must be greater than 0.")
	case m.has(14):
		return nil, unsupported("A local transaction")
	case m.number(16, 1) == 0:
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

// page gathers the answer to a GetRange.
type page struct {
	rows []row
	// next is where the next page begins; nil when there is none.
	next          []cell
	scanned, size int
}

// scan reads from the begin inclusive to the end exclusive, until the page is full.
func (g *rangeRead) scan(t tx, now time.Time) (p page, err error) {
	d, err := t.table(g.name)
	if err != nil {
		return p, err
	}
	for _, key := range [][]cell{g.begin, g.end} {
		if err := d.checkKey(key, true); err != nil {
			return p, err
		}
	}
	begin, end := encodeKey(g.begin), encodeKey(g.end)
	order := -1 // how keys of the range compare with its end
	if g.backward {
		order = 1
	}
	switch {
	case bytes.Compare(begin, end) == order:
	case g.backward:
		return p, invalid("Begin key must more than end key in BACKWARD")
	default:
		return p, invalid("Begin key must less than end key in FORWARD")
	}
	key, raw, next := g.first(t.rows(d).Cursor(), begin)
	for ; key != nil && bytes.Compare(key, end) == order; key, raw = next() {
		r, written, err := decodeStored(raw)
		if err != nil {
			return p, err
		}
		if int64(len(p.rows)) >= g.limit || p.scanned >= maxPageRows || p.size >= maxPageBytes {
			p.next = r.key
			return p, nil
		}
		p.scanned++
		if !d.alive(&r, written, now) {
			continue
		}
		picked, found := g.wanted.pick(d, r)
		p.size += picked.size()
		if found {
			p.rows = append(p.rows, picked)
		}
	}
	return p, nil
}

// first is the row at the begin, or the next one in the range's direction, with what goes on from there. A nil key is no row.
func (g *rangeRead) first(cursor *bbolt.Cursor, begin []byte) (key, raw []byte, next func() (key, raw []byte)) {
	key, raw = cursor.Seek(begin)
	if !g.backward {
		return key, raw, cursor.Next
	}
	if key == nil { // all rows are before the begin
		key, raw = cursor.Last()
	} else if !bytes.Equal(key, begin) {
		key, raw = cursor.Prev()
	}
	return key, raw, cursor.Prev
}

func (p page) answer() []byte {
	out := appendBytes(nil, 1, consumed(units(p.size), 0))
	out = appendBytes(out, 2, encodeRows(p.rows...))
	if p.next != nil {
		out = appendBytes(out, 3, encodeRows(row{key: p.next}))
	}
	return out
}
