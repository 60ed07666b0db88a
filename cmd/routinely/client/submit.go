package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

// Keyed is a request with the key under which it may be sent more than once.
type Keyed struct {
	routine.Request
	// Key is the idempotency key.
	Key string
}

// MarshalJSON writes the request with one member more, idempotencyKey.
func (k Keyed) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(k.Request)
	if err != nil || k.Key == "" {
		return text, err
	}
	key, err := json.Marshal(k.Key)
	text = append(bytes.TrimSuffix(text, []byte("}")), `,"idempotencyKey":`...)
	return append(append(text, key...), '}'), err
}

// Submit asks for one routine. A replayed job was there before under the key.
func (c *Client) Submit(ctx context.Context, k Keyed) (job routine.Job, replayed bool, err error) {
	body, err := json.Marshal(k.Request)
	if err != nil {
		return routine.Job{}, false, err
	}
	do := call{method: http.MethodPost, path: routinesPath, body: body, header: map[string]string{"Idempotency-Key": k.Key}}
	got, err := c.get(ctx, do, &job)
	return job, got.header.Get("Idempotency-Replayed") == "true", err
}

// SubmitAll asks for many routines, in as few batches as possible, and returns a verdict for each, in their order. What
// was not accepted is sent again, like a batch whose answer was lost: all requests must have keys. settled is told how many
// have a verdict that stands. After an error the verdicts of requests that were not reached have no status.
func (c *Client) SubmitAll(ctx context.Context, requests []Keyed, settled func(count int)) ([]api.Verdict, error) {
	verdicts := make([]api.Verdict, len(requests))
	texts := make([]json.RawMessage, len(requests))
	for i, k := range requests {
		text, err := json.Marshal(k)
		if err != nil {
			return verdicts, err
		}
		texts[i] = text
	}
	for from := 0; from < len(texts); {
		to := chunkEnd(texts, from)
		err := c.submitChunk(ctx, texts[from:to], verdicts[from:to])
		for i := from; i < to; i++ {
			verdicts[i].Index = i
		}
		if err != nil {
			return verdicts, err
		}
		settled(to)
		from = to
	}
	return verdicts, nil
}

// chunkEnd returns how far the batch that begins at from may go.
func chunkEnd(texts []json.RawMessage, from int) int {
	size := len("[]")
	for i := from; i < len(texts); i++ {
		size += len(texts[i]) + len(",")
		if i-from == api.MaxBatch || (size > api.MaxBatchBytes && i > from) {
			return i
		}
	}
	return len(texts)
}

// submitChunk sends one batch, and what has failed of it again, and fills in the verdicts.
func (c *Client) submitChunk(ctx context.Context, texts []json.RawMessage, verdicts []api.Verdict) error {
	left := make([]int, len(texts))
	for i := range left {
		left[i] = i
	}
	return c.again(ctx, func(ctx context.Context) error {
		list := make([]json.RawMessage, len(left))
		for i, at := range left {
			list[i] = texts[at]
		}
		got, after, err := c.batch(ctx, list)
		if err != nil {
			return err
		}
		var failed []int
		for i, v := range got.Items {
			verdicts[left[i]] = v
			if v.Status == api.Failed {
				failed = append(failed, left[i])
			}
		}
		left = failed
		return unaccepted(len(left), len(texts), after)
	})
}

// unaccepted is the fault of a batch of which some requests have failed.
func unaccepted(left, all int, after time.Duration) error {
	if left == 0 {
		return nil
	}
	return &fault.Error{
		Kind: fault.Unavailable, Step: "POST /v1/routines:batch", Code: "NotAccepted", RetryAfter: after,
		Message: fmt.Sprintf("%d of %d requests were not accepted", left, all),
		Hint:    "Send them again later: under the same idempotency keys nothing is done twice.",
	}
}

// batch sends one and checks that the answer is about all its items.
func (c *Client) batch(ctx context.Context, list []json.RawMessage) (got api.BatchResult, after time.Duration, err error) {
	do := call{
		method: http.MethodPost, path: routinesPath + ":batch", body: joined(list),
		also: []int{http.StatusUnprocessableEntity, http.StatusServiceUnavailable},
	}
	a, err := c.once(ctx, do)
	if err != nil {
		return got, 0, err
	}
	if err := a.into(do, &got); err != nil {
		return got, 0, err
	}
	if len(got.Items) != len(list) {
		return got, 0, foreign(do, a, fmt.Sprintf("the answer has %d verdicts about %d requests", len(got.Items), len(list)))
	}
	return got, retry.After(a.header, time.Now()), nil
}

func joined(list []json.RawMessage) []byte {
	parts := make([][]byte, len(list))
	for i, text := range list {
		parts[i] = text
	}
	return append(append([]byte("["), bytes.Join(parts, []byte(","))...), ']')
}
