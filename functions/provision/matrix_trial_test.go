package provision

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"routinely/deploy/local/faults/matrix"
	"routinely/deploy/sim"
	"routinely/functions/record"
	"routinely/queue"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/provision"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

// trial is one job on its way through a broken world.
type trial struct {
	*worker
	stand    *matrix.Stand
	flow     flow
	cell     matrix.Cell
	instance *matrix.Instance
	// book leads to the ledger past what is broken.
	book *ledger.Ledger
	job  queue.Envelope
	// limit is the time limit of all calls, unless it is 0; work is the invocation's time without the reserve.
	limit, work time.Duration
	// unreported means that the last invocation's report is lost, twice that each event comes twice, restart that each
	// invocation has an instance of its own.
	unreported, twice, restart bool
	saw                        []string
}

// newTrial puts a job on the queue as accept does, for a worker that is new.
func newTrial(t *testing.T, s *matrix.Stand, f flow, c matrix.Cell) *trial {
	t.Helper()
	x := &trial{stand: s, flow: f, cell: c, work: 5 * time.Minute}
	x.book = sim.Ledger(t, ledger.Config{Endpoint: s.LedgerURL, Now: s.Clock.Now})
	x.job = x.accept(t, f.site)
	s.Restart()
	x.start(t, -1)
	return x
}

