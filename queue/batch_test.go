package queue_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

func TestSendBatch(t *testing.T) {
	many := make([]string, 50)
	for i := range many {
		many[i] = fmt.Sprintf("{%d}", i)
	}
	t.Run("sends sixteen at a time", func(t *testing.T) {
		server, url := start(t)
		if diff := cmp.Diff(make([]string, 50), codes(newClient(t, url).SendBatch(t.Context(), many))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if n := server.Faults().Count("BatchSendMessage"); n != 4 {
			t.Errorf("%d calls, want 4", n)
		}
		if got := bodies(t, url, "jobs"); len(got) != 50 {
			t.Errorf("%d messages, want 50", len(got))
		}
	})
	t.Run("keeps a call below 64 KB", func(t *testing.T) {
		server, url := start(t)
		large := strings.Repeat("x", 30_000)
		if diff := cmp.Diff(make([]string, 5), codes(newClient(t, url).SendBatch(t.Context(), []string{large, large, large, large, "{}"}))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if n := server.Faults().Count("BatchSendMessage"); n != 2 {
			t.Errorf("%d batches, want 2", n)
		}
	})
	t.Run("blames only what is too large", func(t *testing.T) {
		_, url := start(t)
		huge := strings.Repeat("x", queue.MaxMessageBytes+1)
		got := codes(newClient(t, url).SendBatch(t.Context(), []string{"{1}", huge, "{2}"}))
		if diff := cmp.Diff([]string{"", "MessageTooLarge", ""}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("tells which items failed", func(t *testing.T) {
		_, url := start(t)
		// MNS takes no empty body.
		got := codes(newClient(t, url).SendBatch(t.Context(), []string{"{1}", "", "{3}"}))
		if diff := cmp.Diff([]string{"", "InvalidArgument", ""}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if left := bodies(t, url, "jobs"); len(left) != 2 {
			t.Errorf("%d messages, want 2", len(left))
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
		if diff := cmp.Diff([]string{"", "UnusableAnswer"}, codes(newClient(t, url).SendBatch(t.Context(), many[:2]))); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	for name, injected := range map[string]faults.Fault{
		"UnusableAnswer": {Answer: faults.Empty, Status: 201}, "InternalError": {Answer: faults.Error, Status: 500, Code: "InternalError"},
		"HTTP502": {Answer: faults.HTML},
	} {
		t.Run("fails every item of a call that failed with "+name, func(t *testing.T) {
			server, url := start(t)
			if _, err := server.Faults().Add(faults.Rule{Action: "BatchSendMessage", Fault: injected}); err != nil {
				t.Fatal(err)
			}
			got := codes(newClient(t, url).SendBatch(t.Context(), many[:20]))
			want := make([]string, 20)
			for i := range 16 {
				want[i] = name
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDeadLetterQueue(t *testing.T) {
	fill := func(t *testing.T, client *queue.Client, n int) {
		t.Helper()
		for i := range n {
			letter := queue.DeadLetter{JobID: fmt.Sprint(i), Kind: "invalid", DeadAt: now, Received: queue.ReceivedBody("M", []byte("x"))}
			if err := client.SendDead(t.Context(), letter); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("is empty without an error", func(t *testing.T) {
		_, url := start(t)
		client := newClient(t, url)
		for _, read := range []func() ([]queue.Message, error){
			func() ([]queue.Message, error) { return client.ReceiveDead(t.Context(), 16, 0) },
			func() ([]queue.Message, error) { return client.PeekDead(t.Context(), 16) },
		} {
			if got, err := read(); got != nil || err != nil {
				t.Errorf("got %v, %v", got, err)
			}
		}
	})
	t.Run("gives messages for a while and deletes those that are still ours", func(t *testing.T) {
		manual := clock.NewManual(time.Now())
		_, url := localtest.MNS(t, manual, "jobs", "jobs-dead")
		client := newClient(t, url)
		fill(t, client, 3)
		first, err := client.ReceiveDead(t.Context(), 2, 0)
		if err != nil || len(first) != 2 || first[0].ReceiptHandle == "" || first[0].DequeueCount != 1 || first[0].EnqueuedAt.IsZero() {
			t.Fatalf("got %+v, %v", first, err)
		}
		if _, letter, err := queue.DecodeDeadLetter(first[0].Body); err != nil || letter.JobID != "0" {
			t.Errorf("got %+v, %v", letter, err)
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
	t.Run("shows messages without taking them", func(t *testing.T) {
		_, url := start(t)
		client := newClient(t, url)
		fill(t, client, 20)
		for range 2 {
			if got, err := client.PeekDead(t.Context(), 99); err != nil || len(got) != 16 || got[0].ReceiptHandle != "" {
				t.Errorf("got %d messages, %v", len(got), err)
			}
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
	t.Run("tells its own letters from others", func(t *testing.T) {
		for _, body := range []string{"", "rubbish", `{"type":"routinely.job.v1","data":{}}`, `{"type":"routinely.dead-letter.v1","data":7}`} {
			if _, _, err := queue.DecodeDeadLetter(body); err == nil {
				t.Errorf("%q was read", body)
			}
		}
	})
}
