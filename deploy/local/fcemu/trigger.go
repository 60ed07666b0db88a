package fcemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"routinely/deploy/local/mnsclient"
)

const (
	maxBatch  = 10000
	maxWindow = 15 * time.Second
	// triggerTimeout caps the timeout of invocations. (FC trigger documentation: 5 minutes.)
	triggerTimeout = 5 * time.Minute
	// maxRetries is how often EXPONENTIAL_DECAY_RETRY tries again, for about a day. (FC trigger documentation.)
	maxRetries = 176
	// mnsPause is the wait after a failure of MNS.
	mnsPause = 500 * time.Millisecond
)

// retryDelay is the wait before a retry, counted from 0: 1, 2, 4 … 512 s and then 512 s each time. (As maxRetries.)
func retryDelay(retry int) time.Duration { return min(time.Second<<min(retry, 9), 512*time.Second) }

// QueueTrigger connects an MNS queue to a function, as an EventBridge event stream does. It sends arrays of CloudEvents, one event
// after the other, and waits for the function's answer; meanwhile it may receive the messages of the next event. Messages are deleted
// once the function answered without an error. After an error, a timeout or a throttled call it tries again by
// EXPONENTIAL_DECAY_RETRY; then it moves the messages to the dead-letter queue, or drops them if there is none.
type QueueTrigger struct {
	// Name is the trigger's name, part of the events' source. Required.
	Name string
	// Function is the function's name, Queue the queue's. Required.
	Function, Queue string
	// Endpoint, AccessKeyID and AccessKeySecret reach MNS, see mnsclient.Config. Required.
	Endpoint, AccessKeyID, AccessKeySecret string
	// CountBasedWindow is the most messages in one event, 1 to 10000; 0 means 1.
	CountBasedWindow int
	// TimeBasedWindow is how long a message waits for others, whole seconds up to 15. From 1 s on an event is sent as soon as it has
	// CountBasedWindow messages, or when its first message has waited so long. 0 is documented as real-time delivery, with which a
	// batch may never form. So with 0 each event has one message, whatever the count: a design must not rely on more.
	TimeBasedWindow time.Duration
	// DeadLetterQueue gets the bodies of messages whose retries are used up; on the same endpoint. Empty for none.
	DeadLetterQueue string
	// TriggerSettings are shown and not obeyed.
	TriggerSettings
}

// TriggerSettings are settings of a trigger that this server takes and shows in its status, and nothing else: no value changes what
// the trigger does, and none is checked. With them, a check of a deployment can be tested against wrong settings. The comments say
// what the trigger does in any case.
type TriggerSettings struct {
	// Mode is runOptions.mode. The trigger works as with event-streaming.
	Mode string `json:"mode"`
	// EventSchema is eventSinkConfig.deliveryOption.eventSchema. The trigger works as with CloudEvents.
	EventSchema string `json:"eventSchema"`
	// IsBase64Decode is that of sourceMNSParameters. Bodies are passed on as they are, as with false.
	IsBase64Decode bool `json:"IsBase64Decode"`
	// ErrorsTolerance is runOptions.errorsTolerance. The trigger works as with ALL.
	ErrorsTolerance string `json:"errorsTolerance"`
	// PushRetryStrategy is that of runOptions.retryStrategy. The trigger works as with EXPONENTIAL_DECAY_RETRY.
	PushRetryStrategy string `json:"PushRetryStrategy"`
}

// TriggerEventKind names a step of a queue trigger.
type TriggerEventKind string

// The steps.
const (
	// Received: messages have joined the next event.
	Received TriggerEventKind = "received"
	// Deleted: the function answered and the messages are gone from the queue.
	Deleted TriggerEventKind = "deleted"
	// Retrying: the function failed; the next attempt follows after Delay.
	Retrying TriggerEventKind = "retrying"
	// DeadLettered: the retries are used up and the messages are on the dead-letter queue.
	DeadLettered TriggerEventKind = "dead-lettered"
	// Dropped: the retries are used up and the messages are lost, for there is no dead-letter queue.
	Dropped TriggerEventKind = "dropped"
	// Released: the server stops; the messages become visible again.
	Released TriggerEventKind = "released"
	// Unreachable: MNS failed; the next try follows after Delay.
	Unreachable TriggerEventKind = "unreachable"
)

