package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	gogap "github.com/gogap/errors"

	"routinely/shared/fault"
)

// Attributes are the settings of a queue, named as MNS names them. Times are in seconds, sizes in bytes.
type Attributes struct {
	VisibilityTimeout      int
	MessageRetentionPeriod int
	MaximumMessageSize     int
	DelaySeconds           int
	PollingWaitSeconds     int
}

const (
	// retentionSeconds is the longest that MNS keeps messages (limits page of Simple Message Queue).
	retentionSeconds = 604800
	// jobLeaseSeconds is far above the 300 seconds that an invocation may take: the trigger may hold a batch while the one before is worked on,
	// and a job that becomes visible meanwhile is delivered twice.
	jobLeaseSeconds = 3600
	// callbackLeaseSeconds is above the 60 seconds that the function notify may take.
	callbackLeaseSeconds = 120
	// deadLeaseSeconds is above the 50 seconds that a run of the janitor may take, or its messages come back while it works on them. Those
	// that a run which was killed has taken stay hidden as long.
	deadLeaseSeconds = 120
	// jobPollSeconds makes each receive of the trigger a long poll, the longest there is, since each empty answer is billed.
	jobPollSeconds = 30
)

// JobQueueAttributes are the settings that the job queue should have.
func JobQueueAttributes() Attributes {
	return Attributes{
		VisibilityTimeout: jobLeaseSeconds, MessageRetentionPeriod: retentionSeconds, MaximumMessageSize: MaxMessageBytes,
		PollingWaitSeconds: jobPollSeconds,
	}
}

// CallbackQueueAttributes are the settings that the queue of callbacks should have.
func CallbackQueueAttributes() Attributes {
	a := JobQueueAttributes()
	a.VisibilityTimeout = callbackLeaseSeconds
	return a
}

// DeadLetterQueueAttributes are the settings that the dead-letter queue should have.
func DeadLetterQueueAttributes() Attributes {
	return Attributes{
		VisibilityTimeout: deadLeaseSeconds, MessageRetentionPeriod: retentionSeconds, MaximumMessageSize: MaxMessageBytes,
	}
}

// codeNoQueue is MNS's code of a queue that is not there.
const codeNoQueue = "QueueNotExist"

const (
	stepCreateQueue   = "CreateQueue"
	stepGetAttributes = "GetQueueAttributes"
	stepSetAttributes = "SetQueueAttributes"
)

// Setup makes the queues if they are missing, corrects their settings, and says what it changed; nothing is left to
// change the next time. With dryRun it only says what it would change.
func (c *Client) Setup(ctx context.Context, dryRun bool) (changes []string, err error) {
	type wanted struct {
		name       string
		attributes Attributes
	}
	for _, each := range []wanted{
		{c.cfg.Queue, JobQueueAttributes()}, {c.cfg.DeadLetterQueue, DeadLetterQueueAttributes()}, {c.cfg.CallbackQueue, CallbackQueueAttributes()},
	} {
		change, err := c.setUp(ctx, each.name, each.attributes, dryRun)
		if err != nil {
			return changes, err
		}
		if change != "" {
			changes = append(changes, change)
		}
	}
	return changes, nil
}

// setUp makes or corrects one queue and says what it changed.
func (c *Client) setUp(ctx context.Context, name string, wanted Attributes, dryRun bool) (change string, err error) {
	found, err := c.attributes(ctx, name)
	if fault.HasCode(err, codeNoQueue) {
		if !dryRun {
			err = c.createQueue(ctx, name, wanted)
		}
		if dryRun || err == nil {
			return fmt.Sprintf("create queue %s: %s", name, wanted.differences(nil)), nil
		}
		if fault.HasCode(err, "QueueAlreadyExist") { // somebody else was setting it up
			found, err = c.attributes(ctx, name)
		}
	}
	if err != nil {
		return "", err
	}
	have := Attributes{
		VisibilityTimeout: int(found.VisibilityTimeout), MessageRetentionPeriod: int(found.MessageRetentionPeriod),
		MaximumMessageSize: int(found.MaxMessageSize), DelaySeconds: int(found.DelaySeconds), PollingWaitSeconds: int(found.PollingWaitSeconds),
	}
	if have == wanted {
		return "", nil
	}
	if !dryRun {
		err = c.setAttributes(ctx, name, wanted, found.LoggingEnabled)
	}
	return fmt.Sprintf("change queue %s: %s", name, wanted.differences(&have)), err
}

