package notify

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
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

const secret = "whsec_WNQ6jaJrPbH8bVy0VpcKVoqrirS6tnCNBdlLQrwI9TA="

// bell is a notifier with its queue and a receiver. Only the test moves their clock.
type bell struct {
	*Notifier
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

// thisMachine lets callbacks reach the receivers of the tests.
func thisMachine() callback.Policy {
	return callback.Policy{AllowHTTP: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

func start(t *testing.T, answers ...int) *bell {
	t.Helper()
	b := &bell{clock: clock.NewManual(time.Now().Truncate(time.Second)), answers: answers}
	receiver := httptest.NewServer(b)
	t.Cleanup(receiver.Close)
	b.url = receiver.URL + "/hook?token=hush"
	sender, err := callback.New(callback.Config{
		Secrets: []string{secret}, Now: b.clock.Now, Policy: thisMachine(),
	})
	must(t, err)
	server, url := localtest.MNS(t, b.clock, sim.DeadLetterQueue, sim.CallbackQueue)
	b.mns, b.messages = server, localtest.MNSClient(t, url)
	b.Notifier, err = New(Config{
		Queue: sim.Queue(t, queue.Config{Endpoint: url}), Sender: sender, Now: b.clock.Now, Draw: func() float64 { return 0 }, Bits: rand.Uint64,
	})
	must(t, err)
	return b
}

// ServeHTTP is the receiver.
func (b *bell) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got, b.bodies = append(b.got, r.Header), append(b.bodies, body)
	status := http.StatusNoContent
	if len(b.answers) > 0 && b.answers[0] != 0 {
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
		Request: routine.Request{Name: "pr-1", Records: []routine.Record{{SiteID: 7, RecordName: "pr-1.example.com"}}, CallbackURL: b.url},
	})
	must(t, err)
	text, err := json.Marshal(event)
	must(t, err)
	return queue.Callback{ID: event.ID(), JobID: "job-1", Caller: "shop", URL: b.url, Event: text, CreatedAt: ended, Attempt: 1}
}

// body is the message of a callback, as the queue has it.
func (b *bell) body(t *testing.T, c queue.Callback) string {
	t.Helper()
	must(t, b.Queue.SendCallback(t.Context(), c, 0))
	return b.take(t, sim.CallbackQueue)[0]
}

// ring runs one invocation and expects it to settle everything.
func (b *bell) ring(t *testing.T, bodies ...string) []entry {
	t.Helper()
	out, err := b.Handle(t.Context(), sim.Event(t, bodies...))
	must(t, err)
	return out.Messages
}

// take removes and returns the visible messages of a queue.
func (b *bell) take(t *testing.T, name string) []string {
	t.Helper()
	return sim.Take(t, b.messages, name)
}

// dead takes the one message of the dead-letter queue.
func (b *bell) dead(t *testing.T) string {
	t.Helper()
	found := b.take(t, sim.DeadLetterQueue)
	if len(found) != 1 {
		t.Fatalf("%d dead letters", len(found))
	}
	return found[0]
}

// read decodes the callback in a message.
func (b *bell) read(t *testing.T, text string) queue.Callback {
	t.Helper()
	d := sim.Keys(t, sim.Key).Decode([]byte(text), b.clock.Now())[0]
	if d.Callback == nil {
		t.Fatalf("not a callback: %s", text)
	}
	return *d.Callback
}

// rings delivers a callback, and checks what becomes of it.
func (b *bell) rings(t *testing.T, c queue.Callback, want outcome, code string) entry {
	t.Helper()
	got := b.ring(t, b.body(t, c))
	if len(got) != 1 || got[0].Outcome != want || got[0].Code != code || got[0].JobID != "job-1" {
		t.Fatalf("got %+v, want %s %s", got, want, code)
	}
	return got[0]
}

// breakQueue makes each send fail from now on.
func (b *bell) breakQueue(t *testing.T) {
	t.Helper()
	if _, err := b.mns.Faults().Add(faults.Rule{Action: "SendMessage", Times: -1, Fault: faults.Fault{Answer: faults.Reset}}); err != nil {
		t.Fatal(err)
	}
}

// hanging is a receiver that never answers. It says when it has read a request.
func hanging(t *testing.T, reached func()) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // until then the server does not notice that the sender has gone
		reached()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// nowhere is the URL of a server that has ended.
func nowhere() (url string) {
	server := httptest.NewServer(nil)
	server.Close()
	return server.URL
}

func TestNotify(t *testing.T) {
	t.Run("delivers the event with the signature of the caller's secret", func(t *testing.T) {
		b := start(t)
		b.rings(t, b.news(t), delivered, "")
		its, err := callback.SecretOf(secret, "shop")
		must(t, err)
		reader, err := standardwebhooks.NewWebhook(its)
		must(t, err)
		if err := reader.Verify(b.bodies[0], b.got[0]); err != nil || !bytes.Equal(b.bodies[0], b.news(t).Event) {
			t.Errorf("%v, sent %s", err, b.bodies[0])
		}
	})
	t.Run("signs for whom the callback is, whoever the job's caller is", func(t *testing.T) {
		b := start(t)
		news := b.news(t)
		news.Caller = "owner"
		b.rings(t, news, delivered, "")
		its, err := callback.SecretOf(secret, "owner")
		must(t, err)
		reader, err := standardwebhooks.NewWebhook(its)
		must(t, err)
		must(t, reader.Verify(b.bodies[0], b.got[0]))
	})
	t.Run("tries again by the schedule, under the same id, and keeps the latest status", func(t *testing.T) {
		b := start(t, 500, 503)
		first := b.news(t)
		next := first
		for _, delay := range []time.Duration{5 * time.Second, 5 * time.Minute} {
			if got := b.rings(t, next, again, callback.CodeUnavailable); got.DelaySeconds != delay.Seconds() {
				t.Fatalf("%+v", got)
			}
			b.clock.Advance(delay - time.Second)
			same(t, "messages before their time", len(b.take(t, sim.CallbackQueue)), 0)
			b.clock.Advance(time.Second)
			next = b.read(t, b.take(t, sim.CallbackQueue)[0])
		}
		if next.Attempt != 3 || next.LastStatus != 503 || next.ID != first.ID {
			t.Errorf("%+v", next)
		}
		b.rings(t, next, delivered, "")
		for _, header := range b.got {
			same(t, "id", header.Get("Webhook-Id"), first.ID)
		}
	})
	last := func(c *queue.Callback) { c.Attempt, c.LastStatus = callback.MaxAttempts, 503 }
	for name, test := range map[string]struct {
		answer int
		change func(*queue.Callback)
		code   string
		// status is the last answer that the dead letter keeps; 0 for none.
		status int
	}{
		"after the last attempt":                {500, last, callback.CodeUnavailable, 500},
		"after the last attempt, unanswered":    {0, func(c *queue.Callback) { last(c); c.URL = nowhere() }, callback.CodeUnreachable, 0},
		"after a 404":                           {404, func(*queue.Callback) {}, callback.CodeRefused, 404},
		"after a 410":                           {410, func(*queue.Callback) {}, callback.CodeGone, 410},
		"after a redirect":                      {302, func(*queue.Callback) {}, callback.CodeRedirected, 302},
		"before it goes to a forbidden address": {0, func(c *queue.Callback) { c.URL = "http://169.254.169.254/latest?token=hush" }, callback.CodeForbidden, 0},
		"if its event cannot be sent":           {0, func(c *queue.Callback) { c.Event = json.RawMessage(`{"type":"routinely.job.succeeded"}`) }, callback.CodeEvent, 0},
	} {
		t.Run("gives a callback up "+name+", and the dead letter says how often it was tried and what was answered", func(t *testing.T) {
			b := start(t, test.answer)
			c := b.news(t)
			test.change(&c)
			b.rings(t, c, givenUp, test.code)
			c.LastStatus, c.GivenUp = test.status, true
			same(t, "dead letter", b.read(t, b.dead(t)), c)
		})
	}
	t.Run("passes on what is no callback, byte for byte", func(t *testing.T) {
		b := start(t)
		for _, text := range []string{"nonsense", " x\r\n", "a\x00b", `{"name":"pr-1"}`, sim.Sealed(queue.TypeCallback, sim.Key, `{"id":"msg_1"}`), "eyJuYW1lIjoicHItMSJ9"} {
			if got := b.ring(t, text); got[0].Outcome != passedOn || got[0].Code != "UnreadableMessage" {
				t.Errorf("%q: %+v", text, got)
			}
			want := text
			if text == "a\x00b" { // XML cannot carry it
				want = base64.StdEncoding.EncodeToString([]byte(text))
			}
			same(t, "dead letter", b.dead(t), want)
		}
		if got := b.ring(t, ""); got[0].Outcome != passedOn || len(b.take(t, sim.DeadLetterQueue)) != 0 {
			t.Errorf("a message without a byte: %+v", got)
		}
	})
	t.Run("passes on a callback under an unknown key, so that the janitor reads none in it either", func(t *testing.T) {
		b := start(t)
		text, err := sim.Keys(t, "k2").Seal(queue.Envelope{JobID: "job-1", AcceptedAt: b.clock.Now(), Number: 1})
		must(t, err)
		for _, body := range []string{text, base64.StdEncoding.EncodeToString([]byte(text))} {
			if got := b.ring(t, body); got[0].Outcome != passedOn || got[0].Code != queue.CodeUnknownKey {
				t.Errorf("%+v", got)
			}
			d := sim.Keys(t, sim.Key, "k2").Open(queue.Message{ID: "D1", Body: b.dead(t)}, b.clock.Now())[0]
			if !fault.HasCode(d.Err, queue.CodeUnknownKey) || d.ClaimsJob != "job-1" || string(d.Body) != body {
				t.Errorf("%+v", d)
			}
		}
	})
	t.Run("settles each of several callbacks in an event by itself", func(t *testing.T) {
		b := start(t)
		var bodies []string
		for i := range 3 {
			c := b.news(t)
			if c.ID = fmt.Sprint("msg_", i); i == 1 {
				c.URL, c.Attempt = nowhere(), callback.MaxAttempts
			}
			bodies = append(bodies, b.body(t, c))
		}
		got := b.ring(t, bodies...)
		if got[0].Outcome != delivered || got[1].Outcome != givenUp || got[2].Outcome != delivered || len(b.got) != 2 {
			t.Errorf("%d requests, %+v", len(b.got), got)
		}
		same(t, "dead letter", b.read(t, b.dead(t)).ID, "msg_1")
	})
	t.Run("needs no queue for what is delivered", func(t *testing.T) {
		b := start(t)
		body := b.body(t, b.news(t))
		b.breakQueue(t)
		if got := b.ring(t, body); got[0].Outcome != delivered {
			t.Errorf("%+v", got)
		}
	})
	for _, answer := range []int{500, 404} {
		t.Run("fails when the queue does, so that nothing is lost, after the answer "+http.StatusText(answer), func(t *testing.T) {
			b := start(t, answer)
			event := sim.Event(t, b.body(t, b.news(t)))
			b.breakQueue(t)
			if out, err := b.Handle(t.Context(), event); !fault.HasKind(err, fault.Unavailable) || out.Messages[0].Outcome != notSettled {
				t.Errorf("%+v, %v", out, err)
			}
		})
	}
	for attempt, name := range map[int]string{1: sim.CallbackQueue, callback.MaxAttempts: sim.DeadLetterQueue} {
		t.Run("hands a callback over although its invocation is called off in the middle, to "+name, func(t *testing.T) {
			b := start(t)
			ctx, cancel := context.WithCancel(t.Context())
			c := b.news(t)
			c.URL, c.Attempt = hanging(t, cancel), attempt
			if out, err := b.Handle(ctx, sim.Event(t, b.body(t, c))); err != nil || out.Messages[0].Code != callback.CodeUnreachable {
				t.Errorf("%+v, %v", out, err)
			}
			b.clock.Advance(5 * time.Second)
			same(t, "messages", len(b.take(t, name)), 1)
		})
	}
	t.Run("logs each outcome in a line, and no secret", func(t *testing.T) {
		b := start(t, 500)
		var out bytes.Buffer
		log, err := logging.New(&out, "info", "notify")
		must(t, err)
		for range 2 {
			if _, err := b.Handle(logging.Into(t.Context(), log), sim.Event(t, b.body(t, b.news(t)))); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(out.String(), "\n"); n != 2 || strings.Contains(out.String(), "hush") || strings.Contains(out.String(), "whsec") {
			t.Errorf("%d lines: %s", n, &out)
		}
	})
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s; -want +got:\n%s", what, diff)
	}
}

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
