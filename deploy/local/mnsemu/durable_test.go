package mnsemu_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"go.etcd.io/bbolt"

	"routinely/deploy/local/mnsemu"
)

func TestDurability(t *testing.T) {
	t.Run("continues after a clean stop where it was", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs", mns.WithVisibilityTimeout(60))
		q.send("held", 0)
		held, err := q.ChangeMessageVisibility(q.must().ReceiptHandle, 100)
		check(t, err)
		q.send("waiting", 0)
		delayed := q.send("delayed", 100)
		messages, attributes := e.messages("jobs"), e.do("GET", "/queues/jobs", "").body
		e.stop()
		again := start(t, on(e.dir, e.clock))
		same(t, messages, again.messages("jobs"))
		same(t, attributes, again.do("GET", "/queues/jobs", "").body)
		q = again.open("jobs")
		for _, handle := range []string{held.ReceiptHandle, delayed.ReceiptHandle} {
			check(t, q.DeleteMessage(handle))
		}
		same(t, "waiting", q.must().MessageBody)
	})

	t.Run("gives back if wanted what was received and not deleted", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs", mns.WithVisibilityTimeout(3600))
		q.send("held", 0)
		held := q.must()
		q.send("delayed", 100)
		e.stop()
		again := start(t, on(e.dir, e.clock), func(c *mnsemu.Config) { c.Returns = true })
		q = again.open("jobs")
		same(t, "MessageNotExist", code(q.DeleteMessage(held.ReceiptHandle)))
		same(t, "held", q.must().MessageBody)
		_, none := q.receive()
		same(t, "MessageNotExist", none)
	})

	t.Run("keeps every answered send and delete when it is killed", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		for i := range 20 {
			q.send(fmt.Sprint(i), 0)
		}
		sent := e.killed()
		var left []string
		for i := range 20 {
			m := q.must()
			if i%2 == 0 {
				left = append(left, m.MessageBody)
				continue
			}
			check(t, q.DeleteMessage(m.ReceiptHandle))
		}
		same(t, 20, len(sent.stored("jobs")))
		same(t, left, e.killed().stored("jobs"))
	})

	t.Run("keeps queues, topics, subscriptions and the account, and what was deleted or purged, when it is killed", func(t *testing.T) {
		e := start(t)
		e.queue("deleted").send("m", 0)
		e.queue("purged").send("m", 0)
		for _, c := range [][3]string{
			{"PUT", "/?accountmeta=true", `<Account><LoggingBucket>logs</LoggingBucket></Account>`},
			{"PUT", "/queues/purged?metaoverride=true", "<Queue><VisibilityTimeout>7</VisibilityTimeout></Queue>"},
			{"PUT", "/topics/news", `<Topic><MaximumMessageSize>2048</MaximumMessageSize></Topic>`},
			{"PUT", "/topics/news/subscriptions/s", `<Subscription><Endpoint>mail:directmail:a@b</Endpoint></Subscription>`},
			{"PUT", "/topics/news/subscriptions/deleted", `<Subscription><Endpoint>mail:directmail:a@b</Endpoint></Subscription>`},
			{"DELETE", "/topics/news/subscriptions/deleted", ""},
			{"PUT", "/topics/deleted", `<Topic/>`},
			{"PUT", "/topics/deleted/subscriptions/s", `<Subscription><Endpoint>mail:directmail:a@b</Endpoint></Subscription>`},
			{"DELETE", "/topics/deleted", ""},
			{"DELETE", "/queues/deleted", ""},
		} {
			if r := e.do(c[0], c[1], c[2]); r.status/100 != 2 {
				t.Fatalf("%s: %+v", c, r)
			}
		}
		e.local("DELETE", "/queues/purged/messages", "", nil)
		again := e.killed()
		for _, target := range []string{"/?accountmeta=true", "/queues", "/queues/purged", "/topics", "/topics/news", "/topics/news/subscriptions", "/topics/news/subscriptions/s"} {
			same(t, e.do("GET", target, "").body, again.do("GET", target, "").body)
		}
		again.queue("deleted")
		same(t, []string{}, append(again.stored("deleted"), again.stored("purged")...))
	})

	t.Run("takes no handle from before a kill for a message after it", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		again := e.killed() // it knows nothing of what follows, as if the last writes were lost
		q.send("m", 0)
		before := q.must().ReceiptHandle
		q = again.open("jobs")
		q.send("m", 0)
		q.must()
		same(t, "MessageNotExist", code(q.DeleteMessage(before)))
	})

	t.Run("leaves nothing of what was deleted in the file", func(t *testing.T) {
		e := start(t)
		q := e.queue("jobs")
		for range 8 {
			q.send("m", 0)
			check(t, q.DeleteMessage(q.must().ReceiptHandle))
		}
		e.queue("deleted").send("m", 0)
		e.do("PUT", "/topics/news", "<Topic/>")
		e.do("PUT", "/topics/news/subscriptions/s", "<Subscription><Endpoint>http://127.0.0.1:1/</Endpoint></Subscription>")
		e.do("POST", "/topics/news/messages", "<Message><MessageBody>m</MessageBody></Message>")
		e.do("DELETE", "/queues/deleted", "")
		e.do("DELETE", "/topics/news", "")
		e.stop()
		db, err := bbolt.Open(filepath.Join(e.dir, "mns.db"), 0o600, nil)
		check(t, err)
		defer db.Close()
		counts := map[string]int{}
		check(t, db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
				counts[string(name)] = b.Stats().KeyN
				return nil
			})
		}))
		same(t, map[string]int{"account": 1, "queues": 1, "messages": 0, "topics": 0, "pushes": 0}, counts)
	})

	t.Run("answers 500 after Close instead of promising anything", func(t *testing.T) {
		e := start(t)
		e.queue("jobs")
		check(t, e.Close())
		same(t, 500, e.local("GET", "/queues", "", nil))
		same(t, "InternalError", e.do("GET", "/queues/jobs", "").text("Code"))
		same(t, "InternalError", e.do("POST", "/queues/jobs/messages", "<Message><MessageBody>m</MessageBody></Message>").text("Code"))
	})
}

