package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"routinely/shared/trace"
)

// maxCallbackID is the length of the longest id of a callback, in bytes.
const maxCallbackID = 128

// Callback is the news that a job has ended, on its way to the URL that its request names.
type Callback struct {
	// ID is the id that the receiver knows the event by: the same in every attempt and copy.
	ID string `json:"id"`
	// JobID is that of the job, Caller is whose receiver is told, Round is that of the job's end.
	JobID  string `json:"jobId"`
	Caller string `json:"caller,omitempty"`
	Round  int    `json:"round"`
	// URL is where the event goes. Its query may hold a secret.
	URL string `json:"url"`
	// Event is the event as JSON.
	Event json.RawMessage `json:"event"`
	// Trace is the span of the job; empty is none.
	Trace trace.Parent `json:"traceparent,omitempty"`
	// CreatedAt is when the job ended.
	CreatedAt time.Time `json:"createdAt"`
	// Attempt is the number of the attempt to make, counted from 1; of a callback that was given up that of the last one.
	Attempt int `json:"attempt"`
	// LastStatus is the HTTP status of the latest attempt's answer; 0 without one.
	LastStatus int `json:"lastStatus,omitempty"`
	// GivenUp means that no other attempt is made. Without it a callback on the dead-letter queue is one that its trigger did not deliver.
	GivenUp bool `json:"givenUp,omitempty"`
}

// SendCallback puts a callback on its queue, to be seen after delay. It clears GivenUp. What Send says of errors holds here too.
func (c *Client) SendCallback(ctx context.Context, one Callback, delay time.Duration) error {
	one.GivenUp = false
	return c.sendCallback(ctx, c.cfg.CallbackQueue, one, delay)
}

// GiveUpCallback puts a callback on the dead-letter queue, where the janitor finds it and tells the job.
func (c *Client) GiveUpCallback(ctx context.Context, one Callback) error {
	one.GivenUp = true
	return c.sendCallback(ctx, c.cfg.DeadLetterQueue, one, 0)
}

func (c *Client) sendCallback(ctx context.Context, queue string, one Callback, delay time.Duration) error {
	body, err := c.cfg.Keys.sealed(TypeCallback, one, func(data []byte, s seal) (string, error) {
		return encodeEvent(TypeCallback, fmt.Sprintf("%s/%d", one.ID, one.Attempt), one.JobID, one.CreatedAt, data, s)
	})
	if err != nil {
		return err
	}
	return c.send(ctx, queue, outgoing{body, normalPriority}, delay)
}

// check says what a callback lacks that everybody relies on.
func (c Callback) check() error {
	switch {
	case c.ID == "" || len(c.ID) > maxCallbackID:
		return fmt.Errorf("not a %s: id must have 1 to %d bytes", TypeCallback, maxCallbackID)
	case c.JobID == "" || len(c.JobID) > maxJobID:
		return fmt.Errorf("not a %s: jobId must have 1 to %d bytes", TypeCallback, maxJobID)
	case c.URL == "" || len(c.Event) == 0 || !inRange(c.Attempt, 1) || !inRange(c.Round, 0):
		return fmt.Errorf("not a %s: url, event, attempt and round are required", TypeCallback)
	case c.CreatedAt.IsZero() || !writable(c.CreatedAt):
		return fmt.Errorf("not a %s: createdAt is required", TypeCallback)
	}
	return nil
}
