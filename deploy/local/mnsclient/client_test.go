package mnsclient_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/local/mnsemu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id, secret = "id", "secret"

// setup runs a calm server that checks signatures, and a client of it.
func setup(t *testing.T) (*mnsclient.Client, *mnsemu.Server, *clock.Manual) {
	t.Helper()
	now := clock.NewManual(time.Now())
	server, err := mnsemu.New(mnsemu.Config{AccountID: "123456", AccessKeyID: id, AccessKeySecret: secret, Dir: t.TempDir(), NoSync: true, Calm: true, Clock: now})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(func() {
		server.Stop()
		web.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return client(t, mnsclient.Config{Endpoint: web.URL, AccessKeyID: id, AccessKeySecret: secret, SecurityToken: "token"}), server, now
}

func client(t *testing.T, config mnsclient.Config) *mnsclient.Client {
	t.Helper()
	c, err := mnsclient.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// must returns a value that had to come without an error.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMessages(t *testing.T) {
	ctx := context.Background()

	t.Run("arrive as they were sent, hidden once received", func(t *testing.T) {
		c, _, _ := setup(t)
		check(t, c.CreateQueue(ctx, "q", mnsclient.Attributes{}))
		body := "<a> & \"b\"\r\n\tümläut 😀"
		sent := must(c.Send(ctx, "q", body, 0))(t)
		got := must(c.Receive(ctx, "q", 16, 0))(t)
		if len(got) != 1 || got[0].ID != sent || got[0].Body != body || got[0].DequeueCount != 1 || len(got[0].RequestID) != 24 {
			t.Fatalf("got %+v, want %s with %q", got, sent, body)
		}
		if hidden := got[0].NextVisibleTime.Sub(got[0].EnqueueTime); hidden != 30*time.Second {
			t.Errorf("hidden for %v, want 30s", hidden)
		}
		if again := must(c.Receive(ctx, "q", 1, 0))(t); len(again) > 0 {
			t.Errorf("received twice: %+v", again)
		}
		check(t, c.Delete(ctx, "q", got[0].ReceiptHandle))
	})

	t.Run("are delayed if asked for", func(t *testing.T) {
		c, _, now := setup(t)
		check(t, c.CreateQueue(ctx, "q", mnsclient.Attributes{}))
		must(c.Send(ctx, "q", "later", 60))(t)
		now.Advance(59 * time.Second)
		if early := must(c.Receive(ctx, "q", 1, 0))(t); len(early) > 0 {
			t.Errorf("early: %+v", early)
		}
		now.Advance(time.Second)
		if got := must(c.Receive(ctx, "q", 1, 0))(t); len(got) != 1 {
			t.Errorf("got %d messages, want 1", len(got))
		}
	})

	t.Run("stay hidden under a new handle when visibility is changed", func(t *testing.T) {
		c, _, now := setup(t)
		visibility := 5
		check(t, c.CreateQueue(ctx, "q", mnsclient.Attributes{VisibilityTimeout: &visibility}))
		must(c.Send(ctx, "q", "a", 0))(t)
		got := must(c.Receive(ctx, "q", 1, 0))(t)
		now.Advance(4 * time.Second)
		handle := must(c.ChangeVisibility(ctx, "q", got[0].ReceiptHandle, 100))(t)
		if handle == "" || handle == got[0].ReceiptHandle {
			t.Errorf("handle %q, want a new one", handle)
		}
		now.Advance(99 * time.Second)
		if again := must(c.Receive(ctx, "q", 1, 0))(t); len(again) > 0 {
			t.Errorf("visible: %+v", again)
		}
		check(t, c.Delete(ctx, "q", handle))
	})

	t.Run("are deleted in batches that report each failure", func(t *testing.T) {
		c, _, _ := setup(t)
		check(t, c.CreateQueue(ctx, "q", mnsclient.Attributes{}))
		for range 3 {
			must(c.Send(ctx, "q", "a", 0))(t)
		}
		var handles []string
		for _, m := range must(c.Receive(ctx, "q", 16, 0))(t) {
			handles = append(handles, m.ReceiptHandle)
		}
		check(t, c.Delete(ctx, "q", handles[0]))
		failed := must(c.DeleteBatch(ctx, "q", handles))(t)
		if len(failed) != 1 || failed[0].ReceiptHandle != handles[0] || failed[0].Code == "" {
			t.Errorf("failures: %+v, want the one that was deleted before", failed)
		}
		if failed := must(c.DeleteBatch(ctx, "q", handles[1:]))(t); len(failed) != 2 {
			t.Errorf("second time: %+v, want 2 failures", failed)
		}
	})

	t.Run("end a long poll when they are sent", func(t *testing.T) {
		c, _, _ := setup(t)
		check(t, c.CreateQueue(ctx, "q", mnsclient.Attributes{}))
		done := make(chan []mnsclient.Message, 1)
		go func() {
			messages, err := c.Receive(ctx, "q", 1, 30)
			if err != nil {
				t.Error(err)
			}
			done <- messages
		}()
		must(c.Send(ctx, "q", "a", 0))(t)
		if got := <-done; len(got) != 1 {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("are not waited for when the context ends", func(t *testing.T) {
		c, server, _ := setup(t)
		check(t, c.CreateQueue(ctx, "q", mnsclient.Attributes{}))
		must(server.Faults().Add(faults.Rule{Fault: faults.Fault{Answer: faults.Hang}}))(t)
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if _, err := c.Receive(ctx, "q", 1, 30); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCreateQueue(t *testing.T) {
	ctx := context.Background()
	c, _, _ := setup(t)
	delay := 3
	check(t, c.CreateQueue(ctx, "q", mnsclient.Attributes{DelaySeconds: &delay}))

	t.Run("succeeds for a queue that exists alike", func(t *testing.T) {
		check(t, c.CreateQueue(ctx, "q", mnsclient.Attributes{DelaySeconds: &delay}))
	})
	t.Run("fails for one with other attributes", func(t *testing.T) {
		if err := c.CreateQueue(ctx, "q", mnsclient.Attributes{}); !mnsclient.IsCode(err, mnsclient.CodeQueueAlreadyExist) {
			t.Errorf("got %v", err)
		}
	})
}

func TestErrors(t *testing.T) {
	ctx := context.Background()

	t.Run("carry what the server said", func(t *testing.T) {
		c, _, _ := setup(t)
		_, err := c.Send(ctx, "nobody", "a", 0)
		var refused *mnsclient.Error
		if !errors.As(err, &refused) {
			t.Fatalf("got %v, want an *Error", err)
		}
		if refused.Status != 404 || refused.Code != mnsclient.CodeQueueNotExist || refused.Message == "" || len(refused.RequestID) != 24 {
			t.Errorf("got %+v", refused)
		}
	})

	t.Run("tell a wrong secret", func(t *testing.T) {
		_, server, _ := setup(t)
		web := httptest.NewServer(server)
		t.Cleanup(web.Close)
		c := client(t, mnsclient.Config{Endpoint: web.URL, AccessKeyID: id, AccessKeySecret: "other"})
		if _, err := c.Receive(ctx, "q", 1, 0); !mnsclient.IsCode(err, "SignatureDoesNotMatch") {
			t.Errorf("got %v", err)
		}
	})

	t.Run("show an answer that is not MNS's", func(t *testing.T) {
		c, server, _ := setup(t)
		check(t, c.CreateQueue(ctx, "q", mnsclient.Attributes{}))
		must(server.Faults().Add(faults.Rule{Fault: faults.Fault{Answer: faults.HTML}}))(t)
		_, err := c.Receive(ctx, "q", 1, 0)
		var refused *mnsclient.Error
		if !errors.As(err, &refused) || refused.Status != 502 || refused.Code != "" || !strings.Contains(refused.Message, "gateway says no") {
			t.Errorf("got %v", err)
		}
		must(server.Faults().Add(faults.Rule{Fault: faults.Fault{Answer: faults.Empty}}))(t)
		if _, err := c.Receive(ctx, "q", 1, 0); err == nil {
			t.Error("an empty 200 is not a success")
		}
	})

	t.Run("come before a call that cannot work", func(t *testing.T) {
		c, server, _ := setup(t)
		before := len(server.Faults().Calls())
		for name, call := range map[string]func() error{
			"queue name": func() error { _, err := c.Send(ctx, "a?b=c", "a", 0); return err },
			"no body":    func() error { _, err := c.Send(ctx, "q", "", 0); return err },
			"no UTF-8":   func() error { _, err := c.Send(ctx, "q", "\xff", 0); return err },
			"a control":  func() error { _, err := c.Send(ctx, "q", "a\x00", 0); return err },
			"too many":   func() error { _, err := c.Receive(ctx, "q", 17, 0); return err },
			"too long":   func() error { _, err := c.Receive(ctx, "q", 1, 31); return err },
			"no handle":  func() error { return c.Delete(ctx, "q", "") },
			"no handles": func() error { _, err := c.DeleteBatch(ctx, "q", nil); return err },
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
		t.Run("refuses "+name, func(t *testing.T) {
			if _, err := mnsclient.New(config); err == nil {
				t.Error("want an error")
			}
		})
	}
}

func TestSign(t *testing.T) {
	const date = "Tue, 03 Jun 2025 11:23:48 GMT"
	for name, c := range map[string]struct {
		secret, method, resource string
		header                   []string
		want                     string
	}{
		"the Java SDK's vector with a header": {
			"sk1", http.MethodPost, "/queues/TestQueue", []string{"Date", date, "x-mns-abcDEF", "abcDEF"}, "cAThPWnbphg3hDe3ZHDADTgkgyE=",
		},
		"the Node SDK's vector": {
			"ACCESS_KEY_SECRET", http.MethodPut, "/", []string{
				"Content-MD5", "574683b3684e3cff610afa155cc2506d", "Content-Type", "text/xml", "Date", "Tue, 11 Apr 2017 10:09:19 GMT",
				"x-mns-version", "2015-06-06",
			}, "A9zehggaYHHujmuRMxGIDrhWwx8=",
		},
	} {
		t.Run("computes "+name, func(t *testing.T) {
			header := http.Header{}
			for pair := range slices.Chunk(c.header, 2) {
				header.Set(pair[0], pair[1])
			}
			if diff := cmp.Diff(c.want, mnsclient.Sign(c.secret, c.method, c.resource, header)); diff != "" {
				t.Errorf("signature (-want +got):\n%s", diff)
			}
		})
	}
}
