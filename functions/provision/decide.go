package provision

import (
	"time"

	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

// action is what is done with a job after a delivery.
type action int

const (
	// succeed: both steps are done.
	succeed action = iota
	// tryAgain: the attempt has failed, and another one follows.
	tryAgain
	// handBack: nothing was tried, or the lane was taken: the job comes again, and no attempt counts.
	handBack
	// giveUp: the job becomes a dead letter.
	giveUp
)

// decision is what becomes of a job.
type decision struct {
	do action
	// delay is how long until the next delivery.
	delay time.Duration
	// waiting is what the job waits for until then, and hint tells people so.
	waiting routine.WaitingFor
	hint    string
	// reason says why the job is given up.
	reason string
}

// decide decides about a job whose attempt (counted from 1) came to a failure, nil if it succeeded, age after ESA first answered. draw is a
// random number in [0, 1). This is the only place where a job is tried again.
//
//	kind                                        decision
//	(none)                                      succeed
//	Invalid NotFound Conflict Denied            give up: this request cannot work
//	Unauthenticated Account Quota               give up: somebody has to act first
//	Locked                                      hand back until the job is too old
//	Throttled Unavailable Internal              try again until attempts or age are spent
func decide(policy retry.Policy, failure *fault.Error, attempt int, age time.Duration, draw float64) decision {
	if failure == nil {
		return decision{do: succeed}
	}
	next := policy.Next(failure, attempt, age, draw)
	d := decision{do: tryAgain, delay: next.Delay, waiting: routine.ForBackoff, hint: hintBackoff}
	switch {
	case !next.Again:
		return decision{do: giveUp, reason: next.Reason}
	case failure.Code == provision.CodeNoTime:
		d.do, d.waiting, d.hint = handBack, routine.ForTurn, hintTurn
	case failure.Kind == fault.Locked:
		d.do, d.waiting, d.hint = handBack, routine.ForAccountLock, hintLock
	case failure.Kind == fault.Throttled:
		d.waiting, d.hint = routine.ForThrottle, hintThrottle
	}
	return d
}

// Hints for jobs that are tried again.
const (
	hintBackoff  = "Nothing needs to be done: the job is tried again."
	hintThrottle = "ESA asked for a pause. Nothing needs to be done: the job is tried again after it."
	hintLock     = "Another routine operation of the account was running. Nothing needs to be done: the job waits, and no attempt counts."
	hintTurn     = "Other jobs were before it in the lane. Nothing needs to be done: the job waits for its turn, and no attempt counts."
)
