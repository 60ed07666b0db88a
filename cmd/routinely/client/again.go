package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"routinely/shared/fault"
	"routinely/shared/retry"
)

// patience is the longest Retry-After that is waited for.
const patience = time.Minute

// schedule makes a call six times at most; the pauses take a quarter of a minute.
var schedule = retry.Policy{Base: 500 * time.Millisecond, Cap: 2 * patience, MaxAttempts: 6, MaxInternalAttempts: 6, MaxAge: time.Hour}

// again makes an attempt until it succeeds, fails for good, or was made often enough.
func (c *Client) again(ctx context.Context, attempt func(context.Context) error) error {
	err := retry.Do(ctx, c.cfg.Sleep, c.next, func() error { return attempt(ctx) })
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// next decides about another try.
func (c *Client) next(err error, made int) (pause time.Duration, again bool) {
	if !mayRepeat(err) {
		return 0, false
	}
	passing := fault.Error{Kind: fault.Unavailable, RetryAfter: fault.From(err).RetryAfter} // whatever kind its status stands for
	decision := schedule.Next(&passing, made, 0, rand.Float64())
	if decision.Again {
		c.cfg.Repeating(err, decision.Delay)
	}
	return decision.Delay, decision.Again
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
