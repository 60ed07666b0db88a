package fcemu

import (
	"context"
	"errors"
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
	lookPause = 100 * time.Millisecond
	// emptyPause keeps polls apart that MNS answers empty at once, as it does over its limit of held polls.
	emptyPause = 500 * time.Millisecond
	// releaseLimit bounds giving messages back when the server stops.
	releaseLimit = 2 * time.Second
)

// receive fills batches, one ahead of the function, until ctx is done.
func (t *trigger) receive(ctx context.Context, batches chan<- *lease) {
	for failures := 0; ctx.Err() == nil; {
		batch, err := t.collect(ctx)
		if err != nil && ctx.Err() == nil {
			t.backOff(ctx, failures, err)
			failures++
			continue
		}
		if ctx.Err() == nil {
			t.recovered(failures)
		}
		failures = 0
		if batch == nil {
			continue
		}
		select {
		case batches <- batch:
		case <-ctx.Done():
			batch.release()
		}
	}
}

// collect waits for a message and fills its batch until the count or the window is reached; nil when none came. A failure inside the
// window closes it early.
func (t *trigger) collect(ctx context.Context) (*lease, error) {
	limit := t.config.limit()
	messages, err := t.poll(ctx, limit, pollSeconds)
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	batch, window := newLease(t, messages), t.server.after(t.config.TimeBasedWindow)
	defer window.stop()
	t.note(TriggerEvent{Kind: Received, Messages: len(messages)}, nil)
	for over := false; batch.size() < limit; {
		more, err := t.poll(ctx, limit-batch.size(), 0)
		switch {
		case err != nil, over && len(more) == 0:
			return batch, nil
		case len(more) > 0:
			batch.add(more)
			t.note(TriggerEvent{Kind: Received, Messages: len(more)}, nil)
		default:
			over = !t.again(ctx, window)
		}
	}
	return batch, nil
}

// again waits for the next look at the queue and reports whether the window is still open.
func (t *trigger) again(ctx context.Context, window alarm) bool {
	next := t.server.after(lookPause)
	defer next.stop()
	select {
	case <-next.fired:
		return true
	case <-window.fired:
	case <-ctx.Done():
	}
	return false
}

// poll receives once. An empty answer that came early is followed by a pause.
func (t *trigger) poll(ctx context.Context, want, seconds int) ([]mnsclient.Message, error) {
	began := t.server.clock.Now()
	messages, err := t.mns.Receive(ctx, t.config.Queue, min(want, receiveLimit), seconds)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.status.Received += len(messages)
	t.mu.Unlock()
	if early := emptyPause - t.server.clock.Now().Sub(began); len(messages) == 0 && seconds > 0 && early > 0 {
		t.server.sleep(ctx, early, nil)
	}
	return messages, nil
}

// lease holds received messages hidden by renewing their visibility until they are deleted or given back.
type lease struct {
	trigger *trigger

	// mu also keeps a heartbeat, which replaces receipt handles, and a delete apart.
	mu       sync.Mutex
	messages []mnsclient.Message
	ended    bool
	timer    clock.Timer
}

// newLease begins with the visibility timeout that the queue gave: it is shortened or prolonged by the first heartbeat.
func newLease(t *trigger, messages []mnsclient.Message) *lease {
	l := &lease{trigger: t}
	given := messages[0].NextVisibleTime.Sub(t.server.clock.Now())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arm(max(min(given, t.config.Lease)/3, 100*time.Millisecond))
	l.hold(messages)
	return l
}

// arm plans the next heartbeat. The caller holds the lock.
func (l *lease) arm(d time.Duration) { l.timer = l.trigger.server.clock.AfterFunc(d, l.extend) }

// hold takes messages in. The caller holds the lock.
func (l *lease) hold(messages []mnsclient.Message) {
	for _, m := range messages {
		l.messages = append(l.messages, m)
	}
}

func (l *lease) add(messages []mnsclient.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold(messages)
}

func (l *lease) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.messages)
}

