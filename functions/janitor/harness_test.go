package janitor_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
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
	"routinely/functions/janitor"
	"routinely/queue"
	"routinely/shared/dispatch"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The MNS SDK's HTTP client looks for idle connections every ten seconds and cannot be told to stop.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*Client).mCleaner"),
	)
}

const hook = "https://ci.example/hook"

// lease is how long a received message is hidden.
const lease = 30 * time.Second

// noon is the time at which every test begins.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// house is a janitor with its queues, its ledger and its ESA account, all on one clock that only the test moves.
type house struct {
	*janitor.Janitor
	clock    *clock.Manual
	mns      *mnsemu.Server
	ots      *otsemu.Server
	esa      *esaemu.Server
	esaURL   string
	messages *mnsclient.Client
}

func start(t *testing.T) *house {
	t.Helper()
	h := &house{clock: clock.NewManual(noon)}
	mns, url := localtest.MNS(t, h.clock, sim.JobQueue, sim.DeadLetterQueue, sim.CallbackQueue)
	ots, book := sim.NewLedger(t, h.clock)
	h.mns, h.ots, h.messages = mns, ots, localtest.MNSClient(t, url)
	h.esa, h.esaURL = localtest.ESA(t, h.clock, 0)
	h.remake(t, janitor.Config{
		Queue: sim.Queue(t, queue.Config{Endpoint: url}), Ledger: book, ESA: h.account(t), Retention: ledger.MinRetention, MayExpire: true,
		ExpirySettle: settle, ExpiryGrace: grace, ExpiryPerHour: perHour, Now: h.clock.Now, Bits: rand.Uint64,
	})
	return h
}

// account returns a client of the ESA account, which makes one call at a time.
func (h *house) account(t *testing.T) *esa.Client {
	t.Helper()
	client, err := esa.New(esa.Config{Endpoint: h.esaURL, Credentials: localtest.Credentials, Timeout: 10 * time.Second})
	must(t, err)
	t.Cleanup(client.Close)
	return client
}

// atOnce makes so many runs at the same time, each by a janitor of its own, as instances of the function are.
func (h *house) atOnce(t *testing.T, runs int) {
	t.Helper()
	var all sync.WaitGroup
	for range runs {
		cfg := h.Config
		cfg.ESA = h.account(t)
		j, err := janitor.New(cfg)
		must(t, err)
		all.Go(func() {
			if out, err := j.Run(t.Context()); err != nil {
				t.Errorf("%+v, %v", out, err)
			}
		})
	}
	all.Wait()
}

// remake makes the janitor again, as another configuration has it.
func (h *house) remake(t *testing.T, cfg janitor.Config) {
	t.Helper()
	var err error
	h.Janitor, err = janitor.New(cfg)
	must(t, err)
}

// run makes one run that must not fail, and returns its report.
func (h *house) run(t *testing.T) janitor.Report {
	t.Helper()
	out, err := h.Run(t.Context())
	must(t, err)
	return out
}

// runs makes one run and checks its report.
func (h *house) runs(t *testing.T, want janitor.Report) {
	t.Helper()
	same(t, "report", h.run(t), want)
}

// fails makes one run that must fail, and returns its report.
func (h *house) fails(t *testing.T) janitor.Report {
	t.Helper()
	out, err := h.Run(t.Context())
	if err == nil {
		t.Errorf("no error; %+v", out)
	}
	return out
}

// gone makes one run and expects that it leaves nothing on the dead-letter queue.
func (h *house) gone(t *testing.T, want janitor.Report) {
	t.Helper()
	h.runs(t, want)
	same(t, "left on the dead-letter queue", len(h.take(t, sim.DeadLetterQueue)), 0)
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s; -want +got:\n%s", what, diff)
	}
}

// record makes new rows.
func (h *house) record(t *testing.T, rows ...ledger.Row) ledger.Row {
	t.Helper()
	made := h.Ledger.Create(t.Context(), rows...)
	for _, m := range made {
		if m.Err != nil {
			t.Fatal(m.Err)
		}
	}
	return made[0].Row
}

// job records a new job, accepted and not sent.
func (h *house) job(t *testing.T, id string) ledger.Row {
	t.Helper()
	return h.record(t, ledger.NewRow(routine.Job{
		ID: id, Caller: "ci", AcceptedAt: h.clock.Now(),
		Request: routine.Request{Name: "pr-1", Records: []routine.Record{{SiteID: localtest.SiteID, RecordName: "pr-1.example.com"}}, CallbackURL: hook},
	}))
}

