package otsemu

import "time"

// maxBatchGetRows is how many rows one BatchGetRow may ask for.
const maxBatchGetRows = 100

func (s *Server) getRow(m *message) ([]byte, error) {
	m.require(2)
	name, err := tableName(m)
	if err != nil {
		return nil, err
	}
	if m.has(11) {
		return nil, unsupported("A local transaction")
	}
	wanted, err := readSelection(m, selectionFields{
		columns: 3, timeRange: 4, maxVersions: 5, filter: 7, startColumn: 8, endColumn: 9, token: 10,
	})
	if err != nil {
		return nil, err
	}
	key, err := readKey(m.bytes(2))
	if err != nil {
		return nil, err
	}
	var out []byte
	err = s.store.view(func(t tx) (err error) {
		result, err := wanted.read(t, name, key, s.now())
		out = result.append(nil, 1, 2)
		// The field is required, and empty when there is no such row.
		if err == nil && len(result.row) == 0 {
			out = appendBytes(out, 2, nil)
		}
		return err
	})
	return out, err
}

// readKey reads a primary key for a read.
func readKey(b []byte) ([]cell, error) {
	r, err := decodeRow(b)
	switch {
	case err != nil:
		return nil, err
	case len(r.cells) > 0:
		return nil, invalid("Attribute column cannot be given while reading data.")
	case r.deleteMarker:
		return nil, invalid("Delete marker cannot be given.")
	}
	return r.key, checkKeyShape(r.key)
}

// read finds one row. A read costs what it read before the filter, and one unit at least.
func (s *selection) read(t tx, name string, key []cell, now time.Time) (outcome, error) {
	d, err := t.table(name)
	if err != nil {
		return outcome{}, err
	}
	if err := d.checkKey(key, false); err != nil {
		return outcome{}, err
	}
	r, exists, err := t.row(d, encodeKey(key), now)
	if err != nil || !exists {
		return outcome{consumed: consumed(1, 0)}, err
	}
	picked, found := s.pick(d, r.row)
	out := outcome{consumed: consumed(units(picked.size()), 0)}
	if found {
		out.row = encodeRows(picked)
	}
	return out, nil
}

// tableReads are the rows a BatchGetRow asks of one table.
type tableReads struct {
	name   string
	keys   [][]cell
	wanted *selection
}

func (s *Server) batchGetRow(m *message) ([]byte, error) {
	tables, err := readBatchGet(m)
	if err != nil {
		return nil, err
	}
	var out []byte
	err = s.store.view(func(t tx) (err error) {
		now := s.now()
		for _, table := range tables {
			out, err = appendTable(out, table.name, table.keys, func(key []cell) (outcome, error) {
				return table.wanted.read(t, table.name, key, now)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func readBatchGet(m *message) ([]tableReads, error) {
	var tables []tableReads
	known := map[string]bool{}
	rows := 0
	for _, inner := range m.inners(1) {
		table, err := readTableReads(inner, known)
		if err != nil {
			return nil, err
		}
		known[table.name] = true
		rows += len(table.keys)
		tables = append(tables, table)
	}
	switch {
	case *m.problem != nil:
		return nil, *m.problem
	case len(tables) == 0:
		return nil, invalid("No row specified in the request of BatchGetRow.")
	case rows > maxBatchGetRows:
		return nil, invalid("Rows count exceeds the upper limit:%d.", maxBatchGetRows)
	}
	return tables, nil
}

func readTableReads(m *message, known map[string]bool) (tableReads, error) {
	name, err := batchTableName(m, known)
	if err != nil {
		return tableReads{}, err
	}
	wanted, err := readSelection(m, selectionFields{
		columns: 4, timeRange: 5, maxVersions: 6, filter: 8, startColumn: 9, endColumn: 10, token: 3,
	})
	if err != nil {
		return tableReads{}, err
	}
	out := tableReads{name: name, wanted: wanted}
	for _, b := range m.all(2) {
		key, err := readKey(b)
		if err != nil {
			return tableReads{}, err
		}
		out.keys = append(out.keys, key)
	}
	return out, nil
}
