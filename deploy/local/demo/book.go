package demo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"routinely/deploy/local/fcemu"
	"routinely/deploy/local/stack"
)

// word is what the worker reports of one message, as its JSON says.
type word struct {
	JobID     string `json:"jobId"`
	MessageID string `json:"messageId"`
	Outcome   string `json:"outcome"`
	Attempt   int    `json:"attempt"`
	Result    *struct {
		Routine string `json:"routine"`
		Record  string `json:"record"`
	} `json:"result"`
	Step         string  `json:"step"`
	Kind         string  `json:"kind"`
	Code         string  `json:"code"`
	Error        string  `json:"error"`
	Hint         string  `json:"hint"`
	DelaySeconds float64 `json:"delaySeconds"`
}

// Outcomes in the worker's report.
const (
	outcomeSucceeded    = "succeeded"
	outcomeAgain        = "again"
	outcomeDeadLettered = "dead-lettered"
)

// last reports whether the job is over with it. A copy of a finished job ("duplicate") says nothing new.
func (w word) last() bool { return w.Outcome == outcomeSucceeded || w.Outcome == outcomeDeadLettered }

// subject is what the word is about: a job, or a message that holds none.
func (w word) subject() string {
	if w.JobID != "" {
		return "job " + short(w.JobID)
	}
	return "message " + short(w.MessageID)
}

// result is the outcome in the words of the report.
func (w word) result() string {
	switch {
	case w.Outcome == outcomeSucceeded && w.Result != nil:
		return success(w.Result.Routine, w.Result.Record)
	case w.Outcome == outcomeAgain:
		return fmt.Sprintf("again in %.1f s: %s", w.DelaySeconds, w.Code)
	case w.Outcome == outcomeDeadLettered:
		return "dead-lettered: " + w.Code
	}
	return w.Outcome
}

// book collects what the worker reports, in the order of the invocations.
type book struct {
	progress *progress

	mu    sync.Mutex
	words []word
	// cases are the lines' by job and message id, as far as they are known, for people who watch.
	cases map[string]string
	// over are the lines, or jobs of lines not known yet, that had their last word.
	over map[string]bool
	// broken is how many invocations of the worker failed: its process was killed, or it could not hand a job over.
	broken int
}

func newBook(p *progress) *book {
	return &book{progress: p, cases: map[string]string{}, over: map[string]bool{}}
}

// note takes one invocation of either function.
func (b *book) note(i fcemu.Invocation) {
	if i.Function != stack.FunctionWorker || i.Err != nil && i.Err.Kind == fcemu.Stopped {
		return
	}
	var report struct {
		Messages []word `json:"messages"`
	}
	if i.Err != nil || json.Unmarshal(i.Result, &report) != nil {
		b.mu.Lock()
		b.broken++
		b.mu.Unlock()
		b.progress.note("invocation failed, its messages are delivered again: %.200s", i.Result)
		return
	}
	for _, w := range report.Messages {
		b.add(w)
	}
}

func (b *book) add(w word) {
	b.mu.Lock()
	b.words = append(b.words, w)
	// A line that an earlier demo put on the queue too is one line, though its messages are two jobs.
	name := b.cases[w.MessageID]
	id := cmp.Or(name, w.subject())
	fresh := w.last() && !b.over[id]
	b.over[id] = b.over[id] || w.last()
	name = cmp.Or(name, b.cases[w.JobID])
	b.mu.Unlock()
	show := b.progress.step
	if fresh {
		show = b.progress.settled
	}
	show("%s  %s  %s", w.subject(), w.result(), name)
}

// name tells which line a job or message belongs to.
func (b *book) name(id, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cases[id] == "" {
		b.cases[id] = what
	}
}

// read returns all words so far and how many invocations failed.
func (b *book) read() (words []word, broken int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.words), b.broken
}

// short is enough of an id to tell it from the others of a demo.
func short(id string) string { return id[:min(8, len(id))] }
