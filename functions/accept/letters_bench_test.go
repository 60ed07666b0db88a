package accept

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"routinely/shared/api"
	"routinely/shared/ledger"
)

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
