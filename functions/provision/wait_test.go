package provision_test

import (
	"context"
	"testing"
	"time"

	"routinely/deploy/sim"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// short is an invocation's time that has room for steps, also on a busy machine, and for no pause.
const short = 12900 * time.Millisecond

func TestLock(t *testing.T) {
	t.Run("is waited for in place while the invocation has time, and costs no attempt and no second begin", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRoutine, locked, 7)
		l.refuses(t, createRecord, "LockFailed", 7)
		began, pause := l.clock.Now(), l.cfg.Sleep
		l.cfg.Sleep = func(ctx context.Context, d time.Duration) {
			if row := l.row(t, "job-1"); row.Waiting != nil || row.Begun.IsZero() || row.Begins != 1 {
				t.Errorf("while it is begun: %+v", row)
			}
			pause(ctx, d)
		}
		report, err := l.handle(t, message(t, l.accept(t, 1)))
		if line := report.Messages[0]; err != nil || line.Outcome != "succeeded" || line.Attempt != 1 {
			t.Errorf("%v, got %+v", err, line)
		}
		if waited := l.clock.Now().Sub(began); waited < 10*time.Second || waited > 45*time.Second {
			t.Errorf("waited %s for 14 refusals", waited)
		}
		same(t, "calls of step 1, which is not done again for step 2", l.esa.Faults().Count(createRoutine), 8)
		same(t, "messages sent", l.mns.Faults().Count(sendMessage), 0)
	})
	t.Run("is left to the next delivery when the time is over, at no attempt", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRecord, locked, forever)
		now := l.clock.Now()
		l.handBack(t, message(t, l.accept(t, 1)), short)
		row := l.row(t, "job-1")
		if row.Attempt != 1 || row.HandedBack != 1 || row.Number != 2 || !row.Begun.IsZero() || row.Begins != 0 || len(row.Attempts) != 0 {
			t.Errorf("row %+v", row)
		}
		same(t, "waiting", row.Waiting, &routine.Waiting{For: routine.ForAccountLock, Since: now, Until: now.Add(1998 * time.Millisecond)})
		same(t, "progress", row.Progress.Routine, routine.Created)
		l.clock.Advance(2 * time.Second)
		same(t, "the next delivery", l.take(t, sim.JobQueue), []string{message(t, row)})
	})
}

// handBack delivers a message to an invocation that lasts so long, and expects it to come back.
func (l *lane) handBack(t *testing.T, body string, lasts time.Duration) {
	t.Helper()
	report, err := l.within(t, lasts, body)
	must(t, err)
	same(t, "outcomes", outcomes(report), []string{"handed-back"})
}

// TestStopping is about a process that shall end: a job that waits for the lock is handed back, and one that need not wait is finished.
func TestStopping(t *testing.T) {
	l := start(t)
	var stop context.CancelFunc
	l.cfg.Stopping, stop = context.WithCancel(t.Context())
	l.cfg.Sleep = func(waiting context.Context, _ time.Duration) {
		stop()
		<-waiting.Done()
	}
	l.refuses(t, createRoutine, locked, 1)
	same(t, "outcomes", l.invoke(t, message(t, l.accept(t, 1))), []string{"handed-back"})
	same(t, "calls", l.esa.Faults().Count(createRoutine), 1)
	if row := l.row(t, "job-1"); row.Attempt != 1 || row.HandedBack != 1 || row.Waiting.For != routine.ForAccountLock {
		t.Errorf("row %+v", row)
	}
	l.expect(t, "succeeded", message(t, l.accept(t, 2)))
}

