package mnsemu_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/mnsemu"
)

// disorderly makes a server receive as the real one does.
func disorderly(seed uint64) func(*mnsemu.Config) {
	return func(c *mnsemu.Config) { c.Calm, c.Seed = false, seed }
}

// receiveUpTo is one receive of any kind: single without a limit, a batch with one, a long poll with a wait in seconds. For a long poll
// that waits the clock is moved to its end. The queue is the one called jobs. No message is no error.
func (e *emulator) receiveUpTo(t testing.TB, q mns.AliMNSQueue, limit int32, wait ...int64) []mns.MessageReceiveResponse {
	t.Helper()
	done := make(chan []mns.MessageReceiveResponse, 1)
	go func() {
		var got []mns.MessageReceiveResponse
		var err error
		if limit > 0 {
			got, err = batchReceive(q, limit, wait...)
		} else if m, failed := receive(q, wait...); failed == nil {
			got = append(got, m)
		} else {
			err = failed
		}
		if err != nil && errorCode(err) != codeMessageNotExist {
			t.Error(err)
		}
		done <- got
	}()
	if len(wait) == 0 {
		return <-done
	}
	for {
		select {
		case got := <-done:
			return got
		default:
		}
		if e.counts(t, "jobs")[3] == 1 {
			e.clock.Advance(time.Duration(wait[0]) * time.Second)
			return <-done
		}
		runtime.Gosched()
	}
}

func bodiesOf(messages []mns.MessageReceiveResponse) []string {
	bodies := []string{}
	for _, m := range messages {
		bodies = append(bodies, m.MessageBody)
	}
	return bodies
}

// numbered sends messages with the bodies 00, 01 and so on, the last one the most urgent.
func numbered(t testing.TB, q mns.AliMNSQueue, n int) []string {
	t.Helper()
	var bodies []string
	for i := range n {
		bodies = append(bodies, fmt.Sprintf("%02d", i))
		if _, err := q.SendMessage(mns.MessageSendRequest{MessageBody: bodies[i], Priority: int64(16 - i)}); err != nil {
			t.Fatal(err)
		}
	}
	return bodies
}

