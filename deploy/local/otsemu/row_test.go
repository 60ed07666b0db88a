package otsemu_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

func TestPutRow(t *testing.T) {
	t.Run("keeps every type of value", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		row := attributes{
			"text": "a\x00é", "empty": "", "integer": int64(math.MinInt64), "double": 3.25, "yes": true, "no": false,
			"binary": []byte{0, 0xff}, "none": []byte{},
		}
		b.store("jobs", pk("id", "a"), row)
		same(t, "row", b.read("jobs", pk("id", "a")), row)
	})

	t.Run("replaces the whole row", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		b.store("jobs", pk("id", "a"), attributes{"old": "1", "both": "1"})
		b.store("jobs", pk("id", "a"), attributes{"both": "2"})
		same(t, "row", b.read("jobs", pk("id", "a")), attributes{"both": "2"})
	})

	t.Run("makes a row without attributes exist", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		same(t, "before", b.read("jobs", pk("id", "a")), attributes(nil))
		b.store("jobs", pk("id", "a"), nil)
		same(t, "after", b.read("jobs", pk("id", "a")), attributes{})
	})

	t.Run("checks whether the row exists", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		expecting := func(existence tablestore.RowExistenceExpectation, value string) error {
			c := putChange("jobs", pk("id", "a"), attributes{"c": value})
			c.SetCondition(existence)
			_, err := b.put(c)
			return err
		}
		conditionFailed(t, expecting(expectExist, "1"), rowMissing)
		refused(t, expecting(expectNotExist, "2"), "", 0, "")
		conditionFailed(t, expecting(expectNotExist, "3"), rowExists)
		same(t, "row", b.read("jobs", pk("id", "a")), attributes{"c": "2"})
		refused(t, expecting(expectExist, "4"), "", 0, "")
		same(t, "row", b.read("jobs", pk("id", "a")), attributes{"c": "4"})
	})

	t.Run("returns the primary key when asked", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		c := putChange("jobs", pk("id", "a"), attributes{"c": "1"})
		c.SetReturnPk()
		got := must[*tablestore.PutRowResponse](t)(b.put(c))
		same(t, "key", keyOf(&got.PrimaryKey), "id=a")
	})

	t.Run("refuses rows the service refuses", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		long := strings.Repeat("x", 2<<20+1)
		tooMany := attributes{}
		for i := range 1025 {
			tooMany[fmt.Sprint("c", i)] = true
		}
		for message, c := range map[string]*tablestore.PutRowChange{
			"Invalid column name: 'a-b'.":                                               putChange("jobs", pk("id", "a"), attributes{"a-b": "1"}),
			"Invalid column name: ''.":                                                  putChange("jobs", pk("id", "a"), attributes{"": "1"}),
			"Duplicated attribute column name with primary key column: 'id'.":           putChange("jobs", pk("id", "a"), attributes{"id": "1"}),
			"Value of column 'c' must be UTF8 encoding.":                                putChange("jobs", pk("id", "a"), attributes{"c": "\xff"}),
			"Value of column 'id' must be UTF8 encoding.":                               putChange("jobs", pk("id", "\xff"), nil),
			"NaN can't be set to double value.":                                         putChange("jobs", pk("id", "a"), attributes{"c": math.NaN()}),
			"Infinity can't be set to double value.":                                    putChange("jobs", pk("id", "a"), attributes{"c": math.Inf(-1)}),
			"column: 'id' exceeds the MaxLength: 1024 with CurrentLength: 1025.":        putChange("jobs", pk("id", long[:1025]), nil),
			"column: 'c' exceeded the MaxLength:2097152 with Current Length:2097153.":   putChange("jobs", pk("id", "a"), attributes{"c": long}),
			"limit count:1024, column count: 1025.":                                     putChange("jobs", pk("id", "a"), tooMany),
			"data size of PutRow request exceeds the limit, limit size: 4194304, data ": putChange("jobs", pk("id", "a"), attributes{"c": long[1:], "d": long[1:]}),
			"Invalid timestamp. Cell:c.": change(putChange("jobs", pk("id", "a"), nil), func(c *tablestore.PutRowChange) {
				c.AddColumnWithTimestamp("c", "1", b.clock.Now().Add(24*time.Hour).UnixMilli())
			}),
			"An auto-increment primary key": putChange("jobs", pk("id", tablestore.AUTO_INCREMENT), nil),
		} {
			_, err := b.put(c)
			invalid(t, err, message)
		}
		same(t, "rows", b.pages(everything("jobs", "id")), [][]string{{}})
	})

	t.Run("refuses keys that are not the table's", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		for message, key := range map[string]*tablestore.PrimaryKey{
			"Validate PK size fail. Input: 2, Meta: 1.":                  pk("id", "a", "n", int64(1)),
			"Validate PK name fail. Input: other, Meta: id.":             pk("other", "a"),
			"Validate PK type fail. Input: VT_INTEGER, Meta: VT_STRING.": pk("id", int64(1)),
			"Validate PK type fail. Input: VT_BLOB, Meta: VT_STRING.":    pk("id", []byte("a")),
		} {
			_, err := b.put(putChange("jobs", key, attributes{"c": "1"}))
			refused(t, err, "OTSInvalidPK", 400, message)
			_, err = b.delete(deleteChange("jobs", key))
			refused(t, err, "OTSInvalidPK", 400, message)
			_, err = b.get(&tablestore.SingleRowQueryCriteria{TableName: "jobs", PrimaryKey: key})
			refused(t, err, "OTSInvalidPK", 400, message)
		}
	})
}

