package otsemu

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"
)

// storedRow is a row as the data file keeps it: attributes in the order of their names, one version of each.
type storedRow struct {
	row
	// touched is when the row was last written, in milliseconds. It is the age of a row without attributes.
	touched int64
}

func (r storedRow) encode() []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(r.touched)), encodeRows(r.row)...)
}

// decodeStored reads a row of the data file.
func decodeStored(b []byte) (storedRow, error) {
	if len(b) < 8 {
		return storedRow{}, errors.New("stored row: too short")
	}
	r, err := decodeRow(b[8:])
	if err != nil {
		// Not a caller's mistake, so not a refusal.
		return storedRow{}, errors.New("stored row: " + err.Error())
	}
	return storedRow{row: r, touched: int64(binary.BigEndian.Uint64(b))}, nil
}

// alive takes the expired attributes out of a row and reports whether the row still exists: a row that had attributes lives as
// long as one of them does.
func (r *storedRow) alive(d *table, now time.Time) bool {
	if len(r.cells) == 0 {
		return !d.expired(r.touched, now)
	}
	r.cells = slices.DeleteFunc(r.cells, func(c cell) bool { return d.expired(c.timestamp, now) })
	return len(r.cells) > 0
}

func (r *storedRow) find(name string) (at int, found bool) {
	return slices.BinarySearchFunc(r.cells, name, func(c cell, name string) int { return strings.Compare(c.name, name) })
}

// put sets an attribute. Of two versions the later is the one that is kept, whichever was written first.
func (r *storedRow) put(c cell) {
	at, found := r.find(c.name)
	switch {
	case !found:
		r.cells = slices.Insert(r.cells, at, c)
	case r.cells[at].timestamp <= c.timestamp:
		r.cells[at] = c
	}
}

// remove deletes an attribute, or one version of it.
func (r *storedRow) remove(c cell) {
	at, found := r.find(c.name)
	if found && (c.op == opDeleteAll || r.cells[at].timestamp == c.timestamp) {
		r.cells = slices.Delete(r.cells, at, at+1)
	}
}

// sum is what an increment makes of an attribute; one that is not there counts as 0.
func (r *storedRow) sum(c cell) (value, error) {
	at, found := r.find(c.name)
	if !found {
		return c.value, nil
	}
	held := r.cells[at].value
	if held.kind != kindInteger {
		return value{}, invalid("Column '%s' cannot be incremented: its type is %s.", c.name, held.kind)
	}
	total := held.number + c.value.number
	if (total > held.number) != (c.value.number > 0) && c.value.number != 0 {
		return value{}, invalid("Column '%s' cannot be incremented: the result overflows.", c.name)
	}
	return integer(total), nil
}
