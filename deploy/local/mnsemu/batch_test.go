package mnsemu_test

import (
	"fmt"
	"strings"
	"testing"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/google/go-cmp/cmp"
)

func TestBatches(t *testing.T) {
	t.Run("sends, peeks, receives and deletes up to sixteen at once", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		var requests []mns.MessageSendRequest
		for i := range 16 {
			requests = append(requests, mns.MessageSendRequest{MessageBody: fmt.Sprintf("m%02d", i), Priority: 8})
		}
		sent, err := q.BatchSendMessage(requests...)
		if err != nil || len(sent.Messages) != 16 {
			t.Fatalf("sent %+v, %v", sent, err)
		}
		peeked, failed := make(chan mns.BatchMessageReceiveResponse, 1), make(chan error, 1)
		q.BatchPeekMessage(peeked, failed, 3)
		if got := len((<-peeked).Messages); got != 3 {
			t.Errorf("peeked %d, want 3", got)
		}
		got, err := batchReceive(q, 16)
		if err != nil || len(got) != 16 {
			t.Fatalf("received %d, %v", len(got), err)
		}
		var handles []string
		for i, m := range got {
			if m.MessageId != sent.Messages[i].MessageId || m.MessageBodyMD5 != sent.Messages[i].MessageBodyMD5 {
				t.Errorf("message %d: sent %+v, received %+v", i, sent.Messages[i], m)
			}
			handles = append(handles, m.ReceiptHandle)
		}
		if _, err := q.BatchDeleteMessage(handles...); err != nil {
			t.Error(err)
		}
		if got := e.messages(t, "jobs"); len(got) != 0 {
			t.Errorf("%d messages are left", len(got))
		}
	})

	t.Run("stores the good messages of a batch and names the bad ones in their place", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		sent, err := q.BatchSendMessage(
			mns.MessageSendRequest{MessageBody: "good", Priority: 8}, mns.MessageSendRequest{MessageBody: "bad", Priority: 17})
		if errorCode(err) != codeBatchFailed || len(sent.Messages) != 2 || sent.Messages[0].MessageId == "" || sent.Messages[1].ErrorCode != "InvalidArgument" {
			t.Fatalf("got %+v, %v", sent, err)
		}
		if got := e.messages(t, "jobs"); len(got) != 1 || got[0].Body != "good" {
			t.Errorf("stored %+v", got)
		}
		r := e.do(t, raw{method: "POST", target: "/queues/jobs/messages", body: `<Messages><Message><MessageBody>x</MessageBody><DelaySeconds>-1</DelaySeconds></Message></Messages>`})
		want := `<Messages xmlns="http://mns.aliyuncs.com/doc/v1">
  <Message>
    <ErrorCode>InvalidArgument</ErrorCode>
    <ErrorMessage>The value of DelaySeconds should between 0 and 604800 seconds.</ErrorMessage>
  </Message>
</Messages>`
		if diff := cmp.Diff(want, afterDeclaration(r.body)); r.status != 500 || diff != "" {
			t.Errorf("status %d, want 500; %s", r.status, diff)
		}
	})

	t.Run("deletes the good handles of a batch and lists only the bad ones", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		send(t, q, "m")
		good := mustReceive(t, q).ReceiptHandle
		r := e.do(t, raw{method: "DELETE", target: "/queues/jobs/messages", body: `<?xml version="1.0"?><ReceiptHandles><ReceiptHandle>` + good + `</ReceiptHandle><ReceiptHandle>bad</ReceiptHandle></ReceiptHandles>`})
		want := `<Errors xmlns="http://mns.aliyuncs.com/doc/v1">
  <Error>
    <ErrorCode>ReceiptHandleError</ErrorCode>
    <ErrorMessage>The receipt handle you provide is not valid.</ErrorMessage>
    <ReceiptHandle>bad</ReceiptHandle>
  </Error>
</Errors>`
		if diff := cmp.Diff(want, afterDeclaration(r.body)); r.status != 404 || diff != "" {
			t.Errorf("status %d, want 404; %s", r.status, diff)
		}
		if got := e.messages(t, "jobs"); len(got) != 0 {
			t.Errorf("left %+v", got)
		}
	})

	t.Run("refuses a batch that is too large as a whole", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs")
		seventeen := strings.Repeat(`<Message><MessageBody>m</MessageBody></Message>`, 17)
		heavy := strings.Repeat(`<Message><MessageBody>`+strings.Repeat("x", 33000)+`</MessageBody></Message>`, 2)
		for name, items := range map[string]string{"no messages": "", "seventeen messages": seventeen, "more than 64 KB": heavy} {
			r := e.do(t, raw{method: "POST", target: "/queues/jobs/messages", body: "<Messages>" + items + "</Messages>"})
			if r.status != 400 || r.text("Code") != "InvalidArgument" {
				t.Errorf("%s: got %+v", name, r)
			}
		}
		if got := e.messages(t, "jobs"); len(got) != 0 {
			t.Errorf("stored %d messages", len(got))
		}
	})
}

func afterDeclaration(body string) string {
	_, rest, _ := strings.Cut(body, "\n")
	return rest
}
