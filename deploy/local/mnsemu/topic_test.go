package mnsemu_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"routinely/deploy/local/mnsemu"
)

// topic creates a topic with the SDK and returns it.
func (e *emulator) topic(t *testing.T, name string) mns.AliMNSTopic {
	t.Helper()
	client := e.client()
	if err := mns.NewMNSTopicManager(client).CreateSimpleTopic(name); err != nil {
		t.Fatal(err)
	}
	return mns.NewMNSTopic(name, client, 1<<30)
}

func subscribe(t *testing.T, topic mns.AliMNSTopic, name string, s mns.MessageSubsribeRequest) {
	t.Helper()
	if err := topic.Subscribe(name, s); err != nil {
		t.Fatal(err)
	}
}

func publish(t *testing.T, topic mns.AliMNSTopic, body, tag string) mns.MessageSendResponse {
	t.Helper()
	sent, err := topic.PublishMessage(mns.MessagePublishRequest{MessageBody: body, MessageTag: tag})
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

func TestTopicAdministration(t *testing.T) {
	t.Run("creates, changes, lists and deletes topics", func(t *testing.T) {
		e := start(t, nil)
		e.topic(t, "news")
		topics := mns.NewMNSTopicManager(e.client())
		const equal, different = 209, 203
		if err := topics.CreateSimpleTopic("news"); errorCode(err) != equal {
			t.Errorf("an equal topic: got %v", err)
		}
		if err := topics.CreateTopic("news", 2048, false); errorCode(err) != different {
			t.Errorf("a different topic: got %v", err)
		}
		if err := topics.SetTopicAttributes("news", 2048, true); err != nil {
			t.Fatal(err)
		}
		got, err := topics.GetTopicAttributes("news")
		if err != nil {
			t.Fatal(err)
		}
		now := e.clock.Now().Unix()
		want := mns.TopicAttribute{TopicName: "news", MaxMessageSize: 2048, MessageRetentionPeriod: 86400, LoggingEnabled: true, CreateTime: now, LastModifyTime: now}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(got, "XMLName")); diff != "" {
			t.Error(diff)
		}
		list, err := topics.ListTopic("", 0, "n")
		if err != nil || len(list.Topics) != 1 || list.Topics[0].TopicURL != "http://"+host+"/topics/news" {
			t.Errorf("list: got %+v, %v", list, err)
		}
		details, err := topics.ListTopicDetail("", 0, "")
		if err != nil || len(details.Attrs) != 1 || details.Attrs[0].MaxMessageSize != 2048 {
			t.Errorf("list with attributes: got %+v, %v", details, err)
		}
		if err := topics.DeleteTopic("news"); err != nil {
			t.Fatal(err)
		}
		const notExist = 202
		if _, err := topics.GetTopicAttributes("news"); errorCode(err) != notExist {
			t.Errorf("after delete: got %v", err)
		}
	})

	t.Run("subscribes, changes the strategy, lists and unsubscribes", func(t *testing.T) {
		e := start(t, nil)
		topic := e.topic(t, "news")
		request := mns.MessageSubsribeRequest{Endpoint: "http://www.example.com", FilterTag: "urgent", NotifyContentFormat: mns.SIMPLIFIED}
		subscribe(t, topic, "one", request)
		const equal, different = 210, 206
		if err := topic.Subscribe("one", request); errorCode(err) != equal {
			t.Errorf("an equal subscription: got %v", err)
		}
		request.NotifyContentFormat = mns.XML
		if err := topic.Subscribe("one", request); errorCode(err) != different {
			t.Errorf("a different subscription: got %v", err)
		}
		if err := topic.SetSubscriptionAttributes("one", mns.EXPONENTIAL_DECAY_RETRY); err != nil {
			t.Fatal(err)
		}
		got, err := topic.GetSubscriptionAttributes("one")
		if err != nil {
			t.Fatal(err)
		}
		now := e.clock.Now().Unix()
		want := mns.SubscriptionAttribute{
			SubscriptionName: "one", Subscriber: account, TopicOwner: account, TopicName: "news", Endpoint: "http://www.example.com",
			NotifyStrategy: mns.EXPONENTIAL_DECAY_RETRY, NotifyContentFormat: mns.SIMPLIFIED, FilterTag: "urgent", CreateTime: now, LastModifyTime: now,
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(got, "XMLName")); diff != "" {
			t.Error(diff)
		}
		subscribe(t, topic, "two", mns.MessageSubsribeRequest{Endpoint: topic.GenerateMailEndpoint("a@example.com")})
		page, err := topic.ListSubscriptionByTopic("", 1, "")
		if err != nil || len(page.Subscriptions) != 1 || page.NextMarker == "" {
			t.Fatalf("first page: got %+v, %v", page, err)
		}
		page, err = topic.ListSubscriptionByTopic(page.NextMarker, 1, "")
		if err != nil || len(page.Subscriptions) != 1 || page.NextMarker != "" || !strings.HasSuffix(page.Subscriptions[0].SubscriptionURL, "/topics/news/subscriptions/two") {
			t.Errorf("second page: got %+v, %v", page, err)
		}
		details, err := topic.ListSubscriptionDetailByTopic("", 0, "on")
		if err != nil || len(details.Attrs) != 1 || details.Attrs[0].FilterTag != "urgent" {
			t.Errorf("with attributes: got %+v, %v", details, err)
		}
		if err := topic.Unsubscribe("one"); err != nil {
			t.Fatal(err)
		}
		if _, err := topic.GetSubscriptionAttributes("one"); err == nil || !strings.Contains(err.Error(), "SubscriptionNotExist") {
			t.Errorf("after unsubscribing: got %v", err)
		}
	})

	t.Run("stops at the limits", func(t *testing.T) {
		e := start(t, func(c *mnsemu.Config) { c.MaxTopics, c.MaxSubscriptions = 1, 1 })
		topic := e.topic(t, "news")
		subscribe(t, topic, "one", mns.MessageSubsribeRequest{Endpoint: "http://localhost/"})
		if err := mns.NewMNSTopicManager(e.client()).CreateSimpleTopic("more"); err == nil || !strings.Contains(err.Error(), "TopicNumExceededLimit") {
			t.Errorf("got %v", err)
		}
		if err := topic.Subscribe("two", mns.MessageSubsribeRequest{Endpoint: "http://localhost/"}); err == nil || !strings.Contains(err.Error(), "SubscriptionNumExceededLimit") {
			t.Errorf("got %v", err)
		}
	})
}

