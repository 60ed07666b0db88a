package mnsemu

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Buckets of the file. A message's key is its queue's number and its own, so that a queue's messages lie together and new ones
// at the end. Its lease (what receives change) is a value of its own right behind it, so that a receive does not rewrite the body.
const (
	metaBucket         = "meta"
	queueBucket        = "queues"
	messageBucket      = "messages"
	topicBucket        = "topics"
	subscriptionBucket = "subscriptions"
	pushBucket         = "pushes"
)

// Keys of the meta bucket.
const (
	epochKey         = "epoch"
	sealKey          = "seal"
	loggingBucketKey = "loggingBucket"
)

// change is one write: put value at key, or delete key when value is nil, or every key that begins with key when prefix is set.
type change struct {
	bucket string
	key    []byte
	value  []byte
	prefix bool
}

// commit is a group of changes that reach the disk together.
type commit struct {
	changes []change
	done    chan struct{}
	err     error
}

// wait returns when the changes are on disk, or the reason why they are not.
func (c *commit) wait() error {
	<-c.done
	return c.err
}

// store is the durable image. One goroutine writes it: while a transaction is being synced, changes gather, and all of them are
// the next transaction. After a failed write every later one fails too, since memory and disk no longer agree.
type store struct {
	db *bbolt.DB

	mu       sync.Mutex
	gather   *commit
	closed   bool
	wake     chan struct{}
	finished chan struct{}
}

// image is what the file holds at the start.
type image struct {
	epoch         uint64
	sealKey       []byte
	loggingBucket string
	queues        []queueRecord
	messages      []storedMessage
	topics        []topicRecord
	subscriptions []subscriptionRecord
	pushes        []*push
}

// storedMessage is a message of the file with its lease, if it has one.
type storedMessage struct {
	queue, number uint64
	record        messageRecord
	lease         *lease
}

func openStore(dir string, noSync bool) (*store, *image, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(dir, "mns.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: 500 * time.Millisecond, NoSync: noSync, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, nil, fmt.Errorf("open %s: another process holds it: %w", path, err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", path, err)
	}
	loaded := &image{}
	if err := db.Update(loaded.load); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("load %s: %w", path, err), db.Close())
	}
	st := &store{db: db, gather: newCommit(), wake: make(chan struct{}, 1), finished: make(chan struct{})}
	go st.run()
	return st, loaded, nil
}

func newCommit() *commit { return &commit{done: make(chan struct{})} }

// add hands changes over in order; they are on disk once the commit's wait returns nil. Without changes it is a barrier behind
// everything added before.
func (st *store) add(changes ...change) *commit {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return failedCommit(errors.New("the server is closed"))
	}
	st.gather.changes = append(st.gather.changes, changes...)
	select {
	case st.wake <- struct{}{}:
	default:
	}
	return st.gather
}

func failedCommit(err error) *commit {
	c := newCommit()
	c.err = err
	close(c.done)
	return c
}

// run writes what has gathered whenever the write before is done. Callers that are about to add something go first: on a busy
// machine that makes the groups larger and costs nothing on an idle one.
func (st *store) run() {
	defer close(st.finished)
	var failed error
	for range st.wake {
		runtime.Gosched()
		failed = st.write(failed)
	}
	_ = st.write(failed)
}

func (st *store) write(failed error) error {
	st.mu.Lock()
	next := st.gather
	st.gather = newCommit()
	st.mu.Unlock()
	next.err = failed
	if failed == nil && len(next.changes) > 0 {
		next.err = st.db.Update(func(tx *bbolt.Tx) error { return apply(tx, next.changes) })
	}
	close(next.done)
	return next.err
}

func apply(tx *bbolt.Tx, changes []change) error {
	for _, c := range changes {
		bucket := tx.Bucket([]byte(c.bucket))
		var err error
		switch {
		case c.prefix:
			err = deletePrefix(bucket, c.key)
		case c.value == nil:
			err = bucket.Delete(c.key)
		default:
			err = bucket.Put(c.key, c.value)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", c.bucket, err)
		}
	}
	return nil
}

