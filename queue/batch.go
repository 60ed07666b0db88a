package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	gogap "github.com/gogap/errors"
)

// MaxBatch is how many messages MNS takes or gives in one call (limits page of Simple Message Queue).
const MaxBatch = 16

const (
	stepSendBatch    = "BatchSendMessage"
	stepReceiveBatch = "BatchReceiveMessage"
	stepPeekBatch    = "BatchPeekMessage"
	stepDeleteBatch  = "BatchDeleteMessage"
)

// SendBatch puts bodies on the job queue, in as few calls as MNS allows: 16 messages and 64 KB each. It returns an error for
// each body, in their order, nil for those that MNS has confirmed; what is said of Send holds for each.
func (c *Client) SendBatch(ctx context.Context, bodies []string) []error {
	return c.sendAll(ctx, c.cfg.Queue, bodies)
}

// Redeliver puts the messages of redrives on their queues, and answers as SendBatch does.
func (c *Client) Redeliver(ctx context.Context, messages []Redelivery) []error {
	failed := make([]error, len(messages))
	for _, callbacks := range []bool{false, true} {
		var bodies []string
		var places []int
		for i, m := range messages {
			if m.Callback == callbacks {
				bodies, places = append(bodies, m.Body), append(places, i)
			}
		}
		send := c.SendBatch
		if callbacks {
			send = c.sendCallbacks
		}
		for n, err := range send(ctx, bodies) {
			failed[places[n]] = err
		}
	}
	return failed
}

func (c *Client) sendCallbacks(ctx context.Context, bodies []string) []error {
	return c.sendAll(ctx, c.cfg.CallbackQueue, bodies)
}

func (c *Client) sendAll(ctx context.Context, queue string, bodies []string) []error {
	failed := make([]error, len(bodies))
	bodies = slices.Clone(bodies)
	for i := range bodies {
		bodies[i] = carried(bodies[i])
	}
	for start := 0; start < len(bodies); {
		end, size := start, 0
		for end < len(bodies) && end-start < MaxBatch && (end == start || size+len(bodies[end]) <= MaxMessageBytes) {
			size += len(bodies[end])
			end++
		}
		if end == start+1 {
			failed[start] = c.send(ctx, queue, bodies[start], 0) // which also refuses what is too large
		} else {
			c.sendBatch(ctx, queue, bodies[start:end], failed[start:end])
		}
		start = end
	}
	return failed
}

func (c *Client) sendBatch(ctx context.Context, queue string, bodies []string, failed []error) {
	messages := make([]mns.MessageSendRequest, 0, len(bodies))
	for _, body := range bodies {
		messages = append(messages, mns.MessageSendRequest{MessageBody: body, Priority: normalPriority})
	}
	var entries []mns.BatchMessageSendEntry
	err := c.call(ctx, stepSendBatch, queue, c.cfg.Timeout, func(q mns.AliMNSQueue) error {
		answer, err := q.BatchSendMessage(messages...)
		if err != nil && !partlyFailed(err) {
			return err
		}
		// The SDK takes an empty answer for a success without items.
		if len(answer.Messages) != len(messages) {
			return unusable(fmt.Sprintf("%d items in the answer, sent %d", len(answer.Messages), len(messages)))
		}
		entries = answer.Messages
		return nil
	})
	for i := range failed {
		switch {
		case err != nil:
			failed[i] = err
		case entries[i].ErrorCode != "":
			failed[i] = itemFault(stepSendBatch, queue, entries[i].ErrorCode, entries[i].ErrorMessage)
		case entries[i].MessageId == "":
			failed[i] = classify(stepSendBatch, queue, unusable("no MessageId in the answer"))
		}
	}
}

// itemFault classifies one failed item of a batch, for which MNS gives no request id.
func itemFault(step, queue, code, message string) error {
	return classify(step, queue, lookUp(0, errorBody{Code: code, Message: message}))
}

func partlyFailed(err error) bool {
	var sdk gogap.ErrCode
	return errors.As(err, &sdk) && sdk.Code() == sdkPartlyFailed
}
