package provision_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/local/otsemu"
	"routinely/deploy/sim"
	worker "routinely/functions/provision"
	"routinely/queue"
	"routinely/shared/dispatch"
	"routinely/shared/esa"
	"routinely/shared/ledger"
	"routinely/shared/provision"
	"routinely/shared/retry"
	"routinely/shared/routine"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The MNS SDK's HTTP client looks for idle connections every ten seconds and cannot be told to stop.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*Client).mCleaner"),
	)
}

// lane is a worker between its local servers, on one clock that only the test and the worker's own pauses move.
type lane struct {
	mns      *mnsemu.Server
	esa      *esaemu.Server
	ots      *otsemu.Server
	queues   *mnsclient.Client
	ledger   *ledger.Ledger
	dispatch dispatch.Dispatcher
	clock    *clock.Manual
	// cfg is what each invocation's worker is made of.
	cfg worker.Config
}

func start(t *testing.T) *lane {
	t.Helper()
	manual := clock.NewManual(time.Now().UTC().Truncate(time.Second))
	mns, mnsURL := localtest.MNS(t, manual, sim.JobQueue, sim.DeadLetterQueue, sim.CallbackQueue)
	account, esaURL := localtest.ESA(t, manual, 0)
	ots, jobs := sim.NewLedger(t, manual)
	client, err := esa.New(esa.Config{Endpoint: esaURL, Credentials: localtest.Credentials, Timeout: 10 * time.Second})
	must(t, err)
	t.Cleanup(client.Close)
	workflow, err := provision.New(provision.Config{
		ESA: client, StepTime: time.Second, Timeout: 10 * time.Second, Now: manual.Now, MayDelete: true, MayExpire: true,
	})
	must(t, err)
	sender := sim.Queue(t, queue.Config{Endpoint: mnsURL})
	return &lane{
		mns: mns, esa: account, ots: ots, queues: localtest.MNSClient(t, mnsURL), ledger: jobs, clock: manual,
		dispatch: dispatch.Dispatcher{Queue: sender, Ledger: jobs, Now: manual.Now},
		cfg: worker.Config{
			Queue: sender, Ledger: jobs, Workflow: workflow,
			Policy: retry.Policy{
				Base: 2 * time.Second, Cap: 15 * time.Minute, MaxAttempts: 10, MaxInternalAttempts: 3, MaxAge: 24 * time.Hour,
				StoppedMin: time.Minute, StoppedMax: 5 * time.Minute,
			},
			ParkWait:    time.Minute,
			LockPollMin: 2 * time.Second, LockPollMax: 3 * time.Second, Reserve: 10 * time.Second,
			Now: manual.Now, Draw: func() float64 { return 0.999 }, Bits: rand.Uint64,
			Sleep:    func(_ context.Context, d time.Duration) { manual.Advance(d) },
			Stopping: t.Context(),
		},
	}
}

// accept records job n as accept does, altered by change.
func (l *lane) accept(t *testing.T, n int, change ...func(*routine.Job)) ledger.Row {
	t.Helper()
	name := fmt.Sprintf("pr-%d", n)
	job := routine.Job{
		ID: fmt.Sprintf("job-%d", n), Caller: "ci", AcceptedAt: l.clock.Now(),
		Request: routine.Request{Name: name, Records: []routine.Record{{SiteID: localtest.SiteID, RecordName: name + ".example.com"}}},
	}
	for _, alter := range change {
		alter(&job)
	}
	made := l.ledger.Create(t.Context(), ledger.NewRow(job))[0]
	if made.Err != nil || made.Existed {
		t.Fatalf("%+v", made)
	}
	return made.Row
}

// strict asks for a routine that must not exist yet: a job that runs twice fails at its own routine.
func strict(job *routine.Job) { job.Request.IfExists = routine.Fail }

// hooked asks for a callback.
func hooked(job *routine.Job) {
	job.Request.CallbackURL = "https://hooks.example.com/routinely?token=hush"
}

// elsewhere names a site that is not of the account.
func elsewhere(job *routine.Job) { job.Request.Records[0].SiteID = 99 }

// message is the message of the row's job.
func message(t *testing.T, row ledger.Row) string {
	t.Helper()
	return encoded(t, dispatch.Envelope(row))
}

func encoded(t *testing.T, e queue.Envelope) string {
	t.Helper()
	body, err := sim.Keys(t, sim.Key).Seal(e)
	must(t, err)
	return body
}

// handle delivers messages to an instance of its own, whose invocation has five minutes.
func (l *lane) handle(t *testing.T, bodies ...string) (worker.Report, error) {
	t.Helper()
	return l.within(t, 5*time.Minute, bodies...)
}

// within is handle with another time.
func (l *lane) within(t *testing.T, lasts time.Duration, bodies ...string) (worker.Report, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	return l.worker(t).Handle(ctx, sim.Event(t, bodies...))
}

func (l *lane) worker(t *testing.T) *worker.Worker {
	t.Helper()
	w, err := worker.New(l.cfg)
	must(t, err)
	return w
}

// invoke is handle for messages that are all settled. It returns their outcomes.
func (l *lane) invoke(t *testing.T, bodies ...string) []string {
	t.Helper()
	report, err := l.handle(t, bodies...)
	must(t, err)
	return outcomes(report)
}

func outcomes(report worker.Report) (out []string) {
	for _, line := range report.Messages {
		out = append(out, string(line.Outcome))
	}
	return out
}

