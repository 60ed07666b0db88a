package queue_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/routine"
)

func news() queue.Callback {
	return queue.Callback{
		ID: "msg_1", JobID: "job-1", Caller: "ci", Round: 2, URL: "https://ci.example/hook?secret", Event: json.RawMessage(`{"type":"job.succeeded"}`),
		CreatedAt: now, Attempt: 1,
	}
}

func TestCallback(t *testing.T) {
	for name, test := range map[string]struct {
		queue   string
		send    func(*queue.Client) error
		givenUp bool
	}{
		"its queue":             {"jobs-callbacks", func(c *queue.Client) error { return c.SendCallback(t.Context(), news(), 0) }, false},
		"the dead-letter queue": {"jobs-dead", func(c *queue.Client) error { return c.GiveUpCallback(t.Context(), news()) }, true},
	} {
		t.Run("comes back from "+name+" as it was sent", func(t *testing.T) {
			_, url := start(t)
			must(t, test.send(newClient(t, url)))
			want, got := news(), bodies(t, url, test.queue)
			if want.GivenUp = test.givenUp; len(got) != 1 {
				t.Fatalf("%d messages", len(got))
			}
			for _, text := range []string{got[0], event("M1", sim.Quote(got[0])), event("M1", sim.Quote(base64.StdEncoding.EncodeToString([]byte(got[0]))))} {
				d := one(t, text)
				same(t, "callback", *d.Callback, want)
				same(t, "bare", d.Bare, false)
			}
		})
	}
	for name, spoil := range map[string]func(*queue.Callback){
		"no id": func(c *queue.Callback) { c.ID = "" }, "a long id": func(c *queue.Callback) { c.ID = strings.Repeat("x", 129) },
		"no job": func(c *queue.Callback) { c.JobID = "" }, "a long job id": func(c *queue.Callback) { c.JobID = strings.Repeat("x", 129) },
		"no URL": func(c *queue.Callback) { c.URL = "" }, "no event": func(c *queue.Callback) { c.Event = nil },
		"no attempt": func(c *queue.Callback) { c.Attempt = 0 }, "an attempt out of range": func(c *queue.Callback) { c.Attempt = 1_000_001 },
		"a round out of range": func(c *queue.Callback) { c.Round = -1 }, "no time": func(c *queue.Callback) { c.CreatedAt = time.Time{} },
	} {
		t.Run("is refused with "+name, func(t *testing.T) {
			c := news()
			spoil(&c)
			data, err := json.Marshal(c)
			must(t, err)
			text := sim.Sealed(queue.TypeCallback, sim.Key, strings.Replace(string(data), `"event":null,`, "", 1))
			if d := first(t, event("M1", sim.Quote(text))); d.Err == nil || d.Callback != nil {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestCountsOutOfRange(t *testing.T) {
	for name, spoil := range map[string]func(*queue.Envelope){
		"no number": func(e *queue.Envelope) { e.Number = 0 }, "a large number": func(e *queue.Envelope) { e.Number = 1_000_001 },
		"a negative round": func(e *queue.Envelope) { e.Round = -1 }, "a large round": func(e *queue.Envelope) { e.Round = 1_000_001 },
		"no time": func(e *queue.Envelope) { e.AcceptedAt = time.Time{} }, "a long id": func(e *queue.Envelope) { e.JobID = strings.Repeat("x", 129) },
	} {
		t.Run("refuses an envelope with "+name, func(t *testing.T) {
			e := envelope()
			spoil(&e)
			if d := first(t, bodyOf(t, e)); d.Err == nil {
				t.Errorf("got %+v", d.Envelope)
			}
		})
	}
	t.Run("keeps the id of an envelope whose request breaks the rules", func(t *testing.T) {
		e := envelope()
		e.Request.Name = "Not A Name"
		if d := first(t, bodyOf(t, e)); d.Err == nil || d.Envelope.JobID != "job-1" || d.Bare {
			t.Errorf("got %+v", d)
		}
	})
}

func TestReceived(t *testing.T) {
	for name, test := range map[string]struct {
		body, encoding string
	}{
		"text": {"hello", routine.TextEncoding}, "bytes": {"\xff\x00", routine.Base64Encoding},
		"a short text with escapes": {"\"\n\\", routine.TextEncoding},
		"a long text of escapes":    {strings.Repeat("\"", queue.MaxMessageBytes), routine.Base64Encoding},
		"a long text":               {strings.Repeat("x", queue.MaxMessageBytes), routine.TextEncoding},
	} {
		t.Run("keeps "+name+" byte for byte", func(t *testing.T) {
			got := queue.Delivery{MessageID: "M1", Body: []byte(test.body)}.Received()
			body := got.Body
			if got.Encoding == routine.Base64Encoding {
				decoded, err := base64.StdEncoding.DecodeString(body)
				must(t, err)
				body = string(decoded)
			}
			if body != test.body || got.Encoding != test.encoding || got.MessageID != "M1" {
				t.Errorf("%s, %d bytes of %d", got.Encoding, len(body), len(test.body))
			}
		})
	}
}

func TestDeliveries(t *testing.T) {
	body := bodyOf(t, envelope())
	ids := func(text string) (out []string) {
		for _, d := range sim.Keys(t, sim.Key).Open(queue.Message{ID: "D1", Body: text}, now) {
			out = append(out, d.MessageID+" "+d.Envelope.JobID)
		}
		return out
	}
	for name, write := range map[string]func(event string) string{
		"as it was delivered": func(event string) string { return event },
		"as a text":           sim.Quote,
		"in Base64":           func(event string) string { return base64.StdEncoding.EncodeToString([]byte(event)) },
	} {
		t.Run("of an event that is written "+name+" are its messages, by the ids that MNS gave them", func(t *testing.T) {
			got := ids(write("[" + event("M1", sim.Quote(body)) + "," + event("M2", sim.Quote(body)) + "]"))
			same(t, "deliveries", got, []string{"M1 job-1", "M2 job-1"})
		})
	}
	t.Run("without an id are known by that of the dead letter", func(t *testing.T) {
		same(t, "deliveries", ids(body), []string{"D1 job-1"})
		same(t, "deliveries", ids("["+body+","+body+"]"), []string{"D1/0 job-1", "D1/1 job-1"})
		same(t, "deliveries", ids("["+sim.Quote(body)+","+sim.Quote(body)+"]"), []string{"D1/0 job-1", "D1/1 job-1"})
	})
	t.Run("of rubbish are one", func(t *testing.T) {
		for _, text := range []string{"", "rubbish", "[]", "[", "null"} {
			if got := sim.Keys(t, sim.Key).Open(queue.Message{ID: "D1", Body: text}, now); len(got) != 1 || got[0].Err == nil || string(got[0].Body) != text {
				t.Errorf("%q: %+v", text, got)
			}
		}
	})
}