func TestRetry(t *testing.T) {
	t.Run("comes back after the backoff, with its failure and its progress", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRecord, "InternalException", 1)
		now := l.clock.Now()
		l.expect(t, "again", message(t, l.accept(t, 1)))
		row := l.row(t, "job-1")
		same(t, "waiting", row.Waiting, &routine.Waiting{For: routine.ForBackoff, Since: now, Until: now.Add(1998 * time.Millisecond)})
		if row.Attempt != 2 || row.Number != 2 || len(row.Attempts) != 1 || row.Code != "InternalException" || row.Hint == "" || !row.DueAt.IsZero() {
			t.Errorf("row %+v", row)
		}
		if p := row.Progress; p.Routine != routine.Created || !p.RecordUnknown {
			t.Errorf("progress %+v", p)
		}
		same(t, "early", l.take(t, sim.JobQueue), nil)
		l.clock.Advance(2 * time.Second)
		l.expect(t, "succeeded", l.take(t, sim.JobQueue)[0])
		same(t, "step 1 is done once", l.esa.Faults().Count(createRoutine), 1)
	})
	t.Run("goes on after a redrive with what its steps achieved, and does not take its own routine for another's", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRecord, "SiteParameterNotMatch", 1)
		l.expect(t, "dead-lettered", message(t, l.accept(t, 1, strict)))
		l.expect(t, "succeeded", message(t, l.redrive(t, "job-1")))
		same(t, "step 1 is done once", l.esa.Faults().Count(createRoutine), 1)
		if row := l.row(t, "job-1"); row.Redriven != 1 || row.Attempt != 1 || len(row.Attempts) != 1 {
			t.Errorf("row %+v", row)
		}
	})
	t.Run("a job whose invocation is called off in the middle is handed over all the same", func(t *testing.T) {
		l := start(t)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		l.refuses(t, createRoutine, locked, 1)
		l.cfg.Sleep = func(context.Context, time.Duration) { cancel() }
		report, err := l.worker(t).Handle(ctx, sim.Event(t, message(t, l.accept(t, 1))))
		must(t, err)
		same(t, "outcomes", outcomes(report), []string{"again"})
		same(t, "waiting for", l.row(t, "job-1").Waiting.For, routine.ForBackoff)
		same(t, "later", l.drain(t), []string{"succeeded"})
	})
	t.Run("a panic in the workflow is a fault of that job", func(t *testing.T) {
		l := start(t)
		l.cfg.Workflow.ESA = nil // what uses it panics
		same(t, "outcomes", l.drain(t, message(t, l.accept(t, 1))), []string{"again", "again", "dead-lettered"})
		row := l.row(t, "job-1")
		if row.Code != "Panic" || row.Kind != "internal" {
			t.Errorf("row %+v", row)
		}
		want := []routine.Left{{
			Routine: row.Request.Name, SiteID: row.Request.Records[0].SiteID, RecordName: row.Request.Records[0].RecordName, Outcome: routine.Unknown,
		}}
		same(t, "what may be left", row.Left, want)
	})
	t.Run("a panic loses what a crash would: the next attempt finds it out again", func(t *testing.T) {
		l := start(t)
		panics := true
		l.cfg.Workflow.Now = func() time.Time { // it is asked once the host name is bound, for the end of the routine's time
			if panics && l.esa.Faults().Count(createRecord) == 1 {
				panics = false
				panic("the clock is broken")
			}
			return l.clock.Now()
		}
		body := message(t, l.accept(t, 1, strict, func(job *routine.Job) { job.Request.ExpiresIn = routine.Span(time.Hour) }))
		same(t, "outcomes", l.drain(t, body), []string{"again", "succeeded"})
		result := l.row(t, "job-1").Result
		same(t, "result", []routine.Outcome{result.Routine, result.Record}, []routine.Outcome{routine.Created, routine.Adopted})
		same(t, "claims", l.claimed(t, "pr-1.example.com"), "live owned, live owned")
	})
}

func TestAge(t *testing.T) {
	const day = 24 * time.Hour
	old := func(l *lane) ledger.Row {
		return l.accept(t, 1, func(job *routine.Job) { job.AcceptedAt = l.clock.Now().Add(-3 * day) })
	}
	t.Run("a job that waited long in the queue is not old", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRoutine, "InternalException", 1)
		l.expect(t, "again", message(t, old(l)))
	})
	t.Run("counts from ESA's first answer, and again in each round", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRoutine, "InternalException", forever)
		l.expect(t, "again", message(t, old(l)))
		l.clock.Advance(day - 3*time.Second)
		l.expect(t, "dead-lettered", l.take(t, sim.JobQueue)[0])
		same(t, "reason", l.row(t, "job-1").Reason, "older than 24h0m0s")
		l.expect(t, "again", message(t, l.redrive(t, "job-1")))
	})
	t.Run("leaves out the time in which the lane was stopped, and only that", func(t *testing.T) {
		l := start(t)
		stop := func(d time.Duration) {
			l.pause(t, &routine.Pause{Since: l.clock.Now()})
			l.clock.Advance(d)
			l.pause(t, nil)
		}
		stop(2 * day) // before ESA first answers
		l.refuses(t, createRoutine, "InternalException", forever)
		l.expect(t, "again", message(t, old(l)))
		stop(2 * day)
		l.expect(t, "again", l.take(t, sim.JobQueue)[0])
		l.clock.Advance(day)
		l.expect(t, "dead-lettered", l.take(t, sim.JobQueue)[0])
	})
	t.Run("does not begin while ESA was not asked", func(t *testing.T) {
		l := start(t)
		l.handBack(t, message(t, old(l)), l.cfg.Reserve)
		l.clock.Advance(2 * day)
		l.refuses(t, createRoutine, "InternalException", 1)
		l.expect(t, "again", l.take(t, sim.JobQueue)[0])
	})
}
