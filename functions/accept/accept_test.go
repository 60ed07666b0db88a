package accept

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/sim"
	"routinely/queue"
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
			Waiting: &routine.Waiting{For: routine.ForQueue, Since: now}, TraceID: f.row(t, job.ID).Trace.ID(),
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
		wantQueued := []queue.Envelope{{JobID: job.ID, Caller: "anonymous", AcceptedAt: now, Number: 1, Request: wish, Trace: f.row(t, job.ID).Trace}}
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
}
