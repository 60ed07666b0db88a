package fcemu

import (
	"cmp"
	"context"
	"maps"
	"time"
)

// Invocation is the outcome of one attempt with an event.
type Invocation struct {
	// Function is the function's name, RequestID the platform's id of this attempt.
	Function  string
	RequestID string
	// Result is what the function answered; after an error it is the body that a caller gets.
	Result []byte
	// Err is nil when the function answered without an error.
	Err *Error
	// ColdStart reports that an instance was started for the event. InstanceID is empty when none got it.
	ColdStart  bool
	InstanceID string
}

func (i *Invocation) fail(err *Error) { i.Err, i.Result = err, err.Body() }

// order is a request for an invocation.
type order struct {
	event []byte
	// requestID is made by invoke when empty.
	requestID string
	// retry counts the attempts before this one with an asynchronous event.
	retry int
	// wait is how long to wait for an instance when all are busy; 0 refuses at once.
	wait time.Duration
	// limit shortens the function's timeout; 0 leaves it.
	limit time.Duration
}

// Invoke runs a function once with an event of at most 32 MB and returns its result, like a synchronous InvokeFunction: nothing is
// retried, and over the function's instance limit the call is refused at once. The error is an *Error when the platform or the
// function failed; the Invocation is filled in either way. When ctx ends first its error is returned and the function goes on.
func (s *Server) Invoke(ctx context.Context, function string, event []byte) (Invocation, error) {
	return s.invoke(ctx, function, order{event: event})
}

func (s *Server) invoke(ctx context.Context, name string, o order) (Invocation, error) {
	o.requestID = cmp.Or(o.requestID, newID("1"))
	refused := Invocation{Function: name, RequestID: o.requestID}
	f := s.functions[name]
	done := make(chan Invocation, 1)
	switch {
	case f == nil:
		refused.fail(notFoundError(name))
	case len(o.event) > payloadLimit:
		refused.fail(tooLargeError(payloadLimit))
	case !s.begin(func() { done <- f.execute(ctx, o) }):
		refused.fail(stoppedError())
	}
	if refused.Err != nil {
		return refused, refused.Err
	}
	select {
	case got := <-done:
		if got.Err != nil {
			return got, got.Err
		}
		return got, nil
	case <-ctx.Done():
		return refused, ctx.Err()
	}
}

// execute runs one event and records it. Once an instance has the event, ctx no longer matters: FC does not stop a function when
// its caller goes away.
func (f *function) execute(ctx context.Context, o order) Invocation {
	got := Invocation{Function: f.config.Name, RequestID: o.requestID}
	if failed := f.reserve(ctx, o.wait); failed != nil {
		got.fail(failed)
		f.server.record(got)
		return got
	}
	in, cold, failed := f.take()
	got.ColdStart = cold
	if failed == nil {
		got.InstanceID = in.id
		c := newCall(o.requestID, o.event)
		c.retry = o.retry
		got.Result, failed = in.run(c, min(f.config.Timeout, cmp.Or(o.limit, f.config.Timeout)))
	}
	if failed != nil {
		got.fail(failed)
	}
	f.release(in)
	f.server.record(got)
	return got
}

// Counters are a function's invocations since the start.
type Counters struct {
	// Invocations is all of them, also those that got no instance. ColdStarts is how many started one.
	Invocations int `json:"invocations"`
	ColdStarts  int `json:"coldStarts"`
	// Failed, Timeouts, Exits, StartFailures and Throttled are those that failed, by their Kind.
	Failed        int `json:"failed"`
	Timeouts      int `json:"timeouts"`
	Exits         int `json:"exits"`
	StartFailures int `json:"startFailures"`
	Throttled     int `json:"throttled"`
}

func (c *Counters) add(i Invocation) {
	c.Invocations++
	if i.ColdStart {
		c.ColdStarts++
	}
	if i.Err == nil {
		return
	}
	switch i.Err.Kind {
	case FunctionFailed:
		c.Failed++
	case TimedOut:
		c.Timeouts++
	case Exited:
		c.Exits++
	case StartFailed:
		c.StartFailures++
	case Throttled:
		c.Throttled++
	}
}

// record counts and shows an invocation.
func (s *Server) record(i Invocation) {
	s.mu.Lock()
	c := s.counters[i.Function]
	c.add(i)
	s.counters[i.Function] = c
	s.mu.Unlock()
	if s.config.OnInvocation != nil {
		s.config.OnInvocation(i)
	}
}

// Counters returns the counters of all functions by name.
func (s *Server) Counters() map[string]Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counters)
}
