package mnsemu_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"routinely/deploy/local/mnsemu"
)

func TestQueueAdministration(t *testing.T) {
	t.Run("creates a queue with the service's defaults", func(t *testing.T) {
		e := start(t, nil)
		queues := mns.NewMNSQueueManager(e.client())
		if err := queues.CreateSimpleQueue("jobs"); err != nil {
			t.Fatal(err)
		}
		got, err := queues.GetQueueAttributes("jobs")
		if err != nil {
			t.Fatal(err)
		}
		now := e.clock.Now().Unix()
		want := mns.QueueAttribute{
			QueueName: "jobs", MaxMessageSize: 65536, MessageRetentionPeriod: 345600, VisibilityTimeout: 30,
			CreateTime: now, LastModifyTime: now,
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(got, "XMLName")); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("tells an equal queue from a different one on creation", func(t *testing.T) {
		e := start(t, nil)
		queues := mns.NewMNSQueueManager(e.client())
		var got []uint64
		for _, visibility := range []int32{30, 30, 31} {
			got = append(got, errorCode(queues.CreateQueueWithOptions("jobs", mns.WithVisibilityTimeout(visibility))))
		}
		if diff := cmp.Diff([]uint64{0, codeEqualExists, codeQueueAlreadyExist}, got); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("says where the queue is, by the host that was called", func(t *testing.T) {
		e := start(t, nil)
		var got []string
		for range 2 {
			r := e.do(t, raw{method: "PUT", target: "/queues/jobs", body: `<Queue/>`})
			got = append(got, fmt.Sprint(r.status, " ", r.header.Get("Location")))
		}
		url := "http://" + host + "/queues/jobs"
		if diff := cmp.Diff([]string{"201 " + url, "204 " + url}, got); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("ignores a slash at the end of a path", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs")
		if r := e.do(t, raw{method: "GET", target: "/queues/jobs/"}); r.text("QueueName") != "jobs" {
			t.Errorf("got %+v", r)
		}
	})

	t.Run("changes only the attributes that are named", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs", mns.WithPollingWaitSeconds(3))
		e.clock.Advance(time.Minute)
		r := e.do(t, raw{method: "PUT", target: "/queues/jobs?Metaoverride=True", body: `<Queue xmlns="http://mns.aliyuncs.com/doc/v1/"><VisibilityTimeout>60</VisibilityTimeout><LoggingEnabled>TRUE</LoggingEnabled><Unknown/></Queue>`})
		if r.status != http.StatusNoContent {
			t.Fatal(r)
		}
		got, err := mns.NewMNSQueueManager(e.client()).GetQueueAttributes("jobs")
		if err != nil {
			t.Fatal(err)
		}
		if got.VisibilityTimeout != 60 || !got.LoggingEnabled || got.PollingWaitSeconds != 3 || got.LastModifyTime != got.CreateTime+60 {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("deletes a queue with its messages, and a missing one too", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		send(t, q, "lost")
		queues := mns.NewMNSQueueManager(e.client())
		for range 2 {
			if err := queues.DeleteQueue("jobs"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := receive(q); errorCode(err) != codeQueueNotExist {
			t.Errorf("receive after delete: got %v, want QueueNotExist", err)
		}
		if err := queues.CreateSimpleQueue("jobs"); err != nil {
			t.Fatal(err)
		}
		if _, err := receive(q); errorCode(err) != codeMessageNotExist {
			t.Errorf("receive from the new queue: got %v, want MessageNotExist", err)
		}
	})

	t.Run("lists queues by prefix, page by page", func(t *testing.T) {
		e := start(t, nil)
		for _, name := range []string{"b-1", "a-3", "a-1", "a-2"} {
			e.queue(t, name)
		}
		queues := mns.NewMNSQueueManager(e.client())
		var pages []string
		marker := ""
		for {
			page, err := queues.ListQueue(marker, 2, "a-")
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range page.Queues {
				pages = append(pages, strings.TrimPrefix(q.QueueURL, "http://"+host+"/queues/"))
			}
			pages = append(pages, "|")
			if marker = page.NextMarker; marker == "" {
				break
			}
		}
		if diff := cmp.Diff([]string{"a-1", "a-2", "|", "a-3", "|"}, pages); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("lists attributes when asked for them", func(t *testing.T) {
		e := start(t, nil)
		send(t, e.queue(t, "jobs", mns.WithVisibilityTimeout(77)), "one")
		list, err := mns.NewMNSQueueManager(e.client()).ListQueueDetail("", 0, "")
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Attrs) != 1 || list.Attrs[0].QueueName != "jobs" || list.Attrs[0].VisibilityTimeout != 77 || list.Attrs[0].ActiveMessages != 1 {
			t.Errorf("got %+v", list.Attrs)
		}
	})

	t.Run("counts active, inactive and delayed messages", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		for _, delay := range []int64{0, 0, 0, 5, 5} {
			if _, err := q.SendMessage(mns.MessageSendRequest{MessageBody: "m", Priority: 8, DelaySeconds: delay}); err != nil {
				t.Fatal(err)
			}
		}
		mustReceive(t, q)
		got, err := mns.NewMNSQueueManager(e.client()).GetQueueAttributes("jobs")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int64{2, 1, 2}, []int64{got.ActiveMessages, got.InactiveMessages, got.DelayMessages}); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("stops at the limit of queues", func(t *testing.T) {
		e := start(t, func(c *mnsemu.Config) { c.MaxQueues = 1 })
		e.queue(t, "first")
		r := e.do(t, raw{method: "PUT", target: "/queues/second", body: `<Queue/>`})
		if r.status != 400 || r.text("Code") != "QueueNumExceededLimit" {
			t.Errorf("got %+v", r)
		}
	})
}

func TestAccount(t *testing.T) {
	t.Run("keeps the logging bucket", func(t *testing.T) {
		e := start(t, nil)
		if r := e.do(t, raw{method: "GET", target: "/?accountmeta=true"}); r.status != 200 || !strings.Contains(r.body, "<LoggingBucket></LoggingBucket>") {
			t.Errorf("a new account: got %+v", r)
		}
		if r := e.do(t, raw{method: "PUT", target: "/?accountmeta=true", body: `<Account><LoggingBucket>logs</LoggingBucket></Account>`}); r.status != 204 {
			t.Errorf("set: got %+v", r)
		}
		if r := e.do(t, raw{method: "GET", target: "/?accountmeta=true"}); r.text("LoggingBucket") != "logs" {
			t.Errorf("get: got %+v", r)
		}
	})

	t.Run("opens the service", func(t *testing.T) {
		e := start(t, nil)
		got, err := mns.NewAccountManager(e.client()).OpenService()
		if err != nil || got.OrderId == "" {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
