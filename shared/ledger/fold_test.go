package ledger_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// fold must succeed: the entries of these tests are well formed.
func fold(t rapid.TB, entries []ledger.Entry) (routine.Job, []ledger.Entry) {
	t.Helper()
	job, history, err := ledger.Fold(newJob(1), entries...)
	if err != nil {
		t.Fatal(err)
	}
	return job, history
}

// anyEntry draws an entry of any kind, round and attempt.
func anyEntry(t *rapid.T, second int) ledger.Entry {
	attempt, round := rapid.IntRange(1, 4).Draw(t, "attempt"), rapid.IntRange(0, 2).Draw(t, "round")
	e := rapid.SampledFrom([]ledger.Entry{
		{Kind: ledger.Queued},
		started(attempt), failed(attempt), handedBack(attempt, rapid.IntRange(1, 3).Draw(t, "count")),
		succeeded(attempt), deadLettered(attempt),
		{Kind: ledger.Cancelled},
		redriven(max(round, 1)),
	}).Draw(t, "entry")
	if e.Kind != ledger.Queued && e.Kind != ledger.Redriven {
		e.Redriven = round
	}
	return at(second, e)
}

// anyEntries draws entries in any order, some of them twice.
func anyEntries(t *rapid.T) []ledger.Entry {
	var out []ledger.Entry
	for second := range rapid.IntRange(1, 25).Draw(t, "length") {
		if len(out) > 0 && rapid.IntRange(0, 4).Draw(t, "again") == 0 {
			out = append(out, rapid.SampledFrom(out).Draw(t, "which"))
			continue
		}
		out = append(out, anyEntry(t, second))
	}
	return out
}

// checkStep holds one step of a fold to what may never happen.
func checkStep(t *rapid.T, before, after routine.Job, e ledger.Entry) {
	unchanged := cmp.Equal(before, after)
	switch {
	case before.State == routine.Succeeded || before.State == routine.Cancelled:
		if !unchanged {
			t.Fatalf("%s changed a job that was %s: %+v", e.Kind, before.State, after)
		}
	case before.State == routine.DeadLettered && !unchanged && e.Redriven <= before.Redriven:
		t.Fatalf("%s of round %d changed a job dead-lettered in round %d", e.Kind, e.Redriven, before.Redriven)
	case after.Redriven < before.Redriven:
		t.Fatalf("round %d after %d", after.Redriven, before.Redriven)
	case after.Redriven == before.Redriven && after.Attempt < before.Attempt:
		t.Fatalf("attempt %d after %d", after.Attempt, before.Attempt)
	}
	if after.Ready != (after.State == routine.Succeeded) || after.Ready != (after.Result != nil) {
		t.Fatalf("state %s, ready %t, result %v", after.State, after.Ready, after.Result)
	}
}

