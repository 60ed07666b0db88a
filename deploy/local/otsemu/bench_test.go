package otsemu_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

// callers is how many clients call at once.
const callers = 16

// BenchmarkPutRow writes durable rows with the Go SDK, server and clients sharing the machine.
func BenchmarkPutRow(b *testing.B) {
	c := config(b.TempDir())
	c.NoSync = false
	f := open(b, c)
	f.table("numbers", numberKey)
	var number atomic.Int64
	var running sync.WaitGroup
	b.ResetTimer()
	for range callers {
		running.Go(func() {
			for {
				n := number.Add(1)
				if n > int64(b.N) {
					return
				}
				if _, err := f.put(putChange("numbers", pk("n", n), attributes{"c": "a job of the usual length"})); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
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
