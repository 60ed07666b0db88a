package queue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/fault"
)

func newClient(t *testing.T, url string, change ...func(*queue.Config)) *queue.Client {
	t.Helper()
	cfg := queue.Config{
		Endpoint: url, Queue: "jobs", DeadLetterQueue: "jobs-dead", CallbackQueue: "jobs-callbacks",
		Credentials: localtest.Credentials, Keys: sim.Keys(t, sim.Key), Timeout: 10 * time.Second,
	}
	for _, c := range change {
		c(&cfg)
	}
	client, err := queue.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func start(t *testing.T) (*mnsemu.Server, string) {
	t.Helper()
	return startWith(t, "jobs", "jobs-dead")
}

func startWith(t *testing.T, queues ...string) (*mnsemu.Server, string) {
	t.Helper()
	return localtest.CalmMNS(t, nil, queues...) // these tests are about single calls
}

// bodies takes everything visible off a queue.
func bodies(t *testing.T, url, queueName string) []string {
	t.Helper()
	client := localtest.MNSClient(t, url)
	var out []string
	for {
		messages, err := client.Receive(t.Context(), queueName, 16, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(messages) == 0 {
			return out
		}
		for _, m := range messages {
			out = append(out, m.Body)
		}
	}
}

func TestSend(t *testing.T) {
	t.Run("puts the envelope on the queue, body untouched", func(t *testing.T) {
		_, url := start(t)
		if err := newClient(t, url).Send(t.Context(), envelope(), 0); err != nil {
			t.Fatal(err)
		}
		want, err := sim.Keys(t, sim.Key).Seal(envelope())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{want}, bodies(t, url, "jobs")); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("sends no header of its own making", func(t *testing.T) {
		sent := make(chan http.Header, 1)
		url := localtest.Listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sent <- r.Header }), nil)
		if newClient(t, url).Send(t.Context(), envelope(), 0) == nil {
			t.Error("an empty answer was taken for a confirmation")
		}
		for name := range <-sent {
			if strings.HasPrefix(name, "X-Routinely") {
				t.Errorf("header %s", name)
			}
		}
	})
	t.Run("rounds a delay up to whole seconds", func(t *testing.T) {
		manual := clock.NewManual(time.Now())
		_, url := localtest.CalmMNS(t, manual, "jobs", "jobs-dead")
		if err := newClient(t, url).Send(t.Context(), envelope(), 1001*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		manual.Advance(1900 * time.Millisecond)
		if got := bodies(t, url, "jobs"); len(got) != 0 {
			t.Errorf("visible before two seconds: %q", got)
		}
		manual.Advance(100 * time.Millisecond)
		if got := bodies(t, url, "jobs"); len(got) != 1 {
			t.Errorf("%d messages after two seconds", len(got))
		}
	})
	t.Run("asks MNS to prefer single jobs to bulk jobs, in every kind of call", func(t *testing.T) {
		_, url := start(t)
		client, jobs := newClient(t, url), many(3)
		jobs[0].Bulk, jobs[2].Bulk = true, true
		if err := client.Send(t.Context(), jobs[0], 0); err != nil {
			t.Fatal(err)
		}
		client.SendBatch(t.Context(), jobs[1:])
		res, err := http.Get(url + "/_local/queues/jobs/messages")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var got []struct{ Priority int }
		if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != "[{12} {8} {12}]" {
			t.Errorf("priorities %v", got)
		}
	})
	t.Run("refuses what MNS could not take, without a call", func(t *testing.T) {
		server, url := start(t)
		err := newClient(t, url).SendDead(t.Context(), queue.Delivery{Body: make([]byte, queue.MaxMessageBytes)})
		if failure := fault.From(err); failure.Kind != fault.Invalid || failure.Code != "MessageTooLarge" {
			t.Errorf("got %v", err)
		}
		if n := server.Faults().Count("SendMessage"); n != 0 {
			t.Errorf("%d calls", n)
		}
	})
	t.Run("takes a body of the full size", func(t *testing.T) {
		_, url := start(t)
		full := strings.Repeat("x", queue.MaxMessageBytes)
		if err := newClient(t, url).SendDead(t.Context(), queue.Delivery{Body: []byte(full)}); err != nil {
			t.Fatal(err)
		}
		if got := bodies(t, url, "jobs-dead"); len(got) != 1 || got[0] != full {
			t.Errorf("%d messages came back", len(got))
		}
	})
	t.Run("brings every text through", func(t *testing.T) {
		_, url := start(t)
		client := newClient(t, url)
		texts := []string{`{"q":"\"<a href='x'>&amp;</a>\""}`, "line\r\nline\n\ttab ", "]]>", "日本 😀 \u2028", "  spaces  "}
		for _, text := range texts {
			if err := client.SendDead(t.Context(), queue.Delivery{Body: []byte(text)}); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(texts, bodies(t, url, "jobs-dead")); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("encodes what XML cannot carry, and reads it back", func(t *testing.T) {
		_, url := start(t)
		client := newClient(t, url)
		e := envelope()
		description := "a\uffffb\ufffec"
		e.Request.Description = &description
		if err := client.Send(t.Context(), e, 0); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, sim.Keys(t, sim.Key).Decode([]byte(bodies(t, url, "jobs")[0]), now)[0].Envelope); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("sends from many goroutines at once", func(t *testing.T) {
		_, url := start(t)
		client := newClient(t, url)
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				if err := client.SendDead(t.Context(), queue.Delivery{Body: fmt.Appendf(nil, "{%d}", i)}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := bodies(t, url, "jobs-dead"); len(got) != 32 {
			t.Errorf("%d messages, want 32", len(got))
		}
	})
}

func TestSendFailures(t *testing.T) {
	for name, test := range map[string]struct {
		fault   faults.Fault
		kind    fault.Kind
		code    string
		unknown bool
		stored  int
	}{
		"access denied":           {faults.Fault{Answer: faults.Error, Status: 403, Code: "AccessDenied"}, fault.Account, "AccessDenied", false, 0},
		"a code of the SDK's own": {faults.Fault{Answer: faults.Error, Status: 404, Code: "QueueNotExist"}, fault.Account, "QueueNotExist", false, 0},
		"too many requests":       {faults.Fault{Answer: faults.Error, Status: 429, Code: "TooManyRequests"}, fault.Throttled, "TooManyRequests", false, 0},
		"an unlisted refusal":     {faults.Fault{Answer: faults.Error, Status: 400, Code: "NobodyKnows"}, fault.Internal, "NobodyKnows", false, 0},
		"an unlisted failure":     {faults.Fault{Answer: faults.Error, Status: 503, Code: "NobodyKnows"}, fault.Unavailable, "NobodyKnows", true, 0},
		"an internal error":       {faults.Fault{Answer: faults.Error, Status: 500, Code: "InternalError"}, fault.Unavailable, "InternalError", true, 0},
		"a proxy's page":          {faults.Fault{Answer: faults.HTML}, fault.Unavailable, "HTTP502", true, 0},
		"an empty success":        {faults.Fault{Answer: faults.Empty, Status: 201}, fault.Unavailable, "UnusableAnswer", true, 0},
		"a success in plain text": {faults.Fault{Answer: faults.WrongType}, fault.Unavailable, "UnusableAnswer", true, 0},
		"a truncated answer":      {faults.Fault{Answer: faults.Truncated}, fault.Unavailable, "ConnectionBroken", true, 1},
	} {
		t.Run("classifies "+name, func(t *testing.T) {
			server, url := start(t)
			if _, err := server.Faults().Add(faults.Rule{Action: "SendMessage", Fault: test.fault}); err != nil {
				t.Fatal(err)
			}
			failure := fault.From(newClient(t, url).Send(t.Context(), envelope(), 0))
			if failure == nil || failure.Kind != test.kind || failure.Code != test.code || failure.OutcomeUnknown != test.unknown {
				t.Fatalf("got %+v", failure)
			}
			if failure.Hint == "" || failure.Step != "SendMessage jobs" {
				t.Errorf("hint %q, step %q", failure.Hint, failure.Step)
			}
			if test.fault.Answer == faults.Error && failure.RequestID == "" {
				t.Error("no request id")
			}
			if got := bodies(t, url, "jobs"); len(got) != test.stored {
				t.Errorf("%d messages stored, want %d", len(got), test.stored)
			}
			if n := server.Faults().Count("SendMessage"); n != 1 {
				t.Errorf("%d calls, want 1: nothing may be retried in secret", n)
			}
		})
	}
	t.Run("does not take a message without an id for sent", func(t *testing.T) {
		server, url := start(t)
		answer := faults.Fault{
			Answer: faults.Document, Status: 201, Headers: map[string]string{"Content-Type": "text/xml;charset=utf-8"},
			Body: `<Message xmlns="http://mns.aliyuncs.com/doc/v1/"><MessageBodyMD5>M</MessageBodyMD5></Message>`,
		}
		if _, err := server.Faults().Add(faults.Rule{Action: "SendMessage", Fault: answer}); err != nil {
			t.Fatal(err)
		}
		failure := fault.From(newClient(t, url).Send(t.Context(), envelope(), 0))
		if failure == nil || failure.Code != "UnusableAnswer" || !failure.OutcomeUnknown {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("sends one more time on a connection that was closed without an answer, and not again", func(t *testing.T) {
		server, url := start(t)
		if _, err := server.Faults().Add(faults.Rule{Action: "SendMessage", Times: -1, Fault: faults.Fault{Answer: faults.Reset}}); err != nil {
			t.Fatal(err)
		}
		failure := fault.From(newClient(t, url).Send(t.Context(), envelope(), 0))
		if failure == nil || failure.Code != "ConnectionBroken" || !failure.OutcomeUnknown {
			t.Errorf("got %+v", failure)
		}
		if n := server.Faults().Count("SendMessage"); n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
	})
	t.Run("refuses a wrong key", func(t *testing.T) {
		_, url := start(t)
		client := newClient(t, url, func(c *queue.Config) {
			c.Credentials = func() (string, string, string) { return localtest.AccessKeyID, "wrong", "" }
		})
		failure := fault.From(client.Send(t.Context(), envelope(), 0))
		if failure == nil || failure.Kind != fault.Account || failure.Code != "SignatureDoesNotMatch" || failure.RequestID == "" {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("uses the newest key for each call", func(t *testing.T) {
		_, url := start(t)
		secret := "old"
		client := newClient(t, url, func(c *queue.Config) {
			c.Credentials = func() (string, string, string) { return localtest.AccessKeyID, secret, "token" }
		})
		if client.Send(t.Context(), envelope(), 0) == nil {
			t.Error("the old key was accepted")
		}
		secret = localtest.AccessKeySecret
		if err := client.Send(t.Context(), envelope(), 0); err != nil {
			t.Error(err)
		}
	})
	t.Run("sends nothing to whoever cannot show the endpoint's certificate", func(t *testing.T) {
		reached := false
		impostor := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
		impostor.Config.ErrorLog = log.New(io.Discard, "", 0)
		impostor.StartTLS()
		defer impostor.Close()
		failure := fault.From(newClient(t, impostor.URL).Send(t.Context(), envelope(), 0))
		if failure == nil || failure.Kind != fault.Unavailable || !strings.Contains(failure.Message, "certificate") || reached {
			t.Errorf("got %+v, reached %t", failure, reached)
		}
	})
	t.Run("knows that a service it could not reach did nothing", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		_ = listener.Close()
		failure := fault.From(newClient(t, "http://"+address).Send(t.Context(), envelope(), 0))
		if failure == nil || failure.Kind != fault.Unavailable || failure.Code != "NotReached" || failure.OutcomeUnknown {
			t.Errorf("got %+v", failure)
		}
	})
}

func TestSendObeysItsTimeLimits(t *testing.T) {
	hang := func(t *testing.T) string {
		t.Helper()
		server, url := start(t)
		if _, err := server.Faults().Add(faults.Rule{Action: "SendMessage", Times: -1, Fault: faults.Fault{Answer: faults.Hang}}); err != nil {
			t.Fatal(err)
		}
		return url
	}
	t.Run("the client's", func(t *testing.T) {
		client := newClient(t, hang(t), func(c *queue.Config) { c.Timeout = 20 * time.Millisecond })
		if failure := fault.From(client.Send(t.Context(), envelope(), 0)); failure == nil || failure.Code != "Timeout" || !failure.OutcomeUnknown {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("the client's, when nobody can give the call up", func(t *testing.T) {
		client := newClient(t, hang(t), func(c *queue.Config) { c.Timeout = 20 * time.Millisecond })
		sent := make(chan error, 1)
		go func() { sent <- client.Send(context.Background(), envelope(), 0) }()
		select {
		case err := <-sent:
			if failure := fault.From(err); failure == nil || failure.Code != "Timeout" || !failure.OutcomeUnknown {
				t.Errorf("got %+v", failure)
			}
		case <-time.After(30 * time.Second): // the SDK's own limit is a minute
			t.Fatal("the call has no limit of its own")
		}
	})
	t.Run("the caller's deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if failure := fault.From(newClient(t, hang(t)).Send(ctx, envelope(), 0)); failure == nil || failure.Code != "Timeout" {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("the caller's cancellation", func(t *testing.T) {
		reached := make(chan struct{})
		url := localtest.Listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server would not notice that the client is gone
			close(reached)
			<-r.Context().Done()
		}), nil)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-reached
			cancel()
		}()
		// The abandoned socket is bounded by the client's own limit.
		client := newClient(t, url, func(c *queue.Config) { c.Timeout = 300 * time.Millisecond })
		if failure := fault.From(client.Send(ctx, envelope(), 0)); failure == nil || failure.Code != "Canceled" {
			t.Errorf("got %+v", failure)
		}
	})
	t.Run("nothing is sent once the time is over", func(t *testing.T) {
		server, url := start(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if newClient(t, url).Send(ctx, envelope(), 0) == nil || server.Faults().Count("SendMessage") != 0 {
			t.Error("a call was made")
		}
	})
	t.Run("nothing is sent once the time is over before there is a request to send", func(t *testing.T) {
		server, url := start(t)
		client := newClient(t, url, func(c *queue.Config) { c.Timeout = time.Nanosecond })
		if failure := fault.From(client.Send(context.Background(), envelope(), 0)); failure == nil || failure.Code != "Timeout" {
			t.Errorf("got %+v", failure)
		}
		if n := server.Faults().Count("SendMessage"); n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}
