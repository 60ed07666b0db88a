package demo

import (
	"fmt"
	"maps"
	"slices"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
)

// outcome is everything that is known when all is settled.
type outcome struct {
	lines       []*line
	submissions []submission
	// words are the worker's, of this demo; letters lie in the dead-letter queue, those of earlier demos included.
	words   []word
	letters []letter
	// broken is how many invocations of the worker failed, repeated how many tries to submit, left how many messages are on the
	// job queue.
	broken, repeated, left int
	state                  esaemu.State
	// calls are ESA's, faults what was planned against them and is left of it; both of this demo.
	calls   []faults.Record
	faults  []plannedFault
	journal *journal
}

// disturbed reports whether a process was killed on the way. Then a job may have been run twice: what the first run created the
// second adopts, and what the first gave up is given up again.
func (o *outcome) disturbed() bool { return o.journal.earlier > 0 || o.broken > 0 || o.repeated > 0 }

// row is one line with what became of it.
type row struct {
	*line
	submission

	// last is the job's last word, nil without one. ends are the outcomes it had: one, if all is well.
	last *word
	ends map[string]bool
	// letters are the job's dead letters.
	letters []letter
}

// accounts are the outcome by line. Lines with the same key share their job's words and letters.
type accounts struct {
	rows []row
	// strayWords ended a job of no line, strayLetters belong to none.
	strayWords   []word
	strayLetters []letter
}

// account gives each word and letter to the lines it belongs to.
func account(o *outcome) accounts {
	var out accounts
	ownedWords, ownedLetters := map[int]bool{}, map[int]bool{}
	for i, l := range o.lines {
		r := row{line: l, submission: o.submissions[i], ends: map[string]bool{}}
		jobs, messages := r.identities(o)
		for n, w := range o.words {
			if w.last() && (jobs[w.JobID] || messages[w.MessageID]) {
				ownedWords[n] = true
				r.last, r.ends[w.Outcome] = &o.words[n], true
			}
		}
		for n, d := range o.letters {
			if jobs[d.JobID] || messages[d.Received.MessageID] || l.Queue && d.Received.Body == l.text() {
				ownedLetters[n] = true
				r.letters = append(r.letters, d)
			}
		}
		out.rows = append(out.rows, r)
	}
	for n, w := range o.words {
		if w.last() && !ownedWords[n] {
			out.strayWords = append(out.strayWords, w)
		}
	}
	for n, d := range o.letters {
		if !ownedLetters[n] {
			out.strayLetters = append(out.strayLetters, d)
		}
	}
	return out
}

// identities are the jobs and messages of a row. A message that the queue got without a job id leads to its job by the word
// about it.
func (r *row) identities(o *outcome) (jobs, messages map[string]bool) {
	jobs = map[string]bool{}
	if !r.Queue {
		if r.jobID != "" {
			jobs[r.jobID] = true
		}
		return jobs, nil
	}
	messages = o.journal.messages(r.Key)
	for _, w := range o.words {
		if messages[w.MessageID] && w.JobID != "" {
			jobs[w.JobID] = true
		}
	}
	return jobs, messages
}

// became is what became of the line in the words of its expectation.
func (r *row) became() string {
	switch {
	case r.code != "":
		return expectation{Status: r.status, Code: r.code}.shown()
	case r.last == nil:
		return "nothing is known"
	case r.last.Outcome == outcomeSucceeded:
		return r.last.result()
	}
	return expectation{Kind: r.last.Kind, Code: r.last.Code, Step: r.last.Step}.shown()
}

// asExpected reports whether the line became what it should. After a disturbance any success is one: which run created a thing
// and which adopted it depends on the moment of the kill.
func (r *row) asExpected(disturbed bool) bool {
	if disturbed && r.Expect.success() {
		return r.code == "" && r.ends[outcomeSucceeded]
	}
	return r.became() == r.Expect.shown()
}

// The things in ESA, as text: what is wanted and what is there are compared as sets of it.

func routineText(name, description string, hasAssets bool) string {
	return fmt.Sprintf("routine %s (description %q, hasAssets %t)", name, description, hasAssets)
}

func plantedText(r esaemu.Routine) string {
	return routineText(r.Name, r.Description, r.HasAssets) + " of " + r.CreateTime.String()
}

func recordText(r esaemu.Record) string {
	if r.Routine == "" {
		return fmt.Sprintf("ordinary record %s, id %d of %s", r.RecordName, r.RecordID, r.CreateTime)
	}
	return fmt.Sprintf("record %s of routine %s in site %d", r.RecordName, r.Routine, r.SiteID)
}

// wanted is what ESA must hold in the end: what was planted, untouched, and what the lines ask for.
func wanted(lines []*line, planted *esaemu.State, siteID int64) map[string]bool {
	things, names := map[string]bool{}, map[string]bool{}
	for _, r := range planted.Routines {
		names[r.Name] = true
		things[plantedText(r)] = true
	}
	for _, r := range planted.Planted {
		things[recordText(r)] = true
	}
	for _, l := range lines {
		if l.leavesRoutine() && !names[l.wish.Name] {
			names[l.wish.Name] = true
			things[routineText(l.wish.Name, l.wish.Description, l.wish.HasAssets)] = true
		}
		if l.Expect.success() {
			things[recordText(esaemu.Record{SiteID: siteID, RecordName: l.recordName(), Routine: l.wish.Name})] = true
		}
	}
	return things
}

// held is what ESA holds.
func held(state, planted *esaemu.State) map[string]bool {
	things, names := map[string]bool{}, map[string]bool{}
	for _, r := range planted.Routines {
		names[r.Name] = true
	}
	for _, r := range state.Routines {
		if names[r.Name] {
			things[plantedText(r)] = true
		} else {
			things[routineText(r.Name, r.Description, r.HasAssets)] = true
		}
		for _, record := range r.Records {
			things[recordText(record)] = true
		}
	}
	for _, r := range state.Planted {
		things[recordText(r)] = true
	}
	return things
}

// missing are the things of one set that are not in the other, in the order of their text.
func missing(from, in map[string]bool) []string {
	var out []string
	for _, thing := range slices.Sorted(maps.Keys(from)) {
		if !in[thing] {
			out = append(out, thing)
		}
	}
	return out
}
