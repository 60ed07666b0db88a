package provision_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

func TestBegin(t *testing.T) {
	for name, test := range map[string]struct {
		progress routine.Progress
		before   []string
	}{
		"is called between the look and CreateRoutine, with the look": {routine.Progress{}, []string{get}},
		"is called before the first write when step 1 is done":        {routine.Progress{Routine: routine.Created}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a, want, begins := start(t), test.progress, 0
			if test.before == nil {
				a.plant(t, 0)
			} else {
				want.Look = &routine.Look{At: a.clock.Now(), Until: a.clock.Now().Add(timeout)}
			}
			_, err := a.attempt(t.Context(), wish(), &test.progress, func(_ context.Context, p routine.Progress) error {
				begins++
				same(t, "begun", p, want)
				same(t, "calls before", a.calls(), test.before)
				return nil
			})
			if err != nil || begins != 1 {
				t.Errorf("%d begins, %v", begins, err)
			}
		})
	}
	t.Run("ends the run with its own error and no further call", func(t *testing.T) {
		refused := errors.New("the ledger does not answer")
		for _, progress := range []routine.Progress{{}, {Routine: routine.Created}, {Look: &routine.Look{}}} {
			a, before := start(t), progress
			_, err := a.attempt(t.Context(), wish(), &progress, func(context.Context, routine.Progress) error { return refused })
			if err != refused {
				t.Errorf("got %v", err)
			}
			same(t, "calls that write", a.Faults().Count(create)+a.Faults().Count(record), 0)
			same(t, "progress", progress, before)
		}
	})
	t.Run("is called again, with a look of its own, for each call in a wait for the lock", func(t *testing.T) {
		a := start(t)
		a.inject(t, faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Error, Code: "UserOperationStatusIsLocked"}})
		var begun []routine.Progress
		progress := &routine.Progress{}
		first := a.clock.Now()
		if _, err := a.attempt(t.Context(), wish(), progress, keeping(&begun)); !fault.HasKind(err, fault.Locked) {
			t.Fatal(err)
		}
		same(t, "no call is open after a refusal", *progress, routine.Progress{})
		a.clock.Advance(3 * time.Second)
		second := a.clock.Now()
		if _, err := a.attempt(t.Context(), wish(), progress, keeping(&begun)); err != nil {
			t.Fatal(err)
		}
		same(t, "begun", begun, []routine.Progress{
			{Look: &routine.Look{At: first, Until: first.Add(timeout)}}, {Look: &routine.Look{At: second, Until: second.Add(timeout)}},
		})
	})
}
