package otsemu

import (
	"fmt"
	"math"
	"slices"
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
	// returnColumns are the incremented columns to return.
	returnColumns []string
}

// outcome is what became of a change.
type outcome struct {
	consumed []byte
	// row is what the caller asked to have returned.
	row []byte
}

// readChange reads a change from its parts: the row, a Condition and a ReturnContent.
func readChange(kind operationType, raw []byte, condition, returns *message) (*change, error) {
	condition.require(1)
	c := &change{
		kind: kind, existence: condition.number(1, 0), returns: returns.number(1, returnNone), returnColumns: returns.texts(2),
	}
	rawFilter := condition.bytes(2)
	if *condition.problem != nil {
		return nil, *condition.problem
	}
	var err error
	if c.row, err = decodeRow(raw); err != nil {
		return nil, err
	}
	if c.filter, err = readFilter(rawFilter); err != nil {
		return nil, err
	}
	return c, c.check()
}

// check applies what can be said of a change without its table.
func (c *change) check() error {
	if err := checkKeyShape(c.row.key); err != nil {
		return err
	}
	switch {
	case c.existence < existenceIgnored || c.existence > expectNotExist:
		return invalid("Invalid row-existence expectation: %d.", c.existence)
	case c.existence == expectNotExist && c.kind != putRow:
		// The pages of these two operations list IGNORE and EXPECT_EXIST only.
		return invalid("Invalid row-existence expectation: EXPECT_NOT_EXIST in %s.", c.kind)
	case c.returns < returnNone || c.returns > returnAfterModify || c.returns == returnAfterModify && c.kind != updateRow:
		return invalid("Invalid return type: %d.", c.returns)
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
	for _, a := range c.row.cells {
		if err := c.checkCell(a); err != nil {
			return err
		}
	}
	return c.checkIncrements()
}

func tooMuch(what string, size int) error {
	return invalid("The total data size of %s request exceeds the limit, limit size: %d, data size: %d.", what, maxWriteBytes, size)
}

func (c *change) checkCell(a cell) error {
	hasValue := a.value.kind != kindNone
	deletes := a.op == opDeleteAll || a.op == opDeleteOneVersion
	switch {
	case !validName(a.name):
		return invalid("Invalid column name: '%s'.", a.name)
	case slices.ContainsFunc(c.row.key, func(k cell) bool { return k.name == a.name }):
		return invalid("Duplicated attribute column name with primary key column: '%s'.", a.name)
	case a.op != opPut && c.kind == putRow:
		return invalid("OpType cannot be given for column name:%s in PutRow.", a.name)
	case deletes && hasValue:
		return invalid("Column value cannot be given when type is DELETE_ONE_VERSION,DELETE_ALL_VERSION.")
	case !deletes && !hasValue:
		return invalid("Invalid cell: %s. Reason: missing value.", a.name)
	case a.op == opDeleteOneVersion && !a.hasTimestamp:
		return invalid("Timestamp must be given when type is DELETE_ONE_VERSION.")
	case a.op == opDeleteAll && a.hasTimestamp:
		return invalid("Timestamp cannot be given when type is DELETE_ALL_VERSION.")
	case a.op == opIncrement && (a.value.kind != kindInteger || a.hasTimestamp):
		return invalid("Column '%s' cannot be incremented: want an integer and no timestamp.", a.name)
	}
	return checkAttribute(a)
}

// checkAttribute applies what can be said of an attribute's value.
func checkAttribute(a cell) error {
	switch k := a.value.kind; {
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

// checkIncrements refuses a second operation on a column that is incremented.
func (c *change) checkIncrements() error {
	seen := map[string]bool{}
	for _, a := range c.row.cells {
		incremented, again := seen[a.name]
		if again && (incremented || a.op == opIncrement) {
			return invalid("Column '%s' is incremented and can have no other operation.", a.name)
		}
		seen[a.name] = incremented || a.op == opIncrement
	}
	return nil
}

func (c *change) increments() bool {
	return slices.ContainsFunc(c.row.cells, func(a cell) bool { return a.op == opIncrement })
}

// apply carries a change out. It writes nothing when it refuses.
func (c *change) apply(t tx, name string, now time.Time) (outcome, error) {
	d, err := t.table(name)
	if err != nil {
		return outcome{}, err
	}
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
		return c.outcome(old), t.rows(d).Delete(key)
	}
	created, keep, err := c.modify(d, old, exists, now)
	if err != nil || !keep {
		return c.outcome(created), err
	}
	if err := t.rows(d).Put(key, created.encode()); err != nil {
		return outcome{}, fmt.Errorf("table %q: %w", name, err)
	}
	return c.outcome(created), nil
}

// holds judges the condition, the row's existence first. The texts are recorded ones: two have no full stop.
func (c *change) holds(old storedRow, exists bool) error {
	switch {
	case c.existence == expectNotExist && exists:
		return conditionCheckFail("Row exists which is expected nonexistent")
	case c.existence == expectExist && !exists:
		return conditionCheckFail("Row does not exist which is expected existent")
	case !c.filter.passes(c.target(old)):
		return conditionCheckFail("Condition check failed.")
	}
	return nil
}

// target is the row a condition looks at. One that does not exist has its primary key all the same.
func (c *change) target(old storedRow) row { return row{key: c.row.key, cells: old.cells} }

// modify makes the new row of a PutRow or UpdateRow. An update that only deletes creates no row.
func (c *change) modify(d *table, old storedRow, exists bool, now time.Time) (storedRow, bool, error) {
	made := storedRow{row: row{key: c.row.key}, touched: now.UnixMilli()}
	if c.kind == updateRow {
		made.cells = old.cells
	}
	keep := exists || c.kind == putRow
	for _, a := range c.row.cells {
		if a.op == opDeleteAll || a.op == opDeleteOneVersion {
			made.remove(a)
			continue
		}
		keep = true
		if !a.hasTimestamp {
			a.timestamp, a.hasTimestamp = now.UnixMilli(), true
		} else if err := d.checkTimestamp(a, now); err != nil {
			return made, false, err
		}
		if a.op == opIncrement {
			total, err := made.sum(a)
			if err != nil {
				return made, false, err
			}
			a.value, a.op = total, opPut
			// A counter moves on from its latest version, whatever time that claims.
			if at, found := made.find(a.name); found {
				a.timestamp = max(a.timestamp, made.cells[at].timestamp)
			}
		}
		made.put(a)
	}
	return made, keep, nil
}

// outcome counts the capacity and picks what to return. A condition costs a read of the key, one on columns of the row.
func (c *change) outcome(after storedRow) outcome {
	var read int64
	if c.existence != existenceIgnored {
		read = units(cellsSize(c.row.key))
	}
	if c.filter != nil {
		read = units(after.size())
	}
	out := outcome{consumed: consumed(read, units(c.row.size()))}
	switch c.returns {
	case returnKey:
		out.row = encodeRows(row{key: c.row.key})
	case returnAfterModify:
		cells := slices.DeleteFunc(slices.Clone(after.cells), func(a cell) bool { return !slices.Contains(c.returnColumns, a.name) })
		out.row = encodeRows(row{key: c.row.key, cells: cells})
	}
	return out
}