func TestFold(t *testing.T) {
	t.Run("never takes an end back, in any order of any entries", rapid.MakeCheck(func(t *rapid.T) {
		entries := anyEntries(t)
		before, _ := fold(t, entries[:1])
		for i := 1; i < len(entries); i++ {
			after, history := fold(t, entries[:i+1])
			checkStep(t, before, after, entries[i])
			if late := history[len(history)-1]; late.Late && late.At.Equal(entries[i].At) && !cmp.Equal(before, after) {
				t.Fatalf("late %s changed the job", late.Kind)
			}
			before = after
		}
	}))
	t.Run("never loses an end of the present round", rapid.MakeCheck(func(t *rapid.T) {
		entries := anyEntries(t)
		job, _ := fold(t, entries)
		ended := slices.ContainsFunc(entries, func(e ledger.Entry) bool {
			return e.Redriven == job.Redriven && (e.Kind == ledger.Succeeded || e.Kind == ledger.DeadLettered)
		})
		if ended && !job.State.Final() {
			t.Fatalf("job is %s in round %d", job.State, job.Redriven)
		}
	}))
	t.Run("takes an entry that comes again for the same", rapid.MakeCheck(func(t *rapid.T) {
		entries := anyEntries(t)
		job, history := fold(t, entries)
		again, same := fold(t, append(entries, rapid.SampledFrom(entries).Draw(t, "again")))
		if diff := cmp.Diff(job, again); diff != "" {
			t.Fatalf("job (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(history, same); diff != "" {
			t.Fatalf("history (-before +after):\n%s", diff)
		}
	}))
	t.Run("forgets no failed attempt and no end", rapid.MakeCheck(func(t *rapid.T) {
		entries := anyEntries(t)
		_, history := fold(t, entries)
		for _, e := range entries {
			kept := slices.ContainsFunc(history, func(o ledger.Entry) bool { return o.Kind == e.Kind && o.At.Equal(e.At) })
			if (e.Kind == ledger.Failed || e.Kind == ledger.Succeeded || e.Kind == ledger.DeadLettered) && !kept {
				t.Fatalf("%s of attempt %d is not kept", e.Kind, e.Attempt)
			}
		}
	}))
}

// workerEntries draws what one worker says of a job in a round: attempts that fail or are handed back, then an end.
func workerEntries(t *rapid.T, name string, round, second int) []ledger.Entry {
	var out []ledger.Entry
	last, count := rapid.IntRange(1, 4).Draw(t, name+" attempts"), 0
	say := func(e ledger.Entry) { out = append(out, at(second+2*len(out), in(round, e))) }
	for attempt := 1; attempt <= last; attempt++ {
		say(started(attempt))
		for range rapid.IntRange(0, 2).Draw(t, name+" hand-backs") {
			count++
			say(handedBack(attempt, count))
		}
		if attempt < last {
			say(failed(attempt))
		}
	}
	if rapid.Bool().Draw(t, name+" succeeds") {
		say(succeeded(last))
	} else {
		say(deadLettered(last))
	}
	return out
}

func TestFoldOfTwoWorkers(t *testing.T) {
	queued := at(0, ledger.Entry{Kind: ledger.Queued})
	t.Run("ends as the first of them ended, however they interleave", rapid.MakeCheck(func(t *rapid.T) {
		a, b := workerEntries(t, "a", 0, 10), workerEntries(t, "b", 0, 11)
		entries := []ledger.Entry{queued}
		for len(a)+len(b) > 0 {
			if len(b) == 0 || len(a) > 0 && rapid.Bool().Draw(t, "a is next") {
				entries, a = append(entries, a[0]), a[1:]
			} else {
				entries, b = append(entries, b[0]), b[1:]
			}
		}
		wantFirstEnd(t, entries)
	}))
	t.Run("ends as the first end to arrive, in any order of arrival", rapid.MakeCheck(func(t *rapid.T) {
		entries := append(workerEntries(t, "a", 0, 10), workerEntries(t, "b", 0, 11)...)
		wantFirstEnd(t, rapid.Permutation(append(entries, queued)).Draw(t, "order"))
	}))
	t.Run("ends as the round after the redrive ended, whatever comes from before it", rapid.MakeCheck(func(t *rapid.T) {
		before, after := workerEntries(t, "before", 0, 100), workerEntries(t, "after", 1, 201)
		entries := append([]ledger.Entry{queued, at(5, deadLettered(1)), at(6, redriven(1))}, append(before, after...)...)
		order := append([]int{0, 1}, rapid.Permutation(makeRange(2, len(entries))).Draw(t, "order")...)
		shuffled := make([]ledger.Entry, 0, len(entries))
		for _, i := range order {
			shuffled = append(shuffled, entries[i])
		}
		job, _ := fold(t, shuffled)
		if want := stateOf(after[len(after)-1]); job.State != want || job.Redriven != 1 {
			t.Fatalf("job is %s in round %d, want %s in 1", job.State, job.Redriven, want)
		}
	}))
	t.Run("is cancelled only if nobody had begun", rapid.MakeCheck(func(t *rapid.T) {
		worker := workerEntries(t, "a", 0, 10)
		position := rapid.IntRange(0, len(worker)).Draw(t, "position")
		entries := slices.Insert(worker, position, at(1000, ledger.Entry{Kind: ledger.Cancelled}))
		job, _ := fold(t, append([]ledger.Entry{queued}, entries...))
		if (job.State == routine.Cancelled) != (position == 0) {
			t.Fatalf("cancelled at %d: job is %s", position, job.State)
		}
	}))
}

func wantFirstEnd(t *rapid.T, entries []ledger.Entry) {
	job, _ := fold(t, entries)
	first := slices.IndexFunc(entries, func(e ledger.Entry) bool { return e.Kind == ledger.Succeeded || e.Kind == ledger.DeadLettered })
	if want := stateOf(entries[first]); job.State != want {
		t.Fatalf("job is %s, want %s", job.State, want)
	}
}

func stateOf(e ledger.Entry) routine.State {
	if e.Kind == ledger.Succeeded {
		return routine.Succeeded
	}
	return routine.DeadLettered
}

func makeRange(from, to int) []int {
	out := []int{}
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

func TestFoldGap(t *testing.T) {
	queued := ledger.Entry{Kind: ledger.Queued}
	for _, test := range []struct {
		name    string
		entries []ledger.Entry
		want    bool
	}{
		{"a whole life has none", []ledger.Entry{queued, started(1), failed(1), started(2), deadLettered(2), redriven(1), in(1, started(1)), in(1, succeeded(1))}, false},
		{"the acceptance is missing", []ledger.Entry{started(1)}, true},
		{"an attempt is missing", []ledger.Entry{queued, failed(1), failed(3)}, true},
		{"the dead letter is missing", []ledger.Entry{queued, redriven(1)}, true},
		{"the redrive is missing", []ledger.Entry{queued, deadLettered(1), in(1, started(1))}, true},
		{"a redrive is missing", []ledger.Entry{queued, deadLettered(1), redriven(2)}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			for i := range test.entries {
				test.entries[i] = at(i, test.entries[i])
			}
			if job, _ := fold(t, test.entries); job.Gap != test.want {
				t.Errorf("gap %t, want %t", job.Gap, test.want)
			}
		})
	}
	t.Run("entries found no room", func(t *testing.T) {
		entries := []ledger.Entry{queued}
		for n := 1; n <= 300; n++ {
			entries = append(entries, at(n, failed(n)))
		}
		job, history := fold(t, append(entries, at(400, succeeded(301)), at(401, failed(301))))
		if job.State != routine.Succeeded || !job.Gap || len(history) != 201 {
			t.Errorf("job is %s, gap %t, %d entries, want 200 and the end", job.State, job.Gap, len(history))
		}
	})
	t.Run("what is malformed is refused", func(t *testing.T) {
		if _, _, err := ledger.Fold(newJob(1), ledger.Entry{Kind: "lost"}); codeOf(err) != "invalid InvalidEntry" {
			t.Error(err)
		}
		if _, _, err := ledger.Fold(routine.Job{}, queued); codeOf(err) != "invalid InvalidJobID" {
			t.Error(err)
		}
		late := newJob(1)
		late.AcceptedAt = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
		if _, _, err := ledger.Fold(late, queued); codeOf(err) != "invalid InvalidJob" {
			t.Error(err)
		}
	})
}
