package provision_test

import (
	"slices"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestLedgerDown(t *testing.T) {
	for name, broken := range map[string]faults.Fault{
		"down":        {Answer: faults.Error, Status: 503, Code: "OTSServerUnavailable"},
		"overwhelmed": {Answer: faults.Error, Status: 503, Code: "OTSServerBusy"},
		"a proxy":     {Answer: faults.HTML},
		"silent":      {Answer: faults.Empty},
		"cut off":     {Answer: faults.Truncated},
		"hanging up":  {Answer: faults.Reset},
	} {
		t.Run("a ledger that is "+name+": an error after a short wait, nothing called and nothing sent, the rest not begun", func(t *testing.T) {
			l := start(t)
			batch := []string{message(t, l.accept(t, 1)), message(t, l.accept(t, 2)), "rubbish"}
			l.ots.Faults().Reset()
			inject(t, l.ots.Faults(), faults.Rule{Times: forever, Fault: broken})
			began := l.clock.Now()
			report, err := l.handle(t, batch...)
			if !fault.HasKind(err, fault.Unavailable) {
				t.Errorf("got %v", err)
			}
			same(t, "outcomes", outcomes(report), times(3, "not-settled"))
			for _, line := range report.Messages {
				if line.Kind != fault.Unavailable || line.Hint == "" || line.Error == "" {
					t.Errorf("got %+v", line)
				}
			}
			same(t, "waited", l.clock.Now().Sub(began), time.Second)
			same(t, "calls of the ledger", slices.Compact(calls(l.ots.Faults())), []string{readAccount})
			same(t, "ESA calls", calls(l.esa.Faults()), nil)
			same(t, "messages sent", l.mns.Faults().Count(sendMessage), 0)
			l.heal()
			same(t, "once it is back", l.invoke(t, batch...), []string{"succeeded", "succeeded", "dead-lettered"})
		})
	}
	t.Run("a hiccup costs no delivery", func(t *testing.T) {
		l := start(t)
		body := message(t, l.accept(t, 1))
		inject(t, l.ots.Faults(), faults.Rule{Action: readRows, Times: 2, Fault: faults.Fault{Answer: faults.Reset}})
		l.expect(t, "succeeded", body)
	})
	t.Run("a ledger that refuses the function is asked once", func(t *testing.T) {
		l := start(t)
		body := message(t, l.accept(t, 1))
		l.ots.Faults().Reset()
		inject(t, l.ots.Faults(), faults.Rule{Times: forever, Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: "OTSAuthFailed"}})
		if _, err := l.handle(t, body); !fault.HasCode(err, "OTSAuthFailed") {
			t.Errorf("got %v", err)
		}
		same(t, "calls of the ledger", calls(l.ots.Faults()), []string{readAccount})
	})
	for name, test := range map[string]struct {
		skip int
		// creates is how often CreateRoutine is called in all.
		creates int
	}{
		"at the begin":                  {0, 1},
		"at the index rows of the end":  {1, 1},
		"at the end":                    {2, 1},
		"at the mark of the callback":   {3, 1},
		"at the index rows left behind": {4, 1},
	} {
		t.Run("going down "+name+" loses nothing and does nothing twice", func(t *testing.T) {
			l := start(t)
			body := message(t, l.accept(t, 1, strict, hooked))
			l.ledgerFails(t, writeRows, test.skip)
			if _, err := l.handle(t, body); (err == nil) != (test.skip > 2) {
				t.Errorf("got %v", err)
			}
			l.heal()
			l.drain(t, body)
			row := l.row(t, "job-1")
			if row.State != routine.Succeeded || !row.DueAt.IsZero() {
				t.Errorf("row %+v", row)
			}
			same(t, "calls of step 1", l.esa.Faults().Count(createRoutine), test.creates)
			same(t, "calls of step 2", l.esa.Faults().Count(createRecord), 1)
			l.holds(t, 1, 1)
			ids := map[string]bool{}
			for _, c := range l.callbacks(t) {
				ids[c.ID] = true
			}
			same(t, "events", len(ids), 1)
		})
	}
	t.Run("going down in a wait for the lock ends the wait: no call is made without its look on record", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRoutine, locked, 1)
		body := message(t, l.accept(t, 1, strict))
		l.ledgerFails(t, writeRows, 1)
		if _, err := l.handle(t, body); !fault.HasKind(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
		same(t, "calls of step 1", l.esa.Faults().Count(createRoutine), 1)
		l.heal()
		l.expect(t, "succeeded", body)
	})
}

// TestLostAnswer is about a write of the row that took effect without an answer, while the read that is to settle it fails too, also when it
// is sent once more on another connection.
func TestLostAnswer(t *testing.T) {
	for name, write := range map[string]int{"the begin": 0, "the end": 2} {
		t.Run("of "+name+" is known for our own", func(t *testing.T) {
			l := start(t)
			body := message(t, l.accept(t, 1, strict))
			inject(t, l.ots.Faults(),
				faults.Rule{Action: writeRows, Skip: write, Fault: faults.Fault{Answer: faults.Reset, Execute: true}},
				faults.Rule{Action: readRows, Skip: 1, Times: 2, Fault: faults.Fault{Answer: faults.Reset}},
			)
			l.expect(t, "succeeded", body)
			same(t, "rules left", len(l.ots.Faults().Rules()), 0)
			same(t, "state", l.row(t, "job-1").State, routine.Succeeded)
			l.holds(t, 1, 1)
		})
	}
	t.Run("of a hand-over counts one attempt", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRoutine, "InternalException", 1)
		body := message(t, l.accept(t, 1))
		inject(t, l.ots.Faults(),
			faults.Rule{Action: writeRows, Skip: 1, Fault: faults.Fault{Answer: faults.Reset, Execute: true}},
			faults.Rule{Action: readRows, Skip: 1, Times: 2, Fault: faults.Fault{Answer: faults.Reset}},
		)
		l.expect(t, "again", body)
		same(t, "attempts", len(l.row(t, "job-1").Attempts), 1)
	})
}

// TestOtherWriters is about changes of the row that do not concern the worker.
func TestOtherWriters(t *testing.T) {
	t.Run("do not stop it", func(t *testing.T) {
		l := start(t)
		body := message(t, l.accept(t, 1))
		reads := 0
		l.cfg.Now = func() time.Time {
			if reads++; reads == 2 { // between the read of the row and its begin
				l.change(t, "job-1", func(r *ledger.Row) error {
					r.CountUndelivered("M7")
					return nil
				})
			}
			return l.clock.Now()
		}
		l.expect(t, "succeeded", body)
	})
}
