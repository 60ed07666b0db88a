package mnsemu_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The answers in these tests are those of the real service, recorded in September 2026 (the test mappings of salesforce/multicloudj).

// onTheWire sends a request with these header lines beside those that every request needs, and what comes behind them, byte for byte. It returns
// the answer byte for byte.
func (e *emulator) onTheWire(t *testing.T, method, target string, lines []string, body string) string {
	t.Helper()
	signed := &http.Request{Method: method, Header: http.Header{}}
	for name, value := range dated() {
		signed.Header.Set(name, value)
	}
	connection, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	head := append([]string{
		method + " " + target + " HTTP/1.1", "Host: " + host, "Date: " + signed.Header.Get("Date"), "x-mns-version: 2015-06-06",
		"Authorization: " + sign(signed, target, "", ""), "Connection: close",
	}, lines...)
	io.WriteString(connection, strings.Join(head, "\r\n")+"\r\n\r\n"+body)
	answer, err := io.ReadAll(connection)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestRecordedHeaders(t *testing.T) {
	t.Run("stand on every answer, in these cases, with a body or without, for a success or a refusal", func(t *testing.T) {
		e := start(t, nil)
		e.clock.Advance(time.Hour)
		e.queue(t, "jobs")
		for status, call := range map[string][2]string{
			"200 OK": {"GET", "/queues/jobs"}, "204 No Content": {"DELETE", "/queues/none"}, "404 Not Found": {"GET", "/queues/none"},
		} {
			answer := e.onTheWire(t, call[0], call[1], nil, "")
			if !strings.HasPrefix(answer, "HTTP/1.1 "+status+"\r\n") {
				t.Errorf("got %s, want %s", answer, status)
			}
			for _, line := range []string{
				fmt.Sprintf("x-mns-request-id: %08X[0-9A-F]{16}", e.clock.Now().Unix()), "x-mns-version: 2015-06-06", "x-mns-response-format: xml",
				"x-mns-netty-total-time: 0", "x-mns-threadpool-wait-time: 0", "x-mns-account-type: ", "Server: AliyunMQS",
				"Content-Type: text/xml;charset=utf-8", "Date: .* GMT",
			} {
				if !regexp.MustCompile("\r\n" + line + "\r\n").MatchString(answer) {
					t.Errorf("no %q in %s", line, answer)
				}
			}
		}
	})

	t.Run("tell how long a call took, by the server's clock", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs")
		polled := make(chan result, 1)
		go func() { polled <- e.do(t, raw{method: "GET", target: "/queues/jobs/messages?waitseconds=1"}) }()
		e.awaitPolls(t, "jobs", 1)
		begun := e.clock.Now().Unix()
		e.clock.Advance(time.Second)
		r := <-polled
		if got := r.header.Get("X-Mns-Netty-Total-Time"); got != "1000" {
			t.Errorf("it took %q ms, want 1000", got)
		}
		if id := r.text("RequestId"); !strings.HasPrefix(id, fmt.Sprintf("%08X", begun)) || id != r.header.Get("X-Mns-Request-Id") {
			t.Errorf("the id in the body is %s, in the header %s, want the time of the call first", id, r.header.Get("X-Mns-Request-Id"))
		}
	})

	t.Run("name where a thing is: a subscription without a scheme, everything else with http, over TLS too", func(t *testing.T) {
		e := start(t, nil)
		tls := httptest.NewTLSServer(e.Server)
		t.Cleanup(tls.Close)
		secure := &emulator{url: tls.URL, http: tls.Client().Transport.(*http.Transport)}
		for _, c := range []struct{ target, body, want string }{
			{"/queues/q", "<Queue/>", "http://" + host + "/queues/q"},
			{"/topics/t", "<Topic/>", "http://" + host + "/topics/t"},
			{"/topics/t/subscriptions/s", "<Subscription><Endpoint>http://127.0.0.1:1/</Endpoint></Subscription>", host + "/topics/t/subscriptions/s"},
		} {
			for called, status := range map[*emulator]int{e: 201, secure: 204} {
				if status == 204 {
					e.do(t, raw{method: "PUT", target: c.target, body: c.body})
				}
				r := called.do(t, raw{method: "PUT", target: c.target, body: c.body})
				if got := r.header.Get("Location"); got != c.want {
					t.Errorf("%s at %s: got %q, want %q", c.target, called.url, got, c.want)
				}
			}
		}
		if got := secure.do(t, raw{method: "GET", target: "/queues/none"}).text("HostId"); got != "http://"+host {
			t.Errorf("HostId is %q", got)
		}
	})
}

