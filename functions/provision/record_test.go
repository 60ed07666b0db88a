package provision

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// told is what the ledger tells of a job, in short.
type told struct {
	State    routine.State
	Attempt  int
	Redriven int
	Attempts int
	Code     string
	Gap      bool
	History  []ledger.Kind
}

func (l *lane) told(t *testing.T, id string) told {
	t.Helper()
	job, err := l.ledger.Job(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	history, err := l.ledger.History(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	out := told{State: job.State, Attempt: job.Attempt, Redriven: job.Redriven, Attempts: len(job.Attempts), Code: job.Code, Gap: job.Gap}
	for _, e := range history {
		out.History = append(out.History, e.Kind)
	}
	return out
}

// claimed is a new job that accept has recorded.
func (l *lane) claimed(t *testing.T) queue.Envelope {
	t.Helper()
	return l.claim(t, l.envelope())
}

func (l *lane) claim(t *testing.T, e queue.Envelope) queue.Envelope {
	t.Helper()
	existing, _, err := l.ledger.Claim(t.Context(), routine.Job{ID: e.JobID, Caller: e.Caller, AcceptedAt: e.AcceptedAt, Request: e.Request})
	if err != nil || existing != nil {
		t.Fatalf("%+v, %v", existing, err)
	}
	return e
}

func (l *lane) check(t *testing.T, id string, want told) {
	t.Helper()
	if diff := cmp.Diff(want, l.told(t, id)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestRecord(t *testing.T) {
	t.Run("tells of a job that succeeds", func(t *testing.T) {
		l := startRecorded(t)
		e := l.claimed(t)
		l.invoke(t, body(t, e))
		l.check(t, e.JobID, told{
			State: routine.Succeeded, Attempt: 1, History: []ledger.Kind{ledger.Queued, ledger.Started, ledger.Succeeded},
		})
	})
	t.Run("tells of the attempts before", func(t *testing.T) {
		l := startRecorded(t)
		l.inject(t, l.esa.Faults(), faults.Rule{Action: "CreateRoutine", Times: 2, Fault: faults.Fault{Answer: faults.Error, Status: 503, Code: "ServiceUnavailable"}})
		e := l.claimed(t)
		if got := l.drain(t, body(t, e)); len(got) != 3 {
			t.Errorf("outcomes %v", got)
		}
		l.check(t, e.JobID, told{
			State: routine.Succeeded, Attempt: 3, Attempts: 2, History: []ledger.Kind{
				ledger.Queued, ledger.Started, ledger.Failed, ledger.Started, ledger.Failed, ledger.Started, ledger.Succeeded,
			},
		})
	})
	t.Run("tells of waiting for the lock without an attempt", func(t *testing.T) {
		l := startRecorded(t)
		l.inject(t, l.esa.Faults(), faults.Rule{Action: "CreateRoutine", Fault: faults.Fault{Answer: faults.Error, Status: 400, Code: "UserOperationStatusIsLocked"}})
		e := l.claimed(t)
		// Without time to wait in place, the job goes back.
		if _, err := l.handle(t.Context(), sim.Event(t, body(t, e))); err != nil {
			t.Fatal(err)
		}
		l.check(t, e.JobID, told{
			State: routine.Queued, Attempt: 1, History: []ledger.Kind{ledger.Queued, ledger.Started, ledger.HandedBack},
		})
	})
	t.Run("tells of a dead letter and of its redrive", func(t *testing.T) {
		l := startRecorded(t)
		e := l.claimed(t)
		e.Request.SiteID = 99
		l.invoke(t, body(t, e))
		l.check(t, e.JobID, told{
			State: routine.DeadLettered, Attempt: 1, Attempts: 1, Code: "SiteParameterNotMatch",
			History: []ledger.Kind{ledger.Queued, ledger.Started, ledger.DeadLettered},
		})
		e.Request.SiteID = localtest.SiteID
		e.Redrive(l.clock.Now(), "operator", "site fixed")
		l.clock.Advance(48 * time.Hour) // older than a job may get, were the redrive not a new beginning
		e.Redrives[0].At = l.clock.Now()
		l.invoke(t, body(t, e))
		l.check(t, e.JobID, told{
			State: routine.Succeeded, Attempt: 1, Redriven: 1, Attempts: 1, Gap: true, // the redrive itself was not recorded
			History: []ledger.Kind{ledger.Queued, ledger.Started, ledger.DeadLettered, ledger.Started, ledger.Succeeded},
		})
	})
	t.Run("begins with a job that nobody recorded, and says so", func(t *testing.T) {
		l := startRecorded(t)
		l.invoke(t, `{"name":"pr-1","siteId":54362329990032,"recordName":"pr-1.example.com"}`)
		jobs, _, err := l.ledger.Jobs(t.Context(), ledger.Filter{}, 10, "")
		if err != nil || len(jobs) != 1 || jobs[0].State != routine.Succeeded || !jobs[0].Gap {
			t.Errorf("%+v, %v", jobs, err)
		}
	})
	t.Run("records nothing of a message that holds no job", func(t *testing.T) {
		l := startRecorded(t)
		l.invoke(t, "nonsense")
		if jobs, _, err := l.ledger.Jobs(t.Context(), ledger.Filter{}, 10, ""); err != nil || len(jobs) != 0 {
			t.Errorf("%+v, %v", jobs, err)
		}
	})
}

func TestCopies(t *testing.T) {
	t.Run("of a job that succeeded elsewhere are left alone", func(t *testing.T) {
		l := startRecorded(t)
		e := l.envelope()
		e.Request.IfExists = routine.Fail // a copy would find its own work and call it a conflict
		l.claim(t, e)
		l.invoke(t, body(t, e))
		l.finished = recent{} // another instance
		calls := l.esa.Faults().Count("CreateRoutine")
		if got := l.invoke(t, body(t, e)); got[0].Outcome != duplicate || l.esa.Faults().Count("CreateRoutine") != calls {
			t.Errorf("%+v, CreateRoutine called %d times", got, l.esa.Faults().Count("CreateRoutine"))
		}
		if letters := l.letters(t); letters != nil {
			t.Errorf("dead letters %+v", letters)
		}
	})
	t.Run("with another request under the same id are none", func(t *testing.T) {
		l := startRecorded(t)
		e := l.claimed(t)
		l.invoke(t, body(t, e))
		e.Request.Name, e.Request.RecordName = "pr-2", "pr-2.example.com"
		if got := l.invoke(t, body(t, e)); got[0].Outcome != succeeded {
			t.Errorf("%+v", got)
		}
		if routines, records := l.holds(t); routines != 2 || records != 2 {
			t.Errorf("%d routines, %d records", routines, records)
		}
	})
	t.Run("of a cancelled job do nothing", func(t *testing.T) {
		l := startRecorded(t)
		e := l.claimed(t)
		was, err := l.ledger.Append(t.Context(), routine.Job{ID: e.JobID}, ledger.Entry{Kind: ledger.Cancelled, By: "ci"})
		if err != nil || was.Late {
			t.Fatalf("%+v, %v", was, err)
		}
		if got := l.invoke(t, body(t, e)); got[0].Outcome != cancelled {
			t.Errorf("%+v", got)
		}
		if routines, _ := l.holds(t); routines != 0 {
			t.Errorf("%d routines", routines)
		}
	})
}

func TestLedgerTrouble(t *testing.T) {
	for name, fault := range map[string]faults.Fault{
		"down":        {Answer: faults.Error, Status: 503, Code: "OTSServerUnavailable"},
		"refusing":    {Answer: faults.Error, Status: 403, Code: "OTSAuthFailed"},
		"a proxy":     {Answer: faults.HTML},
		"silent":      {Answer: faults.Empty},
		"cut off":     {Answer: faults.Truncated},
		"hanging up":  {Answer: faults.Reset},
		"forgetful":   {Answer: faults.Reset, Execute: true},
		"overwhelmed": {Answer: faults.Error, Status: 503, Code: "OTSServerBusy"},
	} {
		t.Run("loses and blocks no job while the ledger is "+name, func(t *testing.T) {
			l := startRecorded(t)
			var out bytes.Buffer
			log, err := logging.New(&out, "info", "provision")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(logging.Into(t.Context(), log), 5*time.Minute)
			defer cancel()
			e := l.claimed(t)
			l.inject(t, l.ots.Faults(), faults.Rule{Times: -1, Fault: fault})
			for range 3 {
				got, err := l.handle(ctx, sim.Event(t, body(t, e)))
				if err != nil || got.Messages[0].Outcome != succeeded {
					t.Errorf("%+v, %v", got, err)
				}
				l.finished = recent{}
			}
			if n := strings.Count(out.String(), "the ledger fails"); n != 1 {
				t.Errorf("said %d times: %s", n, &out)
			}
			if routines, records := l.holds(t); routines != 1 || records != 1 {
				t.Errorf("%d routines, %d records", routines, records)
			}
		})
	}
}
