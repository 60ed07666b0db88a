package otsemu_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

// callersPerProcessor is how many clients call at once, 16 on a machine with two processors.
const callersPerProcessor = 8

// BenchmarkPutRow writes durable rows with the Go SDK, server and clients sharing the machine.
func BenchmarkPutRow(b *testing.B) {
	c := config(b.TempDir())
	c.NoSync = false
	f := open(b, c)
	f.table("numbers", numberKey)
	var number atomic.Int64
	b.SetParallelism(callersPerProcessor)
	b.RunParallel(func(caller *testing.PB) {
		for caller.Next() {
			if _, err := f.put(putChange("numbers", pk("n", number.Add(1)), attributes{"c": "a job of the usual length"})); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkGetRange reads a page of 100 rows from the middle of tables of two sizes; both should cost the same.
func BenchmarkGetRange(b *testing.B) {
	for _, rows := range []int{1000, 100000} {
		b.Run(fmt.Sprint(rows, " rows"), func(b *testing.B) {
			f := start(b)
			f.table("numbers", numberKey)
			f.fill("numbers", rows)
			for b.Loop() {
				c := everything("numbers", "n")
				c.StartPrimaryKey, c.Limit = pk("n", int64(rows/2)), 100
				if got := must[*tablestore.GetRangeResponse](b)(f.scan(c)); len(got.Rows) != 100 {
					b.Fatalf("%d rows", len(got.Rows))
				}
			}
		})
	}
}
