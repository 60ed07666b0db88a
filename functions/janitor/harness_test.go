package janitor_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/local/otsemu"
	"routinely/deploy/sim"
	"routinely/functions/janitor"
	"routinely/queue"
	"routinely/shared/dispatch"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

const hook = "https://ci.example/hook"

// lease is how long a message stays hidden that was taken.
const lease = 30 * time.Second

// noon is when every test begins.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// house is a janitor with its queues and its ledger, all on one clock that only the test moves.
type house struct {
	*janitor.Janitor
	clock    *clock.Manual
	mns      *mnsemu.Server
	ots      *otsemu.Server
	messages *mnsclient.Client
}

func start(t *testing.T) *house {
	t.Helper()
	h := &house{clock: clock.NewManual(noon)}
	mns, url := localtest.MNS(t, h.clock, sim.JobQueue, sim.DeadLetterQueue, sim.CallbackQueue)
	ots, book := sim.NewLedger(t, h.clock)
	h.mns, h.ots, h.messages = mns, ots, localtest.MNSClient(t, url)
	var err error
	h.Janitor, err = janitor.New(janitor.Config{
		Queue: sim.Queue(t, queue.Config{Endpoint: url}), Ledger: book, Retention: ledger.MinRetention, Now: h.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// run makes one run that must not fail, and returns its report.
func (h *house) run(t *testing.T) janitor.Report {
	t.Helper()
	out, err := h.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// job records a new job, which was accepted and never sent.
func (h *house) job(t *testing.T, id string) ledger.Row {
	t.Helper()
	made := h.Ledger.Create(t.Context(), ledger.NewRow(routine.Job{
		ID: id, Caller: "ci", AcceptedAt: h.clock.Now(),
		Request: routine.Request{Name: "pr-1", SiteID: localtest.SiteID, RecordName: "pr-1.example.com", CallbackURL: hook},
	}))[0]
	if made.Err != nil {
		t.Fatal(made.Err)
	}
	return made.Row
}

// change writes a job's row.
func (h *house) change(t *testing.T, id string, change func(*ledger.Row)) ledger.Row {
	t.Helper()
	row, err := h.Ledger.Change(t.Context(), id, func(r *ledger.Row) error {
		change(r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// due marks the message of a job as due now.
func (h *house) due(r *ledger.Row) { _ = r.SendAgain(h.clock.Now()) }

// die makes a dead letter of a job, of which nobody is told.
func (h *house) die(r *ledger.Row) {
	r.Die(routine.Attempt{Number: 1, At: h.clock.Now(), Kind: string(fault.Conflict), Code: "Taken"}, "it would fail again", ledger.Worker, r.Progress, noon)
	r.DueAt = time.Time{}
}

func (h *house) row(t *testing.T, id string) ledger.Row {
	t.Helper()
	row, err := h.Ledger.Row(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
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
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// message is the message of a job as it stands.
func message(t *testing.T, row ledger.Row) string {
	t.Helper()
	text, err := sim.Keys(t, sim.Key).Seal(dispatch.Envelope(row))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// put puts a message on the dead-letter queue, as a trigger does.
func (h *house) put(t *testing.T, text string) {
	t.Helper()
	if _, err := h.messages.Send(t.Context(), sim.DeadLetterQueue, text, 0); err != nil {
		t.Fatal(err)
	}
}

// take removes and returns the messages of a queue, also those that somebody has taken and not deleted. A message is missed once at most.
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

// fail makes the calls of an action fail from now on, without an answer; an empty action is all.
func fail(t *testing.T, set *faults.Set, action string) {
	t.Helper()
	if _, err := set.Add(faults.Rule{Action: action, Times: -1, Fault: faults.Fault{Answer: faults.Reset}}); err != nil {
		t.Fatal(err)
	}
}
