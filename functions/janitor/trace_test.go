package janitor_test

import (
	"testing"
	"time"

	"routinely/shared/ledger"
	"routinely/shared/trace"
)

func TestTraces(t *testing.T) {
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	const parent = trace.Parent("00-" + traceID + "-00f067aa0ba902b7-01")
	traced := func(r *ledger.Row) { r.Trace = parent }
	t.Run("are named by the lines about a job", func(t *testing.T) {
		h := start(t)
		h.job(t, "job-1")
		h.change(t, "job-1", traced)
		h.change(t, "job-1", func(r *ledger.Row) { must(t, r.Due(h.clock.Now())) })
		h.clock.Advance(time.Second)
		lines := h.lines(t)
		same(t, "sent", jobs(lines, "sent what was due"), []string{"job-1"})
		for _, line := range lines {
			if line["jobId"] != nil {
				same(t, "trace", line["traceId"], any(traceID))
			}
		}
	})
	t.Run("begin with the jobs that the janitor makes", func(t *testing.T) {
		h := start(t)
		h.overdue(t, "pr-1")
		const made = "the time of a routine is over"
		lines := h.lines(t)
		ids := jobs(lines, made)
		if len(ids) != 1 {
			t.Fatalf("made %v", ids)
		}
		row, err := h.Ledger.Row(t.Context(), ids[0])
		must(t, err)
		for _, line := range lines {
			if line["msg"] == made && (row.Trace == "" || line["traceId"] != row.Trace.ID()) {
				t.Errorf("row %q, line %v", row.Trace, line)
			}
		}
	})
}
