package mnsemu_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"pgregory.net/rapid"
)

func TestDisorderLosesNothing(t *testing.T) {
	t.Run("and misses no message twice in a row, whichever receives are used", func(t *testing.T) {
		rapid.Check(t, func(r *rapid.T) {
			e := start(t, disorderly(rapid.Uint64().Draw(r, "seed")))
			defer e.stop()
			m := newModel(e, e.queue(t, "jobs", mns.WithVisibilityTimeout(hidden)))
			r.Repeat(map[string]func(*rapid.T){
				"send":   func(r *rapid.T) { m.send(t, rapid.IntRange(1, 5).Draw(r, "messages")) },
				"single": func(r *rapid.T) { m.receive(t, r, 0) },
				"batch":  func(r *rapid.T) { m.receive(t, r, rapid.Int32Range(1, 16).Draw(r, "limit")) },
				"poll":   func(r *rapid.T) { m.receive(t, r, rapid.Int32Range(0, 16).Draw(r, "limit"), 1) },
				"advance": func(r *rapid.T) {
					e.clock.Advance(time.Duration(rapid.IntRange(1, hidden).Draw(r, "seconds")) * time.Second)
				},
			})
			e.clock.Advance(hidden * time.Second)
			for range 2 + 2*len(m.messages)/16 {
				m.receive(t, r, 16)
			}
			if left := m.visible(); len(left) > 0 {
				r.Fatalf("%d messages were never found", len(left))
			}
		})
	})

	t.Run("and gives no message to two of many consumers", func(t *testing.T) {
		e := start(t, disorderly(1))
		e.queue(t, "jobs")
		client := e.client()
		const total = 160
		for i := range total {
			send(t, mns.NewMNSQueue("jobs", client, 1<<30), fmt.Sprint(i))
		}
		var mu sync.Mutex
		got := map[string]int{}
		var running sync.WaitGroup
		for _, limit := range []int32{0, 1, 3, 16} {
			running.Go(func() {
				q := mns.NewMNSQueue("jobs", client, 1<<30)
				// No message is missed twice, so that some empty answers in a row mean that nothing is left.
				for empty := 0; empty < 10; empty++ {
					messages := e.receiveUpTo(t, q, limit)
					if len(messages) > 0 {
						empty = 0
					}
					mu.Lock()
					for _, m := range messages {
						got[m.MessageBody]++
					}
					mu.Unlock()
				}
			})
		}
		running.Wait()
		if len(got) != total {
			t.Errorf("%d of %d messages came", len(got), total)
		}
		for body, times := range got {
			if times != 1 {
				t.Errorf("message %s came %d times", body, times)
			}
		}
	})
}

// hidden is the visibility timeout of the model's queue, in seconds.
const hidden = 30

// model is what a client knows of the messages of a queue.
type model struct {
	emulator *emulator
	queue    mns.AliMNSQueue
	messages map[string]*known
}

// known is one message: when it is visible again, in milliseconds, and whether the last receive with room for it came without it.
type known struct {
	visible int64
	missed  bool
}

func newModel(e *emulator, q mns.AliMNSQueue) *model {
	return &model{emulator: e, queue: q, messages: map[string]*known{}}
}

func (m *model) send(t *testing.T, n int) {
	for range n {
		m.messages[send(t, m.queue, "m").MessageId] = &known{}
	}
}

// visible are the messages that a receive may bring.
func (m *model) visible() map[string]*known {
	found := map[string]*known{}
	for id, k := range m.messages {
		if k.visible <= m.emulator.clock.Now().UnixMilli() {
			found[id] = k
		}
	}
	return found
}

// receive checks that what comes was visible, and that nothing stays away twice from an answer that has room for it.
func (m *model) receive(t *testing.T, r *rapid.T, limit int32, wait ...int64) {
	before := m.visible()
	got := m.emulator.receiveUpTo(t, m.queue, limit, wait...)
	after := m.visible()
	for _, each := range got {
		k := after[each.MessageId]
		if k == nil {
			r.Fatalf("message %s came while it was hidden", each.MessageId)
		}
		k.visible, k.missed = each.NextVisibleTime, false
		delete(before, each.MessageId)
		delete(after, each.MessageId)
	}
	if len(got) == int(max(limit, 1)) {
		return
	}
	for id, k := range before {
		if k.missed {
			r.Fatalf("message %s was missed twice in a row", id)
		}
		k.missed = true
	}
}
