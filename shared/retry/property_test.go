package retry_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"routinely/shared/fault"
	"routinely/shared/retry"
)

// eon bounds the durations of the policies that are drawn.
const eon = time.Duration(math.MaxInt64 / 2)

func anyDuration(t *rapid.T, name string, least, most time.Duration) time.Duration {
	return time.Duration(rapid.Int64Range(int64(least), int64(most)).Draw(t, name))
}

// anyPolicy draws a policy that passes its own check.
func anyPolicy(t *rapid.T) retry.Policy {
	p := retry.Policy{
		Base:                anyDuration(t, "base", 1, time.Hour),
		MaxAttempts:         rapid.IntRange(1, 60).Draw(t, "attempts"),
		MaxInternalAttempts: rapid.IntRange(1, 60).Draw(t, "internal attempts"),
		MaxAge:              anyDuration(t, "age", 1, eon),
		StoppedMin:          anyDuration(t, "shortest delay while stopped", 1, time.Hour),
	}
	p.StoppedMax = anyDuration(t, "longest delay while stopped", p.StoppedMin, eon)
	p.Cap = anyDuration(t, "cap", p.Base, eon)
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return p
}

// anyFailure draws a failure that another attempt may correct.
func anyFailure(t *rapid.T) *fault.Error {
	return &fault.Error{
		Kind:       rapid.SampledFrom([]fault.Kind{fault.Locked, fault.Throttled, fault.Unavailable, fault.Internal}).Draw(t, "kind"),
		RetryAfter: rapid.OneOf(rapid.Just(time.Duration(0)), rapid.Map(rapid.Int64Range(1, math.MaxInt64), func(n int64) time.Duration { return time.Duration(n) })).Draw(t, "hint"),
	}
}

func anyDraw(t *rapid.T) float64 { return rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "draw") }

// exponential is min(cap, base*2^(attempt-1)), in numbers that do not overflow.
func exponential(p retry.Policy, attempt int) float64 {
	return min(float64(p.Cap), float64(p.Base)*math.Pow(2, float64(attempt-1)))
}

// budget is how many attempts a policy gives for a kind of fault.
func budget(p retry.Policy, kind fault.Kind) int {
	switch kind {
	case fault.Locked:
		return math.MaxInt
	case fault.Internal:
		return min(p.MaxAttempts, p.MaxInternalAttempts)
	}
	return p.MaxAttempts
}

func TestPolicyProperties(t *testing.T) {
	t.Run("draws a delay from the whole interval below the bound", rapid.MakeCheck(func(t *rapid.T) {
		p, failure := anyPolicy(t), anyFailure(t)
		failure.RetryAfter, p.MaxAge = 0, 2*eon
		attempt := rapid.IntRange(1, budget(p, failure.Kind)).Draw(t, "attempt")
		if attempt == budget(p, failure.Kind) {
			t.Skip("the last attempt")
		}
		bound := exponential(p, attempt)
		if failure.Kind == fault.Locked {
			bound = float64(p.Base)
		}
		draw := anyDraw(t)
		got := p.Next(failure, attempt, 0, draw)
		if off := math.Abs(float64(got.Delay) - draw*bound); !got.Again || got.Delay < 0 || float64(got.Delay) > bound || off > 1+bound/1e9 {
			t.Fatalf("%+v, want %g of %g", got, draw, bound)
		}
	}))
	t.Run("takes a hint for the least delay, and the cap for the longest", rapid.MakeCheck(func(t *rapid.T) {
		p, failure := anyPolicy(t), anyFailure(t)
		attempt, age := rapid.IntRange(1, 70).Draw(t, "attempt"), anyDuration(t, "job's age", 0, math.MaxInt64)
		got := p.Next(failure, attempt, age, anyDraw(t))
		if got.Again && (got.Delay < min(failure.RetryAfter, p.Cap) || got.Delay > p.Cap) {
			t.Fatalf("%+v for a hint of %s and a cap of %s", got, failure.RetryAfter, p.Cap)
		}
	}))
	t.Run("gives up at the end of a budget and not before", rapid.MakeCheck(func(t *rapid.T) {
		p, failure := anyPolicy(t), anyFailure(t)
		attempt, age := rapid.IntRange(1, 70).Draw(t, "attempt"), anyDuration(t, "job's age", 0, math.MaxInt64)
		got := p.Next(failure, attempt, age, 0)
		spent, old := attempt >= budget(p, failure.Kind), age >= p.MaxAge-min(failure.RetryAfter, p.Cap)
		if got.Again == (spent || old) || got.Again == (got.Reason != "") {
			t.Fatalf("%+v, attempts spent %t, too old %t", got, spent, old)
		}
		if last := p.Next(failure, attempt, age, anyDraw(t)); last.Again && age >= p.MaxAge-last.Delay {
			t.Fatalf("%+v at the age of %s", last, age)
		}
	}))
	t.Run("never tries again what no other attempt can correct", rapid.MakeCheck(func(t *rapid.T) {
		kind := rapid.SampledFrom([]fault.Kind{fault.Invalid, fault.Unauthenticated, fault.Denied, fault.NotFound, fault.Conflict, fault.Account}).Draw(t, "kind")
		if got := anyPolicy(t).Next(&fault.Error{Kind: kind}, 1, 0, 0); got.Again {
			t.Fatalf("%+v", got)
		}
	}))
	t.Run("makes no more attempts in a whole life than the budget, however often the lane is taken", rapid.MakeCheck(func(t *rapid.T) {
		p, kind := anyPolicy(t), rapid.SampledFrom([]fault.Kind{fault.Throttled, fault.Unavailable, fault.Internal}).Draw(t, "kind")
		age := time.Duration(0)
		for attempt, step := 1, 0; step < 150; step++ {
			failure := &fault.Error{Kind: kind}
			if rapid.Bool().Draw(t, "locked") {
				failure.Kind = fault.Locked
			}
			next := p.Next(failure, attempt, age, anyDraw(t))
			if !next.Again {
				return
			}
			if age += next.Delay; age >= p.MaxAge {
				t.Fatalf("%+v leads to the age of %s, at most %s", next, age, p.MaxAge)
			}
			if failure.Kind != fault.Locked {
				attempt++
			}
			if attempt > budget(p, kind) {
				t.Fatalf("attempt %d of %d", attempt, budget(p, kind))
			}
		}
	}))
}

func TestStoppedProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, draw := anyPolicy(t), rapid.Float64Range(0, 0.999999).Draw(t, "draw")
		if delay := p.Stopped(draw); delay < p.StoppedMin || delay > p.StoppedMax {
			t.Errorf("delay %s, want %s to %s", delay, p.StoppedMin, p.StoppedMax)
		}
	})
}
