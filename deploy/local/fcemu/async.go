package fcemu

import (
	"cmp"
	"context"
	"time"
)

const (
	// asyncLimit bounds events of asynchronous invocations. (FC limits: 128 KB.)
	asyncLimit = 128 << 10
	// The platform's defaults of AsyncConfig. (fc3 schema, asyncInvokeConfig.)
	defaultAsyncRetries = 3
	defaultAsyncAge     = 5 * time.Hour
	// asyncFirst is the wait before the first retry; each further one is twice as long. (FC error handling.)
	asyncFirst = 500 * time.Millisecond
)

// AsyncConfig is what FC's asyncInvokeConfig says about events that fail or find every instance busy.
type AsyncConfig struct {
	// MaxRetryAttempts is how often an event is tried again after an error of the function. Attempts that found every
	// instance busy do not count.
	MaxRetryAttempts int
	// MaxEventAge is how long after its acceptance an event is tried again; 0 means five hours.
	MaxEventAge time.Duration
}

// complete returns a copy with the defaults filled in.
func (c *AsyncConfig) complete() *AsyncConfig {
	if c == nil {
		return &AsyncConfig{MaxRetryAttempts: defaultAsyncRetries, MaxEventAge: defaultAsyncAge}
	}
	return &AsyncConfig{MaxRetryAttempts: c.MaxRetryAttempts, MaxEventAge: cmp.Or(c.MaxEventAge, defaultAsyncAge)}
}

// invokeAsync accepts an event and works on it in the background until it succeeds, is given up or the server stops.
func (s *Server) invokeAsync(name string, o order) *Error {
	f := s.functions[name]
	if f == nil {
		return notFoundError(name)
	}
	expires := s.clock.Now().Add(f.config.Async.MaxEventAge)
	if !s.begin(func() { f.executeAsync(o, expires) }) {
		return stoppedError()
	}
	return nil
}

// executeAsync tries until the function answers or the event is given up.
func (f *function) executeAsync(o order, expires time.Time) {
	ctx, errorsLeft := context.Background(), f.config.Async.MaxRetryAttempts
	for pause := asyncFirst; ; pause *= 2 {
		failed := f.execute(ctx, o).Err
		if failed == nil {
			return
		}
		if failed.Kind != Throttled {
			errorsLeft--
		}
		wait := min(pause, expires.Sub(f.server.clock.Now()))
		if errorsLeft < 0 || !f.server.await(ctx, f.server.after(wait)) || wait < pause {
			f.server.log.Warn("asynchronous event dropped", "function", f.config.Name, "request", o.requestID, "error", failed)
			return
		}
		o.retry++
	}
}