// differences lists the settings that are not as they should be, of a queue that is missing all of them.
func (a Attributes) differences(have *Attributes) string {
	var out []string
	for _, each := range []struct {
		name string
		of   func(Attributes) int
	}{
		{"VisibilityTimeout", func(a Attributes) int { return a.VisibilityTimeout }},
		{"MessageRetentionPeriod", func(a Attributes) int { return a.MessageRetentionPeriod }},
		{"MaximumMessageSize", func(a Attributes) int { return a.MaximumMessageSize }},
		{"DelaySeconds", func(a Attributes) int { return a.DelaySeconds }},
		{"PollingWaitSeconds", func(a Attributes) int { return a.PollingWaitSeconds }},
	} {
		switch {
		case have == nil:
			out = append(out, fmt.Sprintf("%s %d", each.name, each.of(a)))
		case each.of(*have) != each.of(a):
			out = append(out, fmt.Sprintf("%s %d instead of %d", each.name, each.of(a), each.of(*have)))
		}
	}
	return strings.Join(out, ", ")
}

func (c *Client) attributes(ctx context.Context, queue string) (mns.QueueAttribute, error) {
	var found mns.QueueAttribute
	err := c.bounded(ctx, stepGetAttributes, queue, c.cfg.Timeout, func(sdk *call) (err error) {
		found, err = mns.NewMNSQueueManager(sdk).GetQueueAttributes(queue)
		return err
	})
	if err != nil { // a call that was given up may still be writing
		return mns.QueueAttribute{}, err
	}
	return found, nil
}

// Depths are how many messages the queues have, hidden and delayed ones included.
type Depths struct{ Jobs, DeadLetters, Callbacks int64 }

// Depths reads how many messages the queues have. MNS counts with some delay.
func (c *Client) Depths(ctx context.Context) (out Depths, err error) {
	for _, each := range []struct {
		queue string
		into  *int64
	}{{c.cfg.Queue, &out.Jobs}, {c.cfg.DeadLetterQueue, &out.DeadLetters}, {c.cfg.CallbackQueue, &out.Callbacks}} {
		found, err := c.attributes(ctx, each.queue)
		if err != nil {
			return Depths{}, err
		}
		*each.into = depth(found)
	}
	return out, nil
}

// DeadLetterDepth reads how many messages the dead-letter queue has, hidden and delayed ones included. MNS counts with some delay.
func (c *Client) DeadLetterDepth(ctx context.Context) (int64, error) {
	found, err := c.attributes(ctx, c.cfg.DeadLetterQueue)
	return depth(found), err
}

// depth is how many messages a queue has.
func depth(q mns.QueueAttribute) int64 {
	return q.ActiveMessages + q.InactiveMessages + q.DelayMessages
}

// options are all settings: the SDK sends a zero for some of those that it is not given, which resets them.
func (a Attributes) options(logging bool) []mns.QueueOption {
	return []mns.QueueOption{
		mns.WithVisibilityTimeout(int32(a.VisibilityTimeout)), mns.WithMessageRetentionPeriod(int32(a.MessageRetentionPeriod)),
		mns.WithMaxMessageSize(int32(a.MaximumMessageSize)), mns.WithDelaySeconds(int32(a.DelaySeconds)),
		mns.WithPollingWaitSeconds(int32(a.PollingWaitSeconds)), mns.WithLoggingEnabled(logging),
	}
}

func (c *Client) createQueue(ctx context.Context, queue string, wanted Attributes) error {
	return c.bounded(ctx, stepCreateQueue, queue, c.cfg.Timeout, func(sdk *call) error {
		err := mns.NewMNSQueueManager(sdk).CreateQueueWithOptions(queue, wanted.options(false)...)
		var known gogap.ErrCode
		if errors.As(err, &known) && known.Code() == sdkExistsAlready {
			return nil
		}
		return err
	})
}

func (c *Client) setAttributes(ctx context.Context, queue string, wanted Attributes, logging bool) error {
	return c.bounded(ctx, stepSetAttributes, queue, c.cfg.Timeout, func(sdk *call) error {
		return mns.NewMNSQueueManager(sdk).SetQueueAttributesWithOptions(queue, wanted.options(logging)...)
	})
}
