package mnsemu_test

import (
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/mnsemu"
)

func TestDeadLetters(t *testing.T) {
	policy := func(c *mnsemu.Config) {
		c.DeadLetter = map[string]mnsemu.DeadLetterPolicy{"jobs": {TargetQueue: "dead", MaxReceiveCount: 2}}
	}

	t.Run("moves a message when it would be visible again after its last receive", func(t *testing.T) {
		e := start(t, policy)
		q, dead := e.queue(t, "jobs", mns.WithVisibilityTimeout(10)), e.queue(t, "dead")
		sent := send(t, q, "poison")
		for want := range int64(2) {
			if got := mustReceive(t, q); got.DequeueCount != want+1 {
				t.Errorf("got %+v", got)
			}
			e.clock.Advance(10 * time.Second)
		}
		if _, err := receive(q); errorCode(err) != codeMessageNotExist {
			t.Errorf("got %v, want MessageNotExist", err)
		}
		stored := e.messages(t, "dead")
		if len(stored) != 1 {
			t.Fatalf("dead letters: %+v", stored)
		}
		properties := map[string]string{}
		for _, p := range stored[0].SystemProperties {
			properties[p.Name] = p.Value
		}
		want := map[string]string{
			"DLQMessageType": "MaxReceiveCountExceeded", "DLQSourceArn": "acs:mns:cn-local:123456:queues/jobs", "DLQOriginMessageId": sent.MessageId,
		}
		if diff := cmp.Diff(want, properties); diff != "" {
			t.Error(diff)
		}
		got := mustReceive(t, dead)
		if got.MessageBody != "poison" || got.DequeueCount != 1 || got.MessageId == sent.MessageId {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("wakes a long poll on the dead-letter queue", func(t *testing.T) {
		e := start(t, policy)
		q, dead := e.queue(t, "jobs", mns.WithVisibilityTimeout(10)), e.queue(t, "dead")
		send(t, q, "poison")
		mustReceive(t, q)
		e.clock.Advance(10 * time.Second)
		mustReceive(t, q)
		result := make(chan string, 1)
		go func() {
			got, _ := receive(dead, 30)
			result <- got.MessageBody
		}()
		e.awaitPolls(t, "dead", 1)
		e.clock.Advance(10 * time.Second)
		if got := <-result; got != "poison" {
			t.Errorf("got %q", got)
		}
	})

	t.Run("keeps the retention of the first send", func(t *testing.T) {
		e := start(t, policy)
		q := e.queue(t, "jobs", mns.WithVisibilityTimeout(10))
		e.queue(t, "dead", mns.WithMessageRetentionPeriod(60))
		send(t, q, "poison")
		for range 2 {
			mustReceive(t, q)
			e.clock.Advance(10 * time.Second)
		}
		if got := e.messages(t, "dead"); len(got) != 1 {
			t.Fatalf("dead letters: %+v", got)
		}
		e.clock.Advance(40 * time.Second)
		if got := e.messages(t, "dead"); len(got) != 0 {
			t.Errorf("after 60 seconds in all: %+v", got)
		}
	})

	t.Run("leaves the message where it is without the target queue", func(t *testing.T) {
		e := start(t, policy)
		q := e.queue(t, "jobs", mns.WithVisibilityTimeout(10))
		send(t, q, "poison")
		for want := range int64(4) {
			if got := mustReceive(t, q); got.DequeueCount != want+1 {
				t.Errorf("got %+v", got)
			}
			e.clock.Advance(10 * time.Second)
		}
	})
}
