package retry

import (
	"context"
	"time"
)

// Schedule says whether a call that failed is made again, and after what pause. made is how often it was made, from 1.
type Schedule func(err error, made int) (pause time.Duration, again bool)

// Do makes a call until it succeeds, its schedule ends, or ctx is done during a pause. It returns the error of the last call. sleep waits for
// a pause, or less if ctx is done; Sleep does so by the machine's clock.
func Do(ctx context.Context, sleep func(context.Context, time.Duration), next Schedule, call func() error) error {
	for made := 1; ; made++ {
		err := call()
		if err == nil {
			return nil
		}
		pause, again := next(err, made)
		if !again {
			return err
		}
		if sleep(ctx, pause); ctx.Err() != nil {
			return err
		}
	}
}

// Sleep waits for d, or until ctx is done.
func Sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
