package mnsemu_test

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/mnsclient"
)

// inProcess is a request to the handler itself, whatever a client would think of it.
func (e *emulator) inProcess(method, target, body string, header http.Header) *httptest.ResponseRecorder {
	path, _, _ := strings.Cut(target, "?")
	r := &http.Request{
		Method: method, RequestURI: target, URL: &url.URL{Path: path}, Host: host, Header: header,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

// checkAnswer holds an answer to the form that all have.
func checkAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	body := w.Body.Bytes()
	// A batch that failed in part is a 500 too.
	if bytes.Contains(body, []byte("<Code>InternalError<")) || w.Code >= http.StatusBadRequest && len(body) == 0 {
		t.Fatalf("got %d: %s", w.Code, body)
	}
	if err := xml.Unmarshal(body, &struct{}{}); len(body) > 0 && err != nil {
		t.Fatalf("got %d, not XML: %v in %s", w.Code, err, body)
	}
}

// FuzzBody asserts that every document is carried out or refused, in XML, and that a message is stored as it was written.
func FuzzBody(f *testing.F) {
	e := start(f)
	e.queue("q")
	// A subscription is left out: the server would call the addresses it finds.
	operations := [][2]string{
		{"POST", "/queues/q/messages"},
		{"DELETE", "/queues/q/messages"},
		{"PUT", "/queues/p"},
		{"PUT", "/queues/p?metaoverride=true"},
		{"PUT", "/topics/t"},
		{"POST", "/topics/t/messages"},
		{"PUT", "/?accountmeta=true"},
	}
	f.Add(uint8(0), "&\x8e>")
	f.Add(uint8(0), `<Message xmlns="http://mns.aliyuncs.com/doc/v1/"><MessageBody>a &amp; b&#13;</MessageBody><DelaySeconds>1</DelaySeconds><Priority>8</Priority></Message>`)
	f.Add(uint8(0), "\uFEFF"+`<?xml version="1.0" encoding="utf8"?><Message><MessageBody>m</MessageBody></Message>`)
	f.Add(uint8(0), `<?xml version="1.0" encoding="UTF-8"?><Messages><Message><MessageBody><![CDATA[<x>]]></MessageBody></Message><Message/></Messages>`)
	f.Add(uint8(1), `<ReceiptHandles><ReceiptHandle>1-ODU4OTkzNDU5My0xNDM1MTk3NjAwLTItNg==</ReceiptHandle></ReceiptHandles>`)
	f.Add(uint8(2), `<Queue><VisibilityTimeout>60</VisibilityTimeout><MessageRetentionPeriod>1209600</MessageRetentionPeriod></Queue>`)
	f.Add(uint8(3), `<Queue><DelaySeconds>0</DelaySeconds><LoggingEnabled>True</LoggingEnabled></Queue>`)
	f.Add(uint8(4), `<Topic><MaximumMessageSize>65536</MaximumMessageSize></Topic>`)
	f.Add(uint8(5), `<Message><MessageBody>x</MessageBody><MessageTag>important</MessageTag></Message>`)
	f.Add(uint8(6), `<Account><LoggingBucket>b</LoggingBucket></Account>`)
	f.Fuzz(func(t *testing.T, operation uint8, body string) {
		o := operations[int(operation)%len(operations)]
		header := http.Header{}
		complete(header, o[0], o[1])
		w := e.inProcess(o[0], o[1], body, header)
		checkAnswer(t, w)
		var sent struct {
			XMLName     xml.Name `xml:"Message"`
			MessageBody []string
		}
		if w.Code != http.StatusCreated || o[1] != "/queues/q/messages" || xml.Unmarshal([]byte(body), &sent) != nil || len(sent.MessageBody) != 1 {
			return
		}
		var answer struct{ MessageBodyMD5 string }
		check(t, xml.Unmarshal(w.Body.Bytes(), &answer))
		if want := fmt.Sprintf("%X", md5.Sum([]byte(sent.MessageBody[0]))); answer.MessageBodyMD5 != want {
			t.Fatalf("%q was stored with the sum %s, want %s", sent.MessageBody[0], answer.MessageBodyMD5, want)
		}
	})
}

// FuzzAuthorization asserts that nobody gets in without the signature of the very request.
func FuzzAuthorization(f *testing.F) {
	e := start(f)
	e.queue("q")
	v4 := "MNS4-HMAC-SHA256 Credential=" + accessKey + "/" + time.Now().UTC().Format("20060102") + "/cn-local/mns/aliyun_v4_request,Signature=" + strings.Repeat("0", 64)
	now := time.Now().UTC().Format(http.TimeFormat)
	f.Add("GET", "/queues/q", "MNS "+accessKey+":c2lnbmF0dXJl", now, "", "2015-06-06", "")
	f.Add("GET", "/queues?x=%20&y", v4, "", now, "2015-06-06", "1B2M2Y8AsgTpgAmY7PhCfg==")
	for _, target := range []string{"/queues/q", "/%01"} {
		signed := http.Header{}
		complete(signed, "GET", target)
		f.Add("GET", target, signed.Get("Authorization"), signed.Get("Date"), "", "2015-06-06", "")
	}
	f.Fuzz(func(t *testing.T, method, target, authorization, date, mnsDate, version, digest string) {
		header := http.Header{}
		complete(header, method, target, "X-Mns-Version", version, "Authorization", cmp.Or(authorization, "-"), "Date", date, "X-Mns-Date", mnsDate, "Content-Md5", digest)
		if strings.HasPrefix(target, "/_local/") {
			t.Skip("a path for scripts")
		}
		w := e.inProcess(method, target, "", header)
		checkAnswer(t, w)
		mine := "MNS " + accessKey + ":" + mnsclient.Sign(secretKey, method, target, header)
		if w.Code < http.StatusBadRequest && authorization != mine {
			t.Fatalf("let in with %q, want %q: %d %s", authorization, mine, w.Code, w.Body)
		}
	})
}
