package deadletters_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/sim"
	"routinely/functions/deadletters"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The MNS SDK's HTTP client looks for idle connections every ten seconds and cannot be told to stop.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*Client).mCleaner"),
	)
}

var dead = time.Date(2026, 1, 15, 6, 0, 0, 0, time.UTC)

// stage is a desk with its queues and everything it tells.
type stage struct {
	*deadletters.Desk
	server *mnsemu.Server
	url    string
	clock  *clock.Manual
	log    *bytes.Buffer

	mu       sync.Mutex
	recorded []recorded
}

type recorded struct {
	Job   routine.Job
	Entry ledger.Entry
	// Sent is how many batches had been sent to the job queue before.
	Sent int
}

func newStage(t testing.TB, change ...func(*deadletters.Config)) *stage {
	t.Helper()
	s := &stage{clock: clock.NewManual(time.Now().Truncate(time.Second)), log: &bytes.Buffer{}}
	s.server, s.url = localtest.MNS(t, s.clock, "jobs", "jobs-dead", "jobs-callbacks")
	cfg := deadletters.Config{
		Queue: sim.Queue(t, queue.Config{Endpoint: s.url}), Record: s.record, Now: s.clock.Now,
		Sleep: func(_ context.Context, d time.Duration) { s.clock.Advance(d) },
	}
	for _, c := range change {
		c(&cfg)
	}
	s.Desk = deadletters.New(cfg)
	return s
}

func (s *stage) record(_ context.Context, job routine.Job, e ledger.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recorded = append(s.recorded, recorded{job, e, s.server.Faults().Count("BatchSendMessage")})
}

// calling is a desk at the same queues that says before each call to MNS that it makes one.
func (s *stage) calling(t testing.TB, before func()) *deadletters.Desk {
	t.Helper()
	credentials := func() (string, string, string) {
		before()
		return localtest.Credentials()
	}
	return deadletters.New(deadletters.Config{
		Queue: sim.Queue(t, queue.Config{Endpoint: s.url, Credentials: credentials}), Now: s.clock.Now, Sleep: func(context.Context, time.Duration) {},
	})
}

// ctx carries the logger.
func (s *stage) ctx(t testing.TB) context.Context {
	t.Helper()
	log, err := logging.New(s.log, "info", "accept")
	if err != nil {
		t.Fatal(err)
	}
	return logging.Into(t.Context(), log)
}

// lines are the log lines so far.
func (s *stage) lines(t testing.TB) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(s.log.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		out = append(out, fields)
	}
	return out
}

// put sends bodies to the dead-letter queue as they are.
func (s *stage) put(t testing.TB, bodies ...string) {
	t.Helper()
	filler := sim.Queue(t, queue.Config{Endpoint: s.url, Queue: "jobs-dead", DeadLetterQueue: "unused"})
	for _, err := range filler.SendBatch(t.Context(), bodies) {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.server.Faults().Reset()
}

// die sends the dead letters of n jobs, numbered from 0: each has died a second before the next.
func (s *stage) die(t testing.TB, n int, change ...func(int, *queue.DeadLetter)) {
	t.Helper()
	bodies := make([]string, 0, n)
	for i := range n {
		l := deadLetter(i)
		for _, c := range change {
			c(i, &l)
		}
		bodies = append(bodies, encode(t, l)...)
	}
	s.put(t, bodies...)
}

func encode(t testing.TB, l queue.DeadLetter) []string {
	t.Helper()
	encoded, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, 0, len(encoded))
	for _, body := range encoded {
		out = append(out, string(body))
	}
	return out
}

// inParts is a letter as the messages of one whose body needs two. They are short: what a body of full length costs is the same
// in each test, and two tests have one.
func inParts(t testing.TB, l queue.DeadLetter) []string {
	t.Helper()
	var out []string
	for i, body := range []string{"aGVs", "bG8="} {
		l.Received.Encoding, l.Received.Body, l.Received.Part, l.Received.Parts = queue.Base64, body, i+1, 2
		out = append(out, encode(t, l)...)
	}
	return out
}

func jobID(i int) string { return fmt.Sprintf("job-%05d", i) }

func deadLetter(i int) queue.DeadLetter {
	request := routine.Request{Name: fmt.Sprintf("pr-%d", i), SiteID: 7, RecordName: fmt.Sprintf("pr-%d.example.com", i)}
	body := fmt.Sprintf(`{"name":"pr-%d","siteId":7,"recordName":"pr-%d.example.com"}`, i, i)
	return queue.DeadLetter{
		JobID: jobID(i), Kind: "operator", Code: "ServiceNotOpen", Message: "not activated", RequestID: "R1", Step: routine.CreateRoutine,
		Hint: "activate it", Reason: "not retryable", Caller: "ci", AcceptedAt: dead, Attempt: 2, Request: &request,
		Attempts: []routine.Attempt{{Number: 1, At: dead, Kind: "operator", Message: "not activated"}},
		DeadAt:   dead.Add(time.Duration(i) * time.Second), Received: queue.ReceivedBody(fmt.Sprintf("M%d", i), []byte(body)),
	}
}

// look reads one of the server's pages for scripts, which changes nothing and costs a fraction of a receive.
func (s *stage) look(t testing.TB, page string, into any) {
	t.Helper()
	answer := httptest.NewRecorder()
	s.server.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/_local/"+page, nil))
	if err := json.Unmarshal(answer.Body.Bytes(), into); err != nil {
		t.Fatalf("%s: %v in %s", page, err, answer.Body)
	}
}

// visible are the bodies of the messages on a queue that can be received.
func (s *stage) visible(t testing.TB, name string) []string {
	t.Helper()
	var messages []struct {
		Body  string `json:"body"`
		State string `json:"state"`
	}
	s.look(t, "queues/"+name+"/messages", &messages)
	var out []string
	for _, m := range messages {
		if m.State == "active" {
			out = append(out, m.Body)
		}
	}
	return out
}

// jobs counts the messages of each job on the job queue; one that cannot be read counts under its body.
func (s *stage) jobs(t testing.TB) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, body := range s.visible(t, "jobs") {
		for _, d := range queue.Decode([]byte(body), dead) {
			if d.Err != nil {
				out[string(d.Body)]++
				continue
			}
			out[d.Envelope.JobID]++
		}
	}
	return out
}

// letters counts what can be received of the dead-letter queue a second later.
func (s *stage) letters(t testing.TB) int {
	t.Helper()
	s.clock.Advance(time.Second)
	return len(s.visible(t, "jobs-dead"))
}

// breaks makes the next calls of an action fail.
func (s *stage) breaks(t testing.TB, action string, times int, f faults.Fault) {
	t.Helper()
	if _, err := s.server.Faults().Add(faults.Rule{Action: action, Times: times, Fault: f}); err != nil {
		t.Fatal(err)
	}
}

func all() api.Redrive { return api.Redrive{All: true} }

func (s *stage) redrive(t testing.TB, wanted api.Redrive) api.WorkedOff {
	t.Helper()
	done, err := s.Redrive(s.ctx(t), wanted, "ops")
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func (s *stage) list(t testing.TB, f api.DeadLetterFilter, limit int, cursor string) api.DeadLetterList {
	t.Helper()
	got, err := s.List(t.Context(), f, limit, cursor)
	if err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(time.Second) // what was given back can be seen again
	return got
}

func jobIDs(letters []api.DeadLetter) []string {
	out := make([]string, 0, len(letters))
	for _, l := range letters {
		out = append(out, l.JobID)
	}
	return out
}
