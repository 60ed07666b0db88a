package otsemu

import (
	"errors"
)

// maxBatchWriteRows is how many rows one BatchWriteRow may have.
const maxBatchWriteRows = 200

func (s *Server) putRow(m *message) ([]byte, error)    { return s.writeRow(putRow, m) }
func (s *Server) updateRow(m *message) ([]byte, error) { return s.writeRow(updateRow, m) }
func (s *Server) deleteRow(m *message) ([]byte, error) { return s.writeRow(deleteRow, m) }

// writeRow answers the three operations on one row, whose messages are alike.
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
	err = s.store.update(func(t tx) (err error) {
		done, err = c.apply(t, name, s.now())
		return err
	})
	if err != nil {
		return nil, err
	}
	return done.append(nil, 1, 2), nil
}

// append writes an outcome's two fields, under the numbers they have in the message.
func (o outcome) append(b []byte, consumedField, rowField field) []byte {
	b = appendBytes(b, consumedField, o.consumed)
	if len(o.row) > 0 {
		b = appendBytes(b, rowField, o.row)
	}
	return b
}

// tableChanges are the changes a BatchWriteRow has for one table.
type tableChanges struct {
	name    string
	changes []*change
}

// batchWriteRow carries out each change on its own: those that fail keep none of the others back.
func (s *Server) batchWriteRow(m *message) ([]byte, error) {
	tables, err := readBatchWrite(m)
	if err != nil {
		return nil, err
	}
	var out []byte
	err = s.store.update(func(t tx) (err error) {
		now := s.now()
		for _, table := range tables {
			out, err = appendTable(out, table.name, table.changes, func(c *change) (outcome, error) { return c.apply(t, table.name, now) })
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// appendTable writes a table's part of a batch answer: what do makes of each row. A refusal is the row's alone; any other error
// is the whole batch's.
func appendTable[T any](b []byte, name string, rows []T, do func(T) (outcome, error)) ([]byte, error) {
	table := appendText(nil, 1, name)
	for _, r := range rows {
		done, err := do(r)
		var refused *refusal
		switch {
		case errors.As(err, &refused):
			table = appendBytes(table, 2, appendBytes(appendFlag(nil, 1, false), 2, refused.encode()))
		case err != nil:
			return nil, err
		default:
			table = appendBytes(table, 2, done.append(appendFlag(nil, 1, true), 3, 4))
		}
	}
	return appendBytes(b, 1, table), nil
}

func readBatchWrite(m *message) ([]tableChanges, error) {
	if m.has(2) || m.flag(3, false) {
		return nil, unsupported("An atomic batch")
	}
	var tables []tableChanges
	known := map[string]bool{}
	rows, size := 0, 0
	for _, inner := range m.inners(1) {
		name, err := batchTableName(inner, known)
		if err != nil {
			return nil, err
		}
		known[name] = true
		changes, err := readBatchRows(name, inner.inners(2))
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

// batchTableName reads the name of a table in a batch, which may be there once.
func batchTableName(m *message, known map[string]bool) (string, error) {
	name, err := tableName(m)
	if err == nil && known[name] {
		err = invalid("Duplicated table name: '%s'.", name)
	}
	return name, err
}

// readBatchRows reads a table's changes. A row may be there more than once only if nothing depends on the order of its changes.
func readBatchRows(table string, inners []*message) ([]*change, error) {
	if len(inners) == 0 {
		return nil, invalid("No operation is specified for table: '%s'.", table)
	}
	var changes []*change
	byKey := map[string][]*change{}
	for _, inner := range inners {
		inner.require(1, 2, 3)
		kind := operationType(inner.number(1, 0))
		if *inner.problem == nil && (kind < putRow || kind > deleteRow) {
			return nil, invalid("The modify type is invalid.")
		}
		c, err := readChange(kind, inner.bytes(2), inner.inner(3), inner.inner(4))
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
		key := string(encodeKey(c.row.key))
		byKey[key] = append(byKey[key], c)
	}
	for _, c := range changes {
		if err := checkRepeated(byKey[string(encodeKey(c.row.key))]); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

func checkRepeated(same []*change) error {
	if len(same) < 2 {
		return nil
	}
	for _, c := range same {
		switch {
		case c.existence != existenceIgnored:
			return invalid("Repeated rows do not support row exist expectation check in BatchModify.")
		case c.filter != nil:
			return invalid("Repeated rows do not support row condition check in BatchModify.")
		case c.increments():
			return invalid("Repeated rows do not support increments in BatchModify.")
		}
	}
	return nil
}
