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
	t.Run("stands still until it is advanced, and never goes back", func(t *testing.T) {
		c := clock.NewManual(start())
		for _, step := range []struct{ advance, want time.Duration }{{0, 0}, {90 * time.Minute, 90 * time.Minute}, {-time.Hour, 90 * time.Minute}} {
			c.Advance(step.advance)
			if got := c.Now().Sub(start()); got != step.want {
				t.Errorf("after %s it shows %s, want %s", step.advance, got, step.want)
			}
		}
		c.AfterFunc(time.Second, func() { c.Advance(time.Hour) })
		c.Advance(2 * time.Second)
		if got, want := c.Now().Sub(start()), 150*time.Minute+time.Second; got != want {
			t.Errorf("after an advance within an advance it shows %s, want %s", got, want)
		}
	})

	t.Run("makes due calls in the order of their times, each at its own time, and those that they arrange", func(t *testing.T) {
		c := clock.NewManual(start())
		var got []string
		note := func(name string) func() {
			return func() { got = append(got, name+" "+c.Now().Sub(start()).String()) }
		}
		c.AfterFunc(3*time.Second, note("third"))
		c.AfterFunc(time.Second, note("first"))
		c.AfterFunc(2*time.Second, func() { c.AfterFunc(2*time.Second, note("arranged")) })
		c.AfterFunc(2*time.Second, note("second"))
		c.AfterFunc(2*time.Second, note("second again"))
		c.AfterFunc(5*time.Second, note("too late"))
		c.AfterFunc(0, note("at once"))
		c.AfterFunc(-time.Second, note("overdue"))
		c.Advance(4 * time.Second)
		want := []string{"at once 0s", "overdue 0s", "first 1s", "second 2s", "second again 2s", "third 3s", "arranged 4s"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})

	t.Run("stops a pending call once, and none that was made", func(t *testing.T) {
		c := clock.NewManual(start())
		pending := c.AfterFunc(time.Second, func() { t.Error("a stopped call was made") })
		atOnce := c.AfterFunc(0, func() {})
		if first, second := pending.Stop(), pending.Stop(); !first || second || atOnce.Stop() {
			t.Errorf("Stop: %v then %v, want true then false", first, second)
		}
		due := c.AfterFunc(time.Second, func() {})
		c.Advance(time.Minute)
		if due.Stop() {
			t.Error("a call that was made could be stopped")
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
	called := make(chan time.Time)
	before := time.Now()
	clock.System().AfterFunc(time.Millisecond, func() { called <- clock.System().Now() })
	if got := (<-called).Sub(before); got < time.Millisecond {
		t.Errorf("called after %v, want at least 1ms", got)
	}
	timer := clock.System().AfterFunc(time.Hour, func() {})
	if first, second := timer.Stop(), timer.Stop(); !first || second {
		t.Errorf("Stop: %v then %v, want true then false", first, second)
	}
}
