package queue_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"routinely/deploy/sim"
	"routinely/queue"
)

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
