package queue_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

var now = time.Date(2026, 1, 15, 6, 28, 17, 0, time.UTC)

const bare = `{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com"}`

var wish = routine.Request{Name: "pr-1", Records: []routine.Record{{SiteID: 7, RecordName: "pr-1.example.com"}}}

// event is a CloudEvent as the MNS trigger sends it, with the body given as JSON.
func event(messageID, body string) string {
	return `{"id":"e-` + messageID + `","source":"MNS-Function-jobs","specversion":"1.0","type":"mns:Queue:SendMessage",` +
		`"time":"not a time","data":{"requestId":"R","messageId":"` + messageID + `","messageBody":` + body + `}}`
}

// first decodes the first message of an event, with the test's key or those given.
func first(t testing.TB, event string, keys ...string) queue.Delivery {
	t.Helper()
	if keys == nil {
		keys = []string{sim.Key}
	}
	return sim.Keys(t, keys...).Decode([]byte(event), now)[0]
}

// cloudEvent is a CloudEvent of another program, with further members and data.
func cloudEvent(members, data string) string {
	return `{"specversion":"1.0","id":"42","source":"/ci","type":"x",` + members + `"data":` + data + `}`
}

// one decodes an event that must hold exactly one good job.
func one(t testing.TB, event string) queue.Delivery {
	t.Helper()
	deliveries := sim.Keys(t, sim.Key).Decode([]byte(event), now)
	if len(deliveries) != 1 || deliveries[0].Err != nil {
		t.Fatalf("got %+v, want one good job", deliveries)
	}
	return deliveries[0]
}

func TestDecodeShapes(t *testing.T) {
	body := sim.Quote(bare)
	for name, text := range map[string]string{
		"one CloudEvent":                             event("M1", body),
		"an array of objects":                        "[" + event("M1", body) + "]",
		"an array of strings":                        "[" + sim.Quote(event("M1", body)) + "]",
		"a string":                                   sim.Quote(event("M1", body)),
		"data as a string":                           `{"specversion":"1.0","data":` + sim.Quote(`{"messageId":"M1","messageBody":`+body+`}`) + `}`,
		"raw data":                                   `{"requestId":"R","messageId":"M1","messageBody":` + body + `}`,
		"an array of raw data":                       `[{"requestId":"R","messageId":"M1","messageBody":` + body + `}]`,
		"a topic's JSON form":                        `{"TopicOwner":"1","Message":` + body + `,"PublishTime":1550216302888,"TopicName":"t","MessageId":"M1","key":"v"}`,
		"a topic's STREAM form":                      bare,
		"a topic's STREAM form with attrs":           `{"body":` + body + `,"attrs":{"Extend":"{}"}}`,
		"a topic's message pushed to a queue":        event("M1", sim.Quote(`{"TopicName":"t","MessageId":"T1","Message":`+body+`}`)),
		"a Base64 body":                              event("M1", sim.Quote(base64.StdEncoding.EncodeToString([]byte(bare)))),
		"a body that EventBridge has parsed":         event("M1", bare),
		"a CloudEvent with a bare request":           event("M1", sim.Quote(cloudEvent("", bare))),
		"a CloudEvent whose data is in a +json type": event("M1", sim.Quote(cloudEvent(`"datacontenttype":"Application/vnd.ci+json; charset=utf-8",`, bare))),
		"a CloudEvent whose media type has capitals": event("M1", sim.Quote(cloudEvent(`"datacontenttype":"Application/JSON; Charset=UTF8",`, bare))),
		"a CloudEvent whose media type is null":      event("M1", sim.Quote(cloudEvent(`"datacontenttype":null,"time":null,`, bare))),
		"a CloudEvent with a byte-order mark":        event("M1", sim.Quote("\ufeff"+cloudEvent("", bare))),
		"a Base64 body with a byte-order mark":       event("M1", sim.Quote(base64.StdEncoding.EncodeToString([]byte("\ufeff"+bare)))),
		"a Base64 CloudEvent in Base64 data": event("M1", sim.Quote(base64.StdEncoding.EncodeToString([]byte(
			`{"specversion":"1.0","id":"1","source":"/ci","type":"x","data_base64":"`+base64.StdEncoding.EncodeToString([]byte(bare))+`"}`)))),
	} {
		t.Run("reads "+name, func(t *testing.T) {
			d := one(t, text)
			same(t, "request", d.Envelope.Request, wish)
			if d.Envelope.JobID == "" || !d.Bare || d.Envelope.Number != 1 || d.Envelope.AcceptedAt.IsZero() {
				t.Errorf("got %+v", d.Envelope)
			}
			if strings.Contains(text, `"M1"`) && d.MessageID != "M1" && !strings.HasPrefix(text, `{"body"`) {
				t.Errorf("message id %q, want M1", d.MessageID)
			}
		})
	}
	t.Run("keeps the order and the neighbours of a bad element", func(t *testing.T) {
		text := "[" + event("M1", body) + `,17,` + event("M2", `"rubbish"`) + "," + event("M3", body) + "]"
		var got []string
		for _, d := range sim.Keys(t, sim.Key).Decode([]byte(text), now) {
			got = append(got, d.MessageID+":"+string(d.Body))
		}
		want := []string{"M1:" + bare, ":17", "M2:rubbish", "M3:" + bare}
		same(t, "value", got, want)
	})
}

