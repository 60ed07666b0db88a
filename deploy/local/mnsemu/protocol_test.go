package mnsemu_test

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/mnsemu"
)

func TestSignature(t *testing.T) {
	for _, vector := range []struct {
		name, id, secret, method, target, authorization string
		header                                          []string
	}{
		{
			"Java's V2 with a header of its own", "ak1", "sk1", "POST", "/queues/TestQueue", "MNS ak1:cAThPWnbphg3hDe3ZHDADTgkgyE=",
			[]string{"Date", "Tue, 03 Jun 2025 11:23:48 GMT", "X-Mns-Version", "", "X-Mns-Abcdef", "abcDEF"},
		},
		{
			"Node's", "ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "PUT", "/", "MNS ACCESS_KEY_ID:A9zehggaYHHujmuRMxGIDrhWwx8=",
			[]string{"Content-Md5", "574683b3684e3cff610afa155cc2506d", "Content-Type", "text/xml", "Date", "Tue, 11 Apr 2017 10:09:19 GMT"},
		},
		{
			"Java's V4 with a query", "ak1", "sk1", "POST",
			"/queues/TestQueue/?PARAM3=%5Bdef%5D%23bbb&param1=abc&PARAM4=%E4%B8%AD%E6%96%87%E5%8F%82%E6%95%B0&PARAM2=d%20%20ef",
			"MNS4-HMAC-SHA256 Credential=ak1/20250603/region1/mns/aliyun_v4_request,Signature=1fc6013f158d4c3aba09570895a2a93c8445c2c5213d82a1463baf602cf0d945",
			[]string{"Date", "Tue, 03 Jun 2025 10:52:35 GMT", "X-Mns-Version", ""},
		},
		{
			"Java's V4 with the content's headers", "akkkkk222222222", "skkkkkk2222222222", "GET", "/queues",
			"MNS4-HMAC-SHA256 Credential=akkkkk222222222/20251204/eu-west-1/mns/aliyun_v4_request,Signature=294f776a2d5726df679b54b081ab8126a199a2545c8c8a7a875adff0b386e458",
			[]string{
				"Date", "Thu, 04 Dec 2025 06:32:35 GMT", "X-Mns-Version", "2015-06-30", "X-Mns-Ttt", "1", "X-Mns-Uuuuu", "FALse",
				"Content-Type", "application/json", "Content-Md5", "0d9d2ce750000593eb34f00",
			},
		},
	} {
		t.Run("knows the vector "+vector.name, func(t *testing.T) {
			e := start(t, func(c *mnsemu.Config) { c.AccessKeyID, c.AccessKeySecret = vector.id, vector.secret })
			header := append(vector.header, "Authorization", vector.authorization)
			// A vector has an old date, so the answer to a right signature is that the time is over.
			same(t, "TimeExpired", e.do(vector.method, vector.target, "", header...).text("Code"))
			same(t, "SignatureDoesNotMatch", e.do(vector.method, vector.target, "", append(header, "X-Mns-Extra", "unsigned")...).text("Code"))
		})
	}

	t.Run("allows a clock to be wrong by a quarter of an hour, by x-mns-date if there is one", func(t *testing.T) {
		e := start(t)
		for offset, want := range map[time.Duration]int{
			-14 * time.Minute: 200, 14 * time.Minute: 200, -16 * time.Minute: 408, 16 * time.Minute: 408,
		} {
			date := time.Now().Add(offset).UTC().Format(http.TimeFormat)
			for _, header := range [][]string{{"Date", date}, {"Date", "Tue, 03 Jun 2025 11:23:48 GMT", "X-Mns-Date", date}} {
				same(t, fmt.Sprint(offset, " ", want), fmt.Sprint(offset, " ", e.do("GET", "/queues", "", header...).status))
			}
		}
	})

	t.Run("checks the digest of the body in both encodings", func(t *testing.T) {
		e := start(t)
		body := `<Queue></Queue>`
		sum := md5.Sum([]byte(body))
		for _, digest := range [][]byte{sum[:], fmt.Appendf(nil, "%x", sum)} {
			encoded := base64.StdEncoding.EncodeToString(digest)
			same(t, 2, e.do("PUT", "/queues/q", body, "Content-Md5", encoded).status/100)
			same(t, "InvalidDegist", e.do("PUT", "/queues/q", body+" ", "Content-Md5", encoded).text("Code"))
		}
	})
}

