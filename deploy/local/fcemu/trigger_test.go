package fcemu_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/fcemu"
)

// triggered is a host with a queue, a trigger and a gated function.
type triggered struct {
	*host
	*gate
	mns *queues
}

func trigger(t *testing.T, change func(*fcemu.QueueTrigger), bodies ...string) *triggered {
	t.Helper()
	c := clock.NewManual(time.Now())
	q, g := newQueues(t, c, t.TempDir(), "127.0.0.1:0"), newGate(t)
	q.create("jobs", "dead")
	q.send("jobs", bodies...)
	f := gated("work", g)
	f.Timeout, f.MaxInstances, f.IdleTimeout = time.Hour, 1, 24*time.Hour
	config := fcemu.QueueTrigger{
		Name: "jobs", Function: "work", Queue: "jobs", Endpoint: q.url, AccessKeyID: accessKey, AccessKeySecret: secretKey,
		ErrorsTolerance: fcemu.TolerateAll,
	}
	change(&config)
	h := start(t, fcemu.Config{
		Functions: []fcemu.Function{f}, Triggers: []fcemu.QueueTrigger{config}, Clock: c, Random: func() float64 { return 0.5 },
	})
	h.clock = c
	t.Cleanup(q.server.Stop) // runs before the host's own cleanup and ends its long poll
	return &triggered{host: h, gate: g, mns: q}
}

func plain(*fcemu.QueueTrigger) {}

func TestQueueTriggerEvents(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*fcemu.QueueTrigger)
		recorded string
		messages int
		strings  bool
	}{
		"pushes an array of objects": {func(q *fcemu.QueueTrigger) { q.CountBasedWindow, q.TimeBasedWindow = 2, time.Second }, "batch-objects", 2, false},
		"pushes an array of strings": {func(q *fcemu.QueueTrigger) {
			q.CountBasedWindow, q.TimeBasedWindow, q.Shape = 2, time.Second, fcemu.CloudEventStrings
		}, "batch-strings", 2, true},
		"pushes single objects": {func(q *fcemu.QueueTrigger) { q.Mode = fcemu.EventDriven }, "single", 1, false},
		"pushes single raw data": {func(q *fcemu.QueueTrigger) {
			q.Mode, q.Shape = fcemu.EventDriven, fcemu.RawData
		}, "rawdata", 1, false},
	} {
		t.Run(name+" as recorded", func(t *testing.T) {
			var recorded any
			readShared(t, "fc-event-mns-queue-"+c.recorded+".synthetic.json", &recorded)
			q := newQueues(t, clock.System(), t.TempDir(), "127.0.0.1:0")
			q.create("provision-jobs")
			q.send("provision-jobs", []string{`{"job":"a"}`, `{"job":"b"}`}[:c.messages]...)
			g := newGate(t)
			config := fcemu.QueueTrigger{
				Name: "jobs", Function: "work", Queue: "provision-jobs", Endpoint: q.url, AccessKeyID: accessKey, AccessKeySecret: secretKey,
			}
			c.change(&config)
			h := start(t, fcemu.Config{Functions: []fcemu.Function{gated("work", g)}, Triggers: []fcemu.QueueTrigger{config}, Clock: clock.System()})
			t.Cleanup(q.server.Stop)
			v := g.next()
			var got any
			if err := json.Unmarshal([]byte(v.Event), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(settled(t, recorded, c.strings), settled(t, got, c.strings)); diff != "" {
				t.Errorf("event (-recorded +got):\n%s", diff)
			}
			v.say("return null")
			h.step(fcemu.Deleted)
		})
	}

	t.Run("decodes bodies from base64 if told to, and passes what is not", func(t *testing.T) {
		s := trigger(t, func(q *fcemu.QueueTrigger) { q.Base64Decode, q.Mode, q.Shape = true, fcemu.EventDriven, fcemu.RawData })
		s.mns.send("jobs", "eyJhIjoxfQ==", `{"b":2}`)
		got := map[string]bool{}
		for range 2 {
			v := s.next()
			var raw struct{ MessageBody string }
			if err := json.Unmarshal([]byte(v.Event), &raw); err != nil {
				t.Fatal(err)
			}
			got[raw.MessageBody] = true
			v.say("return null")
			s.step(fcemu.Deleted)
		}
		if diff := cmp.Diff(map[string]bool{`{"a":1}`: true, `{"b":2}`: true}, got); diff != "" {
			t.Errorf("bodies (-want +got):\n%s", diff)
		}
	})
}