func TestUpdateRow(t *testing.T) {
	t.Run("puts, deletes and leaves columns", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		b.store("jobs", pk("id", "a"), attributes{"kept": "1", "changed": "1", "gone": "1"})
		c := updateChange("jobs", pk("id", "a"))
		c.PutColumn("changed", int64(2))
		c.PutColumn("added", true)
		c.DeleteColumn("gone")
		c.DeleteColumn("never_there")
		must[*tablestore.UpdateRowResponse](t)(b.update(c))
		same(t, "row", b.read("jobs", pk("id", "a")), attributes{"kept": "1", "changed": int64(2), "added": true})
	})

	t.Run("creates a row, unless it only deletes", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		c := updateChange("jobs", pk("id", "deleted"))
		c.DeleteColumn("c")
		must[*tablestore.UpdateRowResponse](t)(b.update(c))
		same(t, "deleted", b.read("jobs", pk("id", "deleted")), attributes(nil))
		c = updateChange("jobs", pk("id", "put"))
		c.PutColumn("c", "1")
		must[*tablestore.UpdateRowResponse](t)(b.update(c))
		same(t, "put", b.read("jobs", pk("id", "put")), attributes{"c": "1"})
	})

	t.Run("leaves a row that lost all its columns", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		b.store("jobs", pk("id", "a"), attributes{"c": "1"})
		c := updateChange("jobs", pk("id", "a"))
		c.DeleteColumn("c")
		must[*tablestore.UpdateRowResponse](t)(b.update(c))
		same(t, "row", b.read("jobs", pk("id", "a")), attributes{})
	})

	t.Run("counts up and down from 0 and returns the sum", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		add := func(n int64) any {
			c := updateChange("jobs", pk("id", "a"))
			c.IncrementColumn("n", n)
			c.PutColumn("other", "1")
			c.SetReturnIncrementValue()
			c.AppendIncrementColumnToReturn("n")
			got := must[*tablestore.UpdateRowResponse](t)(b.update(c))
			same(t, "returned columns", len(got.Columns), 1)
			return got.Columns[0].Value
		}
		same(t, "first", add(5), any(int64(5)))
		same(t, "down", add(-7), any(int64(-2)))
		same(t, "stored", b.read("jobs", pk("id", "a"))["n"], any(int64(-2)))
	})

	t.Run("refuses increments that cannot be", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		b.store("jobs", pk("id", "a"), attributes{"text": "1", "high": int64(math.MaxInt64), "low": int64(math.MinInt64)})
		for message, edit := range map[string]func(*tablestore.UpdateRowChange){
			"Column 'text' cannot be incremented: its type is VT_STRING.": func(c *tablestore.UpdateRowChange) { c.IncrementColumn("text", 1) },
			"Column 'high' cannot be incremented: the result overflows.":  func(c *tablestore.UpdateRowChange) { c.IncrementColumn("high", 1) },
			"Column 'low' cannot be incremented: the result overflows.":   func(c *tablestore.UpdateRowChange) { c.IncrementColumn("low", math.MinInt64) },
			"Column 'n' is incremented and can have no other operation.": func(c *tablestore.UpdateRowChange) {
				c.PutColumn("n", int64(1))
				c.IncrementColumn("n", 1)
			},
		} {
			c := updateChange("jobs", pk("id", "a"))
			c.PutColumn("written", "1")
			edit(c)
			_, err := b.update(c)
			invalid(t, err, message)
		}
		same(t, "nothing written", b.read("jobs", pk("id", "a"))["written"], nil)
	})

	t.Run("refuses what the service refuses", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		_, err := b.update(updateChange("jobs", pk("id", "a")))
		invalid(t, err, "Attribute column is missing.")
		c := updateChange("jobs", pk("id", "a"))
		c.PutColumn("c", "1")
		c.SetCondition(expectNotExist)
		_, err = b.update(c)
		invalid(t, err, "EXPECT_NOT_EXIST in UpdateRow.")
		c.SetCondition(expectExist)
		_, err = b.update(c)
		conditionFailed(t, err, rowMissing)
		c.Columns[0].HasType, c.Columns[0].Type = true, 0x2
		_, err = b.update(c)
		invalid(t, err, "Invalid op type of cell: 2.")
		c.Columns[0].Type = tablestore.DELETE_ALL_VERSION
		_, err = b.update(c)
		invalid(t, err, "Column value cannot be given when type is DELETE_ONE_VERSION,DELETE_ALL_VERSION.")
		c.Columns[0].IgnoreValue, c.Columns[0].HasTimestamp = true, true
		_, err = b.update(c)
		invalid(t, err, "Timestamp cannot be given when type is DELETE_ALL_VERSION.")
		c.Columns[0].Type, c.Columns[0].HasTimestamp = tablestore.DELETE_ONE_VERSION, false
		_, err = b.update(c)
		invalid(t, err, "Timestamp must be given when type is DELETE_ONE_VERSION.")
		c.Columns[0].HasType = false
		_, err = b.update(c)
		invalid(t, err, "Invalid cell: c. Reason: missing value.")
	})
}

