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
	// succeed: all steps are done.
	succeed action = iota
	// tryAgain: the attempt has failed, and another one follows.
	tryAgain
	// handBack: nothing was tried, or the lane was taken or stopped: the job comes again, and no attempt counts.
	handBack
	// giveUp: the job becomes a dead letter.
	giveUp
)

// attempt is what became of a delivery.
type attempt struct {
	// failure is why the job did not succeed; nil if it did.
	failure *fault.Error
	// number counts the job's attempts from 1, and age is how long ago ESA first answered, without the time in which the lane was stopped.
	number int
	age    time.Duration
	// lane is the state of the lane now. found says that the delivery found it so: it did not stop the lane itself.
	lane  routine.Lane
	found bool
}

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

// decide decides about a job after an attempt. draw is a random number in [0, 1). This is the only place where a job is tried again.
//
//	kind                                        decision
//	(none)                                      succeed
//	Invalid NotFound Conflict Denied Quota      give up: this request cannot work, or somebody has to act first
//	Account                                     the lane is parked: hand back; only the attempt that parked it counts. So one job can park
//	                                            the lane only as often as it has attempts
//	Locked                                      hand back until the job is too old
//	Throttled Unavailable Internal              try again until attempts or age are spent; while the lane is parked as for Account
func decide(policy retry.Policy, a attempt, draw float64) decision {
	if a.failure == nil {
		return decision{do: succeed}
	}
	stopped := a.lane != routine.Running
	budget := *a.failure
	if stopped && budget.Kind == fault.Account { // it can succeed later, as after an outage
		budget.Kind = fault.Unavailable
	}
	next := policy.Next(&budget, a.number, a.age, draw)
	switch {
	case a.failure.Code == provision.CodeNoTime && next.Again:
		return decision{do: handBack, delay: next.Delay, waiting: routine.ForTurn, hint: hintTurn}
	case stopped && a.found && budget.Kind.Retryable():
		return decision{do: handBack, delay: policy.Stopped(draw), waiting: waitingFor(a.lane), hint: a.failure.Hint}
	case stopped && next.Again:
		return decision{do: tryAgain, delay: policy.Stopped(draw), waiting: waitingFor(a.lane), hint: a.failure.Hint}
	case !next.Again:
		return decision{do: giveUp, reason: next.Reason}
	}
	d := decision{do: tryAgain, delay: next.Delay, waiting: routine.ForBackoff, hint: hintBackoff}
	switch a.failure.Kind {
	case fault.Locked:
		d.do, d.waiting, d.hint = handBack, routine.ForAccountLock, hintLock
	case fault.Throttled:
		d.waiting, d.hint = routine.ForThrottle, hintThrottle
	default: // nothing special is waited for
	}
	if code := a.failure.Code; code == provision.CodeCallOpen || code == provision.CodeForeign { // what the workflow found out itself
		d.waiting, d.hint = routine.ForBackoff, a.failure.Hint
	}
	return d
}

func waitingFor(lane routine.Lane) routine.WaitingFor {
	if lane == routine.Paused {
		return routine.ForPause
	}
	return routine.ForPark
}

// Hints for jobs that are tried again.
const (
	hintBackoff  = "Nothing needs to be done: the job is tried again."
	hintThrottle = "ESA asked for a pause. Nothing needs to be done: the job is tried again after it."
	hintLock     = "Another routine operation of the account was running. Nothing needs to be done: the job waits, and no attempt counts."
	hintTurn     = "Other jobs were before it in the lane. Nothing needs to be done: the job waits for its turn, and no attempt counts."
)
