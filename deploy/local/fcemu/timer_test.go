package fcemu_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/events"
	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/fcemu"
)

func TestTimer(t *testing.T) {
	t.Run("gives the function the SDK's event at each interval", func(t *testing.T) {
		g := newGate(t)
		config := sweeping(g)
		config.Functions[0].IdleTimeout = 24 * time.Hour
		config.Timers[0].Schedule, config.Timers[0].Payload = "@every 1h30m", `<all> & "more"`
		// Years ahead: the function lives by the machine's clock and must not find its deadline over.
		manual := clock.NewManual(time.Date(2126, 1, 2, 3, 4, 5, 678, time.FixedZone("", 8*60*60)))
		config.Clock = manual
		h := start(t, config)
		manual.Await(1)
		for _, want := range []string{
			`{"triggerTime":"2126-01-01T20:34:05Z","triggerName":"minute","payload":"<all> & \"more\""}`,
			`{"triggerTime":"2126-01-01T22:04:05Z","triggerName":"minute","payload":"<all> & \"more\""}`,
		} {
			manual.Advance(90 * time.Minute)
			v := g.next()
			if diff := cmp.Diff(want, v.Event); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
			var event events.TimerEvent
			if err := json.Unmarshal([]byte(v.Event), &event); err != nil || *event.Payload != config.Timers[0].Payload {
				t.Errorf("read by the SDK: %+v, %v", event, err)
			}
			v.say("return 1")
			if got := wait(t, h.invocations, "the run"); got.Source != fcemu.Timer || got.RequestID != v.RequestID || string(got.Result) != "1" {
				t.Errorf("invocation: %+v", got)
			}
			manual.Await(2) // the next tick, the idle instance's end
		}
	})

	for how, fail := range map[string]func(*host, *visitor){
		"failed":     func(_ *host, v *visitor) { v.say("error it did not work") },
		"panicked":   func(_ *host, v *visitor) { v.say("panic no sweep today") },
		"crashed":    func(_ *host, v *visitor) { v.say("exit") },
		"timed out":  func(h *host, _ *visitor) { h.clock.Advance(3 * time.Second) },
		"was killed": func(h *host, _ *visitor) { h.kill("sweep") },
	} {
		t.Run("goes on after a run that "+how+", without a retry", func(t *testing.T) {
			g := newGate(t)
			h := start(t, sweeping(g))
			fail(h, h.minute(g))
			dropped := h.step(fcemu.Dropped)
			var failed *fcemu.Error
			if !errors.As(dropped.Err, &failed) || failed.Code != "UnhandledInvocationError" {
				t.Errorf("dropped for %v, want the function's fault", dropped.Err)
			}
			if dropped.Trigger != "minute" || dropped.Messages != 1 {
				t.Errorf("step: %+v", dropped)
			}
			h.minute(g).say("return 1")
			waitFor(t, h.invocations, "a run that works", func(i fcemu.Invocation) bool { return i.Err == nil })
			if got := h.Counters("sweep"); got.Invocations != 2 || got.Errors != 1 {
				t.Errorf("counters: %+v, want one error and one run", got)
			}
		})
	}

	t.Run("goes on when its instance is killed between two ticks", func(t *testing.T) {
		g := newGate(t)
		h := start(t, sweeping(g))
		h.minute(g).say("return 1")
		wait(t, h.invocations, "the first run")
		h.kill("sweep")
		h.minute(g).say("return 2")
		if got := wait(t, h.invocations, "the second run"); string(got.Result) != "2" || !got.ColdStart {
			t.Errorf("second run: %+v, want 2 from a new instance", got)
		}
	})

	t.Run("tries a failed run again as often as the function's setting says", func(t *testing.T) {
		g := newGate(t)
		config := sweeping(g)
		config.Functions[0].Async.MaxRetryAttempts = 1
		h := start(t, config)
		h.minute(g).say("error again")
		h.clock.Await(3) // the next tick, the idle instance's end, the retry
		h.clock.Advance(500 * time.Millisecond)
		v := g.next()
		if v.Retry != 1 {
			t.Errorf("retry count %d, want 1", v.Retry)
		}
		v.say("error again")
		h.step(fcemu.Dropped)
	})

	t.Run("drops each tick of a long run at the maximum age", func(t *testing.T) {
		g := newGate(t)
		config := sweeping(g)
		config.Functions[0].Timeout, config.Functions[0].Async.MaxEventAge = time.Hour, 5*time.Second
		h := start(t, config)
		long := h.minute(g)
		h.clock.Advance(5 * time.Second)
		for range 3 {
			h.clock.Advance(55 * time.Second)
			for _, pause := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second} {
				h.throttled()
				h.clock.Advance(pause)
			}
			h.throttled()
			h.clock.Advance(1499 * time.Millisecond)
			if len(h.steps) > 0 {
				t.Error("a tick was dropped before its age")
			}
			h.clock.Advance(time.Millisecond)
			if dropped := h.step(fcemu.Dropped); !strings.Contains(dropped.Err.Error(), "busy") {
				t.Errorf("dropped for %v, want that the function is busy", dropped.Err)
			}
		}
		long.say("return 1")
	})

	t.Run("runs a tick that waited once the long run is over", func(t *testing.T) {
		g := newGate(t)
		config := sweeping(g)
		config.Functions[0].Timeout = time.Hour
		h := start(t, config)
		long := h.minute(g)
		h.clock.Advance(time.Minute)
		h.throttled()
		long.say("return 1")
		wait(t, h.invocations, "the long run")
		h.clock.Await(3) // the next tick, the idle instance's end, the retry
		h.clock.Advance(500 * time.Millisecond)
		g.next().say("return 2")
		if got := wait(t, h.invocations, "the tick that waited"); string(got.Result) != "2" || len(h.steps) > 0 {
			t.Errorf("got %+v, %d dropped", got, len(h.steps))
		}
	})

	t.Run("stops with a run under way and a tick waiting, and fires no more", func(t *testing.T) {
		g := newGate(t)
		config := sweeping(g)
		config.Functions[0].Timeout = time.Hour
		h := start(t, config)
		long := h.minute(g)
		h.clock.Advance(time.Minute)
		h.throttled()
		h.cancel()
		h.step(fcemu.Dropped)
		long.say("return 1")
		h.stop()
		h.clock.Advance(time.Hour)
		if got := h.Counters("sweep"); got.Invocations != 2 || got.Throttled != 1 || len(h.steps) > 0 {
			t.Errorf("counters: %+v, %d more dropped, want the long run and the throttled tick", got, len(h.steps))
		}
	})

	t.Run("leaves the function to calls by hand, within its limit", func(t *testing.T) {
		g := newGate(t)
		h := start(t, sweeping(g))
		base, client := serve(t, h.API())
		call := func() response {
			return send(t, client, http.MethodPost, base+"/2023-03-30/functions/sweep/invocations", strings.NewReader(`{"payload":"now"}`))
		}
		tick := h.minute(g)
		if got := call(); got.status != http.StatusTooManyRequests {
			t.Errorf("during a run: got %d %s, want 429", got.status, got.body)
		}
		tick.say("return 1")
		waitFor(t, h.invocations, "the run", func(i fcemu.Invocation) bool { return i.Source == fcemu.Timer })
		h.clock.Await(2) // the next tick, the idle instance's end
		go func() { (<-g.visitors).say("return 2") }()
		if got := call(); got.status != http.StatusOK || string(got.body) != "2" {
			t.Errorf("after it: got %d %s, want 2", got.status, got.body)
		}
	})
}

// sweeping is a function as the one that a timer runs alone every minute, without retries.
func sweeping(g *gate) fcemu.Config {
	f := gated("sweep", g)
	f.MaxInstances, f.Async = 1, &fcemu.AsyncConfig{MaxEventAge: time.Minute}
	return fcemu.Config{
		Functions: []fcemu.Function{f},
		Timers:    []fcemu.TimerTrigger{{Name: "minute", Function: "sweep", Schedule: "@every 1m"}},
	}
}

// minute lets one pass and returns the run that it brings.
func (h *host) minute(g *gate) *visitor {
	h.t.Helper()
	h.clock.Await(1)
	h.clock.Advance(time.Minute)
	return g.next()
}

// throttled waits until a tick found the function busy and waits for its next attempt.
func (h *host) throttled() {
	h.t.Helper()
	waitFor(h.t, h.invocations, "a throttled tick", func(i fcemu.Invocation) bool { return i.Err != nil && i.Err.Kind == fcemu.Throttled })
	h.clock.Await(3) // the next tick, the timeout of the run under way, the retry
}

func (h *host) kill(function string) {
	h.t.Helper()
	if _, err := h.KillInstance(function); err != nil {
		h.t.Fatal(err)
	}
}
