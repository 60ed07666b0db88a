package fcemu_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/fcemu"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
)

// triggered is a host with a queue trigger from "jobs" to the gated function "work".
type triggered struct {
	*host
	*gate
	mns   *mnsemu.Server
	queue *mnsclient.Client
	url   string
}

// trigger starts one with its queues, "jobs" with these messages and "dead". change may be nil.
func trigger(t *testing.T, change func(*fcemu.QueueTrigger), bodies ...string) *triggered {
	t.Helper()
	c := clock.NewManual(time.Now())
	server, url := localtest.CalmMNS(t, c, "dead")
	s := &triggered{gate: newGate(t), mns: server, queue: localtest.MNSClient(t, url), url: url}
	// Messages are renewed every four hours, so that a day of retries goes by with few calls.
	hidden := 43200
	if err := s.queue.CreateQueue(t.Context(), "jobs", mnsclient.Attributes{VisibilityTimeout: &hidden}); err != nil {
		t.Fatal(err)
	}
	s.send(bodies...)
	f := gated("work", s.gate)
	f.Timeout, f.MaxInstances = time.Hour, 1
	config := fcemu.QueueTrigger{
		Name: "jobs", Function: "work", Queue: "jobs", Endpoint: url, DeadLetterQueue: "dead",
		AccessKeyID: localtest.AccessKeyID, AccessKeySecret: localtest.AccessKeySecret,
	}
	if change != nil {
		change(&config)
	}
	s.host = start(t, fcemu.Config{Functions: []fcemu.Function{f, function("other")}, Triggers: []fcemu.QueueTrigger{config}, Clock: c})
	s.clock = c
	return s
}

func (s *triggered) send(bodies ...string) {
	s.gate.t.Helper()
	for _, body := range bodies {
		if _, err := s.queue.Send(s.gate.t.Context(), "jobs", body, 0); err != nil {
			s.gate.t.Fatal(err)
		}
	}
}

// stored lists the bodies of all messages of a queue, hidden ones too.
func (s *triggered) stored(queue string) []string {
	s.gate.t.Helper()
	var messages []struct{ Body string }
	get(s.gate.t, s.url+"/_local/queues/"+queue+"/messages", &messages)
	list := []string{}
	for _, m := range messages {
		list = append(list, m.Body)
	}
	return list
}

// breaks lets calls of MNS fail.
func (s *triggered) breaks(action string, times int) {
	s.gate.t.Helper()
	fault := faults.Fault{Answer: faults.Error, Status: 500, Code: "InternalError"}
	if _, err := s.mns.Faults().Add(faults.Rule{Action: action, Times: times, Fault: fault}); err != nil {
		s.gate.t.Fatal(err)
	}
}

