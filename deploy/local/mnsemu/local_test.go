package mnsemu_test

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/mnsemu"
)

func TestLocal(t *testing.T) {
	t.Run("shows messages in every state without changing any", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		send(t, q, "inactive")
		mustReceive(t, q)
		send(t, q, "active")
		if _, err := q.SendMessage(mns.MessageSendRequest{MessageBody: "delayed", Priority: 8, DelaySeconds: 9}); err != nil {
			t.Fatal(err)
		}
		now := e.clock.Now().UnixMilli()
		for range 2 {
			got := e.messages(t, "jobs")
			want := []storedMessage{
				{Body: "inactive", State: "inactive", DequeueCount: 1, EnqueueTime: now, NextVisibleTime: now + 30000},
				{Body: "active", State: "active", EnqueueTime: now, NextVisibleTime: now},
				{Body: "delayed", State: "delayed", EnqueueTime: now, NextVisibleTime: now + 9000},
			}
			for i := range got {
				got[i].ID = ""
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([4]int{1, 1, 1, 0}, e.counts(t, "jobs")); diff != "" {
				t.Error(diff)
			}
		}
	})

	t.Run("purges a queue and keeps it", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		send(t, q, "a")
		send(t, q, "b")
		mustReceive(t, q)
		if got := e.local(t, "DELETE", "/queues/jobs/messages", "", nil); got != 204 {
			t.Errorf("got %d", got)
		}
		if got := e.messages(t, "jobs"); len(got) != 0 {
			t.Errorf("left %+v", got)
		}
		for _, method := range []string{"GET", "DELETE"} {
			if got := e.local(t, method, "/queues/none/messages", "", nil); got != 404 {
				t.Errorf("%s on a missing queue: got %d", method, got)
			}
		}
	})

	t.Run("breaks answers on request, by operation and queue", func(t *testing.T) {
		e := start(t, nil)
		q, other := e.queue(t, "jobs"), e.queue(t, "other")
		status := e.local(t, "POST", "/faults", `{"action":"SendMessage","match":{"queue":"jobs"},"fault":{"answer":"error","status":429,"code":"TooManyRequests","execute":true}}`, nil)
		if status != 201 {
			t.Fatalf("got %d", status)
		}
		send(t, other, "m")
		if _, err := q.SendMessage(mns.MessageSendRequest{MessageBody: "m", Priority: 8}); err == nil || !strings.Contains(err.Error(), "code: TooManyRequests") {
			t.Errorf("got %v", err)
		}
		if got := e.messages(t, "jobs"); len(got) != 1 {
			t.Errorf("the operation was to be executed all the same: %+v", got)
		}
		send(t, q, "m")
	})

	t.Run("closes the connection of a broken receive, whose message comes back", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		send(t, q, "m")
		if _, err := e.Faults().Add(faults.Rule{Action: "ReceiveMessage", Times: 5, Fault: faults.Fault{Answer: faults.Reset, Execute: true}}); err != nil {
			t.Fatal(err)
		}
		if _, err := receive(q); errorCode(err) != 5 {
			t.Errorf("got %v, want a transport error", err)
		}
		if got := e.messages(t, "jobs"); got[0].DequeueCount != 1 || got[0].State != "inactive" {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("counts and logs calls with what they were about, but no bodies or handles", func(t *testing.T) {
		e := start(t, nil)
		q := e.queue(t, "jobs")
		if _, err := q.SendMessage(mns.MessageSendRequest{MessageBody: "private", Priority: 8, DelaySeconds: 3}); err != nil {
			t.Fatal(err)
		}
		_, _ = batchReceive(q, 4)
		_ = q.DeleteMessage("private-handle")
		e.do(t, raw{method: "GET", target: "/queues", id: "somebody"})
		type row struct {
			Action string
			Params map[string]string
			Status int
			Code   string
		}
		var got []row
		for _, c := range e.Faults().Calls() {
			got = append(got, row{c.Action, c.Params, c.Status, c.Code})
		}
		jobs := map[string]string{"queue": "jobs"}
		want := []row{
			{"CreateQueue", jobs, 201, ""},
			{"SendMessage", map[string]string{"queue": "jobs", "delaySeconds": "3"}, 201, ""},
			{"BatchReceiveMessage", map[string]string{"queue": "jobs", "numOfMessages": "4"}, 404, "MessageNotExist"},
			{"DeleteMessage", jobs, 400, "ReceiptHandleError"},
			{"ListQueue", map[string]string{}, 403, "InvalidAccessKeyId"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCommand(t *testing.T) {
	t.Run("serves until it is told to stop", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		reader, writer := io.Pipe()
		done := make(chan error, 1)
		dir := t.TempDir()
		go func() {
			done <- mnsemu.Command(ctx, []string{
				"-listen", "127.0.0.1:0", "-access-key", accessKey, "-secret-key", secretKey, "-data", dir, "-dead-letter", "jobs=dead:3", "-seed", "7",
			}, writer, io.Discard)
		}()
		line := make([]byte, 200)
		n, err := reader.Read(line)
		if err != nil {
			t.Fatal(err)
		}
		ready := string(line[:n])
		address, rest, _ := strings.Cut(strings.TrimPrefix(ready, "mns listening on "), " ")
		if rest != "(account 123456, data "+dir+", seed 7)\n" {
			t.Errorf("the ready line is %q", ready)
		}
		served := start(t, nil)
		served.url = address
		q := served.queue(t, "jobs")
		send(t, q, "m")
		if got := mustReceive(t, q); got.MessageBody != "m" {
			t.Errorf("got %+v", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	t.Run("explains every flag and returns no error", func(t *testing.T) {
		var stdout, stderr bytes.Buffer
		if err := mnsemu.Command(context.Background(), []string{"-h"}, &stdout, &stderr); err != nil {
			t.Fatal(err)
		}
		for _, flag := range []string{"-listen", "-access-key", "-secret-key", "-account", "-data", "-dead-letter", "-seed", "-calm", "-tls-cert", "-tls-key", "-host"} {
			if !slices.Contains(strings.Fields(stdout.String()), flag) {
				t.Errorf("%s is not explained in\n%s", flag, stdout.String())
			}
		}
		if !strings.Contains(stdout.String(), "not signed") {
			t.Error("it does not say that pushes are not signed")
		}
		if stderr.Len() > 0 {
			t.Errorf("stderr: %s", stderr.String())
		}
	})

	t.Run("names what is wrong with its arguments", func(t *testing.T) {
		full := func(more ...string) []string {
			return append([]string{"-listen", "127.0.0.1:0", "-access-key", "a", "-secret-key", "s", "-data", t.TempDir()}, more...)
		}
		for want, args := range map[string][]string{
			"-nonsense":              full("-nonsense"),
			"flag needs an argument": full("-listen"),
			"-access-key and -secret-key are required": {"-access-key", "a", "-data", "d"},
			"-data is required":                        {"-access-key", "a", "-secret-key", "s"},
			"-account must not be empty":               full("-account", ""),
			`unexpected argument "x"`:                  full("x"),
			"go together":                              full("-tls-cert", "c.pem"),
			"want queue=target:N":                      full("-dead-letter", "jobs"),
			"is not a number":                          full("-dead-letter", "jobs=dead:often"),
			"has two targets":                          full("-dead-letter", "jobs=dead:1", "-dead-letter", "jobs=other:1"),
			"the target is the queue":                  full("-dead-letter", "jobs=jobs:1"),
			"address":                                  full("-listen", "nowhere"),
		} {
			err := mnsemu.Command(context.Background(), args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: got %v, want %s", args, err, want)
			}
		}
	})
}
