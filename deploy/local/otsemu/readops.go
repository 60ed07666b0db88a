package otsemu

import (
	"slices"
	"time"
)

// Limits of reads, from the service's page of limits.
const (
	maxColumnsToGet = 128
	maxBatchGetRows = 100
)

// unitBytes is what one capacity unit reads or writes.
const unitBytes = 4096

// units is the number of capacity units for an amount of data; nothing costs one too.
func units(bytes int) int64 { return int64(max(1, (bytes+unitBytes-1)/unitBytes)) }

// capacity is a CapacityUnit.
func capacity(read, write int64) []byte { return appendNumber(appendNumber(nil, 1, read), 2, write) }

// consumed is a ConsumedCapacity.
func consumed(read, write int64) []byte { return appendBytes(nil, 1, capacity(read, write)) }

// selection is what a read wants of each row.
type selection struct {
	// columns are the wanted ones; none means all.
	columns []string
	// startColumn and endColumn bound the names of attributes: the first is wanted, the last is not. An empty endColumn is no bound.
	startColumn, endColumn string
	filter                 *filter
}

// selectionFields are the numbers that the parts of a selection have in a request.
type selectionFields struct {
	columns, timeRange, maxVersions, filter, startColumn, endColumn, token int
}

func readSelection(m *message, at selectionFields) (*selection, error) {
	s := &selection{startColumn: string(m.bytes(at.startColumn)), endColumn: string(m.bytes(at.endColumn))}
	for _, name := range m.all(at.columns) {
		s.columns = append(s.columns, string(name))
	}
	versions := m.number(at.maxVersions, 1)
	rawFilter := m.bytes(at.filter)
	// The SDK sends an empty token for each row of a batch.
	token := slices.ContainsFunc(m.all(at.token), func(token []byte) bool { return len(token) > 0 })
	switch {
	case *m.problem != nil:
		return nil, *m.problem
	case token:
		return nil, unsupported("A token")
	case m.has(at.timeRange):
		return nil, unsupported("A read by time")
	case !m.has(at.maxVersions):
		return nil, invalid("No version condition is specified while querying row.")
	case versions <= 0:
		return nil, invalid("Invalid max versions: %d . Reason: Max versions must be positive.", versions)
	case len(s.columns) > maxColumnsToGet:
		return nil, invalid("The number of columns from the request exceeds the limit, limit count: %d , column count:%d.",
			maxColumnsToGet, len(s.columns))
	}
	var err error
	s.filter, err = readFilter(rawFilter)
	return s, err
}

// pick makes what a read answers of a row. It finds nothing when the filter fails, or when the row has no wanted attribute and no
// column of the key was named. The filter sees the wanted columns only.
func (s *selection) pick(d *table, r row) (picked row, found bool) {
	picked = row{key: r.key}
	for _, c := range r.cells {
		if s.wants(c.name) {
			picked.cells = append(picked.cells, c)
		}
	}
	all := len(s.columns) == 0 && s.startColumn == "" && s.endColumn == ""
	wanted := len(picked.cells) > 0 || all || slices.ContainsFunc(s.columns, d.keyNamed)
	return picked, wanted && s.filter.passes(picked)
}

func (s *selection) wants(name string) bool {
	return (len(s.columns) == 0 || slices.Contains(s.columns, name)) && s.startColumn <= name && (s.endColumn == "" || name < s.endColumn)
}

// outcome is what became of a read or write of one row.
type outcome struct {
	// consumed is a ConsumedCapacity.
	consumed []byte
	// row is what the caller gets of the row; empty for nothing.
	row []byte
}

// read finds one row. It costs what was read before the filter, and one unit at least.
func (s *selection) read(t tx, d *table, key []cell, now time.Time) (outcome, error) {
	if err := d.checkKey(key, false); err != nil {
		return outcome{}, err
	}
	r, exists, err := t.row(d, encodeKey(key), now)
	if err != nil || !exists {
		return outcome{consumed: consumed(1, 0)}, err
	}
	picked, found := s.pick(d, r)
	out := outcome{consumed: consumed(units(picked.size()), 0)}
	if found {
		out.row = encodeRows(picked)
	}
	return out, nil
}

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
	var found outcome
	err = s.store.view(func(t tx) error {
		d, err := t.table(name)
		if err != nil {
			return err
		}
		found, err = wanted.read(t, d, key, s.now())
		return err
	})
	// The row is a required field, and empty when there is none.
	return appendBytes(appendBytes(nil, 1, found.consumed), 2, found.row), err
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

// tableReads are the rows that a BatchGetRow asks of one table.
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
		for _, reads := range tables {
			out, err = appendTable(out, t, reads.name, reads.keys, func(d *table, key []cell) (outcome, error) {
				return reads.wanted.read(t, d, key, now)
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
	rows := 0
	for _, inner := range m.inners(1) {
		reads, err := readTableReads(inner)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(tables, func(earlier tableReads) bool { return earlier.name == reads.name }) {
			return nil, invalid("Duplicated table name: '%s'.", reads.name)
		}
		rows += len(reads.keys)
		tables = append(tables, reads)
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

func readTableReads(m *message) (reads tableReads, err error) {
	if reads.name, err = tableName(m); err != nil {
		return reads, err
	}
	reads.wanted, err = readSelection(m, selectionFields{
		columns: 4, timeRange: 5, maxVersions: 6, filter: 8, startColumn: 9, endColumn: 10, token: 3,
	})
	if err != nil {
		return reads, err
	}
	for _, b := range m.all(2) {
		key, err := readKey(b)
		if err != nil {
			return reads, err
		}
		reads.keys = append(reads.keys, key)
	}
	return reads, nil
}
