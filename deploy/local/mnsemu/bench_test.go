package mnsemu_test

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"

	mns "github.com/aliyun/aliyun-mns-go-sdk"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/mnsemu"
)

// callers is how many clients work at the same time.
const callers = 32

// BenchmarkRoundTrip sends, receives and deletes messages with the Go SDK, each send and delete durable, server and clients sharing
// the machine and one process. More than half of the garbage is the clients'; in so small a heap it would be collected some hundred
// times a second, which a worker with a heap of its own does not see, so the collector runs at 400 percent.
func BenchmarkRoundTrip(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	e := start(b, func(c *mnsemu.Config) { c.Clock, c.NoSync = clock.System(), false })
	e.queue("bench")
	client := e.client()
	var left atomic.Int64
	left.Store(int64(b.N))
	var running sync.WaitGroup
	b.ResetTimer()
	for range callers {
		running.Go(func() {
			// A queue object's counters are not safe to share; the limit keeps it from sleeping.
			q := queue{mns.NewMNSQueue("bench", client, 1<<30), e}
			for left.Add(-1) >= 0 {
				_, failed := q.SendMessage(mns.MessageSendRequest{MessageBody: "a job of the usual length, base64 or not", Priority: 8})
				m, code := q.receive()
				if err := q.DeleteMessage(m.ReceiptHandle); failed != nil || code != "" || err != nil {
					b.Error(failed, code, err)
					return
				}
			}
		})
	}
	running.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "roundtrips/s")
}

// BenchmarkFsyncAppend is the floor: what the disk gives to one bare append with fsync after the other.
func BenchmarkFsyncAppend(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	check(b, err)
	defer f.Close()
	record := make([]byte, 256)
	for b.Loop() {
		_, err := f.Write(record)
		check(b, err)
		check(b, f.Sync())
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}
