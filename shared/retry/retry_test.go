package retry_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"routinely/shared/fault"
	"routinely/shared/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var policy = retry.Policy{
	Base: 2 * time.Second, Cap: 15 * time.Minute, MaxAttempts: 10, MaxInternalAttempts: 3, MaxAge: 24 * time.Hour,
	StoppedMin: time.Minute, StoppedMax: 5 * time.Minute,
}

func TestNext(t *testing.T) {
	const top, day = 0.999999, 24 * time.Hour
	again := func(delay time.Duration) retry.Decision { return retry.Decision{Again: true, Delay: delay} }
	never := func(reason string) retry.Decision { return retry.Decision{Reason: reason} }
	for name, test := range map[string]struct {
		kind    fault.Kind
		hint    time.Duration
		attempt int
		age     time.Duration
		draw    float64
		want    retry.Decision
	}{
		"the first delay is up to the base":         {fault.Unavailable, 0, 1, 0, top, again(2 * time.Second)},
		"the bound doubles with each attempt":       {fault.Unavailable, 0, 9, 0, top, again(512 * time.Second)},
		"the delay is of the whole interval":        {fault.Unavailable, 0, 5, 0, 0.5, again(16 * time.Second)},
		"the delay may be nothing":                  {fault.Unavailable, 0, 5, 0, 0, again(0)},
		"a hint is the least delay":                 {fault.Throttled, time.Minute, 1, 0, 0, again(time.Minute)},
		"a hint is capped":                          {fault.Throttled, time.Hour, 1, 0, 0, again(15 * time.Minute)},
		"the attempts are spent":                    {fault.Unavailable, 0, 10, 0, 0, never("all 10 attempts are spent")},
		"internal faults get fewer attempts":        {fault.Internal, 0, 3, 0, 0, never("all 3 attempts are spent")},
		"internal faults get a second attempt":      {fault.Internal, 0, 2, 0, 0, again(0)},
		"the age is reached":                        {fault.Unavailable, 0, 1, day, 0, never("older than 24h0m0s")},
		"the age would be reached after the delay":  {fault.Throttled, 10 * time.Minute, 1, day - 5*time.Minute, 0, never("older than 24h0m0s")},
		"the lock counts no attempts":               {fault.Locked, 0, 99, 0, top, again(2 * time.Second)},
		"the lock stops at the age":                 {fault.Locked, 0, 1, 25 * time.Hour, 0, never("older than 24h0m0s")},
		"a conflict is not tried again":             {fault.Conflict, 0, 1, 0, 0, never("not retryable")},
		"a fault of the account is not tried again": {fault.Account, 0, 1, 0, 0, never("not retryable")},
		"a huge attempt number is no trouble":       {fault.Locked, 0, 1 << 40, 0, 0, again(0)},
	} {
		t.Run(name, func(t *testing.T) {
			got := policy.Next(&fault.Error{Kind: test.kind, RetryAfter: test.hint}, test.attempt, test.age, test.draw)
			got.Delay = got.Delay.Round(time.Second)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func anyDuration(t *rapid.T, name string, least, most time.Duration) time.Duration {
	return time.Duration(rapid.Int64Range(int64(least), int64(most)).Draw(t, name))
}

// anyPolicy draws a policy that passes its own check.
func anyPolicy(t *rapid.T) retry.Policy {
	const eon = time.Duration(math.MaxInt64 / 2)
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

func anyDraw(t *rapid.T) float64 { return rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "draw") }

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

func TestNextProperties(t *testing.T) {
	t.Run("delays are drawn from the whole interval, hints are the least, the cap is the longest, budgets are kept and used up", rapid.MakeCheck(func(t *rapid.T) {
		p := anyPolicy(t)
		failure := &fault.Error{
			Kind: rapid.SampledFrom([]fault.Kind{
				fault.Locked, fault.Throttled, fault.Unavailable, fault.Internal,
				fault.Invalid, fault.Unauthenticated, fault.Denied, fault.NotFound, fault.Conflict, fault.Account,
			}).Draw(t, "kind"),
			RetryAfter: rapid.OneOf(rapid.Just(time.Duration(0)), rapid.Custom(func(t *rapid.T) time.Duration {
				return anyDuration(t, "least delay", 1, math.MaxInt64)
			})).Draw(t, "hint"),
		}
		attempt, draw := rapid.IntRange(1, 70).Draw(t, "attempt"), anyDraw(t)
		age := rapid.OneOf(rapid.Just(time.Duration(0)), rapid.Custom(func(t *rapid.T) time.Duration {
			return anyDuration(t, "time", 0, math.MaxInt64)
		})).Draw(t, "job's age")
		// What the delay must be, in numbers that do not overflow.
		want, hint := draw*min(float64(p.Cap), float64(p.Base)*math.Pow(2, float64(attempt-1))), min(failure.RetryAfter, p.Cap)
		if failure.Kind == fault.Locked {
			want = draw * float64(p.Base)
		}
		want = min(float64(hint)+want, float64(p.Cap))
		inexact := 1 + want/1e9 + float64(hint)/1e9
		got := p.Next(failure, attempt, age, draw)
		switch {
		case got.Again == (got.Reason != ""):
			t.Fatalf("tried again and given up: %+v", got)
		case !failure.Kind.Retryable() || attempt >= budget(p, failure.Kind):
			if got.Again {
				t.Fatalf("%+v after the last attempt", got)
			}
		case got.Again:
			if math.Abs(float64(got.Delay)-want) > inexact || got.Delay < hint || got.Delay > p.Cap || age >= p.MaxAge-got.Delay {
				t.Fatalf("%+v at the age of %s, want a delay of %g", got, age, want)
			}
		default:
			if float64(age) < float64(p.MaxAge)-want-inexact-float64(p.MaxAge)/1e9 {
				t.Fatalf("given up too early: %+v at the age of %s, with a delay of %g", got, age, want)
			}
		}
	}))
	t.Run("a job gets no more attempts in its whole life than its budget, however often the lane is taken", rapid.MakeCheck(func(t *rapid.T) {
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
	t.Run("the delay while the lane is stopped is within its bounds", rapid.MakeCheck(func(t *rapid.T) {
		p := anyPolicy(t)
		if delay := p.Stopped(rapid.Float64Range(0, 0.999999).Draw(t, "draw")); delay < p.StoppedMin || delay > p.StoppedMax {
			t.Errorf("delay %s, want %s to %s", delay, p.StoppedMin, p.StoppedMax)
		}
	}))
}

func TestCheck(t *testing.T) {
	for name, spoil := range map[string]func(*retry.Policy){
		"no base":                         func(p *retry.Policy) { p.Base = 0 },
		"a cap below the base":            func(p *retry.Policy) { p.Cap = time.Second },
		"no attempts":                     func(p *retry.Policy) { p.MaxAttempts = 0 },
		"no internal attempts":            func(p *retry.Policy) { p.MaxInternalAttempts = 0 },
		"no age":                          func(p *retry.Policy) { p.MaxAge = 0 },
		"no delay while stopped":          func(p *retry.Policy) { p.StoppedMin = 0 },
		"delays while stopped in reverse": func(p *retry.Policy) { p.StoppedMax = time.Second },
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			p := policy
			spoil(&p)
			if p.Check() == nil {
				t.Error("accepted")
			}
		})
	}
}
