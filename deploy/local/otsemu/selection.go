package otsemu

import (
	"math"
	"slices"
)

// maxColumnsToGet is how many columns a read may name.
const maxColumnsToGet = 128

// selection is what a read wants of each row.
type selection struct {
	// columns are the wanted ones; none means all.
	columns []string
	// from and to bound the versions, in milliseconds: from is wanted, to is not.
	from, to int64
	// startColumn and endColumn bound the names of attributes alike; an empty endColumn is no bound.
	startColumn, endColumn string
	// narrow is set when only some versions or names are wanted.
	narrow bool
	filter *filter
}

// selectionFields are the numbers the parts of a selection have in a request.
type selectionFields struct {
	columns, timeRange, maxVersions, filter, startColumn, endColumn, token field
}

func readSelection(m *message, at selectionFields) (*selection, error) {
	s := &selection{
		columns: m.texts(at.columns), startColumn: m.text(at.startColumn), endColumn: m.text(at.endColumn), to: math.MaxInt64,
	}
	s.narrow = m.has(at.timeRange) || m.has(at.startColumn) || m.has(at.endColumn)
	// SDKs that know of tokens send empty ones.
	if slices.ContainsFunc(m.all(at.token), func(token []byte) bool { return len(token) > 0 }) {
		return nil, unsupported("A token")
	}
	if len(s.columns) > maxColumnsToGet {
		return nil, invalid("The number of columns from the request exceeds the limit, limit count: %d , column count:%d.",
			maxColumnsToGet, len(s.columns))
	}
	if err := s.readVersions(m, at); err != nil {
		return nil, err
	}
	rawFilter := m.bytes(at.filter)
	if *m.problem != nil {
		return nil, *m.problem
	}
	var err error
	s.filter, err = readFilter(rawFilter)
	return s, err
}

// readVersions reads which versions are wanted. There is one of each attribute, so their number is only checked.
func (s *selection) readVersions(m *message, at selectionFields) error {
	times := m.inner(at.timeRange)
	switch {
	case !m.has(at.timeRange) && !m.has(at.maxVersions):
		return invalid("No version condition is specified while querying row.")
	case m.number(at.maxVersions, 1) <= 0:
		return invalid("Invalid max versions: %d . Reason: Max versions must be positive.", m.number(at.maxVersions, 1))
	case times.has(1) != times.has(2):
		return invalid("Start and end time must be given at the same time.")
	case times.has(3) && times.has(1):
		return invalid("Specific tiemstamp and time range cannot be given at the same time.")
	case times.has(3) && m.has(at.maxVersions):
		return invalid("Specific tiemstamp and max versions cannot be given at the same time.")
	case times.has(3):
		s.from = times.number(3, 0)
		s.to = s.from + 1
	case times.has(1):
		s.from, s.to = times.number(1, 0), times.number(2, 0)
	}
	if s.from < 0 || s.from >= math.MaxInt64/1000 || s.to < 0 {
		return invalid("Timestamp must be in range [0, INT64_MAX/1000).")
	}
	return nil
}

// pick makes what a read answers of a row: nothing when the filter fails, or when the row has none of the wanted columns. The
// filter sees the wanted columns only.
func (s *selection) pick(d *table, r row) (picked row, found bool) {
	picked = row{key: r.key}
	for _, c := range r.cells {
		if s.wants(c) {
			picked.cells = append(picked.cells, c)
		}
	}
	return picked, s.filter.passes(picked) && (len(picked.cells) > 0 || s.wantsKey(d))
}

func (s *selection) wants(c cell) bool {
	return (len(s.columns) == 0 || slices.Contains(s.columns, c.name)) && s.from <= c.timestamp && c.timestamp < s.to &&
		s.startColumn <= c.name && (s.endColumn == "" || c.name < s.endColumn)
}

// wantsKey reports whether a row without wanted attributes is answered all the same.
func (s *selection) wantsKey(d *table) bool {
	return len(s.columns) == 0 && !s.narrow || slices.ContainsFunc(s.columns, d.keyNamed)
}
