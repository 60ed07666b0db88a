package mnsemu

import "time"

// The figures here are those of recordings of the service (cn-shanghai, September 2026, the test mappings of salesforce/multicloudj).

// roundTime is after what time a long poll finds what it missed. The recorded polls, of a second each, found a message after 714 ms at
// the latest or not at all, and were over after 878 ms: the service seems to look from place to place.
const roundTime = time.Second

// misses reports whether a receive misses a visible message: 3 of 27 did.
func (s *Server) misses() bool { return !s.config.Calm && s.random.IntN(27) < 3 }

// lasts is how long a long poll that finds nothing lasts: 805 to 933 ms of 1 s were recorded.
func (s *Server) lasts(wait time.Duration) time.Duration {
	if s.config.Calm {
		return wait
	}
	return wait * time.Duration(805+s.random.IntN(933-805+1)) / 1000
}
