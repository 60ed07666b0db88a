package mnsemu_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/google/go-cmp/cmp"
)

// topic is one of the SDK's topics.
type topic struct {
	mns.AliMNSTopic
	e *emulator
}

// topic creates a topic with the SDK and returns it.
func (e *emulator) topic(name string) topic {
	e.t.Helper()
	client := e.client()
	check(e.t, mns.NewMNSTopicManager(client).CreateSimpleTopic(name))
	return topic{mns.NewMNSTopic(name, client, 1<<30), e}
}

// to subscribes an endpoint.
func (t topic) to(name, endpoint string, format mns.NotifyContentFormatType) {
	t.e.t.Helper()
	check(t.e.t, t.Subscribe(name, mns.MessageSubsribeRequest{Endpoint: endpoint, NotifyContentFormat: format}))
}

func (t topic) publish(body, tag string) mns.MessageSendResponse {
	t.e.t.Helper()
	sent, err := t.PublishMessage(mns.MessagePublishRequest{MessageBody: body, MessageTag: tag})
	if err != nil {
		t.e.t.Fatal(err)
	}
	return sent
}

func TestTopics(t *testing.T) {
	t.Run("are made, changed, listed and deleted", func(t *testing.T) {
		e := start(t)
		e.topic("news")
		topics := mns.NewMNSTopicManager(e.client())
		if err := topics.CreateSimpleTopic("news"); !strings.Contains(code(err), "the attribute is the same") {
			t.Errorf("an equal topic: got %v", err)
		}
		check(t, topics.SetTopicAttributes("news", 2048, true))
		got, err := topics.GetTopicAttributes("news")
		now := e.clock.Now().Unix()
		want := mns.TopicAttribute{TopicName: "news", MaxMessageSize: 2048, MessageRetentionPeriod: 86400, LoggingEnabled: true, CreateTime: now, LastModifyTime: now}
		check(t, err)
		got.XMLName = want.XMLName
		same(t, want, got)
		details, err := topics.ListTopicDetail("", 0, "")
		if err != nil || len(details.Attrs) != 1 || details.Attrs[0].MaxMessageSize != 2048 {
			t.Errorf("list: got %+v, %v", details, err)
		}
		check(t, topics.DeleteTopic("news"))
		_, err = topics.GetTopicAttributes("news")
		same(t, "TopicNotExist", code(err))
	})

	t.Run("are subscribed, the strategy changed, listed and unsubscribed", func(t *testing.T) {
		e := start(t)
		news := e.topic("news")
		request := mns.MessageSubsribeRequest{Endpoint: "http://www.example.com", FilterTag: "urgent", NotifyContentFormat: mns.SIMPLIFIED}
		check(t, news.Subscribe("one", request))
		if err := news.Subscribe("one", request); !strings.Contains(code(err), "the attribute is the same") {
			t.Errorf("an equal subscription: got %v", err)
		}
		check(t, news.SetSubscriptionAttributes("one", mns.EXPONENTIAL_DECAY_RETRY))
		got, err := news.GetSubscriptionAttributes("one")
		now := e.clock.Now().Unix()
		want := mns.SubscriptionAttribute{
			SubscriptionName: "one", Subscriber: account, TopicOwner: account, TopicName: "news", Endpoint: "http://www.example.com",
			NotifyStrategy: mns.EXPONENTIAL_DECAY_RETRY, NotifyContentFormat: mns.SIMPLIFIED, FilterTag: "urgent", CreateTime: now, LastModifyTime: now,
		}
		check(t, err)
		got.XMLName = want.XMLName
		same(t, want, got)
		news.to("two", news.GenerateMailEndpoint("a@example.com"), mns.XML)
		first, err := news.ListSubscriptionDetailByTopic("", 1, "")
		if err != nil || len(first.Attrs) != 1 || first.Attrs[0].FilterTag != "urgent" || first.NextMarker == "" {
			t.Fatalf("first page: got %+v, %v", first, err)
		}
		second, err := news.ListSubscriptionByTopic(first.NextMarker, 1, "")
		if err != nil || len(second.Subscriptions) != 1 || second.NextMarker != "" || !strings.HasSuffix(second.Subscriptions[0].SubscriptionURL, "/topics/news/subscriptions/two") {
			t.Errorf("second page: got %+v, %v", second, err)
		}
		check(t, news.Unsubscribe("one"))
		_, err = news.GetSubscriptionAttributes("one")
		same(t, "SubscriptionNotExist", code(err))
	})
}

