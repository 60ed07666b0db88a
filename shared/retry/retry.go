// Package retry holds the redelivery schedule: whether a failed job is tried again and after how long. It has no clock, no
// state and no queue; the worker carries out what it says.
package retry

import (
	"errors"
	"fmt"
	"time"

	"routinely/shared/fault"
)

// Policy is the budget of a job. Every field is required.
type Policy struct {
	// Base is the upper end of the first delay; it doubles with each attempt.
	Base time.Duration
	// Cap is the longest delay, for backoff and for hints of the far side alike.
	Cap time.Duration
	// MaxAttempts is how many attempts a job gets.
	MaxAttempts int
	// MaxInternalAttempts is how many it gets when the fault is Internal: nobody knows that another one helps.
	MaxInternalAttempts int
	// MaxAge is how long after ESA first answered it a job may still be tried.
	MaxAge time.Duration
	// StoppedMin and StoppedMax bound the delay of jobs that find the lane parked or paused.
	StoppedMin, StoppedMax time.Duration
}

// Check reports what is wrong with the policy.
func (p Policy) Check() error {
	switch {
	case p.Base <= 0 || p.Cap < p.Base:
		return fmt.Errorf("retry delays: want 0 < base (%s) <= cap (%s)", p.Base, p.Cap)
	case p.MaxAttempts < 1 || p.MaxInternalAttempts < 1:
		return errors.New("retry attempts: want at least 1")
	case p.MaxAge <= 0:
		return errors.New("retry age: want more than 0")
	case p.StoppedMin <= 0 || p.StoppedMax < p.StoppedMin:
		return fmt.Errorf("delays while the lane is stopped: want 0 < minimum (%s) <= maximum (%s)", p.StoppedMin, p.StoppedMax)
	}
	return nil
}

// Stopped is the delay of a job that finds the lane parked or paused. draw is a random number in [0, 1): the jobs do not come back together.
func (p Policy) Stopped(draw float64) time.Duration {
	return p.StoppedMin + time.Duration(draw*float64(p.StoppedMax-p.StoppedMin))
}

// Decision is what to do with a failed job.
type Decision struct {
	// Again means another attempt after Delay; otherwise Reason says which budget is spent.
	Again  bool
	Delay  time.Duration
	Reason string
}

// Next decides about a job whose attempt (counted from 1) failed with the given fault, age after ESA first answered it. draw is a
// random number in [0, 1): the delay is drawn from the whole interval up to the exponential bound ("full jitter"), so that
// jobs that failed together do not come back together. A hint of the far side is a lower bound of the delay.
func (p Policy) Next(failure *fault.Error, attempt int, age time.Duration, draw float64) Decision {
	if !failure.Kind.Retryable() {
		return Decision{Reason: "not retryable"}
	}
	if most := p.attempts(failure.Kind); failure.Kind != fault.Locked && attempt >= most {
		return Decision{Reason: fmt.Sprintf("all %d attempts are spent", most)}
	}
	if failure.Kind == fault.Locked {
		attempt = 1 // The lane is free again soon; a long delay would leave it idle.
	}
	delay := time.Duration(draw * float64(p.bound(attempt)))
	if failure.RetryAfter > 0 {
		delay = min(min(failure.RetryAfter, p.Cap)+delay, p.Cap)
	}
	if age >= p.MaxAge-delay { // a sum would overflow: a message can claim any age
		return Decision{Reason: fmt.Sprintf("older than %s", p.MaxAge)}
	}
	return Decision{Again: true, Delay: delay}
}

func (p Policy) attempts(kind fault.Kind) int {
	if kind == fault.Internal {
		return min(p.MaxInternalAttempts, p.MaxAttempts)
	}
	return p.MaxAttempts
}

// bound is min(Cap, Base * 2^(attempt-1)) without overflowing.
func (p Policy) bound(attempt int) time.Duration {
	bound := p.Base
	for range attempt - 1 {
		if bound >= p.Cap/2 {
			return p.Cap
		}
		bound *= 2
	}
	return min(bound, p.Cap)
}
