package otsemu

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// openTimeout is how long another process may hold the file before opening it is an error.
const openTimeout = 500 * time.Millisecond

// Buckets of the data file.
const (
	// bucketTables holds name -> table.
	bucketTables = "tables"
	// bucketRows holds one bucket per table: encoded primary key -> stored row.
	bucketRows = "rows"
)

// maxGroup bounds the writes of one transaction, so that none of them waits long for the others.
const maxGroup = 256

// store is the data file. One goroutine writes it: while a transaction is being synced, writes gather, and all of them are the
// next transaction. A write that was answered is on disk.
type store struct {
	db *bbolt.DB

	// read holds the definition of each table that was asked for, by name.
	read sync.Map

	// mu keeps writes from being handed over once closed is set.
	mu       sync.RWMutex
	closed   bool
	writes   chan *write
	finished chan struct{}
}

// write is a change under way.
type write struct {
	do   func(tx) error
	err  error
	done chan struct{}
}

func openStore(dir string, noSync bool) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	file := filepath.Join(dir, "ots.db")
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{
		Timeout: openTimeout, NoSync: noSync, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: another process holds it: %w", file, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	err = db.Update(func(t *bbolt.Tx) error {
		for _, name := range []string{bucketTables, bucketRows} {
			if _, err := t.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %s: %w", file, err), db.Close())
	}
	s := &store{db: db, writes: make(chan *write, maxGroup), finished: make(chan struct{})}
	go s.run()
	return s, nil
}

func (s *store) view(do func(tx) error) error {
	return s.db.View(func(t *bbolt.Tx) error { return do(tx{t, &s.read}) })
}

// update carries out a change and returns once it is on disk. Changes run one after the other and share transactions, so a do
// that refuses must not have written anything: only errors that are no refusal undo what was written.
func (s *store) update(do func(tx) error) error {
	w := &write{do: do, done: make(chan struct{})}
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return errors.New("the server is closed")
	}
	s.writes <- w
	s.mu.RUnlock()
	<-w.done
	return w.err
}

// close carries out what was handed over and closes the file.
func (s *store) close() error {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.closed = true
		close(s.writes)
	}
	s.mu.Unlock()
	<-s.finished
	if closed {
		return nil
	}
	return s.db.Close()
}

func (s *store) run() {
	defer close(s.finished)
	for first := range s.writes {
		// The callers that were just answered get to hand over their next write before this group is closed.
		runtime.Gosched()
		s.commit(s.gather(first))
	}
}

// gather takes the writes that wait, without waiting for any.
func (s *store) gather(first *write) []*write {
	group := []*write{first}
	for len(group) < maxGroup {
		select {
		case w, open := <-s.writes:
			if !open {
				return group
			}
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

func (s *store) commit(group []*write) {
	err := s.db.Update(func(t *bbolt.Tx) error {
		for _, w := range group {
			w.err = w.do(tx{t, &s.read})
			var refused *refusal
			if w.err != nil && !errors.As(w.err, &refused) {
				return w.err
			}
		}
		return nil
	})
	for _, w := range group {
		if err != nil {
			w.err = err
		}
		close(w.done)
	}
}

// tx is one transaction.
type tx struct {
	*bbolt.Tx
	// read holds a definition for each name; all transactions share it.
	read *sync.Map
}

// definition is a table's definition with the text it was read from.
type definition struct {
	text  []byte
	table *table
}

// table reads a table's definition, which the caller must not change, and refuses when there is none. Every row that is read
// or written needs it, so the text is only decoded again where it is not the one that was decoded last.
func (t tx) table(name string) (*table, error) {
	text := t.Bucket([]byte(bucketTables)).Get([]byte(name))
	if text == nil {
		return nil, refuse(codeObjectNotExist, "Requested table does not exist.")
	}
	if last, found := t.read.Load(name); found && bytes.Equal(last.(definition).text, text) {
		return last.(definition).table, nil
	}
	out := &table{}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("table %q: %w", name, err)
	}
	t.read.Store(name, definition{slices.Clone(text), out})
	return out, nil
}

func (t tx) putTable(d *table) error {
	raw, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return t.Bucket([]byte(bucketTables)).Put([]byte(d.Name), raw)
}

// tables reads all definitions in the order of their names.
func (t tx) tables() ([]*table, error) {
	out := []*table{}
	err := t.Bucket([]byte(bucketTables)).ForEach(func(name, _ []byte) error {
		d, err := t.table(string(name))
		out = append(out, d)
		return err
	})
	return out, err
}

// rows is the bucket of a table that exists.
func (t tx) rows(d *table) *bbolt.Bucket {
	return t.Bucket([]byte(bucketRows)).Bucket([]byte(d.Name))
}

// row reads a row that has not expired.
func (t tx) row(d *table, key []byte, now time.Time) (r storedRow, exists bool, err error) {
	raw := t.rows(d).Get(key)
	if raw == nil {
		return storedRow{}, false, nil
	}
	r, err = decodeStored(raw)
	if err != nil || !r.alive(d, now) {
		return storedRow{}, false, err
	}
	return r, true, nil
}
