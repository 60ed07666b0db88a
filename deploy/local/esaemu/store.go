package esaemu

import (
	"bytes"
	"cmp"
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
	bucketAccount     = "account"     // accountKey -> Standing
	bucketSites       = "sites"       // site id -> Site
	bucketRoutines    = "routines"    // name -> Routine without its records
	bucketRecords     = "records"     // record id -> Record, bound and planted ones
	bucketNames       = "names"       // site id + record name -> record id: a name is taken once in a site
	bucketRelated     = "related"     // routine name + 0 + record id -> nothing
	bucketRoutes      = "routes"      // config id -> Route
	bucketVersions    = "versions"    // routine name + 0 + code version -> Version; its sequence is the last number of a version or deployment
	bucketDeployments = "deployments" // routine name + 0 + environment -> Deployment
	bucketUploads     = "uploads"     // routine name -> what was uploaded last, which a commit makes a version
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
	s := &store{db: db}
	err = s.update(func(t *tx) {
		for _, name := range []string{
			bucketAccount, bucketSites, bucketRoutines, bucketRecords, bucketNames, bucketRelated, bucketRoutes, bucketVersions, bucketDeployments,
			bucketUploads,
		} {
			_, err := t.CreateBucketIfNotExists([]byte(name))
			t.fail(err)
		}
	})
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("prepare %s: %w", file, err)
	}
	return s, nil
}

// tx is one transaction. It keeps the first thing that goes wrong, which undoes all of it: a step lists its conditions and its writes one
// after the other and need not ask in between.
type tx struct {
	*bbolt.Tx
	err error
}

func (s *store) view(do func(*tx)) error   { return s.db.View(transaction(do)) }
func (s *store) update(do func(*tx)) error { return s.db.Update(transaction(do)) }

func transaction(do func(*tx)) func(*bbolt.Tx) error {
	return func(bolt *bbolt.Tx) error {
		t := &tx{Tx: bolt}
		do(t)
		return t.err
	}
}

func (t *tx) fail(err error) { t.err = cmp.Or(t.err, err) }

func (t *tx) refuse(code, format string, args ...any) { t.fail(refusal(code, format, args...)) }

func (t *tx) bucket(name string) *bbolt.Bucket { return t.Bucket([]byte(name)) }

// put stores a value as JSON.
func (t *tx) put(bucket string, key []byte, value any) {
	raw, err := json.Marshal(value)
	t.fail(err)
	t.putRaw(bucket, key, raw)
}

func (t *tx) putRaw(bucket string, key, value []byte) { t.fail(t.bucket(bucket).Put(key, value)) }

func (t *tx) remove(bucket string, key []byte) { t.fail(t.bucket(bucket).Delete(key)) }

// nextID gives an id that no object of the bucket ever had.
func (t *tx) nextID(bucket string, first int64) int64 {
	n, err := t.bucket(bucket).NextSequence()
	t.fail(err)
	return first + int64(n)
}

// get reads one value and reports whether it is there.
func get[T any](t *tx, bucket string, key []byte) (value T, found bool) {
	raw := t.bucket(bucket).Get(key)
	if raw != nil {
		t.fail(json.Unmarshal(raw, &value))
	}
	return value, raw != nil
}

// list reads those values of a bucket that are wanted, in the order of their keys.
func list[T any](t *tx, bucket string, wanted func(T) bool) []T {
	out := []T{}
	t.fail(t.bucket(bucket).ForEach(func(_, raw []byte) error {
		var value T
		err := json.Unmarshal(raw, &value)
		if wanted(value) {
			out = append(out, value)
		}
		return err
	}))
	return out
}

// every wants all values of a list.
func every[T any](T) bool { return true }

// keys returns the rest of every key that begins with prefix.
func (t *tx) keys(bucket string, prefix []byte) [][]byte {
	var out [][]byte
	cursor := t.bucket(bucket).Cursor()
	for key, _ := cursor.Seek(prefix); key != nil && bytes.HasPrefix(key, prefix); key, _ = cursor.Next() {
		out = append(out, bytes.Clone(key[len(prefix):]))
	}
	return out
}

// idKey orders ids as numbers.
func idKey(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }
