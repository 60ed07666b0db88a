package retry_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/retry"
)

func TestDo(t *testing.T) {
	failed, hopeless := errors.New("failed"), errors.New("hopeless")
	schedule := func(err error, made int) (time.Duration, bool) {
		return time.Duration(made) * time.Second, !errors.Is(err, hopeless) && made < 3
	}
	for _, test := range []struct {
		name    string
		answers []error
		want    error
		pauses  []time.Duration
	}{
		{"makes a call once that succeeds", []error{nil}, nil, nil},
		{"waits and makes it again", []error{failed, failed, nil}, nil, []time.Duration{time.Second, 2 * time.Second}},
		{"ends with its schedule", []error{failed, failed, failed}, failed, []time.Duration{time.Second, 2 * time.Second}},
		{"does not repeat what is hopeless", []error{failed, hopeless}, hopeless, []time.Duration{time.Second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var pauses []time.Duration
			made := 0
			err := retry.Do(t.Context(), func(_ context.Context, d time.Duration) { pauses = append(pauses, d) }, schedule, func() error {
				made++
				return test.answers[made-1]
			})
			if !errors.Is(err, test.want) || made != len(test.answers) {
				t.Errorf("%d calls, %v", made, err)
			}
			if diff := cmp.Diff(test.pauses, pauses); diff != "" {
				t.Errorf("pauses -want +got:\n%s", diff)
			}
		})
	}
	t.Run("ends with its context, and with what failed", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := retry.Do(ctx, retry.Sleep, func(error, int) (time.Duration, bool) { return time.Hour, true }, func() error { return failed }); !errors.Is(err, failed) {
			t.Errorf("got %v", err)
		}
	})
}
