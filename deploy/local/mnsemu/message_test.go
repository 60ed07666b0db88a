package mnsemu_test

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"

	"routinely/deploy/local/mnsemu"
)

func TestMessages(t *testing.T) {
	t.Run("go from send to delete as they were sent", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs", mns.WithVisibilityTimeout(40))
		now := e.clock.Now().UnixMilli()
		body := "\uFEFFa <b> & ü 世界 \"q\"\uFEFF"
		sent := q.send(body, 0)
		if !regexp.MustCompile(`^[0-9A-F]{32}$`).MatchString(sent.MessageId) || sent.ReceiptHandle != "" {
			t.Errorf("sent %+v", sent)
		}
		e.clock.Advance(2 * time.Second)
		got := q.must()
		want := mns.MessageReceiveResponse{
			MessageResponse: got.MessageResponse, MessageId: sent.MessageId, ReceiptHandle: got.ReceiptHandle,
			MessageBodyMD5: fmt.Sprintf("%X", md5.Sum([]byte(body))), MessageBody: body, EnqueueTime: now, NextVisibleTime: now + 42000,
			FirstDequeueTime: now + 2000, DequeueCount: 1, Priority: 8,
		}
		same(t, want, got)
		same(t, sent.MessageBodyMD5, got.MessageBodyMD5)
		check(t, q.DeleteMessage(got.ReceiptHandle))
		same(t, []string{}, e.stored("jobs"))
	})

	t.Run("are hidden until their visibility timeout", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs", mns.WithVisibilityTimeout(30))
		q.send("again", 0)
		first := q.must()
		e.clock.Advance(30*time.Second - time.Millisecond)
		_, early := q.receive()
		same(t, "MessageNotExist", early)
		e.clock.Advance(time.Millisecond)
		second := q.must()
		if second.DequeueCount != 2 || second.FirstDequeueTime != first.FirstDequeueTime || second.ReceiptHandle == first.ReceiptHandle {
			t.Errorf("first %+v\nsecond %+v", first, second)
		}
	})

	t.Run("are hidden until their delay is over, the queue's unless they name one", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs", mns.WithDelaySeconds(5))
		e.do("POST", "/queues/jobs/messages", `<Message><MessageBody>the queue's</MessageBody></Message>`)
		q.send("at once", 0)
		if sent := q.send("later", 10); sent.ReceiptHandle == "" {
			t.Error("a delayed send returned no handle")
		}
		for _, want := range []string{"at once", "the queue's", "later"} {
			same(t, want, q.must().MessageBody)
			e.clock.Advance(5*time.Second - time.Millisecond)
			_, early := q.receive()
			same(t, "MessageNotExist", early)
			e.clock.Advance(time.Millisecond)
		}
	})

	t.Run("are released or dropped with the handle of a delayed send", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		released, dropped := q.send("released", 3600), q.send("dropped", 3600)
		_, err := q.ChangeMessageVisibility(released.ReceiptHandle, 1)
		check(t, err)
		check(t, q.DeleteMessage(dropped.ReceiptHandle))
		e.clock.Advance(time.Second)
		got, _ := q.batch(16)
		same(t, []string{"released"}, bodies(got))
	})

	t.Run("with a priority of 12 come after those with 8, equal ones by how long they have been visible, and the wire shows it", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs", mns.WithVisibilityTimeout(10))
		q.send("came back", 0)
		q.must()
		e.clock.Advance(time.Second)
		for _, m := range []mns.MessageSendRequest{
			{MessageBody: "later", Priority: 12}, {MessageBody: "a", Priority: 8}, {MessageBody: "urgent", Priority: 1}, {MessageBody: "b", Priority: 8},
		} {
			q.post(m)
		}
		e.clock.Advance(9 * time.Second)
		for _, want := range []string{"1 urgent", "8 a", "8 b", "8 came back", "12 later"} {
			r := e.do("GET", "/queues/jobs/messages", "")
			same(t, want, r.text("Priority")+" "+r.text("MessageBody"))
		}
	})

	t.Run("are forgotten when their retention is over, counted from the send", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs", mns.WithMessageRetentionPeriod(60), mns.WithVisibilityTimeout(50))
		q.send("m", 0)
		q.must()
		e.clock.Advance(50 * time.Second)
		q.must()
		e.clock.Advance(10 * time.Second)
		same(t, [4]int{}, e.counts("jobs"))
		same(t, []string{}, e.stored("jobs"))
	})

	t.Run("are shown by a peek and not taken", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		q.send("look", 0)
		for range 2 {
			got, _ := q.peek()
			if got.MessageBody != "look" || got.DequeueCount != 0 || got.FirstDequeueTime != got.EnqueueTime || got.ReceiptHandle != "" || got.NextVisibleTime != 0 {
				t.Errorf("got %+v", got)
			}
		}
		same(t, int64(1), q.must().DequeueCount)
	})
}

