package auth_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	t.Run("admits a minute's requests at once, then as many as the time gives", func(t *testing.T) {
		guard, ci, _ := limited(t, 60)
		for i := range 60 {
			if !guard.Admit(ci, 1, now).Allowed {
				t.Fatalf("refused request %d", i)
			}
		}
		got := []auth.Limit{
			guard.Admit(ci, 1, now), guard.Admit(ci, 1, now.Add(999*time.Millisecond)), guard.Admit(ci, 1, now.Add(time.Second)),
			guard.Admit(ci, 1, now.Add(time.Second)), guard.Admit(ci, 1, now.Add(time.Hour)),
		}
		want := []auth.Limit{
			{RetryAfter: time.Second, PerMinute: 60, Window: time.Second},
			{RetryAfter: time.Second, PerMinute: 60, Window: time.Second},
			{Allowed: true, PerMinute: 60, Window: time.Second},
			{RetryAfter: time.Second, PerMinute: 60, Window: time.Second},
			{Allowed: true, PerMinute: 60, Left: 59, Window: 59 * time.Second},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("limits (-want +got):\n%s", diff)
		}
	})
	t.Run("counts each item of a batch, and nothing of what it refuses", func(t *testing.T) {
		guard, ci, _ := limited(t, 60)
		got := []auth.Limit{guard.Admit(ci, 50, now), guard.Admit(ci, 15, now), guard.Admit(ci, 10, now)}
		want := []auth.Limit{
			{Allowed: true, PerMinute: 60, Left: 10, Window: 10 * time.Second},
			{RetryAfter: 5 * time.Second, PerMinute: 60, Left: 10, Window: 5 * time.Second},
			{Allowed: true, PerMinute: 60, Window: time.Second},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("limits (-want +got):\n%s", diff)
		}
	})
	t.Run("admits a batch larger than the limit from a full bucket, and lets what follows wait for it", func(t *testing.T) {
		guard, ci, _ := limited(t, 60)
		got := []auth.Limit{
			guard.Admit(ci, 1, now), guard.Admit(ci, 100, now), guard.Admit(ci, 100, now.Add(time.Second)),
			guard.Admit(ci, 1, now.Add(time.Second)), guard.Admit(ci, 1, now.Add(42*time.Second)),
		}
		want := []auth.Limit{
			{Allowed: true, PerMinute: 60, Left: 59, Window: 59 * time.Second},
			{RetryAfter: time.Second, PerMinute: 60, Left: 59, Window: time.Second},
			{Allowed: true, PerMinute: 60, Window: 41 * time.Second},
			{RetryAfter: 41 * time.Second, PerMinute: 60, Window: 41 * time.Second},
			{Allowed: true, PerMinute: 60, Window: time.Second},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("limits (-want +got):\n%s", diff)
		}
	})
	t.Run("counts a batch as one before it is read, and the rest of it after", func(t *testing.T) {
		guard, ci, _ := limited(t, 60)
		got := []auth.Limit{
			guard.Admit(ci, 1, now), guard.AdmitMore(ci, 99, now), // larger than the limit, from a full bucket
			guard.Admit(ci, 1, now.Add(50*time.Second)), guard.AdmitMore(ci, 14, now.Add(50*time.Second)),
			guard.Admit(ci, 1, now.Add(56*time.Second)), guard.AdmitMore(ci, 14, now.Add(56*time.Second)),
		}
		want := []auth.Limit{
			{Allowed: true, PerMinute: 60, Left: 59, Window: 59 * time.Second},
			{Allowed: true, PerMinute: 60, Window: 41 * time.Second},
			{Allowed: true, PerMinute: 60, Left: 9, Window: 9 * time.Second},
			{RetryAfter: 6 * time.Second, PerMinute: 60, Left: 9, Window: 6 * time.Second},
			{Allowed: true, PerMinute: 60, Left: 14, Window: 14 * time.Second},
			{Allowed: true, PerMinute: 60, Window: time.Second},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("limits (-want +got):\n%s", diff)
		}
	})
	t.Run("counts one at least, and a million at most", func(t *testing.T) {
		guard, ci, _ := limited(t, 1)
		if first, second := guard.Admit(ci, -5, now), guard.Admit(ci, 0, now); !first.Allowed || second.Allowed {
			t.Errorf("got %+v, %+v", first, second)
		}
		guard, ci, _ = limited(t, 1)
		guard.Admit(ci, 1<<62, now)
		if later := guard.Admit(ci, 1, now.Add(999_999*time.Minute)); later.Allowed || later.RetryAfter != time.Minute {
			t.Errorf("got %+v", later)
		}
	})
	t.Run("spreads a limit that does not divide the minute", func(t *testing.T) {
		guard, ci, _ := limited(t, 7)
		got := []auth.Limit{guard.Admit(ci, 1, now), guard.Admit(ci, 7, now), guard.Admit(ci, 7, now.Add(9*time.Second))}
		want := []auth.Limit{
			{Allowed: true, PerMinute: 7, Left: 6, Window: 52 * time.Second},
			{RetryAfter: 9 * time.Second, PerMinute: 7, Left: 6, Window: 9 * time.Second},
			{Allowed: true, PerMinute: 7, Window: 9 * time.Second},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("limits (-want +got):\n%s", diff)
		}
	})
	t.Run("does not give more when the clock goes back", func(t *testing.T) {
		guard, ci, _ := limited(t, 60)
		guard.Admit(ci, 60, now)
		if got := guard.Admit(ci, 1, now.Add(-time.Second)); got.Allowed || got.RetryAfter != 2*time.Second {
			t.Errorf("got %+v", got)
		}
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
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
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
