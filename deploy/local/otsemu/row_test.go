package otsemu_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

// The texts of a condition that does not hold, recorded from the service: on columns, and on the existence of the row.
const (
	columnsDiffer = "Condition check failed."
	rowExists     = "Row exists which is expected nonexistent"
	rowMissing    = "Row does not exist which is expected existent"
)

func conditionFailed(t testing.TB, err error, text string) {
	t.Helper()
	refused(t, err, "OTSConditionCheckFail", 403, text)
}

func TestPutRow(t *testing.T) {
	f, key := startWithJobs(t), pk("id", "a")

	t.Run("keeps every type of value, with the time of the write", func(t *testing.T) {
		row := attributes{
			"text": "a\x00é", "empty": "", "integer": int64(math.MinInt64), "double": 3.25, "yes": true, "no": false,
			"binary": []byte{0, 0xff}, "none": []byte{},
		}
		f.store("jobs", key, row)
		same(t, "row", f.read("jobs", key, nil), row)
		got := must[*tablestore.GetRowResponse](t)(f.get("jobs", key, nil))
		same(t, "time", got.Columns[0].Timestamp, f.clock.Now().UnixMilli())
	})

	t.Run("replaces the whole row, which may have no attributes", func(t *testing.T) {
		f.store("jobs", key, attributes{"old": "1", "both": "1"})
		f.store("jobs", key, attributes{"both": "2"})
		same(t, "replaced", f.read("jobs", key, nil), attributes{"both": "2"})
		f.store("jobs", key, nil)
		same(t, "empty", f.read("jobs", key, nil), attributes{})
	})

	t.Run("checks whether the row exists, and then its columns", func(t *testing.T) {
		f.store("jobs", pk("id", "there"), attributes{"c": "old"})
		for _, test := range []struct {
			id        string
			existence tablestore.RowExistenceExpectation
			column    tablestore.ColumnFilter
			refusal   string
		}{
			{"missing", expectExist, nil, rowMissing},
			{"missing", expectExist, single("c", tablestore.CT_EQUAL, "other"), rowMissing},
			{"missing", ignore, single("c", tablestore.CT_EQUAL, "old"), columnsDiffer},
			{"missing", expectNotExist, nil, ""},
			{"new", ignore, single("id", tablestore.CT_EQUAL, "new"), ""},
			{"there", expectNotExist, nil, rowExists},
			{"there", expectExist, single("c", tablestore.CT_EQUAL, "other"), columnsDiffer},
			{"there", expectExist, single("c", tablestore.CT_EQUAL, "old"), ""},
		} {
			before := f.read("jobs", pk("id", test.id), nil)
			change := putChange("jobs", pk("id", test.id), attributes{"c": "new"})
			change.Condition = &tablestore.RowCondition{RowExistenceExpectation: test.existence, ColumnCondition: test.column}
			_, err := f.put(change)
			after := f.read("jobs", pk("id", test.id), nil)
			if test.refusal == "" {
				same(t, "row", after, attributes{"c": "new"})
				continue
			}
			conditionFailed(t, err, test.refusal)
			same(t, "row", after, before)
		}
	})

	t.Run("refuses rows that the service refuses, and what is left out", func(t *testing.T) {
		f := startWithJobs(t)
		long := strings.Repeat("x", 2<<20+1)
		tooMany := attributes{}
		for i := range 1025 {
			tooMany[fmt.Sprint("c", i)] = true
		}
		twice, dated := putChange("jobs", key, attributes{"c": "1"}), putChange("jobs", key, nil)
		twice.AddColumn("c", "2")
		dated.AddColumnWithTimestamp("c", "1", f.clock.Now().Add(-25*time.Hour).UnixMilli())
		for message, c := range map[string]*tablestore.PutRowChange{
			"Invalid column name: 'a-b'.":                                               putChange("jobs", key, attributes{"a-b": "1"}),
			"Invalid column name: ''.":                                                  putChange("jobs", key, attributes{"": "1"}),
			"Duplicated attribute column name with primary key column: 'id'.":           putChange("jobs", key, attributes{"id": "1"}),
			"Value of column 'c' must be UTF8 encoding.":                                putChange("jobs", key, attributes{"c": "\xff"}),
			"Value of column 'id' must be UTF8 encoding.":                               putChange("jobs", pk("id", "\xff"), nil),
			"NaN can't be set to double value.":                                         putChange("jobs", key, attributes{"c": math.NaN()}),
			"Infinity can't be set to double value.":                                    putChange("jobs", key, attributes{"c": math.Inf(-1)}),
			"column: 'id' exceeds the MaxLength: 1024 with CurrentLength: 1025.":        putChange("jobs", pk("id", long[:1025]), nil),
			"column: 'c' exceeded the MaxLength:2097152 with Current Length:2097153.":   putChange("jobs", key, attributes{"c": long}),
			"limit count:1024, column count: 1025.":                                     putChange("jobs", key, tooMany),
			"data size of PutRow request exceeds the limit, limit size: 4194304, data ": putChange("jobs", key, attributes{"c": long[1:], "d": long[1:]}),
			"Invalid timestamp. Cell:c.":                                                dated,
			"More than one value or change of a column is not supported":                twice,
		} {
			_, err := f.put(c)
			invalid(t, err, message)
		}
		same(t, "rows", f.pages(everything("jobs", "id")), [][]string{{}})
	})

	t.Run("refuses keys that are not the table's, as all operations do", func(t *testing.T) {
		for message, key := range map[string]*tablestore.PrimaryKey{
			"Validate PK size fail. Input: 2, Meta: 1.":                         pk("id", "a", "n", int64(1)),
			"Validate PK name fail. Input: other, Meta: id.":                    pk("other", "a"),
			"Validate PK type fail. Input: VT_INTEGER, Meta: VT_STRING.":        pk("id", int64(1)),
			"Validate PK type fail. Input: VT_BLOB, Meta: VT_STRING.":           pk("id", []byte("a")),
			"Validate PK type fail. Input: VT_AUTO_INCREMENT, Meta: VT_STRING.": pk("id", tablestore.AUTO_INCREMENT),
		} {
			_, err := f.put(putChange("jobs", key, nil))
			refused(t, err, "OTSInvalidPK", 400, message)
			_, err = f.delete(deleteChange("jobs", key))
			refused(t, err, "OTSInvalidPK", 400, message)
			_, err = f.get("jobs", key, nil)
			refused(t, err, "OTSInvalidPK", 400, message)
		}
	})
}

