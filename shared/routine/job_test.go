package routine_test

import (
	"encoding/json"
	"testing"
	"time"

	"routinely/shared/routine"
)

func TestState(t *testing.T) {
	t.Run("is final once the worker has nothing left to do", func(t *testing.T) {
		want := map[routine.State]bool{
			routine.Queued: false, routine.Succeeded: true, routine.DeadLettered: true, routine.Cancelled: true,
		}
		for state, final := range want {
			if got := state.Final(); got != final {
				t.Errorf("%s: final %t, want %t", state, got, final)
			}
		}
	})
}

func TestJobJSON(t *testing.T) {
	job := routine.Job{
		ID: "1", State: routine.Queued, AcceptedAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Request: routine.Request{Name: "pr-1", SiteID: 5, RecordName: "pr-1.example.com"},
	}
	encoded := func(t *testing.T, job routine.Job) string {
		text, err := json.Marshal(job)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	t.Run("leaves out what has not happened", func(t *testing.T) {
		want := `{"id":"1","state":"queued","ready":false,"request":{"name":"pr-1","siteId":5,"recordName":"pr-1.example.com"},` +
			`"acceptedAt":"2026-03-01T12:00:00Z"}`
		if got := encoded(t, job); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	t.Run("tells how it ended", func(t *testing.T) {
		ended := job
		ended.State, ended.UpdatedAt, ended.StartedAt = routine.DeadLettered, job.AcceptedAt, job.AcceptedAt
		ended.Attempt, ended.HandedBack, ended.Redriven, ended.Caller = 2, 3, 1, "ci"
		ended.Kind, ended.Code, ended.Hint, ended.Reason = "account", "ServiceNotOpen", "activate it", "not retryable"
		want := `{"id":"1","state":"dead-lettered","ready":false,"request":{"name":"pr-1","siteId":5,"recordName":"pr-1.example.com"},` +
			`"caller":"ci","acceptedAt":"2026-03-01T12:00:00Z","updatedAt":"2026-03-01T12:00:00Z","startedAt":"2026-03-01T12:00:00Z",` +
			`"attempt":2,"handedBack":3,"redriven":1,"kind":"account","code":"ServiceNotOpen","hint":"activate it",` +
			`"reason":"not retryable"}`
		if got := encoded(t, ended); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}
