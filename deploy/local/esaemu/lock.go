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
	stop    sync.Once

	mu      sync.Mutex
	foreign *foreignHold
}

// foreignHold is the lock in the hands of somebody who is no client of this server.
type foreignHold struct {
	timer   clock.Timer
	release sync.Once
}

// errStopping is what a foreign caller gets who comes too late.
var errStopping = errors.New("the server is stopping")

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
		return errStopping
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.stopped:
		// The place was free too, and a stopped server has no use for a hold that nobody ends.
		l.release()
		return errStopping
	default:
	}
	h := &foreignHold{}
	h.timer = l.clock.AfterFunc(d, func() { h.release.Do(l.release) })
	l.foreign = h
	return nil
}

// endHold takes the lock back from a foreign caller, if one has it.
func (l *lock) endHold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.foreign == nil {
		return
	}
	l.foreign.timer.Stop()
	l.foreign.release.Do(l.release)
	l.foreign = nil
}

// end stops all waiting for good.
func (l *lock) end() {
	l.stop.Do(func() { close(l.stopped) })
	l.endHold()
}

// pace makes a write take the latency as a whole: the timer's lateness and the commit, which follow the pause, are part of it.
// It learns how long they take, and never shortens a pause by more than a quarter.
type pace struct {
	overhead time.Duration
}

// pause is how long to wait before the work of a write that shall take latency.
func (p *pace) pause(latency time.Duration) time.Duration {
	return latency - min(p.overhead, latency/4)
}

// took tells how long the write took from the lock to the disk.
func (p *pace) took(latency, whole time.Duration) {
	const weight = 8 // of the past against one write
	over := min(max(whole-p.pause(latency), 0), latency/4)
	p.overhead += (over - p.overhead) / weight
}
