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
	pending []*manualTimer
	order   int
}

type manualTimer struct {
	clock *Manual
	due   time.Time
	order int
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
	m.mu.Lock()
	m.order++
	t := &manualTimer{clock: m, due: m.now.Add(d), order: m.order, call: f}
	if d > 0 {
		m.pending = append(m.pending, t)
		m.changed.Broadcast()
		m.mu.Unlock()
		return t
	}
	m.mu.Unlock()
	f()
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
	for {
		next := m.nextDue(end)
		if next == nil {
			break
		}
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

// nextDue takes the earliest call that is due by end out of the list; nil when there is none. The caller holds the lock.
func (m *Manual) nextDue(end time.Time) *manualTimer {
	var next *manualTimer
	for _, t := range m.pending {
		if t.due.After(end) {
			continue
		}
		if next == nil || t.due.Before(next.due) || (t.due.Equal(next.due) && t.order < next.order) {
			next = t
		}
	}
	if next != nil {
		m.remove(next)
	}
	return next
}

func (m *Manual) remove(t *manualTimer) bool {
	i := slices.Index(m.pending, t)
	if i < 0 {
		return false
	}
	m.pending = slices.Delete(m.pending, i, i+1)
	return true
}

// Stop implements Timer.
func (t *manualTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.clock.remove(t)
}
