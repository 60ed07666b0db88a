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
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/fault"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The MNS SDK's HTTP client looks for idle connections every ten seconds and cannot be told to stop.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*Client).mCleaner"),
	)
}

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
	must(t, err)
	t.Cleanup(client.Close)
	return client
}

func start(t *testing.T) (*mnsemu.Server, string) {
	t.Helper()
	return localtest.CalmMNS(t, nil, "jobs", "jobs-dead", "jobs-callbacks") // these tests are about single calls
}

// breaks makes so many calls of an action fail.
func breaks(t *testing.T, server *mnsemu.Server, action string, times int, with faults.Fault) {
	t.Helper()
	if _, err := server.Faults().Add(faults.Rule{Action: action, Times: times, Fault: with}); err != nil {
		t.Fatal(err)
	}
}

// send sends the test's envelope.
func send(t *testing.T, client *queue.Client) error { return client.Send(t.Context(), envelope(), 0) }

// failed checks the kind, the code and the outcome of a failure.
func failed(t *testing.T, err error, kind fault.Kind, code string, unknown bool) *fault.Error {
	t.Helper()
	got := fault.From(err)
	if got == nil || got.Kind != kind || got.Code != code || got.OutcomeUnknown != unknown || got.Hint == "" {
		t.Fatalf("got %+v, want %s %s, unknown %t, and a hint", got, kind, code, unknown)
	}
	return got
}

func same[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s; -want +got:\n%s", what, diff)
	}
}

// bodies takes everything visible off a queue.
func bodies(t *testing.T, url, queueName string) []string {
	t.Helper()
	client := localtest.MNSClient(t, url)
	var out []string
	for {
		messages, err := client.Receive(t.Context(), queueName, 16, 0)
		must(t, err)
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
		must(t, send(t, newClient(t, url)))
		same(t, "messages", bodies(t, url, "jobs"), []string{bodyOf(t, envelope())})
	})
	t.Run("rounds a delay up to whole seconds", func(t *testing.T) {
		manual := clock.NewManual(time.Now())
		_, url := localtest.CalmMNS(t, manual, "jobs", "jobs-dead")
		must(t, newClient(t, url).Send(t.Context(), envelope(), 1001*time.Millisecond))
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
		must(t, client.Send(t.Context(), jobs[0], 0))
		client.SendBatch(t.Context(), jobs[1:])
		res, err := http.Get(url + "/_local/queues/jobs/messages")
		must(t, err)
		defer res.Body.Close()
		var got []struct{ Priority int }
		must(t, json.NewDecoder(res.Body).Decode(&got))
		if fmt.Sprint(got) != "[{12} {8} {12}]" {
			t.Errorf("priorities %v", got)
		}
	})
	t.Run("refuses what MNS could not take, without a call", func(t *testing.T) {
		server, url := start(t)
		err := newClient(t, url).SendDead(t.Context(), queue.Delivery{Body: make([]byte, queue.MaxMessageBytes)})
		failed(t, err, fault.Invalid, "MessageTooLarge", false)
		same(t, "calls", server.Faults().Count("SendMessage"), 0)
	})
	t.Run("brings every text through, up to the full size", func(t *testing.T) {
		_, url := start(t)
		client := newClient(t, url)
		texts := []string{
			`{"q":"\"<a href='x'>&amp;</a>\""}`, "line\r\nline\n\ttab ", "]]>", "日本 😀 \u2028", "  spaces  ", strings.Repeat("x", queue.MaxMessageBytes),
		}
		for _, text := range texts {
			must(t, client.SendDead(t.Context(), queue.Delivery{Body: []byte(text)}))
		}
		same(t, "messages", bodies(t, url, "jobs-dead"), texts)
	})
	t.Run("encodes what XML cannot carry, and reads it back", func(t *testing.T) {
		_, url := start(t)
		client, e := newClient(t, url), envelope()
		description := "a\uffffb\ufffec"
		e.Request.Description = &description
		must(t, client.Send(t.Context(), e, 0))
		same(t, "messages", one(t, bodies(t, url, "jobs")[0]).Envelope, e)
	})
}

