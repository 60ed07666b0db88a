package mnsemu_test

import (
	"bufio"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/mnsemu"
)

func TestSignature(t *testing.T) {
	// A vector carries an old date, so a signature that is right gets past SignatureDoesNotMatch to TimeExpired.
	const goodButOld = "408 TimeExpired"
	day := map[string]string{"Date": "Tue, 03 Jun 2025 11:23:48 GMT", "X-Mns-Version": ""}
	for _, vector := range []struct {
		name, id, secret, method, target, body, host, authorization string
		header                                                      map[string]string
	}{
		{
			name: "Java's V2 with a header of its own", id: "ak1", secret: "sk1", method: "POST", target: "/queues/TestQueue",
			header:        map[string]string{"X-Mns-Abcdef": "abcDEF"},
			authorization: "MNS ak1:cAThPWnbphg3hDe3ZHDADTgkgyE=",
		},
		{
			name: "Java's V2 without headers", id: "testAk", secret: "testSk", method: "GET", target: "/queues/TestQueue",
			authorization: "MNS testAk:uDJQXbk2xOhH95MDXmgbAGdtyE4=",
		},
		{
			name: "Node's", id: "ACCESS_KEY_ID", secret: "ACCESS_KEY_SECRET", method: "PUT", target: "/",
			header: map[string]string{
				"Content-Md5": "574683b3684e3cff610afa155cc2506d", "Content-Type": "text/xml", "Date": "Tue, 11 Apr 2017 10:09:19 GMT",
				"X-Mns-Version": "2015-06-06",
			},
			authorization: "MNS ACCESS_KEY_ID:A9zehggaYHHujmuRMxGIDrhWwx8=",
		},
		{
			name: "Java's V4 with a query", id: "ak1", secret: "sk1", method: "POST",
			target:        "/queues/TestQueue/?PARAM3=%5Bdef%5D%23bbb&param1=abc&PARAM4=%E4%B8%AD%E6%96%87%E5%8F%82%E6%95%B0&PARAM2=d%20%20ef",
			header:        map[string]string{"Date": "Tue, 03 Jun 2025 10:52:35 GMT"},
			authorization: "MNS4-HMAC-SHA256 Credential=ak1/20250603/region1/mns/aliyun_v4_request,Signature=1fc6013f158d4c3aba09570895a2a93c8445c2c5213d82a1463baf602cf0d945",
		},
		{
			name: "Java's V4 with its own headers", id: "akkkkk1111111111", secret: "skkkkkkk1111111111", method: "PUT", target: "/queues/TestQueue123456",
			header: map[string]string{
				"Date": "Wed, 03 Dec 2025 11:23:48 GMT", "X-Mns-Abc": "kkk", "X-Mns-Sss": "2015-06-06xFFF", "X-Kkk-Def": "lll",
			},
			authorization: "MNS4-HMAC-SHA256 Credential=akkkkk1111111111/20251203/region2/mns/aliyun_v4_request,Signature=04f1e5f929b5aaac3af6a54970f591581ecd2aade2562f926c5f2ec5d5c8cfad",
		},
		{
			name: "Java's V4 with the content's headers", id: "akkkkk222222222", secret: "skkkkkk2222222222", method: "GET", target: "/queues",
			header: map[string]string{
				"Date": "Thu, 04 Dec 2025 06:32:35 GMT", "X-Mns-Version": "2015-06-30", "X-Mns-Ttt": "1", "X-Mns-Uuuuu": "FALse",
				"Content-Type": "application/json", "Content-Md5": "0d9d2ce750000593eb34f00",
			},
			authorization: "MNS4-HMAC-SHA256 Credential=akkkkk222222222/20251204/eu-west-1/mns/aliyun_v4_request,Signature=294f776a2d5726df679b54b081ab8126a199a2545c8c8a7a875adff0b386e458",
		},
	} {
		t.Run("knows the vector "+vector.name, func(t *testing.T) {
			e := start(t, func(c *mnsemu.Config) { c.AccessKeyID, c.AccessKeySecret = vector.id, vector.secret })
			header := map[string]string{"Authorization": vector.authorization}
			for _, part := range []map[string]string{day, vector.header} {
				for name, value := range part {
					header[name] = value
				}
			}
			call := raw{method: vector.method, target: vector.target, header: header, unsigned: true}
			r := e.do(t, call)
			if got := fmt.Sprint(r.status, " ", r.text("Code")); got != goodButOld {
				t.Errorf("right signature: got %s, want %s", got, goodButOld)
			}
			header["X-Mns-Extra"] = "unsigned"
			r = e.do(t, call)
			if got := fmt.Sprint(r.status, " ", r.text("Code")); got != "403 SignatureDoesNotMatch" {
				t.Errorf("with a header added: got %s", got)
			}
		})
	}

	t.Run("judges the key, then the signature, and then whose account the host names", func(t *testing.T) {
		e := start(t, nil)
		for want, call := range map[string]raw{
			"403 InvalidAccessKeyId: The access Id you provided does not exist.": {id: "somebody", secret: "guess"},
			"403 SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided. Check your key and signing method.": {
				secret: "guess",
			},
			"403 AccessDenied: The OwnerId that your Access Key Id associated to is forbidden for this operation.": {},
		} {
			call.method, call.target, call.host = "GET", "/queues", "accountid.mns.cn-shanghai.aliyuncs.com"
			r := e.do(t, call)
			if got := fmt.Sprintf("%d %s: %s", r.status, r.text("Code"), r.text("Message")); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	})

	t.Run("takes x-mns-date for the date", func(t *testing.T) {
		e := start(t, nil)
		r := e.do(t, raw{method: "GET", target: "/queues", header: map[string]string{
			"Date": "Tue, 03 Jun 2025 11:23:48 GMT", "X-Mns-Date": time.Now().UTC().Format(http.TimeFormat),
		}})
		if r.status != 200 {
			t.Errorf("got %+v", r)
		}
	})

	t.Run("allows a clock to be wrong by a quarter of an hour", func(t *testing.T) {
		e := start(t, nil)
		for offset, want := range map[time.Duration]int{
			-14 * time.Minute: 200, 14 * time.Minute: 200, -16 * time.Minute: 408, 16 * time.Minute: 408,
		} {
			date := time.Now().Add(offset).UTC().Format(http.TimeFormat)
			if r := e.do(t, raw{method: "GET", target: "/queues", header: map[string]string{"Date": date}}); r.status != want {
				t.Errorf("off by %s: got %+v, want %d", offset, r, want)
			}
		}
	})

	t.Run("checks the digest of the body in both encodings", func(t *testing.T) {
		e := start(t, nil)
		body := `<Queue></Queue>`
		sum := md5.Sum([]byte(body))
		for name, c := range map[string]struct {
			digest string
			status int
		}{
			"hex text": {base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("%x", sum))), 201},
			"bytes":    {base64.StdEncoding.EncodeToString(sum[:]), 204},
			"none":     {"", 204},
		} {
			if r := e.do(t, raw{method: "PUT", target: "/queues/q", body: body, header: map[string]string{"Content-Md5": c.digest}}); r.status/100 != 2 {
				t.Errorf("%s: got %+v", name, r)
			}
		}
		r := e.do(t, raw{method: "PUT", target: "/queues/q", body: body + " ", header: map[string]string{"Content-Md5": base64.StdEncoding.EncodeToString(sum[:])}})
		if r.status != 400 || r.text("Code") != "InvalidDegist" {
			t.Errorf("another body: got %+v", r)
		}
	})
}

