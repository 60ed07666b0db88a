package fcemu_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/events"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/fcemu"
)

// sweeping is a host with a function that a timer runs alone every minute.
func sweeping(t *testing.T, async fcemu.AsyncConfig) (*host, *gate) {
	t.Helper()
	g := newGate(t)
	f := gated("sweep", g)
	f.Timeout, f.MaxInstances, f.Async = time.Hour, 1, &async
	h := start(t, fcemu.Config{
		Functions: []fcemu.Function{f},
		Timers:    []fcemu.TimerTrigger{{Name: "minute", Function: "sweep", Schedule: "@every 1m"}},
	})
	h.clock.Await(1)
	return h, g
}

// minute lets one pass and returns the run that it brings.
func (h *host) minute(g *gate) *visitor {
	h.t.Helper()
	h.clock.Advance(time.Minute)
	return g.next()
}

// throttled waits until a tick found the function busy and waits for its next attempt.
func (h *host) throttled() {
	h.t.Helper()
	waitFor(h.t, h.invocations, "a throttled tick", func(i fcemu.Invocation) bool { return i.Err != nil && i.Err.Kind == fcemu.Throttled })
	h.clock.Await(3) // the next tick, the timeout of the run under way, the retry
}

func TestTimer(t *testing.T) {
	t.Run("gives the function the SDK's event at each interval", func(t *testing.T) {
		g := newGate(t)
		// Years ahead: the function lives by the machine's clock and must not find its deadline over.
		manual := clock.NewManual(time.Date(2126, 1, 2, 3, 4, 5, 678, time.FixedZone("", 8*60*60)))
		h := start(t, fcemu.Config{
			Functions: []fcemu.Function{gated("sweep", g)}, Clock: manual,
			Timers: []fcemu.TimerTrigger{{Name: "often", Function: "sweep", Schedule: "@every 1h30m"}},
		})
		manual.Await(1)
		for _, at := range []string{"2126-01-01T20:34:05Z", "2126-01-01T22:04:05Z"} {
			manual.Advance(90 * time.Minute)
			v := g.next()
			same(t, "event", v.Event, `{"triggerTime":"`+at+`","triggerName":"often","payload":""}`)
			var event events.TimerEvent
			if err := json.Unmarshal([]byte(v.Event), &event); err != nil || *event.TriggerName != "often" {
				t.Errorf("read by the SDK: %+v, %v", event, err)
			}
			v.say("return 1")
			same(t, "request id", wait(t, h.invocations, "the run").RequestID, v.RequestID)
		}
	})

	for how, fail := range map[string]func(*host, *visitor){
		"failed":     func(_ *host, v *visitor) { v.say("error it did not work") },
		"crashed":    func(_ *host, v *visitor) { v.say("exit") },
		"was killed": func(h *host, _ *visitor) { h.kill("sweep") },
	} {
		t.Run("goes on after a run that "+how+", without a retry if there is to be none", func(t *testing.T) {
			h, g := sweeping(t, fcemu.AsyncConfig{})
			fail(h, h.minute(g))
			wait(t, h.invocations, "the failure")
			h.minute(g).say("return 1")
			same(t, "second run", string(wait(t, h.invocations, "a run that works").Result), "1")
			same(t, "runs", h.Counters()["sweep"].Invocations, 2)
		})
	}

	t.Run("drops each tick of a long run at the maximum age", func(t *testing.T) {
		h, g := sweeping(t, fcemu.AsyncConfig{MaxEventAge: 5 * time.Second})
		long := h.minute(g)
		h.clock.Advance(5 * time.Second)
		for range 2 {
			h.clock.Advance(55 * time.Second)
			for _, pause := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second} {
				h.throttled()
				h.clock.Advance(pause)
			}
			h.throttled()
			h.clock.Advance(1500 * time.Millisecond)
		}
		h.clock.Advance(54 * time.Second) // another attempt would come within them
		long.say("return 1")
		waitFor(t, h.invocations, "the end of the long run", func(i fcemu.Invocation) bool { return i.Err == nil })
		same(t, "attempts", h.Counters()["sweep"].Throttled, 8)
	})

	t.Run("runs a tick that waited once the long run is over", func(t *testing.T) {
		h, g := sweeping(t, fcemu.AsyncConfig{MaxEventAge: time.Minute})
		long := h.minute(g)
		h.clock.Advance(time.Minute)
		h.throttled()
		long.say("return 1")
		wait(t, h.invocations, "the long run")
		h.clock.Await(3) // the next tick, the idle instance's end, the retry
		h.clock.Advance(500 * time.Millisecond)
		g.next().say("return 2")
		same(t, "the tick that waited", string(wait(t, h.invocations, "it").Result), "2")
	})

	t.Run("stops with a run under way and a tick waiting, and fires no more", func(t *testing.T) {
		h, g := sweeping(t, fcemu.AsyncConfig{MaxEventAge: time.Minute})
		long := h.minute(g)
		h.clock.Advance(time.Minute)
		h.throttled()
		h.cancel()
		long.say("return 1")
		h.stop()
		h.clock.Advance(time.Hour)
		same(t, "attempts", h.Counters()["sweep"].Invocations, 2)
	})
}
