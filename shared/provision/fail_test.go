package provision_test

import (
	"context"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

func TestIfExistsFail(t *testing.T) {
	t.Run("refuses an equal routine without trying to make it", func(t *testing.T) {
		a := start(t)
		a.plant(t, 0)
		progress := &routine.Progress{}
		a.conflicts(t, strict(), progress)
		same(t, "calls", a.calls(), []string{get})
		same(t, "progress", *progress, routine.Progress{})
	})
	for name, test := range map[string]struct {
		progress routine.Progress
		takes    bool
	}{
		"refuses an equal record that this job did not make":         {routine.Progress{Routine: routine.Created}, false},
		"takes what a lost call may have bound to its own routine":   {routine.Progress{Routine: routine.Created, RecordUnknown: true}, true},
		"refuses it on a routine that was there before this job was": {routine.Progress{Routine: routine.Adopted, RecordUnknown: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, progress := start(t), &routine.Progress{}
			a.run(t, wish(), progress)
			if !test.takes {
				progress = &routine.Progress{} // another job's
			}
			if *progress = test.progress; test.takes {
				same(t, "outcome", a.run(t, strict(), progress), outcome{routine.Created, routine.Adopted})
				return
			}
			if failure := a.fail(t, strict(), progress); failure.Kind != fault.Conflict || failure.Code != esa.CodeParameterAlreadyExist || failure.Hint == "" {
				t.Errorf("got %+v", failure)
			}
		})
	}
	t.Run("takes its own record also when ESA shows it only after refusing its name", func(t *testing.T) {
		a, progress := start(t), &routine.Progress{}
		a.run(t, wish(), progress)
		a.inject(t, faults.Rule{Action: list, Fault: faults.Fault{Answer: faults.Document, Body: `{"TotalCount":0,"RelatedRecords":[]}`}})
		*progress = routine.Progress{Routine: routine.Created, RecordUnknown: true} // of an attempt before
		got := a.run(t, strict(), progress)
		same(t, "outcome", got, outcome{routine.Created, routine.Adopted})
	})
	t.Run("does not take the record of a lost call on a routine that was there before", func(t *testing.T) {
		a := start(t)
		a.plant(t, 0)
		a.inject(t, faults.Rule{Action: record, Fault: faults.Fault{Answer: faults.Reset, Execute: true}})
		progress := &routine.Progress{Routine: routine.Adopted}
		if failure := a.fail(t, strict(), progress); !failure.OutcomeUnknown || !progress.RecordUnknown {
			t.Errorf("got %+v", failure)
		}
	})
}

// TestMadeBetweenLookAndCall is about another program that makes the name after ESA showed that there is none.
func TestMadeBetweenLookAndCall(t *testing.T) {
	meanwhile := func(t *testing.T, a account, description string) provision.Begin {
		return func(context.Context, routine.Progress) error {
			return a.PlantRoutine(esaemu.Routine{Name: "pr-1", Description: description})
		}
	}
	t.Run("fail is refused, without another read", func(t *testing.T) {
		a, progress := start(t), routine.Progress{}
		_, err := a.attempt(t.Context(), strict(), &progress, meanwhile(t, a, ""))
		if !fault.HasKind(err, fault.Conflict) || !fault.HasCode(err, esa.CodeRoutineAlreadyExist) {
			t.Errorf("got %v", err)
		}
		same(t, "calls", a.calls(), []string{get, create})
		same(t, "progress", progress, routine.Progress{})
	})
	t.Run("fail is refused also when the answer to its own call is lost: ESA shows one that is older", func(t *testing.T) {
		a, progress := start(t), routine.Progress{}
		a.inject(t, faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Reset}})
		_, err := a.attempt(t.Context(), strict(), &progress, func(context.Context, routine.Progress) error {
			a.plant(t, -time.Minute)
			return nil
		})
		if !fault.HasKind(err, fault.Conflict) || progress.Routine != "" {
			t.Errorf("got %v, %+v", err, progress)
		}
	})
	t.Run("adopt uses it", func(t *testing.T) {
		a, progress := start(t), routine.Progress{}
		result, err := a.attempt(t.Context(), wish(), &progress, meanwhile(t, a, ""))
		if err != nil || result.Routine != routine.Adopted {
			t.Errorf("got %+v, %v", result, err)
		}
	})
	t.Run("adopt refuses it if it is not what was asked for, and names the refused call", func(t *testing.T) {
		a, progress, req := start(t), routine.Progress{}, wish()
		req.Description = ptr("ours")
		a.inject(t, faults.Rule{Action: get, Skip: 1, Fault: faults.Fault{Answer: faults.Slow, Headers: map[string]string{"x-acs-request-id": "of the read"}}})
		_, err := a.attempt(t.Context(), req, &progress, meanwhile(t, a, "theirs"))
		if failure := fault.From(err); failure == nil || failure.Kind != fault.Conflict || failure.RequestID == "" || failure.RequestID == "of the read" {
			t.Errorf("got %+v", failure)
		}
		same(t, "progress", progress, routine.Progress{})
	})
	t.Run("nobody is taken for the maker when the name is refused and nothing is shown", func(t *testing.T) {
		for _, code := range []string{"RoutineAlreadyExist", "RoutineNameAlreadyExist", "RoutineNameAlreadyExists"} {
			a := start(t)
			a.inject(t, faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Error, Code: code}})
			a.fails(t, wish(), &routine.Progress{}, fault.Unavailable, code)
		}
	})
}
