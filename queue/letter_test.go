package queue_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

// message is a message as the dead-letter queue gives it.
func message(body string) queue.Message {
	return queue.Message{ID: "D1", Body: body, EnqueuedAt: now}
}

// deadLetter is a job that was given up after two attempts and one redrive.
func deadLetter() queue.DeadLetter {
	request := wish
	return queue.DeadLetter{
		JobID: "job-1", Kind: "operator", Code: "ServiceNotOpen", Message: "not activated", Hint: "activate it", Reason: "not retryable",
		Caller: "ci", AcceptedAt: now.Add(-time.Hour), Attempt: 2, Redriven: 1,
		Redrives: []routine.Redrive{{Number: 1, At: now.Add(-time.Minute), By: "ops"}}, Request: &request,
		Progress: routine.Progress{Routine: routine.Created}, DeadAt: now,
		Attempts: []routine.Attempt{{Number: 1, At: now, Kind: "unavailable", Message: "no answer"}, {Number: 2, Redriven: 1, At: now, Kind: "operator", Message: "not activated"}},
		Received: queue.ReceivedBody("M1", []byte(bare)),
	}
}

func encoded(t *testing.T, e queue.Envelope) string {
	t.Helper()
	body, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestReadLetter(t *testing.T) {
	t.Run("reads what SendDead has sent, every part under one id", func(t *testing.T) {
		noise := make([]byte, 65_000)
		_, _ = rand.NewChaCha8([32]byte{2}).Read(noise)
		want := deadLetter()
		want.Received = queue.ReceivedBody("M1", noise)
		bodies, err := want.Encode()
		if err != nil || len(bodies) < 3 {
			t.Fatalf("%d parts, %v", len(bodies), err)
		}
		parts, seen := map[int]queue.Received{}, map[string]bool{}
		for i := range bodies {
			l := queue.ReadLetter(message(string(bodies[len(bodies)-1-i])))
			if _, ok := queue.JoinParts(parts); ok || l.Undelivered {
				t.Errorf("whole after %d of %d parts, undelivered %t", len(parts), len(bodies), l.Undelivered)
			}
			if _, err := l.Received.Bytes(); !fault.HasCode(err, "UnreadableDeadLetter") {
				t.Errorf("the bytes of a part: %v", err)
			}
			parts[l.Received.Part], seen[l.ID] = l.Received, true
			l.Received = want.Received
			if diff := cmp.Diff(want, l.DeadLetter); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
		whole, ok := queue.JoinParts(parts)
		got, err := whole.Bytes()
		if !ok || err != nil || !bytes.Equal(got, noise) || len(seen) != 1 {
			t.Errorf("whole %t, %v, %d bytes, ids %v", ok, err, len(got), seen)
		}
	})
	t.Run("finds the request of a letter that had no room for it", func(t *testing.T) {
		letter := deadLetter()
		letter.Request = nil
		bodies, err := letter.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got := queue.ReadLetter(message(string(bodies[0]))).Request; got == nil || got.Name != "pr-1" {
			t.Errorf("got %+v", got)
		}
	})
	job := encoded(t, envelope())
	for name, test := range map[string]struct{ body, received, messageID string }{
		"the bare message":         {job, job, ""},
		"the message in Base64":    {base64.StdEncoding.EncodeToString([]byte(job)), base64.StdEncoding.EncodeToString([]byte(job)), ""},
		"the trigger's event":      {event("M7", quote(t, job)), job, "M7"},
		"the event in an array":    {"[" + event("M7", quote(t, job)) + "]", job, "M7"},
		"the event's data":         {`{"messageId":"M7","messageBody":` + quote(t, job) + `}`, job, "M7"},
		"a body that was parsed":   {event("M7", job), job, "M7"},
		"an event in Base64 body":  {event("M7", quote(t, base64.StdEncoding.EncodeToString([]byte(job)))), base64.StdEncoding.EncodeToString([]byte(job)), "M7"},
		"an array of JSON strings": {"[" + quote(t, event("M7", quote(t, job))) + "]", job, "M7"},
	} {
		t.Run("reads what the trigger could not deliver: "+name, func(t *testing.T) {
			got := queue.ReadLetter(message(test.body))
			e := envelope()
			if !got.Undelivered || got.ID != "D1" || got.Code != queue.CodeUndelivered || got.Hint == "" || !got.DeadAt.Equal(now) {
				t.Errorf("got %+v", got)
			}
			if diff := cmp.Diff(&e.Request, got.Request); diff != "" || got.JobID != e.JobID || got.Attempt != e.Attempt || got.Progress != e.Progress {
				t.Errorf("got %+v, request -want +got:\n%s", got, diff)
			}
			if want := (queue.Received{MessageID: test.messageID, Encoding: queue.Text, Body: test.received}); got.Received != want {
				t.Errorf("received %+v, want %+v", got.Received, want)
			}
		})
	}
	t.Run("gives a request without a job id the same one each time", func(t *testing.T) {
		first, second := queue.ReadLetter(message(bare)), queue.ReadLetter(message(bare))
		if first.JobID == "" || first.JobID != second.JobID {
			t.Errorf("%q and %q", first.JobID, second.JobID)
		}
	})
	for name, body := range map[string]string{
		"text": "hello", "nothing": "", "a JSON string": `"hello"`, "an empty array": "[]", "a number": "17",
		"a letter without time":       `{"type":"routinely.dead-letter.v1","subject":"x","data":{}}`,
		"a letter without a subject":  `{"type":"routinely.dead-letter.v1","data":{"deadAt":"2026-01-01T00:00:00Z"}}`,
		"a part that cannot be":       `{"type":"routinely.dead-letter.v1","subject":"x","data":{"deadAt":"2026-01-01T00:00:00Z","received":{"part":3,"parts":2}}}`,
		"a part before the first one": `{"type":"routinely.dead-letter.v1","subject":"x","data":{"deadAt":"2026-01-01T00:00:00Z","received":{"part":-1,"parts":2}}}`,
	} {
		t.Run("takes anything else as it is: "+name, func(t *testing.T) {
			got := queue.ReadLetter(message(body))
			want := queue.Received{Encoding: queue.Text, Body: body}
			if !got.Undelivered || got.ID != "D1" || got.Request != nil || got.Received != want {
				t.Errorf("got %+v", got)
			}
		})
	}
	t.Run("says what is wrong with a request", func(t *testing.T) {
		if got := queue.ReadLetter(message(`{"name":"ab"}`)); len(got.Problems) != 2 || got.JobID != "" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestReceivedBytes(t *testing.T) {
	const member = 128 << 10
	t.Run("refuses a gzip bomb, and does not fill the memory with it", func(t *testing.T) {
		var before, after runtime.MemStats
		bomb := queue.Received{Encoding: queue.GzipBase64, Body: zeros(t, (64<<20)/member, member)}
		runtime.ReadMemStats(&before)
		_, err := bomb.Bytes()
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 || !fault.HasCode(err, "UnreadableDeadLetter") || !fault.HasKind(err, fault.Invalid) {
			t.Errorf("%d bytes were used, %v", used, err)
		}
	})
	t.Run("opens what is within the bound", func(t *testing.T) {
		if got, err := (queue.Received{Encoding: queue.GzipBase64, Body: zeros(t, (4<<20)/member, member)}).Bytes(); err != nil || len(got) != 4<<20 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	for name, r := range map[string]queue.Received{
		"a gzip that ends early": {Encoding: queue.GzipBase64, Body: zeros(t, 1, 1000)[:20]},
		"what is not gzip":       {Encoding: queue.GzipBase64, Body: "aGVsbG8="},
		"what is not Base64":     {Encoding: queue.Base64, Body: "%"},
		"an unknown encoding":    {Encoding: "rot13", Body: "uryyb"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if got, err := r.Bytes(); !fault.HasCode(err, "UnreadableDeadLetter") || !fault.HasKind(err, fault.Invalid) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

func TestRedrive(t *testing.T) {
	later := now.Add(time.Hour)
	redrive := func(t *testing.T, d queue.DeadLetter) []queue.Redelivery {
		t.Helper()
		got, err := d.Redrive(later, "ops", "bill paid")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got {
			if m.Job != nil && m.Body != encoded(t, *m.Job) {
				t.Errorf("the body is not the job's: %s", m.Body)
			}
		}
		return got
	}
	again := routine.Redrive{Number: 1, At: later, By: "ops", Reason: "bill paid"}
	second := again
	second.Number = 2
	t.Run("begins another round of the job, with its history", func(t *testing.T) {
		d := deadLetter()
		want := queue.Envelope{
			JobID: "job-1", Caller: "ci", AcceptedAt: d.AcceptedAt, Attempt: 1, Redriven: 2, Redrives: []routine.Redrive{d.Redrives[0], second},
			Request: wish, Progress: d.Progress, Failures: d.Attempts,
		}
		if diff := cmp.Diff(want, *redrive(t, d)[0].Job); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if len(d.Redrives) != 1 || d.Redriven != 1 {
			t.Errorf("the letter was changed: %+v", d)
		}
	})
	t.Run("finds the job in the message when the letter has no request", func(t *testing.T) {
		d := deadLetter()
		d.Request = nil
		if got := redrive(t, d)[0].Job; got == nil || got.JobID != "job-1" || got.Redriven != 2 || len(got.Failures) != 2 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("takes a job that only the message knows whole", func(t *testing.T) {
		want := envelope()
		d := queue.DeadLetter{DeadAt: now, Received: queue.ReceivedBody("M1", []byte(encoded(t, want)))}
		want.Attempt, want.HandedBack, want.Redriven, want.Redrives = 1, 0, 1, []routine.Redrive{again}
		if diff := cmp.Diff(want, *redrive(t, d)[0].Job); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("gives a request that was never a job the id it has by its message", func(t *testing.T) {
		d := queue.DeadLetter{DeadAt: now, Received: queue.ReceivedBody("M1", []byte(bare))}
		want := one(t, event("M1", quote(t, bare))).Envelope.JobID
		if got := redrive(t, d)[0].Job; got == nil || got.JobID != want {
			t.Errorf("got %+v, want job %s", got, want)
		}
	})
	for name, body := range map[string]string{
		"text": "hello \x01 <&>", "a JSON string": `"hello"`, "a bad request": `{"name":"ab"}`, "bytes": "\xff\x00", "an empty array": "[]",
	} {
		t.Run("sends back byte for byte what holds no job: "+name, func(t *testing.T) {
			got := redrive(t, queue.DeadLetter{DeadAt: now, Received: queue.ReceivedBody("M1", []byte(body))})
			if diff := cmp.Diff([]queue.Redelivery{{Body: body}}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	t.Run("takes an event of several messages apart", func(t *testing.T) {
		l := queue.ReadLetter(message("[" + event("M1", quote(t, bare)) + "," + event("M2", `"rubbish"`) + "," + event("M3", quote(t, encoded(t, envelope()))) + "]"))
		got := redrive(t, l.DeadLetter)
		if len(got) != 3 || got[0].Job == nil || got[1].Job != nil || got[1].Body != "rubbish" || got[2].Job == nil || got[2].Job.JobID != "job-1" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("drops the oldest history until the message fits, never the latest redrive", func(t *testing.T) {
		d := deadLetter()
		for i := range 4 {
			d.Redrives = append(d.Redrives, routine.Redrive{Number: i + 2, At: now, Reason: strings.Repeat("r", 200)})
		}
		d.Redriven = 5
		kept := map[int]bool{}
		for room := 500; room < 2_000; room += 60 { // an attempt takes more than 60 bytes
			description := strings.Repeat("x", queue.MaxMessageBytes-room)
			d.Request.Description = &description
			all, err := d.Redrive(later, "ops", "bill paid")
			if err != nil {
				t.Fatal(err)
			}
			job := all[0].Job
			kept[len(job.Failures)+len(job.Redrives)] = true
			if n := len(job.Redrives); len(all[0].Body) > queue.MaxMessageBytes || n == 0 || job.Redrives[n-1].Number != 6 || !job.Since().Equal(later) {
				t.Fatalf("%d bytes, redrives %+v", len(all[0].Body), job.Redrives)
			}
			if n := len(job.Failures); n > 0 && job.Failures[n-1].Number != 2 {
				t.Errorf("kept the older failures: %+v", job.Failures)
			}
		}
		if diff := cmp.Diff(map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true}, kept); diff != "" {
			t.Errorf("lengths of the history that is kept -want +got:\n%s", diff)
		}
		whole := strings.Repeat("x", queue.MaxMessageBytes-100)
		d.Request.Description = &whole
		if _, err := d.Redrive(later, "", ""); !fault.HasCode(err, "MessageTooLarge") || !fault.HasKind(err, fault.Invalid) {
			t.Errorf("got %v", err)
		}
	})
	for name, test := range map[string]struct {
		received queue.Received
		code     string
	}{
		"an empty message":              {queue.ReceivedBody("M1", nil), "EmptyMessage"},
		"a message that MNS never took": {queue.ReceivedBody("M1", bytes.Repeat([]byte("x"), queue.MaxMessageBytes+1)), "MessageTooLarge"},
		"bytes that grow too large":     {queue.ReceivedBody("M1", bytes.Repeat([]byte{0xff}, 60_000)), "MessageTooLarge"},
		"a broken body":                 {queue.Received{Encoding: queue.Base64, Body: "%"}, "UnreadableDeadLetter"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			got, err := (queue.DeadLetter{DeadAt: now, Received: test.received}).Redrive(later, "", "")
			if !fault.HasCode(err, test.code) || fault.From(err).Hint == "" {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestEnvelopeRedrive(t *testing.T) {
	t.Run("counts the age from the latest redrive", func(t *testing.T) {
		e := envelope()
		if !e.Since().Equal(e.AcceptedAt) {
			t.Errorf("since %s before a redrive", e.Since())
		}
		e.Redrive(now.Add(time.Hour), "ops", "why")
		if !e.Since().Equal(now.Add(time.Hour)) || e.Attempt != 1 || e.HandedBack != 0 || e.Redriven != 1 {
			t.Errorf("got %+v, since %s", e, e.Since())
		}
		if e.Progress != envelope().Progress || len(e.Failures) != 1 {
			t.Errorf("the history is gone: %+v", e)
		}
	})
	t.Run("keeps the latest redrives, cut to size, in the room kept for them", func(t *testing.T) {
		e := envelope()
		before := len(encoded(t, e))
		for i := range 20 {
			e.Redrive(now.Add(time.Duration(i)*time.Minute), strings.Repeat("é", 500), strings.Repeat("é", 500))
		}
		if n := len(e.Redrives); n != 5 || e.Redrives[0].Number != 16 || e.Redriven != 20 || !e.Since().Equal(now.Add(19*time.Minute)) {
			t.Errorf("got %d of %d redrives, the first is %d", n, e.Redriven, e.Redrives[0].Number)
		}
		if grew := len(encoded(t, e)) - before; grew > 5*600 {
			t.Errorf("grew by %d bytes", grew)
		}
	})
	t.Run("does not share its history with a copy", func(t *testing.T) {
		e := envelope()
		e.Redrive(now, "", "")
		left, right := e, e
		left.Redrive(now, "left", "")
		right.Redrive(now, "right", "")
		if left.Redrives[1].By != "left" || len(e.Redrives) != 1 {
			t.Errorf("got %+v and %+v", left.Redrives, e.Redrives)
		}
	})
	t.Run("makes a message of its own", func(t *testing.T) {
		ids := map[string]bool{}
		e := envelope()
		for range 3 {
			var message struct{ ID string }
			if err := json.Unmarshal([]byte(encoded(t, e)), &message); err != nil {
				t.Fatal(err)
			}
			ids[message.ID] = true
			e.Redrive(now, "", "")
			e.Attempt, e.HandedBack = envelope().Attempt, envelope().HandedBack
		}
		if len(ids) != 3 {
			t.Error(fmt.Sprint(ids))
		}
	})
	t.Run("comes back as it was sent", func(t *testing.T) {
		e := envelope()
		e.Redrive(now, "ops", "why")
		if diff := cmp.Diff(e, one(t, event("M1", quote(t, encoded(t, e)))).Envelope); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}
