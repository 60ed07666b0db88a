package mnsclient

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// batchLimit is how many messages one call can receive or delete. (MNS limits.)
const batchLimit = 16

// Attributes are a queue's settings. A nil field is not sent: the server's default applies.
type Attributes struct {
	// DelaySeconds holds new messages back, 0 to 604800 (default 0).
	DelaySeconds *int `xml:",omitempty"`
	// MaximumMessageSize is in bytes, 1024 to 65536 (default 65536).
	MaximumMessageSize *int `xml:",omitempty"`
	// MessageRetentionPeriod is in seconds, counted from the send, 60 to 604800 (default 345600).
	MessageRetentionPeriod *int `xml:",omitempty"`
	// VisibilityTimeout is how many seconds a received message stays hidden, 1 to 43200 (default 30).
	VisibilityTimeout *int `xml:",omitempty"`
	// PollingWaitSeconds is the long poll of receives that name none, 0 to 30 (default 0).
	PollingWaitSeconds *int `xml:",omitempty"`
}

// CreateQueue creates a queue. One that exists with the same attributes is a success; with others it is an *Error of
// CodeQueueAlreadyExist.
func (c *Client) CreateQueue(ctx context.Context, queue string, attributes Attributes) error {
	return c.putQueue(ctx, "create queue "+queue, queue, "", attributes)
}

// SetAttributes gives a queue that exists other attributes. A nil field is left as it is.
func (c *Client) SetAttributes(ctx context.Context, queue string, attributes Attributes) error {
	return c.putQueue(ctx, "change queue "+queue, queue, "?metaoverride=true", attributes)
}

func (c *Client) putQueue(ctx context.Context, what, queue, query string, attributes Attributes) error {
	path, err := queuePath(queue, query)
	if err != nil {
		return err
	}
	body := struct {
		XMLName xml.Name `xml:"Queue"`
		Attributes
	}{Attributes: attributes}
	got, err := c.call(ctx, what, http.MethodPut, path, body, 0)
	if err != nil {
		return err
	}
	return got.decode(nil, http.StatusCreated, http.StatusNoContent)
}

// Send puts a message on a queue and returns its id. delaySeconds 0 leaves the delay to the queue. The body must be text that
// XML can carry; other bytes would be replaced on the way, so they are refused here.
func (c *Client) Send(ctx context.Context, queue, body string, delaySeconds int) (string, error) {
	path, err := queuePath(queue, "/messages")
	if err != nil {
		return "", err
	}
	if err := checkText(body); err != nil {
		return "", err
	}
	message := struct {
		XMLName      xml.Name `xml:"Message"`
		MessageBody  string
		DelaySeconds int `xml:",omitempty"`
	}{MessageBody: body, DelaySeconds: delaySeconds}
	got, err := c.call(ctx, "send to "+queue, http.MethodPost, path, message, 0)
	if err != nil {
		return "", err
	}
	var sent struct {
		MessageID string `xml:"MessageId"`
	}
	return sent.MessageID, got.decode(&sent, http.StatusCreated)
}

// Message is one receipt of a message.
type Message struct {
	// ID is given by the server at the send; the same for each receipt.
	ID string `xml:"MessageId"`
	// ReceiptHandle stands for this receipt until NextVisibleTime.
	ReceiptHandle string
	// Body is the text as it was sent.
	Body string `xml:"MessageBody"`
	// DequeueCount is how often the message was received, this time included.
	DequeueCount int
	// NextVisibleTime is by the server's clock.
	NextVisibleTime time.Time `xml:"-"`
	// RequestID is the server's id of the receiving call.
	RequestID string `xml:"-"`
}

