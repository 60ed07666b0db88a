package ledger_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"routinely/deploy/local/localtest"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// ours makes a step of what only the worker with the present delivery does.
func ours(do func(r *ledger.Row, now time.Time, second int)) func(*ledger.Row, time.Time, int) error {
	return func(r *ledger.Row, now time.Time, second int) error {
		if r.Standing(r.Redriven, r.Number) != ledger.Ours {
			return errRefused
		}
		do(r, now, second)
		return nil
	}
}

// allSteps are all that a job can go through. Each may be refused.
var allSteps = map[string]func(r *ledger.Row, now time.Time, second int) error{
	"begin": ours(func(r *ledger.Row, now time.Time, _ int) { r.Begin(r.Number, routine.Progress{}, now) }),
	"hand over": ours(func(r *ledger.Row, now time.Time, second int) {
		r.HandOver(r.Number+1, ledger.HandOver{Failure: failureAt(second, "Busy"), Sent: second%2 == 0}, now)
	}),
	"succeed": ours(func(r *ledger.Row, now time.Time, _ int) { r.Succeed(routine.Result{}, r.Progress, now, now) }),
	"die": ours(func(r *ledger.Row, now time.Time, second int) {
		failure := failureAt(0, fmt.Sprintf("Code%d", second%3))
		failure.At = now
		r.Die(failure, "", ledger.Worker, r.Progress, now)
	}),
	"redrive": func(r *ledger.Row, now time.Time, _ int) error { return r.Redrive("olga", "", nil, now, now, now) },
	"correct": func(r *ledger.Row, now time.Time, second int) error {
		corrected := r.Request
		corrected.Name = fmt.Sprintf("%s-%d", r.Caller, second%2)
		return r.Redrive("olga", "", &corrected, now, now, now)
	},
	"cancel":          func(r *ledger.Row, now time.Time, _ int) error { return r.Cancel("olga", "", now) },
	"drop":            func(r *ledger.Row, now time.Time, _ int) error { return r.Drop("olga", "", now) },
	"make due":        func(r *ledger.Row, now time.Time, _ int) error { return r.Due(now) },
	"send again":      func(r *ledger.Row, now time.Time, _ int) error { return r.SendAgain(now) },
	"sent":            func(r *ledger.Row, _ time.Time, _ int) error { return sent(r) },
	"callback due":    func(r *ledger.Row, now time.Time, _ int) error { return r.CallbackDue(now) },
	"callback failed": func(r *ledger.Row, _ time.Time, _ int) error { return callbackFailed(r) },
}

// run lets a process do a step to a job, and kills it before one of its calls, or loses an answer.
func (b *book) run(t testing.TB, rt *rapid.T, id string, second int) {
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(allSteps))).Draw(rt, "step")
	process, end := b.Ledger, rapid.SampledFrom([]string{"", "", "", "killed", "lost"}).Draw(rt, "end")
	switch call := rapid.IntRange(2, 4).Draw(rt, "call"); end {
	case "killed":
		process = b.killed(t, call)
	case "lost":
		b.breaks(t, lost("BatchWriteRow", call-2, 2))
	}
	row, err := process.Change(context.Background(), id, func(r *ledger.Row) error { return allSteps[name](r, b.clock.Now(), second) })
	b.server.Faults().Clear()
	rt.Logf("%s (%s): %s, %v", name, end, row.State, err)
}

// sweep reads the lists that sweep.
func (b *book) sweep(t rapid.TB) {
	t.Helper()
	_, _, err := b.Due(context.Background(), later, 100)
	must(t, err)
	_, _, err = b.Unfinished(context.Background(), later, "", 100)
	must(t, err)
	_, _, err = b.DeadBefore(context.Background(), noon, later, "", 100)
	must(t, err)
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
		id := fmt.Sprintf("job-%d", next)
		caller := fmt.Sprintf("caller-%d", next)
		row := ledger.NewRow(routine.Job{ID: id, Caller: caller, AcceptedAt: b.clock.Now(), Request: routine.Request{
			Name: caller + "-0", Records: []routine.Record{{SiteID: localtest.SiteID, RecordName: caller + ".example.com"}}, CallbackURL: "https://ci.example/hook",
		}})
		b.create(t, row)
		for second := range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				b.sweep(rt)
			case 1:
				b.clock.Advance(time.Duration(rapid.IntRange(1, 100_000).Draw(rt, "seconds")) * time.Second)
			default:
				b.run(t, rt, id, second)
			}
		}
		b.wantListed(rt, id)
	}))
}
