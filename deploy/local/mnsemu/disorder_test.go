package mnsemu_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/mnsemu"
)

// found is what one receive brings: a single one for a limit of 0, a batch otherwise.
func (q queue) found(limit int32) []mns.MessageReceiveResponse {
	q.e.t.Helper()
	var got []mns.MessageReceiveResponse
	var code string
	if limit > 0 {
		got, code = q.batch(limit)
	} else {
		var m mns.MessageReceiveResponse
		if m, code = q.receive(); code == "" {
			got = append(got, m)
		}
	}
	if code != "" && code != "MessageNotExist" {
		q.e.t.Error(code)
	}
	return got
}

// numbered sends messages with the bodies 00, 01 and so on, the last one the most urgent.
func (q queue) numbered(n int) (sent []string) {
	q.e.t.Helper()
	for i := range n {
		sent = append(sent, fmt.Sprintf("%02d", i))
		if _, err := q.SendMessage(mns.MessageSendRequest{MessageBody: sent[i], Priority: int64(16 - i)}); err != nil {
			q.e.t.Fatal(err)
		}
	}
	return sent
}

func TestMisses(t *testing.T) {
	for name, receive := range map[string]func(*emulator, queue) []mns.MessageReceiveResponse{
		"single receive": func(_ *emulator, q queue) []mns.MessageReceiveResponse { return q.found(0) },
		"batch receive":  func(_ *emulator, q queue) []mns.MessageReceiveResponse { return q.found(16) },
		"long poll": func(e *emulator, q queue) []mns.MessageReceiveResponse {
			done := q.poll(1)
			if len(done) == 0 {
				e.clock.Advance(time.Second)
			}
			return (<-done).messages
		},
	} {
		t.Run("a "+name+" finds nothing one time in nine though a message is visible, and the next one finds it", func(t *testing.T) {
			e := start(t, disorderly(1))
			q := e.queue("jobs", mns.WithVisibilityTimeout(1))
			q.send("m", 0)
			misses := 0
			for range 180 {
				got := receive(e, q)
				if len(got) == 0 {
					misses++
					got = receive(e, q)
				}
				if len(got) != 1 {
					t.Fatalf("missed twice in a row: %+v", e.messages("jobs"))
				}
				e.clock.Advance(time.Second)
			}
			if misses < 12 || misses > 30 {
				t.Errorf("%d misses in 180 receives, want some 20", misses)
			}
		})
	}

	t.Run("are found before anything else", func(t *testing.T) {
		e := start(t, disorderly(1))
		q := e.queue("jobs", mns.WithVisibilityTimeout(1))
		q.send("missed", 0)
		for len(q.found(0)) > 0 {
			e.clock.Advance(time.Second)
		}
		q.numbered(16)
		if got := bodies(q.found(0)); !slices.Equal(got, []string{"missed"}) {
			t.Errorf("got %v", got)
		}
	})

	// missing begins a long poll for a message that is visible, with one seed after the other until it misses it and waits.
	missing := func(t *testing.T, wait int64) (*emulator, queue, chan polled) {
		for seed := uint64(0); ; seed++ {
			e := start(t, disorderly(seed))
			q := e.queue("jobs")
			q.send("missed", 0)
			if done := q.poll(wait); len(done) == 0 {
				return e, q, done
			}
			e.stop()
		}
	}
	for name, c := range map[string]struct {
		wait  int64
		after func(*emulator, queue)
		poll  []string
		next  []string
	}{
		"are not found by a long poll of a second": {1, func(e *emulator, _ queue) { e.clock.Advance(time.Second) }, nil, []string{"missed"}},
		"are found by a long poll after a second":  {2, func(e *emulator, _ queue) { e.clock.Advance(time.Second) }, []string{"missed"}, nil},
		"are found by others while the poll waits": {30, func(_ *emulator, q queue) {
			if got := bodies(q.found(0)); !slices.Equal(got, []string{"missed"}) {
				t.Errorf("the other receive got %v", got)
			}
			q.send("new", 0)
		}, []string{"new"}, nil},
		"do not keep a long poll from what is new": {30, func(_ *emulator, q queue) { q.send("new", 0) }, []string{"new"}, []string{"missed"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, q, done := missing(t, c.wait)
			c.after(e, q)
			if got := bodies((<-done).messages); !slices.Equal(got, c.poll) {
				t.Errorf("the long poll got %v, want %v", got, c.poll)
			}
			if got := bodies(q.found(0)); !slices.Equal(got, c.next) {
				t.Errorf("the next receive got %v, want %v", got, c.next)
			}
		})
	}

	t.Run("do not happen to what becomes visible during a long poll, nor to a peek", func(t *testing.T) {
		q := start(t, disorderly(1)).queue("jobs")
		for range 40 {
			done := q.poll(30)
			q.send("m", 0)
			if got := <-done; len(got.messages) != 1 {
				t.Fatalf("got %+v", got)
			}
		}
		q.send("m", 0)
		for range 60 {
			if _, code := q.peek(); code != "" {
				t.Fatal(code)
			}
		}
	})
}

// hidden is the visibility timeout of the model's queue, in seconds.
const hidden = 30

// model is what a client knows of the messages of a queue: when each is visible again, in milliseconds, and whether the last receive with room
// for it came without it.
type model map[string]*struct {
	visible int64
	missed  bool
}

