package queue_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"routinely/queue"
	"routinely/shared/fault"
)

// FuzzEnvelope asserts that what was taken for a job of ours can be sent again, whatever happens to it, and is then the same.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(`{"jobId":"job-1","acceptedAt":"2026-01-15T06:28:17Z","attempt":1,"request":` + bare + `}`))
	f.Add([]byte(`{"jobId":"job-1","caller":"ci","acceptedAt":"2026-01-15T06:28:17.5+08:00","attempt":2,"handedBack":3,"redriven":1,` +
		`"redrives":[{"number":1,"at":"2026-01-15T06:28:17Z","by":"ops"}],"request":` + bare + `,"progress":{"routine":"created"},` +
		`"failures":[{"number":1,"at":"2026-01-15T06:28:17Z","kind":"unavailable","message":"no answer"}]}`))
	f.Add([]byte(`{"jobId":"job-1","acceptedAt":"9999-12-31T23:59:59-01:00","attempt":1,"request":` + bare + `}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		deliveries := queue.Decode(append(append([]byte(`{"specversion":"1.0","id":"1","source":"/x","type":"routinely.job.v1","data":`), data...), '}'), now)
		for _, d := range deliveries {
			if d.Err != nil {
				continue
			}
			wantSame(t, d.Envelope)
			e := d.Envelope
			e.Fail(envelope().Failures[0])
			e.Redrive(now, "ops", "why")
			wantSame(t, e)
		}
	})
}

// wantSame sends a job and takes it again.
func wantSame(t *testing.T, e queue.Envelope) {
	t.Helper()
	again := queue.Decode([]byte(bodyOf(t, e)), now.Add(time.Hour))
	if len(again) != 1 || again[0].Err != nil {
		t.Fatalf("got %+v", again)
	}
	if diff := cmp.Diff(e, again[0].Envelope, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
}

// FuzzReadLetter asserts that every message of the dead-letter queue is a letter, which keeps what was received or says that it
// is a part, and that its redrive makes messages that fit or is refused.
func FuzzReadLetter(f *testing.F) {
	letter := deadLetter()
	bodies, err := letter.Encode()
	if err != nil {
		f.Fatal(err)
	}
	job := bodyOf(f, envelope())
	for _, text := range []string{
		string(bodies[0]), job, event("M7", written(f, job)), "[" + event("M7", `"x"`) + "," + event("M8", written(f, bare)) + "]", "hello",
		`{"type":"routinely.dead-letter.v1","subject":"x","data":{"deadAt":"2026-01-01T00:00:00Z","received":{"encoding":"base64","body":"eA==","part":1,"parts":2}}}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := queue.ReadLetter(queue.Message{ID: "D1", Body: text, EnqueuedAt: now})
		if l.MessageID != "D1" || l.ID == "" || l.DeadAt.IsZero() || l.Undelivered && l.ID != "D1" {
			t.Fatalf("got %+v", l)
		}
		if r := l.Received; r.Parts > 1 && (r.Part < 1 || r.Part > r.Parts) {
			t.Fatalf("part %d of %d", r.Part, r.Parts)
		}
		wantFits(t, l.DeadLetter)
		redeliveries, err := l.Redrive(now.Add(time.Hour), "ops", "why")
		if err != nil {
			return
		}
		for _, m := range redeliveries {
			if weight(m.Body) > queue.MaxMessageBytes || m.Job != nil && (m.Job.Attempt != 1 || l.JobID != "" && m.Job.JobID != l.JobID) {
				t.Fatalf("got %+v", m)
			}
		}
		if again, err := l.Redrive(now.Add(time.Hour), "ops", "why"); err != nil || !cmp.Equal(redeliveries, again) {
			t.Fatalf("the second redrive is another: %v", err)
		}
	})
}

// wantFits sends a letter anew: what it received comes back.
func wantFits(t *testing.T, l queue.DeadLetter) {
	t.Helper()
	received, err := l.Received.Bytes()
	if err != nil {
		return
	}
	l.Received = queue.ReceivedBody(l.Received.MessageID, received)
	bodies, err := l.Encode()
	parts := map[int]queue.Received{}
	for _, body := range bodies {
		if weight(string(body)) > queue.MaxMessageBytes {
			t.Fatalf("a message of %d bytes", weight(string(body)))
		}
		part := queue.ReadLetter(queue.Message{ID: "D1", Body: string(body), EnqueuedAt: now})
		parts[part.Received.Part] = part.Received
	}
	whole, ok := queue.JoinParts(parts)
	if got, broken := whole.Bytes(); err == nil && (!ok || broken != nil || !bytes.Equal(got, received)) {
		t.Fatalf("whole %t, %v, %d bytes of %d", ok, broken, len(got), len(received))
	}
}

// FuzzReceivedBytes asserts that a body of any encoding is opened within bounds or refused.
func FuzzReceivedBytes(f *testing.F) {
	f.Add("text", "hello", 0, 0)
	f.Add("base64", "aGVsbG8=", 1, 1)
	f.Add("gzip+base64", zeros(f, 1, 100), 0, 0)
	if !testing.Short() { // TestReceivedBytes opens one
		f.Add("gzip+base64", zeros(f, 5, 1<<20), 0, 0)
	}
	f.Fuzz(func(t *testing.T, encoding, body string, part, parts int) {
		r := queue.Received{Encoding: encoding, Body: body, Part: part, Parts: parts}
		got, err := r.Bytes()
		switch {
		case err != nil && !fault.HasCode(err, "UnreadableDeadLetter"):
			t.Fatal(err)
		case err != nil:
		case parts > 1 || len(got) > 4<<20 || encoding != queue.GzipBase64 && len(got) > len(body):
			t.Fatalf("part %d of %d: %d bytes of %q", part, parts, len(got), encoding)
		case encoding == queue.Text && string(got) != body:
			t.Fatalf("got %q", got)
		}
		if whole, ok := queue.JoinParts(map[int]queue.Received{part: r}); ok != (parts <= 1) || ok && (whole.Body != body || whole.Parts != 0) {
			t.Fatalf("whole %t: %+v", ok, whole)
		}
	})
}

// zeros compresses several times so many zeros: a gzip of several members is their contents in a row.
func zeros(t testing.TB, members, size int) string {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(out.String(), members)))
}
