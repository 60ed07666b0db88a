package provision

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

func TestDecide(t *testing.T) {
	policy := retry.Policy{Base: 2 * time.Second, Cap: time.Minute, MaxAttempts: 5, MaxInternalAttempts: 3, MaxAge: time.Hour, StoppedMin: time.Minute, StoppedMax: time.Minute}
	const backoff, lock, throttle, none = routine.ForBackoff, routine.ForAccountLock, routine.ForThrottle, routine.WaitingFor("")
	for _, row := range []struct {
		kind fault.Kind
		// first is for the first attempt, third and fifth for the attempts where budgets end, old for a job of an hour.
		first, third, fifth, old action
		waiting                  routine.WaitingFor
	}{
		{"", succeed, succeed, succeed, succeed, none},
		{fault.Invalid, giveUp, giveUp, giveUp, giveUp, none},
		{fault.NotFound, giveUp, giveUp, giveUp, giveUp, none},
		{fault.Conflict, giveUp, giveUp, giveUp, giveUp, none},
		{fault.Denied, giveUp, giveUp, giveUp, giveUp, none},
		{fault.Unauthenticated, giveUp, giveUp, giveUp, giveUp, none},
		{fault.Account, giveUp, giveUp, giveUp, giveUp, none},
		{fault.Locked, handBack, handBack, handBack, giveUp, lock},
		{fault.Throttled, tryAgain, tryAgain, giveUp, giveUp, throttle},
		{fault.Unavailable, tryAgain, tryAgain, giveUp, giveUp, backoff},
		{fault.Internal, tryAgain, giveUp, giveUp, giveUp, backoff},
	} {
		var failure *fault.Error
		if row.kind != "" {
			failure = &fault.Error{Kind: row.kind}
		}
		at := func(number int, age time.Duration) decision {
			return decide(policy, attempt{failure: failure, number: number, age: age, lane: routine.Running}, 0.5)
		}
		first, old := at(1, 0), at(1, time.Hour)
		got := []action{first.do, at(3, 0).do, at(5, 0).do, old.do}
		if diff := cmp.Diff([]action{row.first, row.third, row.fifth, row.old}, got); diff != "" || first.waiting != row.waiting {
			t.Errorf("%q waits for %q, want %q; -want +got:\n%s", row.kind, first.waiting, row.waiting, diff)
		}
		if waits := first.do == tryAgain || first.do == handBack; waits != (first.hint != "") || waits != (first.delay == time.Second) {
			t.Errorf("%q: %+v, want a hint and half the base if it comes again", row.kind, first)
		}
		if (old.do == giveUp) != (old.reason != "") {
			t.Errorf("%q: %+v, want a reason if it is given up", row.kind, old)
		}
	}
	t.Run("a job for which there was no time waits for its turn", func(t *testing.T) {
		d := decide(policy, attempt{failure: provision.NoTime(""), number: 5, lane: routine.Running}, 0)
		if d.do != handBack || d.waiting != routine.ForTurn || d.hint == "" {
			t.Errorf("%+v", d)
		}
	})
	for code, kind := range map[string]fault.Kind{provision.CodeCallOpen: fault.Locked, provision.CodeForeign: fault.Throttled} {
		t.Run("a job with "+code+" waits neither for the account lock nor because ESA asked for it, and says what for", func(t *testing.T) {
			d := decide(policy, attempt{failure: &fault.Error{Kind: kind, Code: code, Hint: "wait a little"}, number: 1, lane: routine.Running}, 0)
			if d.waiting != routine.ForBackoff || d.hint != "wait a little" {
				t.Errorf("%+v", d)
			}
		})
	}
	for name, row := range map[string]struct {
		kind   fault.Kind
		number int
		lane   routine.Lane
		found  bool
		want   action
	}{
		"the attempt that parks the lane for the account counts":                 {fault.Account, 4, routine.Parked, false, tryAgain},
		"a job parks the lane only as often as it has attempts":                  {fault.Account, 5, routine.Parked, false, giveUp},
		"the attempt that parks the lane for an outage counts":                   {fault.Unavailable, 4, routine.Parked, false, tryAgain},
		"the last attempt of a job is its last also if it parks the lane":        {fault.Unavailable, 5, routine.Parked, false, giveUp},
		"an attempt that finds the lane parked and the account at fault is free": {fault.Account, 5, routine.Parked, true, handBack},
		"an attempt that finds the lane parked and ESA away is free":             {fault.Unavailable, 5, routine.Parked, true, handBack},
		"a job that finds the lane paused waits":                                 {fault.Account, 5, routine.Paused, true, handBack},
		"a parked lane saves no request that cannot work":                        {fault.Invalid, 1, routine.Parked, true, giveUp},
	} {
		t.Run(name, func(t *testing.T) {
			failure := &fault.Error{Kind: row.kind, Hint: "fix it"}
			d := decide(policy, attempt{failure: failure, number: row.number, lane: row.lane, found: row.found}, 0.5)
			if d.do != row.want || d.do != giveUp && (d.delay != time.Minute || d.hint != "fix it" || string(d.waiting) != string(row.lane)) {
				t.Errorf("%+v", d)
			}
		})
	}
}
