package provision_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/sim"
	"routinely/shared/dispatch"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// TestBatch delivers a batch twice: exactly the jobs that were not settled the first time run the second time.
func TestBatch(t *testing.T) {
	l := start(t)
	var batch []string
	for n := range 10 {
		batch = append(batch, message(t, l.accept(t, n)))
	}
	inject(t, l.ots.Faults(), faults.Rule{
		Action: writeRows, Match: ofJobs(), Skip: 20, Times: 3, Fault: faults.Fault{Answer: faults.Error, Code: "OTSParameterInvalid"},
	})
	report, err := l.handle(t, batch...)
	if err == nil {
		t.Error("the platform gets no error")
	}
	again, broken := times(10, "duplicate"), map[string]bool{}
	for i, line := range report.Messages {
		if line.Outcome == "not-settled" {
			again[i], broken[fmt.Sprintf("pr-%d", i)] = "succeeded", true
			if line.Code != "OTSParameterInvalid" || line.Hint == "" || line.Error == "" || line.ESARequestID != "" {
				t.Errorf("got %+v", line)
			}
		}
	}
	if len(broken) == 0 || len(broken) > 3 {
		t.Errorf("not settled: %v", broken)
	}
	l.esa.Faults().Reset()
	same(t, "outcomes the second time", l.invoke(t, batch...), again)
	for _, call := range l.esa.Faults().Calls() {
		if name := call.Params["Name"]; name != "" && !broken[name] {
			t.Errorf("the second time %s of %s", call.Action, name)
		}
	}
	l.holds(t, 10, 10)
}

// ignores delivers a message of job-1 that must call, send and write nothing.
func (l *lane) ignores(t *testing.T, body string) {
	t.Helper()
	before, sent := l.row(t, "job-1").Write, l.mns.Faults().Count(sendMessage)
	l.esa.Faults().Reset()
	l.expect(t, "duplicate", body)
	same(t, "ESA calls", calls(l.esa.Faults()), nil)
	same(t, "messages sent", l.mns.Faults().Count(sendMessage), sent)
	same(t, "write of the row", l.row(t, "job-1").Write, before)
}

func TestCopies(t *testing.T) {
	t.Run("of a delivery that was settled do nothing", func(t *testing.T) {
		l := start(t)
		body := message(t, l.accept(t, 1, strict))
		same(t, "outcomes", l.invoke(t, body, body), []string{"succeeded", "duplicate"})
		l.ignores(t, body)
	})
	t.Run("with an older number do nothing", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRoutine, "InternalException", 1)
		body := message(t, l.accept(t, 1))
		l.expect(t, "again", body)
		l.ignores(t, body)
	})
	t.Run("with a higher number of the round are of a hand-over that was not recorded, and raise the row", func(t *testing.T) {
		l := start(t)
		row := l.accept(t, 1)
		e := dispatch.Envelope(row)
		e.Number = 3
		l.refuses(t, createRoutine, locked, 1)
		l.cfg.Sleep = func(context.Context, time.Duration) {
			if begun := l.row(t, "job-1"); begun.Number != 3 || begun.Begins != 1 {
				t.Errorf("row %+v", begun)
			}
		}
		l.expect(t, "succeeded", encoded(t, e))
		l.expect(t, "duplicate", message(t, row))
		l.holds(t, 1, 1)
	})
	t.Run("of a higher round are an error, nothing is done, and the others of the batch go on", func(t *testing.T) {
		l := start(t)
		row := l.accept(t, 1)
		e := dispatch.Envelope(row)
		e.Round = 1
		report, err := l.handle(t, encoded(t, e), message(t, l.accept(t, 2)))
		if !fault.HasCode(err, "UnknownRound") {
			t.Errorf("got %v", err)
		}
		same(t, "outcomes", outcomes(report), []string{"not-settled", "succeeded"})
		same(t, "write of the row", l.row(t, "job-1").Write, row.Write)
		l.holds(t, 1, 1)
	})
	t.Run("of a dead job do nothing, also once it is redriven", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRecord, "SiteParameterNotMatch", 1)
		body := message(t, l.accept(t, 1))
		l.expect(t, "dead-lettered", body)
		l.ignores(t, body)
		again := l.redrive(t, "job-1")
		l.ignores(t, body)
		l.expect(t, "succeeded", message(t, again))
		l.ignores(t, body)
	})
}

// meanwhile does something at the n-th reading of the clock: 1 is for the event, 2 comes between the read of the row and its begin, 3 after the steps.
func (l *lane) meanwhile(n int, do func()) {
	readings := 0
	l.cfg.Now = func() time.Time {
		if readings++; readings == n {
			do()
		}
		return l.clock.Now()
	}
}

// begin begins job-1 as another worker does.
func (l *lane) begin(t *testing.T, at time.Time, progress routine.Progress) {
	t.Helper()
	l.change(t, "job-1", func(r *ledger.Row) error {
		r.Begin(1, progress, at)
		return nil
	})
}

// TestOvertaken is about two workers with the same delivery.
func TestOvertaken(t *testing.T) {
	locks := func(t *testing.T, meanwhile func(l *lane, body string)) (*lane, string) {
		l := start(t)
		l.refuses(t, createRoutine, locked, 1)
		body := message(t, l.accept(t, 1, strict))
		pause := l.cfg.Sleep
		l.cfg.Sleep = func(ctx context.Context, d time.Duration) {
			l.cfg.Sleep = pause
			meanwhile(l, body)
		}
		return l, body
	}
	t.Run("a worker whose job another has ended in its wait for the lock makes no further call", func(t *testing.T) {
		l, body := locks(t, func(l *lane, body string) { l.expect(t, "succeeded", body) })
		l.expect(t, "duplicate", body)
		same(t, "calls", l.esa.Faults().Count(createRoutine), 2)
		l.holds(t, 1, 1)
	})
	for _, stops := range []bool{false, true} {
		t.Run(fmt.Sprintf("a worker whose job another has begun in its wait for the lock leaves it to that one; it is told to stop: %t", stops), func(t *testing.T) {
			look := &routine.Look{At: time.Unix(1_772_000_000, 0).UTC(), Until: time.Unix(1_772_000_010, 0).UTC()}
			stopping, stop := context.WithCancel(t.Context())
			defer stop()
			l, body := locks(t, func(l *lane, _ string) {
				l.begin(t, l.clock.Now().Add(time.Second), routine.Progress{Look: look})
				if stops {
					stop()
				}
			})
			l.cfg.Stopping = stopping
			l.expect(t, "duplicate", body)
			same(t, "calls", l.esa.Faults().Count(createRoutine), 1)
			if !stops { // one that stops sends its job before it finds that out
				same(t, "messages sent", l.mns.Faults().Count(sendMessage), 0)
			}
			if row := l.row(t, "job-1"); row.Begins != 2 || row.Number != 1 || row.Progress.Look == nil {
				t.Errorf("row %+v", row)
			}
		})
	}
	t.Run("a deletion that another has carried out in a worker's wait for the lock overtakes older jobs, also if the worker fails", func(t *testing.T) {
		l := made(t)
		older, body := l.wants(t, 2, routine.Create, "b"), l.wants(t, 3, routine.Delete)
		l.refuses(t, "DeleteRoutineRelatedRecord", locked, 1)
		pause := l.cfg.Sleep
		l.cfg.Sleep = func(context.Context, time.Duration) {
			l.cfg.Sleep = pause
			l.expect(t, "succeeded", body)
			l.refuses(t, getRoutine, "InvalidParameter", 1)
		}
		l.expect(t, "duplicate", body)
		l.expect(t, "superseded", older)
		same(t, "ESA has", l.bound(t), nil)
	})
	t.Run("a change of the row that does not concern the worker does not stop it", func(t *testing.T) {
		l := start(t)
		body := message(t, l.accept(t, 1))
		l.meanwhile(2, func() {
			l.change(t, "job-1", func(r *ledger.Row) error {
				r.CountUndelivered("M7")
				return nil
			})
		})
		l.expect(t, "succeeded", body)
	})
	t.Run("a worker that has succeeded records that, also if another has begun meanwhile", func(t *testing.T) {
		l := start(t)
		body := message(t, l.accept(t, 1))
		l.meanwhile(3, func() { l.begin(t, l.clock.Now(), routine.Progress{}) })
		l.expect(t, "succeeded", body)
		same(t, "state", l.row(t, "job-1").State, routine.Succeeded)
	})
}