func TestDeleteRow(t *testing.T) {
	t.Run("deletes a row, and nothing without complaint", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		b.store("jobs", pk("id", "a"), attributes{"c": "1"})
		b.store("jobs", pk("id", "b"), attributes{"c": "1"})
		for range 2 {
			must[*tablestore.DeleteRowResponse](t)(b.delete(deleteChange("jobs", pk("id", "a"))))
		}
		same(t, "rows", b.pages(everything("jobs", "id")), [][]string{{"id=b"}})
	})

	t.Run("checks conditions", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		c := deleteChange("jobs", pk("id", "a"))
		c.SetCondition(expectExist)
		_, err := b.delete(c)
		conditionFailed(t, err, rowMissing)
		c.SetCondition(expectNotExist)
		_, err = b.delete(c)
		invalid(t, err, "EXPECT_NOT_EXIST in DeleteRow.")
		b.store("jobs", pk("id", "a"), attributes{"state": "running"})
		c.SetCondition(expectExist)
		c.SetColumnCondition(tablestore.NewSingleColumnCondition("state", tablestore.CT_EQUAL, "done"))
		_, err = b.delete(c)
		conditionFailed(t, err, columnsDiffer)
		c.SetColumnCondition(tablestore.NewSingleColumnCondition("state", tablestore.CT_EQUAL, "running"))
		must[*tablestore.DeleteRowResponse](t)(b.delete(c))
	})
}