func TestUpdateRow(t *testing.T) {
	f := startWithJobs(t)

	t.Run("puts and deletes columns, and keeps the others with their times", func(t *testing.T) {
		key := pk("id", "kept")
		f.store("jobs", key, attributes{"changed": "1", "gone": "1", "kept": "1"})
		written := f.clock.Now().UnixMilli()
		f.clock.Advance(time.Hour)
		c := updateChange("jobs", key, attributes{"added": true, "changed": int64(2)}, "gone", "never_there")
		must[*tablestore.UpdateRowResponse](t)(f.update(c))
		same(t, "row", f.read("jobs", key, nil), attributes{"added": true, "changed": int64(2), "kept": "1"})
		columns, now := must[*tablestore.GetRowResponse](t)(f.get("jobs", key, nil)).Columns, f.clock.Now().UnixMilli()
		same(t, "times", []int64{columns[0].Timestamp, columns[1].Timestamp, columns[2].Timestamp}, []int64{now, now, written})
	})

	t.Run("creates a row by a put but not by a deletion, which can empty a row", func(t *testing.T) {
		key := pk("id", "new")
		for _, step := range []struct {
			puts    attributes
			deletes string
			want    attributes
		}{
			{nil, "c", nil},
			{attributes{"c": "1"}, "d", attributes{"c": "1"}},
			{nil, "c", attributes{}},
		} {
			must[*tablestore.UpdateRowResponse](t)(f.update(updateChange("jobs", key, step.puts, step.deletes)))
			same(t, "row", f.read("jobs", key, nil), step.want)
		}
	})

	t.Run("checks conditions", func(t *testing.T) {
		key := pk("id", "conditions")
		f.store("jobs", key, attributes{"c": "1"})
		c := updateChange("jobs", key, attributes{"c": "2"})
		c.SetColumnCondition(single("c", tablestore.CT_EQUAL, "other"))
		_, err := f.update(c)
		conditionFailed(t, err, columnsDiffer)
		c.SetColumnCondition(single("c", tablestore.CT_EQUAL, "1"))
		must[*tablestore.UpdateRowResponse](t)(f.update(c))
		same(t, "row", f.read("jobs", key, nil), attributes{"c": "2"})
	})

	t.Run("adds to an integer, which begins at 0, and returns the sum alone", func(t *testing.T) {
		key := pk("id", "counter")
		f.store("jobs", key, attributes{"other": "1"})
		for _, step := range []struct{ add, sum int64 }{{5, 5}, {0, 5}, {-7, -2}} {
			got := must[*tablestore.UpdateRowResponse](t)(f.update(countChange("jobs", key, step.add)))
			same(t, "returned columns", len(got.Columns), 1)
			same(t, "sum", got.Columns[0].Value, any(step.sum))
		}
		same(t, "row", f.read("jobs", key, nil), attributes{"n": int64(-2), "other": "1"})
	})

	t.Run("refuses what the service refuses and what is left out, and writes nothing then", func(t *testing.T) {
		key, row := pk("id", "refused"), attributes{"text": "1", "high": int64(math.MaxInt64), "low": int64(math.MinInt64)}
		f.store("jobs", key, row)
		kind := func(c *tablestore.UpdateRowChange, kind byte) { c.Columns[0].HasType, c.Columns[0].Type = true, kind }
		for message, edit := range map[string]func(*tablestore.UpdateRowChange){
			"Attribute column is missing.":                                 func(c *tablestore.UpdateRowChange) { c.Columns = nil },
			"EXPECT_NOT_EXIST in UpdateRow.":                               func(c *tablestore.UpdateRowChange) { c.SetCondition(expectNotExist) },
			"Column 'text' cannot be incremented: its type is VT_STRING.":  func(c *tablestore.UpdateRowChange) { c.IncrementColumn("text", 1) },
			"Column 'high' cannot be incremented: the result overflows.":   func(c *tablestore.UpdateRowChange) { c.IncrementColumn("high", 1) },
			"Column 'low' cannot be incremented: the result overflows.":    func(c *tablestore.UpdateRowChange) { c.IncrementColumn("low", -1) },
			"Column 'written' cannot be incremented by a VT_STRING.":       func(c *tablestore.UpdateRowChange) { kind(c, tablestore.INCREMENT) },
			"Column value cannot be given when type is DELETE_ONE_VERSION": func(c *tablestore.UpdateRowChange) { kind(c, tablestore.DELETE_ALL_VERSION) },
			"Invalid op type of cell: 2.":                                  func(c *tablestore.UpdateRowChange) { kind(c, 2) },
			"Invalid cell: written. Reason: missing value.":                func(c *tablestore.UpdateRowChange) { c.Columns[0].IgnoreValue = true },
			"More than one value or change of a column is not supported":   func(c *tablestore.UpdateRowChange) { c.DeleteColumn("written") },
			"Invalid timestamp. Cell:c.":                                   func(c *tablestore.UpdateRowChange) { c.PutColumnWithTimestamp("c", "1", 1) },
			"Timestamp must be in range [0, INT64_MAX/1000).":              func(c *tablestore.UpdateRowChange) { c.PutColumnWithTimestamp("c", "1", -1) },
		} {
			c := updateChange("jobs", key, attributes{"written": "1"})
			edit(c)
			_, err := f.update(c)
			invalid(t, err, message)
		}
		same(t, "row", f.read("jobs", key, nil), row)
	})
}