// expect delivers one message and checks its outcome.
func (l *lane) expect(t *testing.T, want, body string) {
	t.Helper()
	same(t, "outcome", l.invoke(t, body), []string{want})
}

// drain delivers messages as the platform does until there are no more: what was not settled comes again, and what is due is sent as the
// janitor does. It returns all outcomes.
func (l *lane) drain(t *testing.T, bodies ...string) (all []string) {
	t.Helper()
	for range 300 {
		var again []string
		for _, body := range bodies {
			report, err := l.handle(t, body)
			all = append(all, outcomes(report)...)
			if err != nil {
				again = append(again, body)
			}
		}
		l.clock.Advance(15 * time.Minute)
		due, _, err := l.ledger.Due(t.Context(), l.clock.Now(), 50)
		l.dispatch.Send(t.Context(), due) // what fails stays due
		if bodies = append(again, l.take(t, sim.JobQueue)...); err == nil && len(due)+len(bodies) == 0 {
			return all
		}
	}
	t.Fatalf("the job goes round for ever: %v", all)
	return nil
}

// take removes and returns the visible messages of a queue.
func (l *lane) take(t *testing.T, name string) []string {
	t.Helper()
	return sim.Take(t, l.queues, name)
}

// callbacks removes and returns the callbacks on their queue.
func (l *lane) callbacks(t *testing.T) (out []queue.Callback) {
	t.Helper()
	for _, body := range l.take(t, sim.CallbackQueue) {
		d := sim.Keys(t, sim.Key).Decode(sim.Event(t, body), l.clock.Now())[0]
		if d.Callback == nil {
			t.Fatalf("no callback: %q", body)
		}
		out = append(out, *d.Callback)
	}
	return out
}

func (l *lane) row(t *testing.T, id string) ledger.Row {
	t.Helper()
	row, err := l.ledger.Row(t.Context(), id)
	must(t, err)
	return row
}

// change alters a row as another program does.
func (l *lane) change(t *testing.T, id string, change func(*ledger.Row) error) ledger.Row {
	t.Helper()
	row, err := l.ledger.Change(t.Context(), id, change)
	must(t, err)
	return row
}

// redrive takes a dead letter back.
func (l *lane) redrive(t *testing.T, id string) ledger.Row {
	t.Helper()
	now := l.clock.Now()
	return l.change(t, id, func(r *ledger.Row) error { return r.Redrive("op", "fixed", nil, now, now, now) })
}

func inject(t *testing.T, set *faults.Set, rules ...faults.Rule) {
	t.Helper()
	for _, rule := range rules {
		if _, err := set.Add(rule); err != nil {
			t.Fatal(err)
		}
	}
}

// heal takes all faults back.
func (l *lane) heal() {
	for _, set := range []*faults.Set{l.mns.Faults(), l.esa.Faults(), l.ots.Faults()} {
		set.Clear()
	}
}

// forever hits all calls from now on.
const forever = -1

// refuses has ESA answer an action with an error so many times.
func (l *lane) refuses(t *testing.T, action, code string, times int) {
	t.Helper()
	inject(t, l.esa.Faults(), faults.Rule{Action: action, Times: times, Fault: faults.Fault{Answer: faults.Error, Code: code}})
}

// ledgerFails breaks the writes of jobs behind the first so many, until it is healed.
func (l *lane) ledgerFails(t *testing.T, skip int) {
	t.Helper()
	inject(t, l.ots.Faults(), faults.Rule{
		Action: writeRows, Match: ofJobs(), Skip: skip, Times: forever, Fault: faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSServerUnavailable"},
	})
}

// queueFails breaks all sends until it is healed.
func (l *lane) queueFails(t *testing.T) {
	t.Helper()
	inject(t, l.mns.Faults(), faults.Rule{
		Action: sendMessage, Times: forever, Fault: faults.Fault{Answer: faults.Error, Status: 500, Code: "InternalError"},
	})
}

// Actions of the servers.
const (
	getRoutine    = "GetRoutine"
	createRoutine = "CreateRoutine"
	createRecord  = "CreateRoutineRelatedRecord"
	listRecords   = "ListRoutineRelatedRecords"
	sendMessage   = "SendMessage"
	listSites     = "ListSites"
	readRows      = "BatchGetRow"
	writeRows     = "BatchWriteRow"
)

// ofJobs are the parameters of a ledger call about jobs. Others are about claims and the account.
func ofJobs() map[string]string { return map[string]string{"table": "jobs"} }

const locked = "UserOperationStatusIsLocked"

// calls are the actions that a server was called with, in their order.
func calls(set *faults.Set) (out []string) {
	for _, call := range set.Calls() {
		out = append(out, call.Action)
	}
	return out
}

// holds checks how many routines and records ESA has.
func (l *lane) holds(t *testing.T, routines, records int) {
	t.Helper()
	state, err := l.esa.State()
	must(t, err)
	found := 0
	for _, r := range state.Routines {
		found += len(r.Records)
	}
	if len(state.Routines) != routines || found != records {
		t.Errorf("ESA holds %d routines and %d records, want %d and %d", len(state.Routines), found, routines, records)
	}
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s; -want +got:\n%s", what, diff)
	}
}

func times(n int, outcome string) []string { return slices.Repeat([]string{outcome}, n) }

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
