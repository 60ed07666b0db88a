package provision_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// crash runs until its CreateRoutine call is recorded and ends before the call. It returns the progress as the job's row has it.
func (a account) crash(t *testing.T, progress routine.Progress) *routine.Progress {
	t.Helper()
	var row []byte
	killed := errors.New("the process was killed")
	_, err := a.attempt(t.Context(), strict(), &progress, func(_ context.Context, p routine.Progress) (err error) {
		row, err = json.Marshal(p)
		return errors.Join(killed, err)
	})
	var kept routine.Progress
	if json.Unmarshal(row, &kept) != nil || !errors.Is(err, killed) {
		t.Fatalf("%s, %v", row, err)
	}
	return &kept
}

// TestProof is about a routine that is there after a call whose outcome nobody knows.
func TestProof(t *testing.T) {
	for name, test := range map[string]struct {
		// after is CreateTime minus the Date of the look.
		after time.Duration
		owned bool
	}{
		"at the time of the look":               {0, true},
		"a second before the look":              {-time.Second, true},
		"two seconds before the look":           {-2 * time.Second, false},
		"when the call had ended at the latest": {timeout, true},
		"a second after the call had ended":     {timeout + time.Second, true},
		"two seconds after the call had ended":  {timeout + 2*time.Second, false},
		"long before":                           {-24 * time.Hour, false},
	} {
		t.Run("after a crash: made "+name, func(t *testing.T) {
			a := start(t)
			progress, look := a.crash(t, routine.Progress{}), a.clock.Now()
			a.plant(t, test.after)
			a.clock.Advance(time.Minute)
			a.Faults().Reset()
			adopting := *progress
			if test.owned {
				same(t, "fail", a.run(t, strict(), progress), outcome{routine.Created, routine.Created})
				same(t, "calls", a.calls()[:2], []string{get, record})
				same(t, "progress", bare(progress), routine.Progress{Routine: routine.Created, RoutineCreated: look.Add(test.after)})
				return
			}
			a.conflicts(t, strict(), progress)
			same(t, "adopt", a.run(t, wish(), &adopting), outcome{routine.Adopted, routine.Created})
			same(t, "progress", bare(&adopting), routine.Progress{Routine: routine.Adopted, RoutineCreated: look.Add(test.after)})
			same(t, "calls of CreateRoutine", a.Faults().Count(create), 0)
		})
	}
	t.Run("a CreateTime that nobody can read proves nothing", func(t *testing.T) {
		a := start(t)
		progress := a.crash(t, routine.Progress{})
		a.plant(t, 0)
		a.inject(t, faults.Rule{Action: get, Times: 2, Fault: faults.Fault{Answer: faults.Document, Body: `{"CreateTime":"just now"}`}})
		adopting := *progress
		if failure := a.fail(t, strict(), progress); failure.Kind != fault.Conflict {
			t.Errorf("got %+v", failure)
		}
		same(t, "adopt", a.run(t, wish(), &adopting), outcome{routine.Adopted, routine.Created})
	})
	t.Run("an unproven routine is adopted only if it is what was asked for", func(t *testing.T) {
		a := start(t)
		progress := a.crash(t, routine.Progress{})
		a.plant(t, -time.Hour)
		req := wish()
		req.Description = ptr("ours")
		a.conflicts(t, req, progress)
	})
	t.Run("a call that failed has ended then: what is made later is not its", func(t *testing.T) {
		a := start(t)
		a.inject(t, faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Reset}})
		progress, began := &routine.Progress{}, time.Now()
		failure := a.fail(t, strict(), progress)
		if passed := time.Since(began); progress.Look == nil || progress.Look.Until.After(a.clock.Now().Add(passed)) || failure.Step != create {
			t.Fatalf("%s passed, progress %+v, %+v", passed, progress.Look, failure)
		}
		a.plant(t, progress.Look.Until.Sub(a.clock.Now())+2*time.Second)
		a.conflicts(t, strict(), progress)
	})
	t.Run("a call has ended when the time since its look is over", func(t *testing.T) {
		a := start(t)
		a.workflow.Timeout = time.Nanosecond
		failure := a.fail(t, strict(), &routine.Progress{})
		if failure.Code != "Timeout" || failure.Step != create || a.Faults().Count(create) != 0 {
			t.Errorf("got %+v", failure)
		}
	})
}

// TestOpenCall is about a later run that finds no routine while an earlier call may still make it.
func TestOpenCall(t *testing.T) {
	locked := faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Error, Code: "UserOperationStatusIsLocked"}}
	for name, test := range map[string]struct {
		after time.Duration // from the look of the earlier call to the later call
		later faults.Rule
		open  bool
	}{
		"stays open after a later call that was refused":    {4 * time.Second, locked, true},
		"is closed once its end has passed":                 {timeout + 2*time.Second, locked, false},
		"stays open after a later call that failed at once": {0, faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Reset}}, true},
	} {
		t.Run("an earlier call "+name, func(t *testing.T) {
			a := start(t)
			progress, first := a.crash(t, routine.Progress{}), a.clock.Now()
			a.clock.Advance(test.after)
			a.inject(t, test.later)
			a.fail(t, strict(), progress)
			if test.open {
				same(t, "look", progress.Look, &routine.Look{At: first.Add(test.after), Until: first.Add(timeout)})
			} else {
				same(t, "progress", *progress, routine.Progress{})
			}
		})
	}
	t.Run("a later call is recorded with the later end of the two", func(t *testing.T) {
		a := start(t)
		progress, first := a.crash(t, routine.Progress{}), a.clock.Now()
		a.workflow.Timeout = time.Second
		progress = a.crash(t, *progress)
		same(t, "look", progress.Look, &routine.Look{At: first, Until: first.Add(timeout)})
	})
	t.Run("what it made although ESA did not show it is the job's own", func(t *testing.T) {
		a := start(t)
		progress := a.crash(t, routine.Progress{})
		a.plant(t, 3*time.Second)
		a.inject(t, faults.Rule{Action: get, Fault: faults.Fault{Answer: faults.Error, Code: "RoutineNotExist"}})
		same(t, "outcome", a.run(t, strict(), progress), outcome{routine.Created, routine.Created})
		same(t, "calls", a.calls()[:5], []string{get, get, create, get, record})
	})
	t.Run("what came after its end is not, though a later call was under way: that one was refused", func(t *testing.T) {
		a := start(t)
		progress := a.crash(t, routine.Progress{})
		a.clock.Advance(5 * time.Second)
		_, err := a.attempt(t.Context(), strict(), progress, func(context.Context, routine.Progress) error {
			a.plant(t, 7*time.Second) // 12 s after the first look
			return nil
		})
		if !fault.HasKind(err, fault.Conflict) || progress.Routine != "" {
			t.Errorf("got %v, %+v", err, progress)
		}
	})
}
