package mnsclient_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id, secret = "id", "secret"

// setup runs a calm server that checks signatures and has a queue q, and a client of it.
func setup(t *testing.T) (*mnsclient.Client, *mnsemu.Server, *clock.Manual) {
	t.Helper()
	now := clock.NewManual(time.Now())
	server, err := mnsemu.New(mnsemu.Config{AccountID: "123456", AccessKeyID: id, AccessKeySecret: secret, Dir: t.TempDir(), NoSync: true, Calm: true, Clock: now})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	c, err := mnsclient.New(mnsclient.Config{Endpoint: web.URL, AccessKeyID: id, AccessKeySecret: secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		server.Stop()
		web.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.CreateQueue(t.Context(), "q", mnsclient.Attributes{}); err != nil {
		t.Fatal(err)
	}
	return c, server, now
}

// must returns a function that gives a value which had to come without an error.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestMessages(t *testing.T) {
	t.Run("arrive as they were sent, hidden once received", func(t *testing.T) {
		c, _, now := setup(t)
		body := "<a> & \"b\"\r\n\tümläut 😀"
		sent := must(c.Send(t.Context(), "q", body, 0))(t)
		got := must(c.Receive(t.Context(), "q", 16, 0))(t)
		if len(got) != 1 || got[0].ID != sent || got[0].Body != body || got[0].DequeueCount != 1 || len(got[0].RequestID) != 24 {
			t.Fatalf("got %+v, want %s with %q", got, sent, body)
		}
		if hidden := got[0].NextVisibleTime.UnixMilli() - now.Now().UnixMilli(); hidden != 30_000 {
			t.Errorf("hidden for %d ms, want 30 s", hidden)
		}
		if again := must(c.Receive(t.Context(), "q", 1, 0))(t); len(again) > 0 {
			t.Errorf("received twice: %+v", again)
		}
		if err := c.Delete(t.Context(), "q", got[0].ReceiptHandle); err != nil {
			t.Error(err)
		}
	})

	t.Run("are delayed if asked for", func(t *testing.T) {
		c, _, now := setup(t)
		must(c.Send(t.Context(), "q", "later", 60))(t)
		for _, want := range []int{0, 1} {
			if got := must(c.Receive(t.Context(), "q", 1, 0))(t); len(got) != want {
				t.Errorf("got %+v, want %d messages", got, want)
			}
			now.Advance(time.Minute)
		}
	})

	t.Run("stay hidden under a new handle when visibility is changed", func(t *testing.T) {
		c, _, now := setup(t)
		must(c.Send(t.Context(), "q", "a", 0))(t)
		got := must(c.Receive(t.Context(), "q", 1, 0))(t)
		handle := must(c.ChangeVisibility(t.Context(), "q", got[0].ReceiptHandle, 100))(t)
		now.Advance(99 * time.Second)
		again := must(c.Receive(t.Context(), "q", 1, 0))(t)
		if err := c.Delete(t.Context(), "q", handle); err != nil || handle == got[0].ReceiptHandle || len(again) > 0 {
			t.Errorf("visible: %+v; delete with handle %s: %v", again, handle, err)
		}
	})

	t.Run("are deleted in batches that report each failure", func(t *testing.T) {
		c, _, _ := setup(t)
		var handles []string
		for range 3 {
			must(c.Send(t.Context(), "q", "a", 0))(t)
			handles = append(handles, must(c.Receive(t.Context(), "q", 1, 0))(t)[0].ReceiptHandle)
		}
		if failed := must(c.DeleteBatch(t.Context(), "q", handles[:1]))(t); len(failed) > 0 {
			t.Errorf("failures: %+v", failed)
		}
		failed := must(c.DeleteBatch(t.Context(), "q", handles))(t)
		if len(failed) != 1 || failed[0].ReceiptHandle != handles[0] || failed[0].Code != mnsclient.CodeMessageNotExist || failed[0].Message == "" {
			t.Errorf("failures: %+v, want the one that was deleted before", failed)
		}
	})

	t.Run("end a long poll when they are sent", func(t *testing.T) {
		c, _, now := setup(t)
		done := make(chan func(*testing.T) []mnsclient.Message, 1)
		go func() { done <- must(c.Receive(context.WithoutCancel(t.Context()), "q", 1, 30)) }()
		now.Await(1)
		must(c.Send(t.Context(), "q", "a", 0))(t)
		if got := (<-done)(t); len(got) != 1 {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("are not waited for when the context ends", func(t *testing.T) {
		c, server, _ := setup(t)
		must(server.Faults().Add(faults.Rule{Fault: faults.Fault{Answer: faults.Hang}}))(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.Receive(ctx, "q", 1, 30); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestErrors(t *testing.T) {
	t.Run("carry what the server said", func(t *testing.T) {
		c, _, _ := setup(t)
		delay := 3
		if err := c.CreateQueue(t.Context(), "q", mnsclient.Attributes{}); err != nil {
			t.Errorf("create a queue that exists alike: %v", err)
		}
		if err := c.CreateQueue(t.Context(), "q", mnsclient.Attributes{DelaySeconds: &delay}); !mnsclient.IsCode(err, "QueueAlreadyExist") {
			t.Errorf("create a queue that exists with other attributes: %v", err)
		}
		_, err := c.Send(t.Context(), "nobody", "a", 0)
		var refused *mnsclient.Error
		if !errors.As(err, &refused) || refused.Status != 404 || refused.Code != "QueueNotExist" || refused.Message == "" || len(refused.RequestID) != 24 {
			t.Errorf("got %+v", err)
		}
	})

	t.Run("show an answer that is not MNS's", func(t *testing.T) {
		c, server, _ := setup(t)
		must(server.Faults().Add(faults.Rule{Fault: faults.Fault{Answer: faults.HTML}}))(t)
		_, err := c.Receive(t.Context(), "q", 1, 0)
		var refused *mnsclient.Error
		if !errors.As(err, &refused) || refused.Status != 502 || refused.Code != "" || !strings.Contains(refused.Message, "gateway says no") {
			t.Errorf("got %v", err)
		}
		must(server.Faults().Add(faults.Rule{Fault: faults.Fault{Answer: faults.Empty}}))(t)
		if _, err := c.Receive(t.Context(), "q", 1, 0); err == nil {
			t.Error("an empty 200 is not a success")
		}
	})

	t.Run("come before a call that cannot work", func(t *testing.T) {
		c, server, _ := setup(t)
		before := len(server.Faults().Calls())
		for name, call := range map[string]func() error{
			"queue name": func() error { _, err := c.Send(t.Context(), "a?b=c", "a", 0); return err },
			"no body":    func() error { _, err := c.Send(t.Context(), "q", "", 0); return err },
			"no UTF-8":   func() error { _, err := c.Send(t.Context(), "q", "\xff", 0); return err },
			"a control":  func() error { _, err := c.Send(t.Context(), "q", "a\x00", 0); return err },
			"too many":   func() error { _, err := c.Receive(t.Context(), "q", 17, 0); return err },
			"too long":   func() error { _, err := c.Receive(t.Context(), "q", 1, 31); return err },
			"no handle":  func() error { return c.Delete(t.Context(), "q", "") },
			"no handles": func() error { _, err := c.DeleteBatch(t.Context(), "q", nil); return err },
		} {
			if err := call(); err == nil {
				t.Errorf("%s: want an error", name)
			}
		}
		if after := len(server.Faults().Calls()); after != before {
			t.Errorf("%d calls were made", after-before)
		}
	})
}

func TestNew(t *testing.T) {
	for name, config := range map[string]mnsclient.Config{
		"no endpoint": {AccessKeyID: id, AccessKeySecret: secret},
		"no scheme":   {Endpoint: "127.0.0.1:80", AccessKeyID: id, AccessKeySecret: secret},
		"a path":      {Endpoint: "http://127.0.0.1/x", AccessKeyID: id, AccessKeySecret: secret},
		"no secret":   {Endpoint: "http://127.0.0.1", AccessKeyID: id},
	} {
		if _, err := mnsclient.New(config); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}
