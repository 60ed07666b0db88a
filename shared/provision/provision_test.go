package provision_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

func ptr[T any](v T) *T { return &v }

func wish() routine.Request {
	return routine.Request{Name: "pr-1", SiteID: localtest.SiteID, RecordName: "pr-1.example.com"}
}

// account is an ESA with a workflow on it.
type account struct {
	*esaemu.Server
	workflow provision.Workflow
}

func start(t *testing.T) account {
	t.Helper()
	server, url := localtest.ESA(t, nil, 0)
	client, err := esa.New(esa.Config{Endpoint: url, Credentials: localtest.Credentials, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return account{server, provision.Workflow{ESA: client, Timeout: 10 * time.Second}}
}

func (a account) inject(t *testing.T, rules ...faults.Rule) {
	t.Helper()
	for _, rule := range rules {
		if _, err := a.Faults().Add(rule); err != nil {
			t.Fatal(err)
		}
	}
}

// calls lists the actions ESA was called with, in their order.
func (a account) calls() []string {
	var out []string
	for _, call := range a.Faults().Calls() {
		out = append(out, call.Action)
	}
	return out
}

// holds lists what ESA has: routine, then its records.
func (a account) holds(t *testing.T) []string {
	t.Helper()
	state, err := a.State()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range state.Routines {
		out = append(out, r.Name)
		for _, record := range r.Records {
			out = append(out, r.Name+" "+record.RecordName)
		}
	}
	return out
}

var complete = []string{"pr-1", "pr-1 pr-1.example.com"}

const (
	create = "CreateRoutine"
	bind   = "CreateRoutineRelatedRecord"
	get    = "GetRoutine"
	list   = "ListRoutineRelatedRecords"
)

// recorded is a begin that succeeds.
func recorded(context.Context, routine.Progress) error { return nil }

// outcome is a Result without the record's id, which ESA chooses.
type outcome struct{ Routine, Record routine.Outcome }

// run expects success and checks that the record's id is ESA's.
func (a account) run(t *testing.T, req routine.Request, progress *routine.Progress) outcome {
	t.Helper()
	result, err := a.workflow.Run(t.Context(), req, progress, recorded)
	if err != nil {
		t.Fatal(err)
	}
	id, found, err := a.workflow.ESA.FindRelatedRecord(t.Context(), req.Name, req.SiteID, req.RecordName)
	if err != nil || !found || id != result.RecordID {
		t.Errorf("record id %d, ESA has %d (%t, %v)", result.RecordID, id, found, err)
	}
	return outcome{result.Routine, result.Record}
}

func (a account) fail(t *testing.T, req routine.Request, progress *routine.Progress) *fault.Error {
	t.Helper()
	result, err := a.workflow.Run(t.Context(), req, progress, recorded)
	if err == nil {
		t.Fatalf("got %+v, want a failure", result)
	}
	return fault.From(err)
}

func TestFreshRequest(t *testing.T) {
	a := start(t)
	got := a.run(t, wish(), &routine.Progress{})
	if diff := cmp.Diff(outcome{routine.Created, routine.Created}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{create, bind}, a.calls()[:2]); diff != "" {
		t.Errorf("the two calls that do the work, and nothing before them; -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(complete, a.holds(t)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
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
	t.Run("an ordinary record is a conflict", func(t *testing.T) {
		a := start(t)
		if _, err := a.PlantRecord(localtest.SiteID, "pr-1.example.com"); err != nil {
			t.Fatal(err)
		}
		if failure := a.fail(t, wish(), &routine.Progress{}); failure.Kind != fault.Conflict {
			t.Errorf("got %+v", failure)
		}
	})
}

func TestIfExistsFail(t *testing.T) {
	strict := wish()
	strict.IfExists = routine.Fail
	t.Run("creates what is not there", func(t *testing.T) {
		if diff := cmp.Diff(outcome{routine.Created, routine.Created}, start(t).run(t, strict, &routine.Progress{})); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("refuses an equal routine", func(t *testing.T) {
		a := start(t)
		if err := a.PlantRoutine(esaemu.Routine{Name: "pr-1"}); err != nil {
			t.Fatal(err)
		}
		if failure := a.fail(t, strict, &routine.Progress{}); failure.Kind != fault.Conflict || failure.Code != "RoutineAlreadyExist" {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("refuses an equal record", func(t *testing.T) {
		a := start(t)
		a.run(t, wish(), &routine.Progress{})
		if failure := a.fail(t, strict, &routine.Progress{Routine: routine.Created}); failure.Kind != fault.Conflict || failure.Code != "ParameterAlreadyExist" {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("takes what an earlier attempt of the job may have created", func(t *testing.T) {
		a := start(t)
		a.run(t, wish(), &routine.Progress{})
		if diff := cmp.Diff(outcome{routine.Adopted, routine.Adopted}, a.run(t, strict, &routine.Progress{RecordUnknown: true})); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("takes it also when ESA shows it only after refusing its name", func(t *testing.T) {
		a := start(t)
		a.run(t, wish(), &routine.Progress{})
		a.inject(t,
			faults.Rule{Action: get, Fault: faults.Fault{Answer: faults.Error, Code: "RoutineNotExist"}},
			faults.Rule{Action: list, Fault: faults.Fault{Answer: faults.Document, Body: `{"TotalCount":0,"RelatedRecords":[]}`}},
		)
		if diff := cmp.Diff(outcome{routine.Adopted, routine.Adopted}, a.run(t, strict, &routine.Progress{RecordUnknown: true})); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

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
		for _, action := range []string{create, bind} {
			readBack := map[string]string{create: get, bind: list}[action]
			t.Run(fmt.Sprintf("%s of %s that took effect is settled by reading back", name, action), func(t *testing.T) {
				a, effective := start(t), injected
				effective.Execute = true
				a.inject(t, faults.Rule{Action: action, Fault: effective})
				a.run(t, wish(), &routine.Progress{})
				if n := a.Faults().Count(action); n != 1 {
					t.Errorf("%d calls of %s, want 1", n, action)
				}
				if diff := cmp.Diff(complete, a.holds(t)); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
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
				if first := a.calls()[:2]; first[0] != readBack || first[1] != action {
					t.Errorf("began with %v", first)
				}
			})
		}
	}
	t.Run("stays unknown while reading back fails too", func(t *testing.T) {
		a := start(t)
		a.inject(t,
			faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Reset, Execute: true}},
			faults.Rule{Action: get, Times: 2, Fault: faults.Fault{Answer: faults.HTML}},
		)
		progress := &routine.Progress{}
		if failure := a.fail(t, wish(), progress); failure.Step != create || progress.Look == nil {
			t.Errorf("got %+v, progress %+v", failure, progress)
		}
		if failure := a.fail(t, wish(), progress); failure.Step != get {
			t.Errorf("acted without having read back: %+v", failure)
		}
		if diff := cmp.Diff(outcome{routine.Adopted, routine.Created}, a.run(t, wish(), progress)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("finds a foreign routine behind a broken answer", func(t *testing.T) {
		a := start(t)
		if err := a.PlantRoutine(esaemu.Routine{Name: "pr-1", Description: "theirs"}); err != nil {
			t.Fatal(err)
		}
		a.inject(t, faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Reset}})
		req := wish()
		req.Description = ptr("ours")
		if failure := a.fail(t, req, &routine.Progress{}); failure.Kind != fault.Conflict {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("tries again when the name is taken but nothing is shown", func(t *testing.T) {
		a := start(t)
		a.inject(t, faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Error, Code: "RoutineAlreadyExist"}})
		if failure := a.fail(t, wish(), &routine.Progress{}); failure.Kind != fault.Unavailable || failure.Code != "RoutineAlreadyExist" {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("waits for a record that the list does not show yet", func(t *testing.T) {
		a := start(t)
		a.run(t, wish(), &routine.Progress{})
		if err := a.SetAccount(esaemu.AccountChange{ListDelayMillis: ptr(int64(3_600_000))}); err != nil {
			t.Fatal(err)
		}
		failure := a.fail(t, wish(), &routine.Progress{Routine: routine.Created, RecordUnknown: true})
		if failure.Kind != fault.Unavailable || failure.Code != "ParameterAlreadyExist" {
			t.Errorf("got %+v", failure)
		}
	})
}

func TestRoutineThatIsNotThere(t *testing.T) {
	notThere := faults.Rule{Action: bind, Fault: faults.Fault{Answer: faults.Error, Code: "RoutineNotExist"}}
	t.Run("right after creating it is a delay", func(t *testing.T) {
		a := start(t)
		a.inject(t, notThere)
		progress := &routine.Progress{}
		if failure := a.fail(t, wish(), progress); failure.Kind != fault.Unavailable || failure.Code != "RoutineNotExist" {
			t.Errorf("got %+v", failure)
		}
		if diff := cmp.Diff(outcome{routine.Created, routine.Created}, a.run(t, wish(), progress)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("later it was deleted: it is created once more", func(t *testing.T) {
		a := start(t)
		if diff := cmp.Diff(outcome{routine.Created, routine.Created}, a.run(t, wish(), &routine.Progress{Routine: routine.Created})); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("unless it is there after all: it is the job's own, not a conflict", func(t *testing.T) {
		a := start(t)
		if err := a.PlantRoutine(esaemu.Routine{Name: "pr-1"}); err != nil {
			t.Fatal(err)
		}
		a.inject(t, notThere)
		strict := wish()
		strict.IfExists = routine.Fail
		if diff := cmp.Diff(outcome{routine.Adopted, routine.Created}, a.run(t, strict, &routine.Progress{Routine: routine.Created})); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("and not a third time", func(t *testing.T) {
		a := start(t)
		failure := a.fail(t, wish(), &routine.Progress{Routine: routine.Created, RoutineRecreated: true})
		if failure.Kind != fault.NotFound || failure.Code != "RoutineNotExist" {
			t.Errorf("got %+v", failure)
		}
		if got := a.holds(t); got != nil {
			t.Errorf("ESA holds %v", got)
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
			_, err := a.workflow.Run(ctx, wish(), &progress, recorded)
			if failure := fault.From(err); failure == nil || failure.Kind != fault.Locked || failure.Code != provision.CodeNoTime {
				t.Errorf("got %+v", failure)
			}
		}
		if got := a.calls(); got != nil {
			t.Errorf("ESA was called: %v", got)
		}
	})
}
