package bench_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/stack"
)

// BenchmarkDeletion deletes routines with a record each, through the whole local stack, against one bare caller of the official SDK that makes the very
// calls that ESA got. Each deletion takes eight: it looks at the routine, lists its routes and its records, deletes the record and looks for it, looks at
// the routine again, deletes it and looks for it. Every invocation also reads the account's quota once.
func BenchmarkDeletion(b *testing.B) {
	for b.Loop() {
		var ratios []float64
		var ours effort
		for range laneRuns {
			d := deploy(b, stack.Config{ESALatency: laneLatency, RoutineQuota: laneJobs + 1, NoSync: true}, laneJobs+1)
			if _, err := d.post(warm()); err != nil {
				b.Fatal(err)
			}
			d.await(b, 1)
			before, wishes := d.ESA().Faults().Calls(), routines()
			made := d.measure(b, laneJobs, func(i int) (string, error) { return d.post(wishes[i]) })
			ours = d.measure(b, laneJobs, func(i int) (string, error) { return d.ask(http.MethodDelete, "/"+wishes[i].name, "") })
			d.check(b, slices.Concat(made.ids, ours.ids), []wish{warm()})
			ratios = append(ratios, over(ours.makespan, replay(b, laneLatency, append(before, made.calls...), ours.calls)))
		}
		slices.Sort(ratios)
		report(b,
			atMost("makespan/bare", ratios[laneRuns/2], 1.10), number("seconds", ours.makespan.Seconds()),
			number("best", ratios[0]), number("worst", ratios[laneRuns-1]),
			exactly("esa-writes", float64(ours.writes), 2*laneJobs),
			number("esa-reads", float64(len(ours.calls)-ours.writes)),
			exactly("refusals", float64(ours.refusals), 0),
		)
	}
}

// manyRecords is how many host names BenchmarkRecords binds between two measurements, recordsOfRequest how many at a time.
const manyRecords, recordsOfRequest = 1000, 20

// BenchmarkRecords binds one more host name to a routine that has one, and to one that has more than 1,000, and then deletes that routine with all of them.
// The figures are the calls that ESA gets for one job, and the median of the times from a job's 202 to its success.
func BenchmarkRecords(b *testing.B) {
	for b.Loop() {
		const jobs = 1 + laneRuns + manyRecords/recordsOfRequest + laneRuns + 1
		d := deploy(b, stack.Config{ESALatency: laneLatency, BatchWindow: stack.RealTime, NoSync: true}, jobs)
		d.bind(b, 1) // makes the routine and starts the functions
		few, callsOfFew := d.bindSingly(b)
		for range manyRecords / recordsOfRequest {
			d.bind(b, recordsOfRequest)
		}
		many, callsOfMany := d.bindSingly(b)
		deletion := d.measure(b, 1, func(int) (string, error) { return d.ask(http.MethodDelete, "/shop", "") })
		d.check(b, nil, nil)
		report(b,
			number("ms-few", milliseconds(few)), number("ms-many", milliseconds(many)), atMost("many/few", over(many, few), 1.15),
			number("esa-calls", float64(callsOfFew)), exactly("esa-calls-many", float64(callsOfMany), float64(callsOfFew)),
			exactly("deletion-writes", float64(deletion.writes), 1+2*laneRuns+manyRecords+1),
			number("deletion-reads", float64(len(deletion.calls)-deletion.writes)), number("deletion-seconds", deletion.makespan.Seconds()),
		)
	}
}

// bind binds so many new host names to the routine in one request.
func (d *deployment) bind(b *testing.B, count int) effort {
	b.Helper()
	return d.measure(b, 1, func(int) (string, error) {
		records := make([]string, count)
		for i := range records {
			d.bound++
			records[i] = fmt.Sprintf(`{"recordName":"shop-%d.%s"}`, d.bound, stack.SiteName)
		}
		return d.ask(http.MethodPost, "", `{"name":"shop","records":[`+strings.Join(records, ",")+`]}`)
	})
}

// bindSingly binds some host names, each in a request of its own, and returns the median of their times and the calls that ESA got for the last one.
func (d *deployment) bindSingly(b *testing.B) (median time.Duration, calls int) {
	b.Helper()
	var took []time.Duration
	for range laneRuns {
		e := d.bind(b, 1)
		took, calls = append(took, e.makespan), len(e.calls)
	}
	slices.Sort(took)
	return took[laneRuns/2], calls
}
