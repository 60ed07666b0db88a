package mnsemu

import (
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

// Buckets of the file. Every value is JSON.
const (
	accountBucket = "account"
	queueBucket   = "queues"
	messageBucket = "messages"
	topicBucket   = "topics"
	pushBucket    = "pushes"
)

// change is one write: put value at key, or delete key when value is nil.
type change struct {
	bucket, key string
	value       []byte
}

// store is the durable image of the working state. While one transaction is written, changes gather; the next transaction writes them all. After a failed write every later one fails too, since memory and disk no longer agree.
type store struct {
	db *bbolt.DB

	mu      sync.Mutex
	pending []change
	added   int
	// behind counts the goroutines that write what nobody waits for.
	behind sync.WaitGroup

	// writing guards what follows and is held during a transaction.
	writing sync.Mutex
	written int
	failed  error
}

// openStore opens the file of a data directory and reads it with load.
func openStore(dir string, noSync bool, load func(*bbolt.Tx) error) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(dir, "mns.db")
	// The list of free pages is left out of the file, since writing it makes BenchmarkRoundTrip slower.
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: 500 * time.Millisecond, NoSync: noSync, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: another process holds it: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := db.Update(load); err != nil {
		return nil, errors.Join(fmt.Errorf("load %s: %w", path, err), db.Close())
	}
	return &store{db: db}, nil
}

// stored is the change that stores a record. Records hold strings, numbers and flags only, which always marshal.
func stored(bucket, key string, record any) change {
	value, _ := json.Marshal(record)
	return change{bucket, key, value}
}

// put stores a record.
func (st *store) put(bucket, key string, record any) { st.add(stored(bucket, key, record)) }

// remove deletes a record.
func (st *store) remove(bucket, key string) { st.add(change{bucket, key, nil}) }

// add hands a change over. It reaches the disk soon, after those added before.
func (st *store) add(c change) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.pending = append(st.pending, c)
	st.added++
	if len(st.pending) == 1 {
		first := st.added
		st.behind.Go(func() { _ = st.wait(first) })
	}
}

// count is how many changes were added so far.
func (st *store) count() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.added
}

// wait returns once the first n changes are on disk, or with the reason why they are not. The first of those who wait writes for all.
func (st *store) wait(n int) error {
	st.writing.Lock()
	defer st.writing.Unlock()
	if st.failed != nil || st.written >= n {
		return st.failed
	}
	// Callers that are about to add something go first: that halves the number of transactions in BenchmarkRoundTrip.
	runtime.Gosched()
	st.mu.Lock()
	changes := st.pending
	st.pending = nil
	st.mu.Unlock()
	st.failed = st.db.Update(func(tx *bbolt.Tx) error { return apply(tx, changes) })
	st.written += len(changes)
	return st.failed
}

func apply(tx *bbolt.Tx, changes []change) error {
	for _, c := range changes {
		bucket := tx.Bucket([]byte(c.bucket))
		var err error
		if c.value == nil {
			err = bucket.Delete([]byte(c.key))
		} else {
			err = bucket.Put([]byte(c.key), c.value)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", c.bucket, err)
		}
	}
	return nil
}

// close writes what has gathered and closes the file. Nothing may be added after it.
func (st *store) close() error {
	st.behind.Wait()
	return errors.Join(st.wait(0), st.db.Close())
}

// loadAll reads every record of a bucket, which it makes if it is missing, in the order of the keys.
func loadAll[T any](tx *bbolt.Tx, name string, use func(*T)) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte(name))
	if err != nil {
		return err
	}
	return bucket.ForEach(func(k, value []byte) error {
		record := new(T)
		if err := json.Unmarshal(value, record); err != nil {
			return fmt.Errorf("%s %q: %w", name, k, err)
		}
		use(record)
		return nil
	})
}

// key is a number in a form that sorts like it.
func key(number uint64) string { return fmt.Sprintf("%016x", number) }
