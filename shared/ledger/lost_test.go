package ledger_test

import (
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// TestWriteSentTwice is about a write that took effect without an answer, which the transport then sends once more.
func TestWriteSentTwice(t *testing.T) {
	server, url := localtest.OTS(t, nil)
	l, err := ledger.New(ledger.Config{
		Endpoint: url, Instance: localtest.Instance, Table: "t_jobs", StateTable: "t_state", Credentials: localtest.Credentials, Timeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	for _, name := range []string{"t_jobs", "t_state"} {
		if err := server.CreateTable(name, "p", "s"); err != nil {
			t.Fatal(err)
		}
	}
	row := ledger.NewRow(routine.Job{
		ID: "job-1", AcceptedAt: time.Now(), Request: routine.Request{Name: "pr-1", SiteID: 5, RecordName: "pr-1.example.com"},
	})
	row = l.Create(t.Context(), row)[0].Row
	begin := func(r *ledger.Row) { r.Begin(1, routine.Progress{}, time.Now()) }
	lose := func(rules ...faults.Rule) {
		for _, rule := range rules {
			if _, err := server.Faults().Add(rule); err != nil {
				t.Fatal(err)
			}
		}
	}
	lost := faults.Fault{Answer: faults.Reset, Execute: true}
	t.Run("is not taken for another writer's", func(t *testing.T) {
		lose(faults.Rule{Action: "BatchWriteRow", Fault: lost})
		if row, err = l.Update(t.Context(), row, begin); err != nil || row.Begins != 1 {
			t.Errorf("%+v, %v", row, err)
		}
	})
	t.Run("is in doubt while the row cannot be read; with its own mark it is known later", func(t *testing.T) {
		lose(faults.Rule{Action: "BatchWriteRow", Fault: lost}, faults.Rule{Action: "BatchGetRow", Times: 2, Fault: faults.Fault{Answer: faults.Reset}})
		marked := func(r *ledger.Row) {
			begin(r)
			r.Write = "mark"
		}
		if _, err := l.Update(t.Context(), row, marked); !fault.HasKind(err, fault.Unavailable) {
			t.Fatalf("got %v", err)
		}
		server.Faults().Clear()
		now, err := l.Row(t.Context(), "job-1")
		if err != nil || now.Write != "mark" || now.Begins != 2 {
			t.Errorf("%+v, %v", now, err)
		}
	})
	t.Run("another writer's is", func(t *testing.T) {
		if _, err := l.Update(t.Context(), row, begin); !fault.HasCode(err, ledger.CodeChanged) {
			t.Errorf("got %v", err)
		}
	})
}