func TestSendFailures(t *testing.T) {
	refusal := func(status int, code string) faults.Fault {
		return faults.Fault{Answer: faults.Error, Status: status, Code: code}
	}
	withoutID := faults.Fault{
		Answer: faults.Document, Status: 201, Headers: map[string]string{"Content-Type": "text/xml;charset=utf-8"},
		Body: `<Message xmlns="http://mns.aliyuncs.com/doc/v1/"><MessageBodyMD5>M</MessageBodyMD5></Message>`,
	}
	for name, test := range map[string]struct {
		fault         faults.Fault
		kind          fault.Kind
		code          string
		unknown       bool
		stored, calls int
	}{
		"access denied":                {refusal(403, "AccessDenied"), fault.Account, "AccessDenied", false, 0, 1},
		"a code of the SDK's own":      {refusal(404, "QueueNotExist"), fault.Account, "QueueNotExist", false, 0, 1},
		"too many requests":            {refusal(429, "TooManyRequests"), fault.Throttled, "TooManyRequests", false, 0, 1},
		"an unlisted refusal":          {refusal(400, "NobodyKnows"), fault.Internal, "NobodyKnows", false, 0, 1},
		"an unlisted failure":          {refusal(503, "NobodyKnows"), fault.Unavailable, "NobodyKnows", true, 0, 1},
		"an internal error":            {refusal(500, "InternalError"), fault.Unavailable, "InternalError", true, 0, 1},
		"a proxy's page":               {faults.Fault{Answer: faults.HTML}, fault.Unavailable, "HTTP502", true, 0, 1},
		"an empty success":             {faults.Fault{Answer: faults.Empty, Status: 201}, fault.Unavailable, "UnusableAnswer", true, 0, 1},
		"a success in plain text":      {faults.Fault{Answer: faults.WrongType}, fault.Unavailable, "UnusableAnswer", true, 0, 1},
		"a success without an id":      {withoutID, fault.Unavailable, "UnusableAnswer", true, 0, 1},
		"a truncated answer":           {faults.Fault{Answer: faults.Truncated}, fault.Unavailable, "ConnectionBroken", true, 1, 1},
		"two connections that are cut": {faults.Fault{Answer: faults.Reset}, fault.Unavailable, "ConnectionBroken", true, 0, 2},
	} {
		t.Run("classifies "+name+", and repeats nothing but a call whose connection was cut, once", func(t *testing.T) {
			server, url := start(t)
			breaks(t, server, "SendMessage", test.calls, test.fault)
			failure := failed(t, send(t, newClient(t, url)), test.kind, test.code, test.unknown)
			if failure.Step != "SendMessage jobs" || test.fault.Answer == faults.Error && failure.RequestID == "" {
				t.Errorf("got %+v", failure)
			}
			same(t, "messages stored", len(bodies(t, url, "jobs")), test.stored)
			same(t, "calls", server.Faults().Count("SendMessage"), test.calls)
		})
	}
	t.Run("sends nothing to a server without the endpoint's certificate", func(t *testing.T) {
		reached := false
		impostor := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
		impostor.Config.ErrorLog = log.New(io.Discard, "", 0)
		impostor.StartTLS()
		defer impostor.Close()
		failure := fault.From(send(t, newClient(t, impostor.URL)))
		if failure == nil || failure.Kind != fault.Unavailable || !strings.Contains(failure.Message, "certificate") || reached {
			t.Errorf("got %+v, reached %t", failure, reached)
		}
	})
	t.Run("knows that a service it could not reach did nothing", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		address := listener.Addr().String()
		_ = listener.Close()
		failed(t, send(t, newClient(t, "http://"+address)), fault.Unavailable, "NotReached", false)
	})
}

func TestSendObeysItsTimeLimits(t *testing.T) {
	const short = 20 * time.Millisecond
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	at := func(ctx context.Context) func(*testing.T) context.Context {
		return func(*testing.T) context.Context { return ctx }
	}
	deadline := func(t *testing.T) context.Context {
		ctx, end := context.WithTimeout(t.Context(), short)
		t.Cleanup(end)
		return ctx
	}
	for name, test := range map[string]struct {
		ctx     func(*testing.T) context.Context
		timeout time.Duration
		code    string
		unknown bool
		calls   int
	}{
		"the client's": {at(t.Context()), short, "Timeout", true, 1},
		"the client's, under a context that has none": {at(context.Background()), short, "Timeout", true, 1},
		"the caller's deadline":                       {deadline, time.Minute, "Timeout", true, 1},
		"the caller's end, before the call":           {at(ended), time.Minute, "Canceled", true, 0},
		"the client's, before there is a request":     {at(context.Background()), time.Nanosecond, "Timeout", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			server, url := start(t)
			breaks(t, server, "SendMessage", -1, faults.Fault{Answer: faults.Hang})
			client := newClient(t, url, func(c *queue.Config) { c.Timeout = test.timeout })
			failed(t, client.Send(test.ctx(t), envelope(), 0), fault.Unavailable, test.code, test.unknown)
			same(t, "calls", server.Faults().Count("SendMessage"), test.calls)
		})
	}
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
}

func TestNewRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*queue.Config){
		"an endpoint that is none":        func(c *queue.Config) { c.Endpoint = "123456.mns.cn-hangzhou.aliyuncs.com" },
		"a queue name that is a path":     func(c *queue.Config) { c.Queue = "a/../b" },
		"a queue name with a query":       func(c *queue.Config) { c.Queue = "a?b=c" },
		"a queue as its own dead letters": func(c *queue.Config) { c.DeadLetterQueue = c.Queue },
		"no queue of callbacks":           func(c *queue.Config) { c.CallbackQueue = "" },
		"no credentials":                  func(c *queue.Config) { c.Credentials = nil },
		"no time limit":                   func(c *queue.Config) { c.Timeout = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := queue.Config{
				Endpoint: "http://localhost", Queue: "jobs", DeadLetterQueue: "jobs-dead", CallbackQueue: "jobs-callbacks",
				Credentials: localtest.Credentials, Timeout: time.Second,
			}
			spoil(&cfg)
			if _, err := queue.New(cfg); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// must ends the test at an error.
func must(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
