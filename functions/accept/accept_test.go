package accept

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/local/otsemu"
	"routinely/deploy/sim"
	"routinely/functions/deadletters"
	"routinely/functions/record"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/auth"
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

// function is the handler as the platform calls it, with its queue.
type function struct {
	service
	routes http.Handler
	mns    *mnsemu.Server
	mnsURL string
	queue  *mnsclient.Client
	log    *bytes.Buffer
	clock  *clock.Manual
	// mnsClock is MNS's own.
	mnsClock *clock.Manual
	// contract checks every answer.
	contract *contract
	// ots and ledger are nil for a function that keeps no record.
	ots    *otsemu.Server
	ledger *ledger.Ledger
}

var now = time.Date(2026, 1, 15, 6, 28, 17, 0, time.UTC)

// start returns a function that keeps no record of jobs.
func start(t testing.TB) *function {
	t.Helper()
	return startWith(t, nil)
}

// startRecorded returns a function with a ledger.
func startRecorded(t testing.TB) *function {
	t.Helper()
	server, book := sim.NewLedger(t)
	f := startWith(t, book)
	f.ots, f.ledger = server, book
	return f
}

func startWith(t testing.TB, book *ledger.Ledger) *function {
	t.Helper()
	mnsClock := clock.NewManual(time.Now())
	mns, url := localtest.MNS(t, mnsClock, "jobs", "jobs-dead", "jobs-callbacks")
	jobs := sim.Queue(t, queue.Config{Endpoint: url})
	manual := clock.NewManual(now)
	record := record.New(book, manual.Now)
	sleep := func(_ context.Context, d time.Duration) { manual.Advance(d) }
	guard, err := auth.Parse("none")
	if err != nil {
		t.Fatal(err)
	}
	s := service{
		guard: guard, jobs: jobs, record: record, now: manual.Now, sleep: sleep, newID: uuid.NewV7,
		letters: deadletters.New(deadletters.Config{Queue: jobs, Record: record.Note, Now: manual.Now, Sleep: sleep}),
	}
	return &function{
		service: s, routes: newRoutes(s),
		mns: mns, mnsURL: url, queue: localtest.MNSClient(t, url), log: &bytes.Buffer{}, clock: manual, mnsClock: mnsClock, contract: newContract(t),
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

func (f *function) call(t *testing.T, e any) response {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return f.callRaw(t, text)
}

func (f *function) callRaw(t *testing.T, text []byte) response {
	t.Helper()
	log, err := logging.New(f.log, "info", "accept")
	if err != nil {
		t.Fatal(err)
	}
	res := serveEvent(logging.Into(t.Context(), log), text, f.routes)
	f.contract.check(t, text, res)
	return res
}

// queued takes the envelopes off the queue.
func (f *function) queued(t *testing.T) []queue.Envelope {
	t.Helper()
	var out []queue.Envelope
	messages, err := f.queue.Receive(t.Context(), "jobs", 16, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		d := queue.Decode([]byte(m.Body), now)[0]
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

var wish = routine.Request{Name: "pr-1", SiteID: 7, RecordName: "pr-1.example.com", Description: ptr("<b>&")}

func TestAccept(t *testing.T) {
	t.Run("answers 202 with the job once it is on the queue", func(t *testing.T) {
		f := start(t)
		res := f.call(t, event("POST", "/v1/routines", good))
		var job routine.Job
		if err := json.Unmarshal([]byte(res.Body), &job); err != nil {
			t.Fatal(err)
		}
		want := routine.Job{ID: job.ID, State: routine.Queued, Request: wish, AcceptedAt: now, Caller: "anonymous", Attempt: 1}
		if diff := cmp.Diff(want, job); diff != "" || res.StatusCode != 202 {
			t.Errorf("status %d, -want +got:\n%s", res.StatusCode, diff)
		}
		wantHeaders := map[string]string{"Content-Type": "application/json", "Location": "/v1/jobs/" + job.ID, "Retry-After": "2"}
		if diff := cmp.Diff(wantHeaders, res.Headers); diff != "" {
			t.Errorf("headers -want +got:\n%s", diff)
		}
		wantQueued := []queue.Envelope{{JobID: job.ID, Caller: "anonymous", AcceptedAt: now, Attempt: 1, Request: wish}}
		if diff := cmp.Diff(wantQueued, f.queued(t)); diff != "" {
			t.Errorf("queue -want +got:\n%s", diff)
		}
	})
	t.Run("reads a Base64 body, any JSON media type and lower-case header names", func(t *testing.T) {
		f := start(t)
		e := event("POST", "/v1/routines", base64.StdEncoding.EncodeToString([]byte(good)))
		e["isBase64Encoded"], e["headers"] = true, map[string]string{"content-type": "Application/Vnd.routine+JSON; charset=UTF-8"}
		if res := f.call(t, e); res.StatusCode != 202 {
			t.Errorf("got %+v", res)
		}
	})
	t.Run("gives the same key the same job id, and another one another", func(t *testing.T) {
		f := start(t)
		id := func(headers ...string) string {
			res := f.call(t, event("POST", "/v1/routines", good, headers...))
			if res.StatusCode != 202 {
				t.Fatalf("got %+v", res)
			}
			return res.Headers["Location"]
		}
		first := id("Idempotency-Key", "k1")
		if again := id("idempotency-key", "k1"); again != first {
			t.Errorf("%s, then %s", first, again)
		}
		if webhook := id("webhook-id", "k1"); webhook != first {
			t.Errorf("%s, then %s for the webhook's id", first, webhook)
		}
		if other := id("Idempotency-Key", "k2"); other == first {
			t.Error("another key has the same id")
		}
		if free := id(); free == id() {
			t.Error("two requests without a key have the same id")
		}
	})
}

func TestCallerIsGone(t *testing.T) {
	f := start(t)
	text, err := json.Marshal(event("POST", "/v1/routines", good))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if res := serveEvent(ctx, text, f.routes); res.StatusCode != 202 {
		t.Errorf("got %+v", res)
	}
	if got := f.queued(t); len(got) != 1 {
		t.Errorf("%d messages", len(got))
	}
}

func TestRefusals(t *testing.T) {
	f := start(t)
	long := `{"name":"pr-1","siteId":7,"recordName":"a.example.com","description":"` + strings.Repeat("d", queue.MaxAcceptedBytes) + `"}`
	for name, test := range map[string]struct {
		event  map[string]any
		status int
		code   string
	}{
		"another path":           {event("GET", "/", ""), 404, "no-such-path"},
		"a path that is unclean": {event("POST", "/v1//routines", good), 404, "no-such-path"},
		"a path below":           {event("POST", "/v1/routines/x/y", good), 404, "no-such-path"},
		"another method":         {event("GET", "/v1/routines", ""), 405, "method-not-allowed"},
		"an action nobody knows": {event("POST", "/v1/jobs/1:stop", ""), 405, "method-not-allowed"},
		"an action on nothing":   {event("POST", "/v1/jobs/:cancel", ""), 405, "method-not-allowed"},
		"a job without action":   {event("POST", "/v1/jobs/1", ""), 405, "method-not-allowed"},
		"a method nobody knows":  {event("BREW", "/healthz", ""), 405, "method-not-allowed"},
		"another media type":     {event("POST", "/v1/routines", good, "Content-Type", "text/plain"), 415, "unsupported-media-type"},
		"no media type":          {event("POST", "/v1/routines", good, "Content-Type", ""), 415, "unsupported-media-type"},
		"a form":                 {event("POST", "/v1/routines", good, "Content-Type", "application/x-www-form-urlencoded"), 415, "unsupported-media-type"},
		"another charset":        {event("POST", "/v1/routines", good, "Content-Type", "application/json; charset=gbk"), 415, "unsupported-media-type"},
		"a compressed body":      {event("POST", "/v1/routines", good, "Content-Encoding", "gzip"), 415, "unsupported-media-type"},
		"an oversized body":      {event("POST", "/v1/routines", strings.Repeat(" ", queue.MaxMessageBytes+1)), 413, "too-large"},
		"an oversized job":       {event("POST", "/v1/routines", long), 413, "too-large"},
		"no body":                {event("POST", "/v1/routines", ""), 400, "malformed-request"},
		"an endless key":         {event("POST", "/v1/routines", good, "Idempotency-Key", strings.Repeat("k", 256)), 400, "invalid-idempotency-key"},
		"a job without ledger":   {event("GET", "/v1/jobs/1", ""), 501, "no-ledger"},
		"jobs without ledger":    {event("GET", "/v1/jobs", ""), 501, "no-ledger"},
		"a routine, no ledger":   {event("GET", "/v1/routines/x", ""), 501, "no-ledger"},
		"to cancel, no ledger":   {event("POST", "/v1/jobs/1:cancel", ""), 501, "no-ledger"},
	} {
		t.Run(name, func(t *testing.T) {
			f.log.Reset()
			res := f.call(t, test.event)
			var p api.Problem
			if err := json.Unmarshal([]byte(res.Body), &p); err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != test.status || p.Status != test.status || p.Code != test.code || p.Type != "/problems#"+test.code || p.Title == "" || p.Detail == "" && test.status != 404 {
				t.Errorf("status %d, %+v", res.StatusCode, p)
			}
			if res.Headers["Content-Type"] != "application/problem+json" {
				t.Errorf("headers %v", res.Headers)
			}
			if (test.status == 405) != (res.Headers["Allow"] != "") {
				t.Errorf("Allow: %q", res.Headers["Allow"])
			}
			if got := f.queued(t); got != nil {
				t.Errorf("queued %+v", got)
			}
			if f.log.Len() > 0 {
				t.Errorf("a client's mistake was logged: %s", f.log)
			}
		})
	}
	t.Run("reports everything wrong at once, with pointers", func(t *testing.T) {
		res := f.call(t, event("POST", "/v1/routines", `{"Name":"X","siteId":true,"extra":1}`))
		var p api.Problem
		if err := json.Unmarshal([]byte(res.Body), &p); err != nil {
			t.Fatal(err)
		}
		var pointers []string
		for _, e := range p.Errors {
			pointers = append(pointers, e.Pointer+" "+e.Code)
		}
		if diff := cmp.Diff([]string{"/Name value", "/extra unknown-field", "/recordName missing", "/siteId type"}, pointers); diff != "" || res.StatusCode != 422 {
			t.Errorf("status %d, -want +got:\n%s", res.StatusCode, diff)
		}
	})
}

func TestQueueTrouble(t *testing.T) {
	for name, injected := range map[string]faults.Fault{
		"down":           {Answer: faults.Error, Status: 500, Code: "InternalError"},
		"refusing":       {Answer: faults.Error, Status: 403, Code: "AccessDenied"},
		"not there":      {Answer: faults.Error, Status: 404, Code: "QueueNotExist"},
		"a proxy":        {Answer: faults.HTML},
		"silent":         {Answer: faults.Empty, Status: 201},
		"busy":           {Answer: faults.Error, Status: 429, Code: "TooManyRequests"},
		"half an answer": {Answer: faults.Truncated},
	} {
		t.Run("answers 503 while MNS is "+name, func(t *testing.T) {
			f := start(t)
			if _, err := f.mns.Faults().Add(faults.Rule{Action: "SendMessage", Fault: injected}); err != nil {
				t.Fatal(err)
			}
			res := f.call(t, event("POST", "/v1/routines", good))
			var p api.Problem
			if err := json.Unmarshal([]byte(res.Body), &p); err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != 503 || p.Code != "queue-unavailable" || !p.Retryable || res.Headers["Retry-After"] != "5" {
				t.Errorf("got %+v", res)
			}
			if n := strings.Count(f.log.String(), "\n"); n != 1 || !strings.Contains(f.log.String(), `"hint"`) {
				t.Errorf("%d log lines: %s", n, f.log)
			}
		})
	}
}

func TestNothingReachesThePlatformAsAnError(t *testing.T) {
	t.Run("an event that is none", func(t *testing.T) {
		f := start(t)
		for _, text := range []string{"", "null", "[]", `"x"`, `{"version":"v1"}`, `{"body":"%","isBase64Encoded":true}`, `{"requestContext":{"http":{"method":"B AD","path":"/"}}}`} {
			if res := f.callRaw(t, []byte(text)); res.StatusCode != 400 || !strings.Contains(res.Body, "not-an-http-event") || res.Headers == nil {
				t.Errorf("%q: got %+v", text, res)
			}
		}
	})
	t.Run("a panic", func(t *testing.T) {
		f := start(t)
		f.routes = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic("secret detail")
		})
		res := f.call(t, event("GET", "/healthz", ""))
		if res.StatusCode != 500 || strings.Contains(res.Body, "secret") || strings.Contains(res.Body, "half") || !strings.Contains(f.log.String(), "secret detail") {
			t.Errorf("got %+v, log %s", res, f.log)
		}
	})
	t.Run("the recorded event of an HTTP trigger", func(t *testing.T) {
		text, err := os.ReadFile("../../../shared/data/fc3-event-http.json")
		if err != nil {
			t.Skip("the recorded trigger event is not beside the project")
		}
		if res := start(t).callRaw(t, text); res.StatusCode != 404 {
			t.Errorf("got %+v", res)
		}
	})
}

func TestPages(t *testing.T) {
	t.Run("health", func(t *testing.T) {
		if res := start(t).call(t, event("GET", "/healthz", "")); res.StatusCode != 200 || res.Body != "{\"status\":\"ok\"}\n" {
			t.Errorf("got %+v", res)
		}
	})
	t.Run("every problem is explained on its page", func(t *testing.T) {
		res := start(t).call(t, event("GET", "/problems", ""))
		for _, p := range []problem{
			problemUnauthenticated, problemDenied, problemTooMany, problemMalformed, problemInvalid, problemParameter, problemKey, problemKeyReused, problemNoSuchPath, problemMethod,
			problemTooLarge, problemMediaType, problemNoLedger, problemLedger, problemUnknownJob, problemNotCancellable,
			problemUnknownRoutine, problemUnknownLetter, problemRedrive, problemQueue, problemInternal, problemNotHTTP,
		} {
			if !strings.Contains(res.Body, fmt.Sprintf("\n## %s\n\n%d. ", p.Code, p.Status)) {
				t.Errorf("%s with status %d is not on the page", p.Code, p.Status)
			}
		}
	})
}

func TestRun(t *testing.T) {
	t.Run("joins the parts", func(t *testing.T) {
		_, url := localtest.MNS(t, nil, "routinely-jobs")
		_, tables := localtest.OTS(t, nil)
		var res response
		process := sim.Process(t, func(handler any, _ func(context.Context)) {
			text, err := json.Marshal(event("POST", "/v1/routines", good))
			if err != nil {
				t.Fatal(err)
			}
			res, _ = handler.(func(context.Context, json.RawMessage) (response, error))(t.Context(), text)
		})
		err := Run(process, []string{
			"ROUTINELY_AUTH=none", "ROUTINELY_MNS_ENDPOINT=" + url, "ROUTINELY_TABLESTORE_ENDPOINT=" + tables,
			"ROUTINELY_TABLESTORE_INSTANCE=" + localtest.Instance, "ALIBABA_CLOUD_ACCESS_KEY_ID=" + localtest.AccessKeyID,
			"ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + localtest.AccessKeySecret,
		}, io.Discard)
		if err != nil || res.StatusCode != 202 {
			t.Errorf("%v, %+v", err, res)
		}
	})
	least := []string{"ROUTINELY_AUTH=none", "ROUTINELY_MNS_ENDPOINT=http://localhost", "ROUTINELY_TABLESTORE_ENDPOINT=http://localhost"}
	for name, setting := range map[string]string{
		"no queues":         "ROUTINELY_MNS_ENDPOINT=",
		"no ledger":         "ROUTINELY_TABLESTORE_ENDPOINT=",
		"no authentication": "ROUTINELY_AUTH=",
		"a bad one":         "ROUTINELY_AUTH=open",
		"a bad endpoint":    "ROUTINELY_MNS_ENDPOINT=nowhere",
		"a bad log level":   "ROUTINELY_LOG_LEVEL=loud",
		"a bad prefix":      "ROUTINELY_PREFIX=a/b",
		"a bad time limit":  "ROUTINELY_MNS_TIMEOUT=soon",
		"every network":     "ROUTINELY_CALLBACK_NETWORKS=0.0.0.0/0",
	} {
		environ := append(slices.Clone(least), setting)
		t.Run("refuses "+name, func(t *testing.T) {
			if err := Run(sim.Process(t, func(any, func(context.Context)) { t.Error("started") }), environ, io.Discard); err == nil {
				t.Error("accepted")
			}
		})
	}
}
