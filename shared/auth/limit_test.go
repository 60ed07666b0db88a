package auth_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"routinely/shared/auth"
	"routinely/shared/fault"
)

// limited makes a guard with one caller of so many requests a minute, and another without a limit.
func limited(t *testing.T, perMinute int) (guard *auth.Guard, ci, shop auth.Caller) {
	t.Helper()
	a, b := newHolder("ci"), newHolder("shop")
	a.config["requestsPerMinute"] = perMinute
	guard = parse(t, configure(a.config, b.config))
	return guard, known(t, guard, a.bearer(), nil, "ci", ""), known(t, guard, b.bearer(), nil, "shop", "")
}

func TestAdmit(t *testing.T) {
	const admit, rest = false, true
	admitted := func(left int, window time.Duration) auth.Limit {
		return auth.Limit{Allowed: true, PerMinute: 60, Left: left, Window: window * time.Second}
	}
	refused := func(left int, after time.Duration) auth.Limit {
		return auth.Limit{RetryAfter: after * time.Second, PerMinute: 60, Left: left, Window: after * time.Second}
	}
	for name, calls := range map[string][]struct {
		// rest is a call of AdmitMore, for the rest of a batch that was counted as one.
		rest bool
		cost int
		at   time.Duration
		want auth.Limit
	}{
		"a minute's requests at once, then as many as the time gives": {
			{admit, 60, 0, admitted(0, 1)},
			{admit, 1, 0, refused(0, 1)},
			{admit, 1, 999 * time.Millisecond, refused(0, 1)},
			{admit, 1, time.Second, admitted(0, 1)},
			{admit, 1, time.Second, refused(0, 1)},
			{admit, 1, time.Hour, admitted(59, 59)},
		},
		"each item of a batch counts, and nothing that is refused": {
			{admit, 50, 0, admitted(10, 10)}, {admit, 15, 0, refused(10, 5)}, {admit, 10, 0, admitted(0, 1)},
		},
		"a batch larger than the limit needs a full bucket, and what follows waits for it": {
			{admit, 1, 0, admitted(59, 59)},
			{admit, 100, 0, refused(59, 1)},
			{admit, 100, time.Second, admitted(0, 41)},
			{admit, 1, time.Second, refused(0, 41)},
			{admit, 1, 42 * time.Second, admitted(0, 1)},
		},
		"a batch counts as one before it is read, and the rest of it after": {
			{admit, 1, 0, admitted(59, 59)},
			{rest, 99, 0, admitted(0, 41)}, // larger than the limit, from a full bucket
			{admit, 1, 50 * time.Second, admitted(9, 9)},
			{rest, 14, 50 * time.Second, refused(9, 6)},
			{admit, 1, 56 * time.Second, admitted(14, 14)},
			{rest, 14, 56 * time.Second, admitted(0, 1)},
		},
		"a call costs one at least, and a million at most": {
			{admit, 59, 0, admitted(1, 1)},
			{admit, -5, 0, admitted(0, 1)},
			{admit, 0, 0, refused(0, 1)},
			{admit, 1 << 62, time.Minute + time.Second, admitted(0, 999_941)},
			{admit, 1, 999_999 * time.Second, refused(0, 3)},
		},
		"no more is given when the clock goes back": {{admit, 60, 0, admitted(0, 1)}, {admit, 1, -time.Second, refused(0, 2)}},
	} {
		t.Run(name, func(t *testing.T) {
			guard, ci, _ := limited(t, 60)
			for i, call := range calls {
				spend := guard.Admit
				if call.rest {
					spend = guard.AdmitMore
				}
				same(t, fmt.Sprintf("call %d", i+1), spend(ci, call.cost, now.Add(call.at)), call.want)
			}
		})
	}
	t.Run("spreads a limit that does not divide the minute", func(t *testing.T) {
		guard, ci, _ := limited(t, 7)
		got := []auth.Limit{guard.Admit(ci, 1, now), guard.Admit(ci, 7, now), guard.Admit(ci, 7, now.Add(9*time.Second))}
		same(t, "limits", got, []auth.Limit{
			{Allowed: true, PerMinute: 7, Left: 6, Window: 52 * time.Second},
			{RetryAfter: 9 * time.Second, PerMinute: 7, Left: 6, Window: 9 * time.Second},
			{Allowed: true, PerMinute: 7, Window: 9 * time.Second},
		})
	})
	t.Run("limits nobody else", func(t *testing.T) {
		guard, ci, shop := limited(t, 1)
		guard.Admit(ci, 1, now)
		for range 100 {
			if got := guard.Admit(shop, 1000, now); !got.Allowed || got.PerMinute != 0 {
				t.Fatalf("got %+v", got)
			}
		}
	})
	t.Run("admits no more in a minute than twice the limit, asked from many sides at once", func(t *testing.T) {
		guard, ci, _ := limited(t, 100)
		var admitted atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for i := range 60 {
					for range 20 {
						if guard.Admit(ci, 1, now.Add(time.Duration(i)*time.Second)).Allowed {
							admitted.Add(1)
						}
					}
				}
			})
		}
		all.Wait()
		if got := admitted.Load(); got < 100 || got > 199 {
			t.Errorf("admitted %d", got)
		}
	})
}

func TestLimit(t *testing.T) {
	guard, ci, shop := limited(t, 60)
	first, second := guard.Admit(ci, 60, now), guard.Admit(ci, 3, now)
	t.Run("writes the headers of the draft", func(t *testing.T) {
		got := []http.Header{{}, {}, {}, {}}
		first.SetHeaders(got[0])
		second.SetHeaders(got[1])
		guard.Admit(shop, 1, now).SetHeaders(got[2])
		guard.Admit(ci, 1, now.Add(31*time.Second)).SetHeaders(got[3])
		want := []http.Header{
			{"Ratelimit-Policy": {`"caller";q=60;w=60`}, "Ratelimit": {`"caller";r=0;t=1`}},
			{"Ratelimit-Policy": {`"caller";q=60;w=60`}, "Ratelimit": {`"caller";r=0;t=3`}, "Retry-After": {"3"}},
			{},
			{"Ratelimit-Policy": {`"caller";q=60;w=60`}, "Ratelimit": {`"caller";r=30;t=30`}},
		}
		same(t, "headers", got, want)
	})
	t.Run("is a fault that says when to come back", func(t *testing.T) {
		if err := first.Err(); err != nil {
			t.Errorf("an admitted request: %v", err)
		}
		err := second.Err()
		if !fault.HasKind(err, fault.Throttled) || !fault.HasCode(err, auth.CodeTooManyRequests) || fault.From(err).RetryAfter != 3*time.Second {
			t.Errorf("got %+v", err)
		}
	})
}
