package ledger

import (
	"slices"
	"sync"
	"time"
)

// Bounds of what a ledger remembers: jobs, entries of each, and for how long. The time is far below MinRetention, so that
// the row can neither have been forgotten meanwhile nor another have begun in its place: a row with the seq that is
// remembered is the row that is remembered.
const (
	maxRemembered = 64
	maxRecalled   = 32
	recallTime    = time.Hour
)

// memory holds the rows that were written last, as they were written. Its zero value is empty.
type memory struct {
	mu    sync.Mutex
	notes []note // oldest first, one per job
}

type note struct {
	record  record
	written time.Time
}

// take returns the job's row as it was last written here, and forgets it: whoever takes it and gets on with it keeps anew.
func (m *memory) take(id string, now time.Time) (r record, found bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := slices.IndexFunc(m.notes, func(n note) bool { return n.record.head.ID == id })
	if at < 0 {
		return record{}, false
	}
	n := m.notes[at]
	m.notes = slices.Delete(m.notes, at, at+1)
	return n.record, stored(now).Sub(n.written) < recallTime
}

// keep remembers a row that was written no earlier than now.
func (m *memory) keep(r record, now time.Time) {
	if len(r.entries) > maxRecalled {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notes = slices.DeleteFunc(m.notes, func(n note) bool { return n.record.head.ID == r.head.ID })
	if len(m.notes) == maxRemembered {
		m.notes = slices.Delete(m.notes, 0, 1)
	}
	// Without the reading of the monotonic clock, which stands still while a function is frozen.
	m.notes = append(m.notes, note{r, stored(now)})
}

// leftovers are index rows that do not count and are still to be deleted. Its zero value has none.
type leftovers struct {
	mu      sync.Mutex
	keys    []key
	changed time.Time
}

// maxLeftovers is how many deletions fit into a call beside the index rows of a job.
const maxLeftovers = maxWrites - maxIndexRows

// soon is how long deletions wait for a call that can take them along.
const soon = time.Minute

// leave adds index rows of a state that was left just now, and returns those to delete at once: all of them, unless the state
// of another job changed so short a time ago that one more change can be expected, whose call takes them along.
func (l *leftovers) leave(keys []key, now time.Time) (atOnce []key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.changed
	l.changed = stored(now)
	if l.changed.Sub(last) >= soon || len(l.keys)+len(keys) > maxLeftovers {
		return keys
	}
	l.keys = append(l.keys, keys...)
	return nil
}

// restore adds what was taken and could not be deleted, as far as there is room.
func (l *leftovers) restore(keys []key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys = append(l.keys, keys[:min(len(keys), maxLeftovers-len(l.keys))]...)
}

// take returns what is left and forgets it.
func (l *leftovers) take() []key {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := l.keys
	l.keys = nil
	return keys
}