func TestBatches(t *testing.T) {
	t.Run("send, peek, receive and delete up to sixteen at once", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		var requests []mns.MessageSendRequest
		for i := range 16 {
			requests = append(requests, mns.MessageSendRequest{MessageBody: fmt.Sprintf("m%02d", i), Priority: 8})
		}
		sent, err := q.BatchSendMessage(requests...)
		if err != nil || len(sent.Messages) != 16 {
			t.Fatalf("sent %+v, %v", sent, err)
		}
		peeked, _ := outcome(func(got chan mns.BatchMessageReceiveResponse, failed chan error) { q.BatchPeekMessage(got, failed, 3) })
		same(t, 3, len(peeked.Messages))
		var handles []string
		got, _ := q.batch(16)
		for i, m := range got {
			if m.MessageId != sent.Messages[i].MessageId || m.MessageBodyMD5 != sent.Messages[i].MessageBodyMD5 {
				t.Errorf("message %d: sent %+v, received %+v", i, sent.Messages[i], m)
			}
			handles = append(handles, m.ReceiptHandle)
		}
		_, err = q.BatchDeleteMessage(handles...)
		check(t, err)
		same(t, []string{}, e.stored("jobs"))
	})

	t.Run("do what is good and name what is bad in its place", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		sent := e.do("POST", "/queues/jobs/messages", `<Messages><Message><MessageBody>x</MessageBody><DelaySeconds>-1</DelaySeconds></Message>`+
			`<Message><MessageBody>good</MessageBody></Message></Messages>`)
		want := `500 <?xml version="1.0" ?>
<Messages xmlns="http://mns.aliyuncs.com/doc/v1">
  <Message>
    <ErrorCode>InvalidArgument</ErrorCode>
    <ErrorMessage>The value of DelaySeconds should between 0 and 604800 seconds.</ErrorMessage>
  </Message>
  <Message>
    <MessageId>` + sent.text("MessageId") + `</MessageId>
    <MessageBodyMD5>755F85C2723BB39381C7379A604160D8</MessageBodyMD5>
  </Message>
</Messages>`
		same(t, want, fmt.Sprint(sent.status, " ", sent.body))
		handle := q.must().ReceiptHandle
		deleted := e.do("DELETE", "/queues/jobs/messages", `<?xml version="1.0"?><ReceiptHandles><ReceiptHandle>bad</ReceiptHandle>`+
			strings.Repeat(`<ReceiptHandle>`+handle+`</ReceiptHandle>`, 2)+`</ReceiptHandles>`)
		want = `404 <?xml version="1.0" ?>
<Errors xmlns="http://mns.aliyuncs.com/doc/v1">
  <Error>
    <ErrorCode>ReceiptHandleError</ErrorCode>
    <ErrorMessage>The receipt handle you provide is not valid.</ErrorMessage>
    <ReceiptHandle>bad</ReceiptHandle>
  </Error>
  <Error>
    <ErrorCode>MessageNotExist</ErrorCode>
    <ErrorMessage>Message not exist.</ErrorMessage>
    <ReceiptHandle>` + handle + `</ReceiptHandle>
  </Error>
</Errors>`
		same(t, want, fmt.Sprint(deleted.status, " ", deleted.body))
		same(t, []string{}, e.stored("jobs"))
	})
}

