package esaemu_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/dara"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/esaemu"
)

const locked = "UserOperationStatusIsLocked"

// slow is a server whose writes hold the lock for ten seconds of its clock.
func slow(t *testing.T) *bench {
	t.Helper()
	c := config(t.TempDir())
	c.Latency = 10 * time.Second
	return open(t, c)
}

// begin starts creating a routine and returns once the write holds the lock.
func (b *bench) begin(ctx context.Context, name string) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := b.sdk.CreateRoutineWithContext(ctx, &esa.CreateRoutineRequest{Name: &name}, &dara.RuntimeOptions{})
		ended <- err
	}()
	b.clock.Await(1)
	return ended
}

func (b *bench) isLocked(t *testing.T) bool {
	t.Helper()
	return must[esaemu.State](t)(b.State()).Account.Locked
}

func TestLock(t *testing.T) {
	t.Run("refuses every other write while one is under way and leaves reads alone", func(t *testing.T) {
		b := slow(t)
		do(t, b.PlantRoutine(esaemu.Routine{Name: "old"}))
		failing := b.begin(t.Context(), "old")
		want(t, "while one is under way that fails", b.createRoutine("api"), locked)
		b.clock.Advance(10 * time.Second)
		want(t, "the write that fails", <-failing, "RoutineAlreadyExist")

		ended := b.begin(t.Context(), "web")
		same(t, "locked", b.isLocked(t), true)
		route := []string{"ConfigId", "1", "SiteId", "54362329990032"}
		for _, call := range append(writes(), append([]string{"UpdateRoutineRoute"}, route...), append([]string{"DeleteRoutineRoute"}, route...)) {
			want(t, call[0], b.call(call[0], call[1:]...), locked)
		}
		want(t, "a read before the end", b.call("GetRoutine", "Name", "web"), "RoutineNotExist")

		b.clock.Advance(10 * time.Second)
		want(t, "the write", <-ended, "")
		same(t, "locked afterwards", b.isLocked(t), false)
		want(t, "a read after it", b.call("GetRoutine", "Name", "web"), "")
		want(t, "a read of a refused one", b.call("GetRoutine", "Name", "api"), "RoutineNotExist")
	})

	t.Run("goes on with a write whose caller has gone", func(t *testing.T) {
		b := slow(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := b.begin(ctx, "web")
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("caller got %v, want its own cancellation", err)
		}
		want(t, "another while it goes on", b.createRoutine("api"), locked)
		b.clock.Advance(10 * time.Second)
		// A foreign hold begins when the write has ended.
		do(t, b.HoldLock(t.Context(), time.Second))
		want(t, "GetRoutine", b.call("GetRoutine", "Name", "web"), "")
	})

	t.Run("lets a write under way take effect when the server stops", func(t *testing.T) {
		b := slow(t)
		ended := b.begin(t.Context(), "web")
		b.Stop()
		want(t, "the write", <-ended, "")
		same(t, "routines", len(must[esaemu.State](t)(b.State()).Routines), 1)
	})

	t.Run("executes exactly the writes it says it executed", func(t *testing.T) {
		c := config(t.TempDir())
		c.Latency = time.Millisecond
		c.Clock = clock.System()
		b := open(t, c)
		const callers, each = 8, 6
		var done sync.WaitGroup
		errs := make(chan error, callers*each)
		for i := range callers {
			done.Go(func() {
				for j := range each {
					// Signed by hand: calls of the SDK at the same time race with each other.
					_, err := b.rpc(t, map[string]string{"Action": "CreateRoutine", "Name": fmt.Sprintf("web-%d-%d", i, j)})
					errs <- err
				}
			})
		}
		done.Wait()
		close(errs)
		counts := map[string]int{}
		for err := range errs {
			counts[codeOf(err)]++
		}
		if counts[""] == 0 || counts[""]+counts[locked] != callers*each {
			t.Errorf("answers by code: %v, want successes and %s only", counts, locked)
		}
		same(t, "routines", len(must[esaemu.State](t)(b.State()).Routines), counts[""])
	})
}

func TestHoldLock(t *testing.T) {
	t.Run("locks clients out until the time is over or it is released, and ends nothing else", func(t *testing.T) {
		b := slow(t)
		do(t, b.HoldLock(t.Context(), 5*time.Second))
		b.clock.Advance(5*time.Second - 1)
		want(t, "before the end", b.createRoutine("web"), locked)
		b.clock.Advance(1)
		same(t, "locked at the end", b.isLocked(t), false)

		do(t, b.HoldLock(t.Context(), 5*time.Second))
		b.ReleaseLock()
		same(t, "locked when it is released", b.isLocked(t), false)
		do(t, b.HoldLock(t.Context(), 10*time.Second))
		b.clock.Advance(5 * time.Second)
		want(t, "when the time of a released hold is over", b.createRoutine("web"), locked)
		b.ReleaseLock()

		ended := b.begin(t.Context(), "web")
		b.ReleaseLock()
		want(t, "a client's write is not released", b.createRoutine("api"), locked)
		b.clock.Advance(10 * time.Second)
		want(t, "the write", <-ended, "")
	})

	t.Run("waits for a write and for another foreign caller", func(t *testing.T) {
		b := slow(t)
		ended := b.begin(t.Context(), "web")
		held := make(chan error, 2)
		for range 2 {
			go func() { held <- b.HoldLock(context.WithoutCancel(t.Context()), time.Second) }()
		}
		b.clock.Advance(10 * time.Second)
		want(t, "the write", <-ended, "")
		for range 2 {
			do(t, <-held)
			want(t, "held", b.createRoutine("api"), locked)
			b.clock.Advance(time.Second)
		}
		same(t, "locked at the end", b.isLocked(t), false)
	})

	t.Run("gives up when its caller does, when the server stops, and on senseless times", func(t *testing.T) {
		b := start(t)
		do(t, b.HoldLock(t.Context(), time.Hour))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.HoldLock(ctx, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		b.Stop()
		for _, d := range []time.Duration{0, -1, 25 * time.Hour, time.Hour} {
			if err := b.HoldLock(t.Context(), d); err == nil {
				t.Errorf("held for %s on a stopped server", d)
			}
		}
	})
}
