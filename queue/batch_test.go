package queue_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/queue"
	"routinely/shared/fault"
)

// codes is the code of each error, empty for nil.
func codes(failed []error) []string {
	out := make([]string, len(failed))
	for i, err := range failed {
		if err != nil {
			out[i] = fault.From(err).Code
		}
	}
	return out
}

// many are envelopes of different jobs.
func many(n int) []queue.Envelope {
	out := make([]queue.Envelope, n)
	for i := range out {
		out[i] = envelope()
		out[i].JobID = fmt.Sprint("job-", i)
	}
	return out
}

// described is the n-th envelope with a description of so many bytes.
func described(n, size int) queue.Envelope {
	text := strings.Repeat("x", size)
	e := many(n + 1)[n]
	e.Request.Description = &text
	return e
}

func TestSendBatch(t *testing.T) {
	document := func(status int, item string) faults.Fault {
		return faults.Fault{
			Answer: faults.Document, Status: status, Headers: map[string]string{"Content-Type": "text/xml;charset=utf-8"},
			Body: `<Messages xmlns="http://mns.aliyuncs.com/doc/v1/"><Message><MessageId>M1</MessageId></Message><Message>` + item + `</Message></Messages>`,
		}
	}
	all := func(n int, code string) []string { return slices.Repeat([]string{code}, n) }
	for name, test := range map[string]struct {
		batch []queue.Envelope
		fault faults.Fault // of the first call, if it has one
		codes []string
		calls int
	}{
		"sends sixteen at a time": {many(50), faults.Fault{}, all(50, ""), 4},
		"keeps a call below 64 KB": {
			[]queue.Envelope{described(0, 30_000), described(1, 30_000), described(2, 30_000), described(3, 30_000), many(5)[4]}, faults.Fault{}, all(5, ""), 2,
		},
		"fails only what is too large": {
			[]queue.Envelope{many(1)[0], described(1, queue.MaxEnvelopeBytes), many(3)[2]}, faults.Fault{}, []string{"", "MessageTooLarge", ""}, 1,
		},
		"fails the item that MNS refuses":       {many(2), document(500, "<ErrorCode>InternalError</ErrorCode><ErrorMessage>no</ErrorMessage>"), []string{"", "InternalError"}, 1},
		"fails the item that has no message id": {many(2), document(201, ""), []string{"", "UnusableAnswer"}, 1},
		"stops after an unusable answer":        {many(40), faults.Fault{Answer: faults.Empty, Status: 201}, all(40, "UnusableAnswer"), 1},
		"stops after an internal error":         {many(40), faults.Fault{Answer: faults.Error, Status: 500, Code: "InternalError"}, all(40, "InternalError"), 1},
		"stops after a proxy's page":            {many(40), faults.Fault{Answer: faults.HTML}, all(40, "HTTP502"), 1},
		"goes on after a call that was refused": {many(18), faults.Fault{Answer: faults.Error, Status: 429, Code: "TooManyRequests"}, append(all(16, "TooManyRequests"), "", ""), 2},
	} {
		t.Run(name, func(t *testing.T) {
			server, url := start(t)
			if test.fault.Answer != "" {
				breaks(t, server, "BatchSendMessage", 1, test.fault)
			}
			same(t, "codes", codes(newClient(t, url).SendBatch(t.Context(), test.batch)), test.codes)
			same(t, "calls", server.Faults().Count("BatchSendMessage"), test.calls)
			var sent, want []queue.Envelope
			for _, body := range bodies(t, url, "jobs") {
				sent = append(sent, one(t, body).Envelope)
			}
			for i, code := range test.codes {
				if code == "" && test.fault.Answer != faults.Document { // whose answer is made up
					want = append(want, test.batch[i])
				}
			}
			same(t, "envelopes on the queue", sent, want)
		})
	}
}

func TestDeadLetterQueue(t *testing.T) {
	fill := func(t *testing.T, client *queue.Client, n int) {
		t.Helper()
		for i := range n {
			must(t, client.SendDead(t.Context(), queue.Delivery{Body: fmt.Append(nil, "rubbish ", i)}))
		}
	}
	t.Run("gives messages for a while and deletes those that are still hidden", func(t *testing.T) {
		manual := clock.NewManual(time.Now())
		_, url := localtest.CalmMNS(t, manual, "jobs", "jobs-dead")
		client := newClient(t, url)
		if got, err := client.ReceiveDead(t.Context(), 16, 0); got != nil || err != nil {
			t.Errorf("from an empty queue: %v, %v", got, err)
		}
		fill(t, client, 3)
		first, err := client.ReceiveDead(t.Context(), 2, 0)
		if err != nil || len(first) != 2 || first[0].ReceiptHandle == "" || first[0].ID == "" || first[0].Body != "rubbish 0" {
			t.Fatalf("got %+v, %v", first, err)
		}
		if rest, err := client.ReceiveDead(t.Context(), 16, 0); err != nil || len(rest) != 1 {
			t.Errorf("got %d messages, %v", len(rest), err)
		}
		same(t, "codes", codes(client.DeleteDead(t.Context(), []string{first[0].ReceiptHandle})), []string{""})
		manual.Advance(time.Minute)
		again, err := client.ReceiveDead(t.Context(), 16, 0)
		if err != nil || len(again) != 2 {
			t.Fatalf("got %d messages, %v", len(again), err)
		}
		failed := client.DeleteDead(t.Context(), []string{first[1].ReceiptHandle, again[0].ReceiptHandle, again[1].ReceiptHandle})
		if fault.From(failed[0]) == nil || fault.From(failed[0]).Kind != fault.NotFound || failed[1] != nil || failed[2] != nil {
			t.Errorf("got %v", failed)
		}
	})
	t.Run("waits for a message", func(t *testing.T) {
		_, url := start(t)
		client := newClient(t, url)
		got := make(chan int)
		go func() {
			messages, err := client.ReceiveDead(t.Context(), 1, 20*time.Second)
			if err != nil {
				t.Error(err)
			}
			got <- len(messages)
		}()
		fill(t, client, 1)
		same(t, "messages", <-got, 1)
	})
	t.Run("deletes more than one call can", func(t *testing.T) {
		server, url := start(t)
		client := newClient(t, url)
		fill(t, client, 20)
		var handles []string
		for len(handles) < 20 {
			messages, err := client.ReceiveDead(t.Context(), 16, 0)
			if err != nil || len(messages) == 0 {
				t.Fatalf("%d messages, %v", len(messages), err)
			}
			for _, m := range messages {
				handles = append(handles, m.ReceiptHandle)
			}
		}
		same(t, "codes", codes(client.DeleteDead(t.Context(), handles)), make([]string, 20))
		same(t, "calls", server.Faults().Count("BatchDeleteMessage"), 2)
	})
	t.Run("takes nothing but a 204 for a deletion", func(t *testing.T) {
		server, url := start(t)
		client := newClient(t, url)
		for _, answer := range []faults.Fault{
			{Answer: faults.Empty},
			{Answer: faults.WrongType},
			{Answer: faults.Empty, Status: 201},
			{Answer: faults.Document, Body: `<Queue xmlns="http://mns.aliyuncs.com/doc/v1/"/>`},
		} {
			breaks(t, server, "BatchDeleteMessage", 1, answer)
			same(t, "codes", codes(client.DeleteDead(t.Context(), []string{"a receipt handle"})), []string{"UnusableAnswer"})
		}
	})
}
