package mnsemu_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
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
		q.post(mns.MessageSendRequest{MessageBody: sent[i], Priority: int64(16 - i)})
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
		same(t, []string{"missed"}, bodies(q.found(0)))
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
		"are not found by a long poll of a second": {1, func(e *emulator, _ queue) { e.clock.Advance(time.Second) }, []string{}, []string{"missed"}},
		"are found by a long poll after a second":  {2, func(e *emulator, _ queue) { e.clock.Advance(time.Second) }, []string{"missed"}, []string{}},
		"are found by others while the poll waits": {30, func(_ *emulator, q queue) {
			same(t, []string{"missed"}, bodies(q.found(0)))
			q.send("new", 0)
		}, []string{"new"}, []string{}},
		"do not keep a long poll from what is new": {30, func(_ *emulator, q queue) { q.send("new", 0) }, []string{"new"}, []string{"missed"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, q, done := missing(t, c.wait)
			c.after(e, q)
			same(t, c.poll, bodies((<-done).messages))
			same(t, c.next, bodies(q.found(0)))
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

func TestDisorder(t *testing.T) {
	t.Run("leaves some messages out of a batch, and the next one brings the rest", func(t *testing.T) {
		fewer := 0
		for seed := range uint64(20) {
			e := start(t, disorderly(seed))
			q := e.queue("jobs")
			sent := q.numbered(16)
			first, second := bodies(q.found(16)), bodies(q.found(16))
			if len(first) < 16 {
				fewer++
			}
			got := append(first, second...)
			slices.Sort(got)
			same(t, sent, got)
			e.stop()
		}
		if fewer < 10 {
			t.Errorf("%d of 20 batches left messages out", fewer)
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
		same(t, outcome(1), outcome(1))
		if slices.Equal(outcome(1), outcome(2)) {
			t.Error("seeds 1 and 2 do the same")
		}
	})
}

// A long poll of a second that finds nothing ends 7 to 20 percent early, now more, now less.
func TestEmptyPoll(t *testing.T) {
	e := start(t, disorderly(1))
	q := e.queue("jobs")
	halves := map[int]int{}
	for range 20 {
		done := q.poll(1)
		e.clock.Advance(804 * time.Millisecond)
		early := e.counts("jobs")[3]
		e.clock.Advance(65 * time.Millisecond)
		halves[e.counts("jobs")[3]]++
		e.clock.Advance(64 * time.Millisecond)
		if late := e.counts("jobs")[3]; early != 1 || late != 0 {
			t.Errorf("%d polls after 804 ms, %d after 933 ms", early, late)
		}
		<-done
	}
	if len(halves) != 2 {
		t.Errorf("all polls end in the same half of that time: %v", halves)
	}
}