// settled replaces what differs from one event to the next: ids, times and addresses.
func settled(t *testing.T, v any, inStrings bool) any {
	t.Helper()
	switch v := v.(type) {
	case []any:
		out := []any{}
		for _, element := range v {
			out = append(out, settled(t, element, inStrings))
		}
		return out
	case string:
		var inner any
		if inStrings && json.Unmarshal([]byte(v), &inner) == nil {
			return map[string]any{"in a string": settled(t, inner, false)}
		}
		return v
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			switch text, _ := value.(string); key {
			case "id", "messageId", "requestId", "aliyunpublishaddr":
				out[key] = fmt.Sprintf("%d characters", len(text)/8*8)
			case "time", "aliyunpublishtime":
				_, err := time.Parse("2006-01-02T15:04:05.000Z", text)
				out[key] = fmt.Sprint("time, error ", err)
			default:
				out[key] = settled(t, value, inStrings)
			}
		}
		return out
	}
	return v
}

func TestQueueTrigger(t *testing.T) {
	t.Run("deletes a message once the function has answered, not before", func(t *testing.T) {
		s := trigger(t, plain)
		s.mns.send("jobs", "a")
		v := s.next()
		if n := s.mns.server.Faults().Count("DeleteMessage"); n > 0 {
			t.Error("deleted while the function works")
		}
		v.say("return null")
		s.step(fcemu.Deleted)
		if got := s.Triggers()[0]; got.Received != 1 || got.Deleted != 1 || got.State != "running" {
			t.Errorf("status: %+v", got)
		}
	})

	t.Run("keeps a message hidden by heartbeats beyond the queue's visibility timeout", func(t *testing.T) {
		s := trigger(t, plain)
		s.mns.send("jobs", "a")
		v := s.next()
		for range 20 {
			s.clock.Advance(2 * time.Second)
		}
		s.step(fcemu.Extended)
		if got := s.mns.bodies("jobs"); len(got) > 0 {
			t.Errorf("visible while in flight: %v", got)
		}
		v.say("return null")
		s.step(fcemu.Deleted)
		s.clock.Advance(time.Minute)
		if got := s.mns.bodies("jobs"); len(got) > 0 {
			t.Errorf("not deleted under its latest handle: %v", got)
		}
	})

	t.Run("retries by BACKOFF_RETRY and dead-letters the body as received", func(t *testing.T) {
		s := trigger(t, func(q *fcemu.QueueTrigger) { q.DeadLetterQueue, q.Base64Decode = "dead", true })
		s.mns.send("jobs", "eyJhIjoxfQ==")
		for attempt := range 4 {
			v := s.next()
			if v.Retry != 0 {
				t.Error("a synchronous retry must not carry a retry count")
			}
			v.say("error %d", attempt)
			if attempt == 3 {
				break
			}
			again := s.step(fcemu.Retrying)
			if again.Delay != 15*time.Second || again.Retry != attempt+1 {
				t.Errorf("retry %d after %v, want %d after 15s", again.Retry, again.Delay, attempt+1)
			}
			s.clock.Advance(again.Delay)
		}
		s.step(fcemu.DeadLettered)
		if diff := cmp.Diff([]string{"eyJhIjoxfQ=="}, s.mns.bodies("dead")); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
		s.clock.Advance(time.Minute)
		if got := s.Triggers()[0]; got.DeadLettered != 1 || got.Retries != 3 || len(s.mns.bodies("jobs")) > 0 {
			t.Errorf("status: %+v", got)
		}
	})

	t.Run("retries by EXPONENTIAL_DECAY_RETRY for a day and then drops without a dead-letter queue", func(t *testing.T) {
		c := clock.NewManual(time.Now())
		q := newQueues(t, c, t.TempDir(), "127.0.0.1:0")
		q.create("jobs")
		f := function("work")
		f.Command = []string{"sh", "-c", "exit 1"}
		h := start(t, fcemu.Config{Functions: []fcemu.Function{f}, Clock: c, Triggers: []fcemu.QueueTrigger{{
			Name: "jobs", Function: "work", Queue: "jobs", Endpoint: q.url, AccessKeyID: accessKey, AccessKeySecret: secretKey,
			RetryStrategy: fcemu.ExponentialDecayRetry, ErrorsTolerance: fcemu.TolerateAll, Lease: 12 * time.Hour,
		}}})
		t.Cleanup(q.server.Stop)
		q.send("jobs", "a")
		var total time.Duration
		var first []time.Duration
		for retry := range 176 {
			again := h.step(fcemu.Retrying)
			if retry < 11 {
				first = append(first, again.Delay/time.Second)
			}
			total += again.Delay
			c.Advance(again.Delay)
		}
		h.step(fcemu.Dropped)
		if diff := cmp.Diff([]time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512}, first); diff != "" {
			t.Errorf("delays (-want +got):\n%s", diff)
		}
		if want := (511 + 167*512) * time.Second; total != want {
			t.Errorf("all delays are %v, want %v", total, want)
		}
	})

	t.Run("stops with tolerance NONE and leaves the messages", func(t *testing.T) {
		s := trigger(t, func(q *fcemu.QueueTrigger) { q.ErrorsTolerance = fcemu.TolerateNone })
		s.mns.send("jobs", "poison")
		for attempt := range 4 {
			s.next().say("error %d", attempt)
			if attempt < 3 {
				s.clock.Advance(s.step(fcemu.Retrying).Delay)
			}
		}
		s.step(fcemu.Halted)
		s.step(fcemu.Released)
		if diff := cmp.Diff([]string{"poison"}, s.mns.stored("jobs")); diff != "" {
			t.Errorf("queue (-want +got):\n%s", diff)
		}
	})

	t.Run("counts a timeout and a throttled call as failures", func(t *testing.T) {
		s := trigger(t, plain)
		s.mns.send("jobs", "a")
		v := s.next()
		s.clock.Advance(5 * time.Minute)
		v.gone(t)
		if again := s.step(fcemu.Retrying); !strings.Contains(again.Err.Error(), "timed out after 300 seconds") {
			t.Errorf("got %v, want the platform's five minutes", again.Err)
		}
		busy := s.invoke("work", `1`)
		blocker := s.next()
		s.clock.Advance(20 * time.Second)
		if again := s.step(fcemu.Retrying); !strings.Contains(again.Err.Error(), "ResourceExhausted") {
			t.Errorf("got %v, want 429", again.Err)
		}
		blocker.say("return 1")
		wait(t, busy, "the other call")
		s.clock.Advance(20 * time.Second)
		s.next().say("return null")
		s.step(fcemu.Deleted)
	})

	t.Run("gives the event of a killed function to the next one", func(t *testing.T) {
		s := trigger(t, plain)
		s.mns.send("jobs", "a")
		s.next()
		if _, err := s.KillInstance("work"); err != nil {
			t.Fatal(err)
		}
		s.clock.Advance(s.step(fcemu.Retrying).Delay)
		s.next().say("return null")
		s.step(fcemu.Deleted)
	})

	t.Run("gives messages back when it stops", func(t *testing.T) {
		s := trigger(t, plain)
		s.mns.send("jobs", "a")
		v := s.next()
		s.host.cancel()
		v.say("error no")
		if got := s.step(fcemu.Released); got.Messages != 1 || got.Err != nil {
			t.Errorf("got %+v", got)
		}
		s.host.stop()
		s.clock.Advance(time.Second)
	})

	t.Run("deletes what succeeds while it stops", func(t *testing.T) {
		s := trigger(t, plain)
		s.mns.send("jobs", "a")
		v := s.next()
		s.host.cancel()
		v.say("return null")
		s.step(fcemu.Deleted)
	})

	t.Run("tries a delete again until MNS takes it", func(t *testing.T) {
		s := trigger(t, plain)
		addRule(t, s.mns, faults.Rule{Action: "DeleteMessage", Times: 2, Fault: faults.Fault{Answer: faults.Error, Status: 500, Code: "InternalError"}})
		s.mns.send("jobs", "a")
		s.next().say("return null")
		for range 2 {
			s.clock.Advance(s.step(fcemu.Unreachable).Delay)
		}
		s.step(fcemu.Reachable)
		s.step(fcemu.Deleted)
	})

	t.Run("goes on when MNS comes back", func(t *testing.T) {
		c := clock.NewManual(time.Now())
		dir := t.TempDir()
		before := newQueues(t, c, dir, "127.0.0.1:0")
		before.create("jobs")
		address := strings.TrimPrefix(before.url, "http://")
		before.close()
		g := newGate(t)
		h := start(t, fcemu.Config{Functions: []fcemu.Function{gated("work", g)}, Clock: c, Triggers: []fcemu.QueueTrigger{{
			Name: "jobs", Function: "work", Queue: "jobs", Endpoint: before.url, AccessKeyID: accessKey, AccessKeySecret: secretKey,
		}}})
		if state := h.step(fcemu.Unreachable); state.Retry != 1 || h.Triggers()[0].State != "unreachable" {
			t.Errorf("got %+v, status %+v", state, h.Triggers())
		}
		after := newQueues(t, c, dir, address)
		t.Cleanup(after.server.Stop)
		after.send("jobs", "a")
		c.Advance(5 * time.Second)
		g.next().say("return null")
		h.step(fcemu.Deleted)
	})
}

