package otsemu_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

// everything is all rows of a table with these key columns.
func everything(table string, columns ...string) *tablestore.RangeRowQueryCriteria {
	from, to := &tablestore.PrimaryKey{}, &tablestore.PrimaryKey{}
	for _, name := range columns {
		from.AddPrimaryKeyColumnWithMinValue(name)
		to.AddPrimaryKeyColumnWithMaxValue(name)
	}
	return &tablestore.RangeRowQueryCriteria{
		TableName: table, Direction: tablestore.FORWARD, MaxVersion: 1, StartPrimaryKey: from, EndPrimaryKey: to,
	}
}

func (f *fixture) scan(c *tablestore.RangeRowQueryCriteria) (*tablestore.GetRangeResponse, error) {
	return f.sdk.GetRange(&tablestore.GetRangeRequest{RangeRowQueryCriteria: c})
}

// pages reads a range to its end and returns the keys of each page.
func (f *fixture) pages(c *tablestore.RangeRowQueryCriteria) [][]string {
	f.t.Helper()
	var out [][]string
	for c.StartPrimaryKey != nil {
		got := must[*tablestore.GetRangeResponse](f.t)(f.scan(c))
		page := []string{}
		for _, r := range got.Rows {
			page = append(page, keyOf(r.PrimaryKey))
		}
		out, c.StartPrimaryKey = append(out, page), got.NextStartPrimaryKey
	}
	return out
}

// fill writes n rows without attributes in batches.
func (f *fixture) fill(table string, n int) {
	f.t.Helper()
	for first := 0; first < n; first += 200 {
		var changes []tablestore.RowChange
		for i := first; i < min(first+200, n); i++ {
			changes = append(changes, putChange(table, pk("n", int64(i)), nil))
		}
		must[*tablestore.BatchWriteRowResponse](f.t)(f.write(changes...))
	}
}

func TestGetRange(t *testing.T) {
	f := start(t)
	f.table("numbers", numberKey)
	for n := range 5 {
		f.store("numbers", pk("n", int64(n)), attributes{"even": n%2 == 0})
	}
	f.table("parts", []column{{"job", tablestore.PrimaryKeyType_STRING}, {"part", tablestore.PrimaryKeyType_INTEGER}})
	for _, job := range []string{"a", "b", "ba"} {
		f.store("parts", pk("job", job, "part", int64(0)), nil)
		f.store("parts", pk("job", job, "part", int64(1)), nil)
	}

	t.Run("reads from the start inclusive to the end exclusive, both ways, by pages", func(t *testing.T) {
		lowest, highest := tablestore.MIN, tablestore.MAX
		for name, test := range map[string]struct {
			direction  tablestore.Direction
			start, end any
			limit      int32
			want       [][]string
		}{
			"forward":                      {tablestore.FORWARD, int64(1), int64(3), 0, [][]string{{"n=1", "n=2"}}},
			"backward":                     {tablestore.BACKWARD, int64(3), int64(1), 0, [][]string{{"n=3", "n=2"}}},
			"backward from beyond the end": {tablestore.BACKWARD, int64(100), int64(3), 0, [][]string{{"n=4"}}},
			"backward before the first":    {tablestore.BACKWARD, int64(-5), int64(-9), 0, [][]string{{}}},
			"forward by twos":              {tablestore.FORWARD, lowest, highest, 2, [][]string{{"n=0", "n=1"}, {"n=2", "n=3"}, {"n=4"}}},
			"backward, one full page":      {tablestore.BACKWARD, highest, lowest, 5, [][]string{{"n=4", "n=3", "n=2", "n=1", "n=0"}}},
		} {
			c := everything("numbers")
			c.Direction, c.Limit, c.StartPrimaryKey, c.EndPrimaryKey = test.direction, test.limit, pk("n", test.start), pk("n", test.end)
			same(t, name, f.pages(c), test.want)
		}
	})

	t.Run("bounds later columns within the earlier ones", func(t *testing.T) {
		c := everything("parts")
		c.StartPrimaryKey, c.EndPrimaryKey = pk("job", "b", "part", tablestore.MIN), pk("job", "b", "part", tablestore.MAX)
		same(t, "one job", f.pages(c), [][]string{{"job=b,part=0", "job=b,part=1"}})
		c.StartPrimaryKey, c.EndPrimaryKey = pk("job", "a", "part", tablestore.MAX), pk("job", tablestore.MAX, "part", int64(0))
		same(t, "all later jobs", f.pages(c), [][]string{{"job=b,part=0", "job=b,part=1", "job=ba,part=0", "job=ba,part=1"}})
	})

	t.Run("filters rows, and counts only those it answers against the limit", func(t *testing.T) {
		c := everything("numbers", "n")
		c.Limit, c.Filter = 2, single("even", tablestore.CT_EQUAL, true)
		same(t, "even", f.pages(c), [][]string{{"n=0", "n=2"}, {"n=4"}})
	})

	t.Run("refuses ranges that the service refuses", func(t *testing.T) {
		one, two := pk("n", int64(1)), pk("n", int64(2))
		for message, edit := range map[string]func(*tablestore.RangeRowQueryCriteria){
			"Begin key must less than end key in FORWARD": func(c *tablestore.RangeRowQueryCriteria) { c.StartPrimaryKey, c.EndPrimaryKey = two, one },
			"Begin key must more than end key in BACKWARD": func(c *tablestore.RangeRowQueryCriteria) {
				c.StartPrimaryKey, c.EndPrimaryKey, c.Direction = one, one, tablestore.BACKWARD
			},
			"The limit must be greater than 0.":                       func(c *tablestore.RangeRowQueryCriteria) { c.Limit = -1 },
			"A part of the primary key is not supported":              func(c *tablestore.RangeRowQueryCriteria) { c.ReturnSpecifiedPkOnly = true },
			"exceeds the limit, limit count: 128 , column count:129.": func(c *tablestore.RangeRowQueryCriteria) { c.ColumnsToGet = slices.Repeat([]string{"c"}, 129) },
		} {
			c := everything("numbers", "n")
			edit(c)
			_, err := f.scan(c)
			invalid(t, err, message)
		}
		c := everything("numbers", "n")
		c.EndPrimaryKey = pk("n", "text")
		_, err := f.scan(c)
		refused(t, err, "OTSInvalidPK", 400, "Validate PK type fail. Input: VT_STRING, Meta: VT_INTEGER.")
	})
}

