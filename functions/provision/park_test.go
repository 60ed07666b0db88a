package provision_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// account is the account's row.
func (l *lane) account(t *testing.T) routine.Account {
	t.Helper()
	account, err := l.ledger.Account(t.Context())
	must(t, err)
	return account
}

// pause pauses the lane as a person does, or with nil resumes it.
func (l *lane) pause(t *testing.T, pause *routine.Pause) {
	t.Helper()
	if _, err := l.ledger.ChangeAccount(t.Context(), func(a *routine.Account) error {
		a.Stop(a.Park, pause, l.clock.Now())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// acceptAll records so many jobs and returns their messages.
func (l *lane) acceptAll(t *testing.T, count int) (bodies []string) {
	t.Helper()
	for n := range count {
		bodies = append(bodies, message(t, l.accept(t, n)))
	}
	return bodies
}

// overdue makes the account's bill overdue, or paid.
func (l *lane) overdue(t *testing.T, overdue bool) {
	t.Helper()
	must(t, l.esa.SetOverdue(overdue))
}

func TestOverdueBillParksTheLane(t *testing.T) {
	l := start(t)
	l.overdue(t, true)
	began := l.clock.Now()
	bodies := l.acceptAll(t, 10)
	want := append([]string{"again"}, times(9, "handed-back")...)
	same(t, "outcomes", l.invoke(t, bodies...), want)
	if waited := l.clock.Now().Sub(began); waited > time.Minute {
		t.Errorf("waited %s in place", waited)
	}

	t.Run("the account says why and since when", func(t *testing.T) {
		a := l.account(t)
		if a.Lane() != routine.Parked || a.Park.Code != "RoutineUserServiceStatusHalt" || a.Park.Kind != "account" || a.Park.RequestID == "" || a.Park.Hint == "" {
			t.Errorf("%+v", a.Park)
		}
		if !a.Park.Since.Equal(began) || a.Park.ToldAt.Before(a.Park.Since) {
			t.Errorf("parked since %s, told at %s, want %s", a.Park.Since, a.Park.ToldAt, began)
		}
	})
	t.Run("only the attempt that parked it counts", func(t *testing.T) {
		for n := range 10 {
			row := l.row(t, fmt.Sprintf("job-%d", n))
			if row.Attempt != max(1, 2-n) || row.Waiting == nil || row.Waiting.For != routine.ForPark || row.Code != "RoutineUserServiceStatusHalt" || row.Hint == "" {
				t.Errorf("job %d: attempt %d, waiting %+v, %s", n, row.Attempt, row.Waiting, row.Code)
			}
			if delay := row.Waiting.Until.Sub(row.Waiting.Since); delay < time.Minute || delay > 5*time.Minute {
				t.Errorf("job %d comes again after %s", n, delay)
			}
		}
	})
	t.Run("it is tried with a different job each time", func(t *testing.T) {
		wait := l.cfg.ParkWait
		l.cfg.ParkWait = 0 // one try in an invocation
		var tried []string
		for range 3 {
			l.clock.Advance(5 * time.Minute)
			l.esa.Faults().Reset()
			bodies = l.take(t, sim.JobQueue)
			slices.SortFunc(bodies, func(a, b string) int {
				job := func(body string) string {
					return sim.Keys(t, sim.Key).Decode(sim.Event(t, body), time.Time{})[0].Envelope.JobID
				}
				return strings.Compare(job(a), job(b))
			})
			same(t, "outcomes", l.invoke(t, bodies...), times(10, "handed-back"))
			for _, call := range l.esa.Faults().Calls() {
				if call.Action == createRoutine {
					tried = append(tried, call.Params["Name"])
				}
			}
		}
		same(t, "tried", tried, []string{"pr-0", "pr-1", "pr-0"})
		l.cfg.ParkWait = wait
	})
	t.Run("the first answer of ESA lets it run again", func(t *testing.T) {
		l.overdue(t, false)
		l.clock.Advance(5 * time.Minute)
		same(t, "outcomes", l.invoke(t, l.take(t, sim.JobQueue)...), times(10, "succeeded"))
		a := l.account(t)
		if a.Lane() != routine.Running || a.ResumedAt.IsZero() || a.StoppedFor(l.clock.Now()) < 20*time.Minute {
			t.Errorf("%+v", a)
		}
	})
}

// TestTwoDaysOverdue is about many jobs, some of which ESA has answered before, and a bill that is not paid for two days.
func TestTwoDaysOverdue(t *testing.T) {
	count := 1000
	if testing.Short() {
		count = 60
	}
	l := start(t)
	must(t, l.esa.SetAccount(esaemu.AccountChange{RoutineQuota: &count}))
	l.refuses(t, createRoutine, "InternalException", 5)
	bodies := l.acceptAll(t, count)
	deliver := func() map[string]int {
		seen := map[string]int{}
		for batch := range slices.Chunk(bodies, 10) {
			for _, outcome := range l.invoke(t, batch...) {
				seen[outcome]++
			}
		}
		l.clock.Advance(5 * time.Minute)
		bodies = l.take(t, sim.JobQueue)
		return seen
	}
	l.clock.Advance(time.Second)
	same(t, "outcomes of the first ten", l.invoke(t, bodies[:10]...), append(times(5, "again"), times(5, "succeeded")...))
	l.clock.Advance(time.Minute)
	bodies = append(bodies[10:], l.take(t, sim.JobQueue)...)
	l.overdue(t, true)
	for range 4 {
		if seen := deliver(); seen["dead-lettered"]+seen["succeeded"] > 0 || seen["again"] > 1 {
			t.Fatalf("outcomes %v", seen)
		}
		l.clock.Advance(12 * time.Hour)
	}
	l.overdue(t, false)
	l.refuses(t, createRoutine, locked, 1) // the first answer
	bodies = append(bodies, l.take(t, sim.JobQueue)...)
	seen := deliver()
	same(t, "outcomes", seen, map[string]int{"succeeded": count - 5})
	l.holds(t, count, count)
}

func TestFaultsOfTheAccount(t *testing.T) {
	refuses := func(status int, code string) func(*lane) {
		return func(l *lane) {
			inject(t, l.esa.Faults(), faults.Rule{Times: forever, Fault: faults.Fault{Answer: faults.Error, Status: status, Code: code}})
		}
	}
	for code, breakIt := range map[string]func(*lane){
		"ServiceNotOpen":              func(l *lane) { must(t, l.esa.SetErService("NotOpened")) },
		"InvalidAccessKeyId.NotFound": refuses(404, "InvalidAccessKeyId.NotFound"),
		"InvalidTimeStamp.Expired":    refuses(400, "InvalidTimeStamp.Expired"), // the clock is wrong
	} {
		t.Run(code+" parks the lane, and it runs again once that is fixed", func(t *testing.T) {
			l := start(t)
			body := message(t, l.accept(t, 1))
			breakIt(l)
			l.expect(t, "again", body)
			same(t, "code", l.account(t).Park.Code, code)
			for range 12 { // a job has ten attempts
				l.clock.Advance(5 * time.Minute)
				l.expect(t, "handed-back", l.take(t, sim.JobQueue)[0])
			}
			same(t, "attempt", l.row(t, "job-1").Attempt, 2)
			l.heal()
			must(t, l.esa.SetErService("Running"))
			l.clock.Advance(5 * time.Minute)
			l.expect(t, "succeeded", l.take(t, sim.JobQueue)[0])
			same(t, "lane", l.account(t).Lane(), routine.Running)
		})
	}
	t.Run("what ESA refuses to one job alone is that job's fault", func(t *testing.T) {
		l := start(t)
		inject(t, l.esa.Faults(), faults.Rule{
			Action: createRoutine, Times: 3, Fault: faults.Fault{Answer: faults.Error, Status: 400, Code: "SignatureDoesNotMatch"},
		})
		same(t, "outcomes", l.drain(t, message(t, l.accept(t, 1))), []string{"again", "again", "dead-lettered"})
		same(t, "lane", l.account(t).Lane(), routine.Running)
		if row := l.row(t, "job-1"); row.Code != "SignatureDoesNotMatch" || row.Hint == "" {
			t.Errorf("row %+v", row)
		}
		l.expect(t, "succeeded", message(t, l.accept(t, 2)))
	})
	t.Run("a job of which ESA says each time that the account is halted parks it only as often as it has attempts", func(t *testing.T) {
		l := start(t)
		inject(t, l.esa.Faults(), faults.Rule{
			Action: createRoutine, Match: map[string]string{"Name": "pr-0"}, Times: forever,
			Fault: faults.Fault{Answer: faults.Error, Status: 400, Code: "RoutineUserServiceStatusHalt"},
		})
		poison := message(t, l.accept(t, 0))
		for n := 1; l.row(t, "job-0").State == routine.Queued && n < 20; n++ {
			l.invoke(t, poison)
			l.expect(t, "succeeded", message(t, l.accept(t, n))) // another caller's job lets the lane run again
			l.clock.Advance(5 * time.Minute)
			if again := l.take(t, sim.JobQueue); len(again) > 0 {
				poison = again[0]
			}
		}
		if row := l.row(t, "job-0"); row.State != routine.DeadLettered || row.Attempt != 10 || row.Hint == "" {
			t.Errorf("%s after attempt %d", row.State, row.Attempt)
		}
		same(t, "lane", l.account(t).Lane(), routine.Running)
	})
	t.Run("a denial of one action is a dead letter of that job", func(t *testing.T) {
		l := start(t)
		inject(t, l.esa.Faults(), faults.Rule{Action: createRecord, Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: "Forbidden.RAM"}})
		same(t, "outcomes", l.invoke(t, l.acceptAll(t, 2)...), []string{"dead-lettered", "succeeded"})
		same(t, "lane", l.account(t).Lane(), routine.Running)
	})
}

func TestOutageParksTheLane(t *testing.T) {
	down := faults.Rule{Times: forever, Fault: faults.Fault{Answer: faults.Error, Status: 503, Code: "ServiceUnavailable"}}
	t.Run("when a call without a job fails too", func(t *testing.T) {
		l := start(t)
		inject(t, l.esa.Faults(), down)
		same(t, "outcomes", l.invoke(t, l.acceptAll(t, 3)...), []string{"again", "handed-back", "handed-back"})
		if park := l.account(t).Park; park == nil || park.Kind != "unavailable" {
			t.Errorf("%+v", park)
		}
		l.clock.Advance(5 * time.Minute)
		l.esa.Faults().Reset()
		inject(t, l.esa.Faults(), down)
		same(t, "outcomes", l.invoke(t, l.take(t, sim.JobQueue)...), times(3, "handed-back"))
		same(t, "calls", slices.Compact(calls(l.esa.Faults())), []string{"GetErService"})
		l.heal()
		l.clock.Advance(5 * time.Minute)
		same(t, "outcomes", l.invoke(t, l.take(t, sim.JobQueue)...), times(3, "succeeded"))
		same(t, "lane", l.account(t).Lane(), routine.Running)
	})
	t.Run("for no longer than it lasts: jobs of an invocation that waits in place go on", func(t *testing.T) {
		l := start(t)
		inject(t, l.esa.Faults(), faults.Rule{Times: 4, Fault: down.Fault}) // the sites, the look, two checks
		bodies := l.acceptAll(t, 3)
		same(t, "outcomes", l.invoke(t, bodies...), []string{"again", "succeeded", "succeeded"})
	})
	t.Run("not when ESA fails for one job alone", func(t *testing.T) {
		l := start(t)
		l.refuses(t, createRoutine, "InternalException", 1)
		same(t, "outcomes", l.invoke(t, l.acceptAll(t, 2)...), []string{"again", "succeeded"})
		same(t, "lane", l.account(t).Lane(), routine.Running)
	})
	t.Run("not when the invocation's time ends in a call", func(t *testing.T) {
		l := start(t)
		l.cfg.Reserve = 10 * time.Second
		inject(t, l.esa.Faults(), faults.Rule{Action: createRoutine, Times: forever, Fault: faults.Fault{Answer: faults.Hang}})
		report, err := l.within(t, l.cfg.Reserve+1200*time.Millisecond, l.acceptAll(t, 1)...)
		must(t, err)
		same(t, "outcomes", outcomes(report), []string{"again"})
		same(t, "lane", l.account(t).Lane(), routine.Running)
	})
}

func TestPausedLane(t *testing.T) {
	l := start(t)
	l.pause(t, &routine.Pause{Since: l.clock.Now(), By: "op", Reason: "moving"})
	same(t, "outcomes", l.invoke(t, l.acceptAll(t, 3)...), times(3, "handed-back"))
	same(t, "ESA calls", calls(l.esa.Faults()), nil)
	row := l.row(t, "job-1")
	if row.Attempt != 1 || row.Waiting.For != routine.ForPause || !strings.Contains(row.Hint, "account resume") {
		t.Errorf("%+v, waiting %+v", row, row.Waiting)
	}
	since := row.Waiting.Since
	l.clock.Advance(5 * time.Minute)
	same(t, "outcomes", l.invoke(t, l.take(t, sim.JobQueue)...), times(3, "handed-back"))
	same(t, "since", l.row(t, "job-1").Waiting.Since, since)
	l.pause(t, nil)
	l.clock.Advance(5 * time.Minute)
	same(t, "outcomes", l.invoke(t, l.take(t, sim.JobQueue)...), times(3, "succeeded"))
}

// TestHandBackAtOnce has a queue that answers only once all jobs of an invocation are sent back: they are not sent one after the other.
func TestHandBackAtOnce(t *testing.T) {
	l := start(t)
	bodies := l.acceptAll(t, 10)
	var sends atomic.Int32
	all := make(chan struct{})
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sends.Add(1) == 10 {
			close(all)
		}
		select {
		case <-all:
			l.mns.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(gate.Close)
	l.cfg.Queue = sim.Queue(t, queue.Config{Endpoint: gate.URL, Timeout: 5 * time.Second})
	report, err := l.within(t, l.cfg.Reserve, bodies...)
	must(t, err)
	same(t, "outcomes", outcomes(report), times(10, "handed-back"))
	same(t, "ESA calls", calls(l.esa.Faults()), nil)
	for n := range 10 {
		row := l.row(t, fmt.Sprintf("job-%d", n))
		if !row.DueAt.IsZero() || row.Waiting.For != routine.ForTurn || row.Attempt != 1 || row.HandedBack != 1 || !row.StartedAt.IsZero() {
			t.Errorf("row %+v, waiting %+v", row, row.Waiting)
		}
	}
	same(t, "later", l.drain(t), times(10, "succeeded"))
}

// TestHandBackInTime has a queue and a ledger that do not answer: the invocation ends in its time, with an error for the platform.
func TestHandBackInTime(t *testing.T) {
	l := start(t)
	bodies := l.acceptAll(t, 3)
	hang := faults.Fault{Answer: faults.Hang}
	inject(t, l.mns.Faults(), faults.Rule{Action: sendMessage, Times: forever, Fault: hang})
	inject(t, l.ots.Faults(), faults.Rule{Action: writeRows, Times: forever, Fault: hang})
	l.cfg.Reserve = 2 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), l.cfg.Reserve)
	defer cancel()
	report, err := l.worker(t).Handle(ctx, sim.Event(t, bodies...))
	if err == nil || ctx.Err() != nil {
		t.Errorf("%v; the invocation: %v", err, ctx.Err())
	}
	same(t, "outcomes", outcomes(report), times(3, "not-settled"))
}

func TestQuotaIsRead(t *testing.T) {
	l := start(t)
	l.expect(t, "succeeded", message(t, l.accept(t, 1)))
	if q := l.account(t).Quota; q == nil || q.Used != 1 || q.Limit == 0 || !q.ReadAt.Equal(l.clock.Now()) {
		t.Errorf("%+v", q)
	}
	quota := 2
	must(t, l.esa.SetAccount(esaemu.AccountChange{RoutineQuota: &quota}))
	same(t, "outcomes", l.invoke(t, message(t, l.accept(t, 2)), message(t, l.accept(t, 3))), []string{"succeeded", "dead-lettered"})
	if q := l.account(t).Quota; q == nil || q.Used != 2 || q.Limit != 2 {
		t.Errorf("%+v", q)
	}
	same(t, "kind", l.row(t, "job-3").Kind, string(fault.Quota))
}

// TestManyHostNames binds a hundred host names to one routine, in full deliveries.
func TestManyHostNames(t *testing.T) {
	l := start(t)
	var bodies []string
	for n := range 100 {
		bodies = append(bodies, message(t, l.accept(t, n, func(job *routine.Job) { job.Request.Name = "shop" })))
	}
	for batch := range slices.Chunk(bodies, 10) {
		same(t, "outcomes", l.invoke(t, batch...), times(10, "succeeded"))
	}
	writes, reads := 0, 0
	for _, action := range calls(l.esa.Faults()) {
		if action == createRoutine || action == createRecord {
			writes++
		} else {
			reads++
		}
	}
	same(t, "writes", writes, 101)
	if reads > 13 {
		t.Errorf("%d reads, want at most 13", reads)
	}
	l.holds(t, 1, 100)
}
