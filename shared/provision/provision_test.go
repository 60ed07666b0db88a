package provision_test

import (
	"context"
	"encoding/base64"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/localtest"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

func TestFreshRequest(t *testing.T) {
	a := start(t)
	same(t, "outcome", a.run(t, wish(), &routine.Progress{}), outcome{routine.Created, routine.Created})
	same(t, "it looks, then makes the two calls that do the work", a.calls()[:3], []string{get, create, record})
	same(t, "ESA holds", a.holds(t), complete)
}

func TestAdoption(t *testing.T) {
	t.Run("asking twice is success, and adopts", func(t *testing.T) {
		a := start(t)
		a.run(t, wish(), &routine.Progress{})
		if diff := cmp.Diff(outcome{routine.Adopted, routine.Adopted}, a.run(t, wish(), &routine.Progress{})); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("a second host name is bound to the adopted routine", func(t *testing.T) {
		a := start(t)
		a.run(t, wish(), &routine.Progress{})
		second := wish()
		second.RecordName = "other.example.com"
		if diff := cmp.Diff(outcome{routine.Adopted, routine.Created}, a.run(t, second, &routine.Progress{})); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("makes no call of CreateRoutine for a routine that is there", func(t *testing.T) {
		a := start(t)
		a.plant(t, -time.Hour)
		progress := &routine.Progress{}
		a.run(t, wish(), progress)
		same(t, "calls", a.calls()[:2], []string{get, record})
		same(t, "progress", *progress, routine.Progress{Routine: routine.Adopted, RoutineCreated: a.clock.Now().Add(-time.Hour)})
	})
	for name, test := range map[string]struct {
		exists esaemu.Routine
		asked  routine.Request
		adopts bool
	}{
		"the same description":           {esaemu.Routine{Description: "d"}, routine.Request{Description: ptr("d")}, true},
		"the description in Base64":      {esaemu.Routine{Description: base64.StdEncoding.EncodeToString([]byte("d"))}, routine.Request{Description: ptr("d")}, true},
		"a description not asked for":    {esaemu.Routine{Description: "d", HasAssets: true}, routine.Request{}, true},
		"another description":            {esaemu.Routine{Description: "e"}, routine.Request{Description: ptr("d")}, false},
		"an empty description asked":     {esaemu.Routine{Description: "e"}, routine.Request{Description: ptr("")}, false},
		"the same hasAssets":             {esaemu.Routine{HasAssets: true}, routine.Request{HasAssets: ptr(true)}, true},
		"hasAssets where false is asked": {esaemu.Routine{HasAssets: true}, routine.Request{HasAssets: ptr(false)}, false},
	} {
		t.Run("a routine with "+name, func(t *testing.T) {
			a := start(t)
			test.exists.Name = "pr-1"
			if err := a.PlantRoutine(test.exists); err != nil {
				t.Fatal(err)
			}
			req := wish()
			req.Description, req.HasAssets = test.asked.Description, test.asked.HasAssets
			if test.adopts {
				if diff := cmp.Diff(outcome{routine.Adopted, routine.Created}, a.run(t, req, &routine.Progress{})); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				return
			}
			failure := a.fail(t, req, &routine.Progress{})
			if failure.Kind != fault.Conflict || failure.Hint == "" || failure.RequestID == "" {
				t.Errorf("got %+v", failure)
			}
			if diff := cmp.Diff([]string{"pr-1"}, a.holds(t)); diff != "" {
				t.Errorf("a foreign routine was touched; -want +got:\n%s", diff)
			}
		})
	}
	t.Run("a record of another routine is a conflict", func(t *testing.T) {
		a := start(t)
		other := wish()
		other.Name = "other"
		a.run(t, other, &routine.Progress{})
		if failure := a.fail(t, wish(), &routine.Progress{}); failure.Kind != fault.Conflict || failure.Code != "ParameterAlreadyExist" {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("an ordinary record is tried few times", func(t *testing.T) {
		a := start(t)
		if _, err := a.PlantRecord(localtest.SiteID, "pr-1.example.com"); err != nil {
			t.Fatal(err)
		}
		if failure := a.fail(t, wish(), &routine.Progress{}); failure.Kind != fault.Internal || failure.Code != "DependedByOthers" {
			t.Errorf("got %+v", failure)
		}
	})
}

func TestTime(t *testing.T) {
	t.Run("a step that does not fit is not started", func(t *testing.T) {
		a := start(t)
		a.workflow.StepTime = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, progress := range []routine.Progress{{}, {Routine: routine.Created}} {
			_, err := a.attempt(ctx, wish(), &progress, recorded)
			if failure := fault.From(err); failure == nil || failure.Kind != fault.Locked || failure.Code != provision.CodeNoTime {
				t.Errorf("got %+v", failure)
			}
		}
		if got := a.calls(); got != nil {
			t.Errorf("ESA was called: %v", got)
		}
	})
}
