package otsemu

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Limits of writes, from the service's page of limits.
const (
	maxAttributeBytes = 2 << 20
	maxWriteBytes     = 4 << 20
	maxWriteColumns   = 1024
	maxBatchWriteRows = 200
)

// What a write does to a row, as BatchWriteRow numbers it.
const (
	putRow    = 1
	updateRow = 2
	deleteRow = 3
)

// Expectations of a row's existence.
const (
	existenceIgnored = iota
	expectExist
	expectNotExist
)

// What a write can return.
const (
	returnNone = iota
	returnKey
)

// change is a write of one row.
type change struct {
	deletes    bool
	row        row
	existence  int64
	filter     *filter
	returnsKey bool
}

// readChange reads a change from its parts: the row, a Condition and a ReturnContent.
func readChange(kind int64, raw []byte, condition, returns *message) (*change, error) {
	condition.require(1)
	content := returns.number(1, returnNone)
	c := &change{deletes: kind == deleteRow, existence: condition.number(1, 0), returnsKey: content == returnKey}
	rawFilter := condition.bytes(2)
	switch {
	case *condition.problem != nil:
		return nil, *condition.problem
	case kind == updateRow:
		return nil, unsupported("UpdateRow")
	case kind != putRow && kind != deleteRow:
		return nil, invalid("The modify type is invalid.")
	case c.existence < existenceIgnored || c.existence > expectNotExist:
		return nil, invalid("Invalid row-existence expectation: %d.", c.existence)
	case c.existence == expectNotExist && c.deletes:
		// The page of DeleteRow lists IGNORE and EXPECT_EXIST only.
		return nil, invalid("Invalid row-existence expectation: EXPECT_NOT_EXIST in DeleteRow.")
	case content != returnNone && content != returnKey:
		return nil, invalid("Invalid return type: %d.", content)
	}
	var err error
	if c.row, err = decodeRow(raw); err != nil {
		return nil, err
	}
	if c.filter, err = readFilter(rawFilter); err != nil {
		return nil, err
	}
	return c, c.checkRow()
}

// checkRow refuses a row that no table can have.
func (c *change) checkRow() error {
	if err := checkKeyShape(c.row.key); err != nil {
		return err
	}
	switch {
	case c.deletes && !c.row.deleteMarker:
		return invalid("Invalid request of delete row: missing RowDeleteMarker in request.")
	case !c.deletes && c.row.deleteMarker:
		return invalid("Invalid request of put/update row: unexpected RowDeleteMarker in request.")
	case c.deletes && len(c.row.cells) > 0:
		return invalid("Invalid delete row request: unexpected cells in request.")
	case len(c.row.cells) > maxWriteColumns:
		return invalid("The number of attribute columns exceeds the limit, limit count:%d, column count: %d.",
			maxWriteColumns, len(c.row.cells))
	case c.row.size() > maxWriteBytes:
		return tooMuch("PutRow", c.row.size())
	}
	slices.SortFunc(c.row.cells, func(a, b cell) int { return strings.Compare(a.name, b.name) })
	for i, a := range c.row.cells {
		switch {
		case !validName(a.name):
			return invalid("Invalid column name: '%s'.", a.name)
		case i > 0 && c.row.cells[i-1].name == a.name:
			return unsupported("More than one value of a column")
		case slices.ContainsFunc(c.row.key, func(k cell) bool { return k.name == a.name }):
			return invalid("Duplicated attribute column name with primary key column: '%s'.", a.name)
		case a.hasTimestamp:
			return unsupported("A timestamp chosen by the caller")
		}
		if err := checkAttribute(a); err != nil {
			return err
		}
	}
	return nil
}

func tooMuch(what string, size int) error {
	return invalid("The total data size of %s request exceeds the limit, limit size: %d, data size: %d.", what, maxWriteBytes, size)
}

// checkAttribute refuses a value that no attribute can have.
func checkAttribute(a cell) error {
	switch k := a.value.kind; {
	case k == kindNone:
		return invalid("Invalid cell: %s. Reason: missing value.", a.name)
	case k == kindMin || k == kindMax || k == kindAutoIncrement:
		return invalid("%s is an invalid type for the attribute column.", k)
	case k == kindDouble && math.IsNaN(a.value.double()):
		return invalid("NaN can't be set to double value.")
	case k == kindDouble && math.IsInf(a.value.double(), 0):
		return invalid("Infinity can't be set to double value.")
	case len(a.value.data) > maxAttributeBytes:
		return invalid("The length of attribute column: '%s' exceeded the MaxLength:%d with Current Length:%d.",
			a.name, maxAttributeBytes, len(a.value.data))
	}
	return checkText(a)
}

// apply carries a change out. It writes nothing when it refuses.
func (c *change) apply(t tx, d *table, now time.Time) (outcome, error) {
	if err := d.checkKey(c.row.key, false); err != nil {
		return outcome{}, err
	}
	key := encodeKey(c.row.key)
	old, exists, err := t.row(d, key, now)
	if err != nil {
		return outcome{}, err
	}
	if err := c.holds(old, exists); err != nil {
		return outcome{}, err
	}
	if c.deletes {
		return c.outcome(old), t.rows(d).Delete(key)
	}
	written := row{key: c.row.key}
	for _, a := range c.row.cells {
		a.timestamp, a.hasTimestamp = now.UnixMilli(), true
		written.cells = append(written.cells, a)
	}
	if err := t.rows(d).Put(key, encodeStored(written, now.UnixMilli())); err != nil {
		return outcome{}, fmt.Errorf("table %q: %w", d.Name, err)
	}
	return c.outcome(old), nil
}