func TestRecordedDocuments(t *testing.T) {
	t.Run("show fourteen attributes of a queue in this order", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs")
		now := strconv.FormatInt(e.clock.Now().Unix(), 10)
		want := `<?xml version="1.0" ?>
<Queue xmlns="http://mns.aliyuncs.com/doc/v1">
  <QueueName>jobs</QueueName>
  <DelaySeconds>0</DelaySeconds>
  <MaximumMessageSize>65536</MaximumMessageSize>
  <MessageRetentionPeriod>345600</MessageRetentionPeriod>
  <VisibilityTimeout>30</VisibilityTimeout>
  <CreateTime>` + now + `</CreateTime>
  <LastModifyTime>` + now + `</LastModifyTime>
  <PollingWaitSeconds>0</PollingWaitSeconds>
  <ActiveMessages>0</ActiveMessages>
  <InactiveMessages>0</InactiveMessages>
  <DelayMessages>0</DelayMessages>
  <LoggingEnabled>False</LoggingEnabled>
  <MessageType>0</MessageType>
  <EnableSSE>False</EnableSSE>
</Queue>`
		if diff := cmp.Diff(want, e.do(t, raw{method: "GET", target: "/queues/jobs"}).body); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("show a received message in this order", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs")
		e.do(t, raw{method: "POST", target: "/queues/jobs/messages", body: `<Message><MessageBody>it-ack-test</MessageBody><UserProperties>` +
			`<PropertyValue><Name>case</Name><Value>ack</Value><Type>STRING</Type></PropertyValue></UserProperties></Message>`})
		sent := e.clock.Now().UnixMilli()
		e.clock.Advance(3005 * time.Millisecond)
		r := e.do(t, raw{method: "GET", target: "/queues/jobs/messages?numOfMessages=1&waitseconds=1"})
		want := `<?xml version="1.0" ?>
<Messages xmlns="http://mns.aliyuncs.com/doc/v1">
  <Message>
    <MessageId>` + r.text("MessageId") + `</MessageId>
    <MessageBodyMD5>` + r.text("MessageBodyMD5") + `</MessageBodyMD5>
    <MessageBody>it-ack-test</MessageBody>
    <ReceiptHandle>` + r.text("ReceiptHandle") + `</ReceiptHandle>
    <EnqueueTime>` + fmt.Sprint(sent) + `</EnqueueTime>
    <FirstDequeueTime>` + fmt.Sprint(sent+3005) + `</FirstDequeueTime>
    <NextVisibleTime>` + fmt.Sprint(sent+33005) + `</NextVisibleTime>
    <DequeueCount>1</DequeueCount>
    <Priority>8</Priority>
    <UserProperties>
      <PropertyValue>
        <Name>case</Name>
        <Value>ack</Value>
        <Type>STRING</Type>
      </PropertyValue>
    </UserProperties>
  </Message>
</Messages>`
		if diff := cmp.Diff(want, r.body); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTexts(t *testing.T) {
	e := start(t, nil)
	e.queue(t, "jobs")
	e.topic(t, "news")
	for want, call := range map[string]raw{
		"Message not exist.":                                             {method: "GET", target: "/queues/jobs/messages"},
		"The queue name you provided is not exist.":                      {method: "GET", target: "/queues/none/messages"},
		"The topic name you provided is not exist.":                      {method: "GET", target: "/topics/none"},
		"The subscription name you provided is not exist.":               {method: "GET", target: "/topics/news/subscriptions/none"},
		"The queue you want to create is already exist.":                 {method: "PUT", target: "/queues/jobs", body: "<Queue><DelaySeconds>1</DelaySeconds></Queue>"},
		"The receipt handle you provide is not valid.":                   {method: "DELETE", target: "/queues/jobs/messages?ReceiptHandle=none"},
		"The value of DelaySeconds should between 0 and 604800 seconds.": {method: "PUT", target: "/queues/new", body: "<Queue><DelaySeconds>-1</DelaySeconds></Queue>"},
		"The Authorization header format is invalid.":                    {method: "GET", target: "/queues", unsigned: true, header: map[string]string{"Authorization": "Basic eDp5"}},
		"The Date header format is invalid.":                             {method: "GET", target: "/queues", header: map[string]string{"Date": "today"}},
		"The Content-MD5 you specified is invalid.":                      {method: "GET", target: "/queues", header: map[string]string{"Content-Md5": "none"}},
	} {
		if got := e.do(t, call).text("Message"); got != want {
			t.Errorf("%s %s: got %q, want %q", call.method, call.target, got, want)
		}
	}
}