// onTheWire sends a request as the bytes of a head, with these lines in it, and a body. It returns the answer byte for byte.
func (e *emulator) onTheWire(method, target, lines, body string) string {
	e.t.Helper()
	h := http.Header{}
	complete(h, method, target)
	connection, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	check(e.t, err)
	defer connection.Close()
	fmt.Fprintf(connection, "%s %s HTTP/1.1\r\nHost: %s\r\nDATE: %s\r\nx-mns-version: 2015-06-06\r\nAuthorization: %s\r\nConnection: close\r\n%s\r\n%s",
		method, target, host, h.Get("Date"), h.Get("Authorization"), lines, body)
	answer, err := io.ReadAll(connection)
	check(e.t, err)
	return string(answer)
}

// The answers in these tests are those of the real service, recorded in September 2026 (the test mappings of salesforce/multicloudj).
func TestRecordedAnswers(t *testing.T) {
	t.Run("have these headers, in these cases, with a body or without, for a success or a refusal", func(t *testing.T) {
		e := start(t)
		e.clock.Advance(time.Hour)
		e.queue("jobs")
		for status, call := range map[string][2]string{
			"200 OK": {"GET", "/queues/jobs"}, "204 No Content": {"DELETE", "/queues/none"}, "404 Not Found": {"GET", "/queues/none"},
		} {
			answer := e.onTheWire(call[0], call[1], "", "")
			for _, line := range []string{
				"^HTTP/1.1 " + status,
				fmt.Sprintf("\r\nx-mns-request-id: %08X[0-9A-F]{16}", e.clock.Now().Unix()), "\r\nx-mns-version: 2015-06-06", "\r\nx-mns-response-format: xml",
				"\r\nx-mns-netty-total-time: 0", "\r\nx-mns-threadpool-wait-time: 0", "\r\nx-mns-account-type: ", "\r\nServer: AliyunMQS",
				"\r\nContent-Type: text/xml;charset=utf-8", "\r\nDate: .* GMT",
			} {
				if !regexp.MustCompile(line + "\r\n").MatchString(answer) {
					t.Errorf("no %q in %s", line, answer)
				}
			}
		}
	})

	t.Run("tell how long a call took, by the server's clock", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		answered := make(chan result, 1)
		go func() { answered <- e.do("GET", "/queues/jobs/messages?waitseconds=1", "") }()
		e.clock.Await(1)
		begun := e.clock.Now().Unix()
		e.clock.Advance(time.Second)
		r := <-answered
		same(t, "1000", r.header.Get("X-Mns-Netty-Total-Time"))
		id := r.header.Get("X-Mns-Request-Id")
		if !strings.HasPrefix(id, fmt.Sprintf("%08X", begun)) {
			t.Errorf("the id is %s, want the time of the call first", id)
		}
		want := `<?xml version="1.0" ?>
<Error xmlns="http://mns.aliyuncs.com/doc/v1">
  <Code>MessageNotExist</Code>
  <Message>Message not exist.</Message>
  <RequestId>` + id + `</RequestId>
  <HostId>http://` + host + `</HostId>
</Error>`
		same(t, want, r.body)
		q.send("m", 0)
	})

	t.Run("name where a thing is: a subscription without a scheme, everything else with http, over TLS too", func(t *testing.T) {
		e := start(t)
		tls := httptest.NewTLSServer(e.Server)
		t.Cleanup(tls.Close)
		secure := &emulator{t: t, url: tls.URL, http: tls.Client().Transport.(*http.Transport)}
		for _, c := range []struct{ target, body, want string }{
			{"/queues/q", "<Queue/>", "http://" + host + "/queues/q"},
			{"/topics/t", "<Topic/>", "http://" + host + "/topics/t"},
			{"/topics/t/subscriptions/s", "<Subscription><Endpoint>http://127.0.0.1:1/</Endpoint></Subscription>", host + "/topics/t/subscriptions/s"},
		} {
			made, again := e.do("PUT", c.target, c.body), secure.do("PUT", c.target, c.body)
			if made.status != 201 || made.header.Get("Location") != c.want || again.status != 204 || again.header.Get("Location") != c.want {
				t.Errorf("%s: made %+v, again %+v", c.target, made, again)
			}
		}
		same(t, "http://"+host, secure.do("GET", "/queues/none", "").text("HostId"))
	})

	t.Run("show fourteen attributes of a queue in this order", func(t *testing.T) {
		e := start(t)
		e.queue("jobs")
		now := fmt.Sprint(e.clock.Now().Unix())
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
		same(t, want, e.do("GET", "/queues/jobs", "").body)
	})

	t.Run("show a received message in this order, text to the byte, and the properties where the PHP SDK finds them", func(t *testing.T) {
		e := start(t)
		e.queue("jobs")
		e.do("POST", "/queues/jobs/messages", `<?xml version="1.0" encoding="utf-8"?>
<Message xmlns="http://mns.aliyuncs.com/doc/v1/"><UserProperties>
<PropertyValue><Name>n</Name><Value>1.5</Value><Type>NUMBER</Type></PropertyValue>
<PropertyValue><Name>bin</Name><Value>AAE=</Value><Type>BINARY</Type></PropertyValue>
<PropertyValue><Name>yes</Name><Value>true</Value><Type>BOOLEAN</Type></PropertyValue></UserProperties>
<SystemProperties><SystemPropertyValue><Name>baggage</Name><Value>a=b</Value><Type>STRING</Type></SystemPropertyValue></SystemProperties>
<MessageBody>a&#13;
b &lt;&amp;&gt;"é'�c</MessageBody><MessageGroupId>g</MessageGroupId><Priority>3</Priority></Message>`)
		sent := e.clock.Now().UnixMilli()
		e.clock.Advance(3005 * time.Millisecond)
		r := e.do("GET", "/queues/jobs/messages?numOfMessages=1&waitseconds=1", "")
		want := `<?xml version="1.0" ?>
<Messages xmlns="http://mns.aliyuncs.com/doc/v1">
  <Message>
    <MessageId>` + r.text("MessageId") + `</MessageId>
    <MessageBodyMD5>` + fmt.Sprintf("%X", md5.Sum([]byte("a\r\nb <&>\"é'\ufffdc"))) + `</MessageBodyMD5>
    <MessageBody>a&#13;
b &lt;&amp;&gt;"é'�c</MessageBody>
    <ReceiptHandle>` + r.text("ReceiptHandle") + `</ReceiptHandle>
    <EnqueueTime>` + fmt.Sprint(sent) + `</EnqueueTime>
    <FirstDequeueTime>` + fmt.Sprint(sent+3005) + `</FirstDequeueTime>
    <NextVisibleTime>` + fmt.Sprint(sent+33005) + `</NextVisibleTime>
    <DequeueCount>1</DequeueCount>
    <Priority>3</Priority>
    <MessageGroupId>g</MessageGroupId>
    <SystemProperties>
      <SystemPropertyValue>
        <Name>baggage</Name>
        <Value>a=b</Value>
        <Type>STRING</Type>
      </SystemPropertyValue>
    </SystemProperties>
    <UserProperties>
      <PropertyValue>
        <Name>n</Name>
        <Value>1.5</Value>
        <Type>NUMBER</Type>
      </PropertyValue>
      <PropertyValue>
        <Name>bin</Name>
        <Value>AAE=</Value>
        <Type>BINARY</Type>
      </PropertyValue>
      <PropertyValue>
        <Name>yes</Name>
        <Value>true</Value>
        <Type>BOOLEAN</Type>
      </PropertyValue>
    </UserProperties>
  </Message>
</Messages>`
		same(t, want, r.body)
	})

	t.Run("have no empty elements in an empty list", func(t *testing.T) {
		e := start(t)
		for target, root := range map[string]string{"/queues": "Queues", "/topics": "Topics"} {
			want := "<?xml version=\"1.0\" ?>\n<" + root + ` xmlns="http://mns.aliyuncs.com/doc/v1">` + "\n</" + root + ">"
			same(t, want, e.do("GET", target, "").body)
		}
	})
}

