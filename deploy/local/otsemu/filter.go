package otsemu

// Limits of a filter.
const (
	// maxFilters is how many conditions on a column a filter may have. The pages of all SDKs say 10. The newest page on conditional
	// updates says 32; a program that stays below 10 works under both.
	maxFilters = 10
	// maxFilterDepth is how many filters may be inside each other. No page has such a limit: it bounds the recursion here. Ten
	// conditions need twenty at most, unless negations are negated.
	maxFilterDepth = 20
)

// Types of filters.
const (
	filterSingle    = 1
	filterComposite = 2
)

// Comparators of a filter for one column.
const (
	compareEqual = iota + 1
	compareNotEqual
	compareGreater
	compareGreaterEqual
	compareLess
	compareLessEqual
)

// Operators of a composite filter.
const (
	logicNot = iota + 1
	logicAnd
	logicOr
)

// filter is a condition on one column of a row, or joins other filters.
type filter struct {
	logic int64
	inner []*filter

	comparator int64
	column     string
	constant   value
	// failIfMissing is the outcome for a row without the column.
	failIfMissing bool
}

// readFilter reads a filter; nil stands for none.
func readFilter(b []byte) (*filter, error) {
	if len(b) == 0 {
		return nil, nil
	}
	budget := maxFilters
	return decodeFilter(b, &budget, 1)
}

// decodeFilter reads a filter that may still have budget conditions on columns. depth counts the filters around it and itself.
func decodeFilter(b []byte, budget *int, depth int) (*filter, error) {
	if depth > maxFilterDepth {
		return nil, invalid("The depth of filter exceeds the max:%d.", maxFilterDepth)
	}
	m, err := parseMessage(b)
	if err != nil {
		return nil, invalid("Deserialize filter failed.")
	}
	m.require(1, 2)
	which := m.number(1, 0)
	body, err := parseMessage(m.bytes(2))
	if err != nil || *m.problem != nil {
		return nil, invalid("Deserialize filter failed.")
	}
	switch which {
	case filterSingle:
		if *budget--; *budget < 0 {
			return nil, invalid("The count of filter exceeds the max:%d.", maxFilters)
		}
		return decodeSingle(body)
	case filterComposite:
		return decodeComposite(body, budget, depth)
	}
	return nil, unsupported("A filter that is neither of one column's value nor composite")
}

func decodeSingle(m *message) (*filter, error) {
	m.require(1, 2, 3, 4, 5)
	f := &filter{comparator: m.number(1, 0), column: m.text(2), failIfMissing: m.flag(4)}
	raw := m.bytes(3)
	switch {
	case *m.problem != nil:
		return nil, invalid("Deserialize relation filter failed.")
	case m.has(6):
		return nil, unsupported("A value transfer rule")
	case f.comparator < compareEqual || f.comparator > compareLessEqual:
		return nil, invalid("Invalid relation operator: %d.", f.comparator)
	case !validName(f.column):
		return nil, invalid("Invalid column name: '%s'.", f.column)
	}
	var err error
	if f.constant, err = decodeValue(raw); err != nil {
		return nil, err
	}
	return f, checkAttribute(cell{name: f.column, value: f.constant})
}

func decodeComposite(m *message, budget *int, depth int) (*filter, error) {
	m.require(1)
	f := &filter{logic: m.number(1, 0)}
	inner := m.all(2)
	switch {
	case *m.problem != nil:
		return nil, invalid("Deserialize composite filter failed.")
	case f.logic < logicNot || f.logic > logicOr:
		return nil, invalid("Invalid relation operator: %d.", f.logic)
	case f.logic == logicNot && len(inner) != 1:
		return nil, invalid("Invalid NOT operator: the number of sub-filters must be 1.")
	case f.logic != logicNot && len(inner) < 2:
		return nil, invalid("Invalid AND/OR operator: the number of sub-filters must be 2.")
	}
	for _, b := range inner {
		g, err := decodeFilter(b, budget, depth+1)
		if err != nil {
			return nil, err
		}
		f.inner = append(f.inner, g)
	}
	return f, nil
}

// passes evaluates a filter for a row. A row that does not exist is one without columns.
func (f *filter) passes(r row) bool {
	switch {
	case f == nil:
		return true
	case f.logic == logicNot:
		return !f.inner[0].passes(r)
	case f.logic != 0:
		for _, g := range f.inner {
			if g.passes(r) == (f.logic == logicOr) {
				return f.logic == logicOr
			}
		}
		return f.logic == logicAnd
	}
	held, found := r.column(f.column)
	if !found {
		return !f.failIfMissing
	}
	return f.fits(held)
}

// fits compares a column's value with the constant. For a value of another type every comparator is false.
func (f *filter) fits(held value) bool {
	order, comparable := held.compare(f.constant)
	if !comparable {
		return false
	}
	switch f.comparator {
	case compareEqual:
		return order == 0
	case compareNotEqual:
		return order != 0
	case compareGreater:
		return order > 0
	case compareGreaterEqual:
		return order >= 0
	case compareLess:
		return order < 0
	}
	return order <= 0
}

// column finds a column by name, in the primary key too.
func (r row) column(name string) (value, bool) {
	for _, cells := range [][]cell{r.key, r.cells} {
		for _, c := range cells {
			if c.name == name {
				return c.value, true
			}
		}
	}
	return value{}, false
}
