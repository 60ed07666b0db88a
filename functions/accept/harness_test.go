package accept

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/local/otsemu"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// function is the handler as the platform calls it, with its queues and its ledger.
type function struct {
	*Service
	mns    *mnsemu.Server
	mnsURL string
	queue  *mnsclient.Client
	log    *bytes.Buffer
	// clock is that of the function and of Tablestore, mnsClock MNS's own.
	clock, mnsClock *clock.Manual
	// contract checks every answer.
	contract *contract
	ots      *otsemu.Server
}

var now = time.Date(2026, 1, 15, 6, 28, 17, 0, time.UTC)

// retention is how long the ledger of the tests remembers jobs.
const retention = 90 * 24 * time.Hour

func start(t testing.TB) *function {
	t.Helper()
	f := &function{clock: clock.NewManual(now), mnsClock: clock.NewManual(time.Now()), log: &bytes.Buffer{}, contract: newContract(t)}
	f.mns, f.mnsURL = localtest.MNS(t, f.mnsClock, sim.JobQueue, sim.DeadLetterQueue, sim.CallbackQueue)
	f.queue = localtest.MNSClient(t, f.mnsURL)
	server, jobs := sim.NewLedger(t, f.clock)
	f.ots = server
	guard, err := auth.Parse("none")
	if err != nil {
		t.Fatal(err)
	}
	f.Service, err = New(Config{
		Guard: guard, Queue: sim.Queue(t, queue.Config{Endpoint: f.mnsURL}), Ledger: jobs, Retention: retention, Now: f.clock.Now,
		ExpiryMin: time.Hour, ExpiryMax: 720 * time.Hour, ExpiryGrace: 24 * time.Hour, MayDelete: true,
		Sleep: func(_ context.Context, d time.Duration) { f.clock.Advance(d) }, NewID: uuid.NewV7, Bits: rand.Uint64,
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// breaks makes calls of a local server fail.
func breaks(t testing.TB, server interface{ Faults() *faults.Set }, rules ...faults.Rule) {
	t.Helper()
	for _, rule := range rules {
		if _, err := server.Faults().Add(rule); err != nil {
			t.Fatal(err)
		}
	}
}

// event is a v1 event of the HTTP trigger.
func event(method, path, body string, headers ...string) map[string]any {
	h := map[string]string{"Content-Type": "application/json"}
	for i := 0; i < len(headers); i += 2 {
		h[headers[i]] = headers[i+1]
	}
	return map[string]any{
		"version": "v1", "rawPath": path, "headers": h, "queryParameters": map[string]string{}, "body": body, "isBase64Encoded": false,
		"requestContext": map[string]any{"http": map[string]string{"method": method, "path": path, "sourceIp": "192.0.2.1"}},
	}
}

func (f *function) call(t *testing.T, e any) Response {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return f.callRaw(t, text)
}

func (f *function) callRaw(t *testing.T, text []byte) Response {
	t.Helper()
	log, err := logging.New(f.log, "info", "accept")
	if err != nil {
		t.Fatal(err)
	}
	res, err := f.Handle(logging.Into(t.Context(), log), text)
	if err != nil {
		t.Fatal(err)
	}
	f.contract.check(t, text, res)
	return res
}

// queued takes the envelopes off the queue.
func (f *function) queued(t *testing.T) []queue.Envelope {
	t.Helper()
	var out []queue.Envelope
	for _, body := range sim.Take(t, f.queue, sim.JobQueue) {
		d := sim.Keys(t, sim.Key).Decode([]byte(body), now)[0]
		if d.Err != nil {
			t.Fatal(d.Err)
		}
		out = append(out, d.Envelope)
	}
	return out
}

const anonymous = auth.Anonymous

const good = `{"name":"pr-1","siteId":"7","recordName":"PR-1.example.com","description":"<b>&"}`

func ptr[T any](v T) *T { return &v }

var wish = routine.Request{Name: "pr-1", Records: []routine.Record{{SiteID: 7, RecordName: "pr-1.example.com"}}, Description: ptr("<b>&")}

// read decodes the body of an answer that must have the status.
func read[T any](t *testing.T, res Response, status int) T {
	t.Helper()
	var out T
	if err := json.Unmarshal([]byte(res.Body), &out); err != nil {
		t.Fatalf("%v: %+v", err, res)
	}
	if res.StatusCode != status {
		t.Fatalf("status %d, want %d: %+v", res.StatusCode, status, res)
	}
	return out
}

// refused expects a problem.
func refused(t *testing.T, res Response, status int, code string) {
	t.Helper()
	if p := read[api.Problem](t, res, status); p.Code != code || p.Detail == "" {
		t.Errorf("got %+v, want %s", p, code)
	}
}

// post sends a request and returns the job.
func (f *function) post(t *testing.T, body string, headers ...string) routine.Job {
	t.Helper()
	return read[routine.Job](t, f.call(t, event("POST", "/v1/routines", body, headers...)), 202)
}

// begins lets a worker begin with a job, a second after the last thing.
func (f *function) begins(t testing.TB, id string) {
	t.Helper()
	f.changes(t, id, func(r *ledger.Row) { r.Begin(r.Number, r.Progress, f.clock.Now()) })
}

// succeeds lets a worker finish a job.
func (f *function) succeeds(t testing.TB, id string) {
	t.Helper()
	f.changes(t, id, func(r *ledger.Row) {
		r.Succeed(routine.Result{Routine: routine.Created, Record: routine.Adopted, RecordID: 9}, r.Progress, f.clock.Now(), f.clock.Now())
	})
}

// dies lets a worker give a job up, at its second step.
func (f *function) dies(t testing.TB, id string) {
	t.Helper()
	f.changes(t, id, func(r *ledger.Row) { f.die(r, "SiteParameterNotMatch") })
}

func (f *function) die(r *ledger.Row, code string) {
	r.Die(routine.Attempt{
		Number: r.Attempt, At: f.clock.Now(), Step: routine.CreateRoutineRelatedRecord, Kind: "not-found", Code: code,
		RequestID: "R1", Message: "no such site", Hint: "check siteId",
	}, "not retryable", ledger.Worker, routine.Progress{Routine: routine.Created}, f.clock.Now())
}

func (f *function) changes(t testing.TB, id string, change func(*ledger.Row)) {
	t.Helper()
	f.clock.Advance(time.Second)
	if _, err := f.Ledger.Change(t.Context(), id, func(r *ledger.Row) error {
		change(r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// row is all that is kept of a job.
func (f *function) row(t testing.TB, id string) ledger.Row {
	t.Helper()
	r, err := f.Ledger.Row(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// files puts rows into the ledger.
func (f *function) files(t testing.TB, rows ...ledger.Row) {
	t.Helper()
	for _, made := range f.Ledger.Create(t.Context(), rows...) {
		if made.Err != nil {
			t.Fatal(made.Err)
		}
	}
}

// wishFor is a request for the n-th routine.
func wishFor(n int) string {
	return fmt.Sprintf(`{"name":"pr-%d","siteId":7,"recordName":"pr-%d.example.com"}`, n, n)
}

// wishes is a batch of requests for the first n routines.
func wishes(n int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = wishFor(i)
	}
	return "[" + strings.Join(items, ",") + "]"
}

func withParams(e map[string]any, query map[string]string) map[string]any {
	e["queryParameters"] = query
	return e
}

// asking is an event with one query parameter.
func asking(method, path, name, value string) map[string]any {
	return withParams(event(method, path, ""), map[string]string{name: value})
}
