package mnsemu

import (
	"math/rand/v2"
	"time"
)

// disorder decides where a receive differs from one on a single orderly queue. The figures are those of recordings of the service
// (cn-shanghai, September 2026, the test mappings of salesforce/multicloudj). The caller holds the server's lock.
type disorder struct {
	calm   bool
	random *rand.Rand
}

// roundTime is after what time a long poll finds what it missed. The recorded polls, of a second each, found a message after 714 ms at
// the latest or not at all, and were over after 878 ms: the service seems to look from place to place.
const roundTime = time.Second

func newDisorder(calm bool, seed uint64) disorder {
	return disorder{calm: calm, random: rand.New(rand.NewPCG(seed, 0))}
}

// misses reports whether a receive misses a visible message: 3 of 27 did.
func (d disorder) misses() bool { return !d.calm && d.random.IntN(27) < 3 }

// pick is the index of the message to look at next among n.
func (d disorder) pick(n int) int {
	if d.calm {
		return 0
	}
	return d.random.IntN(n)
}

// held is how long a long poll that finds nothing lasts: 805 to 933 ms of 1 s were recorded.
func (d disorder) held(wait time.Duration) time.Duration {
	if d.calm {
		return wait
	}
	return wait * time.Duration(805+d.random.IntN(933-805+1)) / 1000
}
