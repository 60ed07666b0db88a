package otsemu_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"pgregory.net/rapid"
)

func (b *bench) scan(criteria *tablestore.RangeRowQueryCriteria) (*tablestore.GetRangeResponse, error) {
	if criteria.MaxVersion == 0 && criteria.TimeRange == nil {
		criteria.MaxVersion = 1
	}
	return b.sdk.GetRange(&tablestore.GetRangeRequest{RangeRowQueryCriteria: criteria})
}

// everything is all rows of a table, whatever its key columns are.
func everything(table string, columns ...string) *tablestore.RangeRowQueryCriteria {
	c := &tablestore.RangeRowQueryCriteria{
		TableName: table, Direction: tablestore.FORWARD, StartPrimaryKey: &tablestore.PrimaryKey{}, EndPrimaryKey: &tablestore.PrimaryKey{},
	}
	for _, name := range columns {
		c.StartPrimaryKey.AddPrimaryKeyColumnWithMinValue(name)
		c.EndPrimaryKey.AddPrimaryKeyColumnWithMaxValue(name)
	}
	return c
}

// turned is the same range the other way.
func turned(c *tablestore.RangeRowQueryCriteria) *tablestore.RangeRowQueryCriteria {
	c.Direction = tablestore.BACKWARD
	c.StartPrimaryKey, c.EndPrimaryKey = c.EndPrimaryKey, c.StartPrimaryKey
	return c
}

func keysOf(rows []*tablestore.Row) []string {
	out := []string{}
	for _, r := range rows {
		out = append(out, keyOf(r.PrimaryKey))
	}
	return out
}

// pages reads a range to its end and returns the keys of each page.
func (b *bench) pages(c *tablestore.RangeRowQueryCriteria) [][]string {
	b.t.Helper()
	var out [][]string
	for c.StartPrimaryKey != nil {
		got := must[*tablestore.GetRangeResponse](b.t)(b.scan(c))
		out = append(out, keysOf(got.Rows))
		c.StartPrimaryKey = got.NextStartPrimaryKey
	}
	return out
}