func TestPublishToQueues(t *testing.T) {
	t.Run("delivers in the subscription's format, with an identity of the queue's own", func(t *testing.T) {
		e := start(t, nil)
		topic := e.topic(t, "news")
		for _, format := range []mns.NotifyContentFormatType{mns.XML, mns.SIMPLIFIED} {
			name := strings.ToLower(string(format))
			e.queue(t, name)
			subscribe(t, topic, name, mns.MessageSubsribeRequest{Endpoint: topic.GenerateQueueEndpoint(name), NotifyContentFormat: format})
		}
		sent := publish(t, topic, "a <b>", "tag")
		now := e.clock.Now().UnixMilli()
		body := func(queue string) string {
			got := mustReceive(t, mns.NewMNSQueue(queue, e.client(), 1<<30))
			if got.MessageId == sent.MessageId {
				t.Errorf("queue %s uses the topic's message id", queue)
			}
			return got.MessageBody
		}
		wantXML := `<?xml version="1.0" ?>
<Notification xmlns="http://mns.aliyuncs.com/doc/v1">
  <TopicOwner>123456</TopicOwner>
  <TopicName>news</TopicName>
  <Subscriber>123456</Subscriber>
  <SubscriptionName>xml</SubscriptionName>
  <MessageId>` + sent.MessageId + `</MessageId>
  <Message>a &lt;b&gt;</Message>
  <MessageMD5>` + sent.MessageBodyMD5 + `</MessageMD5>
  <MessageTag>tag</MessageTag>
  <PublishTime>` + fmt.Sprint(now) + `</PublishTime>
</Notification>`
		if diff := cmp.Diff(wantXML, body("xml")); diff != "" {
			t.Error(diff)
		}
		if got := body("simplified"); got != "a <b>" {
			t.Errorf("simplified: got %q", got)
		}
	})

	t.Run("delivers JSON as recorded: compact, in this order, the time as text, no tag without a tag", func(t *testing.T) {
		e := start(t, nil)
		topic := e.topic(t, "news")
		q := e.queue(t, "jobs")
		subscribe(t, topic, "s", mns.MessageSubsribeRequest{Endpoint: topic.GenerateQueueEndpoint("jobs"), NotifyContentFormat: "JSON"})
		for tag, member := range map[string]string{"": "", "urgent": `"MessageTag":"urgent",`} {
			sent := publish(t, topic, `a "b"`, tag)
			want := `{"TopicOwner":"123456","Message":"a \"b\"","Subscriber":"123456",` + member + `"PublishTime":"` +
				fmt.Sprint(e.clock.Now().UnixMilli()) + `","SubscriptionName":"s","MessageMD5":"` + sent.MessageBodyMD5 +
				`","TopicName":"news","MessageId":"` + sent.MessageId + `"}`
			if diff := cmp.Diff(want, mustReceive(t, q).MessageBody); diff != "" {
				t.Error(diff)
			}
		}
	})

	t.Run("filters by tag", func(t *testing.T) {
		e := start(t, nil)
		topic := e.topic(t, "news")
		for name, filter := range map[string]string{"all": "", "urgent": "urgent"} {
			e.queue(t, name)
			subscribe(t, topic, name, mns.MessageSubsribeRequest{Endpoint: topic.GenerateQueueEndpoint(name), FilterTag: filter, NotifyContentFormat: mns.SIMPLIFIED})
		}
		for _, tag := range []string{"", "urgent", "other"} {
			publish(t, topic, "tag "+tag, tag)
		}
		got := map[string][]string{}
		for _, name := range []string{"all", "urgent"} {
			for _, m := range e.messages(t, name) {
				got[name] = append(got[name], m.Body)
			}
		}
		want := map[string][]string{"all": {"tag ", "tag urgent", "tag other"}, "urgent": {"tag urgent"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("passes properties on and wakes a long poll", func(t *testing.T) {
		e := start(t, nil)
		topic := e.topic(t, "news")
		e.queue(t, "jobs")
		subscribe(t, topic, "s", mns.MessageSubsribeRequest{Endpoint: topic.GenerateQueueEndpoint("jobs"), NotifyContentFormat: mns.SIMPLIFIED})
		polled := make(chan result, 1)
		go func() { polled <- e.do(t, raw{method: "GET", target: "/queues/jobs/messages?waitseconds=30"}) }()
		e.awaitPolls(t, "jobs", 1)
		e.do(t, raw{method: "POST", target: "/topics/news/messages", body: `<Message><MessageBody>m</MessageBody><UserProperties><PropertyValue><Name>key</Name><Value>v</Value><Type>STRING</Type></PropertyValue></UserProperties></Message>`})
		if r := <-polled; r.text("MessageBody") != "m" || r.text("Name") != "key" {
			t.Errorf("got %+v", r)
		}
	})

	t.Run("tries again while the queue is missing", func(t *testing.T) {
		e := start(t, nil)
		topic := e.topic(t, "news")
		subscribe(t, topic, "s", mns.MessageSubsribeRequest{Endpoint: topic.GenerateQueueEndpoint("late"), NotifyContentFormat: mns.SIMPLIFIED})
		publish(t, topic, "m", "")
		e.awaitPushes(t, 1)
		q := e.queue(t, "late")
		e.clock.Advance(20 * time.Second)
		if got := receiveSoon(t, q); got.MessageBody != "m" {
			t.Errorf("got %+v", got)
		}
	})
}

// receiveSoon receives what another goroutine of the server is about to send.
func receiveSoon(t *testing.T, q mns.AliMNSQueue) mns.MessageReceiveResponse {
	t.Helper()
	for {
		got, err := receive(q)
		if errorCode(err) != codeMessageNotExist {
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		runtime.Gosched()
	}
}

// awaitPushes returns when every push that is left has been tried that often, or at once when none is.
func (e *emulator) awaitPushes(t *testing.T, attempts int) []pendingPush {
	t.Helper()
	for {
		var pending []pendingPush
		e.local(t, "GET", "/pushes", "", &pending)
		settled := true
		for _, p := range pending {
			settled = settled && p.Attempts >= attempts
		}
		if settled {
			return pending
		}
		runtime.Gosched()
	}
}

type pendingPush struct {
	Topic, Subscription, MessageID string
	Attempts                       int
	NextAttemptTime                int64
}