// TriggerEvent is one step of a queue trigger. Delays have begun on the server's clock when it is reported.
type TriggerEvent struct {
	Trigger string
	Kind    TriggerEventKind
	// Messages is how many messages the step concerns.
	Messages int
	// Delay is the wait of Retrying and Unreachable.
	Delay time.Duration
	// Err is the reason; nil where nothing failed.
	Err error
}

// TriggerStatus is a queue trigger's settings, its state, and the numbers of messages since the start.
type TriggerStatus struct {
	Name             string `json:"name"`
	Function         string `json:"function"`
	Queue            string `json:"queue"`
	CountBasedWindow int    `json:"CountBasedWindow"`
	// TimeBasedWindow is in seconds.
	TimeBasedWindow int    `json:"TimeBasedWindow"`
	DeadLetterQueue string `json:"deadLetterQueue"`
	TriggerSettings
	// Running is whether the trigger works.
	Running      bool `json:"running"`
	Received     int  `json:"received"`
	Deleted      int  `json:"deleted"`
	DeadLettered int  `json:"deadLettered"`
	Dropped      int  `json:"dropped"`
	// Retries is the number of attempts after the first, in events.
	Retries int `json:"retries"`
}

// trigger is a QueueTrigger at work.
type trigger struct {
	server  *Server
	config  QueueTrigger
	mns     *mnsclient.Client
	log     *slog.Logger
	running atomic.Bool

	mu     sync.Mutex
	status TriggerStatus
}

func newTrigger(s *Server, c QueueTrigger) (*trigger, error) {
	c.CountBasedWindow = cmp.Or(c.CountBasedWindow, 1)
	switch {
	case c.Name == "":
		return nil, errors.New("a name is needed")
	case s.functions[c.Function] == nil:
		return nil, fmt.Errorf("function %q is not configured", c.Function)
	case c.CountBasedWindow < 1 || c.CountBasedWindow > maxBatch:
		return nil, fmt.Errorf("count based window %d: want 1 to %d", c.CountBasedWindow, maxBatch)
	case c.TimeBasedWindow < 0 || c.TimeBasedWindow > maxWindow || c.TimeBasedWindow%time.Second != 0:
		return nil, fmt.Errorf("time based window %v: want whole seconds up to %v", c.TimeBasedWindow, maxWindow)
	case c.DeadLetterQueue == c.Queue:
		return nil, fmt.Errorf("dead-letter queue %q: want another queue than the trigger's", c.DeadLetterQueue)
	}
	err := mnsclient.CheckQueueName(c.Queue)
	if err == nil && c.DeadLetterQueue != "" {
		err = mnsclient.CheckQueueName(c.DeadLetterQueue)
	}
	if err != nil {
		return nil, err
	}
	client, err := mnsclient.New(mnsclient.Config{Endpoint: c.Endpoint, AccessKeyID: c.AccessKeyID, AccessKeySecret: c.AccessKeySecret})
	if err != nil {
		return nil, err
	}
	return &trigger{
		server: s, config: c, mns: client, log: s.log.With("trigger", c.Name),
		status: TriggerStatus{
			Name: c.Name, Function: c.Function, Queue: c.Queue, CountBasedWindow: c.CountBasedWindow,
			TimeBasedWindow: int(c.TimeBasedWindow / time.Second), DeadLetterQueue: c.DeadLetterQueue, TriggerSettings: c.TriggerSettings,
		},
	}, nil
}

// Triggers returns the queue triggers in the order of the configuration.
func (s *Server) Triggers() []TriggerStatus {
	list := make([]TriggerStatus, 0, len(s.triggers))
	for _, t := range s.triggers {
		t.mu.Lock()
		status := t.status
		t.mu.Unlock()
		status.Running = t.running.Load()
		list = append(list, status)
	}
	return list
}

