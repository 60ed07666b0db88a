package esaemu

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// openTimeout is how long another process may hold the file before opening it is an error.
const openTimeout = 500 * time.Millisecond

// store is the data file. A committed transaction is on disk.
type store struct {
	db *bbolt.DB
}

// Buckets of the data file.
const (
	bucketAccount = "account" // accountKey -> Standing
	bucketSites   = "sites"   // site id -> Site
	// bucketRoutines holds name -> Routine without its records.
	bucketRoutines = "routines"
	// bucketRecords holds record id -> Record, bound and planted ones.
	bucketRecords = "records"
	// bucketNames holds site id + record name -> record id: a name is taken once in a site.
	bucketNames = "names"
	// bucketRelated holds routine name + 0 + record id -> nothing.
	bucketRelated = "related"
	bucketRoutes  = "routes" // config id -> route
)

// accountKey is the only key of the account bucket.
const accountKey = "account"

// firstRecordID and firstConfigID make ids as long as the cloud's: over 32 bits, under JavaScript's 53.
const (
	firstRecordID = 3227405728754048
	firstConfigID = 352816096980000
)

func openStore(dir string, noSync bool) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	file := filepath.Join(dir, "esa.db")
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: openTimeout, NoSync: noSync})
	if err != nil {
		return nil, fmt.Errorf("open %s (is another server using it?): %w", file, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{
			bucketAccount, bucketSites, bucketRoutines, bucketRecords, bucketNames, bucketRelated, bucketRoutes,
		} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("prepare %s: %w", file, err)
	}
	return &store{db: db}, nil
}

func (s *store) view(f func(tx) error) error {
	return s.db.View(func(t *bbolt.Tx) error { return f(tx{t}) })
}

func (s *store) update(f func(tx) error) error {
	return s.db.Update(func(t *bbolt.Tx) error { return f(tx{t}) })
}

// tx is one transaction.
type tx struct {
	*bbolt.Tx
}

func (t tx) bucket(name string) *bbolt.Bucket { return t.Bucket([]byte(name)) }

// put stores a value as JSON.
func (t tx) put(bucket string, key []byte, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return t.bucket(bucket).Put(key, raw)
}

func (t tx) remove(bucket string, key []byte) error { return t.bucket(bucket).Delete(key) }

// nextID gives an id that no object of the bucket ever had.
func (t tx) nextID(bucket string, first int64) (int64, error) {
	n, err := t.bucket(bucket).NextSequence()
	return first + int64(n), err
}

// get reads one value and reports whether it is there.
func get[T any](t tx, bucket string, key []byte) (T, bool, error) {
	var value T
	raw := t.bucket(bucket).Get(key)
	if raw == nil {
		return value, false, nil
	}
	err := json.Unmarshal(raw, &value)
	return value, true, err
}

// list reads all values of a bucket in the order of their keys.
func list[T any](t tx, bucket string) ([]T, error) {
	out := []T{}
	err := t.bucket(bucket).ForEach(func(_, raw []byte) error {
		var value T
		err := json.Unmarshal(raw, &value)
		out = append(out, value)
		return err
	})
	return out, err
}

// keys returns the rest of every key that begins with prefix.
func (t tx) keys(bucket string, prefix []byte) [][]byte {
	var out [][]byte
	cursor := t.bucket(bucket).Cursor()
	for key, _ := cursor.Seek(prefix); key != nil && bytes.HasPrefix(key, prefix); key, _ = cursor.Next() {
		out = append(out, bytes.Clone(key[len(prefix):]))
	}
	return out
}

// idKey orders ids as numbers.
func idKey(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }
