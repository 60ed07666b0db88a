package fcemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"routinely/deploy/local/mnsclient"
)

// TriggerMode is how EventBridge pushes queue messages.
type TriggerMode string

// The modes.
const (
	// EventStreaming pushes arrays of up to CountBasedWindow events, also for one event.
	EventStreaming TriggerMode = "event-streaming"
	// EventDriven pushes one event as an object.
	EventDriven TriggerMode = "event-driven"
)

// EventShape is the form of an event.
type EventShape string

// The shapes. Which of the first two the platform uses in arrays is not documented for MNS; functions should take both.
const (
	// CloudEventObjects are CloudEvents as JSON objects.
	CloudEventObjects EventShape = "cloudevents"
	// CloudEventStrings are CloudEvents as JSON strings that hold the object; EventStreaming only.
	CloudEventStrings EventShape = "cloudevent-strings"
	// RawData is {requestId, messageId, messageBody} alone.
	RawData EventShape = "rawdata"
)

// RetryStrategy is EventBridge's plan for an event whose function failed, timed out or was throttled.
type RetryStrategy string

// The strategies.
const (
	// BackoffRetry tries three times more, after a random 10 to 20 seconds each.
	BackoffRetry RetryStrategy = "BACKOFF_RETRY"
	// ExponentialDecayRetry tries 176 times more, after 1, 2, 4 … 512 seconds and then every 512, about a day.
	ExponentialDecayRetry RetryStrategy = "EXPONENTIAL_DECAY_RETRY"
)

// Tolerance is what happens when the retries are used up.
type Tolerance string

// The tolerances.
const (
	// TolerateAll moves the messages to the dead-letter queue, or drops them when there is none, and goes on.
	TolerateAll Tolerance = "ALL"
	// TolerateNone stops the trigger until the server is started anew; the messages stay in their queue.
	TolerateNone Tolerance = "NONE"
)

const (
	maxBatch  = 10000
	maxWindow = 15 * time.Second
	// triggerTimeout caps the timeout of invocations. (FC trigger documentation: 5 minutes in both modes.)
	triggerTimeout = 5 * time.Minute
	defaultLease   = 10 * time.Second
	// maxDeletes is how many batches may be on their way to being deleted while the next is invoked.
	maxDeletes = 4
)

// QueueTrigger connects an MNS queue to a function, as EventBridge does: batches one after another, synchronously, each message
// deleted once the function answered without an error.
type QueueTrigger struct {
	// Name is the trigger's name, part of the events' source. Required.
	Name string
	// Function is the function's name, Queue the queue's. Required.
	Function, Queue string
	// Endpoint, AccessKeyID and AccessKeySecret reach MNS, see mnsclient.Config. Required.
	Endpoint, AccessKeyID, AccessKeySecret string
	// Mode defaults to EventStreaming, Shape to CloudEventObjects.
	Mode  TriggerMode
	Shape EventShape
	// Base64Decode decodes message bodies that are standard base64 and passes others. The platform's IsBase64Decode is true unless
	// it is set; here it is false unless it is set.
	Base64Decode bool
	// CountBasedWindow is the most messages in one event, 1 to 10000; 0 means 1.
	CountBasedWindow int
	// TimeBasedWindow is how long a message waits for others, whole seconds up to 15. From 1 s on an event is sent as soon as it has
	// CountBasedWindow messages, or when its first message has waited so long. 0 is documented as real-time delivery, with which a
	// batch may never form. So with 0 each event has one message, whatever the count: a design must not rely on more.
	TimeBasedWindow time.Duration
	// RetryStrategy defaults to BackoffRetry, ErrorsTolerance to TolerateNone, as on the platform.
	RetryStrategy   RetryStrategy
	ErrorsTolerance Tolerance
	// DeadLetterQueue gets the bodies of messages, as received, whose retries are used up; on the same endpoint. Empty for none.
	DeadLetterQueue string
	// Lease is how long messages under way stay hidden should this process die, whole seconds from 3 s; 0 means 10 s. A third of it
	// is the heartbeat that renews it.
	Lease time.Duration
}

// TriggerEventKind names a step of a trigger. Timer triggers report Dropped only.
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
	// Dropped: the retries are used up and the messages are lost, for there is no dead-letter queue. Of a timer trigger: its event
	// failed for the last time, or is too old.
	Dropped TriggerEventKind = "dropped"
	// Halted: the retries are used up and the trigger stops.
	Halted TriggerEventKind = "halted"
	// Released: the server stops; the messages become visible again.
	Released TriggerEventKind = "released"
	// LeaseLost: messages were no longer ours and may be delivered twice.
	LeaseLost TriggerEventKind = "lease-lost"
	// Extended: a heartbeat renewed the lease.
	Extended TriggerEventKind = "extended"
	// Unreachable: MNS failed; the next try follows after Delay. Reachable: it works again.
	Unreachable TriggerEventKind = "unreachable"
	Reachable   TriggerEventKind = "reachable"
)

// TriggerEvent is one step of a trigger. Delays have begun on the server's clock when it is reported.
type TriggerEvent struct {
	Trigger string
	Kind    TriggerEventKind
	// Messages is how many messages the step concerns, 1 for a timer trigger.
	Messages int
	// Retry is the number of the coming attempt, from 1, and Delay the wait before it, for Retrying and Unreachable.
	Retry int
	Delay time.Duration
	// Err is the reason; nil where nothing failed.
	Err error
}

// TriggerStatus is a queue trigger's state and what it did since the start, in messages except for Retries.
type TriggerStatus struct {
	Name     string `json:"name"`
	Function string `json:"function"`
	Queue    string `json:"queue"`
	// State is running, unreachable (MNS fails) or stopped.
	State        string `json:"state"`
	Received     int    `json:"received"`
	Deleted      int    `json:"deleted"`
	Retries      int    `json:"retries"`
	DeadLettered int    `json:"deadLettered"`
	Dropped      int    `json:"dropped"`
}

// trigger is a QueueTrigger at work.
type trigger struct {
	server   *Server
	config   QueueTrigger
	strategy strategy
	mns      *mnsclient.Client

	// deleting bounds the batches whose delete is not done yet.
	deleting chan struct{}

	mu     sync.Mutex
	status TriggerStatus
}

func newTrigger(s *Server, c QueueTrigger) (*trigger, error) {
	c.Mode, c.Shape = cmp.Or(c.Mode, EventStreaming), cmp.Or(c.Shape, CloudEventObjects)
	c.RetryStrategy, c.ErrorsTolerance = cmp.Or(c.RetryStrategy, BackoffRetry), cmp.Or(c.ErrorsTolerance, TolerateNone)
	c.CountBasedWindow, c.Lease = cmp.Or(c.CountBasedWindow, 1), cmp.Or(c.Lease, defaultLease)
	if err := c.check(); err != nil {
		return nil, err
	}
	if s.functions[c.Function] == nil {
		return nil, fmt.Errorf("function %q is not configured", c.Function)
	}
	client, err := mnsclient.New(mnsclient.Config{Endpoint: c.Endpoint, AccessKeyID: c.AccessKeyID, AccessKeySecret: c.AccessKeySecret})
	if err != nil {
		return nil, err
	}
	return &trigger{
		server: s, config: c, strategy: strategyOf(c.RetryStrategy), mns: client, deleting: make(chan struct{}, maxDeletes),
		status: TriggerStatus{Name: c.Name, Function: c.Function, Queue: c.Queue, State: "stopped"},
	}, nil
}

func (c QueueTrigger) check() error {
	switch {
	case !validName(c.Name):
		return errors.New("name: want 1 to 64 letters, digits, hyphens and underscores, beginning with a letter or underscore")
	case !slices.Contains([]TriggerMode{EventStreaming, EventDriven}, c.Mode):
		return fmt.Errorf("mode %q: want %s or %s", c.Mode, EventStreaming, EventDriven)
	case !slices.Contains([]EventShape{CloudEventObjects, CloudEventStrings, RawData}, c.Shape):
		return fmt.Errorf("shape %q: want %s, %s or %s", c.Shape, CloudEventObjects, CloudEventStrings, RawData)
	case !slices.Contains([]RetryStrategy{BackoffRetry, ExponentialDecayRetry}, c.RetryStrategy):
		return fmt.Errorf("retry strategy %q: want %s or %s", c.RetryStrategy, BackoffRetry, ExponentialDecayRetry)
	case !slices.Contains([]Tolerance{TolerateAll, TolerateNone}, c.ErrorsTolerance):
		return fmt.Errorf("errors tolerance %q: want %s or %s", c.ErrorsTolerance, TolerateAll, TolerateNone)
	case c.CountBasedWindow < 1 || c.CountBasedWindow > maxBatch:
		return fmt.Errorf("count based window %d: want 1 to %d", c.CountBasedWindow, maxBatch)
	case c.TimeBasedWindow < 0 || c.TimeBasedWindow > maxWindow || c.TimeBasedWindow%time.Second != 0:
		return fmt.Errorf("time based window %v: want whole seconds up to %v", c.TimeBasedWindow, maxWindow)
	case c.Mode == EventDriven && (c.CountBasedWindow > 1 || c.TimeBasedWindow > 0 || c.Shape == CloudEventStrings):
		return fmt.Errorf("mode %s pushes single objects: no batch, no window, no %s", EventDriven, CloudEventStrings)
	case c.Lease < 3*time.Second || c.Lease > 12*time.Hour || c.Lease%time.Second != 0:
		return fmt.Errorf("lease %v: want whole seconds from 3s to 12h", c.Lease)
	case c.DeadLetterQueue == c.Queue:
		return fmt.Errorf("dead-letter queue %q: want another queue than the trigger's", c.DeadLetterQueue)
	case c.DeadLetterQueue != "":
		return errors.Join(mnsclient.CheckQueueName(c.Queue), mnsclient.CheckQueueName(c.DeadLetterQueue))
	}
	return mnsclient.CheckQueueName(c.Queue)
}

// limit is how many messages an event has at most.
func (c QueueTrigger) limit() int {
	if c.TimeBasedWindow == 0 {
		return 1
	}
	return c.CountBasedWindow
}

// Triggers returns the queue triggers in the order of the configuration.
func (s *Server) Triggers() []TriggerStatus {
	list := make([]TriggerStatus, 0, len(s.triggers))
	for _, t := range s.triggers {
		t.mu.Lock()
		list = append(list, t.status)
		t.mu.Unlock()
	}
	return list
}

// note changes the status and then reports the step.
func (t *trigger) note(e TriggerEvent, change func(*TriggerStatus)) {
	e.Trigger = t.config.Name
	if change != nil {
		t.mu.Lock()
		change(&t.status)
		t.mu.Unlock()
	}
	if t.server.config.OnTrigger != nil {
		t.server.config.OnTrigger(e)
	}
}

// run works until ctx is done or, with TolerateNone, a message cannot be delivered.
func (t *trigger) run(ctx context.Context) {
	defer t.mns.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.setState("running")
	defer t.setState("stopped")
	batches := make(chan *lease)
	var deletes sync.WaitGroup
	defer deletes.Wait()
	go func() {
		defer close(batches)
		t.receive(ctx, batches)
	}()
	for batch := range batches {
		if ctx.Err() != nil || !t.deliver(ctx, batch, &deletes) {
			cancel()
			batch.release()
		}
	}
}

func (t *trigger) setState(state string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status.State = state
}

// deliver invokes the function until it answers or the retries are used up. False means that the messages are still ours and the
// trigger must stop. A successful batch is deleted while the next one is on its way to the function.
func (t *trigger) deliver(ctx context.Context, batch *lease, deletes *sync.WaitGroup) bool {
	event, err := batch.event()
	if event == nil {
		return err == nil
	}
	for retry := 0; ; retry++ {
		_, err := t.server.invoke(context.WithoutCancel(ctx), t.config.Function,
			order{source: Queue, event: event, retry: retry, cap: triggerTimeout})
		switch {
		case err == nil:
			t.deleting <- struct{}{}
			deletes.Go(func() {
				defer func() { <-t.deleting }()
				t.remove(ctx, batch, Deleted)
			})
			return true
		case ctx.Err() != nil:
			return false
		case retry >= t.strategy.retries:
			return t.giveUp(ctx, batch, err)
		}
		delay := t.strategy.delay(retry, t.server.config.Random())
		t.server.log.Warn("queue trigger retries", "trigger", t.config.Name, "retry", retry+1, "delay", delay, "error", err)
		again := TriggerEvent{Kind: Retrying, Messages: batch.size(), Retry: retry + 1, Delay: delay, Err: err}
		if !t.server.sleep(ctx, delay, func() { t.note(again, func(s *TriggerStatus) { s.Retries++ }) }) {
			return false
		}
	}
}

// giveUp does what the tolerance says about messages that cannot be delivered.
func (t *trigger) giveUp(ctx context.Context, batch *lease, reason error) bool {
	log := t.server.log.With("trigger", t.config.Name, "messages", batch.size(), "error", reason)
	switch {
	case t.config.ErrorsTolerance == TolerateNone:
		log.Error("QUEUE TRIGGER STOPPED: retries used up and errors tolerance is NONE; restart to go on")
		t.note(TriggerEvent{Kind: Halted, Messages: batch.size(), Err: reason}, nil)
		return false
	case t.config.DeadLetterQueue == "":
		log.Error("messages dropped: retries used up and there is no dead-letter queue")
		t.remove(ctx, batch, Dropped)
		return true
	}
	if !t.deadLetter(ctx, batch) {
		return false
	}
	log.Error("messages dead-lettered: retries used up", "queue", t.config.DeadLetterQueue)
	t.remove(ctx, batch, DeadLettered)
	return true
}

// deadLetter sends the bodies on, as often as it takes. False when the trigger was stopped before: the messages come again, and some
// may then be on the dead-letter queue twice.
func (t *trigger) deadLetter(ctx context.Context, batch *lease) bool {
	for _, body := range batch.bodies() {
		for failures := 0; ; failures++ {
			_, err := t.mns.Send(context.WithoutCancel(ctx), t.config.DeadLetterQueue, body, 0)
			if err == nil {
				t.recovered(failures)
				break
			}
			if !t.backOff(ctx, failures, err) {
				return false
			}
		}
	}
	return true
}

// remove deletes the messages and reports the step. While MNS fails it tries again under the lease, until the trigger is stopped.
func (t *trigger) remove(ctx context.Context, batch *lease, step TriggerEventKind) {
	size := batch.size()
	for failures := 0; ; failures++ {
		err := batch.delete()
		if err == nil {
			t.recovered(failures)
			break
		}
		if !t.backOff(ctx, failures, err) {
			t.server.log.Error("messages not deleted: they will be delivered again", "trigger", t.config.Name, "error", err)
			batch.end()
			return
		}
	}
	t.note(TriggerEvent{Kind: step, Messages: size}, func(s *TriggerStatus) {
		switch step {
		case Deleted:
			s.Deleted += size
		case DeadLettered:
			s.DeadLettered += size
		case Dropped:
			s.Dropped += size
		}
	})
}

// backOff waits after a failure of MNS and reports whether to try again.
func (t *trigger) backOff(ctx context.Context, failures int, err error) bool {
	if failures == 0 {
		t.server.log.Warn("mns failed; trying until it works", "trigger", t.config.Name, "error", err)
	}
	delay := min(100*time.Millisecond<<min(failures, 6), 5*time.Second)
	step := TriggerEvent{Kind: Unreachable, Retry: failures + 1, Delay: delay, Err: err}
	return t.server.sleep(ctx, delay, func() {
		t.note(step, func(s *TriggerStatus) { s.State = "unreachable" })
	})
}

// recovered tells that MNS works again, if it had failed.
func (t *trigger) recovered(failures int) {
	if failures == 0 {
		return
	}
	t.server.log.Info("mns works again", "trigger", t.config.Name)
	t.note(TriggerEvent{Kind: Reachable}, func(s *TriggerStatus) { s.State = "running" })
}