func TestAnswers(t *testing.T) {
	t.Run("writes an error with all four elements", func(t *testing.T) {
		e := start(t, nil)
		r := e.do(t, raw{method: "GET", target: "/queues/none"})
		id := r.header.Get("X-Mns-Request-Id")
		want := `<?xml version="1.0" ?>
<Error xmlns="http://mns.aliyuncs.com/doc/v1">
  <Code>QueueNotExist</Code>
  <Message>The queue name you provided is not exist.</Message>
  <RequestId>` + id + `</RequestId>
  <HostId>http://` + host + `</HostId>
</Error>`
		if diff := cmp.Diff(want, r.body); diff != "" {
			t.Error(diff)
		}
		if !regexp.MustCompile(`^[0-9A-F]{24}$`).MatchString(id) {
			t.Errorf("request id %q", id)
		}
	})

	t.Run("writes the request id in lower case on the wire, and answers an expectation to continue", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs")
		body := "<Message><MessageBody>m</MessageBody></Message>"
		request, err := http.NewRequest("POST", "http://"+host+"/queues/jobs/messages", nil)
		if err != nil {
			t.Fatal(err)
		}
		date := time.Now().UTC().Format(http.TimeFormat)
		request.Header = http.Header{"Date": {date}, "X-Mns-Version": {"2015-06-06"}}
		connection, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		fmt.Fprintf(connection, "POST /queues/jobs/messages HTTP/1.1\r\nHost: %s\r\nDATE: %s\r\nx-mns-version: 2015-06-06\r\nAuthorization: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
			host, date, sign(request, "/queues/jobs/messages", "", ""), len(body))
		reader := bufio.NewReader(connection)
		if line, err := reader.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		io.WriteString(connection, body)
		answer, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"HTTP/1.1 201 ", "\r\nx-mns-request-id: ", "\r\nx-mns-version: 2015-06-06", "\r\nContent-Type: text/xml;charset=utf-8\r\n"} {
			if !strings.Contains(string(answer), want) {
				t.Errorf("no %q in %s", want, answer)
			}
		}
	})

	t.Run("returns properties in the order the PHP SDK can read, the group, and text to the byte", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs")
		r := e.do(t, raw{method: "POST", target: "/queues/jobs/messages", body: `<?xml version="1.0" encoding="utf-8"?>
<Message xmlns="http://mns.aliyuncs.com/doc/v1/"><UserProperties>
<PropertyValue><Name>n</Name><Value>1.5</Value><Type>NUMBER</Type></PropertyValue>
<PropertyValue><Name>bin</Name><Value>AAE=</Value><Type>BINARY</Type></PropertyValue>
<PropertyValue><Name>yes</Name><Value>true</Value><Type>BOOLEAN</Type></PropertyValue></UserProperties>
<SystemProperties><SystemPropertyValue><Name>baggage</Name><Value>a=b</Value><Type>STRING</Type></SystemPropertyValue></SystemProperties>
<MessageBody>a&#13;
b &lt;&amp;&gt;é�c</MessageBody><MessageGroupId>g</MessageGroupId><Priority>3</Priority></Message>`})
		if r.status != 201 || r.text("ReceiptHandle") != "" {
			t.Fatalf("got %+v", r)
		}
		now := e.clock.Now().UnixMilli()
		r = e.do(t, raw{method: "GET", target: "/queues/jobs/messages"})
		want := `<Message xmlns="http://mns.aliyuncs.com/doc/v1">
  <MessageId>` + r.text("MessageId") + `</MessageId>
  <MessageBodyMD5>` + fmt.Sprintf("%X", md5.Sum([]byte("a\r\nb <&>é\ufffdc"))) + `</MessageBodyMD5>
  <MessageBody>a&#13;
b &lt;&amp;&gt;é�c</MessageBody>
  <ReceiptHandle>` + r.text("ReceiptHandle") + `</ReceiptHandle>
  <EnqueueTime>` + fmt.Sprint(now) + `</EnqueueTime>
  <FirstDequeueTime>` + fmt.Sprint(now) + `</FirstDequeueTime>
  <NextVisibleTime>` + fmt.Sprint(now+30000) + `</NextVisibleTime>
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
</Message>`
		if diff := cmp.Diff(want, afterDeclaration(r.body)); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("has no empty elements in an empty list", func(t *testing.T) {
		e := start(t, nil)
		for target, root := range map[string]string{"/queues": "Queues", "/topics": "Topics"} {
			r := e.do(t, raw{method: "GET", target: target})
			want := "<" + root + ` xmlns="http://mns.aliyuncs.com/doc/v1">` + "\n</" + root + ">"
			if diff := cmp.Diff(want, afterDeclaration(r.body)); r.status != 200 || diff != "" {
				t.Errorf("status %d %s", r.status, diff)
			}
		}
	})
}
