package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"routinely/shared/fault"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
)

// Message is a message of the dead-letter queue.
type Message struct {
	// ID is MNS's id.
	ID string
	// ReceiptHandle deletes the message as long as its lease lasts; empty for a message that was only looked at.
	ReceiptHandle string
	// Body is the message as MNS holds it.
	Body string
	// EnqueuedAt is when it was sent, NextVisibleAt when its lease ends.
	EnqueuedAt, NextVisibleAt time.Time
	// DequeueCount is how often it was received.
	DequeueCount int64
}

// maxWait is the longest poll MNS holds.
const maxWait = 30 * time.Second

// ReceiveDead takes up to limit (at most MaxBatch) messages of the dead-letter queue, each for the queue's visibility timeout,
// and waits for the first one at most wait (whole seconds, rounded up, at most 30 s; 0 means the queue's own setting). None is
// not an error. MNS may return fewer than there are.
func (c *Client) ReceiveDead(ctx context.Context, limit int, wait time.Duration) ([]Message, error) {
	messages, _, err := c.receiveDead(ctx, limit, wait)
	return messages, err
}

// receiveDead is ReceiveDead. It also tells whether the request had to be sent twice: then the first may have taken messages
// that nobody will see until their leases end.
func (c *Client) receiveDead(ctx context.Context, limit int, wait time.Duration) (messages []Message, twice bool, err error) {
	seconds := int64(math.Ceil(min(max(wait, 0), maxWait).Seconds()))
	return c.read(ctx, stepReceiveBatch, time.Duration(seconds)*time.Second, func(q mns.AliMNSQueue, got chan mns.BatchMessageReceiveResponse, failed chan error) {
		if seconds == 0 { // the SDK answers nothing at all when it is told to wait for 0
			q.BatchReceiveMessage(got, failed, int32(min(limit, MaxBatch)))
			return
		}
		q.BatchReceiveMessage(got, failed, int32(min(limit, MaxBatch)), seconds)
	})
}

// PeekDead looks at up to limit (at most MaxBatch) messages of the dead-letter queue without taking them from anybody. MNS
// chooses which; there is no way to see the ones behind.
func (c *Client) PeekDead(ctx context.Context, limit int) ([]Message, error) {
	messages, _, err := c.read(ctx, stepPeekBatch, 0, func(q mns.AliMNSQueue, got chan mns.BatchMessageReceiveResponse, failed chan error) {
		q.BatchPeekMessage(got, failed, int32(min(limit, MaxBatch)))
	})
	return messages, err
}

// read runs a receive or a peek. The SDK answers on channels and blocks for ever on one that nobody reads, so both have room.
func (c *Client) read(ctx context.Context, step string, wait time.Duration, do func(mns.AliMNSQueue, chan mns.BatchMessageReceiveResponse, chan error)) ([]Message, bool, error) {
	var out []Message
	var twice bool
	queue := c.cfg.DeadLetterQueue
	err := c.bounded(ctx, step, queue, c.cfg.Timeout+wait, func(sdk *call) error {
		q := queueOf(queue, sdk)
		defer func() { twice = sdk.repeated }()
		got, failed := make(chan mns.BatchMessageReceiveResponse, 1), make(chan error, 1)
		do(q, got, failed)
		select {
		case answer := <-got:
			if len(answer.Messages) == 0 {
				return unusable("a success without messages")
			}
			for _, m := range answer.Messages {
				out = append(out, message(m))
			}
			return nil
		case err := <-failed:
			return err
		default:
			return unusable("the SDK gave no answer")
		}
	})
	switch {
	case fault.HasCode(err, "MessageNotExist"):
		return nil, twice, nil
	case err != nil: // a call that was given up may still be writing
		return nil, false, err
	}
	return out, twice, nil
}

func message(m mns.MessageReceiveResponse) Message {
	return Message{
		ID: m.MessageId, ReceiptHandle: m.ReceiptHandle, Body: m.MessageBody, DequeueCount: m.DequeueCount,
		EnqueuedAt: time.UnixMilli(m.EnqueueTime).UTC(), NextVisibleAt: time.UnixMilli(m.NextVisibleTime).UTC(),
	}
}

// DeleteDead deletes messages of the dead-letter queue. It returns an error for each handle, in their order; one whose lease
// has ended is a fault of kind NotFound, and its message is still there or was taken by somebody else.
func (c *Client) DeleteDead(ctx context.Context, handles []string) []error {
	failed := make([]error, 0, len(handles))
	for len(handles) > 0 {
		n := min(len(handles), MaxBatch)
		failed = append(failed, c.deleteBatch(ctx, handles[:n])...)
		handles = handles[n:]
	}
	return failed
}

func (c *Client) deleteBatch(ctx context.Context, handles []string) []error {
	failed := make([]error, len(handles))
	queue := c.cfg.DeadLetterQueue
	var entries []mns.MessageDeleteFailEntry
	err := c.call(ctx, stepDeleteBatch, queue, c.cfg.Timeout, func(q mns.AliMNSQueue) error {
		answer, err := q.BatchDeleteMessage(handles...)
		if err != nil && !partlyFailed(err) {
			return err
		}
		entries = answer.FailedMessages
		if err != nil && len(entries) == 0 {
			return unusable("a partial failure without items")
		}
		return nil
	})
	if err != nil { // a call that was given up may still be writing
		for i := range failed {
			failed[i] = err
		}
		return failed
	}
	byHandle := map[string]error{}
	for _, e := range entries {
		byHandle[e.ReceiptHandle] = itemFault(stepDeleteBatch, queue, e.ErrorCode, e.ErrorMessage)
	}
	for i, handle := range handles {
		failed[i] = byHandle[handle]
	}
	return failed
}

const stepGiveBack = "ChangeMessageVisibility"

// GiveBackDead ends the lease of a message of the dead-letter queue: it can be received again after a second, the shortest
// time MNS takes. There is no call for several. A lease that has ended already is a fault of kind NotFound.
func (c *Client) GiveBackDead(ctx context.Context, handle string) error {
	return c.call(ctx, stepGiveBack, c.cfg.DeadLetterQueue, c.cfg.Timeout, func(q mns.AliMNSQueue) error {
		_, err := q.ChangeMessageVisibility(handle, 1)
		return err
	})
}

// DecodeDeadLetter reads a message of the dead-letter queue that SendDead has put there, and returns its id, which all parts
// of one dead letter share. Anything else, such as what the trigger's own dead-letter setting leaves there, is an error.
func DecodeDeadLetter(body string) (id string, letter DeadLetter, err error) {
	var message struct {
		Type    string          `json:"type"`
		Subject string          `json:"subject"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(plain([]byte(body)), &message); err != nil || message.Type != TypeDeadLetter {
		return "", DeadLetter{}, fmt.Errorf("not a %s", TypeDeadLetter)
	}
	if err := json.Unmarshal(message.Data, &letter); err != nil {
		return "", DeadLetter{}, fmt.Errorf("%s: %w", TypeDeadLetter, err)
	}
	return message.Subject, letter, nil
}
