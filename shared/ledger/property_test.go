package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// model is a job by the rules in the comment of Fold, told once more: it keeps all entries and looks through them at each
// question, where the ledger keeps the answers.
type model struct {
	// counted are the entries that said something new of the job, late those that came when it was past them.
	counted, late []ledger.Entry
	gap           bool
}

func (m *model) empty() bool { return len(m.counted)+len(m.late) == 0 }

// round is how often the job was redriven.
func (m *model) round() (round int) {
	for _, e := range m.counted {
		round = max(round, e.Redriven)
	}
	return round
}

// present are the entries that counted since the job was accepted or redriven.
func (m *model) present() []ledger.Entry {
	return slices.DeleteFunc(slices.Clone(m.counted), func(e ledger.Entry) bool {
		return e.Redriven != m.round() || e.Kind == ledger.Queued || e.Kind == ledger.Redriven
	})
}

// state is the first end of the present round.
func (m *model) state() routine.State {
	ends := map[ledger.Kind]routine.State{
		ledger.Succeeded: routine.Succeeded, ledger.DeadLettered: routine.DeadLettered, ledger.Cancelled: routine.Cancelled,
	}
	for _, e := range m.present() {
		if end, is := ends[e.Kind]; is {
			return end
		}
	}
	return routine.Queued
}

// attempt is the greatest number that was told; behind a failed attempt comes the next.
func (m *model) attempt() int {
	attempt := 1
	for _, e := range m.present() {
		attempt = max(attempt, e.Attempt)
		if e.Kind == ledger.Failed {
			attempt = max(attempt, e.Attempt+1)
		}
	}
	return attempt
}

func (m *model) handedBack() (count int) {
	for _, e := range m.present() {
		count = max(count, e.HandedBack)
	}
	return count
}

// past reports whether the job is past an entry.
func (m *model) past(e ledger.Entry) bool {
	state, round := m.state(), m.round()
	switch {
	case m.empty() && e.Kind == ledger.Queued:
		return false
	case e.Kind == ledger.Queued, e.Redriven < round, state == routine.Succeeded, state == routine.Cancelled:
		return true
	case e.Kind == ledger.Cancelled: // whoever cancels has read the round in the ledger
		return e.Redriven != round || len(m.present()) > 0
	case e.Redriven > round:
		return false
	case e.Kind == ledger.Redriven, state == routine.DeadLettered:
		return true
	}
	return ofAttempt(e) && e.Attempt < m.attempt()
}

func ofAttempt(e ledger.Entry) bool {
	return e.Kind == ledger.Started || e.Kind == ledger.Failed || e.Kind == ledger.HandedBack
}

// known reports whether an entry tells nothing new. One start of an attempt is enough, and of its hand-backs the greatest
// count; once the job is past them, one of each.
func (m *model) known(e ledger.Entry) bool {
	past := m.past(e)
	return slices.ContainsFunc(slices.Concat(m.counted, m.late), func(o ledger.Entry) bool {
		same := o.Kind == e.Kind && o.Redriven == e.Redriven && o.Attempt == e.Attempt
		return same && (o.At.Equal(e.At) || e.Kind == ledger.Started || e.Kind == ledger.HandedBack && (past || e.HandedBack <= o.HandedBack))
	})
}

// add takes in the next entry.
func (m *model) add(e ledger.Entry) {
	m.gap = m.gap || m.empty() && e.Kind != ledger.Queued
	switch {
	case m.known(e):
	case m.past(e):
		m.late = append(m.late, e)
	default:
		attempt := m.attempt()
		if e.Redriven > m.round() {
			attempt = 1
			told := e.Kind == ledger.Redriven && e.Redriven == m.round()+1 && m.state() == routine.DeadLettered
			m.gap = m.gap || !told
		}
		m.gap = m.gap || e.Attempt > attempt
		m.counted = append(m.counted, e)
	}
}

// outline is what the rules say of a job.
type outline struct {
	State                                      routine.State
	Ready, Result, Gap                         bool
	Round, Attempt, HandedBack, Failures, Late int
	StartedAt                                  time.Time
	Code, Reason                               string
}

