// Package clock gives the local servers their time, so that a test or a script can move it by hours without waiting.
//
// A server asks its Clock instead of package time: System for daily use, Manual where time is a parameter. It is not for
// measuring how long something took.
package clock

import (
	"slices"
	"sync"
	"time"
)

// Clock tells the time and calls back later.
type Clock interface {
	// Now is the current time.
	Now() time.Time
	// AfterFunc calls f in its own goroutine (System) or inside Advance (Manual) once d has passed. A d of zero or
	// less is due at once.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a pending call of AfterFunc.
type Timer interface {
	// Stop prevents the call and reports whether it did: false means that it was made or stopped already.
	Stop() bool
}

// System is the machine's own clock.
func System() Clock { return system{} }

type system struct{}

func (system) Now() time.Time { return time.Now() }

func (system) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }

// Manual is a clock that stands still until it is advanced and never goes back. It is safe for concurrent use.
type Manual struct {
	mu      sync.Mutex
	changed sync.Cond
	now     time.Time
	// pending are the calls to come, in the order of their times.
	pending []*manualTimer
}

type manualTimer struct {
	clock *Manual
	due   time.Time
	call  func()
}

// NewManual returns a clock that shows start.
func NewManual(start time.Time) *Manual {
	m := &Manual{now: start}
	m.changed.L = &m.mu
	return m
}

// Now is the time the clock was last advanced to.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// AfterFunc arranges for f to be called by the Advance that reaches d from now; due at once, it is called before AfterFunc
// returns.
func (m *Manual) AfterFunc(d time.Duration, f func()) Timer {
	if d <= 0 {
		f()
		return &manualTimer{clock: m}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &manualTimer{clock: m, due: m.now.Add(d), call: f}
	m.pending = append(m.pending, t)
	slices.SortStableFunc(m.pending, func(a, b *manualTimer) int { return a.due.Compare(b.due) })
	m.changed.Broadcast()
	return t
}

// Await returns once at least n calls of AfterFunc are pending. A test calls it before Advance, so that what it wants to
// see time out has begun.
func (m *Manual) Await(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.pending) < n {
		m.changed.Wait()
	}
}

// Advance moves the clock forward by d and makes the calls that fall due, in the order of their times, each while the clock
// shows its time. A negative d changes nothing. Of several advances at once each reaches its own end and the latest stays.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	end := m.now.Add(d)
	for len(m.pending) > 0 && !m.pending[0].due.After(end) {
		next := m.pending[0]
		m.pending = m.pending[1:]
		m.reach(next.due)
		m.mu.Unlock()
		next.call()
		m.mu.Lock()
	}
	m.reach(end)
	m.mu.Unlock()
}

// reach moves the clock to t unless another advance, made meanwhile, is past it. The caller holds the lock.
func (m *Manual) reach(t time.Time) {
	if t.After(m.now) {
		m.now = t
	}
}

// Stop implements Timer.
func (t *manualTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	i := slices.Index(t.clock.pending, t)
	if i >= 0 {
		t.clock.pending = slices.Delete(t.clock.pending, i, i+1)
	}
	return i >= 0
}
