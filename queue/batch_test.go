package queue_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
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
	t.Run("sends sixteen at a time", func(t *testing.T) {
		server, url := start(t)
		if diff := cmp.Diff(make([]string, 50), codes(newClient(t, url).SendBatch(t.Context(), many(50)))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if n := server.Faults().Count("BatchSendMessage"); n != 4 {
			t.Errorf("%d calls, want 4", n)
		}
		var got []string
		for _, body := range bodies(t, url, "jobs") {
			got = append(got, sim.Keys(t, sim.Key).Decode([]byte(body), now)[0].Envelope.JobID)
		}
		var want []string
		for _, e := range many(50) {
			want = append(want, e.JobID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("messages -want +got:\n%s", diff)
		}
	})
	t.Run("keeps a call below 64 KB", func(t *testing.T) {
		server, url := start(t)
		large := []queue.Envelope{described(0, 30_000), described(1, 30_000), described(2, 30_000), described(3, 30_000), many(5)[4]}
		if diff := cmp.Diff(make([]string, 5), codes(newClient(t, url).SendBatch(t.Context(), large))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if n := server.Faults().Count("BatchSendMessage"); n != 2 {
			t.Errorf("%d batches, want 2", n)
		}
	})
	t.Run("blames only what is too large", func(t *testing.T) {
		_, url := start(t)
		got := codes(newClient(t, url).SendBatch(t.Context(), []queue.Envelope{many(1)[0], described(1, queue.MaxEnvelopeBytes), many(3)[2]}))
		if diff := cmp.Diff([]string{"", "MessageTooLarge", ""}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if left := bodies(t, url, "jobs"); len(left) != 2 {
			t.Errorf("%d messages, want 2", len(left))
		}
	})
	t.Run("tells which items failed", func(t *testing.T) {
		server, url := start(t)
		answer := faults.Fault{
			Answer: faults.Document, Status: 500, Headers: map[string]string{"Content-Type": "text/xml;charset=utf-8"},
			Body: `<Messages xmlns="http://mns.aliyuncs.com/doc/v1/"><Message><MessageId>M1</MessageId></Message>` +
				`<Message><ErrorCode>InternalError</ErrorCode><ErrorMessage>no</ErrorMessage></Message></Messages>`,
		}
		if _, err := server.Faults().Add(faults.Rule{Action: "BatchSendMessage", Fault: answer}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"", "InternalError"}, codes(newClient(t, url).SendBatch(t.Context(), many(2)))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("does not take an item without a message id for sent", func(t *testing.T) {
		server, url := start(t)
		answer := faults.Fault{
			Answer: faults.Document, Status: 201, Headers: map[string]string{"Content-Type": "text/xml;charset=utf-8"},
			Body: `<Messages xmlns="http://mns.aliyuncs.com/doc/v1/"><Message><MessageId>M1</MessageId></Message><Message/></Messages>`,
		}
		if _, err := server.Faults().Add(faults.Rule{Action: "BatchSendMessage", Fault: answer}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"", "UnusableAnswer"}, codes(newClient(t, url).SendBatch(t.Context(), many(2)))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	for name, injected := range map[string]faults.Fault{
		"UnusableAnswer": {Answer: faults.Empty, Status: 201}, "InternalError": {Answer: faults.Error, Status: 500, Code: "InternalError"},
		"HTTP502": {Answer: faults.HTML},
	} {
		t.Run("fails every item, and makes no other call, after one that failed with "+name, func(t *testing.T) {
			server, url := start(t)
			if _, err := server.Faults().Add(faults.Rule{Action: "BatchSendMessage", Fault: injected}); err != nil {
				t.Fatal(err)
			}
			got := codes(newClient(t, url).SendBatch(t.Context(), many(40)))
			for i, code := range got {
				if code != name {
					t.Errorf("item %d: %q", i, code)
				}
			}
			if n := server.Faults().Count("BatchSendMessage"); n != 1 {
				t.Errorf("%d calls", n)
			}
		})
	}
	t.Run("goes on after a call that was refused", func(t *testing.T) {
		server, url := start(t)
		refused := faults.Fault{Answer: faults.Error, Status: 429, Code: "TooManyRequests"}
		if _, err := server.Faults().Add(faults.Rule{Action: "BatchSendMessage", Fault: refused}); err != nil {
			t.Fatal(err)
		}
		got := codes(newClient(t, url).SendBatch(t.Context(), many(18)))
		want := append(slices.Repeat([]string{"TooManyRequests"}, 16), "", "")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestDeadLetterQueue(t *testing.T) {
	fill := func(t *testing.T, client *queue.Client, n int) {
		t.Helper()
		for i := range n {
			if err := client.SendDead(t.Context(), queue.Delivery{Body: fmt.Append(nil, "rubbish ", i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("is empty without an error", func(t *testing.T) {
		_, url := start(t)
		client := newClient(t, url)
		if got, err := client.ReceiveDead(t.Context(), 16, 0); got != nil || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
	})
	t.Run("gives messages for a while and deletes those that are still ours", func(t *testing.T) {
		manual := clock.NewManual(time.Now())
		_, url := localtest.CalmMNS(t, manual, "jobs", "jobs-dead")
		client := newClient(t, url)
		fill(t, client, 3)
		first, err := client.ReceiveDead(t.Context(), 2, 0)
		if err != nil || len(first) != 2 || first[0].ReceiptHandle == "" || first[0].ID == "" {
			t.Fatalf("got %+v, %v", first, err)
		}
		if first[0].Body != "rubbish 0" {
			t.Errorf("got %q", first[0].Body)
		}
		if rest, err := client.ReceiveDead(t.Context(), 16, 0); err != nil || len(rest) != 1 {
			t.Errorf("got %d messages, %v", len(rest), err)
		}
		if diff := cmp.Diff([]string{""}, codes(client.DeleteDead(t.Context(), []string{first[0].ReceiptHandle}))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
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
		if n := <-got; n != 1 {
			t.Errorf("got %d messages", n)
		}
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
		if diff := cmp.Diff(make([]string, 20), codes(client.DeleteDead(t.Context(), handles))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if n := server.Faults().Count("BatchDeleteMessage"); n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
	})
	for name, answer := range map[string]faults.Fault{
		"an empty 200": {Answer: faults.Empty}, "a 200 in plain text": {Answer: faults.WrongType}, "a 201": {Answer: faults.Empty, Status: 201},
		"another document": {Answer: faults.Document, Body: `<Queue xmlns="http://mns.aliyuncs.com/doc/v1/"/>`},
	} {
		t.Run("does not take "+name+" for a deletion", func(t *testing.T) {
			server, url := start(t)
			client := newClient(t, url)
			fill(t, client, 1)
			messages, err := client.ReceiveDead(t.Context(), 1, 0)
			if err != nil || len(messages) != 1 {
				t.Fatalf("%+v, %v", messages, err)
			}
			if _, err := server.Faults().Add(faults.Rule{Action: "BatchDeleteMessage", Fault: answer}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"UnusableAnswer"}, codes(client.DeleteDead(t.Context(), []string{messages[0].ReceiptHandle}))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
