package accept

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"routinely/shared/api"
	"routinely/shared/ledger"
)

// growthTexts are texts of n bytes whose readers have been slow, or could be.
func growthTexts() map[string]func(n int) string {
	return map[string]func(n int) string{
		"letters":    func(n int) string { return strings.Repeat("a", n) },
		"labels":     func(n int) string { return strings.Repeat("a.", n/2) },
		"quotes":     func(n int) string { return strings.Repeat(`"`, n) },
		"backslash":  func(n int) string { return strings.Repeat(`\`, n) },
		"brackets":   func(n int) string { return strings.Repeat("[", n) },
		"members":    func(n int) string { return "{" + strings.Repeat(`"a":1,`, n/6) + `"a":1}` },
		"elements":   func(n int) string { return "[" + strings.Repeat("1,", n/2) + "1]" },
		"lines":      func(n int) string { return strings.Repeat("1\n", n/2) },
		"commas":     func(n int) string { return strings.Repeat("a=b;c,", n/6) },
		"urls":       func(n int) string { return strings.Repeat(`"url":"?`, n/8) },
		"ideographs": different,
	}
}

// different is a text of different characters, for which Punycode takes time by the square.
func different(n int) string {
	var out strings.Builder
	for c := '一'; out.Len() < n; c++ {
		out.WriteRune(c)
	}
	return out.String()
}

// BenchmarkGrowth measures, for each place where a caller can put a text, by what the time of an answer grows when a text of the worst kind is
// four times as long: 4 is in proportion. What is refused for its length costs the same however long it is.
func BenchmarkGrowth(b *testing.B) {
	const least = 8 << 10
	for _, place := range slices.Sorted(maps.Keys(places)) {
		b.Run(place, func(b *testing.B) {
			f := start(b)
			f.deadOnes(b, 1)
			for b.Loop() {
				var worst, longest float64
				kind := ""
				for _, name := range slices.Sorted(maps.Keys(growthTexts())) {
					text := growthTexts()[name]
					once, fourTimes := f.fastest(b, places[place](text(least))), f.fastest(b, places[place](text(4*least)))
					if longest = max(longest, fourTimes); fourTimes/once > worst {
						worst, kind = fourTimes/once, name
					}
				}
				b.ReportMetric(longest*1e3, "ms-at-most")
				b.ReportMetric(0, "ns/op")
				report(b, "growth-by-"+kind, worst, "<=", 6)
			}
		})
	}
}

// fastest is the shortest time in seconds that an answer takes of many: what comes between makes it only longer.
func (f *function) fastest(b *testing.B, e map[string]any) float64 {
	b.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		b.Fatal(err)
	}
	shortest := math.Inf(1)
	for range 25 {
		began := time.Now()
		if _, err := f.Handle(b.Context(), text); err != nil {
			b.Fatal(err)
		}
		shortest = min(shortest, time.Since(began).Seconds())
	}
	return shortest
}

// BenchmarkDeadLetters measures that a page of 50 dead letters and a redrive of 16 take as long among very many as among few, and a redrive of
// very many as long for each job as one of few.
func BenchmarkDeadLetters(b *testing.B) {
	const few, many, all = 100, 100_000, 10_000
	small, large := newLetterSide(b, few), newLetterSide(b, many)
	for b.Loop() {
		var fewPages, manyPages, fewRedrives, manyRedrives []float64
		for range 101 { // in turns, since a machine's speed drifts
			fewPages, manyPages = append(fewPages, small.page(b)), append(manyPages, large.page(b))
		}
		for range 15 {
			fewRedrives, manyRedrives = append(fewRedrives, small.redrive(b, 16)), append(manyRedrives, large.redrive(b, 16))
		}
		var perJob []float64
		for range 5 {
			perJob = append(perJob, small.redrive(b, few)/few)
		}
		inAll := large.redrive(b, all) / all / middle(perJob)
		for _, figure := range []struct {
			name  string
			value float64
			most  float64
		}{
			{"page", middle(manyPages) / middle(fewPages), 1.2},
			{"redrive-of-16", middle(manyRedrives) / middle(fewRedrives), 1.2},
			{"redrive-of-10000-per-job", inAll, 1.2},
		} {
			report(b, figure.name, figure.value, "<=", figure.most)
		}
		b.ReportMetric(0, "ns/op")
	}
}

// letterSide is a function with a number of dead letters.
type letterSide struct{ *function }

func newLetterSide(b *testing.B, count int) letterSide {
	b.Helper()
	f := start(b)
	f.deadOnes(b, count)
	return letterSide{f}
}

// ask makes a request and returns its answer, and how long that took in seconds.
func (f letterSide) ask(b *testing.B, e map[string]any, answer any) float64 {
	b.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	res, _ := f.Handle(b.Context(), text)
	took := time.Since(began).Seconds()
	if err := json.Unmarshal([]byte(res.Body), answer); err != nil || res.StatusCode != 200 {
		b.Fatalf("%v, %+v", err, res)
	}
	return took
}

func (f letterSide) page(b *testing.B) float64 {
	b.Helper()
	var list api.DeadLetterList
	return f.ask(b, event("GET", "/v1/dead-letters", ""), &list)
}

// redrive redrives so many dead letters, which then die again, and returns how long the redrive took in seconds.
func (f letterSide) redrive(b *testing.B, count int) (took float64) {
	b.Helper()
	cursor := ""
	for left := count; left > 0; {
		var done api.WorkedOff
		took += f.ask(b, event("POST", "/v1/dead-letters:redrive", fmt.Sprintf(`{"all":true,"limit":%d%s}`, left, cursor)), &done)
		if left -= done.Count; left > 0 && !done.More || done.Count == 0 {
			b.Fatalf("%d are left: %+v", left, done)
		}
		cursor = fmt.Sprintf(`,"cursor":%q`, done.Next)
		for _, died := range f.Ledger.ChangeAll(b.Context(), done.IDs, func(r *ledger.Row) error {
			f.die(r, "SiteParameterNotMatch")
			return nil
		}) {
			if died.Err != nil {
				b.Fatal(died.Err)
			}
		}
	}
	f.clock.Advance(time.Second)
	return took
}
