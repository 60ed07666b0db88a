package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"routinely/shared/routine"
)

// key is the primary key of a row.
type key struct{ p, s string }

// entry is an index row: its key, the job that it lists, and of a dead letter what filters and counts look at.
type entry struct {
	key
	id, dead string
	// write is that of the row for which the index row was put, and at is when that was, of an index row that was read.
	write string
	at    time.Time
	// recurs is set of keys that a job can have, leave and have again. Those are not deleted when they are left: a delete that comes late
	// could take the one that counts again.
	recurs bool
}

// sortableTime writes all times in the same length, so that their texts sort as they do.
const sortableTime = "2006-01-02T15:04:05.000000000Z"

func sortable(t time.Time) string { return t.UTC().Format(sortableTime) }

const anyState = "any"

// Partitions of the indexes that have but one.
const (
	partitionDue     = "due"
	partitionFailed  = "callback/failed"
	prefixDead       = "dead"
	familyAll        = "all"
	familyCode       = "code"
	familyName       = "name"
	familyRecord     = "record"
	familySite       = "site"
	familyCaller     = "caller"
	partitionMarks   = "janitor"
	partitionAccount = "account"
	// partitionRoutines lists the routines whose claims are not gone.
	partitionRoutines = "routines"
)

// jobKey is the key of a job's row.
func jobKey(id string) key { return key{spread("job", id), "job"} }

// spread is the partition of one job or routine. Two hex digits of a hash spread them over the service's partitions.
func spread(kind, name string) string {
	sum := sha256.Sum256([]byte(name))
	return kind + "/" + hex.EncodeToString(sum[:1]) + "/" + name
}

// partition is the partition key of the index rows for one value.
func partition(by, state, value string) string { return by + "/" + state + "/" + cut(value, maxWord) }

func deadPartition(by, value string) string {
	return prefixDead + "/" + by + "/" + cut(value, maxWord)
}

// entries are the job's index rows: those that list it whatever its state, the one of its present state, and those of a dead letter, of what
// is due and of a callback that failed. Rounds, times and Dues are part of the keys, so that none that was left is ever used again, but for
// those whatever the state, which a correction can leave and another one take up again.
func (r *Row) entries() []entry {
	if r.seq == 0 && r.ID == "" {
		return nil
	}
	accepted := sortable(r.AcceptedAt) + "/" + r.ID
	round, dues := "/"+strconv.Itoa(r.Redriven), "/"+strconv.Itoa(r.Dues)
	out := []entry{{key: key{partition(familyAll, string(r.State), ""), accepted + round}, id: r.ID}}
	for _, by := range r.values() {
		out = append(out, entry{key: key{partition(by.family, anyState, by.value), accepted}, id: r.ID, recurs: true})
	}
	if r.State == routine.DeadLettered {
		out = append(out, r.deadEntries()...)
	}
	if !r.DueAt.IsZero() {
		out = append(out, entry{key: key{partitionDue, sortable(r.DueAt) + "/" + r.ID + dues}, id: r.ID})
	}
	if r.Callback != nil && r.Callback.State == routine.CallbackFailed {
		out = append(out, entry{key: key{partitionFailed, accepted + dues}, id: r.ID})
	}
	for i := range out {
		out[i].write = r.Write
	}
	return out
}

// value is one value by which jobs are listed.
type value struct{ family, value string }

// values are those by which the job is listed whatever its state.
func (r *Row) values() []value {
	out := []value{{familyAll, ""}}
	if r.Request.Name != "" {
		out = append(out, value{familyName, r.Request.Name})
	}
	for _, name := range r.Request.RecordNames() {
		out = append(out, value{familyRecord, name})
	}
	if r.Caller != "" {
		out = append(out, value{familyCaller, r.Caller})
	}
	return out
}

// deadEntries are the index rows of a dead letter. Its sites are listed each once.
func (r *Row) deadEntries() []entry {
	within := sortable(r.DiedAt) + "/" + r.ID + "/" + strconv.Itoa(r.Redriven)
	traits := encode(r.traits())
	by := r.values()
	if r.Code != "" {
		by = append(by, value{familyCode, r.Code})
	}
	for _, record := range r.Request.Records {
		site := value{familySite, strconv.FormatInt(record.SiteID, 10)}
		if record.SiteID != 0 && !slices.Contains(by, site) {
			by = append(by, site)
		}
	}
	out := make([]entry, 0, len(by))
	for _, v := range by {
		out = append(out, entry{key: key{deadPartition(v.family, v.value), within}, id: r.ID, dead: traits})
	}
	return out
}

// lists reports whether the index row counts: whether the job, as it is now, has an index row of that key.
func (r *Row) lists(k key) bool {
	return slices.ContainsFunc(r.entries(), func(e entry) bool { return e.key == k })
}

// left are the index rows that a job no longer has, and will not have again.
func left(was, next *Row) []entry {
	return slices.DeleteFunc(without(was.entries(), next.entries()), func(e entry) bool { return e.recurs })
}

// without returns the entries whose keys are not among those of others.
func without(entries, others []entry) []entry {
	var out []entry
	for _, e := range entries {
		if !slices.ContainsFunc(others, func(o entry) bool { return o.key == e.key }) {
			out = append(out, e)
		}
	}
	return out
}
