package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"routinely/shared/ledger"
)

const (
	// few and many are the dead letters of the tables to compare.
	few, many = 100, 100_000
	// rounds is how many rounds each table has, in turns: short ones, since a machine's speed drifts.
	rounds = 31
)

// filled returns a ledger with that many dead letters.
func filled(b *testing.B, size int) *book {
	b.Helper()
	book := newBook(b)
	rows := deadRows(size, func(n int) string { return fmt.Sprint("Code", n%5) })
	for chunk := range slices.Chunk(rows, 5000) {
		book.create(b, chunk...)
	}
	return book
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

// BenchmarkDead measures how much longer a page of 50 dead letters and a redrive of 16 take among 100,000 than among 100.
func BenchmarkDead(b *testing.B) {
	small, large := filled(b, few), filled(b, many)
	for _, what := range []struct {
		name string
		do   func(book *book, round int)
		// undo is not measured.
		undo func(book *book)
	}{
		{"page of 50", func(book *book, _ int) {
			if rows, _, err := book.DeadLetters(b.Context(), ledger.DeadFilter{}, 50, ""); err != nil || len(rows) != 50 {
				b.Fatal(len(rows), err)
			}
		}, func(*book) {}},
		{"redrive of 16", func(book *book, round int) {
			at := noon.Add(time.Duration(1000+round) * time.Hour)
			changeSixteen(b, book, func(r *ledger.Row) error { return r.Redrive("olga", "", nil, at, at, at) })
		}, func(book *book) {
			changeSixteen(b, book, func(r *ledger.Row) error { dies(0, "Code1")(r); return nil })
			if err := book.Tidy(b.Context()); err != nil {
				b.Fatal(err)
			}
		}},
	} {
		b.Run(what.name, func(b *testing.B) {
			for b.Loop() {
				var ratios, each []float64
				for round := range rounds {
					s := took(func() { what.do(small, round) })
					l := took(func() { what.do(large, round) })
					what.undo(small)
					what.undo(large)
					ratios, each = append(ratios, l/s), append(each, l)
				}
				missed := ""
				if middle(ratios) > 1.2 {
					missed = " MISSED"
				}
				b.ReportMetric(middle(each)*1000, "ms")
				b.ReportMetric(middle(ratios), "ratio")
				b.ReportMetric(0, "ns/op")
				b.Logf("\nratio  %.4g  <= 1.2%s", middle(ratios), missed)
			}
		})
	}
}

// changeSixteen changes the sixteen jobs that are there in every table.
func changeSixteen(b *testing.B, book *book, change func(*ledger.Row) error) {
	b.Helper()
	for _, done := range book.ChangeAll(b.Context(), idsOf(newRows(16)), change) {
		if done.Err != nil {
			b.Fatal(done.Err)
		}
	}
}
