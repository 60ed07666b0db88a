package otsemu_test

import (
	"math"
	"slices"
	"testing"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

// single is a condition on a column, which fails for a row without it.
func single(column string, comparator tablestore.ComparatorType, value any) *tablestore.SingleColumnCondition {
	c := tablestore.NewSingleColumnCondition(column, comparator, value)
	c.FilterIfMissing, c.LatestVersionOnly = true, true
	return c
}

func composite(operator tablestore.LogicalOperator, inner ...tablestore.ColumnFilter) *tablestore.CompositeColumnValueFilter {
	c := tablestore.NewCompositeColumnCondition(operator)
	for _, f := range inner {
		c.AddFilter(f)
	}
	return c
}

func passIfMissing(f *tablestore.SingleColumnCondition) *tablestore.SingleColumnCondition {
	f.FilterIfMissing = false
	return f
}

func TestFilter(t *testing.T) {
	f := startWithJobs(t)
	f.store("jobs", pk("id", "a"), attributes{"n": int64(5), "s": "m", "d": 2.5, "b": true, "raw": []byte{1, 2}})
	filtered := func(filter tablestore.ColumnFilter, columns ...string) func(*tablestore.SingleRowQueryCriteria) {
		return func(c *tablestore.SingleRowQueryCriteria) { c.Filter, c.ColumnsToGet = filter, columns }
	}
	found := func(filter tablestore.ColumnFilter, columns ...string) bool {
		return f.read("jobs", pk("id", "a"), filtered(filter, columns...)) != nil
	}
	five, six := single("n", tablestore.CT_EQUAL, int64(5)), single("n", tablestore.CT_EQUAL, int64(6))

	for name, test := range map[string]struct {
		filter tablestore.ColumnFilter
		want   bool
	}{
		"equal":                        {five, true},
		"not equal":                    {single("n", tablestore.CT_NOT_EQUAL, int64(5)), false},
		"greater":                      {single("n", tablestore.CT_GREATER_THAN, int64(4)), true},
		"greater, but equal":           {single("n", tablestore.CT_GREATER_THAN, int64(5)), false},
		"greater or equal":             {single("n", tablestore.CT_GREATER_EQUAL, int64(5)), true},
		"less":                         {single("n", tablestore.CT_LESS_THAN, int64(5)), false},
		"less or equal":                {single("n", tablestore.CT_LESS_EQUAL, int64(5)), true},
		"a string":                     {single("s", tablestore.CT_LESS_THAN, "n"), true},
		"a double":                     {single("d", tablestore.CT_GREATER_THAN, 2.0), true},
		"a boolean":                    {single("b", tablestore.CT_EQUAL, true), true},
		"a binary":                     {single("raw", tablestore.CT_EQUAL, []byte{1, 2}), true},
		"a primary key":                {single("id", tablestore.CT_EQUAL, "a"), true},
		"another type":                 {single("n", tablestore.CT_EQUAL, "5"), false},
		"not equal to another type":    {single("n", tablestore.CT_NOT_EQUAL, "5"), false},
		"a missing column":             {single("none", tablestore.CT_NOT_EQUAL, "x"), false},
		"a missing column that may be": {passIfMissing(single("none", tablestore.CT_EQUAL, "x")), true},
		"a present column that may be": {passIfMissing(single("n", tablestore.CT_EQUAL, int64(6))), false},
		"not":                          {composite(tablestore.LO_NOT, six), true},
		"and":                          {composite(tablestore.LO_AND, five, five, six), false},
		"and, of true ones":            {composite(tablestore.LO_AND, five, five), true},
		"or":                           {composite(tablestore.LO_OR, six, five), true},
		"or, of false ones":            {composite(tablestore.LO_OR, six, six), false},
		"nested":                       {composite(tablestore.LO_AND, five, composite(tablestore.LO_NOT, composite(tablestore.LO_OR, six, six))), true},
	} {
		same(t, name, found(test.filter), test.want)
	}
	same(t, "a column that is not read", found(five, "s"), false)
	same(t, "a column that is not read and may be missing", found(passIfMissing(single("n", tablestore.CT_EQUAL, int64(6))), "s"), true)

	t.Run("is refused when the service would refuse it", func(t *testing.T) {
		// nested is a condition with so many negations around it.
		nested := func(negations int) tablestore.ColumnFilter {
			var filter tablestore.ColumnFilter = six
			for range negations {
				filter = composite(tablestore.LO_NOT, filter)
			}
			return filter
		}
		ten := composite(tablestore.LO_AND, slices.Repeat([]tablestore.ColumnFilter{five}, 10)...)
		same(t, "ten conditions", found(ten), true)
		same(t, "twenty levels", found(nested(19)), true)
		for message, filter := range map[string]tablestore.ColumnFilter{
			"The count of filter exceeds the max:10.":                      composite(tablestore.LO_AND, ten, five),
			"The depth of filter exceeds the max:20.":                      nested(20),
			"Invalid NOT operator: the number of sub-filters must be 1.":   composite(tablestore.LO_NOT, five, five),
			"Invalid AND/OR operator: the number of sub-filters must be 2": composite(tablestore.LO_OR, five),
			"NaN can't be set to double value.":                            single("d", tablestore.CT_EQUAL, math.NaN()),
			"Invalid column name: 'a b'.":                                  single("a b", tablestore.CT_EQUAL, "x"),
			"A value transfer rule is not supported": tablestore.NewSingleColumnValueRegexFilter("n", tablestore.CT_EQUAL,
				tablestore.NewValueTransferRule("x", tablestore.Variant_STRING), "x"),
			"neither of one column's value nor composite": &tablestore.PaginationFilter{Limit: 1},
		} {
			_, err := f.get("jobs", pk("id", "a"), filtered(filter))
			invalid(t, err, message)
		}
	})
}