func TestDecodeRecordedEvents(t *testing.T) {
	recorded, err := filepath.Glob("../../shared/data/fc*-event-mns-*.json")
	if err != nil || len(recorded) == 0 {
		t.Skip("the recorded trigger events are not beside the project")
	}
	for _, file := range recorded {
		text, err := os.ReadFile(file)
		must(t, err)
		// Their bodies are samples, no requests.
		for _, d := range sim.Keys(t, sim.Key).Decode(text, now) {
			if body := string(d.Body); body != "hello topic" && !strings.HasPrefix(body, `{"job":`) {
				t.Errorf("%s: body %q", filepath.Base(file), body)
			}
		}
	}
}

func TestDecodeIdentity(t *testing.T) {
	t.Run("gives a message delivered twice the same job id", func(t *testing.T) {
		id := one(t, event("M1", sim.Quote(bare))).Envelope.JobID
		same(t, "job id the second time", one(t, "["+event("M1", bare)+"]").Envelope.JobID, id)
		if other := one(t, event("M2", sim.Quote(bare))); other.Envelope.JobID == id {
			t.Error("another message has the same job id")
		}
	})
	t.Run("does not take the same wish without a message id for a copy", func(t *testing.T) {
		id := one(t, bare).Envelope.JobID
		if later := sim.Keys(t, sim.Key).Decode([]byte(bare), now.Add(time.Minute))[0].Envelope.JobID; later == id {
			t.Error("the same job id")
		}
	})
	t.Run("takes a CloudEvent's own identity, and keeps its time, which decides nothing", func(t *testing.T) {
		text := cloudEvent(`"time":"2026-01-02T03:04:05Z",`, bare)
		e := one(t, event("M1", sim.Quote(text))).Envelope
		same(t, "job id in another message", one(t, event("M2", sim.Quote(text))).Envelope.JobID, e.JobID)
		want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		if !e.ProducedAt.Equal(want) || !e.AcceptedAt.Equal(now) || e.Caller != routine.QueueCaller {
			t.Errorf("%+v", e)
		}
	})
	t.Run("does not take a time that could not be written again", func(t *testing.T) {
		text := cloudEvent(`"time":"9999-12-31T23:59:59-23:00",`, bare)
		if got := one(t, event("M1", sim.Quote(text))); !got.Envelope.ProducedAt.IsZero() {
			t.Errorf("produced at %s", got.Envelope.ProducedAt)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                      "",
		"binary":                       "\x00\xff\xfe",
		"a text body":                  event("M1", `"hello"`),
		"a Base64 of something else":   event("M1", sim.Quote(base64.StdEncoding.EncodeToString([]byte("hello")))),
		"a CloudEvent without an id":   event("M1", sim.Quote(`{"specversion":"1.0","source":"/ci","type":"x","data":{}}`)),
		"a CloudEvent of the future":   event("M1", sim.Quote(`{"specversion":"9.0","id":"1","source":"/ci","type":"x","data":{}}`)),
		"an envelope without a job id": event("M1", sim.Quote(sim.Sealed(queue.TypeJob, sim.Key, `{"number":1,"acceptedAt":"2026-01-01T00:00:00Z","request":`+bare+`}`))),
		"an envelope without a number": event("M1", sim.Quote(sim.Sealed(queue.TypeJob, sim.Key, `{"jobId":"j","acceptedAt":"2026-01-01T00:00:00Z","request":`+bare+`}`))),
		"an envelope of a bad request": event("M1", sim.Quote(sim.Sealed(queue.TypeJob, sim.Key, `{"jobId":"j","number":1,"acceptedAt":"2026-01-01T00:00:00Z","request":{"name":"a"}}`))),
		"an envelope with odd types":   event("M1", sim.Quote(sim.Sealed(queue.TypeJob, sim.Key, `{"jobId":1}`))),
	} {
		t.Run(name, func(t *testing.T) {
			deliveries := sim.Keys(t, sim.Key).Decode([]byte(text), now)
			if len(deliveries) != 1 || deliveries[0].Err == nil {
				t.Fatalf("got %+v", deliveries)
			}
		})
	}
	for name, body := range map[string]string{
		"a time that is none":      cloudEvent(`"time":"hush",`, `{}`),
		"an id of another type":    `{"specversion":"1.0","id":5,"source":"/ci","type":"x","data":{"token":"hush"}}`,
		"a version of its own":     `{"specversion":"hush","id":"5","source":"/ci","type":"x","data":{}}`,
		"data of another type":     cloudEvent(`"datacontenttype":"text/plain",`, `{"token":"hush"}`),
		"an envelope of odd types": `{"specversion":"1.0","id":"1","source":"/x","type":"routinely.job.v2","data":{"jobId":5,"x":"hush"}}`,
		"a callback of odd types":  `{"specversion":"1.0","id":"1","source":"/x","type":"routinely.callback.v2","data":{"id":"hush","url":7}}`,
		"a text":                   `hush`,
	} {
		t.Run("does not quote what it cannot read: "+name, func(t *testing.T) {
			if err := first(t, event("M1", sim.Quote(body))).Err; err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "Go ") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("says what is wrong with a bare request", func(t *testing.T) {
		var invalid *routine.Invalid
		if err := first(t, event("M1", `"{\"name\":\"ab\"}"`)).Err; !errors.As(err, &invalid) || len(invalid.Problems) != 1 {
			t.Errorf("got %v", err)
		}
	})
}

func envelope() queue.Envelope {
	return queue.Envelope{JobID: "job-1", Caller: "ci", AcceptedAt: now, Round: 2, Number: 3, Request: wish}
}

func TestEnvelope(t *testing.T) {
	t.Run("is a CloudEvent in structured mode", func(t *testing.T) {
		body := bodyOf(t, envelope())
		var official cloudevents.Event
		must(t, json.Unmarshal([]byte(body), &official))
		if err := official.Validate(); err != nil {
			t.Error(err)
		}
		var got map[string]any
		must(t, json.Unmarshal([]byte(body), &got))
		delete(got, "data")
		want := map[string]any{
			"specversion": "1.0", "id": "job-1/2.3", "source": "/routinely", "type": "routinely.job.v2", "subject": "job-1",
			"time": "2026-01-15T06:28:17Z", "datacontenttype": "application/json", "keyid": sim.Key, "mac": got["mac"],
		}
		same(t, "value", got, want)
	})
}

func TestEnvelopeSize(t *testing.T) {
	first := queue.Envelope{JobID: "job-1", AcceptedAt: time.Unix(1_772_000_000, 0), Number: 1}
	body, err := sim.Keys(t, strings.Repeat("k", 32)).Seal(first)
	must(t, err)
	first.Caller = strings.Repeat("c", queue.MaxEnvelopeBytes-len(body)-len(`"caller":"",`))
	again := first
	again.Round, again.Number = 123, 4567
	for name, e := range map[string]queue.Envelope{"the first": first, "a later one": again} {
		t.Run("a message of the largest size can be sent, whatever its numbers and its key: "+name, func(t *testing.T) {
			bodyOf(t, e)
			e.Caller += "c"
			if _, err := sim.Keys(t, sim.Key).Seal(e); !fault.HasCode(err, "MessageTooLarge") {
				t.Errorf("one byte more: got %v", err)
			}
		})
	}
}

func TestJobIDs(t *testing.T) {
	t.Run("of pairs of caller and key are their own", func(t *testing.T) {
		ids := map[string]bool{}
		for _, pair := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"a", "bc"}, {"", "abc"}} {
			ids[queue.KeyedJobID(pair[0], pair[1])] = true
		}
		same(t, "ids", len(ids), 3)
	})
	t.Run("of tries to end an expired routine are their own", func(t *testing.T) {
		ids := map[string]bool{}
		for _, one := range []struct {
			name   string
			number int64
			action routine.Action
			try    int
		}{
			{"pr-1", 7, routine.Expire, 1},
			{"pr-1", 7, routine.Expire, 1},
			{"pr-2", 7, routine.Expire, 1},
			{"pr-1", 8, routine.Expire, 1},
			{"pr-1", 7, routine.Remove, 1},
			{"pr-1", 7, routine.Expire, 2},
			{"pr-17", 7, routine.Expire, 1},
		} {
			ids[queue.ExpiryJobID(one.name, one.number, one.action, one.try)] = true
		}
		same(t, "ids", len(ids), 6)
	})
	t.Run("of unreadable messages are those of message id and bytes", func(t *testing.T) {
		ids := map[string]bool{}
		for _, m := range [][2]string{{"M1", "x"}, {"M1", "x"}, {"M2", "x"}, {"M1", "y"}, {"", "x"}} {
			ids[queue.UnreadableJobID(queue.Delivery{MessageID: m[0], Body: []byte(m[1])})] = true
		}
		same(t, "ids", len(ids), 4)
	})
}
