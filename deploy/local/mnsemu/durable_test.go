package mnsemu_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.etcd.io/bbolt"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/mnsemu"
)

// kill makes a copy of a server's file as a sudden end of the process would leave it, and a configuration that uses it. The last
// call before it must be one that waits for the disk, so that the file is not being written while it is copied.
func (e *emulator) kill(t *testing.T, dir string) func(*mnsemu.Config) {
	t.Helper()
	image, err := os.ReadFile(filepath.Join(dir, "mns.db"))
	if err != nil {
		t.Fatal(err)
	}
	after := t.TempDir()
	if err := os.WriteFile(filepath.Join(after, "mns.db"), image, 0o600); err != nil {
		t.Fatal(err)
	}
	return at(after, e.clock)
}

func at(dir string, now *clock.Manual) func(*mnsemu.Config) {
	return func(c *mnsemu.Config) { c.Dir, c.Clock = dir, now }
}

// keys counts the keys of each bucket of a server's file.
func keys(t *testing.T, dir string) map[string]int {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, "mns.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	counts := map[string]int{}
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			counts[string(name)] = b.Stats().KeyN
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// receiveMany sends eight messages, receives them and returns the handles.
func receiveMany(t *testing.T, q mns.AliMNSQueue) map[string]bool {
	t.Helper()
	for range 8 {
		send(t, q, "m")
	}
	handles := map[string]bool{}
	for range 8 {
		handles[mustReceive(t, q).ReceiptHandle] = true
	}
	return handles
}

func TestDurability(t *testing.T) {
	t.Run("continues after a clean stop where it was", func(t *testing.T) {
		dir, now := t.TempDir(), clock.NewManual(time.Now().Truncate(time.Millisecond))
		e := start(t, at(dir, now))
		q := e.queue(t, "jobs", mns.WithVisibilityTimeout(60))
		send(t, q, "held")
		held := mustReceive(t, q)
		send(t, q, "waiting")
		delayed, err := q.SendMessage(mns.MessageSendRequest{MessageBody: "delayed", Priority: 8, DelaySeconds: 100})
		if err != nil {
			t.Fatal(err)
		}
		before := e.messages(t, "jobs")
		attributes := e.do(t, raw{method: "GET", target: "/queues/jobs"}).body
		e.stop()

		e = start(t, at(dir, now))
		if diff := cmp.Diff(before, e.messages(t, "jobs")); diff != "" {
			t.Errorf("messages: %s", diff)
		}
		if diff := cmp.Diff(attributes, e.do(t, raw{method: "GET", target: "/queues/jobs"}).body); diff != "" {
			t.Errorf("attributes: %s", diff)
		}
		q = mns.NewMNSQueue("jobs", e.client(), 1<<30)
		if err := q.DeleteMessage(held.ReceiptHandle); err != nil {
			t.Errorf("delete with the handle from before: %v", err)
		}
		if err := q.DeleteMessage(delayed.ReceiptHandle); err != nil {
			t.Errorf("delete with the handle of the delayed send: %v", err)
		}
		if got := mustReceive(t, q); got.MessageBody != "waiting" {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("keeps every answered send and delete when it is killed", func(t *testing.T) {
		dir := t.TempDir()
		e := start(t, func(c *mnsemu.Config) { c.Dir = dir })
		q := e.queue(t, "jobs")
		sent, left := map[string]bool{}, map[string]bool{}
		for i := range 20 {
			sent[fmt.Sprint("m", i)] = true
			send(t, q, fmt.Sprint("m", i))
		}
		afterSends := e.kill(t, dir)
		for i := range 20 {
			m := mustReceive(t, q)
			if i%2 == 0 {
				left[m.MessageBody] = true
				continue
			}
			if err := q.DeleteMessage(m.ReceiptHandle); err != nil {
				t.Fatal(err)
			}
		}
		afterDeletes := e.kill(t, dir)
		for name, c := range map[string]struct {
			restart func(*mnsemu.Config)
			want    map[string]bool
		}{"sends": {afterSends, sent}, "deletes": {afterDeletes, left}} {
			got := map[string]bool{}
			for _, m := range start(t, c.restart).messages(t, "jobs") {
				got[m.Body] = true
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("after the %s: %s", name, diff)
			}
		}
	})

	t.Run("gives no handle or id twice across a kill", func(t *testing.T) {
		dir := t.TempDir()
		e := start(t, func(c *mnsemu.Config) { c.Dir = dir })
		q := e.queue(t, "jobs")
		// The copy knows nothing of what follows, as if the last writes were lost.
		restart := e.kill(t, dir)
		before := receiveMany(t, q)
		e = start(t, restart)
		q = mns.NewMNSQueue("jobs", e.client(), 1<<30)
		for handle := range receiveMany(t, q) {
			if before[handle] {
				t.Errorf("handle %s was given for two messages", handle)
			}
		}
		for handle := range before {
			if err := q.DeleteMessage(handle); errorCode(err) != codeMessageNotExist {
				t.Errorf("delete with a handle from before: got %v, want MessageNotExist", err)
			}
		}
		if got := e.messages(t, "jobs"); len(got) != 8 {
			t.Errorf("%d messages are left of 8", len(got))
		}
	})

	t.Run("leaves nothing of what was deleted in the file", func(t *testing.T) {
		dir := t.TempDir()
		e := start(t, func(c *mnsemu.Config) { c.Dir = dir })
		q, deleted := e.queue(t, "jobs"), e.queue(t, "deleted")
		for handle := range receiveMany(t, q) {
			if err := q.DeleteMessage(handle); err != nil {
				t.Fatal(err)
			}
		}
		receiveMany(t, deleted)
		topic := e.topic(t, "news")
		subscribe(t, topic, "one", mns.MessageSubsribeRequest{Endpoint: "http://127.0.0.1:1/"})
		publish(t, topic, "m", "")
		for _, target := range []string{"/queues/deleted", "/topics/news"} {
			e.do(t, raw{method: "DELETE", target: target})
		}
		e.stop()
		if diff := cmp.Diff(map[string]int{"account": 1, "queues": 1}, keys(t, dir), cmpopts.IgnoreMapEntries(func(_ string, n int) bool { return n == 0 })); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("keeps deleted queues deleted, and purged messages", func(t *testing.T) {
		dir := t.TempDir()
		e := start(t, func(c *mnsemu.Config) { c.Dir = dir })
		send(t, e.queue(t, "gone"), "m")
		send(t, e.queue(t, "purged"), "m")
		if err := mns.NewMNSQueueManager(e.client()).DeleteQueue("gone"); err != nil {
			t.Fatal(err)
		}
		e.local(t, "DELETE", "/queues/purged/messages", "", nil)
		e = start(t, e.kill(t, dir))
		e.queue(t, "gone")
		for _, name := range []string{"gone", "purged"} {
			if got := e.messages(t, name); len(got) != 0 {
				t.Errorf("%s has %+v", name, got)
			}
		}
	})

	t.Run("keeps topics, subscriptions and the account across a kill", func(t *testing.T) {
		dir := t.TempDir()
		e := start(t, func(c *mnsemu.Config) { c.Dir = dir })
		e.do(t, raw{method: "PUT", target: "/?accountmeta=true", body: `<Account><LoggingBucket>logs</LoggingBucket></Account>`})
		for _, topic := range []string{"news", "gone"} {
			e.do(t, raw{method: "PUT", target: "/topics/" + topic, body: `<Topic><MaximumMessageSize>2048</MaximumMessageSize></Topic>`})
			e.do(t, raw{method: "PUT", target: "/topics/" + topic + "/subscriptions/s", body: `<Subscription><Endpoint>mail:directmail:a@b</Endpoint></Subscription>`})
		}
		e.do(t, raw{method: "DELETE", target: "/topics/gone"})
		want := []string{}
		targets := []string{"/?accountmeta=true", "/topics/news", "/topics", "/topics/news/subscriptions/s"}
		for _, target := range targets {
			want = append(want, e.do(t, raw{method: "GET", target: target}).body)
		}
		e = start(t, e.kill(t, dir))
		got := []string{}
		for _, target := range targets {
			got = append(got, e.do(t, raw{method: "GET", target: target}).body)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("answers 500 after Close instead of promising anything", func(t *testing.T) {
		e := start(t, nil)
		e.queue(t, "jobs")
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		r := e.do(t, raw{method: "POST", target: "/queues/jobs/messages", body: "<Message><MessageBody>m</MessageBody></Message>"})
		if r.status != 500 || r.text("Code") != "InternalError" {
			t.Errorf("got %+v", r)
		}
	})
}

func TestNew(t *testing.T) {
	valid := func(t *testing.T) mnsemu.Config {
		return mnsemu.Config{AccountID: "1", AccessKeyID: "a", AccessKeySecret: "s", Dir: t.TempDir()}
	}

	t.Run("names what is wrong with a configuration", func(t *testing.T) {
		for want, edit := range map[string]func(*mnsemu.Config){
			"AccountID is missing":                func(c *mnsemu.Config) { c.AccountID = "" },
			"AccessKeyID is missing":              func(c *mnsemu.Config) { c.AccessKeyID = "" },
			"AccessKeySecret is missing":          func(c *mnsemu.Config) { c.AccessKeySecret = "" },
			"Dir is missing":                      func(c *mnsemu.Config) { c.Dir = "" },
			"a limit is -1":                       func(c *mnsemu.Config) { c.MaxTopics = -1 },
			"the target is the queue itself":      func(c *mnsemu.Config) { c.DeadLetter = map[string]mnsemu.DeadLetterPolicy{"q": {"q", 1}} },
			"the maximum receive count is 0":      func(c *mnsemu.Config) { c.DeadLetter = map[string]mnsemu.DeadLetterPolicy{"q": {"d", 0}} },
			"The queue name you provided is inva": func(c *mnsemu.Config) { c.DeadLetter = map[string]mnsemu.DeadLetterPolicy{"q": {"d!", 1}} },
		} {
			c := valid(t)
			edit(&c)
			if _, err := mnsemu.New(c); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	})

	t.Run("refuses a directory that is in use, or is no directory, or holds something else", func(t *testing.T) {
		c := valid(t)
		first, err := mnsemu.New(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mnsemu.New(c); err == nil || !strings.Contains(err.Error(), "another process holds it") {
			t.Errorf("in use: got %v", err)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(c.Dir, "mns.db")
		c.Dir = file
		if _, err := mnsemu.New(c); err == nil || !strings.Contains(err.Error(), "data directory") {
			t.Errorf("no directory: got %v", err)
		}
		c.Dir = filepath.Dir(file)
		if err := os.WriteFile(file, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := mnsemu.New(c); err == nil || !strings.Contains(err.Error(), "invalid database") {
			t.Errorf("something else: got %v", err)
		}
	})
}
