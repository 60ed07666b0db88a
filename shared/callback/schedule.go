package callback

import (
	"time"

	"routinely/shared/fault"
)

// delays are the pauses after the first, second and later attempts, as Standard Webhooks gives them for an example. The whole
// takes a little more than three days.
var delays = [...]time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour,
	maxDelay,
}

const (
	// MaxAttempts is how many attempts the schedule of Next has.
	MaxAttempts = len(delays) + 1
	// maxDelay is the longest delay, also for a receiver that asks for a longer one. MNS holds a message back for at most 7 days.
	maxDelay = 24 * time.Hour
)

// Next says whether a callback is sent again after its attempt, counted from 1, came to the failure, and after what delay. draw
// is a random number in [0, 1): up to a tenth is added to the delay, so that callbacks that failed together do not come back
// together. A receiver that asks to be left alone for longer than the schedule has it is left alone, for a day at most.
func Next(failure *fault.Error, attempt int, draw float64) (delay time.Duration, again bool) {
	if !failure.Kind.Retryable() || attempt >= MaxAttempts {
		return 0, false
	}
	delay = delays[max(attempt, 1)-1]
	jitter := time.Duration(draw * float64(delay) / 10)
	return max(delay, min(failure.RetryAfter, maxDelay)) + jitter, true
}
