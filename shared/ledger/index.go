package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Filter says which jobs to list: those that have all of the given values, exactly. The zero Filter is all jobs.
type Filter struct {
	State routine.State
	// Name is the routine's name.
	Name string
	// RecordName is the host name, as it is stored: lower case, ASCII, no trailing dot.
	RecordName string
	Caller     string
}

// key is the primary key of a row.
type key struct{ p, s string }

// sortableTime writes all times in the same length, so that their texts sort as they do.
const sortableTime = "2006-01-02T15:04:05.000000000Z"

const anyState = "any"

// jobKey is the key of a job's row.
func jobKey(id string) key {
	sum := sha256.Sum256([]byte(id))
	return key{"job/" + hex.EncodeToString(sum[:1]) + "/" + id, "job"}
}

// partition is the partition key of the index rows for one value.
func partition(by, state, value string) string { return by + "/" + state + "/" + cut(value, maxWord) }

// maxIndexRows is how many index rows a job can have.
const maxIndexRows = 8

// indexKeys are the keys of the job's index rows: those that list it whatever its state, and those of its present state.
func (h *head) indexKeys() []key {
	within := h.AcceptedAt.Format(sortableTime) + "/" + h.ID
	out := make([]key, 0, maxIndexRows)
	for _, by := range []struct{ name, value string }{
		{"all", ""}, {"name", h.Request.Name}, {"record", h.Request.RecordName}, {"caller", h.Caller},
	} {
		if by.name != "all" && by.value == "" {
			continue
		}
		out = append(out,
			key{partition(by.name, anyState, by.value), within},
			key{partition(by.name, string(h.State), by.value), within + "/" + strconv.Itoa(h.Redriven)},
		)
	}
	return out
}

// indexedBy chooses the index with the fewest jobs to look at: few share a record name, many a caller.
func (f Filter) indexedBy() string {
	state := anyState
	if f.State != "" {
		state = string(f.State)
	}
	switch {
	case f.RecordName != "":
		return partition("record", state, f.RecordName)
	case f.Name != "":
		return partition("name", state, f.Name)
	case f.Caller != "":
		return partition("caller", state, f.Caller)
	}
	return partition("all", state, "")
}

// fits reports whether the job is one that the filter asks for.
func (f Filter) fits(h *head) bool {
	return (f.State == "" || f.State == h.State) && (f.Name == "" || f.Name == h.Request.Name) &&
		(f.RecordName == "" || f.RecordName == h.Request.RecordName) && (f.Caller == "" || f.Caller == h.Caller)
}

func (f Filter) check() *fault.Error {
	states := []routine.State{routine.Queued, routine.Succeeded, routine.DeadLettered, routine.Cancelled}
	if f.State != "" && !slices.Contains(states, f.State) {
		return invalid("InvalidFilter", fmt.Sprintf("state %q: want one of %q", f.State, states))
	}
	for _, value := range []struct{ name, text string }{{"name", f.Name}, {"recordName", f.RecordName}, {"caller", f.Caller}} {
		if cut(value.text, maxWord) != value.text {
			return invalid("InvalidFilter", fmt.Sprintf("%s: want a text of at most %d bytes", value.name, maxWord))
		}
	}
	return nil
}

// listed reports whether the index row counts: whether the job, as it is now, has an index row of that key.
func (h *head) listed(row key) bool { return slices.Contains(h.indexKeys(), row) }

// without returns the keys that are not among others, each once.
func without(keys, others []key) []key {
	var out []key
	for _, k := range keys {
		if !slices.Contains(others, k) && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}