func TestDeleteRow(t *testing.T) {
	f := startWithJobs(t)
	f.store("jobs", pk("id", "a"), attributes{"state": "running"})
	f.store("jobs", pk("id", "b"), nil)

	t.Run("checks conditions", func(t *testing.T) {
		c := deleteChange("jobs", pk("id", "none"))
		c.SetCondition(expectExist)
		_, err := f.delete(c)
		conditionFailed(t, err, rowMissing)
		c.SetCondition(expectNotExist)
		_, err = f.delete(c)
		invalid(t, err, "EXPECT_NOT_EXIST in DeleteRow.")
		c = deleteChange("jobs", pk("id", "a"))
		c.SetColumnCondition(single("state", tablestore.CT_EQUAL, "done"))
		_, err = f.delete(c)
		conditionFailed(t, err, columnsDiffer)
		same(t, "rows", f.pages(everything("jobs", "id")), [][]string{{"id=a", "id=b"}})
	})

	t.Run("deletes a row, and a missing one without complaint", func(t *testing.T) {
		for range 2 {
			must[*tablestore.DeleteRowResponse](t)(f.delete(deleteChange("jobs", pk("id", "a"))))
		}
		same(t, "rows", f.pages(everything("jobs", "id")), [][]string{{"id=b"}})
	})
}

