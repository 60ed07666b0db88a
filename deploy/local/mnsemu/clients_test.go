package mnsemu_test

import (
	"strings"
	"testing"
)

func TestDocumentsOfClients(t *testing.T) {
	t.Run("may begin with a byte-order mark, as those of .NET do, whatever the call", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		e.topic(t, "news")
		send(t, q, "m")
		handle := mustReceive(t, q).ReceiptHandle
		message := "<Message><MessageBody>m</MessageBody></Message>"
		for _, call := range []raw{
			{method: "PUT", target: "/queues/new", body: "<Queue></Queue>"},
			{method: "PUT", target: "/queues/jobs?metaoverride=true", body: "<Queue></Queue>"},
			{method: "POST", target: "/queues/jobs/messages", body: message},
			{method: "POST", target: "/queues/jobs/messages", body: "<Messages>" + message + "</Messages>"},
			{method: "DELETE", target: "/queues/jobs/messages", body: "<ReceiptHandles><ReceiptHandle>" + handle + "</ReceiptHandle></ReceiptHandles>"},
			{method: "PUT", target: "/topics/new", body: "<Topic></Topic>"},
			{method: "POST", target: "/topics/news/messages", body: message},
			{method: "PUT", target: "/topics/news/subscriptions/s", body: "<Subscription><Endpoint>http://192.0.2.1/</Endpoint></Subscription>"},
			{method: "PUT", target: "/?accountmeta=true", body: "<Account></Account>"},
		} {
			for _, mark := range []string{"\uFEFF", "\uFEFF<?xml version=\"1.0\" encoding=\"utf-8\"?>"} {
				marked := call
				marked.body = mark + call.body
				// The second delete finds nothing any more, which it says of the handle it has read.
				if r := e.do(t, marked); r.status/100 != 2 && r.text("ErrorCode") != "MessageNotExist" {
					t.Errorf("%s %s %q: got %+v", call.method, call.target, marked.body, r)
				}
			}
		}
	})

	t.Run("may be written as any client writes them", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		for name, document := range map[string]string{
			"Java":                 `<?xml version="1.0" encoding="UTF-8" standalone="no"?><Message xmlns="http://mns.aliyuncs.com/doc/v1"><MessageBody>m</MessageBody></Message>`,
			"Python":               `<?xml version="1.0" ?><Message xmlns="http://mns.aliyuncs.com/doc/v1/"><MessageBody>m</MessageBody></Message>`,
			"PHP":                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Message xmlns=\"http://mns.aliyuncs.com/doc/v1/\">\n <MessageBody>m</MessageBody>\n</Message>\n",
			"Go":                   `<Message><MessageBody>m</MessageBody></Message>`,
			"a prefix":             `<x:Message xmlns:x="http://mns.aliyuncs.com/doc/v1"><x:MessageBody>m</x:MessageBody></x:Message>`,
			"another name of it":   `<?xml version='1.0' encoding='utf8'?><Message><MessageBody>m</MessageBody></Message>`,
			"white space, comment": "\r\n\t <!-- c --><Message>\r\n<Priority> 8\r\n</Priority><MessageBody>m</MessageBody>\t</Message>\r\n",
			"a section":            `<Message><MessageBody><![CDATA[m]]></MessageBody></Message>`,
		} {
			if r := e.do(t, raw{method: "POST", target: "/queues/jobs/messages", body: document}); r.status != 201 {
				t.Fatalf("%s: got %+v", name, r)
			}
			if got := mustReceive(t, q).MessageBody; got != "m" {
				t.Errorf("%s: got %q", name, got)
			}
		}
	})

	t.Run("keep a mark that is a part of the message", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		send(t, q, "\uFEFFm\uFEFF")
		if got := mustReceive(t, q).MessageBody; got != "\uFEFFm\uFEFF" {
			t.Errorf("got %q", got)
		}
	})

	t.Run("are refused in another encoding, or with a mark in the wrong place", func(t *testing.T) {
		e := start(t, nil)
		for _, body := range []string{
			`<?xml version="1.0" encoding="GBK"?><Queue/>`, "\xff\xfe<\x00Q\x00/\x00>\x00", "\uFEFF\uFEFF<Queue/>", "<Queue/>\uFEFF", "\uFEFF",
		} {
			if r := e.do(t, raw{method: "PUT", target: "/queues/new", body: body}); r.text("Code") != "MalformedXML" {
				t.Errorf("%q: got %+v", body, r)
			}
		}
	})
}

func TestRequestsOfClients(t *testing.T) {
	t.Run("may come in chunks and with headers in any case", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		answer := e.onTheWire(t, "POST", "/queues/jobs/messages", []string{"TRANSFER-ENCODING: chunked"},
			"1f\r\n<Message><MessageBody>chunked</\r\n16\r\nMessageBody></Message>\r\n0\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 201 ") {
			t.Fatalf("got %s", answer)
		}
		if got := mustReceive(t, q).MessageBody; got != "chunked" {
			t.Errorf("got %q", got)
		}
	})

	t.Run("may have an empty body with a length, as Node's have", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		send(t, q, "m")
		target := "/queues/jobs/messages?ReceiptHandle=" + mustReceive(t, q).ReceiptHandle
		if answer := e.onTheWire(t, "DELETE", target, []string{"content-length: 0"}, ""); !strings.HasPrefix(answer, "HTTP/1.1 204 ") {
			t.Errorf("got %s", answer)
		}
	})
}
