package mnsemu_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestErrors shows which request is refused with which status and code. Where clients or documents quote the text, it is given too.
func TestErrors(t *testing.T) {
	e := start(t)
	e.queue("jobs").send("m", 0)
	e.do("PUT", "/topics/news", "<Topic/>")
	e.do("PUT", "/topics/news/subscriptions/a", "<Subscription><Endpoint>http://127.0.0.1:1/</Endpoint></Subscription>")
	handle := e.open("jobs").must().ReceiptHandle
	long := strings.Repeat("q", 121)
	text := func(body string) string { return "<Message><MessageBody>" + body + "</MessageBody></Message>" }
	with := func(more string) string { return "<Message><MessageBody>b</MessageBody>" + more + "</Message>" }
	property := func(name, value, kind string) string {
		return with("<UserProperties><PropertyValue><Name>" + name + "</Name><Value>" + value + "</Value><Type>" + kind + "</Type></PropertyValue></UserProperties>")
	}
	system := strings.NewReplacer("User", "System", "PropertyValue", "SystemPropertyValue").Replace(property("n", "1", "NUMBER"))
	endpoint := func(address, more string) string {
		return "<Subscription><Endpoint>" + address + "</Endpoint>" + more + "</Subscription>"
	}
	refused := func(method, target, body, want string, header ...string) {
		t.Helper()
		r := e.do(method, target, body, header...)
		got := fmt.Sprintf("%d %s", r.status, r.text("Code"))
		if strings.Contains(want, ": ") {
			got += ": " + r.text("Message")
		}
		if got != want {
			t.Errorf("%s %.80s %.120s %s: got %s (%s), want %s", method, target, body, header, got, r.text("Message"), want)
		}
	}
	for _, c := range []struct {
		header []string
		want   string
	}{
		{[]string{"Authorization", ""}, "400 MissingAuthorizationHeader"},
		{[]string{"Authorization", "Basic eDp5"}, "400 InvalidAuthorizationHeader: The Authorization header format is invalid."},
		{[]string{"Authorization", "MNS nocolon"}, "400 InvalidAuthorizationHeader"},
		{[]string{"Authorization", "MNS4-HMAC-SHA256 Credential=a/20200101/r/mns/aliyun_v4_request,Signature=x"}, "400 InvalidAuthorizationHeader"},
		{[]string{"Date", ""}, "400 MissingDateHeader"},
		{[]string{"Date", "2026-01-01"}, "400 InvalidDateHeader: The Date header format is invalid."},
		{[]string{"X-Mns-Version", ""}, "400 MissingVersionHeader"},
		{[]string{"X-Mns-Version", "2014-07-08"}, "400 MissingVersionHeader"},
		{[]string{"X-Mns-Ret-Number", "1001"}, "400 InvalidArgument"},
		{[]string{"X-Mns-Marker", "*"}, "400 InvalidArgument"},
		{[]string{"Content-Md5", "none"}, "400 InvalidDegist: The Content-MD5 you specified is invalid."},
		// The key is judged first, then the signature, and then whose account the host names.
		{[]string{"Host", "654321.mns.cn-local.aliyuncs.com", "Authorization", "MNS somebody:eA=="}, "403 InvalidAccessKeyId: The access Id you provided does not exist."},
		{
			[]string{"Host", "654321.mns.cn-local.aliyuncs.com", "Authorization", "MNS " + accessKey + ":eA=="},
			"403 SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided. Check your key and signing method.",
		},
		{[]string{"Host", "654321.mns.cn-local.aliyuncs.com"}, "403 AccessDenied: The OwnerId that your Access Key Id associated to is forbidden for this operation."},
	} {
		refused("GET", "/queues", "", c.want, c.header...)
	}
	for _, c := range []struct{ method, target, body, want string }{
		{"GET", "/nowhere", "", "400 InvalidRequestURL"},
		{"PATCH", "/queues/jobs", "", "400 InvalidRequestURL"},
		{"POST", "/queues", "", "400 InvalidRequestURL"},
		{"GET", "/queues/jobs/letters", "", "400 InvalidRequestURL"},
		{"DELETE", "/topics/news/messages", "", "400 InvalidRequestURL"},
		{"GET", "/topics/news/subscriptions/a/b", "", "400 InvalidRequestURL"},
		{"GET", "/queues/jobs/messages?waitseconds=%zz", "", "400 InvalidQueryString"},

		{"PUT", "/queues/new", "<Queue>", "400 MalformedXML"},
		{"PUT", "/queues/new", "", "400 MalformedXML"},
		{"PUT", "/queues/new", "<Queue/><Queue/>", "400 MalformedXML"},
		{"PUT", "/queues/new", "<Queue/>behind", "400 MalformedXML"},
		{"PUT", "/queues/new", `<?xml version="1.0" encoding="GBK"?><Queue/>`, "400 MalformedXML"},
		{"PUT", "/queues/new", "\xff\xfe<\x00Q\x00/\x00>\x00", "400 MalformedXML"},
		{"PUT", "/queues/new", "\uFEFF\uFEFF<Queue/>", "400 MalformedXML"},
		{"PUT", "/queues/new", "<Queue/>\uFEFF", "400 MalformedXML"},
		{"PUT", "/queues/new", "<Topic/>", "400 InvalidArgument"},
		{"PUT", "/queues/new", "<Queue><DelaySeconds>-1</DelaySeconds></Queue>", "400 InvalidArgument: The value of DelaySeconds should between 0 and 604800 seconds."},
		{"PUT", "/queues/new", "<Queue><DelaySeconds>604801</DelaySeconds></Queue>", "400 InvalidArgument"},
		{"PUT", "/queues/new", "<Queue><DelaySeconds>soon</DelaySeconds></Queue>", "400 InvalidArgument"},
		{"PUT", "/queues/new", "<Queue><MaximumMessageSize>1023</MaximumMessageSize></Queue>", "400 InvalidArgument"},
		{"PUT", "/queues/new", "<Queue><MessageRetentionPeriod>604801</MessageRetentionPeriod></Queue>", "400 InvalidArgument"},
		{"PUT", "/queues/new", "<Queue><VisibilityTimeout>0</VisibilityTimeout></Queue>", "400 InvalidArgument"},
		{"PUT", "/queues/new", "<Queue><PollingWaitSeconds>31</PollingWaitSeconds></Queue>", "400 InvalidArgument"},
		{"PUT", "/queues/new", "<Queue><LoggingEnabled>perhaps</LoggingEnabled></Queue>", "400 InvalidArgument"},
		{"PUT", "/queues/jobs?metaoverride=perhaps", "<Queue/>", "400 InvalidArgument"},
		{"PUT", "/queues/jobs", "<Queue><DelaySeconds>1</DelaySeconds></Queue>", "409 QueueAlreadyExist: The queue you want to create is already exist."},
		{"PUT", "/queues/" + long, "<Queue/>", "400 QueueNameLengthError"},
		{"PUT", "/queues/-jobs", "<Queue/>", "400 InvalidQueueName"},
		{"GET", "/queues/my_jobs", "", "400 InvalidQueueName"},

		{"POST", "/queues/jobs/messages", text("a\x01b"), "400 MalformedXML"},
		{"POST", "/queues/jobs/messages", text("&#0;"), "400 MalformedXML"},
		{"POST", "/queues/jobs/messages", text("\xff"), "400 MalformedXML"},
		{"POST", "/queues/jobs/messages", "<Message/>", "400 InvalidArgument"},
		{"POST", "/queues/jobs/messages", text(""), "400 InvalidArgument"},
		{"POST", "/queues/jobs/messages", text(strings.Repeat("x", 65537)), "400 InvalidArgument"},
		{"POST", "/queues/jobs/messages", text(strings.Repeat("x", 1<<20)), "400 InvalidArgument"},
		{"POST", "/queues/jobs/messages", with("<Priority>0</Priority>"), "400 InvalidArgument"},
		{"POST", "/queues/jobs/messages", with("<DelaySeconds>604801</DelaySeconds>"), "400 InvalidArgument"},
		{"POST", "/queues/jobs/messages", property("n", "x", "DATE"), "400 InvalidArgument"},
		{"POST", "/queues/jobs/messages", property("n", "x", "NUMBER"), "400 InvalidArgument"},
		{"POST", "/queues/jobs/messages", property("n", "x", "BOOLEAN"), "400 InvalidArgument"},
		{"POST", "/queues/jobs/messages", property("n", "?", "BINARY"), "400 InvalidArgument"},
		{"POST", "/queues/jobs/messages", property("", "x", "STRING"), "400 InvalidArgument"},
		{"POST", "/queues/jobs/messages", system, "400 InvalidArgument"},
		{"POST", "/queues/jobs/messages", "<Messages></Messages>", "400 InvalidArgument"},
		{"POST", "/queues/jobs/messages", "<Messages>" + strings.Repeat(text("m"), 17) + "</Messages>", "400 InvalidArgument"},
		{"POST", "/queues/jobs/messages", "<Messages>" + strings.Repeat(text(strings.Repeat("x", 33000)), 2) + "</Messages>", "400 InvalidArgument"},

		{"GET", "/queues/jobs/messages", "", "404 MessageNotExist: Message not exist."},
		{"GET", "/queues/jobs/messages?numOfMessages=3&peekonly=true", "", "404 MessageNotExist"},
		// A plus sign is no space, which would be no number.
		{"GET", "/queues/jobs/messages?numOfMessages=+1", "", "404 MessageNotExist"},
		{"GET", "/queues/jobs/messages?waitseconds=31", "", "400 InvalidArgument"},
		{"GET", "/queues/jobs/messages?numOfMessages=17", "", "400 InvalidArgument"},
		{"GET", "/queues/jobs/messages?numOfMessages=0", "", "400 InvalidArgument"},
		{"GET", "/queues/jobs/messages?peekonly=true&numOfMessages=x", "", "400 InvalidArgument"},
		{"GET", "/queues/jobs/messages?peekonly=maybe", "", "400 InvalidArgument"},
		{"PUT", "/queues/jobs/messages?ReceiptHandle=" + handle + "&VisibilityTimeout=0", "", "400 InvalidArgument"},
		{"PUT", "/queues/jobs/messages?ReceiptHandle=" + handle + "&VisibilityTimeout=43201", "", "400 InvalidArgument"},
		{"PUT", "/queues/jobs/messages?ReceiptHandle=" + handle, "", "400 MissingVisibilityTimeout"},
		{"PUT", "/queues/jobs/messages?VisibilityTimeout=9", "", "400 MissingReceiptHandle"},
		{"DELETE", "/queues/jobs/messages", "", "400 MissingReceiptHandle"},
		{"DELETE", "/queues/jobs/messages?ReceiptHandle=none", "", "400 ReceiptHandleError: The receipt handle you provide is not valid."},
		{"DELETE", "/queues/jobs/messages", "<ReceiptHandles></ReceiptHandles>", "400 InvalidArgument"},

		{"GET", "/queues/none", "", "404 QueueNotExist: The queue name you provided is not exist."},
		{"PUT", "/queues/none?metaoverride=true", "<Queue/>", "404 QueueNotExist"},
		{"POST", "/queues/none/messages", text("b"), "404 QueueNotExist"},
		{"POST", "/queues/none/messages", "<Messages>" + text("b") + "</Messages>", "404 QueueNotExist"},
		{"GET", "/queues/none/messages", "", "404 QueueNotExist"},
		{"GET", "/queues/none/messages?peekonly=true", "", "404 QueueNotExist"},
		{"DELETE", "/queues/none/messages?ReceiptHandle=x", "", "404 QueueNotExist"},
		{"DELETE", "/queues/none/messages", "<ReceiptHandles><ReceiptHandle>x</ReceiptHandle></ReceiptHandles>", "404 QueueNotExist"},
		{"PUT", "/queues/none/messages?ReceiptHandle=x&VisibilityTimeout=9", "", "404 QueueNotExist"},

		{"GET", "/topics/none", "", "404 TopicNotExist: The topic name you provided is not exist."},
		{"PUT", "/topics/none?metaoverride=true", "<Topic/>", "404 TopicNotExist"},
		{"POST", "/topics/none/messages", text("b"), "404 TopicNotExist"},
		{"GET", "/topics/none/subscriptions", "", "404 TopicNotExist"},
		{"DELETE", "/topics/none/subscriptions/a", "", "404 TopicNotExist"},
		{"PUT", "/topics/none/subscriptions/a", endpoint("http://x/", ""), "404 TopicNotExist"},
		{"PUT", "/topics/news", "<Topic><LoggingEnabled>true</LoggingEnabled></Topic>", "409 TopicAlreadyExist"},
		{"PUT", "/topics/" + long, "<Topic/>", "400 TopicNameLengthError"},
		{"PUT", "/topics/a.b", "<Topic/>", "400 TopicNameInvalid"},
		{"PUT", "/topics/new", "<Topic><MaximumMessageSize>65537</MaximumMessageSize></Topic>", "400 InvalidArgument"},
		{"POST", "/topics/news/messages", with("<MessageTag>seventeen-letters</MessageTag>"), "400 InvalidArgument"},

		{"GET", "/topics/news/subscriptions/none", "", "404 SubscriptionNotExist: The subscription name you provided is not exist."},
		{"PUT", "/topics/news/subscriptions/none?metaoverride=true", "<Subscription/>", "404 SubscriptionNotExist"},
		{"PUT", "/topics/news/subscriptions/a", endpoint("http://127.0.0.1:2/", ""), "409 SubscriptionAlreadyExist"},
		{"PUT", "/topics/news/subscriptions/" + long, "<Subscription/>", "400 SubscriptionNameLengthError"},
		{"PUT", "/topics/news/subscriptions/a:b", "<Subscription/>", "400 SubscriptionNameInvalid"},
		{"PUT", "/topics/news/subscriptions/b", "<Subscription/>", "400 EndpointInvalid"},
		{"PUT", "/topics/news/subscriptions/b", endpoint("ftp://127.0.0.1/", ""), "400 EndpointInvalid"},
		{"PUT", "/topics/news/subscriptions/b", endpoint("acs:mns:r:1:topics/t", ""), "400 EndpointInvalid"},
		{"PUT", "/topics/news/subscriptions/b", endpoint("http://x/", "<NotifyStrategy>NEVER</NotifyStrategy>"), "400 InvalidArgument"},
		{"PUT", "/topics/news/subscriptions/b", endpoint("http://x/", "<NotifyContentFormat>YAML</NotifyContentFormat>"), "400 InvalidArgument"},
		{"PUT", "/topics/news/subscriptions/b", endpoint("http://x/", "<FilterTag>seventeen-letters</FilterTag>"), "400 InvalidArgument"},
	} {
		refused(c.method, c.target, c.body, c.want)
	}
}