func TestNew(t *testing.T) {
	deadLetter := func(target string, count int) func(*mnsemu.Config) {
		return func(c *mnsemu.Config) {
			c.DeadLetter = map[string]mnsemu.DeadLetterPolicy{"q": {TargetQueue: target, MaxReceiveCount: count}}
		}
	}
	write := func(c *mnsemu.Config, file string, content []byte) {
		check(t, os.WriteFile(filepath.Join(c.Dir, file), content, 0o600))
	}
	for want, edit := range map[string]func(*mnsemu.Config){
		"AccountID is missing":                func(c *mnsemu.Config) { c.AccountID = "" },
		"AccessKeyID is missing":              func(c *mnsemu.Config) { c.AccessKeyID = "" },
		"AccessKeySecret is missing":          func(c *mnsemu.Config) { c.AccessKeySecret = "" },
		"Dir is missing":                      func(c *mnsemu.Config) { c.Dir = "" },
		"a limit is -1":                       func(c *mnsemu.Config) { c.MaxTopics = -1 },
		"the target is the queue itself":      deadLetter("q", 1),
		"the maximum receive count is 0":      deadLetter("d", 0),
		"The queue name you provided is inva": deadLetter("d!", 1),
		"another process holds it":            func(c *mnsemu.Config) { c.Dir = start(t).dir },
		"data directory": func(c *mnsemu.Config) {
			write(c, "file", nil)
			c.Dir = filepath.Join(c.Dir, "file")
		},
		"invalid database": func(c *mnsemu.Config) { write(c, "mns.db", []byte(strings.Repeat("not a database ", 1000))) },
		"another version": func(c *mnsemu.Config) {
			db, err := bbolt.Open(filepath.Join(c.Dir, "mns.db"), 0o600, &bbolt.Options{Timeout: time.Second})
			check(t, err)
			defer db.Close()
			check(t, db.Update(func(tx *bbolt.Tx) error {
				_, err := tx.CreateBucket([]byte("meta"))
				return err
			}))
		},
	} {
		c := mnsemu.Config{AccountID: "1", AccessKeyID: "a", AccessKeySecret: "s", Dir: t.TempDir()}
		edit(&c)
		if _, err := mnsemu.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
