package provision_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

func TestUnknownOutcome(t *testing.T) {
	broken := map[string]faults.Fault{
		"a reset":          {Answer: faults.Reset},
		"a proxy's page":   {Answer: faults.HTML},
		"an empty 200":     {Answer: faults.Empty},
		"a server's error": {Answer: faults.Error, Status: 503, Code: "ServiceUnavailable"},
		"an internal code": {Answer: faults.Error, Code: "InternalException"},
		"a dependency":     {Answer: faults.Error, Code: "DependedByOthers"},
		"an unlisted code": {Answer: faults.Error, Code: "NobodyKnows"},
	}
	for name, injected := range broken {
		for _, action := range []string{create, record} {
			readBack := map[string]string{create: get, record: list}[action]
			t.Run(fmt.Sprintf("%s of %s that took effect is settled by reading back", name, action), func(t *testing.T) {
				a, effective := start(t), injected
				effective.Execute = true
				a.inject(t, faults.Rule{Action: action, Fault: effective})
				want := map[string]outcome{create: {routine.Created, routine.Created}, record: {routine.Created, routine.Adopted}}[action]
				same(t, "outcome", a.run(t, strict(), &routine.Progress{}), want)
				same(t, "calls", a.Faults().Count(action), 1)
				same(t, "ESA holds", a.holds(t), []string{"pr-1", "pr-1 pr-1.example.com"})
			})
			t.Run(fmt.Sprintf("%s of %s without effect fails, and the next attempt reads before it acts", name, action), func(t *testing.T) {
				a := start(t)
				a.inject(t, faults.Rule{Action: action, Fault: injected})
				progress := &routine.Progress{}
				if failure := a.fail(t, wish(), progress); !failure.Kind.Retryable() || failure.Step != action {
					t.Errorf("got %+v", failure)
				}
				a.Faults().Reset()
				a.run(t, wish(), progress)
				same(t, "first calls", a.calls()[:2], []string{readBack, action})
			})
		}
	}
	t.Run("stays unknown while reading back fails too", func(t *testing.T) {
		a := start(t)
		a.inject(t,
			faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Reset, Execute: true}},
			faults.Rule{Action: get, Skip: 1, Times: 2, Fault: faults.Fault{Answer: faults.HTML}},
		)
		progress := &routine.Progress{}
		if failure := a.fail(t, wish(), progress); failure.Step != create || progress.Look == nil {
			t.Errorf("got %+v, progress %+v", failure, progress)
		}
		if failure := a.fail(t, wish(), progress); failure.Step != get {
			t.Errorf("acted without having read back: %+v", failure)
		}
		same(t, "outcome", a.run(t, strict(), progress), outcome{routine.Created, routine.Created})
	})
	t.Run("waits for a record that the list does not show yet", func(t *testing.T) {
		a, progress := start(t), &routine.Progress{}
		a.run(t, wish(), progress)
		must(t, a.SetAccount(esaemu.AccountChange{ListDelayMillis: ptr(int64(3_600_000))}))
		*progress = routine.Progress{Routine: routine.Created, RecordUnknown: true} // of an attempt before
		failure := a.fail(t, wish(), progress)
		if failure.Kind != fault.Unavailable || failure.Code != "ParameterAlreadyExist" {
			t.Errorf("got %+v", failure)
		}
	})
}

func TestRoutineThatIsNotThere(t *testing.T) {
	notThere := faults.Rule{Action: record, Fault: faults.Fault{Answer: faults.Error, Code: "RoutineNotExist"}}
	created := time.Now().UTC().Truncate(time.Second).Add(-time.Hour)
	unreadable := faults.Rule{Action: get, Fault: faults.Fault{Answer: faults.Document, Body: `{"CreateTime":"just now"}`}}
	for name, test := range map[string]struct {
		// exists is the CreateTime of the routine that ESA has, if it has one.
		exists   time.Time
		refusals int // how often ESA says RoutineNotExist although it has one
		rules    []faults.Rule
		progress routine.Progress
		kind     fault.Kind
		code     string
		kept     bool // the progress is as before
	}{
		"right after creating it is a delay":                          {time.Time{}, 1, nil, routine.Progress{}, fault.Unavailable, esa.CodeRoutineNotExist, false},
		"and the next one, right after creating that, is a delay too": {time.Time{}, 2, nil, routine.Progress{Routine: routine.Created}, fault.Unavailable, esa.CodeRoutineNotExist, false},
		"while ESA shows the very same one is a delay":                {created, 1, nil, routine.Progress{Routine: routine.Created, RoutineCreated: created}, fault.Unavailable, esa.CodeRoutineNotExist, true},
		"while ESA shows one without a readable time is a conflict":   {time.Time{}, 1, []faults.Rule{unreadable}, routine.Progress{Routine: routine.Created}, fault.Conflict, esa.CodeRoutineAlreadyExist, false},
		"while ESA does not answer the look forgets nothing": {
			time.Time{}, 0, []faults.Rule{{Action: get, Fault: faults.Fault{Answer: faults.HTML}}}, routine.Progress{Routine: routine.Created, RoutineCreated: created}, fault.Unavailable, "HTTP502", true,
		},
		"for the third time is the end": {time.Time{}, 0, nil, routine.Progress{Routine: routine.Created, RoutineRecreated: true}, fault.NotFound, esa.CodeRoutineNotExist, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, before := start(t), test.progress
			if !test.exists.IsZero() {
				a.plant(t, test.exists.Sub(a.clock.Now()))
			}
			if test.refusals > 0 {
				a.inject(t, faults.Rule{Action: record, Times: test.refusals, Fault: notThere.Fault})
			}
			a.inject(t, test.rules...)
			a.fails(t, strict(), &test.progress, test.kind, test.code)
			if test.kept {
				same(t, "progress", test.progress, before)
			}
			a.Faults().Clear()
			switch test.kind {
			case fault.Unavailable:
				same(t, "outcome of the next attempt", a.run(t, strict(), &test.progress), outcome{routine.Created, routine.Created})
			case fault.NotFound:
				same(t, "ESA holds", a.holds(t), nil)
			}
		})
	}
	t.Run("later it was deleted: it is created again, after a look that is recorded", func(t *testing.T) {
		a := start(t)
		progress := &routine.Progress{Routine: routine.Adopted, RoutineCreated: a.clock.Now().Add(-time.Hour)}
		var begun []routine.Progress
		result, err := a.attempt(t.Context(), strict(), progress, keeping(&begun))
		if err != nil || result.Routine != routine.Created {
			t.Fatalf("%+v, %v", result, err)
		}
		same(t, "calls", a.calls(), []string{record, get, create, get, record})
		now := a.clock.Now()
		same(t, "begun last", begun[len(begun)-1], routine.Progress{RoutineRecreated: true, Look: &routine.Look{At: now, Until: now.Add(timeout)}})
		same(t, "progress", bare(progress), routine.Progress{Routine: routine.Created, RoutineCreated: now, RoutineRecreated: true})
	})
	t.Run("while ESA shows another one is a conflict for fail, and that one is adopted otherwise", func(t *testing.T) {
		a := start(t)
		a.plant(t, 0)
		a.inject(t, faults.Rule{Action: record, Times: 2, Fault: notThere.Fault})
		earlier := routine.Progress{Routine: routine.Created, RoutineCreated: a.clock.Now().Add(-time.Second)}
		progress := earlier
		a.conflicts(t, strict(), &progress)
		same(t, "outcome", a.run(t, wish(), &earlier), outcome{routine.Adopted, routine.Created})
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
}