func TestPublishToQueues(t *testing.T) {
	t.Run("delivers in the subscription's format, JSON as recorded, with an identity of the queue's own", func(t *testing.T) {
		for _, tag := range []string{"", "urgent"} {
			e := start(t)
			news := e.topic("news")
			for _, format := range []mns.NotifyContentFormatType{mns.XML, mns.SIMPLIFIED, "JSON"} {
				e.queue(string(format))
				news.to(string(format), news.GenerateQueueEndpoint(string(format)), format)
			}
			sent := news.publish(`a <b> "c"`, tag)
			now := fmt.Sprint(e.clock.Now().UnixMilli())
			element, member := "", ""
			if tag != "" {
				element, member = "\n  <MessageTag>urgent</MessageTag>", `"MessageTag":"urgent",`
			}
			for format, want := range map[string]string{
				"SIMPLIFIED": `a <b> "c"`,
				"JSON": `{"TopicOwner":"123456","Message":"a \u003cb\u003e \"c\"","Subscriber":"123456",` + member + `"PublishTime":"` + now +
					`","SubscriptionName":"JSON","MessageMD5":"` + sent.MessageBodyMD5 + `","TopicName":"news","MessageId":"` + sent.MessageId + `"}`,
				"XML": `<?xml version="1.0" ?>
<Notification xmlns="http://mns.aliyuncs.com/doc/v1">
  <TopicOwner>123456</TopicOwner>
  <TopicName>news</TopicName>
  <Subscriber>123456</Subscriber>
  <SubscriptionName>XML</SubscriptionName>
  <MessageId>` + sent.MessageId + `</MessageId>
  <Message>a &lt;b&gt; "c"</Message>
  <MessageMD5>` + sent.MessageBodyMD5 + `</MessageMD5>` + element + `
  <PublishTime>` + now + `</PublishTime>
</Notification>`,
			} {
				got := e.open(format).must()
				if diff := cmp.Diff(want, got.MessageBody); diff != "" || got.MessageId == sent.MessageId {
					t.Errorf("%s: message %s of %s: %s", format, got.MessageId, sent.MessageId, diff)
				}
			}
		}
	})

	t.Run("filters by tag", func(t *testing.T) {
		e := start(t)
		news := e.topic("news")
		for name, filter := range map[string]string{"all": "", "urgent": "urgent"} {
			e.queue(name)
			request := mns.MessageSubsribeRequest{Endpoint: news.GenerateQueueEndpoint(name), FilterTag: filter, NotifyContentFormat: mns.SIMPLIFIED}
			check(t, news.Subscribe(name, request))
		}
		for _, tag := range []string{"", "urgent", "other"} {
			news.publish("tag "+tag, tag)
		}
		want := map[string][]string{"all": {"tag ", "tag urgent", "tag other"}, "urgent": {"tag urgent"}}
		same(t, want, map[string][]string{"all": e.stored("all"), "urgent": e.stored("urgent")})
	})

	t.Run("passes properties on and wakes a long poll", func(t *testing.T) {
		e := start(t)
		news, q := e.topic("news"), e.queue("jobs")
		news.to("s", news.GenerateQueueEndpoint("jobs"), mns.SIMPLIFIED)
		done := q.poll(30)
		e.do("POST", "/topics/news/messages", `<Message><MessageBody>m</MessageBody><UserProperties><PropertyValue><Name>key</Name><Value>v</Value><Type>STRING</Type></PropertyValue></UserProperties></Message>`)
		same(t, []string{"m"}, bodies((<-done).messages))
		e.clock.Advance(30 * time.Second)
		same(t, "key", e.do("GET", "/queues/jobs/messages", "").text("Name"))
	})

	t.Run("tries again while the queue is missing", func(t *testing.T) {
		e := start(t)
		news := e.topic("news")
		news.to("s", news.GenerateQueueEndpoint("late"), mns.SIMPLIFIED)
		news.publish("m", "")
		e.awaitPushes(1)
		e.queue("late")
		e.clock.Advance(20 * time.Second)
		e.awaitPushes(2)
		same(t, "m", e.open("late").must().MessageBody)
	})
}

// subscriber is an HTTP endpoint that answers with the given statuses, the last one for ever.
func subscriber(t *testing.T, statuses ...int) (url string, calls chan *http.Request) {
	calls = make(chan *http.Request, 1000)
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		calls <- r
		w.Header().Set("Location", "/elsewhere") // a redirect is a failure
		w.WriteHeader(statuses[min(n, len(statuses)-1)])
		n++
	}))
	t.Cleanup(server.Close)
	return server.URL, calls
}

// awaitPushes returns when every push that is left has been tried that often, or at once when none is. It returns the pauses before the next
// attempts.
func (e *emulator) awaitPushes(attempts int) (pauses []time.Duration) {
	e.t.Helper()
	for {
		var pending []struct {
			Attempts        int
			NextAttemptTime int64
		}
		e.local("GET", "/pushes", "", &pending)
		settled := true
		pauses = nil
		for _, p := range pending {
			settled = settled && p.Attempts >= attempts
			pauses = append(pauses, time.Duration(p.NextAttemptTime-e.clock.Now().UnixMilli())*time.Millisecond)
		}
		if settled {
			return pauses
		}
		runtime.Gosched()
	}
}

