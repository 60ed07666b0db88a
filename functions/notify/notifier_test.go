package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/callback"
	"routinely/shared/fault"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

const secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// bell is a notifier with its queue and a receiver, all on one clock that only the test moves.
type bell struct {
	notifier
	mns      *mnsemu.Server
	messages *mnsclient.Client
	clock    *clock.Manual
	url      string

	mu sync.Mutex
	// answers are the statuses of the next answers; after them the receiver answers 204.
	answers []int
	got     []http.Header
	bodies  [][]byte
}

func start(t *testing.T, answers ...int) *bell {
	t.Helper()
	b := &bell{clock: clock.NewManual(time.Now().Truncate(time.Second)), answers: answers}
	receiver := httptest.NewServer(b)
	t.Cleanup(receiver.Close)
	b.url = receiver.URL + "/hook?token=hush"
	sender, err := callback.New(callback.Config{
		Secrets: []string{secret}, Now: b.clock.Now,
		Policy: callback.Policy{AllowHTTP: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server, url := localtest.MNS(t, b.clock, "jobs-dead", "jobs-callbacks")
	b.mns, b.messages = server, localtest.MNSClient(t, url)
	jobs := sim.Queue(t, queue.Config{Endpoint: url})
	b.notifier = notifier{queue: jobs, sender: sender, now: b.clock.Now, draw: func() float64 { return 0 }}
	return b
}

// ServeHTTP is the receiver.
func (b *bell) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got, b.bodies = append(b.got, r.Header), append(b.bodies, body)
	status := http.StatusNoContent
	if len(b.answers) > 0 {
		status, b.answers = b.answers[0], b.answers[1:]
	}
	w.WriteHeader(status)
}

// news is the callback of a job that succeeded.
func (b *bell) news(t *testing.T) queue.Callback {
	t.Helper()
	ended := b.clock.Now().UTC()
	event, err := callback.NewEvent(routine.Job{
		ID: "job-1", State: routine.Succeeded, Ready: true, Caller: "shop", AcceptedAt: ended, UpdatedAt: ended, Attempt: 1,
		Request: routine.Request{Name: "pr-1", SiteID: 7, RecordName: "pr-1.example.com", CallbackURL: b.url},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return queue.Callback{ID: event.ID(), JobID: "job-1", Caller: "shop", URL: b.url, Event: text, CreatedAt: ended, Attempt: 1}
}

func body(t *testing.T, c queue.Callback) string {
	t.Helper()
	text, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ring runs one invocation and expects it to settle everything.
func (b *bell) ring(t *testing.T, bodies ...string) []entry {
	t.Helper()
	out, err := b.handle(t.Context(), sim.Event(t, bodies...))
	if err != nil {
		t.Fatal(err)
	}
	return out.Messages
}

// take removes and returns the visible messages of a queue.
func (b *bell) take(t *testing.T, name string) []string {
	t.Helper()
	return sim.Take(t, b.messages, name)
}

// letter takes the one dead letter there is.
func (b *bell) letter(t *testing.T) queue.Letter {
	t.Helper()
	found := b.take(t, "jobs-dead")
	if len(found) != 1 {
		t.Fatalf("%d dead letters", len(found))
	}
	return queue.ReadLetter(queue.Message{ID: "M9", Body: found[0]})
}

func TestNotify(t *testing.T) {
	t.Run("delivers the event with the signature of the caller's secret", func(t *testing.T) {
		b := start(t)
		if got := b.ring(t, body(t, b.news(t))); got[0].Outcome != delivered || got[0].JobID != "job-1" {
			t.Fatalf("%+v", got)
		}
		its, err := callback.SecretOf(secret, "shop")
		if err != nil {
			t.Fatal(err)
		}
		reader, err := standardwebhooks.NewWebhook(its)
		if err != nil {
			t.Fatal(err)
		}
		if err := reader.Verify(b.bodies[0], b.got[0]); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(b.bodies[0], b.news(t).Event) {
			t.Errorf("sent %s", b.bodies[0])
		}
	})
	t.Run("tries again by the schedule, under the same id, and keeps what failed", func(t *testing.T) {
		b := start(t, 500, 503)
		first := b.news(t)
		next := body(t, first)
		for _, delay := range []time.Duration{5 * time.Second, 5 * time.Minute} {
			if got := b.ring(t, next); got[0].Outcome != again || got[0].DelaySeconds != delay.Seconds() || got[0].Code != callback.CodeUnavailable {
				t.Fatalf("%+v", got)
			}
			b.clock.Advance(delay - time.Second)
			if early := b.take(t, "jobs-callbacks"); len(early) != 0 {
				t.Fatalf("%d messages before their time", len(early))
			}
			b.clock.Advance(time.Second)
			next = b.take(t, "jobs-callbacks")[0]
		}
		c := queue.DecodeCallbacks([]byte(next))[0].Callback
		if c.Attempt != 3 || len(c.Failures) != 2 || c.Failures[1].Number != 2 || c.ID != first.ID {
			t.Errorf("%+v", c)
		}
		if got := b.ring(t, next); got[0].Outcome != delivered {
			t.Errorf("%+v", got)
		}
		for _, header := range b.got {
			if header.Get("Webhook-Id") != first.ID {
				t.Errorf("id %q", header.Get("Webhook-Id"))
			}
		}
	})
	t.Run("gives up after the last attempt, with all that is needed to redrive", func(t *testing.T) {
		b := start(t, 500)
		last := b.news(t)
		last.Attempt = callback.MaxAttempts
		if got := b.ring(t, body(t, last)); got[0].Outcome != deadLettered {
			t.Fatalf("%+v", got)
		}
		l := b.letter(t)
		if l.Undelivered || l.JobID != "job-1" || l.Step != callback.Step || l.Code != callback.CodeUnavailable || l.Reason != "the callback was tried 10 times" || l.Hint == "" || len(l.Attempts) != 1 {
			t.Errorf("%+v", l)
		}
		messages, err := l.Redrive(b.clock.Now(), "op", "receiver mended")
		if err != nil || len(messages) != 1 || !messages[0].Callback {
			t.Fatalf("%+v, %v", messages, err)
		}
		for _, err := range b.queue.Redeliver(t.Context(), messages) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := b.ring(t, b.take(t, "jobs-callbacks")...); got[0].Outcome != delivered || got[0].Attempt != 1 {
			t.Errorf("%+v", got)
		}
		if diff := cmp.Diff(b.bodies[0], b.bodies[1]); diff != "" {
			t.Errorf("another event: %s", diff)
		}
	})
	for status, code := range map[int]string{404: callback.CodeRefused, 410: callback.CodeGone, 302: callback.CodeRedirected} {
		t.Run("gives up at once after the answer "+http.StatusText(status), func(t *testing.T) {
			b := start(t, status)
			b.ring(t, body(t, b.news(t)))
			if l := b.letter(t); l.Code != code || l.Reason != "the callback would fail again" {
				t.Errorf("%+v", l)
			}
		})
	}
	t.Run("goes nowhere but where it may, whatever the message says", func(t *testing.T) {
		b := start(t)
		c := b.news(t)
		c.URL = "http://169.254.169.254/latest/meta-data?token=hush"
		b.ring(t, body(t, c))
		if l := b.letter(t); l.Code != callback.CodeForbidden || l.Kind != "denied" {
			t.Errorf("%+v", l)
		}
	})
	t.Run("delivers to the others while one receiver keeps it waiting", func(t *testing.T) {
		b := start(t)
		arrived := make(chan bool)
		slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-arrived }))
		defer slow.Close()
		quick := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(arrived) }))
		defer quick.Close()
		first, second := b.news(t), b.news(t)
		first.URL, second.URL = slow.URL, quick.URL
		for _, line := range b.ring(t, body(t, first), body(t, second)) {
			if line.Outcome != delivered {
				t.Errorf("%+v", line)
			}
		}
	})
	t.Run("makes a dead letter of what is no callback", func(t *testing.T) {
		b := start(t)
		for _, text := range []string{"", "nonsense", `{"name":"pr-1"}`, `{"type":"routinely.callback.v1","data":{"id":"msg_1"}}`} {
			if got := b.ring(t, text); got[0].Outcome != deadLettered || got[0].Code != "UnreadableMessage" {
				t.Errorf("%q: %+v", text, got)
			}
			if l := b.letter(t); l.Callback != nil || l.Received.Body != text || l.Kind != "invalid" {
				t.Errorf("%q: %+v", text, l)
			}
		}
		broken := b.news(t)
		broken.Event = json.RawMessage(`{"type":"routinely.job.succeeded"}`)
		if got := b.ring(t, body(t, broken)); got[0].Outcome != deadLettered || got[0].Code != callback.CodeEvent {
			t.Errorf("%+v", got)
		}
	})
	for _, broken := range []int{204, 500, 404} {
		t.Run("loses nothing when the queue fails after the answer "+http.StatusText(broken), func(t *testing.T) {
			b := start(t, broken)
			if _, err := b.mns.Faults().Add(faults.Rule{Action: "SendMessage", Times: -1, Fault: faults.Fault{Answer: faults.Reset}}); err != nil {
				t.Fatal(err)
			}
			out, err := b.handle(t.Context(), sim.Event(t, body(t, b.news(t))))
			if broken == 204 {
				if err != nil || out.Messages[0].Outcome != delivered {
					t.Errorf("%+v, %v", out, err)
				}
				return
			}
			if !fault.HasKind(err, fault.Unavailable) || out.Messages[0].Outcome != notSettled {
				t.Errorf("%+v, %v", out, err)
			}
		})
	}
	for attempt, name := range map[int]string{1: "jobs-callbacks", callback.MaxAttempts: "jobs-dead"} {
		t.Run("hands a callback over although its invocation is called off in the middle, to "+name, func(t *testing.T) {
			b := start(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // until then the server does not notice that the sender has gone
				cancel()
				<-r.Context().Done()
			}))
			defer slow.Close()
			c := b.news(t)
			c.URL, c.Attempt = slow.URL, attempt
			if out, err := b.handle(ctx, sim.Event(t, body(t, c))); err != nil || out.Messages[0].Code != callback.CodeUnreachable {
				t.Errorf("%+v, %v", out, err)
			}
			b.clock.Advance(5 * time.Second)
			if n := len(b.take(t, name)); n != 1 {
				t.Errorf("%d messages", n)
			}
		})
	}
	t.Run("logs each outcome in a line, and no secret", func(t *testing.T) {
		b := start(t, 500)
		var out bytes.Buffer
		log, err := logging.New(&out, "info", "notify")
		if err != nil {
			t.Fatal(err)
		}
		ctx := logging.Into(context.Background(), log)
		for range 2 {
			if _, err := b.handle(ctx, sim.Event(t, body(t, b.news(t)))); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(out.String(), "\n"); n != 2 || strings.Contains(out.String(), "hush") || strings.Contains(out.String(), "whsec") {
			t.Errorf("%d lines: %s", n, &out)
		}
	})
}

