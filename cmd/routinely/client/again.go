package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"routinely/shared/fault"
)

const (
	// tries is how often a call is made at most; with the pauses below that takes a quarter of a minute.
	tries = 6
	// pauseBase is the upper end of the first pause, which doubles up to pauseCap.
	pauseBase = 500 * time.Millisecond
	pauseCap  = 8 * time.Second
	// patience is the longest Retry-After that is waited for.
	patience = time.Minute
)

// again makes an attempt until it succeeds, fails for good, or was made often enough.
func (c *Client) again(ctx context.Context, attempt func(context.Context) error) error {
	for try := 1; ; try++ {
		err := attempt(ctx)
		if err == nil || try == tries || !mayRepeat(err) {
			return err
		}
		if err := c.rest(ctx, err, try); err != nil {
			return err
		}
	}
}

// rest waits before another try.
func (c *Client) rest(ctx context.Context, failed error, try int) error {
	d := rand.N(min(pauseBase<<(try-1), pauseCap)) + 1
	d = max(d, fault.From(failed).RetryAfter)
	c.cfg.Repeating(failed, d)
	return c.cfg.Pause(ctx, d)
}

// mayRepeat reports whether the same call can succeed in a moment.
func mayRepeat(err error) bool {
	var failed *fault.Error
	if !errors.As(err, &failed) || failed.RetryAfter > patience {
		return false
	}
	var refused *Refusal
	if errors.As(err, &refused) && refused.Retryable {
		return true
	}
	return failed.Kind == fault.Unavailable || failed.Kind == fault.Throttled
}
