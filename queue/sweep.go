package queue

import (
	"context"
	"sync"
	"time"

	"routinely/shared/fault"
)

const (
	// parallelReceives is how many receives of a sweep run at a time once there is something to receive. The time of a
	// receive is the way to MNS and back, so four take four times as much in the same time; more would hurry past what
	// their caller does with the messages.
	parallelReceives = 4
	// ParallelGiveBacks is how many messages GiveBack gives back at a time: each takes a call of its own.
	ParallelGiveBacks = 16
	// SweepBatch is the largest number of messages that one Next can bring.
	SweepBatch = parallelReceives * MaxBatch
)

// Sweep is one pass over the dead-letter queue: it takes each visible message once, and holds its lease until the message is
// deleted or given back. MNS has no other way to look through a queue. What somebody else holds at the moment is not seen.
// A sweep that is abandoned, or killed, loses nothing: the leases end by themselves after the queue's visibility timeout.
// Next is for one caller at a time, the other methods are for any number.
type Sweep struct {
	client   *Client
	lastLook time.Duration

	mu sync.Mutex
	// seen holds the ids of all messages taken, held the latest receipt handle of those whose lease is still the sweep's.
	seen map[string]bool
	held map[string]string
	// width is how many receives the next batch takes.
	width    int
	failed   error
	ended    bool
	complete bool
	// doubtful is set once a receive was sent twice: the first may have hidden messages.
	doubtful bool
}

// SweepDead begins a sweep of the dead-letter queue. It makes no call. Storage at MNS is striped, and a short receive that
// finds nothing may have looked at the wrong stripe: the sweep ends only after one more look that waits up to lastLook (whole
// seconds, rounded up, at most 30 s; with 0 it waits as long as the queue's own setting says).
func (c *Client) SweepDead(lastLook time.Duration) *Sweep {
	return &Sweep{client: c, lastLook: lastLook, seen: map[string]bool{}, held: map[string]string{}, width: 1}
}

// Next takes up to limit (at most SweepBatch) messages that the sweep has not seen yet. None and no error is the end of the
// sweep, see Complete. A failure ends it too, after the messages that were received beside it.
func (s *Sweep) Next(ctx context.Context, limit int) ([]Message, error) {
	for !s.ended {
		taken, err := s.receive(ctx, limit)
		if err == nil && len(taken) == 0 {
			var twice bool
			taken, twice, err = s.client.receiveDead(ctx, min(limit, MaxBatch), s.lastLook)
			s.doubtful = s.doubtful || twice
			s.complete = err == nil && len(taken) == 0 && !s.doubtful
			s.ended = err == nil && len(taken) == 0
		}
		fresh := s.hold(taken)
		s.failed = err
		// Only messages seen before: their leases have ended meanwhile, and what is still unseen cannot be told from what
		// comes back. It may be nothing, and the sweep must not go round in circles.
		again := len(taken) > 0 && len(fresh) == 0
		s.ended = s.ended || err != nil || again
		if len(fresh) > 0 {
			return fresh, nil
		}
	}
	err := s.failed
	s.failed = nil
	return nil, err
}

// receive takes what several receives at a time bring. A queue that holds little is not asked by many.
func (s *Sweep) receive(ctx context.Context, limit int) ([]Message, error) {
	calls := min(s.width, (limit+MaxBatch-1)/MaxBatch)
	got, twice, failed := make([][]Message, calls), make([]bool, calls), make([]error, calls)
	var running sync.WaitGroup
	for i := range calls {
		running.Go(func() { got[i], twice[i], failed[i] = s.client.receiveDead(ctx, min(limit-i*MaxBatch, MaxBatch), 0) })
	}
	running.Wait()
	var taken []Message
	var err error
	for i := range calls {
		taken = append(taken, got[i]...)
		s.doubtful = s.doubtful || twice[i]
		if failed[i] != nil {
			err = failed[i]
		}
	}
	s.width = min(2*s.width, parallelReceives)
	return taken, err
}

// hold remembers the leases of messages and returns those that were not seen before.
func (s *Sweep) hold(messages []Message) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh []Message
	for _, m := range messages {
		if !s.seen[m.ID] {
			fresh = append(fresh, m)
		}
		s.seen[m.ID], s.held[m.ID] = true, m.ReceiptHandle // of several receipts only the latest works
	}
	return fresh
}

// Complete reports whether the sweep has come to the end of the queue: it has seen all that was visible. What somebody else
// holds was not, nor what a receive took whose answer never came.
func (s *Sweep) Complete() bool { return s.complete }

// Held is how many messages the sweep holds.
func (s *Sweep) Held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}

// Delete deletes messages, by their ids. It returns an error for each, in their order; one whose lease has ended, or that the
// sweep does not hold, is a fault of kind NotFound and may still be on the queue.
func (s *Sweep) Delete(ctx context.Context, ids []string) []error {
	failed := make([]error, len(ids))
	var handles []string
	var at []int
	s.mu.Lock()
	for i, id := range ids {
		if handle, ok := s.held[id]; ok {
			handles, at = append(handles, handle), append(at, i)
		} else {
			failed[i] = itemFault(stepDeleteBatch, s.client.cfg.DeadLetterQueue, "MessageNotExist", "the sweep does not hold message "+id)
		}
	}
	s.mu.Unlock()
	deleted := s.client.DeleteDead(ctx, handles)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, err := range deleted {
		failed[at[i]] = err
		if err == nil || fault.HasKind(err, fault.NotFound) {
			delete(s.held, ids[at[i]])
		}
	}
	return failed
}

// Leave gives up messages without giving them back: nobody sees them until their leases end.
func (s *Sweep) Leave(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(s.held, id)
	}
}

// GiveBack gives all messages that the sweep holds back to the queue at once, as far as the context's time goes. What cannot
// be given back comes back by itself when its lease ends.
func (s *Sweep) GiveBack(ctx context.Context) {
	s.mu.Lock()
	handles := make(chan string, len(s.held))
	for _, handle := range s.held {
		handles <- handle
	}
	clear(s.held)
	s.mu.Unlock()
	close(handles)
	var running sync.WaitGroup
	for range min(ParallelGiveBacks, len(handles)) {
		running.Go(func() {
			for handle := range handles {
				if ctx.Err() != nil {
					return
				}
				// A failure costs time, not the message.
				_ = s.client.GiveBackDead(ctx, handle)
			}
		})
	}
	running.Wait()
}
