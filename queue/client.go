// Package queue is the one door to MNS (protocol 2015-06-06): the Envelope that dispatches a job, sending it, decoding what the
// trigger delivers, the trigger's dead letters, and the callbacks with the news of a job's end.
//
// It closes the traps of the official SDK: any endpoint works, a context's deadline bounds each call, there are no hidden
// retries and no throttle that stalls callers, and every failure is a *fault.Error with MNS's code and request id. It does
// not decide what becomes of a job.
package queue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"

	"routinely/shared/accesskey"
	"routinely/shared/config"
	"routinely/shared/fault"
)

// MaxMessageBytes is the largest body MNS takes (limits page of Simple Message Queue).
const MaxMessageBytes = 65536

// MaxDelay is the longest delay MNS takes for a message (SendMessage page).
const MaxDelay = 7 * 24 * time.Hour

// Config is what a Client needs.
type Config struct {
	// Endpoint is the account's MNS address, an http or https URL without a path. Required.
	Endpoint string
	// Queue, DeadLetterQueue and CallbackQueue are queue names. Required.
	Queue, DeadLetterQueue, CallbackQueue string
	// Credentials is where the key of each call comes from. Required.
	Credentials accesskey.Source
	// Keys seal and verify messages. A client without any can make the queues, and nothing else: it sends nothing, and no message of ours is
	// valid to it.
	Keys Keys
	// Timeout bounds each call that does not wait for messages. Required.
	Timeout time.Duration
}

// Client sends jobs and callbacks, and reads the dead-letter queue. It is safe for concurrent use.
type Client struct {
	cfg Config
	// sdk is made for the first call: to make it takes a twentieth of a cold start.
	sdk  func() mns.MNSClient
	wire *wire
}

// Open returns the client of a deployment. keys are as ParseKeys reads them; without any the client can only make the queues. It makes no call;
// the error says which setting is wrong.
func Open(cfg config.Queue, prefix config.Prefix, keys config.Secret, credentials accesskey.Source) (*Client, error) {
	var parsed Keys
	if keys != "" {
		var err error
		if parsed, err = ParseKeys(keys.Reveal()); err != nil {
			return nil, fmt.Errorf("ROUTINELY_MESSAGE_KEYS: %w", err)
		}
	}
	return New(Config{
		Endpoint: cfg.Endpoint, Queue: prefix.JobQueue(), DeadLetterQueue: prefix.DeadLetterQueue(), CallbackQueue: prefix.CallbackQueue(),
		Credentials: credentials, Keys: parsed, Timeout: cfg.Timeout,
	})
}

const maxQueueName = 120

// isQueueName is MNS's rule for names (limits page), which the SDK does not check before it builds a URL of them.
func isQueueName(name string) bool {
	if name == "" || len(name) > maxQueueName || name[0] == '-' {
		return false
	}
	for _, c := range []byte(name) {
		letter := (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
		if c != '-' && !letter && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func (c Config) checkNames() error {
	names := []string{c.Queue, c.DeadLetterQueue, c.CallbackQueue}
	for i, name := range names {
		if !isQueueName(name) {
			return fmt.Errorf("queue name %q: want 1 to 120 letters, digits and hyphens, no hyphen first", name)
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("queue %q: jobs, dead letters and callbacks need queues of their own", name)
		}
	}
	return nil
}

// New checks the configuration and returns a client. It makes no call.
func New(cfg Config) (*Client, error) {
	if err := cfg.checkNames(); err != nil {
		return nil, err
	}
	if cfg.Credentials == nil || cfg.Timeout <= 0 {
		return nil, errors.New("mns: credentials and a timeout are required")
	}
	w, err := newWire(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, sdk: sync.OnceValue(func() mns.MNSClient { return w.client(cfg.Credentials) }), wire: w}, nil
}

// Keys are those that the client was made with.
func (c *Client) Keys() Keys { return c.cfg.Keys }

// Close drops the idle connections.
func (c *Client) Close() { c.wire.closeIdle() }

// Send puts a job on the queue, to be seen after delay (whole seconds are sent, rounded up; at most MaxDelay). It returns
// nil only once MNS has confirmed the message. After a fault whose outcome is unknown the message may be there all the same:
// jobs are told apart by their id, so sending again is safe.
func (c *Client) Send(ctx context.Context, e Envelope, delay time.Duration) error {
	body, err := c.cfg.Keys.Seal(e)
	if err != nil {
		return err
	}
	return c.send(ctx, c.cfg.Queue, outgoing{body, e.priority()}, delay)
}

// outgoing is a message to be sent.
type outgoing struct {
	body     string
	priority int64
}

func (o outgoing) request() mns.MessageSendRequest {
	return mns.MessageSendRequest{MessageBody: o.body, Priority: o.priority}
}

func (c *Client) send(ctx context.Context, queue string, o outgoing, delay time.Duration) error {
	o.body = carried(o.body)
	if len(o.body) > MaxMessageBytes {
		return tooLarge(len(o.body), MaxMessageBytes)
	}
	message := o.request()
	message.DelaySeconds = int64(math.Ceil(min(max(delay, 0), MaxDelay).Seconds()))
	return c.call(ctx, stepSend, queue, c.cfg.Timeout, func(q mns.AliMNSQueue) error {
		answer, err := q.SendMessage(message)
		if err == nil && answer.MessageId == "" {
			return unusable("no MessageId in the answer")
		}
		return err
	})
}

const stepSend = "SendMessage"

// tooLarge is the fault of a body that is too long.
func tooLarge(size, most int) error {
	return &fault.Error{
		Kind: fault.Invalid, Step: stepSend, Code: "MessageTooLarge",
		Message: fmt.Sprintf("the message has %d bytes, at most %d are possible", size, most),
		Hint:    "Shorten the description.",
	}
}

// call runs one SDK call on a queue. A queue object is made for each call, because the SDK's is not safe for concurrent use,
// with its request counter's limit out of reach: past the limit it would make callers sleep for seconds.
func (c *Client) call(ctx context.Context, step, queue string, limit time.Duration, do func(mns.AliMNSQueue) error) error {
	return c.bounded(ctx, step, queue, limit, func(sdk *call) error { return do(queueOf(queue, sdk)) })
}

func queueOf(name string, sdk *call) mns.AliMNSQueue {
	return mns.NewMNSQueue(name, sdk, math.MaxInt32)
}

// bounded runs one SDK call under a time limit and classifies its failure.
func (c *Client) bounded(ctx context.Context, step, queue string, limit time.Duration, do func(*call) error) error {
	if err := ctx.Err(); err != nil {
		return classify(step, queue, err)
	}
	deadline := time.Now().Add(limit)
	if earlier, ok := ctx.Deadline(); ok && earlier.Before(deadline) {
		deadline = earlier
	}
	run := func() error {
		return c.cfg.Credentials.Call(func() error { return do(&call{MNSClient: c.sdk(), wire: c.wire, deadline: deadline}) })
	}
	if ctx.Done() == nil {
		return classify(step, queue, run())
	}
	// The SDK knows no context. The wire bounds its socket by the deadline, so the goroutine of a cancelled call ends by
	// then at the latest.
	done := make(chan error, 1)
	go func() { done <- run() }()
	select {
	case err := <-done:
		return classify(step, queue, err)
	case <-ctx.Done():
		return classify(step, queue, ctx.Err())
	}
}
