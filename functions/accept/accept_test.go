package accept

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/routine"
)

func TestAccept(t *testing.T) {
	t.Run("answers 202 with the job once it is on the queue", func(t *testing.T) {
		f := start(t)
		res := f.call(t, event("POST", "/v1/routines", good))
		var job routine.Job
		if err := json.Unmarshal([]byte(res.Body), &job); err != nil {
			t.Fatal(err)
		}
		want := routine.Job{
			ID: job.ID, State: routine.Queued, Request: wish, AcceptedAt: now, UpdatedAt: now, Caller: "anonymous", Attempt: 1,
			Waiting: &routine.Waiting{For: routine.ForQueue, Since: now},
		}
		if diff := cmp.Diff(want, job); diff != "" || res.StatusCode != 202 {
			t.Errorf("status %d, -want +got:\n%s", res.StatusCode, diff)
		}
		wantHeaders := map[string]string{
			"Cache-Control": "no-store", "Content-Type": "application/json", "Location": "/v1/jobs/" + job.ID, "Retry-After": "2",
		}
		if diff := cmp.Diff(wantHeaders, res.Headers); diff != "" {
			t.Errorf("headers -want +got:\n%s", diff)
		}
		wantQueued := []queue.Envelope{{JobID: job.ID, Caller: "anonymous", AcceptedAt: now, Number: 1, Request: wish}}
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
	if res := serveEvent(ctx, text, f.routes()); res.StatusCode != 202 {
		t.Errorf("got %+v", res)
	}
	if got := f.queued(t); len(got) != 1 {
		t.Errorf("%d messages", len(got))
	}
}

func TestRefusals(t *testing.T) {
	f := start(t)
	long := `{"name":"pr-1","siteId":7,"recordName":"a.example.com","description":"` + strings.Repeat("d", queue.MaxEnvelopeBytes) + `"}`
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

func TestLongestJob(t *testing.T) {
	f := start(t)
	with := func(length int) string {
		return `{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com","description":"` + strings.Repeat("d", length) + `"}`
	}
	f.post(t, with(1))
	message, err := sim.Keys(t, strings.Repeat("k", 32)).Seal(f.queued(t)[0])
	if err != nil {
		t.Fatal(err)
	}
	fits := 1 + queue.MaxEnvelopeBytes - len(message) // round and number, which grow, are not counted
	t.Run("is as long as a message of it may be", func(t *testing.T) {
		f.post(t, with(fits))
		refused(t, f.call(t, event("POST", "/v1/routines", with(fits+1))), 413, "too-large")
		if got := f.queued(t); len(got) != 1 {
			t.Errorf("queued %d", len(got))
		}
	})
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
		f.routes = func() http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "half")
				panic("secret detail")
			})
		}
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
			problemUnauthenticated, problemDenied, problemOutside, problemRepeated, problemTooMany, problemMalformed, problemInvalid, problemParameter, problemKey, problemKeyReused, problemNoSuchPath, problemMethod,
			problemTooLarge, problemMediaType, problemLedger, problemUnknownJob, problemNotCancellable,
			problemUnknownRoutine, problemUnknownLetter, problemRedrive, problemNotRedrivable, problemNoCallback, problemNotPaused, problemQueue, problemInternal, problemNotHTTP,
		} {
			if !strings.Contains(res.Body, fmt.Sprintf("\n## %s\n\n%d. ", p.Code, p.Status)) {
				t.Errorf("%s with status %d is not on the page", p.Code, p.Status)
			}
		}
	})
}
