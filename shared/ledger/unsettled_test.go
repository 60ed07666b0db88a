package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestCancelUnsettled(t *testing.T) {
	t.Run("tells of the record too, which a worker that never reported may have made", func(t *testing.T) {
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		req := routine.Request{Name: "pr-1", SiteID: 5, RecordName: "pr-1.example.com"}
		row := ledger.NewRow(routine.Job{ID: "job-1", AcceptedAt: at, Request: req})
		row.Begin(1, routine.Progress{Look: &routine.Look{At: at, Until: at.Add(time.Minute)}}, at)
		if err := row.Cancel("op", "", at.Add(ledger.CancelAfter)); err != nil {
			t.Fatal(err)
		}
		want := []routine.Left{
			{Routine: "pr-1", Outcome: routine.Unknown},
			{Routine: "pr-1", SiteID: 5, RecordName: "pr-1.example.com", Outcome: routine.Unknown},
		}
		if diff := cmp.Diff(want, row.Left); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}