func TestHandOver(t *testing.T) {
	t.Run("of a delivery that was not recorded counts on from that delivery", func(t *testing.T) {
		l := start(t)
		e := dispatch.Envelope(l.accept(t, 1))
		e.Number = 3
		l.handBack(t, encoded(t, e), l.cfg.Reserve)
		same(t, "number", l.row(t, "job-1").Number, 4)
		same(t, "the key of its message", sim.Keys(t, sim.Key).Know(l.row(t, "job-1").SealedUnder), true)
	})
	t.Run("that MNS does not confirm is due at its time, and the function succeeds", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRoutine, "InternalException", 1)
		l.queueFails(t)
		now := l.clock.Now()
		l.expect(t, "again", message(t, l.accept(t, 1)))
		row := l.row(t, "job-1")
		if due := now.Add(1998 * time.Millisecond); row.Number != 2 || !row.DueAt.Equal(due) || !row.Waiting.Until.Equal(due) {
			t.Errorf("row %+v, waiting %+v", row, row.Waiting)
		}
		l.heal()
		same(t, "later", l.drain(t), []string{"succeeded"})
	})
	for _, firstComesFirst := range []bool{true, false} {
		t.Run(fmt.Sprintf("that the ledger does not take is an error; both deliveries come, the first one first: %t, and the job runs once", firstComesFirst), func(t *testing.T) {
			l := start(t)
			l.refuses(t, createRecord, "InternalException", 1)
			first := message(t, l.accept(t, 1, strict))
			l.ledgerFails(t, 1) // the first is the begin
			report, err := l.handle(t, first)
			if !fault.HasKind(err, fault.Unavailable) {
				t.Fatalf("got %v", err)
			}
			same(t, "outcomes", outcomes(report), []string{"not-settled"})
			l.heal()
			l.clock.Advance(time.Minute)
			deliveries := append(l.take(t, sim.JobQueue), first)
			if firstComesFirst {
				slices.Reverse(deliveries)
			}
			same(t, "outcomes", l.invoke(t, deliveries...), []string{"succeeded", "duplicate"})
			same(t, "step 1 is done once", l.esa.Faults().Count(createRoutine), 1)
			l.holds(t, 1, 1)
		})
	}
}

func TestKillsWorker(t *testing.T) {
	begun := func(t *testing.T, l *lane, times int) string {
		row := l.accept(t, 1)
		for range times {
			l.begin(t, l.clock.Now(), routine.Progress{})
		}
		return message(t, row)
	}
	t.Run("the eleventh begin is a dead letter without a call, and the other jobs go on", func(t *testing.T) {
		l := start(t)
		same(t, "outcomes", l.invoke(t, begun(t, l, 10), message(t, l.accept(t, 2))), []string{"dead-lettered", "succeeded"})
		row := l.row(t, "job-1")
		if row.Code != "KillsWorker" || row.Hint == "" || len(row.Left) != 1 || row.Left[0].RecordName == "" {
			t.Errorf("row %+v", row)
		}
		l.holds(t, 1, 1)
		for _, call := range l.esa.Faults().Calls() {
			if call.Params["Name"] == "pr-1" {
				t.Errorf("called %+v", call)
			}
		}
	})
	t.Run("the tenth begin runs the job", func(t *testing.T) {
		l := start(t)
		l.expect(t, "succeeded", begun(t, l, 9))
	})
	t.Run("another delivery of the job has a count of its own", func(t *testing.T) {
		l := start(t)
		begun(t, l, 10)
		e := dispatch.Envelope(l.row(t, "job-1"))
		e.Number++
		l.expect(t, "succeeded", encoded(t, e))
	})
}

