package otsemu_test

import (
	"math"
	"testing"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

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
	b := start(t)
	b.table("jobs", textKey)
	b.store("jobs", pk("id", "a"), attributes{"n": int64(5), "s": "m", "d": 2.5, "b": true, "raw": []byte{1, 2}})
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
		"not, of a missing column":     {composite(tablestore.LO_NOT, single("none", tablestore.CT_EQUAL, "x")), true},
		"and":                          {composite(tablestore.LO_AND, five, five, six), false},
		"and, of true ones":            {composite(tablestore.LO_AND, five, five), true},
		"or":                           {composite(tablestore.LO_OR, six, five), true},
		"or, of false ones":            {composite(tablestore.LO_OR, six, six), false},
		"nested":                       {composite(tablestore.LO_AND, five, composite(tablestore.LO_NOT, composite(tablestore.LO_OR, six, six))), true},
	} {
		t.Run("of a read: "+name, func(t *testing.T) {
			got := must[*tablestore.GetRowResponse](t)(b.get(&tablestore.SingleRowQueryCriteria{
				TableName: "jobs", PrimaryKey: pk("id", "a"), Filter: test.filter,
			}))
			same(t, "found", attributesOf(got) != nil, test.want)
		})
		t.Run("of a write: "+name, func(t *testing.T) {
			c := updateChange("jobs", pk("id", "a"))
			c.PutColumn("touched", "1")
			c.SetColumnCondition(test.filter)
			_, err := b.update(c)
			if test.want {
				refused(t, err, "", 0, "")
				return
			}
			conditionFailed(t, err, columnsDiffer)
		})
	}

	t.Run("sees only the columns that are read", func(t *testing.T) {
		found := func(f tablestore.ColumnFilter) bool {
			return attributesOf(must[*tablestore.GetRowResponse](t)(b.get(&tablestore.SingleRowQueryCriteria{
				TableName: "jobs", PrimaryKey: pk("id", "a"), ColumnsToGet: []string{"s"}, Filter: f,
			}))) != nil
		}
		same(t, "strict", found(five), false)
		same(t, "passing when missing", found(passIfMissing(single("n", tablestore.CT_EQUAL, int64(6)))), true)
	})

	t.Run("takes a row that does not exist for one without columns", func(t *testing.T) {
		c := putChange("jobs", pk("id", "new"), attributes{"n": int64(1)})
		c.SetColumnCondition(five)
		_, err := b.put(c)
		conditionFailed(t, err, columnsDiffer)
		c.SetColumnCondition(passIfMissing(single("n", tablestore.CT_EQUAL, int64(5))))
		must[*tablestore.PutRowResponse](t)(b.put(c))
	})

	t.Run("is refused when the service would refuse it", func(t *testing.T) {
		// nested is a condition that does not hold, with so many negations around it.
		nested := func(negations int) tablestore.ColumnFilter {
			var f tablestore.ColumnFilter = six
			for range negations {
				f = composite(tablestore.LO_NOT, f)
			}
			return f
		}
		many := composite(tablestore.LO_AND, five, five, five, five, five, five, five, five, five, five)
		for message, f := range map[string]tablestore.ColumnFilter{
			"The count of filter exceeds the max:10.":                      composite(tablestore.LO_AND, many, five),
			"The depth of filter exceeds the max:20.":                      nested(20),
			"Invalid NOT operator: the number of sub-filters must be 1.":   composite(tablestore.LO_NOT, five, five),
			"Invalid AND/OR operator: the number of sub-filters must be 2": composite(tablestore.LO_OR, five),
			"NaN can't be set to double value.":                            single("d", tablestore.CT_EQUAL, math.NaN()),
			"Invalid column name: 'a b'.":                                  single("a b", tablestore.CT_EQUAL, "x"),
			"A value transfer rule is not supported": tablestore.NewSingleColumnValueRegexFilter("n", tablestore.CT_EQUAL,
				tablestore.NewValueTransferRule("x", tablestore.Variant_STRING), "x"),
			"neither of one column's value nor composite": &tablestore.PaginationFilter{Limit: 1},
		} {
			_, err := b.get(&tablestore.SingleRowQueryCriteria{TableName: "jobs", PrimaryKey: pk("id", "a"), Filter: f})
			invalid(t, err, message)
		}
		for name, f := range map[string]tablestore.ColumnFilter{"ten conditions are allowed": many, "twenty levels are allowed": nested(19)} {
			got := must[*tablestore.GetRowResponse](t)(b.get(&tablestore.SingleRowQueryCriteria{
				TableName: "jobs", PrimaryKey: pk("id", "a"), Filter: f,
			}))
			same(t, name, attributesOf(got) != nil, true)
		}
	})
}
