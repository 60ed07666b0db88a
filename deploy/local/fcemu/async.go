package fcemu

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

const (
	// asyncLimit bounds events of asynchronous invocations. (FC limits: 128 KB.)
	asyncLimit = 128 << 10
	// The platform's defaults and bounds of AsyncConfig. (fc3 schema, asyncInvokeConfig.)
	defaultAsyncRetries = 3
	maxAsyncRetries     = 8
	defaultAsyncAge     = 5 * time.Hour
	maxAsyncAge         = 30 * 24 * time.Hour
	// asyncFirst is the wait before the first retry; each further one is twice as long. (FC error handling.)
	asyncFirst = 500 * time.Millisecond
)

// AsyncConfig is what FC's asyncInvokeConfig says about events that fail or find every instance busy.
type AsyncConfig struct {
	// MaxRetryAttempts is how often an event is tried again after an error of the function, 0 to 8. Attempts that found every
	// instance busy do not count.
	MaxRetryAttempts int
	// MaxEventAge is how long after its acceptance an event is tried again, whole seconds, 1 s to 30 days; 0 means five hours.
	MaxEventAge time.Duration
}

// complete returns a copy with the defaults filled in.
func (c *AsyncConfig) complete() *AsyncConfig {
	if c == nil {
		return &AsyncConfig{MaxRetryAttempts: defaultAsyncRetries, MaxEventAge: defaultAsyncAge}
	}
	return &AsyncConfig{MaxRetryAttempts: c.MaxRetryAttempts, MaxEventAge: cmp.Or(c.MaxEventAge, defaultAsyncAge)}
}

func (c *AsyncConfig) check() error {
	switch {
	case c.MaxRetryAttempts < 0 || c.MaxRetryAttempts > maxAsyncRetries:
		return fmt.Errorf("async retry attempts %d: want 0 to %d", c.MaxRetryAttempts, maxAsyncRetries)
	case c.MaxEventAge < time.Second || c.MaxEventAge > maxAsyncAge || c.MaxEventAge%time.Second != 0:
		return fmt.Errorf("async event age %v: want whole seconds from 1s to %v", c.MaxEventAge, maxAsyncAge)
	}
	return nil
}

// invokeAsync accepts an event and works on it in the background until it succeeds, is given up or the server stops: the local
// queue of asynchronous events does not survive the process. dropped, if not nil, is called with the reason when it did not succeed.
func (s *Server) invokeAsync(name string, o order, dropped func(*Error)) *Error {
	f := s.functions[name]
	if f == nil {
		return notFoundError(name)
	}
	expires := s.clock.Now().Add(f.config.Async.MaxEventAge)
	accepted := s.begin(func() {
		failed := f.executeAsync(o, expires)
		if failed == nil {
			return
		}
		s.log.Warn("asynchronous event dropped", "function", name, "source", o.source, "request", o.requestID, "error", failed)
		if dropped != nil {
			dropped(failed)
		}
	})
	if !accepted {
		return stoppedError()
	}
	return nil
}

// executeAsync returns nil once the function answered, or the error of the last attempt.
func (f *function) executeAsync(o order, expires time.Time) *Error {
	ctx, errorsLeft := context.Background(), f.config.Async.MaxRetryAttempts
	for pause := asyncFirst; ; pause *= 2 {
		failed := f.execute(ctx, o).Err
		if failed == nil || failed.Kind == Stopped {
			return failed
		}
		if failed.Kind != Throttled {
			errorsLeft--
		}
		wait := min(pause, expires.Sub(f.server.clock.Now()))
		if errorsLeft < 0 || !f.server.sleep(ctx, wait, nil) || wait < pause {
			return failed
		}
		o.retry++
	}
}
