package deadletters_test

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/fault"
	"routinely/shared/routine"
)

func TestGet(t *testing.T) {
	get := func(t *testing.T, s *stage, jobID string) api.DeadLetter {
		t.Helper()
		listed := s.list(t, api.DeadLetterFilter{JobID: jobID}, 1, "").DeadLetters
		if len(listed) != 1 {
			t.Fatalf("%d letters of job %q", len(listed), jobID)
		}
		got, err := s.Get(t.Context(), listed[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	t.Run("tells the whole story", func(t *testing.T) {
		s := newStage(t)
		redrives := []routine.Redrive{{Number: 1, At: dead, By: "ops"}}
		s.die(t, 20, func(_ int, l *queue.DeadLetter) {
			l.Redriven, l.Redrives, l.Progress = 1, redrives, routine.Progress{Routine: routine.Created}
		})
		got := get(t, s, jobID(17))
		d := deadLetter(17)
		want := api.DeadLetter{
			ID: got.ID, Origin: api.Worker, JobID: d.JobID, Kind: d.Kind, Code: d.Code, Message: d.Message, RequestID: "R1",
			Step: d.Step, Hint: d.Hint, Reason: d.Reason, DeadAt: d.DeadAt, Caller: "ci", AcceptedAt: dead, Attempt: 2, Request: d.Request,
			Redriven: 1, Redrives: redrives, Progress: routine.Progress{Routine: routine.Created}, Attempts: d.Attempts,
			Received: &api.Received{MessageID: "M17", Encoding: "text", Body: `{"name":"pr-17","siteId":7,"recordName":"pr-17.example.com"}`},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if n := s.letters(t); n != 20 {
			t.Errorf("%d letters are visible", n)
		}
	})
	for name, test := range map[string]struct {
		body     []byte
		encoding string
	}{
		"text":                       {[]byte("control \x01 and <&>"), "text"},
		"bytes that are not text":    {[]byte{0xff, 0, 0xfe}, "base64"},
		"a body in parts":            {noise(), "base64"},
		"a text that was compressed": {[]byte(strings.Repeat("\x01é", 30_000)), "text"},
	} {
		t.Run("shows the message as it was received: "+name, func(t *testing.T) {
			s := newStage(t)
			s.die(t, 3, func(i int, l *queue.DeadLetter) {
				if i == 1 {
					l.Received = queue.ReceivedBody("M1", test.body)
				}
			})
			got := get(t, s, jobID(1)).Received
			want := &api.Received{MessageID: "M1", Encoding: test.encoding, Body: string(test.body)}
			if test.encoding == "base64" {
				want.Body = base64.StdEncoding.EncodeToString(test.body)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	t.Run("finds the request of a letter in parts that had no room for it", func(t *testing.T) {
		s := newStage(t)
		l := deadLetter(1)
		l.Request = nil
		description := base64.StdEncoding.EncodeToString(noise())
		l.Received = queue.ReceivedBody("M1", []byte(`{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com","description":"`+description+`"}`))
		parts := encode(t, l)
		if len(parts) < 2 {
			t.Fatal("one part")
		}
		s.put(t, parts...)
		if got := get(t, s, jobID(1)).Request; got == nil || got.Name != "pr-1" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("says that not all of it could be seen", func(t *testing.T) {
		s := newStage(t)
		s.put(t, inParts(t, deadLetter(1))[1:]...)
		if got := get(t, s, jobID(1)); !got.Incomplete || got.Received != nil || got.Attempts == nil {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("shows what the trigger could not deliver", func(t *testing.T) {
		s := newStage(t)
		s.put(t, `{"id":"e","source":"x","specversion":"1.0","type":"mns:Queue:SendMessage","data":{"messageId":"M9","messageBody":"rubbish"}}`)
		got := get(t, s, "")
		if got.Origin != api.Trigger || got.Received.MessageID != "M9" || got.Received.Body != "rubbish" || got.Code != queue.CodeUndelivered {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("does not know what is not there", func(t *testing.T) {
		s := newStage(t)
		s.die(t, 3)
		if _, err := s.Get(t.Context(), "other"); !fault.HasKind(err, fault.NotFound) || !fault.HasCode(err, "UnknownDeadLetter") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("does not say so when it has not seen everything", func(t *testing.T) {
		s := newStage(t)
		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond) // less than it keeps for giving back
		defer cancel()
		if _, err := s.Get(ctx, "other"); !fault.HasKind(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
	})
}
