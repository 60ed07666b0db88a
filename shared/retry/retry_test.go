package retry_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"routinely/shared/fault"
	"routinely/shared/retry"
)

var policy = retry.Policy{
	Base: 2 * time.Second, Cap: 15 * time.Minute, MaxAttempts: 10, MaxInternalAttempts: 3, MaxAge: 24 * time.Hour,
	StoppedMin: time.Minute, StoppedMax: 5 * time.Minute,
}

func TestNext(t *testing.T) {
	const top = 0.999999
	next := func(kind fault.Kind, hint time.Duration, attempt int, age time.Duration, draw float64) retry.Decision {
		d := policy.Next(&fault.Error{Kind: kind, RetryAfter: hint}, attempt, age, draw)
		d.Delay = d.Delay.Round(time.Second)
		return d
	}
	t.Run("doubles the bound up to the cap", func(t *testing.T) {
		var got []time.Duration
		for attempt := 1; attempt < 10; attempt++ {
			got = append(got, next(fault.Unavailable, 0, attempt, 0, top).Delay)
		}
		want := []time.Duration{2, 4, 8, 16, 32, 64, 128, 256, 512}
		for i := range want {
			want[i] *= time.Second
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	for name, test := range map[string]struct{ got, want retry.Decision }{
		"draws from the whole interval": {next(fault.Unavailable, 0, 5, 0, 0.5), retry.Decision{Again: true, Delay: 16 * time.Second}},
		"may draw no delay at all":      {next(fault.Unavailable, 0, 5, 0, 0), retry.Decision{Again: true}},
		"takes a hint as lower bound":   {next(fault.Throttled, time.Minute, 1, 0, 0), retry.Decision{Again: true, Delay: time.Minute}},
		"caps a hint":                   {next(fault.Throttled, time.Hour, 1, 0, 0), retry.Decision{Again: true, Delay: 15 * time.Minute}},
		"gives up after the attempts":   {next(fault.Unavailable, 0, 10, 0, 0), retry.Decision{Reason: "all 10 attempts are spent"}},
		"gives internal faults fewer":   {next(fault.Internal, 0, 3, 0, 0), retry.Decision{Reason: "all 3 attempts are spent"}},
		"retries internal faults first": {next(fault.Internal, 0, 2, 0, 0), retry.Decision{Again: true}},
		"gives up with age":             {next(fault.Unavailable, 0, 1, 24*time.Hour, 0), retry.Decision{Reason: "older than 24h0m0s"}},
		"gives up when the delay would reach the age": {
			next(fault.Throttled, 10*time.Minute, 1, 24*time.Hour-5*time.Minute, 0), retry.Decision{Reason: "older than 24h0m0s"},
		},
		"never counts attempts of a locked job":       {next(fault.Locked, 0, 99, 0, top), retry.Decision{Again: true, Delay: 2 * time.Second}},
		"bounds a locked job by its age":              {next(fault.Locked, 0, 1, 25*time.Hour, 0), retry.Decision{Reason: "older than 24h0m0s"}},
		"does not retry what a retry cannot help":     {next(fault.Conflict, 0, 1, 0, 0), retry.Decision{Reason: "not retryable"}},
		"does not retry what an operator must fix":    {next(fault.Account, 0, 1, 0, 0), retry.Decision{Reason: "not retryable"}},
		"survives an attempt number beyond all sense": {policy.Next(&fault.Error{Kind: fault.Locked}, 1<<40, 0, 0), retry.Decision{Again: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestNextProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := retry.Policy{
			Base:                time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "base")),
			MaxAttempts:         rapid.IntRange(1, 1000).Draw(t, "attempts"),
			MaxInternalAttempts: rapid.IntRange(1, 1000).Draw(t, "internal"),
			MaxAge:              time.Duration(rapid.Int64Range(1, int64(1000*time.Hour)).Draw(t, "age")),
			StoppedMin:          1, StoppedMax: 1,
		}
		p.Cap = p.Base + time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "cap"))
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		failure := &fault.Error{
			Kind:       rapid.SampledFrom([]fault.Kind{fault.Locked, fault.Throttled, fault.Unavailable, fault.Internal}).Draw(t, "kind"),
			RetryAfter: time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "hint")),
		}
		attempt := rapid.IntRange(1, 2000).Draw(t, "attempt")
		age := time.Duration(rapid.Int64Range(0, int64(2000*time.Hour)).Draw(t, "jobAge"))
		d := p.Next(failure, attempt, age, rapid.Float64Range(0, 0.9999999).Draw(t, "draw"))
		if d.Again == (d.Reason != "") {
			t.Fatalf("again and given up: %+v", d)
		}
		if d.Again && (d.Delay < 0 || d.Delay > p.Cap || age+d.Delay >= p.MaxAge) {
			t.Fatalf("delay out of bounds: %+v of %+v", d, p)
		}
		if d.Again && failure.Kind != fault.Locked && attempt >= p.MaxAttempts {
			t.Fatalf("attempt %d of %d is tried again", attempt, p.MaxAttempts)
		}
	})
}

func TestCheck(t *testing.T) {
	for name, spoil := range map[string]func(*retry.Policy){
		"no base":              func(p *retry.Policy) { p.Base = 0 },
		"cap below base":       func(p *retry.Policy) { p.Cap = time.Second },
		"no attempts":          func(p *retry.Policy) { p.MaxAttempts = 0 },
		"no internal attempts": func(p *retry.Policy) { p.MaxInternalAttempts = 0 },
		"no age":               func(p *retry.Policy) { p.MaxAge = 0 },
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