func TestReceiptHandles(t *testing.T) {
	t.Run("look as recorded: the message's id and Base64 with any padding, 101 or 105 characters", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		form := regexp.MustCompile(`^[0-9A-F]{32}-[A-Za-z0-9]+={0,2}$`)
		paddings := map[int]bool{}
		for range 60 {
			q.send("m", 0)
			got := q.must()
			id, encoded, _ := strings.Cut(got.ReceiptHandle, "-")
			_, err := base64.StdEncoding.Strict().DecodeString(encoded)
			if length := len(got.ReceiptHandle); !form.MatchString(got.ReceiptHandle) || id != got.MessageId || err != nil || length != 101 && length != 105 {
				t.Errorf("handle %q of message %s, %v", got.ReceiptHandle, got.MessageId, err)
			}
			paddings[strings.Count(encoded, "=")] = true
		}
		if len(paddings) != 3 {
			t.Errorf("paddings %v, want none, one and two", paddings)
		}
	})

	t.Run("count a changed visibility from the call, longer or shorter, and the one from before still deletes", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		q.send("m", 0)
		first := q.must().ReceiptHandle
		handle := first
		for _, timeout := range []int64{100, 5} {
			e.clock.Advance(time.Second)
			changed, err := q.ChangeMessageVisibility(handle, timeout)
			check(t, err)
			same(t, e.clock.Now().UnixMilli()+timeout*1000, changed.NextVisibleTime)
			if changed.ReceiptHandle == handle || changed.ReceiptHandle[:32] != handle[:32] {
				t.Errorf("handle %s after %s, want another of the same message", changed.ReceiptHandle, handle)
			}
			handle = changed.ReceiptHandle
		}
		e.clock.Advance(5*time.Second - time.Millisecond)
		check(t, q.DeleteMessage(first))
	})

	t.Run("are over with their time and with the next receive", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs", mns.WithVisibilityTimeout(10))
		q.send("m", 0)
		old := q.must().ReceiptHandle
		e.clock.Advance(10 * time.Second)
		expired := q.DeleteMessage(old)
		latest := q.must().ReceiptHandle
		_, change := q.ChangeMessageVisibility(old, 10)
		for _, err := range []error{expired, q.DeleteMessage(old), change} {
			same(t, "MessageNotExist", code(err))
		}
		check(t, q.DeleteMessage(latest))
		same(t, "MessageNotExist", code(q.DeleteMessage(latest)))
	})

	t.Run("are told from those that were never issued for the queue", func(t *testing.T) {
		e := start(t)
		q, other := e.queue("jobs"), e.queue("other")
		other.send("m", 0)
		foreign := other.must().ReceiptHandle
		for name, handle := range map[string]string{
			"made up": "1-ODU4OTkzNDU5My0xNDM1MTk3NjAwLTItNg==", "of another queue": foreign,
			"of the service":   "96B203D933FD7FCF7FB27DA130E356C1-MyAxNzkwMjk5NzE4ODc3IDMwMDAwIDIgMCBzaG1xbmluZTRzbXEtMDggMCAzfDFTMDFudQ==",
			"with a line feed": foreign + "\n", "short of its padding": strings.TrimRight(foreign, "=") + "====",
		} {
			same(t, name+": ReceiptHandleError", name+": "+code(q.DeleteMessage(handle)))
		}
		for i := range foreign {
			changed := []byte(foreign)
			changed[i] = map[bool]byte{true: 'B', false: 'A'}[foreign[i] == 'A']
			same(t, "ReceiptHandleError", code(other.DeleteMessage(string(changed))))
		}
	})
}