func TestGetRangePage(t *testing.T) {
	t.Run("ends after 5000 scanned rows, even when it answers none", func(t *testing.T) {
		f := start(t)
		f.table("numbers", numberKey)
		f.fill("numbers", 5001)
		for want, filter := range map[int]tablestore.ColumnFilter{5000: nil, 0: single("c", tablestore.CT_EQUAL, "no row has this")} {
			c := everything("numbers", "n")
			c.Filter = filter
			got := must[*tablestore.GetRangeResponse](t)(f.scan(c))
			same(t, "rows", len(got.Rows), want)
			same(t, "next", keyOf(got.NextStartPrimaryKey), "n=5000")
		}
	})

	t.Run("ends after 4 MB, and costs the read units of what it scanned", func(t *testing.T) {
		f := start(t)
		f.table("numbers", numberKey)
		read := func(c *tablestore.RangeRowQueryCriteria) int32 {
			return must[*tablestore.GetRangeResponse](t)(f.scan(c)).ConsumedCapacityUnit.Read
		}
		same(t, "units of nothing", read(everything("numbers", "n")), int32(1))
		long := strings.Repeat("x", 2<<20)
		for n, text := range []string{long, long, "x"} {
			f.store("numbers", pk("n", int64(n)), attributes{"c": text})
		}
		same(t, "units of 4 MB", read(everything("numbers", "n")), int32(1025))
		same(t, "pages", f.pages(everything("numbers", "n")), [][]string{{"n=0", "n=1"}, {"n=2"}})
		keys := everything("numbers", "n")
		keys.ColumnsToGet = []string{"n"}
		same(t, "pages of keys", f.pages(keys), [][]string{{"n=0", "n=1", "n=2"}})
	})
}

func TestKeysSortByNumberOrBytesColumnByColumn(t *testing.T) {
	f := start(t)
	f.table("mixed", []column{
		{"s", tablestore.PrimaryKeyType_STRING}, {"i", tablestore.PrimaryKeyType_INTEGER}, {"b", tablestore.PrimaryKeyType_BINARY},
	})
	var changes []tablestore.RowChange
	want := []string{}
	for _, s := range []string{"", "\x00", "\x00\x01", "\x01", "a", "a\x00", "a\x01", "aa", "é", "\U0010ffff"} {
		for _, i := range []int64{math.MinInt64, -1, 0, 1, math.MaxInt64} {
			for _, b := range []string{"", "\x00", "\x00\xff", "\xff"} {
				key := pk("s", s, "i", i, "b", []byte(b))
				changes, want = append(changes, putChange("mixed", key, nil)), append(want, keyOf(key))
			}
		}
	}
	slices.Reverse(changes)
	must[*tablestore.BatchWriteRowResponse](t)(f.write(changes...))
	same(t, "keys", f.pages(everything("mixed", "s", "i", "b"))[0], want)
}