// accept records a new job and puts it on the queue.
func (x *trial) accept(t *testing.T, site int64) queue.Envelope {
	t.Helper()
	id := uuid.NewString()
	e := queue.Envelope{
		JobID: id, Caller: "ci", AcceptedAt: x.stand.Clock.Now().UTC(), Attempt: 1,
		Request: routine.Request{Name: "m-" + id, SiteID: site, RecordName: "m-" + id + ".example.com"},
	}
	_, _, err := x.book.Claim(t.Context(), routine.Job{ID: e.JobID, Caller: e.Caller, AcceptedAt: e.AcceptedAt, Request: e.Request})
	if err == nil {
		_, err = x.stand.Queues.Send(t.Context(), "jobs", body(t, e), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// start gives the trial a new instance, which is killed before its call number dieAt.
func (x *trial) start(t *testing.T, dieAt int) {
	t.Helper()
	s, c := x.stand, x.cell
	x.instance = s.Instance(dieAt)
	limit := func(seam *matrix.Seam) time.Duration { return max(x.limit, s.Limit(seam, c)) }
	jobs := sim.Queue(t, queue.Config{Endpoint: s.MNS.URL, Credentials: x.instance.Credentials(s.MNS), Timeout: limit(s.MNS)})
	book := sim.Ledger(t, ledger.Config{Endpoint: s.Ledger.URL, Credentials: x.instance.Credentials(s.Ledger), Timeout: limit(s.Ledger), Now: s.Clock.Now})
	account, err := esa.New(esa.Config{Endpoint: s.ESA.URL, Credentials: x.instance.Credentials(s.ESA), Timeout: limit(s.ESA)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(account.Close)
	s.MNS.Drop(jobs.Close)
	s.Ledger.Drop(book.Close)
	s.ESA.Drop(account.Close)
	attempts := 6 // on a busy machine a short time limit can strike by itself
	if c.Forever {
		attempts = 3
	}
	x.worker, err = newWorker(workerConfig{
		queue: jobs, record: record.New(book, s.Clock.Now), workflow: provision.Workflow{ESA: account, StepTime: time.Millisecond, Timeout: limit(s.ESA)},
		policy:      retry.Policy{Base: 2 * time.Second, Cap: 15 * time.Minute, MaxAttempts: attempts, MaxInternalAttempts: 3, MaxAge: 24 * time.Hour},
		lockPollMin: 200 * time.Millisecond, lockPollMax: 3 * time.Second, reserve: 10 * time.Second,
		now: s.Clock.Now, draw: func() float64 { return 0.999 },
		sleep:    func(_ context.Context, d time.Duration) { s.Clock.Advance(d) },
		stopping: t.Context(),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// breaks breaks the cell's call, and has ESA answer what the flow wants.
func (x *trial) breaks(t *testing.T, c matrix.Cell) {
	t.Helper()
	x.stand.Break(t, c)
	for _, rule := range x.flow.answers {
		if _, err := x.stand.ESA.Faults.Add(rule); err != nil {
			t.Fatal(err)
		}
	}
}

// letters takes the dead letters off their queue.
func (x *trial) letters(t *testing.T) []queue.Letter {
	t.Helper()
	messages, err := x.stand.Queues.Receive(t.Context(), "jobs-dead", 16, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []queue.Letter
	for _, m := range messages {
		out = append(out, queue.ReadLetter(queue.Message{ID: m.ID, Body: m.Body, EnqueuedAt: m.EnqueueTime}))
		if err := x.stand.Queues.Delete(t.Context(), "jobs-dead", m.ReceiptHandle); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// judge checks what must hold whatever was broken, and says what became of the job.
func (x *trial) judge(t *testing.T) (fate string) {
	t.Helper()
	letters := x.letters(t)
	fate = x.judgeEnd(t, letters)
	state := x.judgeLedger(t, letters)
	fate += ", the ledger: " + state
	if len(letters) == 0 || x.flow.dies != "" {
		return fate
	}
	// What was given up because of the fault succeeds once somebody puts it back.
	x.saw = append(x.saw, "| redriven:")
	x.redrive(t, letters)
	x.drain(t)
	if again := x.letters(t); len(again) > 0 {
		t.Errorf("the redriven job is dead again: %+v", again)
	}
	x.wants(t, 1)
	return fate + ", redriven: " + x.judgeLedger(t, nil)
}

// judgeEnd checks that the job has ended, and how.
func (x *trial) judgeEnd(t *testing.T, letters []queue.Letter) string {
	t.Helper()
	// Of a job whose instance was killed the next may learn that it has succeeded.
	success := slices.Contains(x.saw, string(succeeded)) || slices.Contains(x.saw, string(duplicate))
	for _, l := range letters {
		if l.JobID != x.job.JobID || l.Reason == "" || l.Hint == "" || l.Code == "" || l.Kind == "" ||
			x.flow.dies != "" && l.Code != x.flow.dies && !x.cell.Forever {
			t.Errorf("dead letter %+v", l)
		}
	}
	switch {
	case len(letters) > 0 && success:
		t.Errorf("both dead and succeeded: %s", x.told())
	case x.flow.dies != "" && len(letters) == 0:
		t.Errorf("no dead letter: %s", x.told())
		return "lost"
	case x.flow.dies != "":
		if letters[0].Code == x.flow.dies {
			x.wants(t, 0)
		}
	case len(letters) > 0 && !x.cell.Forever:
		t.Errorf("dead after a single fault: %s: %+v", x.told(), letters[0])
	case len(letters) == 0:
		if !success {
			t.Errorf("neither dead nor succeeded: %s", x.told())
		}
		x.wants(t, 1)
		return "succeeded"
	}
	ids := map[string]bool{}
	for _, l := range letters {
		ids[l.ID] = true
	}
	return fmt.Sprintf("dead-lettered %s %s (%d letters, %d messages)", letters[0].Kind, letters[0].Code, len(ids), len(letters))
}

// wants says that ESA must hold the job's routine with so many records.
func (x *trial) wants(t *testing.T, records int) {
	x.stand.Want(t, x.job.Request.Name, x.job.Request.RecordName, records)
}

// judgeLedger checks that the ledger does not contradict what became of the job. If it was the ledger that was broken it may
// know less, but all once the instance has written to it again.
func (x *trial) judgeLedger(t *testing.T, letters []queue.Letter) (told string) {
	t.Helper()
	want, wrong := routine.Succeeded, routine.DeadLettered
	if len(letters) > 0 {
		want, wrong = wrong, want
	}
	var states []string
	for try := 0; ; try++ {
		job, err := x.book.Job(t.Context(), x.job.JobID)
		if err != nil {
			t.Fatal(err)
		}
		if states = append(states, string(job.State)); job.State == want {
			break
		}
		if job.State == wrong || x.cell.Call.Seam != "ledger" || try == 3 {
			t.Errorf("the ledger tells %v, want %s: %s", states, want, x.told())
			break
		}
		x.another(t)
	}
	return strings.Join(states, ", later ")
}

// another has the instance record that it begins with another job.
func (x *trial) another(t *testing.T) {
	t.Helper()
	x.stand.Clock.Advance(time.Minute)
	other := x.job
	other.JobID = uuid.NewString()
	x.write(t.Context(), other, ledger.Entry{Kind: ledger.Started})
}

// redrive puts dead letters back on the job queue.
func (x *trial) redrive(t *testing.T, letters []queue.Letter) {
	t.Helper()
	for _, l := range letters {
		messages, err := l.Redrive(x.stand.Clock.Now(), "ops", "a test")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			entry := ledger.Entry{Kind: ledger.Redriven, At: x.stand.Clock.Now(), Redriven: m.Job.Redriven, By: "ops"}
			if _, err := x.book.Append(t.Context(), routine.Job{ID: m.Job.JobID}, entry); err != nil {
				t.Fatal(fault.From(err))
			}
			if _, err := x.stand.Queues.Send(t.Context(), "jobs", m.Body, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}
