package ledger_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"routinely/shared/ledger"
)

// BenchmarkClaims measures that a page of 50 claims takes as long among 10,000 routines as among 100, and that reading and writing the claim of one
// host name takes as long on a routine with 1,000 of them as on one with a single one.
func BenchmarkClaims(b *testing.B) {
	few, many := newBook(b), newBook(b)
	atOnce(100, func(n int) { few.claim(b, fmt.Sprintf("pr-%d", n), counts) })
	atOnce(10_000, func(n int) { many.claim(b, fmt.Sprintf("pr-%d", n), counts) })
	few.bind(b, "pr-1", "0.example.com")
	atOnce(1000, func(n int) { many.bind(b, "pr-1", fmt.Sprintf("%d.example.com", n)) })
	page := func(of *book) {
		claims, _, err := of.Claims(b.Context(), ledger.ClaimFilter{}, 50, "")
		must(b, err)
		check(b, len(claims), len(claims) == 50)
	}
	change := func(of *book) {
		record := holding(b, of.Ledger, "pr-1", "0.example.com").Records[0]
		_, err := of.ChangeRecord(b.Context(), record, recordCounts)
		must(b, err)
	}
	for b.Loop() {
		b.ReportMetric(longer(101, func() { page(many) }, func() { page(few) }), "page")
		b.ReportMetric(longer(101, func() { change(many) }, func() { change(few) }), "host-name")
		b.ReportMetric(0, "ns/op")
	}
}

// atOnce does something so many times, several at once.
func atOnce(times int, do func(n int)) {
	var group sync.WaitGroup
	turns := make(chan int)
	for range 16 {
		group.Go(func() {
			for n := range turns {
				do(n)
			}
		})
	}
	for n := range times {
		turns <- n
	}
	close(turns)
	group.Wait()
}

// longer is how many times as long as the other the one takes, by the middle of so many rounds.
func longer(rounds int, one, other func()) float64 {
	took := func(do func()) float64 {
		began := time.Now()
		do()
		return time.Since(began).Seconds()
	}
	var ones, others []float64
	for range rounds { // in turns, since a machine's speed drifts
		ones, others = append(ones, took(one)), append(others, took(other))
	}
	slices.Sort(ones)
	slices.Sort(others)
	return ones[rounds/2] / others[rounds/2]
}
