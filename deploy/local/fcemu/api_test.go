package fcemu_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/fcemu"
)

const invocations = "/2023-03-30/functions/f/invocations"

func TestAPI(t *testing.T) {
	t.Run("invokes synchronously", func(t *testing.T) {
		h := start(t, fcemu.Config{Functions: []fcemu.Function{function("f")}})
		base := serve(t, h.API())
		got := post(t, base+invocations, `{"a":1}`)
		if got.status != 200 || string(got.body) != `{"a":1}` || got.header.Get("X-Fc-Request-Id") == "" || got.header.Get("X-Fc-Error-Type") != "" {
			t.Errorf("got %d %v %s", got.status, got.header, got.body)
		}
		failed := post(t, base+invocations, `{"do":"error"}`)
		if failed.status != 200 || failed.header.Get("X-Fc-Error-Type") != "UnhandledInvocationError" || !strings.Contains(string(failed.body), "it did not work") {
			t.Errorf("function error: got %d %v %s", failed.status, failed.header, failed.body)
		}
		unknown := post(t, base+"/2023-03-30/functions/g/invocations", "")
		if unknown.status != 404 || !strings.Contains(string(unknown.body), "FunctionNotFound") {
			t.Errorf("unknown function: got %d %s", unknown.status, unknown.body)
		}
	})

	t.Run("accepts asynchronous events and retries errors three times, with a retry count", func(t *testing.T) {
		g := newGate(t)
		h := start(t, fcemu.Config{Functions: []fcemu.Function{gated("f", g)}})
		base := serve(t, h.API())
		if got := post(t, base+invocations, `1`, "X-Fc-Invocation-Type", "Async"); got.status != http.StatusAccepted || len(got.body) > 0 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
		for retry := range 4 {
			v := g.next()
			same(t, "retry count", v.Retry, retry)
			v.say("error again")
			wait(t, h.invocations, "the failure")
			if retry < 3 {
				h.clock.Await(2) // the idle instance's end, the retry
				h.clock.Advance(500 * time.Millisecond << retry)
			}
		}
		large := post(t, base+invocations, strings.Repeat("x", 128<<10+1), "X-Fc-Invocation-Type", "Async")
		if large.status != 400 || !strings.Contains(string(large.body), "EntityTooLarge") {
			t.Errorf("large: got %d %s", large.status, large.body)
		}
	})

	t.Run("shows and kills instances, and counts how calls end", func(t *testing.T) {
		g := newGate(t)
		h := start(t, fcemu.Config{Functions: []fcemu.Function{gated("f", g)}})
		base := serve(t, h.API())
		same(t, "nothing to kill", post(t, base+"/_local/instances/kill", `{"function":"f"}`).status, 404)
		done := h.invoke("f", `1`)
		v := g.next()
		var instances []fcemu.Instance
		get(t, base+"/_local/instances", &instances)
		if len(instances) != 1 || instances[0].PID != v.PID || instances[0].State != "busy" || instances[0].Function != "f" {
			t.Errorf("instances: %+v, want busy %d", instances, v.PID)
		}
		var killed struct{ PID int }
		if err := json.Unmarshal(post(t, base+"/_local/instances/kill", `{"function":"f"}`).body, &killed); err != nil || killed.PID != v.PID {
			t.Errorf("killed %+v (%v), want %d", killed, err, v.PID)
		}
		wait(t, done, "the error")
		var counters map[string]fcemu.Counters
		get(t, base+"/_local/counters", &counters)
		same(t, "counters", counters, map[string]fcemu.Counters{"f": {Invocations: 1, Exits: 1, ColdStarts: 1}})
	})
}

func get(t *testing.T, url string, v any) {
	t.Helper()
	got := send(t, http.MethodGet, url, nil)
	if err := json.Unmarshal(got.body, v); err != nil || got.status != 200 {
		t.Fatalf("%s: %d %v in %s", url, got.status, err, got.body)
	}
}
