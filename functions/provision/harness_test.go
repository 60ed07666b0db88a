package provision

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/local/otsemu"
	"routinely/deploy/sim"
	"routinely/functions/record"
	"routinely/queue"
	"routinely/shared/esa"
	"routinely/shared/ledger"
	"routinely/shared/provision"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

// lane is a worker with its queue and its ESA account, all on one clock that only the test moves.
type lane struct {
	*worker
	mns *mnsemu.Server
	// mnsURL is the address of mns.
	mnsURL string
	esa    *esaemu.Server
	jobs   *mnsclient.Client
	clock  *clock.Manual
	// ots and ledger are nil for a worker that keeps no record.
	ots    *otsemu.Server
	ledger *ledger.Ledger
}

// start returns a worker that keeps no record.
func start(t *testing.T) *lane {
	t.Helper()
	return startWith(t, clock.NewManual(time.Now()), nil)
}

// startRecorded returns a worker with a ledger.
func startRecorded(t *testing.T) *lane {
	t.Helper()
	server, book := sim.NewLedger(t)
	l := startWith(t, clock.NewManual(time.Now()), book)
	l.ots, l.ledger = server, book
	return l
}

func startWith(t *testing.T, manual *clock.Manual, book *ledger.Ledger) *lane {
	t.Helper()
	mns, mnsURL := localtest.MNS(t, manual, "jobs", "jobs-dead", "jobs-callbacks")
	account, esaURL := localtest.ESA(t, nil, 0)
	jobs := sim.Queue(t, queue.Config{Endpoint: mnsURL})
	client, err := esa.New(esa.Config{Endpoint: esaURL, Credentials: localtest.Credentials, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	w, err := newWorker(workerConfig{
		queue: jobs, record: record.New(book, manual.Now), workflow: provision.Workflow{ESA: client, StepTime: time.Second, Timeout: 10 * time.Second},
		policy:      retry.Policy{Base: 2 * time.Second, Cap: 15 * time.Minute, MaxAttempts: 10, MaxInternalAttempts: 3, MaxAge: 24 * time.Hour},
		lockPollMin: 200 * time.Millisecond, lockPollMax: 3 * time.Second, reserve: 10 * time.Second,
		now: manual.Now, draw: func() float64 { return 0.999 },
		sleep:    func(_ context.Context, d time.Duration) { manual.Advance(d) },
		stopping: t.Context(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &lane{worker: w, mns: mns, mnsURL: mnsURL, esa: account, jobs: localtest.MNSClient(t, mnsURL), clock: manual}
}

func (l *lane) inject(t *testing.T, set *faults.Set, rules ...faults.Rule) {
	t.Helper()
	for _, rule := range rules {
		if _, err := set.Add(rule); err != nil {
			t.Fatal(err)
		}
	}
}

// envelope is a new job.
func (l *lane) envelope() queue.Envelope {
	return queue.Envelope{
		JobID: "job-1", Caller: "ci", AcceptedAt: l.clock.Now().UTC().Truncate(time.Second), Attempt: 1,
		Request: routine.Request{Name: "pr-1", SiteID: localtest.SiteID, RecordName: "pr-1.example.com"},
	}
}

func body(t *testing.T, e queue.Envelope) string {
	t.Helper()
	text, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// handle runs one invocation with five minutes of time and expects it to settle everything.
func (l *lane) invoke(t *testing.T, bodies ...string) []entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := l.handle(ctx, sim.Event(t, bodies...))
	if err != nil {
		t.Fatal(err)
	}
	return out.Messages
}

// take removes and returns the visible messages of a queue.
func (l *lane) take(t *testing.T, name string) []string {
	t.Helper()
	return sim.Take(t, l.jobs, name)
}

// letters decodes the dead letters.
func (l *lane) letters(t *testing.T) []queue.DeadLetter {
	t.Helper()
	var out []queue.DeadLetter
	for _, text := range l.take(t, "jobs-dead") {
		var message struct {
			Data queue.DeadLetter `json:"data"`
		}
		if err := json.Unmarshal([]byte(text), &message); err != nil {
			t.Fatal(err)
		}
		out = append(out, message.Data)
	}
	return out
}

// drain works the queue until it is empty, a day and more into the future if need be, and returns every outcome.
func (l *lane) drain(t *testing.T, first string) []outcome {
	t.Helper()
	var outcomes []outcome
	pending := []string{first}
	for round := 0; len(pending) > 0; round++ {
		if round > 1000 {
			t.Fatal("the job goes round for ever")
		}
		for _, text := range pending {
			for _, line := range l.invoke(t, text) {
				outcomes = append(outcomes, line.Outcome)
			}
		}
		l.clock.Advance(15 * time.Minute)
		pending = l.take(t, "jobs")
	}
	return outcomes
}

func (l *lane) holds(t *testing.T) (routines, records int) {
	t.Helper()
	state, err := l.esa.State()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range state.Routines {
		records += len(r.Records)
	}
	return len(state.Routines), records
}

func repeat(o outcome, n int) []outcome { return slices.Repeat([]outcome{o}, n) }