func TestGetRow(t *testing.T) {
	read := func(b *bench, edit func(*tablestore.SingleRowQueryCriteria)) attributes {
		b.t.Helper()
		c := &tablestore.SingleRowQueryCriteria{TableName: "jobs", PrimaryKey: pk("id", "a")}
		edit(c)
		return attributesOf(must[*tablestore.GetRowResponse](b.t)(b.get(c)))
	}

	t.Run("answers the columns asked for", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		b.store("jobs", pk("id", "a"), attributes{"a": "1", "b": "2", "c": "3"})
		for name, test := range map[string]struct {
			columns []string
			want    attributes
		}{
			"some":                  {[]string{"a", "c", "a", "none"}, attributes{"a": "1", "c": "3"}},
			"none that is there":    {[]string{"none"}, nil},
			"the primary key alone": {[]string{"id"}, attributes{}},
		} {
			got := read(b, func(c *tablestore.SingleRowQueryCriteria) { c.ColumnsToGet = test.columns })
			same(t, name, got, test.want)
		}
		start, end := "b", "c"
		got := read(b, func(c *tablestore.SingleRowQueryCriteria) { c.StartColumn, c.EndColumn = &start, &end })
		same(t, "from b up to c", got, attributes{"b": "2"})
	})

	t.Run("answers the versions asked for", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		now := b.clock.Now().UnixMilli()
		c := putChange("jobs", pk("id", "a"), nil)
		c.AddColumnWithTimestamp("old", "1", now-5000)
		c.AddColumnWithTimestamp("new", "1", now)
		must[*tablestore.PutRowResponse](t)(b.put(c))
		for name, test := range map[string]struct {
			times tablestore.TimeRange
			want  attributes
		}{
			"until the new one": {tablestore.TimeRange{Start: 0, End: now}, attributes{"old": "1"}},
			"from the new one":  {tablestore.TimeRange{Start: now, End: now + 1}, attributes{"new": "1"}},
			"exactly the old":   {tablestore.TimeRange{Specific: now - 5000}, attributes{"old": "1"}},
			"none at that time": {tablestore.TimeRange{Specific: now - 1}, nil},
		} {
			same(t, name, read(b, func(c *tablestore.SingleRowQueryCriteria) { c.TimeRange = &test.times }), test.want)
		}
		got := must[*tablestore.GetRowResponse](t)(b.get(&tablestore.SingleRowQueryCriteria{TableName: "jobs", PrimaryKey: pk("id", "a")}))
		same(t, "timestamps", []int64{got.Columns[0].Timestamp, got.Columns[1].Timestamp}, []int64{now, now - 5000})
		_, err := b.get(&tablestore.SingleRowQueryCriteria{TableName: "jobs", PrimaryKey: pk("id", "a"), MaxVersion: -1})
		invalid(t, err, "Max versions must be positive.")
		_, err = b.get(&tablestore.SingleRowQueryCriteria{
			TableName: "jobs", PrimaryKey: pk("id", "a"), TimeRange: &tablestore.TimeRange{Specific: -1},
		})
		invalid(t, err, "Timestamp must be in range [0, INT64_MAX/1000).")
		_, err = b.get(&tablestore.SingleRowQueryCriteria{
			TableName: "jobs", PrimaryKey: pk("id", "a"), TimeRange: &tablestore.TimeRange{Specific: now}, MaxVersion: 1,
		})
		invalid(t, err, "Specific tiemstamp and max versions cannot be given at the same time.")
	})

	t.Run("refuses a key without a value to look for", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		_, err := b.get(&tablestore.SingleRowQueryCriteria{TableName: "jobs", PrimaryKey: pk("id", tablestore.MIN)})
		refused(t, err, "OTSInvalidPK", 400, "Validate PK type fail. Input: VT_INF_MIN, Meta: VT_STRING.")
	})
}

func TestVersions(t *testing.T) {
	t.Run("keeps the later of two versions, whichever is written first", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		b.store("jobs", pk("id", "a"), attributes{"c": "now"})
		update := func(value string, timestamp int64) {
			c := updateChange("jobs", pk("id", "a"))
			c.PutColumnWithTimestamp("c", value, timestamp)
			must[*tablestore.UpdateRowResponse](t)(b.update(c))
		}
		now := b.clock.Now().UnixMilli()
		update("earlier", now-1)
		same(t, "row", b.read("jobs", pk("id", "a")), attributes{"c": "now"})
		update("later", now+1)
		same(t, "row", b.read("jobs", pk("id", "a")), attributes{"c": "later"})
	})

	t.Run("deletes one version only", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		b.store("jobs", pk("id", "a"), attributes{"c": "1", "kept": "1"})
		for _, test := range []struct {
			offset int64
			want   attributes
		}{{1, attributes{"c": "1", "kept": "1"}}, {0, attributes{"kept": "1"}}} {
			c := updateChange("jobs", pk("id", "a"))
			c.DeleteColumnWithTimestamp("c", b.clock.Now().UnixMilli()+test.offset)
			must[*tablestore.UpdateRowResponse](t)(b.update(c))
			same(t, "row", b.read("jobs", pk("id", "a")), test.want)
		}
	})
}