func outlineOf(job routine.Job, history []ledger.Entry) outline {
	late := slices.DeleteFunc(slices.Clone(history), func(e ledger.Entry) bool { return !e.Late })
	return outline{
		State: job.State, Ready: job.Ready, Result: job.Result != nil, Gap: job.Gap, Round: job.Redriven, Attempt: job.Attempt,
		HandedBack: job.HandedBack, Failures: len(job.Attempts), Late: len(late), StartedAt: job.StartedAt, Code: job.Code, Reason: job.Reason,
	}
}

func (m *model) outline() outline {
	out := outline{
		State: m.state(), Gap: m.gap, Round: m.round(), Attempt: m.attempt(), HandedBack: m.handedBack(), Late: len(m.late),
	}
	out.Ready = out.State == routine.Succeeded
	out.Result = out.Ready
	for _, e := range m.counted {
		if e.Kind == ledger.Failed || e.Kind == ledger.DeadLettered {
			out.Failures++
		}
		if e.Redriven == out.Round && (e.Kind == ledger.Redriven || e.Kind == ledger.DeadLettered || e.Kind == ledger.Cancelled) {
			out.Reason = e.Reason
		}
	}
	for _, e := range m.present() {
		if out.StartedAt.IsZero() && (ofAttempt(e) || e.Kind == ledger.Succeeded) {
			out.StartedAt = e.At
		}
		if e.Failure != nil {
			out.Code = e.Failure.Code
		}
	}
	if out.Ready { // all is well
		out.Code, out.Reason = "", ""
	}
	return out
}

// entryOf draws an entry of any kind, round and attempt, with marks to tell it from others.
func entryOf(t *rapid.T, second int) ledger.Entry {
	attempt := rapid.IntRange(1, 4).Draw(t, "attempt")
	e := rapid.SampledFrom([]ledger.Entry{
		{Kind: ledger.Queued},
		started(attempt), failed(attempt), handedBack(attempt, rapid.IntRange(1, 3).Draw(t, "count")),
		succeeded(attempt), deadLettered(attempt),
		{Kind: ledger.Cancelled},
		{Kind: ledger.Redriven},
	}).Draw(t, "entry")
	if e.Failure != nil {
		e.Failure.Code = fmt.Sprint("code ", second)
	}
	switch e.Kind {
	case ledger.Redriven:
		e.Redriven = rapid.IntRange(1, 3).Draw(t, "round")
	case ledger.Started, ledger.Failed, ledger.HandedBack, ledger.Succeeded, ledger.DeadLettered, ledger.Cancelled:
		e.Redriven = rapid.IntRange(0, 2).Draw(t, "round")
	case ledger.Queued:
	}
	if e.Kind == ledger.Redriven || e.Kind == ledger.DeadLettered || e.Kind == ledger.Cancelled {
		e.Reason = fmt.Sprint("reason ", second)
	}
	return at(second, e)
}

// entriesOf draws entries, some of them several times, in any order.
func entriesOf(t *rapid.T, most int) []ledger.Entry {
	var out []ledger.Entry
	for second := range rapid.IntRange(1, most).Draw(t, "length") {
		if len(out) > 0 && rapid.IntRange(0, 4).Draw(t, "again") == 0 {
			out = append(out, rapid.SampledFrom(out).Draw(t, "which"))
			continue
		}
		out = append(out, entryOf(t, second))
	}
	return out
}

