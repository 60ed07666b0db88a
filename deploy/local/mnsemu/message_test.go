package mnsemu_test

import (
	"crypto/md5"
	"fmt"
	"regexp"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/google/go-cmp/cmp"
)

func TestSendAndReceive(t *testing.T) {
	t.Run("carries a message from send to delete", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs", mns.WithVisibilityTimeout(40))
		now := e.clock.Now().UnixMilli()
		sent := send(t, q, "a <b> & ü 世界 \"q\"")
		wantMD5 := fmt.Sprintf("%X", md5.Sum([]byte("a <b> & ü 世界 \"q\"")))
		if sent.MessageBodyMD5 != wantMD5 || !regexp.MustCompile(`^[0-9A-F]{32}$`).MatchString(sent.MessageId) || sent.ReceiptHandle != "" {
			t.Errorf("sent %+v", sent)
		}
		e.clock.Advance(2 * time.Second)
		got := mustReceive(t, q)
		want := mns.MessageReceiveResponse{
			MessageId: sent.MessageId, ReceiptHandle: got.ReceiptHandle, MessageBodyMD5: wantMD5, MessageBody: "a <b> & ü 世界 \"q\"",
			EnqueueTime: now, NextVisibleTime: now + 42000, FirstDequeueTime: now + 2000, DequeueCount: 1, Priority: 8,
		}
		want.MessageResponse = got.MessageResponse
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if err := q.DeleteMessage(got.ReceiptHandle); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]storedMessage{}, e.messages(t, "jobs")); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("hides a received message until its visibility timeout", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs", mns.WithVisibilityTimeout(30))
		send(t, q, "again")
		first := mustReceive(t, q)
		e.clock.Advance(30*time.Second - time.Millisecond)
		if _, err := receive(q); errorCode(err) != codeMessageNotExist {
			t.Fatalf("a millisecond early: got %v, want MessageNotExist", err)
		}
		e.clock.Advance(time.Millisecond)
		second := mustReceive(t, q)
		if second.DequeueCount != 2 || second.FirstDequeueTime != first.FirstDequeueTime || second.ReceiptHandle == first.ReceiptHandle {
			t.Errorf("first %+v\nsecond %+v", first, second)
		}
	})

	t.Run("hides a delayed message until its delay is over", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		sent, err := q.SendMessage(mns.MessageSendRequest{MessageBody: "later", Priority: 8, DelaySeconds: 10})
		if err != nil || sent.ReceiptHandle == "" {
			t.Fatalf("a delayed send returned %+v, %v, want a handle", sent, err)
		}
		e.clock.Advance(10*time.Second - time.Millisecond)
		if _, err := receive(q); errorCode(err) != codeMessageNotExist {
			t.Fatalf("a millisecond early: got %v, want MessageNotExist", err)
		}
		e.clock.Advance(time.Millisecond)
		if got := mustReceive(t, q); got.MessageBody != "later" {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("takes the queue's delay when the message has none, and zero from a message that says so", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs", mns.WithDelaySeconds(5))
		e.do(t, raw{method: "POST", target: "/queues/jobs/messages", body: `<Message><MessageBody>queue</MessageBody></Message>`})
		e.do(t, raw{method: "POST", target: "/queues/jobs/messages", body: `<Message><MessageBody>message</MessageBody><DelaySeconds>0</DelaySeconds></Message>`})
		got := map[string]string{}
		for _, m := range e.messages(t, "jobs") {
			got[m.Body] = m.State
		}
		if diff := cmp.Diff(map[string]string{"queue": "delayed", "message": "active"}, got); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("lets the handle of a delayed send release or drop the message", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		var handles []string
		for _, body := range []string{"released", "dropped"} {
			sent, err := q.SendMessage(mns.MessageSendRequest{MessageBody: body, Priority: 8, DelaySeconds: 3600})
			if err != nil {
				t.Fatal(err)
			}
			handles = append(handles, sent.ReceiptHandle)
		}
		if _, err := q.ChangeMessageVisibility(handles[0], 1); err != nil {
			t.Fatal(err)
		}
		if err := q.DeleteMessage(handles[1]); err != nil {
			t.Fatal(err)
		}
		e.clock.Advance(time.Second)
		if got := mustReceive(t, q); got.MessageBody != "released" || got.DequeueCount != 1 {
			t.Errorf("got %+v", got)
		}
		if _, err := receive(q); errorCode(err) != codeMessageNotExist {
			t.Errorf("got %v, want MessageNotExist", err)
		}
	})

	t.Run("gives urgent messages first and equal ones in their order", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		for _, m := range []mns.MessageSendRequest{
			{MessageBody: "c", Priority: 16}, {MessageBody: "b1", Priority: 8}, {MessageBody: "a", Priority: 1}, {MessageBody: "b2", Priority: 8},
		} {
			if _, err := q.SendMessage(m); err != nil {
				t.Fatal(err)
			}
		}
		got, err := batchReceive(q, 16)
		if err != nil {
			t.Fatal(err)
		}
		var bodies []string
		for _, m := range got {
			bodies = append(bodies, m.MessageBody)
		}
		if diff := cmp.Diff([]string{"a", "b1", "b2", "c"}, bodies); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("puts a message that comes back behind those that wait longer", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs", mns.WithVisibilityTimeout(10))
		send(t, q, "old")
		mustReceive(t, q)
		send(t, q, "new")
		e.clock.Advance(10 * time.Second)
		if got := mustReceive(t, q); got.MessageBody != "new" {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("forgets a message when its retention is over, counted from the send", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs", mns.WithMessageRetentionPeriod(60), mns.WithVisibilityTimeout(50))
		send(t, q, "short-lived")
		mustReceive(t, q)
		e.clock.Advance(50 * time.Second)
		mustReceive(t, q)
		e.clock.Advance(10 * time.Second)
		if diff := cmp.Diff([]storedMessage{}, e.messages(t, "jobs")); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("peeks without taking", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		if _, err := peek(q); errorCode(err) != codeMessageNotExist {
			t.Fatalf("empty: got %v, want MessageNotExist", err)
		}
		send(t, q, "look")
		for range 2 {
			got, err := peek(q)
			if err != nil {
				t.Fatal(err)
			}
			if got.MessageBody != "look" || got.DequeueCount != 0 || got.FirstDequeueTime != got.EnqueueTime || got.ReceiptHandle != "" || got.NextVisibleTime != 0 {
				t.Errorf("got %+v", got)
			}
		}
		if got := mustReceive(t, q); got.DequeueCount != 1 {
			t.Errorf("got %+v", got)
		}
	})
}
