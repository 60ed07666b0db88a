package esa_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/esa"
	"routinely/shared/fault"
)

// planted is a local ESA with the routine pr-1 and its record a.example.com, both made by somebody else.
func planted(t *testing.T) (server *esaemu.Server, client *esa.Client, recordID int64) {
	t.Helper()
	server, client = start(t)
	if err := server.PlantRoutine(esaemu.Routine{Name: "pr-1", Description: "old"}); err != nil {
		t.Fatal(err)
	}
	recordID, err := server.BindRecord("pr-1", localtest.SiteID, "a.example.com")
	if err != nil {
		t.Fatal(err)
	}
	return server, client, recordID
}

func stateOf(t *testing.T, server *esaemu.Server) esaemu.State {
	t.Helper()
	state, err := server.State()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestLife(t *testing.T) {
	t.Run("deletes a record and then the routine", func(t *testing.T) {
		server, client, id := planted(t)
		if err := client.DeleteRoutineRelatedRecord(t.Context(), "pr-1", localtest.SiteID, id, "a.example.com"); err != nil {
			t.Fatal(err)
		}
		if n := len(stateOf(t, server).Routines[0].Records); n != 0 {
			t.Errorf("%d records left", n)
		}
		if err := client.DeleteRoutine(t.Context(), "pr-1"); err != nil {
			t.Fatal(err)
		}
		if n := len(stateOf(t, server).Routines); n != 0 {
			t.Errorf("%d routines left", n)
		}
	})
	t.Run("does not delete a routine that ESA says is used", func(t *testing.T) {
		server, client, _ := planted(t)
		if err := client.DeleteRoutine(t.Context(), "pr-1"); !fault.HasCode(err, esa.CodeDependedByOthers) {
			t.Error(err)
		}
		if n := len(stateOf(t, server).Routines); n != 1 {
			t.Errorf("%d routines left", n)
		}
	})
	t.Run("says what is not there when it is to be deleted", func(t *testing.T) {
		_, client, id := planted(t)
		for want, err := range map[string]error{
			esa.CodeRoutineNotExist:       client.DeleteRoutine(t.Context(), "nobody"),
			esa.CodeParameterNotExist:     client.DeleteRoutineRelatedRecord(t.Context(), "pr-1", localtest.SiteID, id+1, "a.example.com"),
			esa.CodeSiteParameterNotMatch: client.DeleteRoutineRelatedRecord(t.Context(), "pr-1", 1, id, "a.example.com"),
		} {
			if !fault.HasCode(err, want) || !fault.HasKind(err, fault.NotFound) {
				t.Errorf("want %s: %v", want, err)
			}
		}
	})
	for _, description := range []string{"日本 & <b>+%", ""} {
		t.Run("changes a description to "+description, func(t *testing.T) {
			server, client, _ := planted(t)
			if err := client.UpdateDescription(t.Context(), "pr-1", description); err != nil {
				t.Fatal(err)
			}
			if got := stateOf(t, server).Routines[0].Description; got != description {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestLostAnswersOfALife(t *testing.T) {
	for _, action := range []string{"DeleteRoutine", "DeleteRoutineRelatedRecord", "UpdateRoutineConfigDescription"} {
		for name, injected := range map[string]faults.Fault{
			"lost, not executed": {Answer: faults.Reset},
			"lost, executed":     {Answer: faults.Reset, Execute: true},
			"an empty 200":       {Answer: faults.Empty},
			"a Status of Fail":   {Answer: faults.Document, Body: `{"Status":"Fail","RequestId":"R7"}`},
			"no Status":          {Answer: faults.Document, Body: `{"RequestId":"R7"}`},
			"null":               {Answer: faults.Document, Body: `null`},
		} {
			t.Run(action+" has no known outcome: "+name, func(t *testing.T) {
				server, client := start(t)
				inject(t, server, faults.Rule{Action: action, Fault: injected})
				failure := fault.From(calls()[action](t.Context(), client))
				if failure == nil || failure.Kind != fault.Unavailable || !failure.OutcomeUnknown || failure.Step != action || failure.Hint == "" {
					t.Errorf("got %+v", failure)
				}
				if n := server.Faults().Count(action); n != 1 {
					t.Errorf("%d calls, want 1", n)
				}
			})
		}
	}
	t.Run("a deletion whose answer was lost is seen by reading back", func(t *testing.T) {
		server, client := start(t)
		if err := server.PlantRoutine(esaemu.Routine{Name: "pr-1"}); err != nil {
			t.Fatal(err)
		}
		inject(t, server, faults.Rule{Action: "DeleteRoutine", Fault: faults.Fault{Answer: faults.Reset, Execute: true}})
		if err := client.DeleteRoutine(t.Context(), "pr-1"); err == nil {
			t.Error("no error")
		}
		got, err := client.GetRoutine(t.Context(), "pr-1")
		if diff := cmp.Diff((*esa.Routine)(nil), got.Routine); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
	})
}
