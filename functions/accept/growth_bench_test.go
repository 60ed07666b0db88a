package accept

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
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
