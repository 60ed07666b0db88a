package fcemu

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// Source says who asked for an invocation.
type Source string

// The sources of invocations.
const (
	// Sync is Invoke or the API.
	Sync Source = "sync"
	// Async is the API with X-Fc-Invocation-Type: Async.
	Async Source = "async"
	// Timer is a timer trigger; its invocations are asynchronous too.
	Timer Source = "timer"
	// HTTPTrigger is a request to Server.HTTP.
	HTTPTrigger Source = "http"
	// Queue is a queue trigger.
	Queue Source = "queue"
	// Duplicate is the second delivery of an event, made by a fault.
	Duplicate Source = "duplicate"
)

// Invocation is what became of one event.
type Invocation struct {
	// Function is the function's name, RequestID the platform's id of this attempt, Source who asked.
	Function  string
	RequestID string
	Source    Source
	// EventBytes is the size of the event.
	EventBytes int
	// Result is what the function answered; after an error it is the body that a caller gets.
	Result []byte
	// Err is nil when the function answered without an error.
	Err *Error
	// Started is when an instance was asked for; Duration includes the wait for it and its start.
	Started  time.Time
	Duration time.Duration
	// Retry is 0 for the first attempt with an event.
	Retry int
	// ColdStart reports that an instance was started for the event. InstanceID is empty when none got it.
	ColdStart  bool
	InstanceID string
}

// order is a request for an invocation.
type order struct {
	source Source
	event  []byte
	retry  int
	// requestID is made by invoke when empty.
	requestID string
	// wait is how long to wait for an instance when all are busy; none refuses at once.
	wait time.Duration
	// cap shortens the function's timeout; 0 leaves it.
	cap time.Duration
}

// Invoke runs a function once with an event of at most 32 MB and returns its result, like a synchronous InvokeFunction: nothing is
// retried, and over the function's instance limit the call is refused at once. The error is an *Error when the platform or the
// function failed; the Invocation is filled in either way. When ctx ends first its error is returned and the function goes on.
func (s *Server) Invoke(ctx context.Context, function string, event []byte) (Invocation, error) {
	return s.invoke(ctx, function, order{source: Sync, event: event})
}

func (s *Server) invoke(ctx context.Context, name string, o order) (Invocation, error) {
	o.requestID = cmp.Or(o.requestID, newID("1"))
	refused := Invocation{Function: name, RequestID: o.requestID, Source: o.source, EventBytes: len(o.event), Retry: o.retry}
	f := s.functions[name]
	switch {
	case f == nil:
		return refused.failed(notFoundError(name))
	case len(o.event) > payloadLimit:
		return refused.failed(tooLargeError(payloadLimit))
	}
	done := make(chan Invocation, 1)
	if !s.begin(func() { done <- f.execute(ctx, o) }) {
		return refused.failed(stoppedError())
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

func (i Invocation) failed(err *Error) (Invocation, error) {
	i.Err, i.Result = err, err.Body()
	return i, err
}

// execute runs one event and records it. Once an instance has the event, ctx no longer matters: FC does not stop a function when
// its caller goes away.
func (f *function) execute(ctx context.Context, o order) Invocation {
	s := f.server
	fault := s.faults.pick(f.config.Name, o.source)
	got := Invocation{
		Function: f.config.Name, RequestID: o.requestID, Source: o.source, EventBytes: len(o.event), Started: s.clock.Now(),
		Retry: o.retry,
	}
	if fault.Kind == Delay {
		s.sleep(ctx, time.Duration(fault.DelayMillis)*time.Millisecond, nil)
	}
	in, result, failed := f.attempt(ctx, o, fault.Kind, &got)
	got.Result, got.Err, got.Duration = result, failed, s.clock.Now().Sub(got.Started)
	if in != nil {
		got.InstanceID = in.id
	}
	if failed != nil {
		got.Result = failed.Body()
	}
	s.record(got)
	if in != nil {
		f.release(in)
	}
	if fault.Kind == DuplicateDelivery {
		again := order{source: Duplicate, event: o.event, requestID: newID("1"), cap: o.cap, wait: f.timeout(o.cap)}
		s.work.Go(func() { f.execute(context.WithoutCancel(ctx), again) })
	}
	return got
}

// attempt finds an instance and gives it the event. A warm instance that turns out to be dead is replaced: the event never reached
// it.
func (f *function) attempt(ctx context.Context, o order, fault FaultKind, got *Invocation) (*instance, []byte, *Error) {
	for {
		in, cold, failed := f.acquire(ctx, o.wait)
		got.ColdStart = cold
		if failed != nil {
			return nil, nil, failed
		}
		c := newCall(o.requestID, o.event)
		c.fault = fault
		if o.source == Async || o.source == Timer {
			c.retry = o.retry
		}
		result, failed := in.run(c, f.timeout(o.cap))
		if failed != nil && failed.Kind == Exited && !c.taken && !cold {
			continue
		}
		return in, result, failed
	}
}

// timeout is the function's, at most limit unless that is 0.
func (f *function) timeout(limit time.Duration) time.Duration {
	if limit > 0 {
		return min(f.config.Timeout, limit)
	}
	return f.config.Timeout
}

// record counts and shows an invocation.
func (s *Server) record(i Invocation) {
	s.journal.add(i)
	if s.config.OnInvocation != nil {
		s.config.OnInvocation(i)
	}
}

// asError finds the platform's error in err.
func asError(err error) (*Error, bool) {
	var failed *Error
	ok := errors.As(err, &failed)
	return failed, ok
}
