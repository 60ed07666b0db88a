package mnsemu_test

import (
	"strings"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"

	"routinely/deploy/local/mnsemu"
)

func TestQueues(t *testing.T) {
	t.Run("change only the attributes that are named", func(t *testing.T) {
		e := start(t)
		e.queue("jobs", mns.WithPollingWaitSeconds(3))
		e.clock.Advance(time.Minute)
		e.do("PUT", "/queues/jobs?Metaoverride=True",
			`<Queue xmlns="http://mns.aliyuncs.com/doc/v1/"><VisibilityTimeout>60</VisibilityTimeout><LoggingEnabled>TRUE</LoggingEnabled><Unknown/></Queue>`)
		got, err := mns.NewMNSQueueManager(e.client()).GetQueueAttributes("jobs")
		if err != nil || got.VisibilityTimeout != 60 || !got.LoggingEnabled || got.PollingWaitSeconds != 3 || got.LastModifyTime != got.CreateTime+60 {
			t.Errorf("got %+v, %v", got, err)
		}
	})

	t.Run("are listed by prefix, page by page, with attributes if asked for", func(t *testing.T) {
		e := start(t)
		for _, name := range []string{"b-1", "a-2", "a-1"} {
			e.queue(name)
		}
		e.queue("a-3", mns.WithVisibilityTimeout(77)).send("m", 0)
		queues := mns.NewMNSQueueManager(e.client())
		first, err := queues.ListQueue("", 2, "a-")
		check(t, err)
		var got []string
		for _, q := range first.Queues {
			got = append(got, q.QueueURL)
		}
		same(t, []string{"http://" + host + "/queues/a-1", "http://" + host + "/queues/a-2"}, got)
		second, err := queues.ListQueueDetail(first.NextMarker, 2, "a-")
		if err != nil || second.NextMarker != "" || len(second.Attrs) != 1 || second.Attrs[0].VisibilityTimeout != 77 || second.Attrs[0].ActiveMessages != 1 {
			t.Errorf("second page: %+v, %v", second, err)
		}
	})

	t.Run("stop at the limit, and so do topics and subscriptions", func(t *testing.T) {
		e := start(t, func(c *mnsemu.Config) { c.MaxQueues, c.MaxTopics, c.MaxSubscriptions = 1, 1, 1 })
		for _, c := range []struct{ target, body, want string }{
			{"/queues/a", "<Queue/>", ""},
			{"/queues/b", "<Queue/>", "QueueNumExceededLimit"},
			{"/topics/a", "<Topic/>", ""},
			{"/topics/b", "<Topic/>", "TopicNumExceededLimit"},
			{"/topics/a/subscriptions/a", "<Subscription><Endpoint>http://localhost/</Endpoint></Subscription>", ""},
			{"/topics/a/subscriptions/b", "<Subscription><Endpoint>http://localhost/</Endpoint></Subscription>", "SubscriptionNumExceededLimit"},
		} {
			same(t, c.target+" "+c.want, c.target+" "+e.do("PUT", c.target, c.body).text("Code"))
		}
	})
}

func TestAccount(t *testing.T) {
	e := start(t)
	for _, want := range []string{"", "logs"} {
		if r := e.do("GET", "/?accountmeta=true", ""); !strings.Contains(r.body, "<LoggingBucket>"+want+"</LoggingBucket>") {
			t.Errorf("got %+v, want the bucket %q", r, want)
		}
		e.do("PUT", "/?accountmeta=true", `<Account><LoggingBucket>logs</LoggingBucket></Account>`)
	}
	if got, err := mns.NewAccountManager(e.client()).OpenService(); err != nil || got.OrderId == "" {
		t.Errorf("open the service: got %+v, %v", got, err)
	}
}
