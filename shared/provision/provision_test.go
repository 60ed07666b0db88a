package provision_test

import (
	"context"
	"encoding/base64"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/localtest"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

func TestAdoption(t *testing.T) {
	t.Run("what is asked for first is made, asked for again it is adopted, and so is the routine with another host name", func(t *testing.T) {
		a, other := start(t), wish()
		same(t, "outcome", a.run(t, wish(), &routine.Progress{}), outcome{routine.Created, routine.Created})
		same(t, "it looks, makes the routine, reads it back, and binds the host name", a.calls()[:4], []string{get, create, get, record})
		same(t, "ESA holds", a.holds(t), []string{"pr-1", "pr-1 pr-1.example.com"})
		same(t, "the second time", a.run(t, wish(), &routine.Progress{}), outcome{routine.Adopted, routine.Adopted})
		other.Records = []routine.Record{{SiteID: localtest.SiteID, RecordName: "other.example.com"}}
		same(t, "with another name", a.run(t, other, &routine.Progress{}), outcome{routine.Adopted, routine.Created})
	})
	t.Run("makes no call of CreateRoutine for a routine that is there", func(t *testing.T) {
		a := start(t)
		a.plant(t, -time.Hour)
		progress := &routine.Progress{}
		a.run(t, wish(), progress)
		same(t, "calls", a.calls()[:2], []string{get, record})
		same(t, "progress", bare(progress), routine.Progress{Routine: routine.Adopted, RoutineCreated: a.clock.Now().Add(-time.Hour)})
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
			must(t, a.PlantRoutine(test.exists))
			req := wish()
			req.Description, req.HasAssets = test.asked.Description, test.asked.HasAssets
			if test.adopts {
				same(t, "outcome", a.run(t, req, &routine.Progress{}), outcome{routine.Adopted, routine.Created})
				return
			}
			failure := a.fail(t, req, &routine.Progress{})
			if failure.Kind != fault.Conflict || failure.Hint == "" || failure.RequestID == "" {
				t.Errorf("got %+v", failure)
			}
			same(t, "a foreign routine was touched", a.holds(t), []string{"pr-1"})
		})
	}
	t.Run("a record of another routine is a conflict", func(t *testing.T) {
		a := start(t)
		other := wish()
		other.Name = "other"
		a.run(t, other, &routine.Progress{})
		a.fails(t, wish(), &routine.Progress{}, fault.Conflict, "ParameterAlreadyExist")
	})
	t.Run("an ordinary record is tried few times", func(t *testing.T) {
		a := start(t)
		if _, err := a.PlantRecord(localtest.SiteID, "pr-1.example.com"); err != nil {
			t.Fatal(err)
		}
		a.fails(t, wish(), &routine.Progress{}, fault.Internal, "DependedByOthers")
	})
}

func TestStepWithoutTime(t *testing.T) {
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
	same(t, "calls", a.calls(), nil)
}
