package mnsemu_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsemu"
)

func TestLocal(t *testing.T) {
	t.Run("shows messages in every state without changing any", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		q.send("inactive", 0)
		q.must()
		q.send("active", 0)
		q.send("delayed", 9)
		now := e.clock.Now().UnixMilli()
		for range 2 {
			got := e.messages("jobs")
			want := []storedMessage{
				{Body: "inactive", State: "inactive", DequeueCount: 1, EnqueueTime: now, NextVisibleTime: now + 30000},
				{Body: "active", State: "active", EnqueueTime: now, NextVisibleTime: now},
				{Body: "delayed", State: "delayed", EnqueueTime: now, NextVisibleTime: now + 9000},
			}
			for i := range got {
				got[i].ID = ""
			}
			same(t, want, got)
			same(t, [4]int{1, 1, 1, 0}, e.counts("jobs"))
			r := e.do("GET", "/queues/jobs", "")
			same(t, "1 1 1", r.text("ActiveMessages")+" "+r.text("InactiveMessages")+" "+r.text("DelayMessages"))
		}
	})

	t.Run("purges a queue and keeps it, and says when there is none", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		q.send("a", 0)
		q.send("b", 9)
		same(t, 204, e.local("DELETE", "/queues/jobs/messages", "", nil))
		same(t, []string{}, e.stored("jobs"))
		for _, method := range []string{"GET", "DELETE"} {
			same(t, 404, e.local(method, "/queues/none/messages", "", nil))
		}
	})

	t.Run("breaks answers on request, by operation and queue", func(t *testing.T) {
		e := start(t)
		q, other := e.queue("jobs"), e.queue("other")
		e.local("POST", "/faults", `{"action":"SendMessage","match":{"queue":"jobs"},"fault":{"answer":"error","status":429,"code":"TooManyRequests","execute":true}}`, nil)
		other.send("m", 0)
		r := e.do("POST", "/queues/jobs/messages", "<Message><MessageBody>executed</MessageBody></Message>")
		same(t, "429 TooManyRequests", fmt.Sprint(r.status, " ", r.text("Code")))
		same(t, []string{"executed"}, e.stored("jobs"))
		q.send("m", 0)
	})

	t.Run("counts and logs calls with what they were about, but no bodies or handles", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		q.send("private", 3)
		_, _ = q.batch(4)
		_ = q.DeleteMessage("private-handle")
		e.do("GET", "/queues", "", "Authorization", "MNS somebody:eA==")
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
		same(t, want, got)
	})
}

func TestCommand(t *testing.T) {
	// full are the arguments that are required, and more.
	full := func(more ...string) []string {
		return append([]string{"-listen", "127.0.0.1:0", "-access-key", accessKey, "-secret-key", secretKey, "-data", t.TempDir()}, more...)
	}

	t.Run("serves until it is told to stop, and says with what it can be repeated", func(t *testing.T) {
		url, stop := localtest.RunCommand(t, "mns", mnsemu.Command, full("-dead-letter", "jobs=dead:3", "-seed", "7"))
		address, rest, _ := strings.Cut(url, " ")
		if !strings.HasPrefix(rest, "(account 123456, data ") || !strings.HasSuffix(rest, ", seed 7)") {
			t.Errorf("the ready line ends with %q", rest)
		}
		served := start(t)
		served.url = address
		same(t, 201, served.do("PUT", "/queues/jobs", "<Queue/>").status)
		check(t, stop())
	})

	t.Run("explains every flag and returns no error", func(t *testing.T) {
		var stdout, stderr bytes.Buffer
		check(t, mnsemu.Command(context.Background(), []string{"-h"}, &stdout, &stderr))
		for _, flag := range []string{"-listen", "-access-key", "-secret-key", "-account", "-data", "-dead-letter", "-seed", "-calm", "-tls-cert", "-tls-key", "-host"} {
			if !slices.Contains(strings.Fields(stdout.String()), flag) {
				t.Errorf("%s is not explained in\n%s", flag, stdout.String())
			}
		}
		if !strings.Contains(stdout.String(), "not signed") || stderr.Len() > 0 {
			t.Errorf("it does not say that pushes are not signed, or says something to stderr: %s", stderr.String())
		}
	})

	t.Run("names what is wrong with its arguments", func(t *testing.T) {
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