func deletePrefix(bucket *bbolt.Bucket, prefix []byte) error {
	cursor := bucket.Cursor()
	for key, _ := cursor.Seek(prefix); hasPrefix(key, prefix); key, _ = cursor.Seek(prefix) {
		if err := bucket.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

func hasPrefix(key, prefix []byte) bool {
	return len(key) >= len(prefix) && string(key[:len(prefix)]) == string(prefix)
}

// close writes what has gathered and closes the file.
func (st *store) close() error {
	st.mu.Lock()
	st.closed = true
	close(st.wake)
	st.mu.Unlock()
	<-st.finished
	return st.db.Close()
}

// load reads the whole file and starts a new epoch in it.
func (im *image) load(tx *bbolt.Tx) error {
	for _, name := range []string{
		metaBucket, queueBucket, messageBucket, topicBucket, subscriptionBucket, pushBucket,
	} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	return errors.Join(im.loadMeta(tx.Bucket([]byte(metaBucket))), im.loadMessages(tx),
		loadAll(tx, queueBucket, &im.queues), loadAll(tx, topicBucket, &im.topics),
		loadAll(tx, subscriptionBucket, &im.subscriptions), loadAll(tx, pushBucket, &im.pushes))
}

func (im *image) loadMeta(meta *bbolt.Bucket) error {
	if value := meta.Get([]byte(epochKey)); len(value) == 8 {
		im.epoch = binary.BigEndian.Uint64(value)
	}
	im.epoch++
	im.sealKey = append([]byte(nil), meta.Get([]byte(sealKey))...)
	if len(im.sealKey) == 0 {
		im.sealKey = make([]byte, 32)
		_, _ = rand.Read(im.sealKey)
	}
	im.loggingBucket = string(meta.Get([]byte(loggingBucketKey)))
	return errors.Join(meta.Put([]byte(epochKey), key(im.epoch)), meta.Put([]byte(sealKey), im.sealKey))
}

func (im *image) loadMessages(tx *bbolt.Tx) error {
	return tx.Bucket([]byte(messageBucket)).ForEach(func(k, value []byte) error {
		if last := len(im.messages) - 1; last >= 0 && string(k) == string(leaseKey(im.messages[last].queue, im.messages[last].number)) {
			im.messages[last].lease = decodeLease(value)
			return nil
		}
		if len(k) != 16 {
			return fmt.Errorf("message key %x: want 16 bytes", k)
		}
		m := storedMessage{queue: binary.BigEndian.Uint64(k), number: binary.BigEndian.Uint64(k[8:])}
		if err := json.Unmarshal(value, &m.record); err != nil {
			return fmt.Errorf("message %x: %w", k, err)
		}
		im.messages = append(im.messages, m)
		return nil
	})
}

func loadAll[T any](tx *bbolt.Tx, bucket string, into *[]T) error {
	return tx.Bucket([]byte(bucket)).ForEach(func(k, value []byte) error {
		var record T
		if err := json.Unmarshal(value, &record); err != nil {
			return fmt.Errorf("%s %q: %w", bucket, k, err)
		}
		*into = append(*into, record)
		return nil
	})
}

// key is numbers in an order that sorts like them.
func key(numbers ...uint64) []byte {
	out := make([]byte, 0, 17)
	for _, n := range numbers {
		out = binary.BigEndian.AppendUint64(out, n)
	}
	return out
}

// leaseKey is the key of a message's lease: the first one behind the message's.
func leaseKey(queue, number uint64) []byte { return append(key(queue, number), 0) }

// putRecord is the change that stores a record. Records hold strings and numbers only, which always marshal.
func putRecord(bucket string, key []byte, record any) change {
	value, _ := json.Marshal(record)
	return change{bucket: bucket, key: key, value: value}
}