func TestRequestsOfClients(t *testing.T) {
	message := "<Message><MessageBody>m</MessageBody></Message>"

	t.Run("may write a document in any form", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		for name, document := range map[string]string{
			"Java":                 `<?xml version="1.0" encoding="UTF-8" standalone="no"?><Message xmlns="http://mns.aliyuncs.com/doc/v1"><MessageBody>m</MessageBody></Message>`,
			"Python":               `<?xml version="1.0" ?><Message xmlns="http://mns.aliyuncs.com/doc/v1/"><MessageBody>m</MessageBody></Message>`,
			"PHP":                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Message xmlns=\"http://mns.aliyuncs.com/doc/v1/\">\n <MessageBody>m</MessageBody>\n</Message>\n",
			"Go":                   message,
			".NET":                 "\uFEFF<?xml version=\"1.0\" encoding=\"utf-8\"?>" + message,
			"a prefix":             `<x:Message xmlns:x="http://mns.aliyuncs.com/doc/v1"><x:MessageBody>m</x:MessageBody></x:Message>`,
			"another name of it":   `<?xml version='1.0' encoding='utf8'?><Message><MessageBody>m</MessageBody></Message>`,
			"white space, comment": "\r\n\t <!-- c --><Message>\r\n<Priority> 8\r\n</Priority><MessageBody>m</MessageBody>\t</Message>\r\n",
			"a section":            `<Message><MessageBody><![CDATA[m]]></MessageBody></Message>`,
		} {
			same(t, name+": 201", fmt.Sprint(name, ": ", e.do("POST", "/queues/jobs/messages", document).status))
			same(t, name+": m", name+": "+q.must().MessageBody)
		}
	})

	t.Run("may come in chunks, with an empty body as Node's, or expect to continue as Java's", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		chunks := "1f\r\n<Message><MessageBody>chunked</\r\n16\r\nMessageBody></Message>\r\n0\r\n\r\n"
		if answer := e.onTheWire("POST", "/queues/jobs/messages", "TRANSFER-ENCODING: chunked\r\n", chunks); !strings.HasPrefix(answer, "HTTP/1.1 201 ") {
			t.Fatalf("got %s", answer)
		}
		got := q.must()
		if got.MessageBody != "chunked" {
			t.Errorf("got %q", got.MessageBody)
		}
		target := "/queues/jobs/messages?ReceiptHandle=" + got.ReceiptHandle
		if answer := e.onTheWire("DELETE", target, "content-length: 0\r\n", ""); !strings.HasPrefix(answer, "HTTP/1.1 204 ") {
			t.Errorf("got %s", answer)
		}
		lines := fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n", len(message))
		if answer := e.onTheWire("POST", "/queues/jobs/messages", lines, message); !strings.HasPrefix(answer, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ") {
			t.Errorf("got %s", answer)
		}
	})

	t.Run("may write a handle raw or percent-encoded, under a key in any case, and a slash behind the path", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		for name, query := range map[string]func(handle string) string{
			"raw":                   func(handle string) string { return "receiptHandle=" + handle },
			"encoded":               func(handle string) string { return "ReceiptHandle=" + url.QueryEscape(handle) },
			"encoded in lower case": func(handle string) string { return "receipthandle=" + strings.ReplaceAll(handle, "=", "%3d") },
			"encoded needlessly":    func(handle string) string { return fmt.Sprintf("RECEIPTHANDLE=%%%02x%s", handle[0], handle[1:]) },
		} {
			for range 20 { // paddings of all lengths come up
				q.send("m", 0)
				handle := q.must().ReceiptHandle
				same(t, name+" 204", fmt.Sprint(name, " ", e.do("DELETE", "/queues/jobs/messages/?"+query(handle), "ignored").status))
			}
		}
	})
}
