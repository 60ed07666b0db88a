package clock_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/deploy/local/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func TestManual(t *testing.T) {
	t.Run("stands still until it is advanced", func(t *testing.T) {
		c := clock.NewManual(start())
		if got := c.Now(); !got.Equal(start()) {
			t.Errorf("before: %v, want %v", got, start())
		}
		c.Advance(90 * time.Minute)
		if got, want := c.Now(), start().Add(90*time.Minute); !got.Equal(want) {
			t.Errorf("after: %v, want %v", got, want)
		}
	})

	t.Run("makes due calls in the order of their times, each at its own time", func(t *testing.T) {
		c := clock.NewManual(start())
		var got []string
		note := func(name string) func() {
			return func() { got = append(got, name+" "+c.Now().Sub(start()).String()) }
		}
		c.AfterFunc(3*time.Second, note("third"))
		c.AfterFunc(time.Second, note("first"))
		c.AfterFunc(2*time.Second, note("second"))
		c.AfterFunc(2*time.Second, note("second again"))
		c.AfterFunc(5*time.Second, note("too late"))
		c.Advance(4 * time.Second)
		want := []string{"first 1s", "second 2s", "second again 2s", "third 3s"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})

	t.Run("makes a call that falls due within the advance that arranged it", func(t *testing.T) {
		c := clock.NewManual(start())
		var at time.Time
		c.AfterFunc(time.Second, func() { c.AfterFunc(time.Second, func() { at = c.Now() }) })
		c.Advance(10 * time.Second)
		if want := start().Add(2 * time.Second); !at.Equal(want) {
			t.Errorf("called at %v, want %v", at, want)
		}
	})

	t.Run("makes a call that is due at once before AfterFunc returns", func(t *testing.T) {
		c := clock.NewManual(start())
		for _, d := range []time.Duration{0, -time.Second} {
			called := false
			timer := c.AfterFunc(d, func() { called = true })
			if !called || timer.Stop() {
				t.Errorf("after %v: called %v, want true and nothing to stop", d, called)
			}
		}
	})

	t.Run("stops a pending call once", func(t *testing.T) {
		c := clock.NewManual(start())
		timer := c.AfterFunc(time.Second, func() { t.Error("a stopped call was made") })
		if first, second := timer.Stop(), timer.Stop(); !first || second {
			t.Errorf("Stop: %v then %v, want true then false", first, second)
		}
		c.Advance(time.Minute)
	})

	t.Run("reports that a call made already cannot be stopped", func(t *testing.T) {
		c := clock.NewManual(start())
		timer := c.AfterFunc(time.Second, func() {})
		c.Advance(time.Second)
		if timer.Stop() {
			t.Error("Stop: true, want false")
		}
	})

	t.Run("never goes back", func(t *testing.T) {
		c := clock.NewManual(start())
		c.Advance(-time.Hour)
		if got := c.Now(); !got.Equal(start()) {
			t.Errorf("after a negative advance: %v, want %v", got, start())
		}
		c.AfterFunc(time.Second, func() { c.Advance(time.Hour) })
		c.Advance(2 * time.Second)
		if got, want := c.Now(), start().Add(time.Hour+time.Second); !got.Equal(want) {
			t.Errorf("after an advance within an advance: %v, want %v", got, want)
		}
	})

	t.Run("waits for calls to be arranged", func(t *testing.T) {
		c := clock.NewManual(start())
		var made sync.WaitGroup
		made.Add(2)
		for range 2 {
			go c.AfterFunc(time.Second, made.Done)
		}
		c.Await(2)
		c.Advance(time.Second)
		made.Wait()
	})
}

func TestSystem(t *testing.T) {
	t.Run("shows the machine's time", func(t *testing.T) {
		before := time.Now()
		got := clock.System().Now()
		if got.Before(before) || got.After(time.Now()) {
			t.Errorf("got %v, want the time of the call", got)
		}
	})

	t.Run("calls back once the time has passed", func(t *testing.T) {
		called := make(chan time.Time)
		before := time.Now()
		clock.System().AfterFunc(time.Millisecond, func() { called <- time.Now() })
		if got := (<-called).Sub(before); got < time.Millisecond {
			t.Errorf("called after %v, want at least 1ms", got)
		}
	})

	t.Run("stops a pending call once", func(t *testing.T) {
		timer := clock.System().AfterFunc(time.Hour, func() {})
		if first, second := timer.Stop(), timer.Stop(); !first || second {
			t.Errorf("Stop: %v then %v, want true then false", first, second)
		}
	})
}