func TestDisorder(t *testing.T) {
	t.Run("loses nothing and misses no message twice in a row, whichever receives are used", func(t *testing.T) {
		rapid.Check(t, func(r *rapid.T) {
			e := start(t, disorderly(rapid.Uint64().Draw(r, "seed")))
			defer e.stop()
			q, m := e.queue("jobs", mns.WithVisibilityTimeout(hidden)), model{}
			receive := func(limit int32) {
				got := q.found(limit)
				now := e.clock.Now().UnixMilli()
				for _, each := range got {
					if m[each.MessageId].visible > now {
						r.Fatalf("message %s came while it was hidden", each.MessageId)
					}
					m[each.MessageId].visible, m[each.MessageId].missed = each.NextVisibleTime, false
				}
				for id, k := range m {
					if k.visible > now || len(got) == int(max(limit, 1)) {
						continue
					}
					if k.missed {
						r.Fatalf("message %s was missed twice in a row", id)
					}
					k.missed = true
				}
			}
			r.Repeat(map[string]func(*rapid.T){
				"send": func(*rapid.T) {
					m[q.send("m", 0).MessageId] = &struct {
						visible int64
						missed  bool
					}{}
				},
				"single": func(*rapid.T) { receive(0) },
				"batch":  func(r *rapid.T) { receive(rapid.Int32Range(1, 16).Draw(r, "limit")) },
				"advance": func(r *rapid.T) {
					e.clock.Advance(time.Duration(rapid.IntRange(1, hidden).Draw(r, "seconds")) * time.Second)
				},
			})
			e.clock.Advance(hidden * time.Second)
			for range 2 + 2*len(m)/16 {
				receive(16)
			}
			if counts := e.counts("jobs"); counts != [4]int{0, len(m), 0, 0} {
				r.Fatalf("of %d messages %d were never found", len(m), counts[0])
			}
		})
	})

	t.Run("gives no message to two of many consumers", func(t *testing.T) {
		e := start(t, disorderly(1))
		q := e.queue("jobs")
		const total = 160
		for i := range total {
			q.send(fmt.Sprint(i), 0)
		}
		var mu sync.Mutex
		got := map[string]int{}
		var running sync.WaitGroup
		for _, limit := range []int32{0, 1, 3, 16} {
			running.Go(func() {
				mine := e.open("jobs")
				// No message is missed twice, so that some empty answers in a row mean that nothing is left.
				for empty := 0; empty < 10; empty++ {
					for _, m := range mine.found(limit) {
						mu.Lock()
						got[m.MessageBody]++
						mu.Unlock()
						empty = 0
					}
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

	t.Run("brings any message first, whether old or urgent", func(t *testing.T) {
		received, batched, peeked := map[string]bool{}, map[string]bool{}, map[string]bool{}
		for seed := range uint64(20) {
			e := start(t, disorderly(seed))
			q := e.queue("jobs")
			q.numbered(16)
			shown, _ := q.peek()
			peeked[shown.MessageBody] = true
			received[q.found(0)[0].MessageBody] = true
			batched[q.found(16)[0].MessageBody] = true
			e.stop()
		}
		if len(received) < 8 || len(batched) < 8 || len(peeked) < 8 {
			t.Errorf("first came, of 16 messages: received %v, in a batch %v, peeked %v", received, batched, peeked)
		}
	})

	t.Run("is the same with the same seed and another with another", func(t *testing.T) {
		outcome := func(seed uint64) (found []string) {
			q := start(t, disorderly(seed)).queue("jobs")
			q.numbered(16)
			for range 8 {
				found = append(found, fmt.Sprint(bodies(q.found(3))))
			}
			return found
		}
		if diff := cmp.Diff(outcome(1), outcome(1)); diff != "" {
			t.Error(diff)
		}
		if slices.Equal(outcome(1), outcome(2)) {
			t.Error("seeds 1 and 2 do the same")
		}
	})
}

// timings is a manual clock that keeps how long each timer was to run.
type timings struct {
	*clock.Manual
	asked []time.Duration
}

func (c *timings) AfterFunc(d time.Duration, f func()) clock.Timer {
	c.asked = append(c.asked, d)
	return c.Manual.AfterFunc(d, f)
}

func TestEmptyPoll(t *testing.T) {
	// lasted is how long each of twenty polls of one second was held.
	lasted := func(t *testing.T, calm bool) []time.Duration {
		c := &timings{Manual: clock.NewManual(time.Now())}
		e := start(t, func(config *mnsemu.Config) { config.Calm, config.Clock = calm, c })
		q := e.queue("jobs")
		for range 20 {
			done := make(chan string, 1)
			go func() {
				_, code := q.receive(1)
				done <- code
			}()
			c.Await(1)
			c.Advance(time.Second)
			if code := <-done; code != "MessageNotExist" {
				t.Fatal(code)
			}
		}
		slices.Sort(c.asked)
		return slices.Compact(c.asked)
	}

	t.Run("ends 7 to 20 percent early, now more, now less", func(t *testing.T) {
		got := lasted(t, false)
		if got[0] < 805*time.Millisecond || got[len(got)-1] > 933*time.Millisecond || len(got) < 5 {
			t.Errorf("polls of a second lasted %v", got)
		}
	})

	t.Run("waits its full time on a calm server", func(t *testing.T) {
		if diff := cmp.Diff([]time.Duration{time.Second}, lasted(t, true)); diff != "" {
			t.Error(diff)
		}
	})
}
