package queue

import (
	"context"
	"errors"
	"fmt"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	gogap "github.com/gogap/errors"

	"routinely/shared/fault"
)

// MaxBatch is how many messages MNS takes or gives in one call (limits page of Simple Message Queue).
const MaxBatch = 16

const (
	stepSendBatch    = "BatchSendMessage"
	stepReceiveBatch = "BatchReceiveMessage"
	stepDeleteBatch  = "BatchDeleteMessage"
)

// SendBatch puts jobs on their queue, to be seen at once, in as few calls as MNS allows: 16 messages and 64 KB each. It returns an error for
// each envelope, in their order, nil for those that MNS has confirmed; what is said of Send holds for each. After a call that failed as
// Unavailable no other is made: a queue that is down costs one time limit, and the rest has the fault of that call.
func (c *Client) SendBatch(ctx context.Context, envelopes []Envelope) []error {
	failed := make([]error, len(envelopes))
	var messages []outgoing
	var places []int
	for i, e := range envelopes {
		body, err := c.cfg.Keys.Seal(e)
		if failed[i] = err; err == nil {
			messages, places = append(messages, outgoing{carried(body), e.priority()}), append(places, i)
		}
	}
	for n, err := range c.sendAll(ctx, c.cfg.Queue, messages) {
		failed[places[n]] = err
	}
	return failed
}

func (c *Client) sendAll(ctx context.Context, queue string, messages []outgoing) []error {
	failed := make([]error, len(messages))
	var down error
	for start := 0; start < len(messages) && down == nil; {
		end, size := start, 0
		for end < len(messages) && end-start < MaxBatch && (end == start || size+len(messages[end].body) <= MaxMessageBytes) {
			size += len(messages[end].body)
			end++
		}
		if end == start+1 {
			down = c.send(ctx, queue, messages[start], 0) // which also refuses what is too large
			failed[start] = down
		} else {
			down = c.sendBatch(ctx, queue, messages[start:end], failed[start:end])
		}
		if start = end; !fault.HasKind(down, fault.Unavailable) {
			down = nil
			continue
		}
		for i := start; i < len(failed); i++ {
			failed[i] = down
		}
	}
	return failed
}

// sendBatch sends messages in one call and tells what became of each. It returns the error of the call.
func (c *Client) sendBatch(ctx context.Context, queue string, messages []outgoing, failed []error) error {
	requests := make([]mns.MessageSendRequest, 0, len(messages))
	for _, o := range messages {
		requests = append(requests, o.request())
	}
	var entries []mns.BatchMessageSendEntry
	err := c.call(ctx, stepSendBatch, queue, c.cfg.Timeout, func(q mns.AliMNSQueue) error {
		answer, err := q.BatchSendMessage(requests...)
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
	return err
}

// itemFault classifies one failed item of a batch, for which MNS gives no request id.
func itemFault(step, queue, code, message string) error {
	return classify(step, queue, lookUp(0, errorBody{Code: code, Message: message}))
}

func partlyFailed(err error) bool {
	var sdk gogap.ErrCode
	return errors.As(err, &sdk) && sdk.Code() == sdkPartlyFailed
}
