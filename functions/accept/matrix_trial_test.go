package accept

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"routinely/deploy/local/faults/matrix"
	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	"routinely/functions/deadletters"
	"routinely/functions/record"
	"routinely/queue"
	"routinely/shared/auth"
	"routinely/shared/esa"
	"routinely/shared/ledger"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

// trial is one request on its way through a broken world, with the jobs it is about.
type trial struct {
	*function
	stand    *matrix.Stand
	flow     flow
	cell     matrix.Cell
	instance *matrix.Instance
	// jobs, book and account lead to the services past what is broken.
	jobs    *queue.Client
	book    *ledger.Ledger
	account *esa.Client
	// names are those of the routines, ids those of the jobs if they are known before, letterIDs those of their letters.
	key                   string
	names, ids, letterIDs []string
	// unsure means that the caller does not know, cancelled that the job was called off.
	unsure, cancelled bool
}

func newTrial(t *testing.T, s *matrix.Stand, f flow, c matrix.Cell) *trial {
	t.Helper()
	x := &trial{stand: s, flow: f, cell: c, key: uuid.NewString()}
	x.jobs = sim.Queue(t, queue.Config{Endpoint: s.MNS.URL})
	x.book = sim.Ledger(t, ledger.Config{Endpoint: s.LedgerURL, Now: s.Clock.Now})
	account, err := esa.New(esa.Config{Endpoint: s.ESAURL, Credentials: localtest.Credentials, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(account.Close)
	x.account = account
	for range cmp.Or(f.jobs, f.letters, map[string]int{"one request": 1}[f.name], 3) {
		x.names = append(x.names, "m-"+uuid.NewString())
	}
	for i := range f.jobs {
		x.ids = append(x.ids, x.accepted(t, i))
	}
	for i := range f.letters {
		x.die(t, i)
	}
	x.start(t, -1)
	s.Restart()
	return x
}

// start gives the trial a new instance, which is killed before its call number dieAt.
func (x *trial) start(t *testing.T, dieAt int) {
	t.Helper()
	s, c := x.stand, x.cell
	x.instance = s.Instance(dieAt)
	jobs := sim.Queue(t, queue.Config{Endpoint: s.MNS.URL, Credentials: x.instance.Credentials(s.MNS), Timeout: s.Limit(s.MNS, c)})
	book := sim.Ledger(t, ledger.Config{
		Endpoint: s.Ledger.URL, Credentials: x.instance.Credentials(s.Ledger), Timeout: s.Limit(s.Ledger, c), Now: s.Clock.Now,
	})
	s.MNS.Drop(jobs.Close)
	s.Ledger.Drop(book.Close)
	record := record.New(book, s.Clock.Now)
	sleep := func(_ context.Context, d time.Duration) { s.Clock.Advance(d) }
	guard, err := auth.Parse("none")
	if err != nil {
		t.Fatal(err)
	}
	parts := service{
		guard: guard, jobs: jobs, record: record, now: s.Clock.Now, sleep: sleep, newID: uuid.NewV7,
		letters: deadletters.New(deadletters.Config{Queue: jobs, Record: record.Note, Now: s.Clock.Now, Sleep: sleep}),
	}
	x.function = &function{service: parts, routes: newRoutes(parts), log: &bytes.Buffer{}, contract: newContract(t)}
}

// tell asks the instance. Of its answers those that are no success are held to the contract: these are rare elsewhere.
func (x *trial) tell(t *testing.T, e map[string]any) response {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	res := serveEvent(t.Context(), text, x.routes)
	if res.StatusCode >= 300 {
		x.contract.check(t, text, res)
	}
	return res
}

// callAndDie asks an instance that does not live to answer.
func (x *trial) callAndDie(t *testing.T, e map[string]any) {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	ended, ctx, routes := make(chan response, 1), context.WithoutCancel(t.Context()), x.routes
	x.stand.Go(func() { ended <- serveEvent(ctx, text, routes) })
	select {
	case <-x.instance.Died():
		x.stand.Settled(t)
	case res := <-ended:
		t.Fatalf("the instance lives: %+v", res)
	}
}

func wishNamed(name string) string {
	return fmt.Sprintf(`{"name":%q,"siteId":"%d","recordName":%q}`, name, int64(localtest.SiteID), recordOf(name))
}

func recordOf(name string) string { return name + ".example.com" }

// wish asks for a routine under the trial's key.
func (x *trial) wish(name string) map[string]any {
	return event("POST", "/v1/routines", wishNamed(name), "Idempotency-Key", x.key)
}

func (x *trial) job(i int) routine.Job {
	return routine.Job{
		ID: uuid.NewString(), Caller: anonymous, AcceptedAt: x.stand.Clock.Now().UTC(), State: routine.Queued,
		Request: routine.Request{Name: x.names[i], SiteID: localtest.SiteID, RecordName: recordOf(x.names[i])},
	}
}

// accepted is a job that was accepted before. The first is that of the trial's key.
func (x *trial) accepted(t *testing.T, i int) (id string) {
	t.Helper()
	job := x.job(i)
	if i == 0 {
		job.ID = queue.KeyedJobID(anonymous, x.key)
	}
	body, err := envelope(job)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.book.Claim(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if err := x.jobs.SendRaw(t.Context(), body, 0); err != nil {
		t.Fatal(err)
	}
	return job.ID
}

// die puts a job among the dead letters, as the worker does.
func (x *trial) die(t *testing.T, i int) {
	t.Helper()
	job := x.job(i)
	failure := routine.Attempt{Number: 1, At: job.AcceptedAt, Kind: "operator", Code: "ServiceNotOpen", Message: "not activated", Hint: "activate it"}
	letter := queue.NewDeadLetter(failure, "not retryable")
	letter.JobID, letter.Caller, letter.AcceptedAt, letter.Request = job.ID, job.Caller, job.AcceptedAt, &job.Request
	letter.Attempt, letter.Attempts = 1, []routine.Attempt{failure}
	letter.Received = queue.ReceivedBody("M1", []byte(wishNamed(x.names[i])))
	bodies, err := letter.Encode()
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := queue.DecodeDeadLetter(string(bodies[0]))
	if err != nil {
		t.Fatal(err)
	}
	x.ids, x.letterIDs = append(x.ids, job.ID), append(x.letterIDs, id)
	if err := x.jobs.SendDead(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	entry := ledger.Entry{Kind: ledger.DeadLettered, Attempt: 1, Reason: letter.Reason, Failure: &failure, At: job.AcceptedAt}
	if _, err := x.book.Append(t.Context(), job, entry); err != nil {
		t.Fatal(err)
	}
}

// seen are the messages that can be seen on a queue. They can be seen again a minute later.
func (x *trial) seen(t *testing.T, name string) []queue.Message {
	t.Helper()
	x.stand.Clock.Advance(time.Minute)
	messages, err := x.stand.Queues.Receive(t.Context(), name, 16, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []queue.Message
	for _, m := range messages {
		out = append(out, queue.Message{ID: m.ID, Body: m.Body, ReceiptHandle: m.ReceiptHandle, EnqueuedAt: m.EnqueueTime})
	}
	return out
}

// onQueue counts the messages of jobs on the job queue, by id.
func (x *trial) onQueue(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, m := range x.seen(t, "jobs") {
		out[queue.Decode([]byte(m.Body), x.stand.Clock.Now())[0].Envelope.JobID]++
	}
	return out
}

// dead counts the messages of dead letters, by their ids.
func (x *trial) dead(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, m := range x.seen(t, "jobs-dead") {
		out[queue.ReadLetter(m).ID]++
	}
	return out
}

// endDone has the caller ask until the answer is a good one and a worker come to the end of the queue. Each job is done once,
// or not at all if it was called off.
func (x *trial) endDone(t *testing.T) (fate string) {
	t.Helper()
	if x.unsure {
		x.insist(t, x.flow.ask(x))
		x.cancelled = x.flow.name == "a cancellation"
	}
	return x.endWorked(t)
}

// endRedriven redrives what is still there until there is nothing. None may be lost.
func (x *trial) endRedriven(t *testing.T) (fate string) {
	t.Helper()
	for try := 0; len(x.dead(t)) > 0; try++ {
		res := x.insist(t, event("POST", "/v1/dead-letters:redrive", `{"all":true}`))
		if try > enough {
			t.Fatalf("redriven %d times: %+v", try, res)
		}
	}
	return x.endWorked(t)
}

// enough is how often a caller asks. Once would do, were it not for the short time limits on a busy machine.
const enough = 10

// insist asks, a minute after each other, until the answer is a good one.
func (x *trial) insist(t *testing.T, e map[string]any) response {
	t.Helper()
	for try := 0; ; try++ {
		x.stand.Clock.Advance(time.Minute) // leases end, and the ledger has rested
		if res := x.tell(t, e); res.StatusCode < 300 {
			return res
		} else if try > enough {
			t.Fatalf("asked %d times: %+v", try, res)
		}
	}
}

// endThere checks that all letters are still there, but for the first if it was to be deleted.
func (x *trial) endThere(t *testing.T) (fate string) {
	t.Helper()
	messages := x.seen(t, "jobs-dead")
	there := map[string]bool{}
	for _, m := range messages {
		there[queue.ReadLetter(m).ID] = true
		if err := x.stand.Queues.Delete(t.Context(), "jobs-dead", m.ReceiptHandle); err != nil {
			t.Fatal(err)
		}
	}
	deletes := x.flow.name == "a deletion"
	for i, id := range x.letterIDs {
		switch mayBeGone := deletes && i == 0; {
		case !there[id] && !mayBeGone:
			t.Errorf("letter %s is lost", id)
		case there[id] && mayBeGone && !x.unsure:
			t.Errorf("letter %s is still there", id)
		}
	}
	if on := x.onQueue(t); len(on) > 0 {
		t.Errorf("on the job queue: %v", on)
	}
	return fmt.Sprintf("%d of %d letters there", len(there), len(x.letterIDs))
}

// endWorked lets a worker come to the end of the queue and checks that each job is done once.
func (x *trial) endWorked(t *testing.T) (fate string) {
	t.Helper()
	runs := x.work(t)
	want, times := routine.Succeeded, 1
	if x.cancelled {
		want, times = routine.Cancelled, 0
	}
	var told []string
	for i, name := range x.names {
		id := x.idOf(i)
		job, err := x.book.Job(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if job.State != want || runs[id] != times {
			t.Errorf("job %s is %s and was done %d times, want %s", id, job.State, runs[id], want)
		}
		if want == routine.Succeeded {
			x.stand.Want(t, name, recordOf(name), 1)
		}
		told = append(told, string(job.State))
		delete(runs, id)
	}
	if len(runs) > 0 {
		t.Errorf("other jobs were done: %v", runs)
	}
	return strings.Join(told, ", ")
}

// idOf is the id of a job.
func (x *trial) idOf(i int) string {
	switch {
	case i < len(x.ids):
		return x.ids[i]
	case x.flow.name == "a batch":
		return queue.KeyedJobID(anonymous, fmt.Sprintf("%s/%d", x.key, i))
	}
	return queue.KeyedJobID(anonymous, x.key)
}

// work does what the worker does, as far as it matters here, until the queue is empty. It tells how often each job was done.
func (x *trial) work(t *testing.T) map[string]int {
	t.Helper()
	done := map[string]int{}
	for messages := x.seen(t, "jobs"); len(messages) > 0; messages = x.seen(t, "jobs") {
		for _, m := range messages {
			d := queue.Decode([]byte(m.Body), x.stand.Clock.Now())[0]
			if d.Err != nil {
				t.Fatal(d.Err)
			}
			x.perform(t, d.Envelope, done)
			if err := x.stand.Queues.Delete(t.Context(), "jobs", m.ReceiptHandle); err != nil {
				t.Fatal(err)
			}
		}
	}
	return done
}

// perform does one job, unless the ledger says that it is over.
func (x *trial) perform(t *testing.T, e queue.Envelope, done map[string]int) {
	t.Helper()
	job := routine.Job{ID: e.JobID, Caller: e.Caller, AcceptedAt: e.AcceptedAt, Request: e.Request}
	write := func(entry ledger.Entry) routine.State {
		entry.At, entry.Attempt, entry.Redriven = x.stand.Clock.Now(), e.Attempt, e.Redriven
		was, err := x.book.Append(t.Context(), job, entry)
		if err != nil {
			t.Fatal(err)
		}
		return was.Job.State
	}
	if state := write(ledger.Entry{Kind: ledger.Started}); state == routine.Succeeded || state == routine.Cancelled {
		return
	}
	workflow := provision.Workflow{ESA: x.account, StepTime: time.Second, Timeout: 10 * time.Second}
	result, err := workflow.Run(t.Context(), e.Request, &e.Progress, func(context.Context, routine.Progress) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	done[e.JobID]++
	write(ledger.Entry{Kind: ledger.Succeeded, Result: &result})
}
