package queue_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"routinely/deploy/sim"
	"routinely/queue"
	"routinely/shared/routine"
)

// anyText draws a text of any characters, line ends and quotes included.
func anyText(t *rapid.T, name string) string {
	letters := rapid.OneOf(rapid.Rune(), rapid.RuneFrom([]rune("a{}[]\"\\<&\r\n\t\x00\ufffe\u2028é")))
	return rapid.StringOfN(letters, -1, 8, -1).Draw(t, name)
}

// anyRequest draws a request that keeps the rules.
func anyRequest(t *rapid.T) routine.Request {
	return routine.Request{
		Name: rapid.StringMatching(`[a-z][a-z0-9]{1,8}`).Draw(t, "name"),
		Records: []routine.Record{{
			SiteID: rapid.Int64Min(1).Draw(t, "siteId"), RecordName: rapid.StringMatching(`[a-z0-9]{1,8}\.example\.com`).Draw(t, "record"),
		}},
		Description: rapid.Ptr(rapid.Custom(func(t *rapid.T) string { return anyText(t, "description") }), true).Draw(t, "description"),
		HasAssets:   rapid.Ptr(rapid.Bool(), true).Draw(t, "hasAssets"),
		IfExists:    rapid.SampledFrom([]routine.IfExists{"", routine.Fail}).Draw(t, "ifExists"),
	}
}

// anyEnvelope draws a message of ours.
func anyEnvelope(t *rapid.T) queue.Envelope {
	return queue.Envelope{
		JobID: rapid.StringMatching(`[!-~é]{1,64}`).Draw(t, "id"), Caller: anyText(t, "caller"), AcceptedAt: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "accepted"), rapid.Int64Range(0, 999_999_999).Draw(t, "fraction")).UTC(),
		Round: rapid.IntRange(0, 100).Draw(t, "round"), Number: rapid.IntRange(1, 1000).Draw(t, "number"), Request: anyRequest(t),
	}
}

func bodyOf(t rapid.TB, e queue.Envelope) string {
	t.Helper()
	body, err := sim.Keys(t, sim.Key).Seal(e)
	must(t, err)
	return body
}

// wrapped puts a message's body into an event in one of all the ways that triggers do.
func wrapped(t *rapid.T, body string) string {
	if rapid.Bool().Draw(t, "in Base64") {
		body = base64.StdEncoding.EncodeToString([]byte(body))
	}
	value := sim.Quote(body)
	switch rapid.SampledFrom([]string{"", "topic", "topic pushed to a queue", "STREAM", "STREAM with attributes", "parsed"}).Draw(t, "way") {
	case "topic":
		return `{"TopicName":"t","MessageId":"M1","Message":` + value + `}`
	case "topic pushed to a queue":
		value = sim.Quote(`{"TopicName":"t","MessageId":"T1","Message":` + value + `}`)
	case "STREAM":
		return body
	case "STREAM with attributes":
		return `{"body":` + value + `,"attrs":{}}`
	case "parsed":
		if body[0] == '{' {
			value = body
		}
	}
	data := `{"requestId":"R","messageId":"M1","messageBody":` + value + `}`
	if rapid.Bool().Draw(t, "raw") {
		return data
	}
	if rapid.Bool().Draw(t, "data as a string") {
		data = sim.Quote(data)
	}
	return `{"id":"e1","source":"MNS","specversion":"1.0","type":"mns:Queue:SendMessage","data":` + data + `}`
}

func TestEnvelopeProperties(t *testing.T) {
	t.Run("comes back as it was sent through every shape of an event", rapid.MakeCheck(func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(anyEnvelope), 1, 2).Draw(t, "envelopes")
		var elements []string
		for _, e := range want {
			element := wrapped(t, bodyOf(t, e))
			if rapid.Bool().Draw(t, "as a string") || element[0] != '{' {
				element = sim.Quote(element)
			}
			elements = append(elements, element)
		}
		text := "[" + strings.Join(elements, ",") + "]"
		if len(elements) == 1 && rapid.Bool().Draw(t, "alone") {
			text = elements[0]
		}
		var got []queue.Envelope
		for _, d := range sim.Keys(t, sim.Key).Decode([]byte(text), now) {
			if d.Err != nil {
				t.Fatalf("%v in %s", d.Err, text)
			}
			got = append(got, d.Envelope)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	}))
}

// FuzzEnvelope: a job that was read can be sealed again, in any round, and is then read as the same.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(`{"jobId":"job-1","acceptedAt":"2026-01-15T06:28:17Z","number":1,"request":` + bare + `}`))
	f.Add([]byte(`{"jobId":"job-1","caller":"ci","acceptedAt":"2026-01-15T06:28:17.5+08:00","round":2,"number":3,"request":` + bare + `}`))
	f.Add([]byte(`{"jobId":"job-1","acceptedAt":"9999-12-31T23:59:59-01:00","number":1,"request":` + bare + `}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		deliveries := sim.Keys(t, sim.Key).Decode([]byte(sim.Sealed(queue.TypeJob, sim.Key, string(data))), now)
		for _, d := range deliveries {
			if d.Err != nil || d.Callback != nil {
				continue
			}
			if _, err := sim.Keys(t, sim.Key).Seal(d.Envelope); err != nil {
				continue // too large: the worker files it
			}
			wantSame(t, d.Envelope)
			e := d.Envelope
			e.Round, e.Number = 7, 1
			wantSame(t, e)
		}
	})
}

// wantSame sends a job and takes it again.
func wantSame(t *testing.T, e queue.Envelope) {
	t.Helper()
	again := sim.Keys(t, sim.Key).Decode([]byte(bodyOf(t, e)), now.Add(time.Hour))
	if len(again) != 1 || again[0].Err != nil {
		t.Fatalf("got %+v", again)
	}
	if diff := cmp.Diff(e, again[0].Envelope, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
}

// FuzzDeliveries: each message of the dead-letter queue is one delivery or more, each with an id that is the same when the message is read again. What holds a job can be sealed.
func FuzzDeliveries(f *testing.F) {
	job := bodyOf(f, envelope())
	for _, text := range []string{job, event("M7", sim.Quote(job)), "[" + event("M7", `"x"`) + "," + event("M8", sim.Quote(bare)) + "]", "hello", "[]", bare, "[" + event("M1", `{"specversion":"1.0"}`) + ",null]", `{"TopicName":"t","Message":"e30="}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m := queue.Message{ID: "D1", Body: text}
		first, again := sim.Keys(t, sim.Key).Open(m, now), sim.Keys(t, sim.Key).Open(m, now.Add(time.Hour))
		if len(first) == 0 || len(first) != len(again) {
			t.Fatalf("%d deliveries, then %d", len(first), len(again))
		}
		for i, d := range first {
			if d.Err == nil && d.Callback == nil {
				if _, err := sim.Keys(t, sim.Key).Seal(d.Envelope); err != nil || d.Envelope.JobID == "" || d.Envelope.Number < 1 {
					t.Fatalf("accepted %+v: %v", d.Envelope, err)
				}
			}
			if d.MessageID == "" || d.Envelope.JobID != again[i].Envelope.JobID || queue.UnreadableJobID(d) != queue.UnreadableJobID(again[i]) {
				t.Fatalf("%+v, then %+v", d, again[i])
			}
		}
	})
}