func TestGetRow(t *testing.T) {
	f := startWithJobs(t)
	f.store("jobs", pk("id", "a"), attributes{"a": "1", "b": "2", "c": "3"})

	t.Run("answers the columns asked for", func(t *testing.T) {
		for name, test := range map[string]struct {
			columns []string
			want    attributes
		}{
			"some":                         {[]string{"a", "c", "a", "none"}, attributes{"a": "1", "c": "3"}},
			"only one that is not there":   {[]string{"none"}, nil},
			"the primary key alone":        {[]string{"id"}, attributes{}},
			"the primary key with another": {[]string{"id", "b"}, attributes{"b": "2"}},
		} {
			got := f.read("jobs", pk("id", "a"), func(c *tablestore.SingleRowQueryCriteria) { c.ColumnsToGet = test.columns })
			same(t, name, got, test.want)
		}
	})

	t.Run("answers a range of columns", func(t *testing.T) {
		start, end := "b", "c"
		got := f.read("jobs", pk("id", "a"), func(c *tablestore.SingleRowQueryCriteria) { c.StartColumn, c.EndColumn = &start, &end })
		same(t, "from b up to c", got, attributes{"b": "2"})
		start = "d"
		same(t, "none", f.read("jobs", pk("id", "a"), func(c *tablestore.SingleRowQueryCriteria) { c.StartColumn = &start }), attributes(nil))
	})

	t.Run("refuses what the service refuses, and what is left out", func(t *testing.T) {
		column := "a"
		for message, edit := range map[string]func(*tablestore.SingleRowQueryCriteria){
			"Max versions must be positive.":                      func(c *tablestore.SingleRowQueryCriteria) { c.MaxVersion = -1 },
			"A read by time is not supported by this local":       func(c *tablestore.SingleRowQueryCriteria) { c.TimeRange = &tablestore.TimeRange{Start: 1, End: 2} },
			"A local transaction is not supported by this local ": func(c *tablestore.SingleRowQueryCriteria) { c.TransactionId = &column },
		} {
			_, err := f.get("jobs", pk("id", "a"), edit)
			invalid(t, err, message)
		}
		_, err := f.get("jobs", pk("id", tablestore.MIN), nil)
		refused(t, err, "OTSInvalidPK", 400, "Validate PK type fail. Input: VT_INF_MIN, Meta: VT_STRING.")
	})
}

func TestTimestampsOfCallers(t *testing.T) {
	f := startWithJobs(t)
	key, written := pk("id", "a"), f.clock.Now().Add(-time.Hour).UnixMilli()
	change := putChange("jobs", key, attributes{"kept": "1"})
	change.AddColumnWithTimestamp("dated", "1", written)
	must[*tablestore.PutRowResponse](t)(f.put(change))
	for _, at := range []int64{written - 1, written} {
		one := updateChange("jobs", key, nil)
		one.DeleteColumnWithTimestamp("dated", at)
		must[*tablestore.UpdateRowResponse](t)(f.update(one))
		want := attributes{"kept": "1", "dated": "1"}
		if at == written {
			want = attributes{"kept": "1"}
		}
		same(t, "after the deletion of one version", f.read("jobs", key, nil), want)
	}
}