func TestGetRange(t *testing.T) {
	numbers := func(b *bench, upTo int) {
		b.table("numbers", numberKey)
		for n := range upTo {
			b.store("numbers", pk("n", int64(n)), attributes{"even": n%2 == 0})
		}
	}

	t.Run("reads from the start inclusive to the end exclusive, both ways", func(t *testing.T) {
		b := start(t)
		numbers(b, 5)
		c := everything("numbers", "n")
		c.StartPrimaryKey, c.EndPrimaryKey = pk("n", int64(1)), pk("n", int64(3))
		same(t, "forward", b.pages(c), [][]string{{"n=1", "n=2"}})
		c.StartPrimaryKey = pk("n", int64(3))
		c.Direction, c.EndPrimaryKey = tablestore.BACKWARD, pk("n", int64(1))
		same(t, "backward", b.pages(c), [][]string{{"n=3", "n=2"}})
		same(t, "everything backward", b.pages(turned(everything("numbers", "n"))), [][]string{{"n=4", "n=3", "n=2", "n=1", "n=0"}})
		c = everything("numbers", "n")
		c.Direction, c.StartPrimaryKey, c.EndPrimaryKey = tablestore.BACKWARD, pk("n", int64(100)), pk("n", int64(3))
		same(t, "backward from beyond the end", b.pages(c), [][]string{{"n=4"}})
		c.StartPrimaryKey, c.EndPrimaryKey = pk("n", int64(-5)), pk("n", int64(-9))
		same(t, "backward before the beginning", b.pages(c), [][]string{{}})
	})

	t.Run("says where the next page begins until there is none", func(t *testing.T) {
		b := start(t)
		numbers(b, 5)
		c := everything("numbers", "n")
		c.Limit = 2
		same(t, "forward", b.pages(c), [][]string{{"n=0", "n=1"}, {"n=2", "n=3"}, {"n=4"}})
		c = turned(everything("numbers", "n"))
		c.Limit = 5
		same(t, "backward, one full page", b.pages(c), [][]string{{"n=4", "n=3", "n=2", "n=1", "n=0"}})
	})

	t.Run("filters rows, and counts only those it answers against the limit", func(t *testing.T) {
		b := start(t)
		numbers(b, 6)
		c := everything("numbers", "n")
		c.Limit, c.Filter = 2, tablestore.NewSingleColumnCondition("even", tablestore.CT_EQUAL, true)
		same(t, "even", b.pages(c), [][]string{{"n=0", "n=2"}, {"n=4"}})
	})

	t.Run("ends a page after 5000 scanned rows, even when it answers none", func(t *testing.T) {
		b := start(t)
		b.table("numbers", numberKey)
		b.fill("numbers", 5001)
		c := everything("numbers", "n")
		got := must[*tablestore.GetRangeResponse](t)(b.scan(c))
		same(t, "rows", len(got.Rows), 5000)
		same(t, "next", keyOf(got.NextStartPrimaryKey), "n=5000")
		missing := tablestore.NewSingleColumnCondition("c", tablestore.CT_EQUAL, "no row has this")
		missing.FilterIfMissing = true
		c.Filter = missing
		got = must[*tablestore.GetRangeResponse](t)(b.scan(c))
		same(t, "filtered rows", len(got.Rows), 0)
		same(t, "next", keyOf(got.NextStartPrimaryKey), "n=5000")
	})

	t.Run("ends a page after 4 MB", func(t *testing.T) {
		b := start(t)
		b.table("numbers", numberKey)
		long := strings.Repeat("x", 2<<20)
		for n, text := range []string{long, long, "x"} {
			b.store("numbers", pk("n", int64(n)), attributes{"c": text})
		}
		same(t, "pages", b.pages(everything("numbers", "n")), [][]string{{"n=0", "n=1"}, {"n=2"}})
		c := everything("numbers", "n")
		c.ColumnsToGet = []string{"n"}
		same(t, "keys only", b.pages(c), [][]string{{"n=0", "n=1", "n=2"}})
	})

	t.Run("bounds later columns within the earlier ones", func(t *testing.T) {
		b := start(t)
		b.table("parts", []column{{"job", tablestore.PrimaryKeyType_STRING}, {"part", tablestore.PrimaryKeyType_INTEGER}})
		for _, job := range []string{"a", "b", "ba"} {
			for part := range 2 {
				b.store("parts", pk("job", job, "part", int64(part)), nil)
			}
		}
		c := everything("parts", "job", "part")
		c.StartPrimaryKey, c.EndPrimaryKey = pk("job", "b", "part", tablestore.MIN), pk("job", "b", "part", tablestore.MAX)
		same(t, "one job", b.pages(c), [][]string{{"job=b,part=0", "job=b,part=1"}})
		c.StartPrimaryKey, c.EndPrimaryKey = pk("job", "a", "part", tablestore.MAX), pk("job", tablestore.MAX, "part", int64(0))
		same(t, "all later jobs", b.pages(c), [][]string{{"job=b,part=0", "job=b,part=1", "job=ba,part=0", "job=ba,part=1"}})
	})

	t.Run("refuses ranges the service refuses", func(t *testing.T) {
		b := start(t)
		numbers(b, 1)
		one, two := pk("n", int64(1)), pk("n", int64(2))
		for message, edit := range map[string]func(*tablestore.RangeRowQueryCriteria){
			"Begin key must less than end key in FORWARD": func(c *tablestore.RangeRowQueryCriteria) {
				c.StartPrimaryKey, c.EndPrimaryKey = two, one
			},
			"Begin key must more than end key in BACKWARD": func(c *tablestore.RangeRowQueryCriteria) {
				c.StartPrimaryKey, c.EndPrimaryKey, c.Direction = one, one, tablestore.BACKWARD
			},
			"The limit must be greater than 0.": func(c *tablestore.RangeRowQueryCriteria) { c.Limit = -1 },
			"A part of the primary key is not supported": func(c *tablestore.RangeRowQueryCriteria) {
				c.ReturnSpecifiedPkOnly = true
			},
			"exceeds the limit, limit count: 128 , column count:129.": func(c *tablestore.RangeRowQueryCriteria) {
				c.ColumnsToGet = slices.Repeat([]string{"c"}, 129)
			},
		} {
			c := everything("numbers", "n")
			edit(c)
			_, err := b.scan(c)
			invalid(t, err, message)
		}
		c := everything("numbers", "n")
		c.EndPrimaryKey = pk("n", "text")
		_, err := b.scan(c)
		refused(t, err, "OTSInvalidPK", 400, "Validate PK type fail. Input: VT_STRING, Meta: VT_INTEGER.")
	})

	t.Run("counts the read units of what it scanned", func(t *testing.T) {
		b := start(t)
		b.table("numbers", numberKey)
		same(t, "empty", must[*tablestore.GetRangeResponse](t)(b.scan(everything("numbers", "n"))).ConsumedCapacityUnit.Read, int32(1))
		for n := range 3 {
			b.store("numbers", pk("n", int64(n)), attributes{"c": strings.Repeat("x", 4000)})
		}
		same(t, "three rows", must[*tablestore.GetRangeResponse](t)(b.scan(everything("numbers", "n"))).ConsumedCapacityUnit.Read, int32(3))
	})
}