// event encodes the messages that are still ours; nil without an error when none is.
func (l *lease) event() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.messages) == 0 {
		return nil, nil
	}
	return l.trigger.encode(l.messages)
}

func (l *lease) bodies() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]string, 0, len(l.messages))
	for _, m := range l.messages {
		list = append(list, m.Body)
	}
	return list
}

// lost reports an error that means another receiver may have the message.
func lost(err error) bool {
	return mnsclient.IsCode(err, mnsclient.CodeMessageNotExist, mnsclient.CodeReceiptHandleError)
}

// extend is the heartbeat. Messages that are no longer ours are left out from here on; other failures are tried again with the
// next one.
func (l *lease) extend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	t := l.trigger
	kept := l.messages[:0:0]
	var failed error
	for _, m := range l.messages {
		handle, err := t.mns.ChangeVisibility(context.Background(), t.config.Queue, m.ReceiptHandle, int(t.config.Lease/time.Second))
		switch {
		case err == nil:
			m.ReceiptHandle = handle
		case lost(err):
			l.report(err)
			continue
		default:
			failed = err
		}
		kept = append(kept, m)
	}
	l.messages = kept
	if len(kept) == 0 {
		l.ended = true
		return
	}
	l.arm(t.config.Lease / 3)
	t.note(TriggerEvent{Kind: Extended, Messages: len(kept), Err: failed}, nil)
}

// report tells of a lost message.
func (l *lease) report(err error) {
	t := l.trigger
	t.server.log.Warn("message lease lost: it may be delivered again", "trigger", t.config.Name, "error", err)
	t.note(TriggerEvent{Kind: LeaseLost, Messages: 1, Err: err}, nil)
}

// delete removes the messages and ends the lease. On an error those that remain are still leased.
func (l *lease) delete() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.messages) > 0 {
		n := min(len(l.messages), receiveLimit)
		left, err := l.deleteSome(l.messages[:n])
		if err != nil {
			l.messages = append(left, l.messages[n:]...)
			return err
		}
		l.messages = l.messages[n:]
	}
	l.finish()
	return nil
}

// deleteSome removes up to 16 messages and returns those that failed, with the reason of one of them.
func (l *lease) deleteSome(messages []mnsclient.Message) (left []mnsclient.Message, err error) {
	t, ctx := l.trigger, context.Background()
	if len(messages) == 1 {
		err = t.mns.Delete(ctx, t.config.Queue, messages[0].ReceiptHandle)
		if lost(err) {
			l.report(err)
			err = nil
		}
		return messages, err
	}
	byHandle := make(map[string]mnsclient.Message, len(messages))
	handles := make([]string, 0, len(messages))
	for _, m := range messages {
		byHandle[m.ReceiptHandle] = m
		handles = append(handles, m.ReceiptHandle)
	}
	failures, err := t.mns.DeleteBatch(ctx, t.config.Queue, handles)
	if err != nil {
		return messages, err
	}
	for _, f := range failures {
		reason := &mnsclient.Error{Code: f.Code, Message: f.Message}
		if lost(reason) {
			l.report(reason)
			continue
		}
		left, err = append(left, byHandle[f.ReceiptHandle]), reason
	}
	return left, err
}

// finish stops the heartbeat. The caller holds the lock.
func (l *lease) finish() {
	l.ended = true
	l.timer.Stop()
}

// end stops the heartbeat and leaves the messages to their visibility timeout.
func (l *lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish()
}

// release gives the messages back: others can receive them after a second.
func (l *lease) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.finish()
	t := l.trigger
	ctx, cancel := context.WithTimeout(context.Background(), releaseLimit)
	defer cancel()
	var failed error
	for _, m := range l.messages {
		_, err := t.mns.ChangeVisibility(ctx, t.config.Queue, m.ReceiptHandle, 1)
		failed = errors.Join(failed, err)
	}
	t.note(TriggerEvent{Kind: Released, Messages: len(l.messages), Err: failed}, nil)
}