// holds judges the condition, the row's existence first. The texts are recorded from the service: two have no full stop.
func (c *change) holds(old row, exists bool) error {
	switch {
	case c.existence == expectNotExist && exists:
		return conditionFailed("Row exists which is expected nonexistent")
	case c.existence == expectExist && !exists:
		return conditionFailed("Row does not exist which is expected existent")
	case !c.filter.passes(row{key: c.row.key, cells: old.cells}): // a row that does not exist has its key all the same
		return conditionFailed("Condition check failed.")
	}
	return nil
}

// outcome counts the capacity and picks what to return. An expectation of existence costs a read of the key, a filter a read of the
// row.
func (c *change) outcome(old row) outcome {
	var read int64
	if c.existence != existenceIgnored {
		read = units(cellsSize(c.row.key))
	}
	if c.filter != nil {
		read = units(old.size())
	}
	out := outcome{consumed: consumed(read, units(c.row.size()))}
	if c.returnsKey {
		out.row = encodeRows(row{key: c.row.key})
	}
	return out
}

// writeRow answers PutRow and DeleteRow, whose messages are alike.
func (s *Server) writeRow(kind int64, m *message) ([]byte, error) {
	m.require(2, 3)
	name, err := tableName(m)
	if err != nil {
		return nil, err
	}
	if m.has(5) {
		return nil, unsupported("A local transaction")
	}
	c, err := readChange(kind, m.bytes(2), m.inner(3), m.inner(4))
	if err != nil {
		return nil, err
	}
	var done outcome
	err = s.store.update(func(t tx) error {
		d, err := t.table(name)
		if err != nil {
			return err
		}
		done, err = c.apply(t, d, s.now())
		return err
	})
	return done.append(nil, 1, 2), err
}

// append writes an outcome's two fields, under the numbers they have in the message.
func (o outcome) append(b []byte, consumedField, rowField int) []byte {
	b = appendBytes(b, consumedField, o.consumed)
	if len(o.row) > 0 {
		b = appendBytes(b, rowField, o.row)
	}
	return b
}

// tableChanges are the changes that a BatchWriteRow has for one table.
type tableChanges struct {
	name    string
	changes []*change
}

// batchWriteRow carries out each change on its own: one that fails does not stop the others.
func (s *Server) batchWriteRow(m *message) ([]byte, error) {
	tables, err := readBatchWrite(m)
	if err != nil {
		return nil, err
	}
	var out []byte
	err = s.store.update(func(t tx) (err error) {
		now := s.now()
		for _, writes := range tables {
			out, err = appendTable(out, t, writes.name, writes.changes, func(d *table, c *change) (outcome, error) { return c.apply(t, d, now) })
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// appendTable does something with each row of a table in a batch and appends the table's part of the answer. A refusal is the answer
// for its row, or for all rows when there is no such table; any other error fails the batch.
func appendTable[T any](b []byte, t tx, name string, rows []T, do func(*table, T) (outcome, error)) ([]byte, error) {
	d, missing := t.table(name)
	answer := appendText(nil, 1, name)
	for _, r := range rows {
		var done outcome
		err := missing
		if err == nil {
			done, err = do(d, r)
		}
		var refused *refusal
		switch {
		case errors.As(err, &refused):
			answer = appendBytes(answer, 2, appendBytes(appendFlag(nil, 1, false), 2, refused.encode()))
		case err != nil:
			return nil, err
		default:
			answer = appendBytes(answer, 2, done.append(appendFlag(nil, 1, true), 3, 4))
		}
	}
	return appendBytes(b, 1, answer), nil
}

func readBatchWrite(m *message) ([]tableChanges, error) {
	if m.has(2) || m.flag(3) {
		return nil, unsupported("An atomic batch")
	}
	var tables []tableChanges
	rows, size := 0, 0
	for _, inner := range m.inners(1) {
		name, err := tableName(inner)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(tables, func(earlier tableChanges) bool { return earlier.name == name }) {
			return nil, invalid("Duplicated table name: '%s'.", name)
		}
		changes, err := readTableChanges(name, inner.inners(2))
		if err != nil {
			return nil, err
		}
		for _, c := range changes {
			size += c.row.size()
		}
		rows += len(changes)
		tables = append(tables, tableChanges{name, changes})
	}
	switch {
	case *m.problem != nil:
		return nil, *m.problem
	case rows == 0:
		return nil, invalid("No row is specified in BatchWriteRow.")
	case rows > maxBatchWriteRows:
		return nil, invalid("Rows count exceeds the upper limit:%d.", maxBatchWriteRows)
	case size > maxWriteBytes:
		return nil, tooMuch("BatchWriteRow", size)
	}
	return tables, nil
}

// readTableChanges reads a table's changes. A row may come more than once only if none of its changes has a condition.
func readTableChanges(table string, inners []*message) ([]*change, error) {
	if len(inners) == 0 {
		return nil, invalid("No operation is specified for table: '%s'.", table)
	}
	var changes []*change
	times := map[string]int{}
	for _, inner := range inners {
		inner.require(1, 2, 3)
		c, err := readChange(inner.number(1, 0), inner.bytes(2), inner.inner(3), inner.inner(4))
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
		times[string(encodeKey(c.row.key))]++
	}
	for _, c := range changes {
		switch repeated := times[string(encodeKey(c.row.key))] > 1; {
		case repeated && c.existence != existenceIgnored:
			return nil, invalid("Repeated rows do not support row exist expectation check in BatchModify.")
		case repeated && c.filter != nil:
			return nil, invalid("Repeated rows do not support row condition check in BatchModify.")
		}
	}
	return changes, nil
}
