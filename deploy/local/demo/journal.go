package demo

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"routinely/deploy/local/esaemu"
)

// journalName is the journal's file in the data directory. Whoever has it open owns the directory.
const journalName = "demo.db"

// openTimeout is how long another demo may hold the journal before opening it is an error.
const openTimeout = 500 * time.Millisecond

const bucket = "journal"

// entry is one thing that the next demo has to know if this one is killed. Everything else is found again in ESA and in the
// queues, or follows from submitting again.
type entry struct {
	// Started begins a demo.
	Started bool `json:"started,omitempty"`
	// Planted is ESA before the first request.
	Planted *esaemu.State `json:"planted,omitempty"`
	// Key and MessageID tell which message was put on the job queue for a line: the queue does not know keys.
	Key       string `json:"key,omitempty"`
	MessageID string `json:"messageId,omitempty"`
	// Ended closes a demo whose checks were made.
	Ended bool `json:"ended,omitempty"`
}

// journal is what demos in one data directory tell each other.
type journal struct {
	dir string
	db  *bbolt.DB
	// earlier is how many demos in a row were cut short before this one.
	earlier int
	// planted is ESA before the first request; nil while it was not written down.
	planted *esaemu.State
	// sent are the lines' keys by the ids of the messages put on the job queue.
	sent map[string]string
}

// openJournal takes the data directory, as the servers do, and reads what an unfinished demo left. What a finished one left is removed. A
// directory with anything else in it is refused, since a demo deletes its directory.
func openJournal(dir string, noSync bool) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	file := filepath.Join(dir, journalName)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		if found, err := os.ReadDir(dir); err != nil || len(found) > 0 {
			return nil, errors.Join(err, fmt.Errorf("data directory %s is not empty and not a demo's: choose another with -data", dir))
		}
	}
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: openTimeout, NoSync: noSync})
	if err != nil {
		return nil, fmt.Errorf("open %s (is another demo running?): %w", file, err)
	}
	j := &journal{dir: dir, db: db, sent: map[string]string{}}
	if err := j.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", file, err), db.Close())
	}
	return j, nil
}

func (j *journal) read() error {
	ended := false
	err := j.db.Update(func(tx *bbolt.Tx) error {
		entries, err := tx.CreateBucketIfNotExists([]byte(bucket))
		if err != nil {
			return err
		}
		return entries.ForEach(func(_, raw []byte) error {
			var e entry
			if err := json.Unmarshal(raw, &e); err != nil {
				return err
			}
			ended = ended || e.Ended
			j.take(e)
			return nil
		})
	})
	if err != nil || !ended {
		return err
	}
	return j.clear()
}

func (j *journal) take(e entry) {
	switch {
	case e.Started:
		j.earlier++
	case e.Planted != nil:
		j.planted = e.Planted
	case e.MessageID != "":
		j.sent[e.MessageID] = e.Key
	}
}

// clear makes the directory that of a new demo.
func (j *journal) clear() error {
	if err := j.removeState(); err != nil {
		return err
	}
	*j = journal{dir: j.dir, db: j.db, sent: map[string]string{}}
	return j.db.Update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket([]byte(bucket)); err != nil {
			return err
		}
		_, err := tx.CreateBucket([]byte(bucket))
		return err
	})
}

// removeState removes what the servers keep in the directory.
func (j *journal) removeState() error {
	return errors.Join(os.RemoveAll(filepath.Join(j.dir, "esa")), os.RemoveAll(filepath.Join(j.dir, "mns")), j.forget())
}

// forget removes the ledger.
func (j *journal) forget() error { return os.RemoveAll(filepath.Join(j.dir, "ots")) }

// add writes an entry down before it returns.
func (j *journal) add(e entry) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return j.db.Update(func(tx *bbolt.Tx) error {
		entries := tx.Bucket([]byte(bucket))
		n, err := entries.NextSequence()
		if err != nil {
			return err
		}
		return entries.Put(binary.BigEndian.AppendUint64(nil, n), raw)
	})
}

// sentMessage notes which message was put on the job queue for a line.
func (j *journal) sentMessage(key, messageID string) error {
	j.sent[messageID] = key
	return j.add(entry{Key: key, MessageID: messageID})
}

// messages are the ids of the messages of a line, those of earlier demos included.
func (j *journal) messages(key string) map[string]bool {
	ids := map[string]bool{}
	for id, of := range j.sent {
		if of == key {
			ids[id] = true
		}
	}
	return ids
}

// remove deletes the data directory of a demo that is over. The journal goes last: until then the directory is a demo's.
func (j *journal) remove() error {
	if err := j.removeState(); err != nil {
		return err
	}
	err := errors.Join(j.db.Close(), os.Remove(filepath.Join(j.dir, journalName)))
	// What somebody put there meanwhile stays, and the directory with it.
	_ = os.Remove(j.dir)
	return err
}
