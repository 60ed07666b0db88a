package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"routinely/shared/routine"
)

// TypeCallback is the type of a message that holds a Callback.
const TypeCallback = "routinely.callback.v1"

// maxCallbackID is the length of the longest id of a callback, in bytes.
const maxCallbackID = 128

// Callback is the news that a job has ended, on its way to the URL that its request names.
type Callback struct {
	// ID is the id that the receiver knows the event by: the same in every attempt, copy and redrive.
	ID string `json:"id"`
	// JobID and Caller are those of the job.
	JobID  string `json:"jobId"`
	Caller string `json:"caller,omitempty"`
	// URL is where the event goes. Its query may hold a secret.
	URL string `json:"url"`
	// Event is the event as JSON.
	Event json.RawMessage `json:"event"`
	// CreatedAt is when the job ended.
	CreatedAt time.Time `json:"createdAt"`
	// Attempt is the number of the attempt to make, counted from 1.
	Attempt int `json:"attempt"`
	// Redriven is how often the callback was taken back from the dead letters.
	Redriven int `json:"redriven,omitempty"`
	// Failures are the attempts so far, oldest first; of many, the first and the latest.
	Failures []routine.Attempt `json:"failures,omitempty"`
}

// Fail appends a failed attempt to the history, which stays bounded.
func (c *Callback) Fail(a routine.Attempt) { c.Failures = remember(c.Failures, a) }

// Encode returns the message body.
func (c Callback) Encode() ([]byte, error) {
	return encode(TypeCallback, fmt.Sprintf("%s/%d.%d", c.ID, c.Redriven, c.Attempt), c.ID, c.CreatedAt, c)
}

// SendCallback puts a callback on its queue, to be seen after delay. What is said of Send holds here too.
func (c *Client) SendCallback(ctx context.Context, one Callback, delay time.Duration) error {
	body, err := one.Encode()
	if err != nil {
		return err
	}
	return c.send(ctx, c.cfg.CallbackQueue, string(body), delay)
}

// CallbackDelivery is one message as the trigger of the callbacks delivered it.
type CallbackDelivery struct {
	// MessageID is MNS's id, empty when the trigger did not say.
	MessageID string
	// Body is the message as it was received, byte for byte.
	Body []byte
	// Callback is what is in it. It is not valid when Err is set.
	Callback Callback
	// Err says why there is no callback in the message.
	Err error
}

// DecodeCallbacks finds the messages in a trigger's event, in all the shapes that Decode knows. It never fails: what it cannot
// read is a delivery with Err.
func DecodeCallbacks(eventText []byte) []CallbackDelivery {
	var out []CallbackDelivery
	for _, m := range unwrap(eventText) {
		d := CallbackDelivery{MessageID: m.id, Body: m.body}
		d.Callback, d.Err = readCallback(m.body)
		out = append(out, d)
	}
	return out
}

func readCallback(body []byte) (Callback, error) {
	var message struct {
		Type string   `json:"type"`
		Data Callback `json:"data"`
	}
	if err := json.Unmarshal(plain(body), &message); err != nil || message.Type != TypeCallback {
		return Callback{}, fmt.Errorf("not a %s", TypeCallback)
	}
	return message.Data, message.Data.check()
}

// check says what a callback lacks that everybody relies on.
func (c Callback) check() error {
	switch {
	case c.ID == "" || len(c.ID) > maxCallbackID:
		return fmt.Errorf("not a %s: id must have 1 to %d bytes", TypeCallback, maxCallbackID)
	case c.JobID == "" || len(c.JobID) > maxJobID:
		return fmt.Errorf("not a %s: jobId must have 1 to %d bytes", TypeCallback, maxJobID)
	case c.URL == "" || len(c.Event) == 0 || c.Attempt < 1 || c.Redriven < 0:
		return fmt.Errorf("not a %s: url, event and attempt are required", TypeCallback)
	case c.CreatedAt.IsZero() || !writable(c.CreatedAt):
		return fmt.Errorf("not a %s: createdAt is required", TypeCallback)
	}
	return nil
}