// note counts a step and reports it.
func (t *trigger) note(e TriggerEvent) {
	t.mu.Lock()
	switch e.Kind {
	case Received:
		t.status.Received += e.Messages
	case Deleted:
		t.status.Deleted += e.Messages
	case Retrying:
		t.status.Retries++
	case DeadLettered:
		t.status.DeadLettered += e.Messages
	case Dropped:
		t.status.Dropped += e.Messages
	}
	t.mu.Unlock()
	e.Trigger = t.config.Name
	if t.server.config.OnTrigger != nil {
		t.server.config.OnTrigger(e)
	}
}

// run works until ctx is done. One batch is with the function; the next may be received meanwhile.
func (t *trigger) run(ctx context.Context) {
	defer t.mns.Close()
	t.running.Store(true)
	defer t.running.Store(false)
	batches := make(chan *batch)
	go func() {
		defer close(batches)
		t.receive(ctx, batches)
	}()
	for b := range batches {
		if !t.deliver(ctx, b) {
			b.release()
		}
	}
}

// deliver invokes the function until it answers or the retries are used up, and then removes the messages. False means that the
// trigger was stopped before.
func (t *trigger) deliver(ctx context.Context, b *batch) bool {
	event, err := t.encode(b.messages)
	if err != nil {
		t.log.Error("no event", "error", err)
		return false
	}
	for retry := 0; ctx.Err() == nil; retry++ {
		_, err := t.server.invoke(context.WithoutCancel(ctx), t.config.Function, order{event: event, limit: triggerTimeout})
		switch {
		case err == nil:
			return t.remove(ctx, b, Deleted)
		case ctx.Err() != nil:
			return false
		case retry == maxRetries:
			return t.giveUp(ctx, b, err)
		}
		t.log.Warn("queue trigger retries", "retry", retry+1, "delay", retryDelay(retry), "error", err)
		t.wait(ctx, TriggerEvent{Kind: Retrying, Messages: len(b.messages), Delay: retryDelay(retry), Err: err})
	}
	return false
}

// giveUp moves the messages to the dead-letter queue, if there is one. When the trigger is stopped before all is done they come again,
// and some may then be dead letters twice.
func (t *trigger) giveUp(ctx context.Context, b *batch, reason error) bool {
	if t.config.DeadLetterQueue == "" {
		t.log.Error("messages dropped: retries used up and there is no dead-letter queue", "messages", len(b.messages), "error", reason)
		return t.remove(ctx, b, Dropped)
	}
	for _, m := range b.messages {
		sent := t.insist(ctx, func() error {
			_, err := t.mns.Send(context.WithoutCancel(ctx), t.config.DeadLetterQueue, m.Body, 0)
			return err
		})
		if !sent {
			return false
		}
	}
	t.log.Error("messages dead-lettered: retries used up", "queue", t.config.DeadLetterQueue, "messages", len(b.messages), "error", reason)
	return t.remove(ctx, b, DeadLettered)
}

// remove deletes the messages and reports the step.
func (t *trigger) remove(ctx context.Context, b *batch, step TriggerEventKind) bool {
	if !t.insist(ctx, b.delete) {
		return false
	}
	t.note(TriggerEvent{Kind: step, Messages: len(b.messages)})
	return true
}

// insist calls MNS until that works. False means that it failed and the trigger was stopped.
func (t *trigger) insist(ctx context.Context, call func() error) bool {
	for {
		if err := call(); err == nil || !t.pause(ctx, err) {
			return err == nil
		}
	}
}

// pause waits after a failure of MNS and reports whether to go on.
func (t *trigger) pause(ctx context.Context, err error) bool {
	t.log.Warn("mns failed; trying again", "delay", mnsPause, "error", err)
	return t.wait(ctx, TriggerEvent{Kind: Unreachable, Delay: mnsPause, Err: err})
}

// wait reports a step once its delay has begun, waits, and reports whether to go on.
func (t *trigger) wait(ctx context.Context, e TriggerEvent) bool {
	over := t.server.after(e.Delay)
	t.note(e)
	return t.server.await(ctx, over)
}