func TestTimeToLive(t *testing.T) {
	const day = 24 * time.Hour
	living := func(t *testing.T) *bench {
		b := start(t)
		must[*tablestore.CreateTableResponse](t)(b.sdk.CreateTable(newTable("jobs", textKey, &tablestore.TableOption{
			TimeToAlive: 86400, MaxVersion: 1,
		})))
		return b
	}

	t.Run("hides an attribute and then the row as they expire", func(t *testing.T) {
		b := living(t)
		b.store("jobs", pk("id", "a"), attributes{"first": "1"})
		b.clock.Advance(day / 2)
		c := updateChange("jobs", pk("id", "a"))
		c.PutColumn("second", "1")
		must[*tablestore.UpdateRowResponse](t)(b.update(c))
		b.clock.Advance(day/2 - time.Second)
		same(t, "a second before", b.read("jobs", pk("id", "a")), attributes{"first": "1", "second": "1"})
		b.clock.Advance(time.Second)
		same(t, "after a day", b.read("jobs", pk("id", "a")), attributes{"second": "1"})
		b.clock.Advance(day / 2)
		same(t, "after a day and a half", b.read("jobs", pk("id", "a")), attributes(nil))
		same(t, "range", b.pages(everything("jobs", "id")), [][]string{{}})
	})

	t.Run("takes an expired row for one that does not exist", func(t *testing.T) {
		b := living(t)
		b.store("jobs", pk("id", "a"), attributes{"c": "1", "state": "done"})
		b.clock.Advance(day)
		c := updateChange("jobs", pk("id", "a"))
		c.PutColumn("c", "2")
		c.SetCondition(expectExist)
		_, err := b.update(c)
		conditionFailed(t, err, rowMissing)
		p := putChange("jobs", pk("id", "a"), attributes{"c": "3"})
		p.SetCondition(expectNotExist)
		must[*tablestore.PutRowResponse](t)(b.put(p))
		same(t, "row", b.read("jobs", pk("id", "a")), attributes{"c": "3"})
	})

	t.Run("brings back nothing that expired when the row is updated", func(t *testing.T) {
		b := living(t)
		b.store("jobs", pk("id", "a"), attributes{"old": "1"})
		b.clock.Advance(day)
		c := updateChange("jobs", pk("id", "a"))
		c.PutColumn("new", "1")
		must[*tablestore.UpdateRowResponse](t)(b.update(c))
		must[*tablestore.UpdateTableResponse](t)(b.sdk.UpdateTable(&tablestore.UpdateTableRequest{TableName: "jobs", TableOption: forever()}))
		same(t, "row", b.read("jobs", pk("id", "a")), attributes{"new": "1"})
	})

	t.Run("ends a row without attributes too", func(t *testing.T) {
		b := living(t)
		b.store("jobs", pk("id", "a"), nil)
		b.clock.Advance(day - time.Second)
		same(t, "before", b.read("jobs", pk("id", "a")), attributes{})
		b.clock.Advance(time.Second)
		same(t, "after", b.read("jobs", pk("id", "a")), attributes(nil))
	})

	t.Run("follows UpdateTable at once", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		b.store("jobs", pk("id", "a"), attributes{"c": "1"})
		b.clock.Advance(30 * day)
		same(t, "for ever", b.read("jobs", pk("id", "a")), attributes{"c": "1"})
		must[*tablestore.UpdateTableResponse](t)(b.sdk.UpdateTable(&tablestore.UpdateTableRequest{
			TableName: "jobs", TableOption: &tablestore.TableOption{TimeToAlive: 86400, MaxVersion: 1},
		}))
		same(t, "a day", b.read("jobs", pk("id", "a")), attributes(nil))
	})
}

func TestCapacityUnits(t *testing.T) {
	t.Run("counts writes by 4 KB and reads for conditions", func(t *testing.T) {
		b := start(t)
		b.table("jobs", textKey)
		big := attributes{"c": strings.Repeat("x", 5000)}
		put := must[*tablestore.PutRowResponse](t)(b.put(putChange("jobs", pk("id", "a"), big)))
		same(t, "put", *put.ConsumedCapacityUnit, tablestore.ConsumedCapacityUnit{Write: 2})
		c := putChange("jobs", pk("id", "a"), big)
		c.SetCondition(expectExist)
		put = must[*tablestore.PutRowResponse](t)(b.put(c))
		same(t, "put with a condition", *put.ConsumedCapacityUnit, tablestore.ConsumedCapacityUnit{Read: 1, Write: 2})
		got := must[*tablestore.GetRowResponse](t)(b.get(&tablestore.SingleRowQueryCriteria{TableName: "jobs", PrimaryKey: pk("id", "a")}))
		same(t, "get", *got.ConsumedCapacityUnit, tablestore.ConsumedCapacityUnit{Read: 2})
		got = must[*tablestore.GetRowResponse](t)(b.get(&tablestore.SingleRowQueryCriteria{TableName: "jobs", PrimaryKey: pk("id", "none")}))
		same(t, "get of nothing", *got.ConsumedCapacityUnit, tablestore.ConsumedCapacityUnit{Read: 1})
		named := attributes{}
		for i := range 17 {
			named[strings.Repeat("x", 250)+fmt.Sprint(i)] = ""
		}
		put = must[*tablestore.PutRowResponse](t)(b.put(putChange("jobs", pk("id", "names"), named)))
		same(t, "put of names", *put.ConsumedCapacityUnit, tablestore.ConsumedCapacityUnit{Write: 2})
		gone := must[*tablestore.DeleteRowResponse](t)(b.delete(deleteChange("jobs", pk("id", "a"))))
		same(t, "delete", *gone.ConsumedCapacityUnit, tablestore.ConsumedCapacityUnit{Write: 1})
	})
}
