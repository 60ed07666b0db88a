package mnsemu_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestErrorCodes(t *testing.T) {
	e := start(t, nil)
	q := e.queue(t, "jobs")
	e.do(t, raw{method: "PUT", target: "/topics/news", body: "<Topic/>"})
	e.do(t, raw{method: "PUT", target: "/topics/news/subscriptions/a", body: "<Subscription><Endpoint>http://127.0.0.1:1/</Endpoint></Subscription>"})
	send(t, q, "m")
	handle := mustReceive(t, q).ReceiptHandle
	without := func(name string) map[string]string { return map[string]string{name: ""} }
	long := strings.Repeat("q", 121)
	text := func(body string) string { return "<Message><MessageBody>" + body + "</MessageBody></Message>" }
	property := func(name, value, kind string) string {
		return "<Message><MessageBody>b</MessageBody><UserProperties><PropertyValue><Name>" + name + "</Name><Value>" + value +
			"</Value><Type>" + kind + "</Type></PropertyValue></UserProperties></Message>"
	}
	for _, c := range []struct {
		want string
		call raw
	}{
		{"400 MissingAuthorizationHeader", raw{method: "GET", target: "/queues", unsigned: true}},
		{"400 InvalidAuthorizationHeader", raw{method: "GET", target: "/queues", unsigned: true, header: map[string]string{"Authorization": "Basic eDp5"}}},
		{"400 InvalidAuthorizationHeader", raw{method: "GET", target: "/queues", unsigned: true, header: map[string]string{"Authorization": "MNS nocolon"}}},
		{"400 InvalidAuthorizationHeader", raw{method: "GET", target: "/queues", unsigned: true, header: map[string]string{"Authorization": "MNS4-HMAC-SHA256 Credential=a/20200101/r/mns/aliyun_v4_request,Signature=x"}}},
		{"400 MissingDateHeader", raw{method: "GET", target: "/queues", header: without("Date")}},
		{"400 InvalidDateHeader", raw{method: "GET", target: "/queues", header: map[string]string{"Date": "2026-01-01"}}},
		{"400 MissingVersionHeader", raw{method: "GET", target: "/queues", header: without("X-Mns-Version")}},
		{"400 MissingVersionHeader", raw{method: "GET", target: "/queues", header: map[string]string{"X-Mns-Version": "2014-07-08"}}},
		{"403 AccessDenied", raw{method: "GET", target: "/queues", host: "654321.mns.cn-local.aliyuncs.com"}},
		{"400 InvalidRequestURL", raw{method: "GET", target: "/nowhere"}},
		{"400 InvalidRequestURL", raw{method: "PATCH", target: "/queues/jobs"}},
		{"400 InvalidRequestURL", raw{method: "POST", target: "/queues"}},
		{"400 InvalidRequestURL", raw{method: "GET", target: "/queues/jobs/letters"}},
		{"400 InvalidRequestURL", raw{method: "DELETE", target: "/topics/news/messages"}},
		{"400 InvalidRequestURL", raw{method: "GET", target: "/topics/news/subscriptions/a/b"}},
		{"400 InvalidQueryString", raw{method: "GET", target: "/queues/jobs/messages?waitseconds=%zz"}},
		{"400 MalformedXML", raw{method: "PUT", target: "/queues/new", body: "<Queue>"}},
		{"400 MalformedXML", raw{method: "PUT", target: "/queues/new"}},
		{"400 MalformedXML", raw{method: "PUT", target: "/queues/new", body: "<Queue/><Queue/>"}},
		{"400 MalformedXML", raw{method: "PUT", target: "/queues/new", body: "<Queue/>behind"}},
		{"400 MalformedXML", raw{method: "POST", target: "/queues/jobs/messages", body: text("a\x01b")}},
		{"400 MalformedXML", raw{method: "POST", target: "/queues/jobs/messages", body: text("&#0;")}},
		{"400 MalformedXML", raw{method: "POST", target: "/queues/jobs/messages", body: text("\xff")}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/queues/new", body: "<Topic/>"}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/queues/new", body: "<Queue><DelaySeconds>604801</DelaySeconds></Queue>"}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/queues/new", body: "<Queue><DelaySeconds>soon</DelaySeconds></Queue>"}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/queues/new", body: "<Queue><MaximumMessageSize>1023</MaximumMessageSize></Queue>"}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/queues/new", body: "<Queue><MessageRetentionPeriod>604801</MessageRetentionPeriod></Queue>"}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/queues/new", body: "<Queue><VisibilityTimeout>0</VisibilityTimeout></Queue>"}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/queues/new", body: "<Queue><PollingWaitSeconds>31</PollingWaitSeconds></Queue>"}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/queues/new", body: "<Queue><LoggingEnabled>perhaps</LoggingEnabled></Queue>"}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/queues/jobs?metaoverride=perhaps", body: "<Queue/>"}},
		{"400 InvalidArgument", raw{method: "POST", target: "/queues/jobs/messages", body: "<Message/>"}},
		{"400 InvalidArgument", raw{method: "POST", target: "/queues/jobs/messages", body: text("")}},
		{"400 InvalidArgument", raw{method: "POST", target: "/queues/jobs/messages", body: text(strings.Repeat("x", 65537))}},
		{"400 InvalidArgument", raw{method: "POST", target: "/queues/jobs/messages", body: text(strings.Repeat("x", 1<<20))}},
		{"400 InvalidArgument", raw{method: "POST", target: "/queues/jobs/messages", body: "<Message><MessageBody>b</MessageBody><Priority>0</Priority></Message>"}},
		{"400 InvalidArgument", raw{method: "POST", target: "/queues/jobs/messages", body: "<Message><MessageBody>b</MessageBody><DelaySeconds>604801</DelaySeconds></Message>"}},
		{"400 InvalidArgument", raw{method: "POST", target: "/queues/jobs/messages", body: property("n", "x", "DATE")}},
		{"400 InvalidArgument", raw{method: "POST", target: "/queues/jobs/messages", body: property("n", "x", "NUMBER")}},
		{"400 InvalidArgument", raw{method: "POST", target: "/queues/jobs/messages", body: property("n", "x", "BOOLEAN")}},
		{"400 InvalidArgument", raw{method: "POST", target: "/queues/jobs/messages", body: property("n", "?", "BINARY")}},
		{"400 InvalidArgument", raw{method: "POST", target: "/queues/jobs/messages", body: property("", "x", "STRING")}},
		{"400 InvalidArgument", raw{method: "POST", target: "/queues/jobs/messages", body: strings.ReplaceAll(strings.ReplaceAll(property("n", "1", "NUMBER"), "User", "System"), "PropertyValue", "SystemPropertyValue")}},
		{"400 InvalidArgument", raw{method: "GET", target: "/queues/jobs/messages?waitseconds=31"}},
		{"400 InvalidArgument", raw{method: "GET", target: "/queues/jobs/messages?numOfMessages=17"}},
		{"400 InvalidArgument", raw{method: "GET", target: "/queues/jobs/messages?numOfMessages=0"}},
		{"400 InvalidArgument", raw{method: "GET", target: "/queues/jobs/messages?peekonly=true&numOfMessages=x"}},
		{"400 InvalidArgument", raw{method: "GET", target: "/queues/jobs/messages?peekonly=maybe"}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/queues/jobs/messages?ReceiptHandle=" + handle + "&VisibilityTimeout=0"}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/queues/jobs/messages?ReceiptHandle=" + handle + "&VisibilityTimeout=43201"}},
		{"400 InvalidArgument", raw{method: "DELETE", target: "/queues/jobs/messages", body: "<ReceiptHandles></ReceiptHandles>"}},
		{"400 InvalidArgument", raw{method: "GET", target: "/queues", header: map[string]string{"X-Mns-Ret-Number": "1001"}}},
		{"400 InvalidArgument", raw{method: "GET", target: "/queues", header: map[string]string{"X-Mns-Marker": "*"}}},
		{"400 MissingReceiptHandle", raw{method: "DELETE", target: "/queues/jobs/messages"}},
		{"400 MissingReceiptHandle", raw{method: "PUT", target: "/queues/jobs/messages?VisibilityTimeout=9"}},
		{"400 MissingVisibilityTimeout", raw{method: "PUT", target: "/queues/jobs/messages?ReceiptHandle=" + handle}},
		{"400 ReceiptHandleError", raw{method: "DELETE", target: "/queues/jobs/messages?ReceiptHandle=none"}},
		{"404 MessageNotExist", raw{method: "GET", target: "/queues/jobs/messages"}},
		{"404 MessageNotExist", raw{method: "GET", target: "/queues/jobs/messages?numOfMessages=3&peekonly=true"}},
		{"404 QueueNotExist", raw{method: "GET", target: "/queues/none"}},
		{"404 QueueNotExist", raw{method: "PUT", target: "/queues/none?metaoverride=true", body: "<Queue/>"}},
		{"404 QueueNotExist", raw{method: "POST", target: "/queues/none/messages", body: text("b")}},
		{"404 QueueNotExist", raw{method: "POST", target: "/queues/none/messages", body: "<Messages>" + text("b") + "</Messages>"}},
		{"404 QueueNotExist", raw{method: "GET", target: "/queues/none/messages"}},
		{"404 QueueNotExist", raw{method: "GET", target: "/queues/none/messages?peekonly=true"}},
		{"404 QueueNotExist", raw{method: "DELETE", target: "/queues/none/messages?ReceiptHandle=x"}},
		{"404 QueueNotExist", raw{method: "DELETE", target: "/queues/none/messages", body: "<ReceiptHandles><ReceiptHandle>x</ReceiptHandle></ReceiptHandles>"}},
		{"404 QueueNotExist", raw{method: "PUT", target: "/queues/none/messages?ReceiptHandle=x&VisibilityTimeout=9"}},
		{"409 QueueAlreadyExist", raw{method: "PUT", target: "/queues/jobs", body: "<Queue><DelaySeconds>1</DelaySeconds></Queue>"}},
		{"400 QueueNameLengthError", raw{method: "PUT", target: "/queues/" + long, body: "<Queue/>"}},
		{"400 InvalidQueueName", raw{method: "PUT", target: "/queues/-jobs", body: "<Queue/>"}},
		{"400 InvalidQueueName", raw{method: "GET", target: "/queues/my_jobs"}},
		{"404 TopicNotExist", raw{method: "GET", target: "/topics/none"}},
		{"404 TopicNotExist", raw{method: "PUT", target: "/topics/none?metaoverride=true", body: "<Topic/>"}},
		{"404 TopicNotExist", raw{method: "POST", target: "/topics/none/messages", body: text("b")}},
		{"404 TopicNotExist", raw{method: "GET", target: "/topics/none/subscriptions"}},
		{"404 TopicNotExist", raw{method: "DELETE", target: "/topics/none/subscriptions/a"}},
		{"404 TopicNotExist", raw{method: "PUT", target: "/topics/none/subscriptions/a", body: "<Subscription><Endpoint>http://x/</Endpoint></Subscription>"}},
		{"409 TopicAlreadyExist", raw{method: "PUT", target: "/topics/news", body: "<Topic><LoggingEnabled>true</LoggingEnabled></Topic>"}},
		{"400 TopicNameLengthError", raw{method: "PUT", target: "/topics/" + long, body: "<Topic/>"}},
		{"400 TopicNameInvalid", raw{method: "PUT", target: "/topics/a.b", body: "<Topic/>"}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/topics/new", body: "<Topic><MaximumMessageSize>65537</MaximumMessageSize></Topic>"}},
		{"400 InvalidArgument", raw{method: "POST", target: "/topics/news/messages", body: "<Message><MessageBody>b</MessageBody><MessageTag>seventeen-letters</MessageTag></Message>"}},
		{"404 SubscriptionNotExist", raw{method: "GET", target: "/topics/news/subscriptions/none"}},
		{"404 SubscriptionNotExist", raw{method: "PUT", target: "/topics/news/subscriptions/none?metaoverride=true", body: "<Subscription/>"}},
		{"409 SubscriptionAlreadyExist", raw{method: "PUT", target: "/topics/news/subscriptions/a", body: "<Subscription><Endpoint>http://127.0.0.1:2/</Endpoint></Subscription>"}},
		{"400 SubscriptionNameLengthError", raw{method: "PUT", target: "/topics/news/subscriptions/" + long, body: "<Subscription/>"}},
		{"400 SubscriptionNameInvalid", raw{method: "PUT", target: "/topics/news/subscriptions/a:b", body: "<Subscription/>"}},
		{"400 EndpointInvalid", raw{method: "PUT", target: "/topics/news/subscriptions/b", body: "<Subscription/>"}},
		{"400 EndpointInvalid", raw{method: "PUT", target: "/topics/news/subscriptions/b", body: "<Subscription><Endpoint>ftp://127.0.0.1/</Endpoint></Subscription>"}},
		{"400 EndpointInvalid", raw{method: "PUT", target: "/topics/news/subscriptions/b", body: "<Subscription><Endpoint>acs:mns:r:1:topics/t</Endpoint></Subscription>"}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/topics/news/subscriptions/b", body: "<Subscription><Endpoint>http://x/</Endpoint><NotifyStrategy>NEVER</NotifyStrategy></Subscription>"}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/topics/news/subscriptions/b", body: "<Subscription><Endpoint>http://x/</Endpoint><NotifyContentFormat>YAML</NotifyContentFormat></Subscription>"}},
		{"400 InvalidArgument", raw{method: "PUT", target: "/topics/news/subscriptions/b", body: "<Subscription><Endpoint>http://x/</Endpoint><FilterTag>seventeen-letters</FilterTag></Subscription>"}},
	} {
		r := e.do(t, c.call)
		if got := fmt.Sprint(r.status, " ", r.text("Code")); got != c.want {
			t.Errorf("%s %.80s %.120s: got %s (%s), want %s", c.call.method, c.call.target, c.call.body, got, r.text("Message"), c.want)
		}
	}
}