// await waits until the trigger has received n messages.
func (s *triggered) await(n int) {
	s.gate.t.Helper()
	for n > 0 {
		n -= wait(s.gate.t, s.received, "messages")
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

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// window makes a trigger with these windows on a queue that has messages.
func window(t *testing.T, count int, wait time.Duration, bodies ...string) *triggered {
	t.Helper()
	return trigger(t, func(q *fcemu.QueueTrigger) { q.CountBasedWindow, q.TimeBasedWindow = count, wait }, bodies...)
}

func TestWindows(t *testing.T) {
	t.Run("of 0 s give each event one message, whatever the count and the backlog", func(t *testing.T) {
		s := window(t, 10, 0, "a", "b", "c")
		for _, body := range []string{"a", "b", "c"} {
			v := s.next()
			same(t, "event", v.bodies(t), []string{body})
			v.say("return null")
			s.step(fcemu.Deleted)
		}
	})

	t.Run("send a backlog in full events at once, and what is left after the time", func(t *testing.T) {
		s := window(t, 20, 15*time.Second, strings.Split(strings.Repeat("a", 40)+"b", "")...)
		for range 2 {
			v := s.next()
			same(t, "messages", len(v.bodies(t)), 20)
			v.say("return null")
			same(t, "deleted", s.step(fcemu.Deleted).Messages, 20)
		}
		s.await(41)
		s.clock.Advance(15 * time.Second)
		same(t, "event", s.next().bodies(t), []string{"b"})
	})

	t.Run("keep a message until the time is over, and add those that come meanwhile", func(t *testing.T) {
		s := window(t, 3, 2*time.Second, "a")
		s.await(1)
		s.clock.Advance(1999 * time.Millisecond)
		s.mustInvoke("other", `1`) // takes longer than the trigger, if that did not wait
		s.send("b")
		s.clock.Advance(time.Millisecond)
		same(t, "event", s.next().bodies(t), []string{"a", "b"})
	})

	t.Run("are filled while the function works, one event ahead", func(t *testing.T) {
		s := window(t, 2, 15*time.Second, "a", "b", "c", "d")
		first := s.next()
		s.await(4)
		first.say("return null")
		same(t, "event", s.next().bodies(t), []string{"c", "d"})
	})
}

func TestQueueTrigger(t *testing.T) {
	t.Run("sends an array of CloudEvents", func(t *testing.T) {
		s := trigger(t, nil, `{"job":"<a>"}`)
		var got []map[string]any
		if err := json.Unmarshal([]byte(s.next().Event), &got); err != nil || len(got) != 1 {
			t.Fatalf("%v, %v", got, err)
		}
		data, _ := got[0]["data"].(map[string]any)
		now := s.clock.Now().UTC().Format("2006-01-02T15:04:05.000Z")
		same(t, "event", got[0], map[string]any{
			"id": got[0]["id"], "source": "MNS-Function-jobs", "specversion": "1.0", "type": "mns:Queue:SendMessage",
			"datacontenttype": "application/json; charset=utf-8", "subject": "acs:mns:cn-hangzhou:1234567890123456:queues/jobs",
			"time": now, "aliyunpublishtime": now, "aliyunaccountid": "1234567890123456", "aliyunoriginalaccountid": "1234567890123456",
			"aliyuneventbusname": "MNS-Function-jobs", "aliyunregionid": "cn-hangzhou", "aliyunpublishaddr": "127.0.0.1",
			"data": map[string]any{"messageBody": `{"job":"<a>"}`, "messageId": data["messageId"], "requestId": data["requestId"]},
		})
		for _, id := range []any{got[0]["id"], data["messageId"], data["requestId"]} {
			if text, _ := id.(string); text == "" {
				t.Errorf("an id is missing: %v", got)
			}
		}
	})

	t.Run("deletes a message once the function has answered, not before", func(t *testing.T) {
		s := trigger(t, nil, "a")
		v := s.next()
		same(t, "queue while the function works", s.stored("jobs"), []string{"a"})
		v.say("return null")
		s.step(fcemu.Deleted)
		same(t, "queue", s.stored("jobs"), []string{})
	})

	t.Run("shows its settings, wrong ones too, and works as always", func(t *testing.T) {
		wrong := fcemu.TriggerSettings{
			Mode: "event-driven", EventSchema: "RawData", IsBase64Decode: true, ErrorsTolerance: "NONE", PushRetryStrategy: "BACKOFF_RETRY",
		}
		s := trigger(t, func(q *fcemu.QueueTrigger) {
			q.TriggerSettings, q.CountBasedWindow, q.TimeBasedWindow = wrong, 2, time.Second
		}, "YQ==", "b")
		v := s.next()
		same(t, "event", v.bodies(t), []string{"YQ==", "b"})
		v.say("return null")
		s.step(fcemu.Deleted)
		base := serve(t, s.API())
		var got []fcemu.TriggerStatus
		get(t, base+"/_local/triggers", &got)
		same(t, "status", got, []fcemu.TriggerStatus{{
			Name: "jobs", Function: "work", Queue: "jobs", CountBasedWindow: 2, TimeBasedWindow: 1, DeadLetterQueue: "dead",
			TriggerSettings: wrong, Running: true, Received: 2, Deleted: 2,
		}})
	})

	for _, deadLetters := range []string{"dead", ""} {
		t.Run(fmt.Sprintf("tries for a day, and then has the message on the dead-letter queue %q or drops it", deadLetters), func(t *testing.T) {
			s := trigger(t, func(q *fcemu.QueueTrigger) { q.DeadLetterQueue = deadLetters }, "a")
			var delays []time.Duration
			var total time.Duration
			for range 176 {
				v := s.next()
				same(t, "retry count of a synchronous event", v.Retry, 0)
				v.say("error no")
				again := s.step(fcemu.Retrying)
				delays, total = append(delays, again.Delay/time.Second), total+again.Delay
				s.clock.Advance(again.Delay)
			}
			s.next().say("error no")
			same(t, "first delays", delays[:11], []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512})
			same(t, "all delays", total, (511+167*512)*time.Second)
			left := []string{}
			if deadLetters == "" {
				s.step(fcemu.Dropped)
			} else {
				s.step(fcemu.DeadLettered)
				left = []string{"a"}
			}
			same(t, "dead letters", s.stored("dead"), left)
			same(t, "queue", s.stored("jobs"), []string{})
		})
	}

	t.Run("counts a throttled call as a failure", func(t *testing.T) {
		s := trigger(t, nil)
		busy := s.invoke("work", `1`)
		blocker := s.next()
		s.send("a")
		if again := s.step(fcemu.Retrying); !strings.Contains(again.Err.Error(), "ResourceExhausted") {
			t.Errorf("got %v, want 429", again.Err)
		}
		blocker.say("return 1")
		wait(t, busy, "the other call")
		s.clock.Advance(time.Second)
		s.next().say("return null")
		s.step(fcemu.Deleted)
	})

	t.Run("gives messages back when it stops", func(t *testing.T) {
		s := trigger(t, nil, "a")
		v := s.next()
		s.cancel()
		v.say("error no")
		same(t, "released", s.step(fcemu.Released).Err, nil)
		s.clock.Advance(time.Second)
		if again, err := s.queue.Receive(t.Context(), "jobs", 1, 0); err != nil || len(again) != 1 {
			t.Errorf("got %v, %v", again, err)
		}
	})

	t.Run("deletes what succeeds while it stops", func(t *testing.T) {
		s := trigger(t, nil, "a")
		v := s.next()
		s.cancel()
		v.say("return null")
		s.step(fcemu.Deleted)
	})

	t.Run("tries again when MNS fails", func(t *testing.T) {
		s := trigger(t, nil, "a")
		v := s.next()
		s.breaks("BatchReceiveMessage", 1)
		s.breaks("BatchDeleteMessage", 2)
		s.send("b")
		v.say("return null")
		for range 3 {
			s.clock.Advance(s.step(fcemu.Unreachable).Delay)
		}
		same(t, "event", s.next().bodies(t), []string{"b"})
		same(t, "queue", s.stored("jobs"), []string{"b"})
	})
}
