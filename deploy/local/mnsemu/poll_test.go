package mnsemu_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
)

func TestLongPoll(t *testing.T) {
	// poll starts a receive that waits and returns where its result will be.
	poll := func(e *emulator, name string, wait ...int64) chan mns.MessageReceiveResponse {
		out := make(chan mns.MessageReceiveResponse, 1)
		q := mns.NewMNSQueue(name, e.client(), 1<<30)
		go func() {
			got, err := receive(q, wait...)
			if err != nil {
				got.Code = fmt.Sprint(errorCode(err))
			}
			out <- got
		}()
		return out
	}

	t.Run("answers the moment a message is sent", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		result := poll(e, "jobs", 30)
		e.awaitPolls(t, "jobs", 1)
		send(t, q, "now")
		if got := <-result; got.MessageBody != "now" {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("answers the moment a delay is over", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		if _, err := q.SendMessage(mns.MessageSendRequest{MessageBody: "later", Priority: 8, DelaySeconds: 7}); err != nil {
			t.Fatal(err)
		}
		result := poll(e, "jobs", 30)
		e.awaitPolls(t, "jobs", 1)
		e.clock.Advance(7 * time.Second)
		if got := <-result; got.MessageBody != "later" || got.FirstDequeueTime-got.EnqueueTime != 7000 {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("answers the moment a visibility timeout is over, also one that was shortened meanwhile", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs", mns.WithVisibilityTimeout(20))
		send(t, q, "again")
		handle := mustReceive(t, q).ReceiptHandle
		result := poll(e, "jobs", 30)
		e.awaitPolls(t, "jobs", 1)
		if _, err := q.ChangeMessageVisibility(handle, 3); err != nil {
			t.Fatal(err)
		}
		e.clock.Advance(3 * time.Second)
		if got := <-result; got.DequeueCount != 2 {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("ends with MessageNotExist when its time is over, the queue's own when none is given", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs", mns.WithPollingWaitSeconds(4))
		for _, wait := range [][]int64{{2}, nil} {
			result := poll(e, "jobs", wait...)
			e.awaitPolls(t, "jobs", 1)
			e.clock.Advance(4 * time.Second)
			if got := <-result; got.Code != fmt.Sprint(codeMessageNotExist) {
				t.Errorf("wait %v: got %+v", wait, got)
			}
		}
	})

	t.Run("does not wait when told zero", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs", mns.WithPollingWaitSeconds(30))
		if r := e.do(t, raw{method: "GET", target: "/queues/jobs/messages?waitseconds=0"}); r.status != 404 || r.text("Code") != "MessageNotExist" {
			t.Errorf("got %+v", r)
		}
	})

	t.Run("serves each of several polls once, the oldest first", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		first := poll(e, "jobs", 30)
		e.awaitPolls(t, "jobs", 1)
		second := poll(e, "jobs", 30)
		e.awaitPolls(t, "jobs", 2)
		send(t, q, "one")
		if got := <-first; got.MessageBody != "one" {
			t.Errorf("the older poll got %+v", got)
		}
		send(t, q, "two")
		if got := <-second; got.MessageBody != "two" {
			t.Errorf("the younger poll got %+v", got)
		}
	})

	t.Run("ends when its queue is deleted", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs")
		result := poll(e, "jobs", 30)
		e.awaitPolls(t, "jobs", 1)
		if err := mns.NewMNSQueueManager(e.client()).DeleteQueue("jobs"); err != nil {
			t.Fatal(err)
		}
		if got := <-result; got.Code != fmt.Sprint(codeQueueNotExist) {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("ends when the server stops", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs")
		result := poll(e, "jobs", 30)
		e.awaitPolls(t, "jobs", 1)
		e.Stop()
		if got := <-result; got.Code != fmt.Sprint(codeMessageNotExist) {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("is forgotten when its caller goes away, and takes no message with it", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		gone := mns.NewAliMNSClientWithConfig(mns.AliMNSClientConfig{
			EndPoint: "http://" + host, AccessKeyId: accessKey, AccessKeySecret: secretKey, TimeoutSecond: 35,
		})
		dialed := &hangUp{address: strings.TrimPrefix(e.url, "http://")}
		gone.SetTransport(dialed)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = receive(mns.NewMNSQueue("jobs", gone, 1<<30), 30)
		}()
		e.awaitPolls(t, "jobs", 1)
		dialed.hangUp()
		e.awaitPolls(t, "jobs", 0)
		send(t, q, "kept")
		if got := mustReceive(t, q); got.DequeueCount != 1 {
			t.Errorf("got %+v", got)
		}
		<-done
	})
}
