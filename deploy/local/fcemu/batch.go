package fcemu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/mnsclient"
)

const (
	// pollSeconds is one long poll; MNS allows 30.
	pollSeconds = 20
	// receiveLimit is how many messages MNS gives at once.
	receiveLimit = 16
	// lookPause is the time between two looks at the queue while a window is open. MNS may miss a message that is there.
	lookPause = 10 * time.Millisecond
	// releaseLimit bounds giving messages back when the server stops.
	releaseLimit = 2 * time.Second
)

// receive fills batches until ctx is done. A long poll that is cut off may have taken a message, which then comes again after its
// visibility timeout.
func (t *trigger) receive(ctx context.Context, batches chan<- *batch) {
	for ctx.Err() == nil {
		b, err := t.collect(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			t.pause(ctx, err)
		case b != nil:
			select {
			case batches <- b:
			case <-ctx.Done():
				b.release()
			}
		}
	}
}

// collect waits for a message and fills its batch until the count or the window is reached; nil when none came. A failure inside the
// window closes it early.
func (t *trigger) collect(ctx context.Context) (*batch, error) {
	limit := t.config.CountBasedWindow
	if t.config.TimeBasedWindow == 0 {
		limit = 1
	}
	messages, err := t.mns.Receive(ctx, t.config.Queue, min(limit, receiveLimit), pollSeconds)
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	b, window := newBatch(t, messages), t.server.after(t.config.TimeBasedWindow)
	defer window.Stop()
	t.note(TriggerEvent{Kind: Received, Messages: len(messages)})
	for over := false; len(b.messages) < limit; {
		messages, err = t.mns.Receive(ctx, t.config.Queue, min(limit-len(b.messages), receiveLimit), 0)
		switch {
		case err != nil, over && len(messages) == 0:
			return b, nil
		case len(messages) > 0:
			b.add(messages)
			t.note(TriggerEvent{Kind: Received, Messages: len(messages)})
		default:
			over = !t.lookAgain(ctx, window)
		}
	}
	return b, nil
}

// lookAgain waits for the next look at the queue and reports whether the window is still open.
func (t *trigger) lookAgain(ctx context.Context, window alarm) bool {
	next := t.server.after(lookPause)
	defer next.Stop()
	select {
	case <-next.fired:
		return true
	case <-window.fired:
	case <-ctx.Done():
	}
	return false
}

// batch is the messages of one event. It renews their visibility timeout until they are deleted or given back.
type batch struct {
	trigger  *trigger
	messages []mnsclient.Message
	// hidden is the queue's visibility timeout.
	hidden time.Duration

	// mu also keeps a renewal and a delete apart.
	mu sync.Mutex
	// handles are the present receipt handles of the messages that are not deleted yet.
	handles []string
	ended   bool
	renewal clock.Timer
}

func newBatch(t *trigger, messages []mnsclient.Message) *batch {
	given := messages[0].NextVisibleTime.Sub(t.server.clock.Now())
	b := &batch{trigger: t, hidden: max(given.Round(time.Second), time.Second)}
	b.add(messages)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.renewLater()
	return b
}

func (b *batch) add(messages []mnsclient.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, messages...)
	for _, m := range messages {
		b.handles = append(b.handles, m.ReceiptHandle)
	}
}

// renewLater plans the next renewal. The caller holds the lock.
func (b *batch) renewLater() { b.renewal = b.trigger.server.clock.AfterFunc(b.hidden/3, b.renew) }

// renew hides the messages again. One for which that fails may be delivered again, which MNS allows at any time.
func (b *batch) renew() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	if err := b.hide(context.Background(), b.hidden); err != nil {
		b.trigger.log.Warn("messages may be delivered again: their visibility timeout was not renewed", "error", err)
	}
	b.renewLater()
}

// hide hides the messages for a time from now. The caller holds the lock.
func (b *batch) hide(ctx context.Context, d time.Duration) (failed error) {
	for i, handle := range b.handles {
		next, err := b.trigger.mns.ChangeVisibility(ctx, b.trigger.config.Queue, handle, int(d/time.Second))
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		b.handles[i] = next
	}
	return failed
}

// delete removes the messages and ends the batch. A message whose receipt is over counts as removed: it may be delivered again. On an
// error the rest stays hidden.
func (b *batch) delete() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.handles) > 0 {
		some := b.handles[:min(len(b.handles), receiveLimit)]
		failed, err := b.trigger.mns.DeleteBatch(context.Background(), b.trigger.config.Queue, some)
		if err != nil {
			return err
		}
		for _, f := range failed {
			if f.Code != mnsclient.CodeMessageNotExist && f.Code != mnsclient.CodeReceiptHandleError {
				return fmt.Errorf("delete from %s: %s: %s", b.trigger.config.Queue, f.Code, f.Message)
			}
			b.trigger.log.Warn("a message may be delivered again: its receipt is over", "code", f.Code)
		}
		b.handles = b.handles[len(some):]
	}
	b.end()
	return nil
}

// end stops the renewals. The caller holds the lock.
func (b *batch) end() {
	b.ended = true
	b.renewal.Stop()
}

// release gives the messages back: others can receive them after a second.
func (b *batch) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end()
	ctx, cancel := context.WithTimeout(context.Background(), releaseLimit)
	defer cancel()
	err := b.hide(ctx, time.Second)
	b.trigger.note(TriggerEvent{Kind: Released, Messages: len(b.handles), Err: err})
}