// many records so many jobs, altered by change.
func (h *house) many(t *testing.T, n int, change func(*ledger.Row)) {
	t.Helper()
	rows := make([]ledger.Row, n)
	for i := range rows {
		rows[i] = ledger.NewRow(routine.Job{ID: fmt.Sprintf("job-%04d", i), AcceptedAt: noon, Request: routine.Request{Name: "pr-1"}})
		change(&rows[i])
	}
	h.record(t, rows...)
}

// change writes a job's row.
func (h *house) change(t *testing.T, id string, change func(*ledger.Row)) ledger.Row {
	t.Helper()
	row, err := h.Ledger.Change(t.Context(), id, func(r *ledger.Row) error {
		change(r)
		return nil
	})
	must(t, err)
	return row
}

// due marks the message of a job as due now.
func (h *house) due(r *ledger.Row) { _ = r.SendAgain(h.clock.Now()) }

// die makes a dead letter of a job, without a callback.
func (h *house) die(r *ledger.Row) {
	r.Die(routine.Attempt{Number: 1, At: h.clock.Now(), Kind: string(fault.Conflict), Code: "Taken"}, "it would fail again", ledger.Worker, r.Progress, noon)
	r.DueAt = time.Time{}
}

// redrive takes a dead letter back a second later, and sends its message.
func (h *house) redrive(t *testing.T, id string) ledger.Row {
	t.Helper()
	h.clock.Advance(time.Second)
	now := h.clock.Now()
	return h.change(t, id, func(r *ledger.Row) {
		must(t, errors.Join(r.Redrive("op", "", nil, now, now, now), r.Sent(1, 1, "k1", now)))
	})
}

func (h *house) row(t *testing.T, id string) ledger.Row {
	t.Helper()
	row, err := h.Ledger.Row(t.Context(), id)
	must(t, err)
	return row
}

// dead is the code of the job's latest failure if it is a dead letter, else its state.
func (h *house) dead(t *testing.T, id string) string {
	t.Helper()
	row := h.row(t, id)
	if row.State != routine.DeadLettered {
		return string(row.State)
	}
	return row.Code
}

// letters lists the dead letters.
func (h *house) letters(t *testing.T) []ledger.Row {
	t.Helper()
	rows, _, err := h.Ledger.DeadLetters(t.Context(), ledger.DeadFilter{}, ledger.MaxPage, "")
	must(t, err)
	return rows
}

// message is the message of a job as it stands.
func message(t *testing.T, row ledger.Row) string {
	t.Helper()
	text, err := sim.Keys(t, sim.Key).Seal(dispatch.Envelope(row))
	must(t, err)
	return text
}

// put puts a message on the dead-letter queue, as a trigger does.
func (h *house) put(t *testing.T, text string) {
	t.Helper()
	if _, err := h.messages.Send(t.Context(), sim.DeadLetterQueue, text, 0); err != nil {
		t.Fatal(err)
	}
}

// take removes and returns the messages of a queue, also received ones. It takes twice, since a receive can miss a message.
func (h *house) take(t *testing.T, name string) []string {
	t.Helper()
	h.clock.Advance(lease)
	return append(sim.Take(t, h.messages, name), sim.Take(t, h.messages, name)...)
}

// sent takes the messages of jobs, as id/round.number.
func (h *house) sent(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, text := range h.take(t, sim.JobQueue) {
		e := sim.Keys(t, sim.Key).Decode([]byte(text), noon)[0].Envelope
		out = append(out, fmt.Sprintf("%s/%d.%d", e.JobID, e.Round, e.Number))
	}
	slices.Sort(out)
	return out
}

// sends checks which messages of jobs are on the queue, as id/round.number.
func (h *house) sends(t *testing.T, want ...string) {
	t.Helper()
	same(t, "messages sent", h.sent(t), want)
}

// fail makes the calls of an action fail from now on, without an answer; an empty action is all.
func fail(t *testing.T, set *faults.Set, action string) {
	t.Helper()
	if _, err := set.Add(faults.Rule{Action: action, Times: -1, Fault: faults.Fault{Answer: faults.Reset}}); err != nil {
		t.Fatal(err)
	}
}

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
