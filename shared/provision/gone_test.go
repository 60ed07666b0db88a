package provision_test

import (
	"context"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

func TestRoutineThatIsNotThere(t *testing.T) {
	notThere := faults.Rule{Action: record, Fault: faults.Fault{Answer: faults.Error, Code: "RoutineNotExist"}}
	t.Run("right after creating it is a delay", func(t *testing.T) {
		a := start(t)
		a.inject(t, notThere)
		progress := &routine.Progress{}
		if failure := a.fail(t, wish(), progress); failure.Kind != fault.Unavailable || failure.Code != "RoutineNotExist" {
			t.Errorf("got %+v", failure)
		}
		same(t, "outcome", a.run(t, wish(), progress), outcome{routine.Created, routine.Created})
	})
	t.Run("later it was deleted: it is created once more, after a look that is recorded", func(t *testing.T) {
		a := start(t)
		progress := &routine.Progress{Routine: routine.Adopted, RoutineCreated: a.clock.Now().Add(-time.Hour)}
		var begun []routine.Progress
		result, err := a.attempt(t.Context(), strict(), progress, func(_ context.Context, p routine.Progress) error {
			begun = append(begun, p)
			return nil
		})
		if err != nil || result.Routine != routine.Created {
			t.Fatalf("%+v, %v", result, err)
		}
		same(t, "calls", a.calls(), []string{record, get, create, record})
		now := a.clock.Now()
		same(t, "begun last", begun[len(begun)-1], routine.Progress{RoutineRecreated: true, Look: &routine.Look{At: now, Until: now.Add(timeout)}})
		same(t, "progress", *progress, routine.Progress{Routine: routine.Created, RoutineRecreated: true})
	})
	t.Run("the new one is not shown at once either: that is a delay", func(t *testing.T) {
		a := start(t)
		a.inject(t, faults.Rule{Action: record, Times: 2, Fault: notThere.Fault})
		progress := &routine.Progress{Routine: routine.Created}
		if failure := a.fail(t, wish(), progress); failure.Kind != fault.Unavailable || failure.Code != "RoutineNotExist" {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("unless ESA shows the very same one: that is a delay", func(t *testing.T) {
		a := start(t)
		a.plant(t, 0)
		a.inject(t, notThere)
		progress := &routine.Progress{Routine: routine.Created, RoutineCreated: a.clock.Now()}
		before := *progress
		if failure := a.fail(t, strict(), progress); failure.Kind != fault.Unavailable || failure.Code != "RoutineNotExist" {
			t.Errorf("got %+v", failure)
		}
		same(t, "progress", *progress, before)
	})
	t.Run("one that somebody else made instead is a conflict for fail, and adopted otherwise", func(t *testing.T) {
		a := start(t)
		a.plant(t, 0)
		a.inject(t, faults.Rule{Action: record, Times: 2, Fault: notThere.Fault})
		earlier := routine.Progress{Routine: routine.Created, RoutineCreated: a.clock.Now().Add(-time.Second)}
		progress := earlier
		a.conflicts(t, strict(), &progress)
		same(t, "outcome", a.run(t, wish(), &earlier), outcome{routine.Adopted, routine.Created})
	})
	t.Run("one whose CreateTime nobody could read is not known to be the same", func(t *testing.T) {
		a := start(t)
		a.inject(t, notThere, faults.Rule{Action: get, Fault: faults.Fault{Answer: faults.Document, Body: `{"CreateTime":"just now"}`}})
		if failure := a.fail(t, strict(), &routine.Progress{Routine: routine.Created}); failure.Kind != fault.Conflict {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("while ESA does not say whether it is there, nothing is forgotten", func(t *testing.T) {
		a := start(t)
		a.inject(t, faults.Rule{Action: get, Fault: faults.Fault{Answer: faults.HTML}})
		progress := &routine.Progress{Routine: routine.Created, RoutineCreated: a.clock.Now()}
		before := *progress
		if failure := a.fail(t, wish(), progress); failure.Step != get {
			t.Errorf("got %+v", failure)
		}
		same(t, "progress", *progress, before)
	})
	t.Run("it is not begun again when the time has run out meanwhile", func(t *testing.T) {
		a := start(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := a.attempt(ctx, wish(), &routine.Progress{Routine: routine.Created}, func(context.Context, routine.Progress) error {
			a.workflow.StepTime = time.Hour
			return nil
		})
		if !fault.HasCode(err, provision.CodeNoTime) {
			t.Errorf("got %v", err)
		}
		same(t, "calls", a.calls(), []string{record})
	})
	t.Run("and not a third time", func(t *testing.T) {
		a := start(t)
		failure := a.fail(t, wish(), &routine.Progress{Routine: routine.Created, RoutineRecreated: true})
		if failure.Kind != fault.NotFound || failure.Code != "RoutineNotExist" {
			t.Errorf("got %+v", failure)
		}
		same(t, "ESA holds", a.holds(t), nil)
	})
}
