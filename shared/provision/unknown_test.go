package provision_test

import (
	"fmt"
	"testing"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/shared/fault"
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
				same(t, "ESA holds", a.holds(t), complete)
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
		a := start(t)
		a.run(t, wish(), &routine.Progress{})
		must(t, a.SetAccount(esaemu.AccountChange{ListDelayMillis: ptr(int64(3_600_000))}))
		failure := a.fail(t, wish(), &routine.Progress{Routine: routine.Created, RecordUnknown: true})
		if failure.Kind != fault.Unavailable || failure.Code != "ParameterAlreadyExist" {
			t.Errorf("got %+v", failure)
		}
	})
}