func TestFoldKeepsTheRules(t *testing.T) {
	t.Run("makes of any entries what its comment says", rapid.MakeCheck(func(t *rapid.T) {
		entries := entriesOf(t, 15)
		var m model
		for i, e := range entries {
			m.add(e)
			job, history := fold(t, entries[:i+1])
			if diff := cmp.Diff(m.outline(), outlineOf(job, history)); diff != "" {
				t.Fatalf("after %s of attempt %d in round %d, -want +got:\n%s", e.Kind, e.Attempt, e.Redriven, diff)
			}
		}
	}))
	t.Run("makes the same of a history that comes twice, however its parts are ordered the second time", rapid.MakeCheck(func(t *rapid.T) {
		entries := entriesOf(t, 12)
		job, history := fold(t, entries)
		again, same := fold(t, append(entries, rapid.Permutation(entries).Draw(t, "again")...))
		if diff := cmp.Diff(job, again) + cmp.Diff(history, same); diff != "" {
			t.Fatalf("-before +after:\n%s", diff)
		}
	}))
	t.Run("makes the same of entries in any order, if a round can end in one way only", rapid.MakeCheck(func(t *rapid.T) {
		dies := rapid.Bool().Draw(t, "dies")
		entries := slices.DeleteFunc(entriesOf(t, 15), func(e ledger.Entry) bool {
			return e.Kind == ledger.Succeeded || e.Kind == ledger.Cancelled || e.Kind == ledger.DeadLettered && !dies
		})
		if len(entries) == 0 {
			t.Skip("nothing is left")
		}
		one, _ := fold(t, entries)
		other, _ := fold(t, rapid.Permutation(entries).Draw(t, "order"))
		if one.State != other.State || one.Redriven != other.Redriven || !dies && one.Attempt != other.Attempt {
			t.Fatalf("%s in round %d, attempt %d; then %s in round %d, attempt %d",
				one.State, one.Redriven, one.Attempt, other.State, other.Redriven, other.Attempt)
		}
	}))
}

func TestLedgerKeepsTheRules(t *testing.T) {
	one, server := newLedger(t)
	processes := []*ledger.Ledger{one, connectTo(t, server)}
	next := 0
	t.Run("folds what processes append in turn, and lists the job once", rapid.MakeCheck(func(t *rapid.T) {
		if rapid.IntRange(0, 9).Draw(t, "a few are enough") < 9 { // a server takes milliseconds
			return
		}
		next++
		job := newJob(next)
		entries := []ledger.Entry{{Kind: ledger.Queued, At: job.AcceptedAt}}
		if existing, _, err := processes[0].Claim(context.Background(), job); err != nil || existing != nil {
			t.Fatalf("claim: existing %v, %v", existing, err)
		}
		for _, e := range entriesOf(t, 4) {
			entries = append(entries, e)
			got, err := rapid.SampledFrom(processes).Draw(t, "process").Append(context.Background(), job, e)
			if err != nil || got.Untidy != nil {
				t.Fatalf("append %s: %v, %v", e.Kind, err, got.Untidy)
			}
			wantJob(t, job, entries, got.Job)
		}
		wantHistory(t, processes[0], job, entries)
	}))
}

// wantJob compares a job with what Fold makes of its entries.
func wantJob(t *rapid.T, job routine.Job, entries []ledger.Entry, got routine.Job) {
	t.Helper()
	want, _, err := ledger.Fold(job, entries...)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%v, -want +got:\n%s", err, diff)
	}
}

// wantHistory reads a job in all the ways there are.
func wantHistory(t *rapid.T, l *ledger.Ledger, job routine.Job, entries []ledger.Entry) {
	t.Helper()
	ctx := context.Background()
	got, err := l.Job(ctx, job.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantJob(t, job, entries, got)
	history, err := l.History(ctx, job.ID)
	_, want, _ := ledger.Fold(job, entries...)
	if diff := cmp.Diff(want, history); err != nil || diff != "" {
		t.Fatalf("%v, -want +got:\n%s", err, diff)
	}
	got.Attempts = nil
	any := rapid.SampledFrom([]routine.State{routine.Queued, routine.Succeeded, routine.DeadLettered, routine.Cancelled}).Draw(t, "state to list")
	for _, state := range []routine.State{"", got.State, any} {
		listed, next, err := l.Jobs(ctx, ledger.Filter{RecordName: job.Request.RecordName, State: state}, 10, "")
		want := []routine.Job{}
		if state == "" || state == got.State {
			want = append(want, got)
		}
		if diff := cmp.Diff(want, listed); err != nil || next != "" || diff != "" {
			t.Fatalf("state %q: %v, next %q, -want +got:\n%s", state, err, next, diff)
		}
	}
}
