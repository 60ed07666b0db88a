package bench_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/stack"
)

const (
	// batchItems is how many requests a batch has, batchRounds how often each side has its turn.
	batchItems  = 1000
	batchRounds = 5
	// batchSingles is how many single requests a client posts one after the other in a round.
	batchSingles = 200
	// fullDescription makes a batch of batchItems nearly as long as one may be.
	fullDescription = 1900
)

// BenchmarkBatch compares one batch of 1,000 requests with single requests, in items a second: a client that posts one after
// the other, and 16 at a time. Both go over HTTP through the local platform to accept, with the ledger, while the worker is
// held up by ESA. The memory is the most that any instance of accept ever had, of the batches and of one that is as long as
// a batch may be.
func BenchmarkBatch(b *testing.B) {
	for b.Loop() {
		d := deploy(b, stack.Config{ESALatency: time.Hour}, 0)
		var alone, together, batched []float64
		next := 0
		for range batchRounds {
			began := time.Now()
			for range batchSingles {
				if _, err := d.post(wishNumber(next)); err != nil {
					b.Fatal(err)
				}
				next++
			}
			alone = append(alone, batchSingles/time.Since(began).Seconds())
			began = time.Now()
			if _, err := d.submit(wishes(batchSingles * 2)); err != nil {
				b.Fatal(err)
			}
			together = append(together, batchSingles*2/time.Since(began).Seconds())
			body := batchOf(next, "")
			next += batchItems
			began = time.Now()
			d.postBatch(b, body)
			batched = append(batched, batchItems/time.Since(began).Seconds())
		}
		peak := d.peak(b)
		d.postBatch(b, batchOf(next, strings.Repeat("d", fullDescription)))
		report(b,
			number("batch-items/s", middle(batched)),
			number("singles/s", middle(alone)),
			number("16-callers/s", middle(together)),
			atLeast("batch/singles", middle(batched)/middle(alone), 8),
			number("batch/16-callers", middle(batched)/middle(together)),
			atMost("accept-MB", peak, 64),
			atMost("accept-MB-2MiB-batch", d.peak(b), 64),
		)
	}
}

func middle(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func batchOf(first int, description string) string {
	items := make([]string, batchItems)
	for i := range items {
		w := wishNumber(first + i)
		items[i] = fmt.Sprintf(`{"name":%q,"siteId":%d,"recordName":%q,"description":%q}`, w.name, stack.SiteID, w.record, description)
	}
	return "[" + strings.Join(items, ",") + "]"
}

func (d *deployment) postBatch(b *testing.B, body string) {
	b.Helper()
	res, err := d.http.Post(d.HTTPURL()+"/v1/routines:batch", "application/json", strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	var result struct{ Accepted int }
	if err != nil || json.Unmarshal(answer, &result) != nil || res.StatusCode != http.StatusAccepted || result.Accepted != batchItems {
		b.Fatalf("%s, %d accepted: %.300s %v", res.Status, result.Accepted, answer, err)
	}
}

// peak returns the most memory that any running instance of accept has had, in MB.
func (d *deployment) peak(b *testing.B) float64 {
	b.Helper()
	most := 0.0
	for _, instance := range d.FC().Instances() {
		if instance.Function == stack.FunctionAccept {
			megabytes, err := memory(instance.PID, "VmHWM:")
			if err != nil {
				b.Fatal(err)
			}
			most = max(most, megabytes)
		}
	}
	return most
}