func TestPublishToHTTP(t *testing.T) {
	t.Run("posts to the endpoint with the service's headers", func(t *testing.T) {
		e := start(t)
		news := e.topic("news")
		url, calls := subscriber(t, 204)
		news.to("s", url, mns.SIMPLIFIED)
		sent := news.publish("m", "tag")
		r := <-calls
		body, _ := io.ReadAll(r.Body)
		got := map[string]string{"line": r.Method + " " + r.URL.Path, "body": string(body)}
		want := map[string]string{
			"line": "POST /notifications", "body": "m", "X-Mns-Version": "2015-06-06", "X-Mns-Topic-Owner": account,
			"X-Mns-Topic-Name": "news", "X-Mns-Subscriber": account, "X-Mns-Subscription-Name": "s", "X-Mns-Message-Id": sent.MessageId,
			"X-Mns-Message-Tag": "tag", "X-Mns-Publish-Time": fmt.Sprint(e.clock.Now().UnixMilli()), "Content-Type": "text/plain;charset=utf-8",
			// The sum is the Base64 of the hex text of m's MD5.
			"Date": e.clock.Now().UTC().Format(http.TimeFormat), "Content-Md5": "NmY4ZjU3NzE1MDkwZGEyNjMyNDUzOTg4ZDlhMTUwMWI=",
			"Authorization": "", // it does not claim to be signed
		}
		for name := range want {
			if name != "line" && name != "body" {
				got[name] = r.Header.Get(name)
			}
		}
		same(t, want, got)
		if id := r.Header.Get("X-Mns-Request-Id"); !strings.HasPrefix(id, fmt.Sprintf("%08X", e.clock.Now().Unix())) || len(id) != 24 {
			t.Errorf("request id %q", id)
		}
	})

	backoff := func(int) (low, high time.Duration) { return 10 * time.Second, 20 * time.Second }
	doubling := func(attempt int) (low, high time.Duration) {
		pause := time.Second << min(attempt-1, 9)
		return pause, pause
	}
	for name, c := range map[string]struct {
		strategy        mns.NotifyStrategyType
		statuses        []int
		pause           func(attempt int) (low, high time.Duration)
		atLeast, atMost int // calls
	}{
		"gives up after three retries":                      {mns.BACKOFF_RETRY, []int{500}, backoff, 4, 4},
		"tries for a day with the exponential strategy":     {mns.EXPONENTIAL_DECAY_RETRY, []int{500}, doubling, 168, 177},
		"stops when accepted, for which a redirect is none": {mns.EXPONENTIAL_DECAY_RETRY, []int{500, 500, 302, 404, 200}, doubling, 5, 5},
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t)
			news := e.topic("news")
			url, calls := subscriber(t, c.statuses...)
			check(t, news.Subscribe("s", mns.MessageSubsribeRequest{Endpoint: url + "/hook", NotifyStrategy: c.strategy}))
			news.publish("m", "")
			for attempt := 1; ; attempt++ {
				pauses := e.awaitPushes(attempt)
				if len(pauses) == 0 {
					break
				}
				if low, high := c.pause(attempt); pauses[0] < low || pauses[0] > high {
					t.Errorf("pause %d is %s, want %s to %s", attempt, pauses[0], low, high)
				}
				e.clock.Advance(pauses[0])
			}
			got := len(calls)
			if got < c.atLeast || got > c.atMost {
				t.Errorf("%d calls, want %d to %d", got, c.atLeast, c.atMost)
			}
			for range got {
				call := <-calls
				same(t, "POST /hook", call.Method+" "+call.URL.Path)
			}
		})
	}

	t.Run("counts what is not delivered, and forgets it with the subscription", func(t *testing.T) {
		e := start(t)
		news := e.topic("news")
		url, _ := subscriber(t, 500)
		news.to("s", url, mns.XML)
		news.publish("m", "")
		e.awaitPushes(1)
		before := e.do("GET", "/topics/news", "").text("MessageCount")
		check(t, news.Unsubscribe("s"))
		same(t, "1, then 0", before+", then "+e.do("GET", "/topics/news", "").text("MessageCount"))
	})

	t.Run("continues after a kill", func(t *testing.T) {
		e := start(t)
		news := e.topic("news")
		url, calls := subscriber(t, 500, 204)
		news.to("s", url, mns.XML)
		news.publish("m", "")
		<-calls
		pauses := e.awaitPushes(1)
		e.stop()
		again := e.killed()
		same(t, pauses, again.awaitPushes(1))
		same(t, 0, len(calls))
		e.clock.Advance(pauses[0])
		<-calls
	})

	t.Run("never calls an endpoint beyond this machine", func(t *testing.T) {
		e := start(t)
		news := e.topic("news")
		for i, endpoint := range []string{"http://192.0.2.1/", "https://www.example.com/", "mail:directmail:a@example.com", "sms:directsms:anonymous"} {
			news.to(fmt.Sprint("s", i), endpoint, mns.XML)
		}
		news.publish("m", "")
		same(t, 0, len(e.awaitPushes(0)))
	})
}