func TestMisses(t *testing.T) {
	for name, kind := range map[string]struct {
		limit int32
		wait  []int64
	}{"single receive": {0, nil}, "batch receive": {16, nil}, "long poll": {0, []int64{1}}} {
		t.Run("a "+name+" finds nothing one time in nine though a message is visible, and the next one finds it", func(t *testing.T) {
			e := start(t, disorderly(1))
			q := e.queue(t, "jobs", mns.WithVisibilityTimeout(1))
			send(t, q, "m")
			misses := 0
			for range 180 {
				got := e.receiveUpTo(t, q, kind.limit, kind.wait...)
				if len(got) == 0 {
					misses++
					got = e.receiveUpTo(t, q, kind.limit, kind.wait...)
				}
				if len(got) != 1 {
					t.Fatalf("missed twice in a row: %+v", e.messages(t, "jobs"))
				}
				e.clock.Advance(time.Second)
			}
			if misses < 12 || misses > 30 {
				t.Errorf("%d misses in 180 receives, want some 20", misses)
			}
		})
	}

	t.Run("a batch comes without what it missed, and the next one brings the rest", func(t *testing.T) {
		e := start(t, disorderly(2))
		q := e.queue(t, "jobs")
		want := numbered(t, q, 16)
		first, second := e.receiveUpTo(t, q, 16), e.receiveUpTo(t, q, 16)
		if len(first) == 0 || len(first) == 16 {
			t.Fatalf("the first batch has %d messages", len(first))
		}
		got := bodiesOf(append(first, second...))
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("the next single receive takes what was missed before anything else", func(t *testing.T) {
		e := start(t, disorderly(1))
		q := e.queue(t, "jobs", mns.WithVisibilityTimeout(1))
		send(t, q, "missed")
		for tries := 0; len(e.receiveUpTo(t, q, 0)) > 0; tries++ {
			if tries == 100 {
				t.Fatal("no receive missed")
			}
			e.clock.Advance(time.Second)
		}
		numbered(t, q, 16)
		if got := bodiesOf(e.receiveUpTo(t, q, 0)); !slices.Equal(got, []string{"missed"}) {
			t.Errorf("got %v", got)
		}
	})

	t.Run("a long poll leaves what it missed to others", func(t *testing.T) {
		// poll begins a long poll for a message that is visible, with one seed after the other until it waits.
		poll := func(t *testing.T, wait int64) (*emulator, mns.AliMNSQueue, chan []mns.MessageReceiveResponse) {
			for seed := range uint64(100) {
				e := start(t, disorderly(seed))
				q := e.queue(t, "jobs")
				send(t, q, "missed")
				done := make(chan []mns.MessageReceiveResponse, 1)
				waiting := mns.NewMNSQueue("jobs", e.client(), 1<<30)
				go func() {
					got, _ := batchReceive(waiting, 16, wait)
					done <- got
				}()
				for len(done) == 0 {
					if e.counts(t, "jobs")[3] == 1 {
						return e, q, done
					}
				}
				e.stop()
			}
			t.Fatal("no long poll missed")
			return nil, nil, nil
		}
		t.Run("and ends without it", func(t *testing.T) {
			e, q, done := poll(t, 1)
			e.clock.Advance(time.Second)
			if got := <-done; len(got) > 0 {
				t.Errorf("got %v", bodiesOf(got))
			}
			if got := e.receiveUpTo(t, q, 0); len(got) != 1 {
				t.Errorf("the next receive got %v", bodiesOf(got))
			}
		})
		t.Run("but finds it a second later if it still waits", func(t *testing.T) {
			e, _, done := poll(t, 2)
			e.clock.Advance(time.Second - time.Millisecond)
			if polls := e.counts(t, "jobs")[3]; polls != 1 {
				t.Fatal("the long poll is over early")
			}
			e.clock.Advance(time.Millisecond)
			if polls := e.counts(t, "jobs")[3]; polls != 0 {
				t.Fatal("the long poll still waits")
			}
			if got := bodiesOf(<-done); !slices.Equal(got, []string{"missed"}) {
				t.Errorf("the long poll got %v", got)
			}
		})
		t.Run("while it waits", func(t *testing.T) {
			e, q, done := poll(t, 30)
			if got := e.receiveUpTo(t, q, 0); len(got) != 1 || got[0].DequeueCount != 1 {
				t.Errorf("the other receive got %v", bodiesOf(got))
			}
			send(t, q, "new")
			if got := bodiesOf(<-done); !slices.Equal(got, []string{"new"}) {
				t.Errorf("the long poll got %v", got)
			}
		})
		t.Run("and takes what is new", func(t *testing.T) {
			e, q, done := poll(t, 30)
			send(t, q, "new")
			if got := bodiesOf(<-done); !slices.Equal(got, []string{"new"}) {
				t.Errorf("the long poll got %v", got)
			}
			if got := bodiesOf(e.receiveUpTo(t, q, 0)); !slices.Equal(got, []string{"missed"}) {
				t.Errorf("the next receive got %v", got)
			}
		})
	})

	t.Run("a long poll finds at once what becomes visible while it waits", func(t *testing.T) {
		e := start(t, disorderly(1))
		q := e.queue(t, "jobs")
		for range 40 {
			done := make(chan error, 1)
			waiting := mns.NewMNSQueue("jobs", e.client(), 1<<30)
			go func() {
				_, err := receive(waiting, 30)
				done <- err
			}()
			e.awaitPolls(t, "jobs", 1)
			send(t, q, "m")
			if polls := e.counts(t, "jobs")[3]; polls != 0 {
				t.Fatal("the poll still waits")
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	})

	t.Run("a peek shows everything", func(t *testing.T) {
		e := start(t, disorderly(1))
		q := e.queue(t, "jobs")
		send(t, q, "m")
		for range 60 {
			if _, err := peek(q); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestOrder(t *testing.T) {
	t.Run("is any: neither the oldest nor the most urgent message comes first", func(t *testing.T) {
		received, batched, peeked := map[string]bool{}, map[string]bool{}, map[string]bool{}
		for seed := range uint64(20) {
			e := start(t, disorderly(seed))
			q := e.queue(t, "jobs")
			numbered(t, q, 16)
			shown, err := peek(q)
			if err != nil {
				t.Fatal(err)
			}
			peeked[shown.MessageBody] = true
			received[e.receiveUpTo(t, q, 0)[0].MessageBody] = true
			batched[e.receiveUpTo(t, q, 16)[0].MessageBody] = true
			e.stop()
		}
		if len(received) < 8 || len(batched) < 8 || len(peeked) < 8 {
			t.Errorf("first came, of 16 messages: received %v, in a batch %v, peeked %v", received, batched, peeked)
		}
	})

	t.Run("of a peek leaves nothing out and nothing changed", func(t *testing.T) {
		e := start(t, disorderly(1))
		q := e.queue(t, "jobs")
		sent := numbered(t, q, 16)
		for range 2 {
			answer, failed := make(chan mns.BatchMessageReceiveResponse, 1), make(chan error, 1)
			q.BatchPeekMessage(answer, failed, 16)
			peeked := bodiesOf((<-answer).Messages)
			slices.Sort(peeked)
			if diff := cmp.Diff(sent, peeked); diff != "" {
				t.Error(diff)
			}
		}
	})

	t.Run("and misses are the same with the same seed, others with another", func(t *testing.T) {
		// found is what each receive brings, the empty ones too.
		found := func(seed uint64) (found []string) {
			e := start(t, disorderly(seed))
			q := e.queue(t, "jobs")
			numbered(t, q, 16)
			for range 8 {
				found = append(found, fmt.Sprint(bodiesOf(e.receiveUpTo(t, q, 3))))
			}
			return found
		}
		if diff := cmp.Diff(found(1), found(1)); diff != "" {
			t.Error(diff)
		}
		if slices.Equal(found(1), found(2)) {
			t.Error("seeds 1 and 2 do the same")
		}
	})
}

// timings is a manual clock that keeps how long each timer was to run.
type timings struct {
	*clock.Manual
	mu    sync.Mutex
	asked []time.Duration
}

func (c *timings) AfterFunc(d time.Duration, f func()) clock.Timer {
	c.mu.Lock()
	c.asked = append(c.asked, d)
	c.mu.Unlock()
	return c.Manual.AfterFunc(d, f)
}

func TestEmptyPoll(t *testing.T) {
	// lasted is how long each of twenty polls of one second was held.
	lasted := func(t *testing.T, calm bool) []time.Duration {
		c := &timings{Manual: clock.NewManual(time.Now())}
		e := start(t, func(config *mnsemu.Config) { config.Calm, config.Clock = calm, c })
		q := e.queue(t, "jobs")
		for range 20 {
			done := make(chan error, 1)
			go func() {
				_, err := receive(q, 1)
				done <- err
			}()
			c.Await(1)
			c.Advance(time.Second)
			if err := <-done; errorCode(err) != codeMessageNotExist {
				t.Fatalf("got %v, want MessageNotExist", err)
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

func TestCalm(t *testing.T) {
	t.Run("finds every message, the most urgent first", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		for range 20 {
			want := numbered(t, q, 16)
			slices.Reverse(want)
			got := append(e.receiveUpTo(t, q, 0), e.receiveUpTo(t, q, 16)...)
			if diff := cmp.Diff(want, bodiesOf(got)); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}
