package dispatch_test

import (
	"testing"
	"time"

	"routinely/queue"
	"routinely/shared/dispatch"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestDeadLetter(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := queue.Delivery{Envelope: queue.Envelope{
		JobID: "job-1", AcceptedAt: at.Add(-time.Hour), Round: 2, Number: 3,
		Request: routine.Request{Name: "pr-1", Records: []routine.Record{{SiteID: 5, RecordName: "pr-1.example.com"}}},
	}}
	file := func(id string, d queue.Delivery) ledger.Row {
		return dispatch.DeadLetter(id, d, &fault.Error{Kind: fault.NotFound, Code: "UnknownJob"}, "unknown", ledger.Worker, at)
	}
	t.Run("of a job is in the message's round, so that a copy of the message finds it over", func(t *testing.T) {
		row := file("job-1", d)
		if standing := row.Standing(d.Envelope.Round, d.Envelope.Number); standing != ledger.Over || row.Last.Redriven != 2 {
			t.Errorf("standing %d, %+v", standing, row.Last)
		}
	})
	t.Run("of its own begins in round 0", func(t *testing.T) {
		if row := file("another", d); row.Redriven != 0 {
			t.Errorf("round %d", row.Redriven)
		}
	})
	t.Run("was accepted when the message says, else when it was found", func(t *testing.T) {
		if row := file("job-1", d); !row.AcceptedAt.Equal(d.Envelope.AcceptedAt) {
			t.Errorf("accepted at %s", row.AcceptedAt)
		}
		if row := file("another", queue.Delivery{}); !row.AcceptedAt.Equal(at) {
			t.Errorf("accepted at %s", row.AcceptedAt)
		}
	})
}