func TestCancelled(t *testing.T) {
	cancel := func(t *testing.T, l *lane) {
		l.change(t, "job-1", func(r *ledger.Row) error { return r.Cancel("ci", "not needed", l.clock.Now()) })
	}
	t.Run("before the delivery: nothing is called", func(t *testing.T) {
		l := start(t)
		body := message(t, l.accept(t, 1))
		cancel(t, l)
		l.expect(t, "cancelled", body)
		same(t, "ESA calls", calls(l.esa.Faults()), nil)
	})
	t.Run("between read and begin: nothing is written to ESA", func(t *testing.T) {
		l := start(t)
		body := message(t, l.accept(t, 1))
		l.meanwhile(2, func() { cancel(t, l) })
		l.expect(t, "cancelled", body)
		same(t, "ESA calls", calls(l.esa.Faults()), []string{listSites, getRoutine})
	})
	t.Run("while a worker still runs after ten minutes: it makes no further call, and the row tells what may be left", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRecord, locked, 1)
		body := message(t, l.accept(t, 1))
		l.cfg.Sleep = func(context.Context, time.Duration) {
			l.clock.Advance(ledger.CancelAfter)
			cancel(t, l)
		}
		l.expect(t, "cancelled", body)
		same(t, "calls of step 2", l.esa.Faults().Count(createRecord), 1)
		var left []string
		for _, thing := range l.row(t, "job-1").Left {
			left = append(left, thing.Routine+thing.RecordName+" "+string(thing.Outcome))
		}
		same(t, "left", left, []string{"pr-1 unknown", "pr-1pr-1.example.com unknown"})
		l.holds(t, 1, 0)
	})
}

// TestCrash is about a worker that ends in the middle.
func TestCrash(t *testing.T) {
	// crash delivers the message to a worker that ends once its CreateRoutine call is on its way.
	crash := func(t *testing.T, l *lane, body string, takesEffect bool) {
		inject(t, l.esa.Faults(), faults.Rule{Action: createRoutine, Fault: faults.Fault{Answer: faults.Reset, Execute: takesEffect}})
		inject(t, l.esa.Faults(), faults.Rule{Action: createRecord, Times: forever, Fault: faults.Fault{Answer: faults.Reset}})
		inject(t, l.esa.Faults(), faults.Rule{Action: getRoutine, Skip: 1, Times: forever, Fault: faults.Fault{Answer: faults.Reset}})
		l.ledgerFails(t, 1)
		l.queueFails(t)
		if _, err := l.handle(t, body); err == nil {
			t.Fatal("the worker did not crash")
		}
		l.heal()
		if row := l.row(t, "job-1"); row.Progress.Look == nil || row.Begins != 1 {
			t.Fatalf("row %+v", row)
		}
	}
	t.Run("after CreateRoutine took effect: the next delivery proves that it was its own", func(t *testing.T) {
		l := start(t)
		body := message(t, l.accept(t, 1, strict))
		crash(t, l, body, true)
		l.expect(t, "succeeded", body)
		same(t, "result", l.row(t, "job-1").Result.Routine, routine.Created)
		same(t, "step 1 is done once", l.esa.Faults().Count(createRoutine), 1)
	})
	t.Run("before it took effect: what somebody else made since is a conflict for fail", func(t *testing.T) {
		l := start(t)
		body := message(t, l.accept(t, 1, strict))
		crash(t, l, body, false)
		must(t, l.esa.PlantRoutine(esaemu.Routine{Name: "pr-1", CreateTime: l.clock.Now().Add(time.Hour)}))
		l.expect(t, "dead-lettered", body)
		same(t, "code", l.row(t, "job-1").Code, "RoutineAlreadyExist")
		l.holds(t, 1, 0)
	})
}

func TestOrderOfWrites(t *testing.T) {
	l := start(t)
	body := message(t, l.accept(t, 1))
	l.ledgerFails(t, 0)
	if _, err := l.handle(t, body); err == nil {
		t.Error("the platform gets no error")
	}
	same(t, "ESA calls before the begin is recorded", slices.Compact(calls(l.esa.Faults())), []string{listSites, getRoutine})
}
