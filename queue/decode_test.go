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
	"github.com/google/go-cmp/cmp"

	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/routine"
)

var now = time.Date(2026, 1, 15, 6, 28, 17, 0, time.UTC)

const bare = `{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com"}`

var wish = routine.Request{Name: "pr-1", SiteID: 7, RecordName: "pr-1.example.com"}

func quote(t *testing.T, text string) string {
	t.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(quoted)
}

// event is a CloudEvent as the MNS trigger sends it, with the body given as JSON.
func event(messageID, body string) string {
	return `{"id":"e-` + messageID + `","source":"MNS-Function-jobs","specversion":"1.0","type":"mns:Queue:SendMessage",` +
		`"time":"not a time","data":{"requestId":"R","messageId":"` + messageID + `","messageBody":` + body + `}}`
}

// one decodes an event that must hold exactly one good job.
func one(t *testing.T, text string) queue.Delivery {
	t.Helper()
	deliveries := sim.Keys(t, sim.Key).Decode([]byte(text), now)
	if len(deliveries) != 1 {
		t.Fatalf("got %d deliveries, want 1", len(deliveries))
	}
	if deliveries[0].Err != nil {
		t.Fatal(deliveries[0].Err)
	}
	return deliveries[0]
}

func TestDecodeShapes(t *testing.T) {
	body := quote(t, bare)
	for name, text := range map[string]string{
		"one CloudEvent":                      event("M1", body),
		"an array of objects":                 "[" + event("M1", body) + "]",
		"an array of strings":                 "[" + quote(t, event("M1", body)) + "]",
		"a string":                            quote(t, event("M1", body)),
		"data as a string":                    `{"specversion":"1.0","data":` + quote(t, `{"messageId":"M1","messageBody":`+body+`}`) + `}`,
		"raw data":                            `{"requestId":"R","messageId":"M1","messageBody":` + body + `}`,
		"an array of raw data":                `[{"requestId":"R","messageId":"M1","messageBody":` + body + `}]`,
		"a topic's JSON form":                 `{"TopicOwner":"1","Message":` + body + `,"PublishTime":1550216302888,"TopicName":"t","MessageId":"M1","key":"v"}`,
		"a topic's STREAM form":               bare,
		"a topic's STREAM form with attrs":    `{"body":` + body + `,"attrs":{"Extend":"{}"}}`,
		"a topic's message pushed to a queue": event("M1", quote(t, `{"TopicName":"t","MessageId":"T1","Message":`+body+`}`)),
		"a Base64 body":                       event("M1", quote(t, base64.StdEncoding.EncodeToString([]byte(bare)))),
		"a body that EventBridge has parsed":  event("M1", bare),
		"a CloudEvent with a bare request":    event("M1", quote(t, `{"specversion":"1.0","id":"1","source":"/ci","type":"my.request","data":`+bare+`}`)),
		"a CloudEvent whose data is in a +json type": event("M1", quote(t,
			`{"specversion":"1.0","id":"1","source":"/ci","type":"x","datacontenttype":"Application/vnd.ci+json; charset=utf-8","data":`+bare+`}`)),
		"a CloudEvent whose media type has capitals": event("M1", quote(t,
			`{"specversion":"1.0","id":"1","source":"/ci","type":"x","datacontenttype":"Application/JSON; Charset=UTF8","data":`+bare+`}`)),
		"a CloudEvent whose media type is null": event("M1", quote(t,
			`{"specversion":"1.0","id":"1","source":"/ci","type":"x","datacontenttype":null,"time":null,"data":`+bare+`}`)),
		"a CloudEvent with a byte-order mark":  event("M1", quote(t, "\ufeff"+`{"specversion":"1.0","id":"1","source":"/ci","type":"x","data":`+bare+`}`)),
		"a Base64 body with a byte-order mark": event("M1", quote(t, base64.StdEncoding.EncodeToString([]byte("\ufeff"+bare)))),
		"a Base64 CloudEvent in Base64 data": event("M1", quote(t, base64.StdEncoding.EncodeToString([]byte(
			`{"specversion":"1.0","id":"1","source":"/ci","type":"x","data_base64":"`+base64.StdEncoding.EncodeToString([]byte(bare))+`"}`)))),
	} {
		t.Run("reads "+name, func(t *testing.T) {
			d := one(t, text)
			if diff := cmp.Diff(wish, d.Envelope.Request); diff != "" {
				t.Errorf("request -want +got:\n%s", diff)
			}
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
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestDecodeRecordedEvents(t *testing.T) {
	recorded, err := filepath.Glob("../../shared/data/fc*-event-mns-*.json")
	if err != nil || len(recorded) == 0 {
		t.Skip("the recorded trigger events are not beside the project")
	}
	for _, file := range recorded {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			// Their bodies are samples of anything but routine requests; what counts is that the body itself was found.
			for _, d := range sim.Keys(t, sim.Key).Decode(text, now) {
				if body := string(d.Body); body != "hello topic" && !strings.HasPrefix(body, `{"job":`) {
					t.Errorf("body %q", body)
				}
			}
		})
	}
}

func TestDecodeIdentity(t *testing.T) {
	t.Run("gives a message delivered twice the same job id", func(t *testing.T) {
		first, second := one(t, event("M1", quote(t, bare))), one(t, "["+event("M1", bare)+"]")
		if first.Envelope.JobID != second.Envelope.JobID {
			t.Errorf("%s and %s", first.Envelope.JobID, second.Envelope.JobID)
		}
		if other := one(t, event("M2", quote(t, bare))); other.Envelope.JobID == first.Envelope.JobID {
			t.Error("another message has the same job id")
		}
	})
	t.Run("does not take the same wish without a message id for a copy", func(t *testing.T) {
		first := one(t, bare).Envelope.JobID
		if later := sim.Keys(t, sim.Key).Decode([]byte(bare), now.Add(time.Minute))[0].Envelope.JobID; later == first {
			t.Error("the same job id")
		}
	})
	t.Run("takes a CloudEvent's own identity, and keeps its time, which decides nothing", func(t *testing.T) {
		text := `{"specversion":"1.0","id":"42","source":"/ci","type":"x","time":"2026-01-02T03:04:05Z","data":` + bare + `}`
		first, second := one(t, event("M1", quote(t, text))), one(t, event("M2", quote(t, text)))
		if first.Envelope.JobID != second.Envelope.JobID {
			t.Errorf("%s and %s", first.Envelope.JobID, second.Envelope.JobID)
		}
		want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		if e := first.Envelope; !e.ProducedAt.Equal(want) || !e.AcceptedAt.Equal(now) || e.Caller != routine.QueueCaller {
			t.Errorf("%+v", e)
		}
	})
	t.Run("does not take a time that could not be written again", func(t *testing.T) {
		text := `{"specversion":"1.0","id":"42","source":"/ci","type":"x","time":"9999-12-31T23:59:59-23:00","data":` + bare + `}`
		if got := one(t, event("M1", quote(t, text))); !got.Envelope.ProducedAt.IsZero() {
			t.Errorf("produced at %s", got.Envelope.ProducedAt)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                      "",
		"binary":                       "\x00\xff\xfe",
		"a text body":                  event("M1", `"hello"`),
		"a Base64 of something else":   event("M1", quote(t, base64.StdEncoding.EncodeToString([]byte("hello")))),
		"a CloudEvent without an id":   event("M1", quote(t, `{"specversion":"1.0","source":"/ci","type":"x","data":{}}`)),
		"a CloudEvent of the future":   event("M1", quote(t, `{"specversion":"9.0","id":"1","source":"/ci","type":"x","data":{}}`)),
		"an envelope without a job id": event("M1", quote(t, sim.Sealed(queue.TypeJob, sim.Key, `{"number":1,"acceptedAt":"2026-01-01T00:00:00Z","request":`+bare+`}`))),
		"an envelope without a number": event("M1", quote(t, sim.Sealed(queue.TypeJob, sim.Key, `{"jobId":"j","acceptedAt":"2026-01-01T00:00:00Z","request":`+bare+`}`))),
		"an envelope of a bad request": event("M1", quote(t, sim.Sealed(queue.TypeJob, sim.Key, `{"jobId":"j","number":1,"acceptedAt":"2026-01-01T00:00:00Z","request":{"name":"a"}}`))),
		"an envelope with odd types":   event("M1", quote(t, sim.Sealed(queue.TypeJob, sim.Key, `{"jobId":1}`))),
	} {
		t.Run(name, func(t *testing.T) {
			deliveries := sim.Keys(t, sim.Key).Decode([]byte(text), now)
			if len(deliveries) != 1 || deliveries[0].Err == nil {
				t.Fatalf("got %+v", deliveries)
			}
		})
	}
	for name, body := range map[string]string{
		"a time that is none":      `{"specversion":"1.0","id":"1","source":"/ci","type":"x","time":"hush","data":{}}`,
		"an id of another type":    `{"specversion":"1.0","id":5,"source":"/ci","type":"x","data":{"token":"hush"}}`,
		"a version of its own":     `{"specversion":"hush","id":"5","source":"/ci","type":"x","data":{}}`,
		"data of another type":     `{"specversion":"1.0","id":"1","source":"/ci","type":"x","datacontenttype":"text/plain","data":{"token":"hush"}}`,
		"an envelope of odd types": `{"specversion":"1.0","id":"1","source":"/x","type":"routinely.job.v2","data":{"jobId":5,"x":"hush"}}`,
		"a callback of odd types":  `{"specversion":"1.0","id":"1","source":"/x","type":"routinely.callback.v2","data":{"id":"hush","url":7}}`,
		"a text":                   `hush`,
	} {
		t.Run("does not quote what it cannot read: "+name, func(t *testing.T) {
			err := sim.Keys(t, sim.Key).Decode([]byte(event("M1", quote(t, body))), now)[0].Err
			if err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "Go ") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("says what is wrong with a bare request", func(t *testing.T) {
		d := sim.Keys(t, sim.Key).Decode([]byte(event("M1", `"{\"name\":\"ab\"}"`)), now)[0]
		var invalid *routine.Invalid
		if !errors.As(d.Err, &invalid) || len(invalid.Problems) != 2 {
			t.Errorf("got %v", d.Err)
		}
	})
}

func envelope() queue.Envelope {
	return queue.Envelope{JobID: "job-1", Caller: "ci", AcceptedAt: now, Round: 2, Number: 3, Request: wish}
}

func TestEnvelope(t *testing.T) {
	t.Run("comes back as it was sent, plain and in Base64", func(t *testing.T) {
		body, err := sim.Keys(t, sim.Key).Seal(envelope())
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{body, base64.StdEncoding.EncodeToString([]byte(body))} {
			if diff := cmp.Diff(envelope(), one(t, event("M1", quote(t, text))).Envelope); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
	})
	t.Run("is a CloudEvent in structured mode", func(t *testing.T) {
		body, err := sim.Keys(t, sim.Key).Seal(envelope())
		if err != nil {
			t.Fatal(err)
		}
		var official cloudevents.Event
		if err := json.Unmarshal([]byte(body), &official); err != nil {
			t.Fatal(err)
		}
		if err := official.Validate(); err != nil {
			t.Error(err)
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		delete(got, "data")
		want := map[string]any{
			"specversion": "1.0", "id": "job-1/2.3", "source": "/routinely", "type": "routinely.job.v2", "subject": "job-1",
			"time": "2026-01-15T06:28:17Z", "datacontenttype": "application/json", "keyid": sim.Key, "mac": got["mac"],
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestKeyedJobID(t *testing.T) {
	ids := map[string]bool{}
	for _, pair := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"a", "bc"}, {"", "abc"}} {
		ids[queue.KeyedJobID(pair[0], pair[1])] = true
	}
	if len(ids) != 3 {
		t.Errorf("%d ids for 3 pairs of caller and key", len(ids))
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(event("M1", `"{}"`)))
	f.Add([]byte("[" + event("M1", `{"specversion":"1.0"}`) + ",null]"))
	f.Add([]byte(`{"TopicName":"t","Message":"e30="}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, d := range sim.Keys(t, sim.Key).Decode(text, now) {
			if d.Err != nil || d.Callback != nil {
				continue
			}
			if _, err := sim.Keys(t, sim.Key).Seal(d.Envelope); err != nil || d.Envelope.JobID == "" || d.Envelope.Number < 1 {
				t.Fatalf("accepted %+v: %v", d.Envelope, err)
			}
		}
	})
}