// Receive takes up to limit messages (1 to 16) and hides them for the queue's visibility timeout. When it finds none it is held open for
// waitSeconds (0 to 30, 0 answers at once), a fifth less at times, and then gives no messages and no error. None, or fewer than limit, does not
// mean that the queue is empty: recorded polls missed visible messages, 3 of 27.
func (c *Client) Receive(ctx context.Context, queue string, limit, waitSeconds int) ([]Message, error) {
	path, err := queuePath(queue, "/messages")
	switch {
	case err != nil:
		return nil, err
	case limit < 1 || limit > batchLimit:
		return nil, fmt.Errorf("receive %d messages: want 1 to %d", limit, batchLimit)
	case waitSeconds < 0 || waitSeconds > 30:
		return nil, fmt.Errorf("wait %d seconds: want 0 to 30", waitSeconds)
	}
	path += fmt.Sprintf("?numOfMessages=%d&waitseconds=%d", limit, waitSeconds)
	got, err := c.call(ctx, "receive from "+queue, http.MethodGet, path, nil, time.Duration(waitSeconds)*time.Second)
	if err != nil {
		return nil, err
	}
	var list struct {
		Message []struct {
			Message
			Visible int64 `xml:"NextVisibleTime"` // milliseconds
		}
	}
	switch err := got.decode(&list, http.StatusOK); {
	case IsCode(err, CodeMessageNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	messages := make([]Message, 0, len(list.Message))
	for _, m := range list.Message {
		m.NextVisibleTime, m.RequestID = time.UnixMilli(m.Visible), got.requestID
		messages = append(messages, m.Message)
	}
	return messages, nil
}

// Delete removes a received message. CodeMessageNotExist and CodeReceiptHandleError mean that the receipt is over and the message
// may be received again.
func (c *Client) Delete(ctx context.Context, queue, receiptHandle string) error {
	path, err := handlePath(queue, receiptHandle)
	if err != nil {
		return err
	}
	got, err := c.call(ctx, "delete from "+queue, http.MethodDelete, path, nil, 0)
	if err != nil {
		return err
	}
	return got.decode(nil, http.StatusNoContent)
}

// DeleteFailure is a message that a batch delete left on the queue.
type DeleteFailure struct {
	// ReceiptHandle is the one given to DeleteBatch.
	ReceiptHandle string
	// Code and Message are MNS's reason.
	Code    string `xml:"ErrorCode"`
	Message string `xml:"ErrorMessage"`
}

// DeleteBatch removes 1 to 16 received messages. Those that could not be removed are returned; the others are gone. An error means
// that the whole call failed.
func (c *Client) DeleteBatch(ctx context.Context, queue string, receiptHandles []string) ([]DeleteFailure, error) {
	path, err := queuePath(queue, "/messages")
	switch {
	case err != nil:
		return nil, err
	case len(receiptHandles) == 0 || len(receiptHandles) > batchLimit:
		return nil, fmt.Errorf("delete %d messages: want 1 to %d", len(receiptHandles), batchLimit)
	}
	body := struct {
		XMLName       xml.Name `xml:"ReceiptHandles"`
		ReceiptHandle []string
	}{ReceiptHandle: receiptHandles}
	got, err := c.call(ctx, "delete from "+queue, http.MethodDelete, path, body, 0)
	if err != nil {
		return nil, err
	}
	var failed struct {
		XMLName xml.Name        `xml:"Errors"`
		Error   []DeleteFailure `xml:"Error"`
	}
	// A partial failure is 404 with the root Errors; other refusals have the root Error.
	if got.status == http.StatusNotFound && xml.Unmarshal(got.body, &failed) == nil && len(failed.Error) > 0 {
		return failed.Error, nil
	}
	return nil, got.decode(nil, http.StatusNoContent)
}

// ChangeVisibility hides a received message for seconds from now (1 to 43200), longer or shorter than before, and returns the new
// receipt handle: the old one must not be used again.
func (c *Client) ChangeVisibility(ctx context.Context, queue, receiptHandle string, seconds int) (string, error) {
	path, err := handlePath(queue, receiptHandle)
	if err != nil {
		return "", err
	}
	got, err := c.call(ctx, "change visibility on "+queue, http.MethodPut, fmt.Sprintf("%s&VisibilityTimeout=%d", path, seconds), nil, 0)
	if err != nil {
		return "", err
	}
	var changed struct{ ReceiptHandle string }
	return changed.ReceiptHandle, got.decode(&changed, http.StatusOK)
}

// CheckQueueName tells what is wrong with a queue name: MNS wants a letter or digit, then letters, digits and hyphens, 256 at most
// (newer pages say 120).
func CheckQueueName(queue string) error {
	for i, r := range queue {
		letter := (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9')
		if !letter && (r != '-' || i == 0) {
			return fmt.Errorf("queue name %q: want letters, digits and hyphens, no hyphen first", queue)
		}
	}
	if queue == "" || len(queue) > 256 {
		return fmt.Errorf("queue name %q: want 1 to 256 characters", queue)
	}
	return nil
}

func queuePath(queue, below string) (string, error) {
	if err := CheckQueueName(queue); err != nil {
		return "", err
	}
	return "/queues/" + queue + below, nil
}

func handlePath(queue, receiptHandle string) (string, error) {
	if receiptHandle == "" {
		return "", errors.New("receipt handle is empty")
	}
	// Not QueryEscape: MNS leaves a plus sign alone, so a space must not become one.
	return queuePath(queue, "/messages?ReceiptHandle="+strings.ReplaceAll(url.QueryEscape(receiptHandle), "+", "%20"))
}

// checkText refuses what XML 1.0 has no way to write.
func checkText(body string) error {
	if body == "" {
		return errors.New("message body is empty")
	}
	if !utf8.ValidString(body) {
		return errors.New("message body is not UTF-8: encode it, for example as base64")
	}
	for i, r := range body {
		if (r < ' ' && r != '\t' && r != '\n' && r != '\r') || r == 0xFFFE || r == 0xFFFF {
			return fmt.Errorf("message body has the character %U at byte %d, which XML cannot carry: encode it, for example as base64", r, i)
		}
	}
	return nil
}