func TestTimeToLive(t *testing.T) {
	const day = 24 * time.Hour
	key := pk("id", "a")

	t.Run("ends a row a day after its last write", func(t *testing.T) {
		f := start(t)
		must[*tablestore.CreateTableResponse](t)(f.sdk.CreateTable(newTable("jobs", textKey, 86400)))
		f.store("jobs", key, attributes{"c": "1"})
		f.clock.Advance(day / 2)
		f.store("jobs", key, attributes{"c": "2"})
		f.store("jobs", pk("id", "empty"), nil)
		f.clock.Advance(day - time.Second)
		same(t, "before", f.pages(everything("jobs", "id")), [][]string{{"id=a", "id=empty"}})
		f.clock.Advance(time.Second)
		same(t, "range", f.pages(everything("jobs", "id")), [][]string{{}})
		same(t, "row", f.read("jobs", key, nil), attributes(nil))
	})

	t.Run("ends a column a day after its last write, and the row with the last of its columns", func(t *testing.T) {
		f := start(t)
		must[*tablestore.CreateTableResponse](t)(f.sdk.CreateTable(newTable("jobs", textKey, 86400)))
		f.store("jobs", key, attributes{"old": "1"})
		f.clock.Advance(day / 2)
		must[*tablestore.UpdateRowResponse](t)(f.update(updateChange("jobs", key, attributes{"new": "1"})))
		f.clock.Advance(day / 2)
		same(t, "after a day", f.read("jobs", key, nil), attributes{"new": "1"})
		f.clock.Advance(day / 2)
		same(t, "after a day and a half", f.read("jobs", key, nil), attributes(nil))
	})

	t.Run("follows UpdateTable at once, and an expired row does not exist for conditions", func(t *testing.T) {
		f := startWithJobs(t)
		f.store("jobs", key, attributes{"c": "1"})
		f.clock.Advance(30 * day)
		same(t, "for ever", f.read("jobs", key, nil), attributes{"c": "1"})
		must[*tablestore.UpdateTableResponse](t)(f.sdk.UpdateTable(&tablestore.UpdateTableRequest{
			TableName: "jobs", TableOption: tablestore.NewTableOption(86400, 1),
		}))
		c := putChange("jobs", key, attributes{"c": "2"})
		c.SetCondition(expectExist)
		_, err := f.put(c)
		conditionFailed(t, err, rowMissing)
		c.SetCondition(expectNotExist)
		must[*tablestore.PutRowResponse](t)(f.put(c))
	})
}

func TestCapacityUnits(t *testing.T) {
	f := startWithJobs(t)
	units := func(read, write int32) tablestore.ConsumedCapacityUnit {
		return tablestore.ConsumedCapacityUnit{Read: read, Write: write}
	}
	key, big := pk("id", "a"), attributes{"c": strings.Repeat("x", 5000)}
	put := func(c *tablestore.PutRowChange) tablestore.ConsumedCapacityUnit {
		return *must[*tablestore.PutRowResponse](t)(f.put(c)).ConsumedCapacityUnit
	}
	same(t, "a put of 5 KB", put(putChange("jobs", key, big)), units(0, 2))
	c := putChange("jobs", key, big)
	c.SetCondition(expectExist)
	same(t, "one that reads the key", put(c), units(1, 2))
	c.SetColumnCondition(single("c", tablestore.CT_EQUAL, big["c"]))
	same(t, "one that reads the row", put(c), units(2, 2))
	named := attributes{}
	for i := range 17 {
		named[strings.Repeat("x", 250)+fmt.Sprint(i)] = ""
	}
	same(t, "a put of names", put(putChange("jobs", pk("id", "names"), named)), units(0, 2))
	same(t, "a get", *must[*tablestore.GetRowResponse](t)(f.get("jobs", key, nil)).ConsumedCapacityUnit, units(2, 0))
	same(t, "a get of nothing", *must[*tablestore.GetRowResponse](t)(f.get("jobs", pk("id", "none"), nil)).ConsumedCapacityUnit, units(1, 0))
	update := updateChange("jobs", key, attributes{"small": "1"}, "c")
	update.SetColumnCondition(single("c", tablestore.CT_EQUAL, big["c"]))
	same(t, "an update that reads the row it shortens", *must[*tablestore.UpdateRowResponse](t)(f.update(update)).ConsumedCapacityUnit, units(2, 1))
	same(t, "a delete", *must[*tablestore.DeleteRowResponse](t)(f.delete(deleteChange("jobs", key))).ConsumedCapacityUnit, units(0, 1))
}
