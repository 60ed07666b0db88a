package esaemu

import (
	"context"
	"errors"
	"sync"
	"time"

	"routinely/deploy/local/clock"
)

// lock is the account's: one routine write at a time.
type lock struct {
	clock clock.Clock
	// place holds one element while the lock is taken. A foreign caller waits to put its element in; a write never waits.
	place chan struct{}
	// stopped ends all waiting, so that the server can close.
	stopped chan struct{}

	mu sync.Mutex
	// foreign ends the hold of a caller who is no client of this server; nil before the first.
	foreign clock.Timer
	ended   bool
}

func newLock(c clock.Clock) *lock {
	return &lock{clock: c, place: make(chan struct{}, 1), stopped: make(chan struct{})}
}

func (l *lock) try() bool {
	select {
	case l.place <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l *lock) release() { <-l.place }

func (l *lock) taken() bool { return len(l.place) > 0 }

// pause returns after d, or when the server stops.
func (l *lock) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	passed := make(chan struct{})
	timer := l.clock.AfterFunc(d, func() { close(passed) })
	defer timer.Stop()
	select {
	case <-passed:
	case <-l.stopped:
	}
}

// hold takes the lock for a foreign caller once it is free and gives it back after d.
func (l *lock) hold(ctx context.Context, d time.Duration) error {
	select {
	case l.place <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.stopped:
		return errors.New("the server is stopping")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended { // the place was free too, and nobody would end this hold
		l.release()
		return errors.New("the server is stopping")
	}
	l.foreign = l.clock.AfterFunc(d, l.release)
	return nil
}

// endHold takes the lock back from a foreign caller, if one has it.
func (l *lock) endHold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.foreign != nil && l.foreign.Stop() {
		l.release()
	}
}

// end stops all waiting for good.
func (l *lock) end() {
	l.mu.Lock()
	if !l.ended {
		close(l.stopped)
	}
	l.ended = true
	l.mu.Unlock()
	l.endHold()
}
