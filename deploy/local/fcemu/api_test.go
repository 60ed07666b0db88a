package fcemu_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/fcemu"
)

const invocations = "/2023-03-30/functions/f/invocations"

func TestAPI(t *testing.T) {
	t.Run("invokes synchronously", func(t *testing.T) {
		h := start(t, fcemu.Config{Functions: []fcemu.Function{function("f")}})
		base, client := serve(t, h.API())
		got := send(t, client, http.MethodPost, base+invocations, strings.NewReader(`{"a":1}`))
		if got.status != 200 || string(got.body) != `{"a":1}` || got.header.Get("X-Fc-Request-Id") == "" || got.header.Get("X-Fc-Error-Type") != "" {
			t.Errorf("got %d %v %s", got.status, got.header, got.body)
		}
		failed := send(t, client, http.MethodPost, base+invocations, strings.NewReader(`{"do":"error"}`))
		if failed.status != 200 || failed.header.Get("X-Fc-Error-Type") != "UnhandledInvocationError" || !strings.Contains(string(failed.body), "it did not work") {
			t.Errorf("function error: got %d %v %s", failed.status, failed.header, failed.body)
		}
		unknown := send(t, client, http.MethodPost, base+"/2023-03-30/functions/g/invocations", nil)
		if unknown.status != 404 || !strings.Contains(string(unknown.body), "FunctionNotFound") {
			t.Errorf("unknown function: got %d %s", unknown.status, unknown.body)
		}
		odd := send(t, client, http.MethodPost, base+invocations, nil, "X-Fc-Invocation-Type", "Later")
		if odd.status != 400 {
			t.Errorf("odd type: got %d %s", odd.status, odd.body)
		}
	})

	t.Run("accepts asynchronous events and retries errors with a retry count", func(t *testing.T) {
		g := newGate(t)
		h := start(t, fcemu.Config{Functions: []fcemu.Function{gated("f", g)}, Clock: eager{}})
		base, client := serve(t, h.API())
		if got := send(t, client, http.MethodPost, base+invocations, strings.NewReader(`1`), "X-Fc-Invocation-Type", "Async"); got.status != http.StatusAccepted || len(got.body) > 0 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
		for retry := range 4 {
			v := g.next()
			if v.Retry != retry {
				t.Errorf("retry count %d, want %d", v.Retry, retry)
			}
			v.say("error again")
		}
		last := waitFor(t, h.invocations, "the last retry", func(i fcemu.Invocation) bool { return i.Retry == 3 })
		if last.Source != fcemu.Async || last.Err == nil {
			t.Errorf("got %+v", last)
		}
		large := send(t, client, http.MethodPost, base+invocations, strings.NewReader(strings.Repeat("x", 128<<10+1)), "X-Fc-Invocation-Type", "Async")
		if large.status != 400 || !strings.Contains(string(large.body), "EntityTooLarge") {
			t.Errorf("large: got %d %s", large.status, large.body)
		}
	})

	t.Run("shows and breaks what is going on", func(t *testing.T) {
		g := newGate(t)
		h := start(t, fcemu.Config{Functions: []fcemu.Function{gated("f", g)}})
		base, client := serve(t, h.API())
		if got := post(t, base+"/_local/faults", `[{"kind":"kill-before-response","function":"f","skip":5}]`); got.status != http.StatusCreated {
			t.Fatalf("got %d %s", got.status, got.body)
		}
		if got := post(t, base+"/_local/faults", `{"kind":"nonsense"}`); got.status != 400 {
			t.Errorf("bad fault: got %d %s", got.status, got.body)
		}
		if got := send(t, client, http.MethodDelete, base+"/_local/faults", nil); got.status != http.StatusNoContent || len(h.Faults()) > 0 {
			t.Errorf("got %d, faults %v", got.status, h.Faults())
		}
		if got := post(t, base+"/_local/instances/kill", `{"function":"f"}`); got.status != 404 {
			t.Errorf("nothing to kill: got %d %s", got.status, got.body)
		}
		done := h.invoke("f", `1`)
		v := g.next()
		var instances []fcemu.Instance
		get(t, client, base+"/_local/instances", &instances)
		if len(instances) != 1 || instances[0].PID != v.PID || instances[0].State != "busy" || instances[0].Function != "f" {
			t.Errorf("instances: %+v, want busy %d", instances, v.PID)
		}
		var killed struct{ PID int }
		if err := json.Unmarshal(post(t, base+"/_local/instances/kill", `{"function":"f"}`).body, &killed); err != nil || killed.PID != v.PID {
			t.Errorf("killed %+v (%v), want %d", killed, err, v.PID)
		}
		wait(t, done, "the error")
		var records []struct{ Function, ErrorKind, Source string }
		get(t, client, base+"/_local/invocations", &records)
		if len(records) != 1 || records[0].ErrorKind != "exit" || records[0].Source != "sync" || records[0].Function != "f" {
			t.Errorf("invocations: %+v", records)
		}
		var counters map[string]fcemu.Counters
		get(t, client, base+"/_local/counters", &counters)
		if counters["f"] != (fcemu.Counters{Invocations: 1, Errors: 1, Exits: 1, ColdStarts: 1}) {
			t.Errorf("counters: %+v", counters)
		}
	})
}

func get(t *testing.T, client *http.Client, url string, v any) {
	t.Helper()
	got := send(t, client, http.MethodGet, url, nil)
	if err := json.Unmarshal(got.body, v); err != nil || got.status != 200 {
		t.Fatalf("%s: %d %v in %s", url, got.status, err, got.body)
	}
}

// eager is a system clock on which short waits are over at once.
type eager struct{}

// Now is the time.
func (eager) Now() time.Time { return time.Now() }

// AfterFunc calls f after d, or at once.
func (eager) AfterFunc(d time.Duration, f func()) clock.Timer {
	if d < 2500*time.Millisecond {
		d = 0
	}
	return time.AfterFunc(d, f)
}
