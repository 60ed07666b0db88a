package otsemu

import (
	"errors"
	"slices"
)

// maxBatchWriteRows is how many rows a BatchWriteRow may have, from the service's page of limits.
const maxBatchWriteRows = 200

// writeRow answers PutRow, UpdateRow and DeleteRow, whose messages are alike.
func (s *Server) writeRow(kind operationType, m *message) ([]byte, error) {
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

// readTableChanges reads a table's changes. A row may come more than once only if none of its changes has a condition or an increment.
func readTableChanges(table string, inners []*message) ([]*change, error) {
	if len(inners) == 0 {
		return nil, invalid("No operation is specified for table: '%s'.", table)
	}
	var changes []*change
	times := map[string]int{}
	for _, inner := range inners {
		inner.require(1, 2, 3)
		c, err := readChange(operationType(inner.number(1, 0)), inner.bytes(2), inner.inner(3), inner.inner(4))
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
		case repeated && c.increments():
			return nil, invalid("Repeated rows do not support increments in BatchModify.")
		}
	}
	return changes, nil
}
