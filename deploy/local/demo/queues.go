package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"routinely/deploy/local/stack"
)

// letter is a dead letter as its JSON says.
type letter struct {
	JobID     string `json:"jobId"`
	Kind      string `json:"kind"`
	Code      string `json:"code"`
	RequestID string `json:"requestId"`
	Step      string `json:"step"`
	Hint      string `json:"hint"`
	Attempts  []struct {
		Kind string `json:"kind"`
	} `json:"attempts"`
	Received struct {
		MessageID string `json:"messageId"`
		Encoding  string `json:"encoding"`
		Body      string `json:"body"`
	} `json:"received"`

	// raw is the message, for one that is no dead letter.
	raw string
}

// typeDeadLetter is the CloudEvents type of a dead letter.
const typeDeadLetter = "routinely.dead-letter.v1"

func readLetter(body string) letter {
	var event struct {
		Type string `json:"type"`
		Data letter `json:"data"`
	}
	if err := json.Unmarshal([]byte(body), &event); err != nil || event.Type != typeDeadLetter {
		return letter{raw: body}
	}
	return event.Data
}

// queues looks at the queues of the local MNS without touching them.
type queues struct {
	mns  string
	http *http.Client
}

// left is how many messages are on the job queue, those the worker has and delayed ones included.
func (q queues) left(ctx context.Context) (int, error) {
	var list []struct {
		Name             string `json:"name"`
		ActiveMessages   int    `json:"activeMessages"`
		InactiveMessages int    `json:"inactiveMessages"`
		DelayMessages    int    `json:"delayMessages"`
	}
	if err := q.get(ctx, "/_local/queues", &list); err != nil {
		return 0, err
	}
	for _, queue := range list {
		if queue.Name == stack.Queue {
			return queue.ActiveMessages + queue.InactiveMessages + queue.DelayMessages, nil
		}
	}
	return 0, fmt.Errorf("MNS has no queue %s", stack.Queue)
}

// letters are the dead letters, oldest first.
func (q queues) letters(ctx context.Context) ([]letter, error) {
	var messages []struct {
		Body string `json:"body"`
	}
	if err := q.get(ctx, "/_local/queues/"+stack.DeadLetterQueue+"/messages", &messages); err != nil {
		return nil, err
	}
	out := make([]letter, 0, len(messages))
	for _, m := range messages {
		out = append(out, readLetter(m.Body))
	}
	return out, nil
}

func (q queues) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, q.mns+path, http.NoBody)
	if err != nil {
		return err
	}
	res, err := q.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}