func TestUndeliveredCallback(t *testing.T) {
	b := start(t)
	told := b.news(t)
	for name, text := range map[string]string{"the message": body(t, told), "the trigger's event": string(sim.Event(t, body(t, told)))} {
		t.Run("that the trigger's own dead-letter setting kept can be redriven: "+name, func(t *testing.T) {
			l := queue.ReadLetter(queue.Message{ID: "M1", Body: text, EnqueuedAt: b.clock.Now()})
			if !l.Undelivered || l.Callback == nil || l.JobID != "job-1" || !strings.Contains(l.Message, "notify") {
				t.Fatalf("%+v", l)
			}
			messages, err := l.Redrive(b.clock.Now(), "op", "")
			if err != nil || len(messages) != 1 || !messages[0].Callback {
				t.Errorf("%+v, %v", messages, err)
			}
		})
	}
}

func TestRun(t *testing.T) {
	least := []string{"ROUTINELY_MNS_ENDPOINT=http://localhost", "ROUTINELY_CALLBACK_SECRETS=" + secret}
	t.Run("joins the parts", func(t *testing.T) {
		started := false
		if err := Run(sim.Process(t, func(any, func(context.Context)) { started = true }), least, io.Discard); err != nil || !started {
			t.Errorf("%v, started %t", err, started)
		}
	})
	for name, setting := range map[string]string{
		"a bad secret": "ROUTINELY_CALLBACK_SECRETS=hush", "no secret": "ROUTINELY_CALLBACK_SECRETS=", "a bad prefix": "ROUTINELY_PREFIX=a-",
		"every network": "ROUTINELY_CALLBACK_NETWORKS=0.0.0.0/0", "a bad network": "ROUTINELY_CALLBACK_NETWORKS=10.0.0.0", "a negative time": "ROUTINELY_CALLBACK_TIMEOUT=-1s",
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			err := Run(sim.Process(t, func(any, func(context.Context)) { t.Error("started") }), append(least, setting), io.Discard)
			if err == nil || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v", err)
			}
		})
	}
}
