package otsemu

import (
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
)

// operationType is what a write does to a row, as BatchWriteRow numbers it.
type operationType int64

const (
	putRow    operationType = 1
	updateRow operationType = 2
	deleteRow operationType = 3
)

func (o operationType) String() string {
	switch o {
	case putRow:
		return "PutRow"
	case updateRow:
		return "UpdateRow"
	}
	return "DeleteRow"
}

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
	returnAfterModify
)

// change is a write of one row.
type change struct {
	kind      operationType
	row       row
	existence int64
	filter    *filter
	returns   int64
	// returnColumns are the columns that returnAfterModify returns.
	returnColumns []string
}

// readChange reads a change from its parts: the row, a Condition and a ReturnContent.
func readChange(kind operationType, raw []byte, condition, returns *message) (*change, error) {
	condition.require(1)
	c := &change{kind: kind, existence: condition.number(1, 0), returns: returns.number(1, returnNone)}
	for _, name := range returns.all(2) {
		c.returnColumns = append(c.returnColumns, string(name))
	}
	rawFilter := condition.bytes(2)
	switch {
	case *condition.problem != nil:
		return nil, *condition.problem
	case kind < putRow || kind > deleteRow:
		return nil, invalid("The modify type is invalid.")
	case c.existence < existenceIgnored || c.existence > expectNotExist:
		return nil, invalid("Invalid row-existence expectation: %d.", c.existence)
	case c.existence == expectNotExist && kind != putRow:
		// The pages of UpdateRow and DeleteRow list IGNORE and EXPECT_EXIST only.
		return nil, invalid("Invalid row-existence expectation: EXPECT_NOT_EXIST in %s.", kind)
	case c.returns < returnNone || c.returns > returnAfterModify:
		return nil, invalid("Invalid return type: %d.", c.returns)
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
	case c.kind == deleteRow && !c.row.deleteMarker:
		return invalid("Invalid request of delete row: missing RowDeleteMarker in request.")
	case c.kind != deleteRow && c.row.deleteMarker:
		return invalid("Invalid request of put/update row: unexpected RowDeleteMarker in request.")
	case c.kind == deleteRow && len(c.row.cells) > 0:
		return invalid("Invalid delete row request: unexpected cells in request.")
	case c.kind == updateRow && len(c.row.cells) == 0:
		return invalid("Attribute column is missing.")
	case len(c.row.cells) > maxWriteColumns:
		return invalid("The number of attribute columns exceeds the limit, limit count:%d, column count: %d.",
			maxWriteColumns, len(c.row.cells))
	case c.row.size() > maxWriteBytes:
		return tooMuch(c.kind.String(), c.row.size())
	}
	slices.SortFunc(c.row.cells, func(a, b cell) int { return strings.Compare(a.name, b.name) })
	for i, a := range c.row.cells {
		switch {
		case !validName(a.name):
			return invalid("Invalid column name: '%s'.", a.name)
		case i > 0 && c.row.cells[i-1].name == a.name:
			return unsupported("More than one value or change of a column")
		case slices.ContainsFunc(c.row.key, func(k cell) bool { return k.name == a.name }):
			return invalid("Duplicated attribute column name with primary key column: '%s'.", a.name)
		}
		if err := c.checkOp(a); err != nil {
			return err
		}
	}
	return nil
}

// checkOp refuses what a write cannot do to a column.
func (c *change) checkOp(a cell) error {
	switch {
	case a.op != opPut && c.kind == putRow:
		return invalid("OpType cannot be given for column name:%s in PutRow.", a.name)
	case a.hasTimestamp && (a.timestamp < 0 || a.timestamp >= math.MaxInt64/1000):
		return invalid("Timestamp must be in range [0, INT64_MAX/1000).")
	case (a.op == opDeleteAll || a.op == opDeleteOneVersion) && a.value.kind != kindNone:
		return invalid("Column value cannot be given when type is DELETE_ONE_VERSION,DELETE_ALL_VERSION.")
	case a.op == opDeleteOneVersion && !a.hasTimestamp:
		return invalid("Timestamp must be given when type is DELETE_ONE_VERSION.")
	case a.op == opDeleteAll || a.op == opDeleteOneVersion:
		return nil
	case a.op == opIncrement && a.value.kind != kindInteger:
		return invalid("Column '%s' cannot be incremented by a %s.", a.name, a.value.kind)
	}
	return checkAttribute(a)
}

func (c *change) increments() bool {
	return slices.ContainsFunc(c.row.cells, func(a cell) bool { return a.op == opIncrement })
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
	if c.kind == deleteRow {
		return c.outcome(old, row{}), t.rows(d).Delete(key)
	}
	made, err := c.modify(old, now)
	if err != nil {
		return outcome{}, err
	}
	if c.kind == updateRow && !exists && len(made.cells) == 0 {
		return c.outcome(old, made), nil // an update that only deletes columns creates no row
	}
	if err := t.rows(d).Put(key, encodeStored(made, now.UnixMilli())); err != nil {
		return outcome{}, fmt.Errorf("table %q: %w", d.Name, err)
	}
	return c.outcome(old, made), nil
}

// modify makes the new row of a PutRow or UpdateRow, with its attributes in the order of their names.
func (c *change) modify(old row, now time.Time) (row, error) {
	made := row{key: c.row.key}
	if c.kind == updateRow {
		made.cells = slices.Clone(old.cells)
	}
	for _, a := range c.row.cells {
		at, found := slices.BinarySearchFunc(made.cells, a.name, func(held cell, name string) int { return strings.Compare(held.name, name) })
		if a.op == opDeleteOneVersion && (!found || made.cells[at].timestamp != a.timestamp) {
			continue // the row has no such version
		}
		if found {
			if a.op == opIncrement {
				total, err := made.cells[at].sum(a.value.number)
				if err != nil {
					return row{}, err
				}
				a.value.number = total
			}
			made.cells = slices.Delete(made.cells, at, at+1)
		}
		if a.op != opDeleteAll && a.op != opDeleteOneVersion {
			if !a.hasTimestamp {
				a.timestamp, a.hasTimestamp = now.UnixMilli(), true
			}
			if seconds := a.timestamp / 1000; seconds < now.Unix()-deviation || seconds >= now.Unix()+deviation {
				return row{}, invalid("Invalid timestamp. Cell:%s.", a.name)
			}
			a.op = opPut
			made.cells = slices.Insert(made.cells, at, a)
		}
	}
	return made, nil
}

// sum is what an increment makes of an attribute. The documents give no texts of its refusals.
func (c cell) sum(increment int64) (int64, error) {
	if c.value.kind != kindInteger {
		return 0, invalid("Column '%s' cannot be incremented: its type is %s.", c.name, c.value.kind)
	}
	total := c.value.number + increment
	if (increment > 0) != (total > c.value.number) && increment != 0 {
		return 0, invalid("Column '%s' cannot be incremented: the result overflows.", c.name)
	}
	return total, nil
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
func (c *change) outcome(old, made row) outcome {
	var read int64
	if c.existence != existenceIgnored {
		read = units(cellsSize(c.row.key))
	}
	if c.filter != nil {
		read = units(old.size())
	}
	out := outcome{consumed: consumed(read, units(c.row.size()))}
	switch c.returns {
	case returnKey:
		out.row = encodeRows(row{key: c.row.key})
	case returnAfterModify:
		cells := slices.DeleteFunc(made.cells, func(a cell) bool { return !slices.Contains(c.returnColumns, a.name) })
		out.row = encodeRows(row{key: c.row.key, cells: cells})
	}
	return out
}
