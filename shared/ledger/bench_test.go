package ledger_test

import (
	"slices"
	"strconv"
	"testing"

	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// sizes are the tables to compare, in jobs.
var sizes = []int{1_000, 100_000}

// filled returns a ledger with that many queued jobs.
func filled(b *testing.B, size int) *ledger.Ledger {
	b.Helper()
	l, _ := newLedger(b)
	jobs := make([]routine.Job, size)
	for n := range jobs {
		jobs[n] = newJob(n)
	}
	for batch := range slices.Chunk(jobs, ledger.FillBatch) {
		if err := l.Fill(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	return l
}

// compare runs the operations on tables of each size and reports how many times longer each takes than on the smallest.
func compare(b *testing.B, operations map[string]func(*testing.B, *ledger.Ledger, int)) {
	least := map[string]float64{}
	for _, size := range sizes {
		l := filled(b, size)
		for name, operation := range operations {
			b.Run(name+"/jobs="+strconv.Itoa(size), func(b *testing.B) {
				for n := 0; b.Loop(); n++ {
					operation(b, l, n)
				}
				each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				if size == sizes[0] {
					least[name] = each
				}
				b.ReportMetric(each/least[name], "times-smallest")
			})
		}
	}
}

// BenchmarkRead compares what readers do on a small and a large table: one job, a page of 50, a page of 50 of a state.
func BenchmarkRead(b *testing.B) {
	page := func(f ledger.Filter) func(*testing.B, *ledger.Ledger, int) {
		return func(b *testing.B, l *ledger.Ledger, _ int) {
			if jobs, _, err := l.Jobs(b.Context(), f, 50, ""); err != nil || len(jobs) != 50 {
				b.Fatalf("%d jobs, error %v", len(jobs), err)
			}
		}
	}
	compare(b, map[string]func(*testing.B, *ledger.Ledger, int){
		"Job": func(b *testing.B, l *ledger.Ledger, n int) {
			if _, err := l.Job(b.Context(), newJob(n*7919%sizes[0]).ID); err != nil {
				b.Fatal(err)
			}
		},
		"Page":        page(ledger.Filter{}),
		"PageOfState": page(ledger.Filter{State: routine.Queued, Caller: "caller-1"}),
	})
}
