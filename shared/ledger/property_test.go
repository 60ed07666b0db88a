package ledger_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"routinely/deploy/local/localtest"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// step is one thing that a process does to a job; it may be refused.
type step struct {
	name string
	do   func(r *ledger.Row, now time.Time, second int) error
}

// steps are all that a job can go through.
var steps = []step{
	{"begin", func(r *ledger.Row, now time.Time, _ int) error {
		if r.Standing(r.Redriven, r.Number) != ledger.Ours {
			return errRefused
		}
		r.Begin(r.Number, routine.Progress{}, now)
		return nil
	}},
	{"hand over", func(r *ledger.Row, now time.Time, second int) error {
		if r.Standing(r.Redriven, r.Number) != ledger.Ours {
			return errRefused
		}
		r.HandOver(r.Number+1, ledger.HandOver{Failure: failureAt(second, "Busy"), Sent: second%2 == 0}, now)
		return nil
	}},
	{"succeed", func(r *ledger.Row, now time.Time, _ int) error {
		if r.Standing(r.Redriven, r.Number) != ledger.Ours {
			return errRefused
		}
		r.Succeed(routine.Result{}, r.Progress, now, now)
		return nil
	}},
	{"die", func(r *ledger.Row, now time.Time, second int) error {
		if r.Standing(r.Redriven, r.Number) != ledger.Ours {
			return errRefused
		}
		failure := failureAt(0, fmt.Sprintf("Code%d", second%3))
		failure.At = now
		r.Die(failure, "", ledger.Worker, r.Progress, now)
		return nil
	}},
	{"redrive", func(r *ledger.Row, now time.Time, _ int) error { return r.Redrive("olga", "", nil, now, now, now) }},
	{"correct", func(r *ledger.Row, now time.Time, second int) error {
		corrected := r.Request
		corrected.Name = fmt.Sprintf("%s-%d", r.Caller, second%2)
		return r.Redrive("olga", "", &corrected, now, now, now)
	}},
	{"cancel", func(r *ledger.Row, now time.Time, _ int) error { return r.Cancel("olga", "", now) }},
	{"drop", func(r *ledger.Row, now time.Time, _ int) error { return r.Drop("olga", "", now) }},
	{"make due", func(r *ledger.Row, now time.Time, _ int) error { return r.Due(now) }},
	{"send again", func(r *ledger.Row, now time.Time, _ int) error { return r.SendAgain(now) }},
	{"sent", func(r *ledger.Row, now time.Time, _ int) error { return r.Sent(r.Redriven, r.Number, "k1", now) }},
	{"callback due", func(r *ledger.Row, now time.Time, _ int) error { return r.CallbackDue(now) }},
	{"callback failed", func(r *ledger.Row, _ time.Time, _ int) error { return r.CallbackFailed(r.Redriven, 8, 500) }},
}

var errRefused = context.Canceled

// life is a job with the processes that work on it.
type life struct {
	*book
	t  testing.TB
	id string
	// processes live on; what they have to tidy grows.
	processes []*ledger.Ledger
}

func (f *life) process(t *rapid.T) *ledger.Ledger {
	return f.processes[rapid.IntRange(0, len(f.processes)-1).Draw(t, "process")]
}

// run lets a process do a step, and kills it before one of its calls or after one without its answer.
func (f *life) run(t *rapid.T, s step, second int) {
	end := rapid.SampledFrom([]string{"", "", "", "killed", "lost"}).Draw(t, "end")
	process := f.process(t)
	switch call := rapid.IntRange(2, 3).Draw(t, "call"); end {
	case "killed":
		process = f.killed(f.t, call)
	case "lost":
		f.breaks(f.t, lost("BatchWriteRow", call-2))
	}
	done := process.ChangeAll(context.Background(), []string{f.id}, func(r *ledger.Row) error { return s.do(r, f.clock.Now(), second) })
	f.server.Faults().Clear()
	t.Logf("%s (%s): %s, %v", s.name, end, done[0].Row.State, done[0].Err)
}

// sweep lets a process look for what is due and lost, and delete what it found not to count.
func (f *life) sweep(t *rapid.T) {
	process := f.process(t)
	later := noon.AddDate(1, 0, 0)
	_, _, due := process.Due(context.Background(), later, 100)
	_, _, unfinished := process.Unfinished(context.Background(), later, "", 100)
	_, _, dying := process.DeadBefore(context.Background(), noon, later, "", 100)
	if due != nil || unfinished != nil || dying != nil {
		t.Fatal(due, unfinished, dying)
	}
}

func (f *life) tidy(t *rapid.T) {
	if err := f.process(t).Tidy(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestLists(t *testing.T) {
	b := newBook(t)
	next := 0
	t.Run("hold each job exactly once where it belongs, whatever it goes through and whoever is killed", rapid.MakeCheck(func(rt *rapid.T) {
		if testing.Short() && rapid.IntRange(0, 4).Draw(rt, "a few are enough") > 0 { // a server takes milliseconds
			return
		}
		if next++; next%50 == 0 { // lists of what is due are not read beyond a page
			b = newBook(t)
		}
		f := &life{book: b, t: t, id: fmt.Sprintf("job-%d", next), processes: []*ledger.Ledger{b.connect(t, nil), b.connect(t, nil)}}
		caller := fmt.Sprintf("caller-%d", next)
		row := ledger.NewRow(routine.Job{ID: f.id, Caller: caller, AcceptedAt: b.clock.Now(), Request: routine.Request{
			Name: caller + "-0", SiteID: localtest.SiteID, RecordName: caller + ".example.com", CallbackURL: "https://ci.example/hook",
		}})
		b.create(t, row)
		for second := range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				f.sweep(rt)
			case 1:
				f.tidy(rt)
			case 2:
				b.clock.Advance(time.Duration(rapid.IntRange(1, 100_000).Draw(rt, "seconds")) * time.Second)
			default:
				f.run(rt, steps[rapid.IntRange(0, len(steps)-1).Draw(rt, "step")], second)
			}
		}
		for _, process := range f.processes {
			if err := process.Tidy(context.Background()); err != nil {
				rt.Fatal(err)
			}
		}
		if wrong := b.wrongLists(t, f.id); len(wrong) > 0 {
			rt.Fatal(strings.Join(wrong, "\n"))
		}
	}))
}
