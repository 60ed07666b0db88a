package auth_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"routinely/shared/auth"
	"routinely/shared/fault"
	"routinely/shared/routine"
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

func TestLimits(t *testing.T) {
	ends := now.Add(time.Hour)
	ci, shop := newHolder("ci"), newHolder("shop")
	ci.config["names"], ci.config["recordSuffixes"] = []string{"pr-"}, []string{"Preview.example.com."}
	ci.config["sites"], ci.config["expiresAt"] = []any{"54362329990032", 7}, ends.Format(time.RFC3339)
	queue := map[string]any{"name": "queue", "scopes": []string{"submit"}, "names": []string{"bare-"}}
	guard := parse(t, configure(ci.config, shop.config, queue))
	want := routine.Limits{
		Names: []string{"pr-"}, RecordSuffixes: []string{"preview.example.com"}, Sites: []int64{54362329990032, 7}, ExpiresAt: ends.UTC(),
	}

	t.Run("are the caller's, however it is known", func(t *testing.T) {
		byToken := known(t, guard, ci.bearer(), body, "ci", "")
		byWebhook := known(t, guard, ci.webhook("msg_1", now, body), body, "ci", "msg_1")
		byGitHub := known(t, guard, ci.github("d-1", body), body, "ci", keyOf(body))
		for _, got := range []routine.Limits{byToken.Limits, byWebhook.Limits, byGitHub.Limits, guard.Limits("ci")} {
			same(t, "limits", got, want)
		}
	})
	t.Run("are none for a caller without, for everybody and for a stranger", func(t *testing.T) {
		byToken := known(t, guard, shop.bearer(), nil, "shop", "")
		for _, got := range []routine.Limits{byToken.Limits, guard.Limits("shop"), guard.Limits("stranger"), parse(t, "none").Limits("anonymous")} {
			same(t, "limits", got, routine.Limits{})
		}
	})
	t.Run("end the caller at their time, with a refusal that says so", func(t *testing.T) {
		if _, err := guard.Authenticate(ci.bearer(), nil, ends.Add(-time.Second)); err != nil {
			t.Errorf("refused before: %v", err)
		}
		caller, err := guard.Authenticate(ci.bearer(), nil, ends)
		if !fault.HasKind(err, fault.Denied) || !fault.HasCode(err, auth.CodeExpired) || caller.Name != "" || caller.May(auth.Submit) == nil {
			t.Errorf("got %+v, %v", caller, err)
		}
	})
	t.Run("are those of the queue, which is a caller that nobody can be", func(t *testing.T) {
		if got := guard.Limits("queue"); len(got.Names) != 1 || got.Names[0] != "bare-" {
			t.Errorf("got %+v", got)
		}
		if _, err := auth.Parse(configure(queue)); err != nil {
			t.Errorf("alone: %v", err)
		}
	})
	for name, more := range map[string]map[string]any{
		"a token":          {"tokens": ci.config["tokens"]},
		"a webhook secret": {"webhookSecrets": ci.config["webhookSecrets"]},
		"a GitHub secret":  {"githubSecrets": ci.config["githubSecrets"]},
		"a rate":           {"requestsPerMinute": 60},
		"another scope":    {"scopes": []string{"submit", "read"}},
	} {
		t.Run("of the queue come without "+name, func(t *testing.T) {
			config := map[string]any{"name": "queue", "scopes": []string{"submit"}}
			for field, value := range more {
				config[field] = value
			}
			if _, err := auth.Parse(configure(config)); !strings.Contains(fmt.Sprint(err), `caller "queue": stands for requests that are put on the queue`) {
				t.Errorf("got %v", err)
			}
		})
	}
}
