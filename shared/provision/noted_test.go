package provision_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

// TestWritesOfClaims is about how often claims are written: once before each write to ESA, with what ESA has answered before, and once at the end.
func TestWritesOfClaims(t *testing.T) {
	none := func(t *testing.T) account { return start(t) }
	two := func(t *testing.T) account { return made(t, "a", "b") }
	locked := faults.Rule{Action: record, Skip: 1, Fault: faults.Fault{Answer: faults.Error, Code: "UserOperationStatusIsLocked"}}
	for name, test := range map[string]struct {
		before func(*testing.T) account
		rules  []faults.Rule
		k      *task
		want   []string
	}{
		"a routine with a host name": {before: none, k: newTask(1, owner, creates("a")), want: []string{"creating", "live, a creating", "a live"}},
		"a routine with three host names and an end": {
			before: none, k: newTask(1, owner, lives(1, "a", "b", "c")),
			want: []string{"creating", "live, a creating", "a live, b creating", "b live, c creating", "live, c live"},
		},
		"a host name that ESA refuses for now": {
			before: none, rules: []faults.Rule{locked}, k: newTask(1, owner, creates("a", "b")), want: []string{"creating", "live, a creating", "a live, b creating", "b gone"},
		},
		"a host name that is taken": {
			before: func(t *testing.T) account { return made(t, "z") },
			rules:  []faults.Rule{{Action: record, Fault: faults.Fault{Answer: faults.Error, Code: esa.CodeParameterAlreadyExist}}},
			k:      newTask(2, owner, creates("a", "b")), want: []string{"a creating", "a gone, b creating", "b live"},
		},
		"a deletion":          {before: two, k: deletes(2), want: []string{"live", "a deleting", "a gone, b deleting", "deleting, b gone", "gone"}},
		"an unbinding":        {before: two, k: newTask(2, owner, unbinds("a")), want: []string{"a live", "a deleting", "a gone"}},
		"the end of its time": {before: func(t *testing.T) account { return over(t, "a", "b") }, k: expires(2), want: []string{"expiring, a deleting", "a gone, b deleting", "expiring, b gone"}},
		"a claim":             {before: two, k: newTask(2, other, asks(routine.TakeOwnership)).operating(), want: []string{"live, a live, b live"}},
		"a routine that is there": {
			before: func(t *testing.T) account { a := start(t); a.plant(t, -time.Hour); return a }, k: newTask(1, owner, creates("a")),
			want: []string{"live, a creating", "a live"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := test.before(t)
			a.inject(t, test.rules...)
			a.book.writes = nil
			_, _ = a.try(t, test.k)
			same(t, "writes", a.book.writes, test.want)
		})
	}
}

// TestAnswerNotWritten is about a ledger that does not take what is noted: the run ends with its error, whatever else ended it, and the next run finds
// out what was answered.
func TestAnswerNotWritten(t *testing.T) {
	down := errors.New("the ledger does not answer")
	for name, test := range map[string]struct {
		k *task
		// written is how many changes the ledger takes.
		written int
		claims  []string
		rules   []faults.Rule
	}{
		"a host name was refused": {
			newTask(1, owner, creates("a")), 2,
			[]string{"live owned ci", "live owned ci"},
			[]faults.Rule{{Action: record, Fault: faults.Fault{Answer: faults.Error, Code: esa.CodeParameterAlreadyExist}}},
		},
		"a routine was made":        {newTask(1, owner, creates("a")), 1, []string{"live owned ci", "live owned ci"}, nil},
		"a host name was bound":     {newTask(1, owner, creates("a")), 2, []string{"live owned ci", "live owned ci"}, nil},
		"a host name was unbound":   {newTask(2, owner, unbinds("a")), 2, []string{"live owned ci", "gone owned ci"}, nil},
		"a routine was deleted":     {deletes(2), 3, []string{"gone  ci", "gone owned ci"}, nil},
		"its host name was deleted": {deletes(2), 2, []string{"gone  ci", "gone owned ci"}, nil},
	} {
		t.Run("that "+name, func(t *testing.T) {
			a := start(t)
			if test.k.Number == 2 {
				a = made(t, "a")
			}
			a.inject(t, test.rules...)
			a.book.writes, a.book.breaks, a.book.broken = nil, test.written, down
			progress := test.k.progress
			var begun []routine.Progress
			_, err := a.runJob(t.Context(), test.k.Job, &test.k.progress, &provision.Known{}, keeping(&begun))
			if err != down {
				t.Errorf("got %v", err)
			}
			if len(begun) > 0 { // what the job's row has
				progress = begun[len(begun)-1]
				progress.RecordUnknown = true
			}
			a.book.broken, test.k.progress = nil, progress
			a.does(t, test.k)
			same(t, "claims", []string{a.claimed(), a.claimedHost("a")}, test.claims)
		})
	}
}

// TestLedgerLost: what the ledger does not take or tell ends the run with its own error, also in the middle of several host names: nothing more is called
// or written.
func TestLedgerLost(t *testing.T) {
	refused := error(&fault.Error{Kind: fault.Denied, Code: "OTSAuthFailed"})
	elsewhere := with(creates("a", "b"), func(r *routine.Request) { r.Records[1].SiteID = 99 }) // ESA is asked for such a site each time
	t.Run("by a change", func(t *testing.T) {
		a := start(t)
		a.book.broken = refused
		_, err := a.attempt(t.Context(), elsewhere, &routine.Progress{Routine: routine.Created}, recorded)
		same(t, "calls", a.all(), []string{sites})
		if err != refused {
			t.Errorf("got %v", err)
		}
	})
	t.Run("by a begin", func(t *testing.T) {
		a := start(t)
		_, err := a.attempt(t.Context(), elsewhere, &routine.Progress{Routine: routine.Created}, func(context.Context, routine.Progress) error { return refused })
		same(t, "calls", a.all(), []string{sites})
		same(t, "writes", a.book.writes, nil)
		if err != refused {
			t.Errorf("got %v", err)
		}
	})
	t.Run("by a reading", func(t *testing.T) {
		a := start(t)
		a.abandoned(t)
		a.book.unread, a.book.writes = refused, nil
		_, err := a.try(t, deletes(2))
		same(t, "writes", a.book.writes, []string{"creating"}) // the deletion's number, and not what ESA showed then
		if err != refused {
			t.Errorf("got %v", err)
		}
	})
}

// TestNotedBeforeBegin: what the progress says is in the claims when it is recorded, since a later run with that progress does not look again.
func TestNotedBeforeBegin(t *testing.T) {
	a := start(t)
	a.abandoned(t)
	k := newTask(1, owner, creates("a"))
	k.progress.Look = a.book.routine("pr-1").Call
	_, err := a.runJob(t.Context(), k.Job, &k.progress, &provision.Known{}, func(_ context.Context, p routine.Progress) error {
		same(t, "progress", p.Routine, routine.Created)
		same(t, "claim", a.claimed(), "live owned ci")
		return nil
	})
	must(t, err)
}
