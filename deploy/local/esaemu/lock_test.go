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
	"github.com/alibabacloud-go/tea/tea"

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
		if err := b.PlantRoutine(esaemu.Routine{Name: "old"}); err != nil {
			t.Fatal(err)
		}
		ended := b.begin(t.Context(), "web")
		same(t, "locked", b.isLocked(t), true)
		for action, write := range b.writes() {
			want(t, action, write(), locked)
		}
		_, err := b.sdk.DeleteRoutineRoute(&esa.DeleteRoutineRouteRequest{ConfigId: tea.Int64(1), SiteId: tea.Int64(siteID)})
		want(t, "DeleteRoutineRoute", err, locked)
		_, err = b.sdk.ListRoutineRelatedRecords(&esa.ListRoutineRelatedRecordsRequest{Name: tea.String("old")})
		want(t, "ListRoutineRelatedRecords", err, "")
		_, err = b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: tea.String("web")})
		want(t, "GetRoutine before the end", err, "RoutineNotExist")

		b.clock.Advance(10 * time.Second)
		want(t, "the write", <-ended, "")
		same(t, "locked afterwards", b.isLocked(t), false)
		_, err = b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: tea.String("web")})
		want(t, "GetRoutine", err, "")
		_, err = b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: tea.String("api")})
		want(t, "GetRoutine of a refused one", err, "RoutineNotExist")
	})

	t.Run("holds the lock as long for a write that fails", func(t *testing.T) {
		b := slow(t)
		if err := b.PlantRoutine(esaemu.Routine{Name: "web"}); err != nil {
			t.Fatal(err)
		}
		ended := b.begin(t.Context(), "web")
		want(t, "another", b.createRoutine("api"), locked)
		b.clock.Advance(10 * time.Second)
		want(t, "the write", <-ended, "RoutineAlreadyExist")
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
		if err := b.HoldLock(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		_, err := b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: tea.String("web")})
		want(t, "GetRoutine", err, "")
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
	t.Run("locks clients out until the time is over", func(t *testing.T) {
		b := start(t)
		if err := b.HoldLock(t.Context(), 5*time.Second); err != nil {
			t.Fatal(err)
		}
		b.clock.Advance(5*time.Second - 1)
		want(t, "before", b.createRoutine("web"), locked)
		b.clock.Advance(1)
		want(t, "after", b.createRoutine("web"), "")
	})

	t.Run("ends early when it is released, once", func(t *testing.T) {
		b := start(t)
		if err := b.HoldLock(t.Context(), 5*time.Second); err != nil {
			t.Fatal(err)
		}
		b.ReleaseLock()
		b.ReleaseLock()
		want(t, "after", b.createRoutine("web"), "")
		if err := b.HoldLock(t.Context(), 10*time.Second); err != nil {
			t.Fatal(err)
		}
		b.clock.Advance(5 * time.Second)
		want(t, "the first hold's time ends nothing", b.createRoutine("api"), locked)
	})

	t.Run("does not end a client's write", func(t *testing.T) {
		b := slow(t)
		ended := b.begin(t.Context(), "web")
		b.ReleaseLock()
		want(t, "another", b.createRoutine("api"), locked)
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
			if err := <-held; err != nil {
				t.Error(err)
			}
			want(t, "held", b.createRoutine("api"), locked)
			b.clock.Advance(time.Second)
		}
		same(t, "locked at the end", b.isLocked(t), false)
	})

	t.Run("gives up when its caller does, when the server stops, and on senseless times", func(t *testing.T) {
		b := start(t)
		if err := b.HoldLock(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.HoldLock(ctx, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		for _, d := range []time.Duration{0, -1, 25 * time.Hour} {
			if err := b.HoldLock(t.Context(), d); err == nil {
				t.Errorf("held for %s", d)
			}
		}
		b.Stop()
		if err := b.HoldLock(t.Context(), time.Hour); err == nil {
			t.Error("held on a stopped server")
		}
	})
}