// window makes a trigger with these windows on a queue that has messages.
func window(t *testing.T, count int, wait time.Duration, bodies ...string) *triggered {
	t.Helper()
	return trigger(t, func(q *fcemu.QueueTrigger) { q.CountBasedWindow, q.TimeBasedWindow = count, wait }, bodies...)
}

// await waits until the trigger has received n messages.
func (s *triggered) await(n int) {
	s.host.t.Helper()
	for n > 0 {
		n -= wait(s.host.t, s.received, "messages")
	}
}

// bodies are those of the event's messages.
func (v *visitor) bodies(t *testing.T) []string {
	t.Helper()
	var event []struct{ Data struct{ MessageBody string } }
	if err := json.Unmarshal([]byte(v.Event), &event); err != nil {
		t.Fatal(err)
	}
	list := make([]string, 0, len(event))
	for _, e := range event {
		list = append(list, e.Data.MessageBody)
	}
	return list
}

func TestWindows(t *testing.T) {
	t.Run("of 0 s give each event one message, whatever the count and the backlog", func(t *testing.T) {
		s := window(t, 10, 0, "a", "b", "c")
		for _, want := range []string{"a", "b", "c"} {
			v := s.next()
			if diff := cmp.Diff([]string{want}, v.bodies(t)); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
			v.say("return null")
			s.step(fcemu.Deleted)
		}
	})

	t.Run("send a backlog in full events at once, and what is left after the time", func(t *testing.T) {
		s := window(t, 20, 15*time.Second, strings.Split(strings.Repeat("a", 40)+"b", "")...)
		for range 2 {
			v := s.next()
			if got := v.bodies(t); len(got) != 20 {
				t.Errorf("got %d messages, want 20", len(got))
			}
			v.say("return null")
			if got := s.step(fcemu.Deleted); got.Messages != 20 {
				t.Errorf("deleted %d, want 20", got.Messages)
			}
		}
		s.await(41)
		s.clock.Advance(15 * time.Second)
		if diff := cmp.Diff([]string{"b"}, s.next().bodies(t)); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
	})

	t.Run("keep a message until the time is over, and add those that come meanwhile", func(t *testing.T) {
		s := window(t, 3, 2*time.Second, "a")
		s.await(1)
		s.clock.Advance(1999 * time.Millisecond)
		s.mns.send("jobs", "b")
		s.clock.Advance(time.Millisecond)
		v := s.next()
		if diff := cmp.Diff([]string{"a", "b"}, v.bodies(t)); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
	})

	t.Run("are filled while the function works, one event ahead", func(t *testing.T) {
		s := window(t, 2, 15*time.Second, "a", "b", "c", "d")
		first := s.next()
		s.await(4)
		first.say("return null")
		if diff := cmp.Diff([]string{"c", "d"}, s.next().bodies(t)); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
	})
}

func addRule(t *testing.T, q *queues, r faults.Rule) {
	t.Helper()
	if _, err := q.server.Faults().Add(r); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkQueue is the whole local path of one message: receive, invoke, delete.
func BenchmarkQueue(b *testing.B) {
	q := newQueues(b, clock.System(), b.TempDir(), "127.0.0.1:0")
	q.create("jobs")
	for range b.N {
		q.send("jobs", `{"job":"a"}`)
	}
	left := make(chan struct{}, b.N)
	server, err := fcemu.New(fcemu.Config{
		AccountID: "1", Region: "r", Functions: []fcemu.Function{function("f")},
		Triggers: []fcemu.QueueTrigger{{
			Name: "t", Function: "f", Queue: "jobs", Endpoint: q.url, AccessKeyID: accessKey, AccessKeySecret: secretKey,
		}},
		OnTrigger: func(e fcemu.TriggerEvent) {
			if e.Kind == fcemu.Deleted {
				left <- struct{}{}
			}
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	b.ResetTimer()
	go func() { done <- server.Run(ctx) }()
	for range b.N {
		<-left
	}
	b.StopTimer()
	cancel()
	if err := <-done; err != nil {
		b.Error(err)
	}
}