// fill writes n rows without attributes in batches.
func (b *bench) fill(table string, n int) {
	b.t.Helper()
	for first := 0; first < n; first += 200 {
		request := &tablestore.BatchWriteRowRequest{}
		for i := first; i < min(first+200, n); i++ {
			request.AddRowChange(putChange(table, pk("n", int64(i)), nil))
		}
		if _, err := b.sdk.BatchWriteRow(request); err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestKeyOrder(t *testing.T) {
	t.Run("sorts integers by number and strings and binaries by bytes", func(t *testing.T) {
		b := start(t)
		b.table("mixed", []column{
			{"s", tablestore.PrimaryKeyType_STRING}, {"i", tablestore.PrimaryKeyType_INTEGER}, {"b", tablestore.PrimaryKeyType_BINARY},
		})
		round := 0
		rapid.Check(t, func(r *rapid.T) {
			round++
			type key struct {
				s string
				i int64
				b string
			}
			keys := rapid.SliceOfNDistinct(rapid.Custom(func(r *rapid.T) key {
				return key{
					fmt.Sprint(round, rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 'a', 'é', 0x10ffff}), 0, 3, -1).Draw(r, "s")),
					rapid.Int64().Draw(r, "i"),
					string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0xff}), 0, 3).Draw(r, "b")),
				}
			}), 2, 6, rapid.ID[key]).Draw(r, "keys")
			request := &tablestore.BatchWriteRowRequest{}
			for _, k := range keys {
				request.AddRowChange(putChange("mixed", pk("s", k.s, "i", k.i, "b", []byte(k.b)), nil))
			}
			must[*tablestore.BatchWriteRowResponse](t)(b.sdk.BatchWriteRow(request))
			slices.SortFunc(keys, func(x, y key) int {
				if c := strings.Compare(x.s, y.s); c != 0 {
					return c
				}
				if x.i != y.i {
					return map[bool]int{true: -1, false: 1}[x.i < y.i]
				}
				return strings.Compare(x.b, y.b)
			})
			want := []string{}
			for _, k := range keys {
				want = append(want, keyOf(pk("s", k.s, "i", k.i, "b", []byte(k.b))))
			}
			c := everything("mixed", "s", "i", "b")
			first, last := keys[0], keys[len(keys)-1]
			c.StartPrimaryKey = pk("s", first.s, "i", first.i, "b", []byte(first.b))
			c.EndPrimaryKey = pk("s", last.s, "i", last.i, "b", tablestore.MAX)
			got := keysOf(must[*tablestore.GetRangeResponse](t)(b.scan(c)).Rows)
			// Keys of other rounds may lie between.
			got = slices.DeleteFunc(got, func(k string) bool { return !slices.Contains(want, k) })
			if !slices.Equal(got, want) {
				r.Fatalf("got %q, want %q", got, want)
			}
		})
	})
}
