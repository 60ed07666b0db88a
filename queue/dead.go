package queue

import (
	"context"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	mns "github.com/aliyun/aliyun-mns-go-sdk"

	"routinely/shared/fault"
)

// Message is a message of the dead-letter queue.
type Message struct {
	// ID is MNS's id.
	ID string
	// ReceiptHandle deletes the message as long as its lease lasts.
	ReceiptHandle string
	// Body is the message as MNS holds it.
	Body string
}

// maxOpened is more than a trigger's event of our messages has in the 64 KiB of MNS. An array of 30,000 numbers fits too: to file each would take
// longer than the janitor lives, and it would begin again each time.
const maxOpened = 100

// Open returns the messages in a message of the dead-letter queue: the trigger puts there a message as it was, or an event with several,
// which may be a JSON text in itself.
// What came without an id of its own is known by the dead letter's, so that it is the same however often it is read. There is at least one; what
// would be more than 100 is one message that nobody can read.
func (k Keys) Open(m Message, now time.Time) []Delivery {
	messages := []unwrapped{{"", []byte(m.Body)}}
	if text := plain(unquote([]byte(m.Body))); len(text) > 0 && (text[0] == '[' || text[0] == '{') {
		messages = unwrap(text)
	}
	if len(messages) == 0 || len(messages) > maxOpened {
		messages = []unwrapped{{"", []byte(m.Body)}}
	}
	for i := range messages {
		switch {
		case messages[i].id != "":
		case len(messages) == 1:
			messages[i].id = m.ID
		default:
			messages[i].id = m.ID + "/" + strconv.Itoa(i)
		}
	}
	return k.read(messages, now)
}

// SendDead puts a message on the dead-letter queue that is no callback for the function notify, where the janitor files it: byte for byte,
// unless it says that it is ours and cannot be verified. The janitor may know the key, and shall not take it for a callback that was given up.
func (c *Client) SendDead(ctx context.Context, d Delivery) error {
	body := string(d.Body)
	if fault.HasCode(d.Err, CodeUnknownKey) && utf8.Valid(d.Body) {
		data, err := encode(body)
		if err != nil {
			return err
		}
		wrapped, err := encodeEvent(TypeUnverified, d.MessageID, "", time.Time{}, data, seal{})
		if err != nil {
			return err
		}
		if len(carried(wrapped)) <= MaxMessageBytes {
			body = wrapped
		}
	}
	return c.send(ctx, c.cfg.DeadLetterQueue, outgoing{body, normalPriority}, 0)
}

// maxWait is the longest poll MNS holds.
const maxWait = 30 * time.Second

// ReceiveDead takes up to limit (at most MaxBatch) messages of the dead-letter queue, each for the queue's visibility timeout,
// and waits for the first one at most wait (whole seconds, rounded up, at most 30 s; 0 means the queue's own setting). None is
// not an error, and does not mean that the queue is empty: MNS may return fewer than there are, or none.
func (c *Client) ReceiveDead(ctx context.Context, limit int, wait time.Duration) ([]Message, error) {
	seconds := int64(math.Ceil(min(max(wait, 0), maxWait).Seconds()))
	var out []Message
	queue := c.cfg.DeadLetterQueue
	err := c.call(ctx, stepReceiveBatch, queue, c.cfg.Timeout+time.Duration(seconds)*time.Second, func(q mns.AliMNSQueue) error {
		// The SDK answers on channels and blocks for ever on one that nobody reads, so both have room.
		got, failed := make(chan mns.BatchMessageReceiveResponse, 1), make(chan error, 1)
		if seconds == 0 { // the SDK answers nothing at all when it is told to wait for 0
			q.BatchReceiveMessage(got, failed, int32(min(limit, MaxBatch)))
		} else {
			q.BatchReceiveMessage(got, failed, int32(min(limit, MaxBatch)), seconds)
		}
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
		return nil, nil
	case err != nil: // a call that was given up may still be writing
		return nil, err
	}
	return out, nil
}

func message(m mns.MessageReceiveResponse) Message {
	return Message{ID: m.MessageId, ReceiptHandle: m.ReceiptHandle, Body: m.MessageBody}
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
