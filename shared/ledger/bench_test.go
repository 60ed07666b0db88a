package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"routinely/shared/ledger"
	"routinely/shared/routine"
)

const (
	// few and many are the jobs of the tables to compare.
	few, many = 1_000, 100_000
	// readRounds is how many rounds each table has, in turns: short ones, since a machine's speed drifts.
	readRounds = 41
	// claimRounds is the same for claims, whose rounds are long.
	claimRounds = 5
)

// filled returns a ledger with that many queued jobs.
func filled(b *testing.B, size int) *ledger.Ledger {
	b.Helper()
	l, _ := newLedger(b)
	if err := l.Fill(b.Context(), newJobs(0, size)); err != nil {
		b.Fatal(err)
	}
	return l
}

// middle is the median.
func middle(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// took is how long something takes, in seconds.
func took(do func()) float64 {
	began := time.Now()
	do()
	return time.Since(began).Seconds()
}

// verdict reports a ratio and whether it is at most what is wanted.
func verdict(b *testing.B, ratio, most float64) {
	missed := ""
	if ratio > most {
		missed = " MISSED"
	}
	b.ReportMetric(ratio, "ratio")
	b.ReportMetric(0, "ns/op")
	b.Logf("\nratio  %.4g  <= %g%s", ratio, most, missed)
}

// BenchmarkRead measures how much longer readers wait if the table has a hundred times the jobs: for one job, for a page of
// 50 of all jobs, and for one of those of a state and a caller.
func BenchmarkRead(b *testing.B) {
	small, large := filled(b, few), filled(b, many)
	page := func(f ledger.Filter) func(*ledger.Ledger, int) error {
		return func(l *ledger.Ledger, _ int) error {
			jobs, _, err := l.Jobs(b.Context(), f, 50, "")
			if err == nil && len(jobs) != 50 {
				err = fmt.Errorf("%d jobs", len(jobs))
			}
			return err
		}
	}
	for _, read := range []struct {
		name  string
		times int
		do    func(l *ledger.Ledger, n int) error
	}{
		{"job", 20, func(l *ledger.Ledger, n int) error {
			_, err := l.Job(b.Context(), newJob(n*7919%few).ID)
			return err
		}},
		{"page of 50", 4, page(ledger.Filter{})},
		{"page of 50 of a state and a caller", 4, page(ledger.Filter{State: routine.Queued, Caller: "caller-1"})},
	} {
		b.Run(read.name, func(b *testing.B) {
			round := func(l *ledger.Ledger) float64 {
				return took(func() {
					for n := range read.times {
						if err := read.do(l, n); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			for b.Loop() {
				round(small)
				round(large)
				var ratios, each []float64
				for range readRounds {
					s, l := round(small), round(large)
					ratios, each = append(ratios, l/s), append(each, l/float64(read.times))
				}
				b.ReportMetric(middle(each)*1000, "ms/read")
				verdict(b, middle(ratios), 1.3)
			}
		})
	}
}

// BenchmarkClaimAll measures what part of the time that a thousand claims take one after the other they take together.
func BenchmarkClaimAll(b *testing.B) {
	l, _ := newLedger(b)
	next := 0
	thousand := func() []routine.Job {
		next += 1000
		return newJobs(next-1000, next)
	}
	for b.Loop() {
		var ratios, together []float64
		for range claimRounds {
			jobs := thousand()
			each := took(func() { claim(b, l, jobs...) })
			jobs = thousand()
			all := took(func() {
				for _, claimed := range l.ClaimAll(b.Context(), jobs) {
					if claimed.Err != nil || claimed.Existing != nil {
						b.Fatalf("claim %+v", claimed)
					}
				}
			})
			ratios, together = append(ratios, all/each), append(together, all)
		}
		b.ReportMetric(middle(together)*1000, "ms/1000-claims")
		verdict(b, middle(ratios), 0.3)
	}
}
