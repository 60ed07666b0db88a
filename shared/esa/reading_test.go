package esa_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/esa"
	"routinely/shared/fault"
)

func TestReadingsOfARoutine(t *testing.T) {
	// ESA's clock is ten minutes ahead of ours.
	now := time.Now().UTC().Add(10 * time.Minute).Truncate(time.Second)
	startAhead := func(t *testing.T) (*esaemu.Server, *esa.Client) {
		t.Helper()
		server, url := localtest.ESA(t, clock.NewManual(now), 0)
		return server, newClient(t, url)
	}
	t.Run("one that is there comes with its CreateTime and ESA's own time", func(t *testing.T) {
		server, client := startAhead(t)
		made := now.Add(-time.Hour)
		if err := server.PlantRoutine(esaemu.Routine{Name: "pr-1", Description: "d", HasAssets: true, CreateTime: made}); err != nil {
			t.Fatal(err)
		}
		got, err := client.GetRoutine(t.Context(), "pr-1")
		if err != nil || got.RequestID == "" {
			t.Fatalf("%+v, %v", got, err)
		}
		want := esa.Reading{Routine: &esa.Routine{Description: "d", HasAssets: true, CreateTime: made}, At: now, RequestID: got.RequestID}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("one that is not there is a reading too, with ESA's own time", func(t *testing.T) {
		_, client := startAhead(t)
		got, err := client.GetRoutine(t.Context(), "nobody")
		if err != nil || got.RequestID == "" {
			t.Fatalf("%+v, %v", got, err)
		}
		if diff := cmp.Diff(esa.Reading{At: now, RequestID: got.RequestID}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	for name, answer := range map[string]faults.Fault{
		"a routine":  {Answer: faults.Document, Body: `{"CreateTime":"2026-01-02T03:04:05Z","RequestId":"R7"}`},
		"no routine": {Answer: faults.Error, Code: "RoutineNotExist"},
	} {
		t.Run("an answer without a readable Date is unusable: "+name, func(t *testing.T) {
			server, client := startAhead(t)
			answer.Headers = map[string]string{"Date": "this morning"}
			inject(t, server, faults.Rule{Action: "GetRoutine", Fault: answer})
			got, err := client.GetRoutine(t.Context(), "pr-1")
			failure := fault.From(err)
			if failure == nil || failure.Kind != fault.Unavailable || failure.Code != "UnusableAnswer" || failure.Step != "GetRoutine" || failure.RequestID == "" {
				t.Errorf("got %+v, %+v", got, failure)
			}
		})
	}
	for _, text := range []string{"", "yesterday", "1767323045", "2026-01-02 03:04:05"} {
		t.Run("a CreateTime that is no RFC 3339 is not known, the routine is: "+text, func(t *testing.T) {
			server, client := startAhead(t)
			inject(t, server, faults.Rule{Action: "GetRoutine", Fault: faults.Fault{Answer: faults.Document, Body: `{"CreateTime":"` + text + `"}`}})
			got, err := client.GetRoutine(t.Context(), "pr-1")
			if err != nil || got.Routine == nil || !got.Routine.CreateTime.IsZero() {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	t.Run("a CreateTime of another time zone is the same moment", func(t *testing.T) {
		server, client := startAhead(t)
		inject(t, server, faults.Rule{Action: "GetRoutine", Fault: faults.Fault{Answer: faults.Document, Body: `{"CreateTime":"2026-01-02T11:04:05+08:00"}`}})
		got, err := client.GetRoutine(t.Context(), "pr-1")
		if err != nil || got.Routine == nil || got.Routine.CreateTime != time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("any other failure is no reading", func(t *testing.T) {
		server, client := startAhead(t)
		inject(t, server, faults.Rule{Action: "GetRoutine", Fault: faults.Fault{Answer: faults.Error, Code: "InternalException"}})
		got, err := client.GetRoutine(t.Context(), "pr-1")
		if err == nil || got != (esa.Reading{}) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