func TestLongPoll(t *testing.T) {
	var handle string // of a message that was received before a poll
	for name, c := range map[string]struct {
		// before and after are what happens before the poll begins and while it waits for 30 seconds.
		before, after func(*emulator, queue)
		want          []string
		code          string
	}{
		"answers the moment a message is sent": {after: func(_ *emulator, q queue) { q.send("now", 0) }, want: []string{"now"}},
		"answers the moment a delay is over": {
			before: func(_ *emulator, q queue) { q.send("later", 7) },
			after:  func(e *emulator, _ queue) { e.clock.Advance(7 * time.Second) },
			want:   []string{"later"},
		},
		"answers the moment a visibility timeout is over, also one that was shortened meanwhile": {
			before: func(_ *emulator, q queue) {
				q.send("again", 0)
				handle = q.must().ReceiptHandle
			},
			after: func(e *emulator, q queue) {
				e.clock.Advance(2 * time.Second)
				_, err := q.ChangeMessageVisibility(handle, 3)
				check(t, err)
				e.clock.Advance(3 * time.Second)
			},
			want: []string{"again"},
		},
		"ends with MessageNotExist when its time is over": {
			after: func(e *emulator, _ queue) {
				e.clock.Advance(30*time.Second - time.Millisecond)
				same(t, 1, e.counts("jobs")[3])
				e.clock.Advance(time.Millisecond)
			},
			code: "MessageNotExist",
		},
		"ends when its queue is deleted": {
			after: func(e *emulator, _ queue) { e.do("DELETE", "/queues/jobs", "") }, code: "QueueNotExist",
		},
		"ends when the server stops": {after: func(e *emulator, _ queue) { e.Stop() }, code: "MessageNotExist"},
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t)
			q := e.queue("jobs", mns.WithVisibilityTimeout(20))
			if c.before != nil {
				c.before(e, q)
			}
			done := q.poll(30)
			c.after(e, q)
			if got := <-done; got.code != c.code || !slices.Equal(bodies(got.messages), c.want) {
				t.Errorf("got %+v, want %q or %s", got, c.want, c.code)
			}
		})
	}

	t.Run("lasts as long as the queue says unless told otherwise, zero too", func(t *testing.T) {
		e := start(t)
		done := e.queue("jobs", mns.WithPollingWaitSeconds(4)).poll()
		e.clock.Advance(4 * time.Second)
		same(t, "MessageNotExist", (<-done).code)
		same(t, "MessageNotExist", e.do("GET", "/queues/jobs/messages?waitseconds=0", "").text("Code"))
	})

	t.Run("is answered once each, the oldest first", func(t *testing.T) {
		q := start(t).queue("jobs")
		first, second := q.poll(30), q.poll(30)
		q.send("one", 0)
		same(t, []string{"one"}, bodies((<-first).messages))
		q.send("two", 0)
		same(t, []string{"two"}, bodies((<-second).messages))
	})

	t.Run("is forgotten when its caller goes away, and takes no message with it", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		ctx, hangUp := context.WithCancel(t.Context())
		defer hangUp()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+"/queues/jobs/messages?waitseconds=30", nil)
		check(t, err)
		complete(request.Header, "GET", "/queues/jobs/messages?waitseconds=30")
		failed := make(chan error, 1)
		go func() {
			_, err := e.http.RoundTrip(request)
			failed <- err
		}()
		for _, polls := range []int{1, 0} {
			for e.counts("jobs")[3] != polls {
				runtime.Gosched()
			}
			hangUp()
		}
		<-failed
		q.send("kept", 0)
		same(t, int64(1), q.must().DequeueCount)
	})
}

func TestDeadLetters(t *testing.T) {
	policy := func(c *mnsemu.Config) {
		c.DeadLetter = map[string]mnsemu.DeadLetterPolicy{"jobs": {TargetQueue: "dead", MaxReceiveCount: 2}}
	}

	t.Run("move when they would be visible again after the last receive, to a long poll too, and keep their retention", func(t *testing.T) {
		e := start(t, policy)
		q, dead := e.queue("jobs", mns.WithVisibilityTimeout(10)), e.queue("dead", mns.WithMessageRetentionPeriod(60))
		sent := q.send("poison", 0)
		q.must()
		e.clock.Advance(10 * time.Second)
		q.must()
		done := dead.poll(30)
		same(t, []string{"poison"}, e.stored("jobs"))
		e.clock.Advance(10 * time.Second)
		got := <-done
		if !slices.Equal(bodies(got.messages), []string{"poison"}) || got.messages[0].DequeueCount != 1 || got.messages[0].MessageId == sent.MessageId {
			t.Errorf("got %+v", got)
		}
		properties := map[string]string{}
		for _, p := range e.messages("dead")[0].SystemProperties {
			properties[p.Name] = p.Value
		}
		want := map[string]string{
			"DLQMessageType": "MaxReceiveCountExceeded", "DLQSourceArn": "acs:mns:cn-local:123456:queues/jobs", "DLQOriginMessageId": sent.MessageId,
		}
		same(t, want, properties)
		same(t, []string{}, e.stored("jobs"))
		e.clock.Advance(40 * time.Second)
		same(t, []string{}, e.stored("dead"))
	})

	t.Run("move after a restart too, without a call", func(t *testing.T) {
		e := start(t, policy)
		q, _ := e.queue("jobs", mns.WithVisibilityTimeout(10)), e.queue("dead")
		q.send("poison", 0)
		q.must()
		e.clock.Advance(10 * time.Second)
		q.must()
		e.stop()
		again := start(t, policy, on(e.dir, e.clock))
		answered := make(chan result, 1)
		go func() { answered <- again.do("GET", "/queues/dead/messages?waitseconds=30", "") }()
		e.clock.Await(2) // the end of the visibility timeout, and of the long poll
		e.clock.Advance(10 * time.Second)
		same(t, "poison", (<-answered).text("MessageBody"))
	})

	t.Run("stay where they are without the target queue", func(t *testing.T) {
		e := start(t, policy)
		q := e.queue("jobs", mns.WithVisibilityTimeout(10))
		q.send("poison", 0)
		for want := range int64(4) {
			same(t, want+1, q.must().DequeueCount)
			e.clock.Advance(10 * time.Second)
		}
	})
}
