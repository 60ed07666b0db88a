package bench_test

import (
	"testing"
	"time"

	"routinely/deploy/local/stack"
)

const (
	// laneJobs is how many jobs the lane gets.
	laneJobs = 100
	// laneLatency is how long each ESA operation holds the account lock.
	laneLatency = 20 * time.Millisecond
	// laneSum is the floor: the operations of all jobs, one after the other without a gap.
	laneSum = 2 * laneJobs * laneLatency
)

// BenchmarkLane brings jobs through the whole local stack, from cold: posted over HTTP 16 at a time while the lane already works on the first
// ones, queued, delivered by the trigger, two ESA operations each under the account lock, a look before the first. The floor is the sum of the
// two operations. In the same run the same jobs are done without a queue by callers of the official SDK, each time on an ESA of their own: by
// one, who never meets the lock (what is left between its time and the sum belongs to SDK, socket and local server), and by the peers, whom the
// lock refuses.
//
// makespan is from the first request to the last success, lane from the first call that ESA got. The local server of the ledger writes to disk
// three times for each job while the lane waits: much beside operations of 20 ms, little beside ESA's own.
func BenchmarkLane(b *testing.B) {
	for b.Loop() {
		ours := runLane(b, stack.Config{})
		alone := runCallers(b, 1)
		peers := runCallers(b, peerCallers)
		report(b,
			number("makespan/sum", over(ours.makespan, laneSum)),
			number("lane/sum", over(ours.lane, laneSum)),
			number("alone/sum", over(alone.makespan, laneSum)),
			exactly("esa-writes", float64(ours.writes), 2*laneJobs),
			exactly("refusals", float64(ours.refusals), 0),
			number("peers/sum", over(peers.makespan, laneSum)),
			number("peers-esa-writes", float64(peers.writes)),
			atMost("makespan/peers", over(ours.makespan, peers.makespan), 1),
			below("esa-writes/peers", float64(ours.writes)/float64(peers.writes), 1),
		)
	}
}

func over(d, floor time.Duration) float64 { return float64(d) / float64(floor) }

// effort is what it took to bring all jobs through.
type effort struct {
	makespan, lane   time.Duration
	writes, refusals int
}

func runLane(b *testing.B, cfg stack.Config) effort {
	b.Helper()
	cfg.ESALatency, cfg.RoutineQuota = laneLatency, laneJobs
	d := deploy(b, cfg, laneJobs)
	began := time.Now()
	ids, err := d.submit(laneJobs)
	if err != nil {
		b.Fatal(err)
	}
	ended := d.await(b, laneJobs)
	d.check(b, ids)
	writes, refusals := traffic(d.ESA())
	first := d.ESA().Faults().Calls()[0].At
	return effort{makespan: ended.Sub(began), lane: ended.Sub(first), writes: writes, refusals: refusals}
}
