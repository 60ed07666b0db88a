package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// request asks for a callback.
var request = routine.Request{Name: "pr-1", Records: []routine.Record{{SiteID: 7, RecordName: "pr-1.example.com"}}, CallbackURL: "https://ci.example/hook?secret"}

func queued() ledger.Row {
	return ledger.NewRow(routine.Job{ID: "job-1", Caller: "ci", Key: "k", AcceptedAt: noon, Request: request})
}

// after is a time some minutes after noon.
func after(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func begun() ledger.Row {
	r := queued()
	r.Begin(1, routine.Progress{Look: &routine.Look{At: noon, Until: after(1)}}, after(1))
	return r
}

func died() ledger.Row {
	r := begun()
	failure := failureAt(120, "Taken")
	r.Die(failure, "it would fail again", ledger.Worker, routine.Progress{Routine: routine.Created, RecordUnknown: true}, after(3))
	return r
}

func succeeded() ledger.Row {
	r := begun()
	r.Succeed(routine.Result{Routine: routine.Created, Record: routine.Adopted, RecordID: 7}, routine.Progress{Routine: routine.Created}, after(2), after(3))
	return r
}

// changed is a row after a change that is not refused.
func changed(t testing.TB, r ledger.Row, change step) ledger.Row {
	t.Helper()
	must(t, change(&r))
	return r
}

func cancelled(t *testing.T) ledger.Row {
	return changed(t, queued(), func(r *ledger.Row) error { return r.Cancel("olga", "a mistake", after(1)) })
}

func dropped(t *testing.T) ledger.Row {
	return changed(t, died(), func(r *ledger.Row) error { return r.Drop("olga", "not needed", after(5)) })
}

// redrivenOnce is a job in round 1.
func redrivenOnce(t *testing.T) ledger.Row {
	return changed(t, died(), func(r *ledger.Row) error {
		return r.Redrive("olga", "quota raised", nil, after(10), after(10), after(11))
	})
}

func TestStanding(t *testing.T) {
	second := redrivenOnce(t)
	second.HandOver(2, ledger.HandOver{Failure: failureAt(0, "Busy")}, after(12))
	ended := redrivenOnce(t)
	ended.Succeed(routine.Result{}, routine.Progress{}, after(12), after(12))
	for _, test := range []struct {
		name          string
		row           ledger.Row
		round, number int
		want          ledger.Standing
	}{
		{"the delivery of an unfinished row", second, 1, 2, ledger.Ours},
		{"one with a higher number", second, 1, 3, ledger.Ours},
		{"one with a lower number", second, 1, 1, ledger.Passed},
		{"one of an earlier round, whatever its number", second, 0, 9, ledger.Passed},
		{"one of a later round", second, 2, 1, ledger.Ahead},
		{"the delivery of a row that has ended", ended, 1, 1, ledger.Over},
		{"one with a higher number of a row that has ended", ended, 1, 5, ledger.Over},
		{"one of an earlier round of a row that has ended", ended, 0, 1, ledger.Over},
		{"one of a later round of a row that has ended", ended, 2, 1, ledger.Ahead},
		{"the delivery of a row that was begun and not settled", begun(), 0, 1, ledger.Ours},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.row.Standing(test.round, test.number); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}

func TestBegin(t *testing.T) {
	t.Run("marks the row and counts how often a delivery is begun", func(t *testing.T) {
		r := changed(t, queued(), func(r *ledger.Row) error { return r.Due(noon) })
		r.Begin(1, routine.Progress{}, after(1))
		r.Begin(1, routine.Progress{RecordUnknown: true}, after(2))
		check(t, r, r.Begins == 2 && r.Begun.Equal(after(2)) && r.StartedAt.Equal(after(1)) && r.Progress.RecordUnknown)
		check(t, r, r.Waiting == nil && r.DueAt.IsZero())
	})
	t.Run("raises the row to a later delivery, and counts that again", func(t *testing.T) {
		r := begun()
		r.Begin(3, r.Progress, after(2))
		check(t, r, r.Number == 3 && r.Begins == 1)
	})
	t.Run("is followed by looks, which renew it and replace the progress", func(t *testing.T) {
		r := begun()
		r.Look(routine.Progress{RoutineRecreated: true}, after(2))
		check(t, r, r.Begins == 1 && r.Begun.Equal(after(2)) && r.UpdatedAt.Equal(after(2)) && r.Progress.RoutineRecreated && r.Progress.Look == nil)
	})
	t.Run("that was never settled leaves the record in doubt", func(t *testing.T) {
		r := begun()
		check(t, r, r.Known().RecordUnknown && !r.Progress.RecordUnknown)
		r = queued()
		check(t, r, !r.Known().RecordUnknown)
	})
}

func TestHandOver(t *testing.T) {
	waiting := routine.Waiting{For: routine.ForBackoff, Since: after(2), Until: after(9)}
	handedOver := func(h ledger.HandOver) ledger.Row {
		r := begun()
		h.Failure = failureAt(120, "Busy")
		r.HandOver(2, h, after(2))
		return r
	}
	t.Run("that counts is an attempt", func(t *testing.T) {
		r := handedOver(ledger.HandOver{Counted: true, Waiting: waiting, Sent: true})
		check(t, r, r.Number == 2 && r.Attempt == 2 && r.HandedBack == 0 && len(r.Attempts) == 1 && r.Code == "Busy" && *r.Waiting == waiting)
		check(t, r, r.Begun.IsZero() && r.Begins == 0 && r.DueAt.IsZero() && r.State == routine.Queued)
	})
	t.Run("that does not count reports the failure all the same", func(t *testing.T) {
		r := handedOver(ledger.HandOver{Waiting: waiting, Sent: true})
		check(t, r, r.Attempt == 1 && r.HandedBack == 1 && len(r.Attempts) == 0 && r.Code == "Busy" && r.Last.Code == "Busy")
	})
	t.Run("that was not sent is due when the job's turn is", func(t *testing.T) {
		r := handedOver(ledger.HandOver{Waiting: waiting})
		check(t, r, r.DueAt.Equal(after(9)))
		r = handedOver(ledger.HandOver{Waiting: routine.Waiting{For: routine.ForTurn}})
		check(t, r, r.DueAt.Equal(after(2)))
	})
	t.Run("that was sent makes the first message needless", func(t *testing.T) {
		r := queued()
		r.HandOver(2, ledger.HandOver{Failure: failureAt(120, "Busy"), Sent: true}, after(2))
		check(t, r, fault.HasCode(r.Due(after(5)), ledger.CodeEnded))
	})
}

func TestAge(t *testing.T) {
	r := begun()
	same(t, r.Age(after(60), 0), 0)
	r.Answered(after(5), 10*time.Minute)
	r.Answered(after(50), 20*time.Minute) // only the first counts
	same(t, r.Age(after(60), 10*time.Minute), 55*time.Minute)
	same(t, r.Age(after(60), 40*time.Minute), 25*time.Minute) // the lane was stopped for thirty minutes since
	r = changed(t, changed(t, r, dies(0, "X")), redriven(4200))
	same(t, r.Age(after(80), 0), 0)
}

func TestEnds(t *testing.T) {
	t.Run("success leaves no failure and nothing behind", func(t *testing.T) {
		r := redrivenOnce(t)
		r.Succeed(routine.Result{Routine: routine.Adopted}, routine.Progress{}, after(12), after(13))
		check(t, r, r.Ready && r.Kind+r.Code+r.Hint+r.Reason+r.By == "" && r.Last == nil && r.Left == nil && r.Result.Routine == routine.Adopted)
		check(t, r, r.DueAt.Equal(after(13)) && len(r.Attempts) == 1)
	})
	routineLeft := routine.Left{Routine: "pr-1", Outcome: routine.Unknown}
	recordLeft := routine.Left{Routine: "pr-1", SiteID: 7, RecordName: "pr-1.example.com", Outcome: routine.Unknown}
	t.Run("death tells why and what is left", func(t *testing.T) {
		r := died()
		check(t, r, slices.Equal(r.Left, []routine.Left{{Routine: "pr-1", Outcome: routine.Created}, recordLeft}))
		check(t, r, r.Code == "Taken" && r.Reason == "it would fail again" && r.Origin == ledger.Worker)
		check(t, r, r.DiedAt.Equal(after(2)) && r.DueAt.Equal(after(3)))
	})
	t.Run("death after a look without an end leaves the routine in doubt", func(t *testing.T) {
		r := changed(t, begun(), dies(0, "X"))
		check(t, r, slices.Equal(r.Left, []routine.Left{routineLeft}))
	})
	t.Run("nothing is due if nobody wants to be told", func(t *testing.T) {
		r := queued()
		r.Request.CallbackURL = ""
		r = changed(t, r, dies(0, "X"))
		check(t, r, r.DueAt.IsZero())
	})
	t.Run("cancelling tells by whom and why", func(t *testing.T) {
		r := cancelled(t)
		check(t, r, r.State == routine.Cancelled && r.By == "olga" && r.Reason == "a mistake" && r.DueAt.IsZero() && r.Left == nil)
	})
	t.Run("cancelling waits for ten minutes after a begin, and then tells what a worker may have made", func(t *testing.T) {
		r := begun()
		err := r.Cancel("olga", "", after(4))
		check(t, r, fault.HasCode(err, ledger.CodeBegun) && fault.From(err).RetryAfter == 7*time.Minute)
		r = changed(t, r, func(r *ledger.Row) error { return r.Cancel("olga", "", after(11)) })
		check(t, r, slices.Equal(r.Left, []routine.Left{routineLeft, recordLeft}))
	})
	t.Run("dropping tells by whom and why, and keeps the news of the death, which is still to be told", func(t *testing.T) {
		r := dropped(t)
		check(t, r, r.State == routine.Dropped && r.By == "olga" && r.Reason == "not needed" && r.DueAt.Equal(after(3)))
		news := r.News()
		check(t, r, news.State == routine.DeadLettered && news.UpdatedAt.Equal(after(2)) && news.By == "" && news.Reason == "it would fail again")
		check(t, r, news.Request.CallbackURL == "https://ci.example/hook?***")
	})
}

// TestRefusals says which change a job takes in which state, five minutes after noon.
func TestRefusals(t *testing.T) {
	states := map[string]func() ledger.Row{
		"waits": queued, "begun": begun, "succeeded": succeeded, "dead": died,
		"cancelled": func() ledger.Row { return cancelled(t) }, "dropped": func() ledger.Row { return dropped(t) },
	}
	const none, ended, notDead, silent = "", ledger.CodeEnded, ledger.CodeNotDead, ledger.CodeNoCallback
	for name, test := range map[string]struct {
		change                                            step
		waits, begun, succeeded, dead, cancelled, dropped string
	}{
		"to be cancelled":      {func(r *ledger.Row) error { return r.Cancel("", "", after(5)) }, none, ledger.CodeBegun, ended, ended, ended, ended},
		"to be dropped":        {func(r *ledger.Row) error { return r.Drop("", "", after(5)) }, notDead, notDead, notDead, none, notDead, notDead},
		"to be redriven":       {redriven(300), notDead, notDead, notDead, none, notDead, notDead},
		"to be due":            {func(r *ledger.Row) error { return r.Due(after(5)) }, none, ended, ended, ended, ended, ended},
		"to be sent again":     {func(r *ledger.Row) error { return r.SendAgain(after(5)) }, none, none, ended, ended, ended, ended},
		"that it was sent":     {sent, ended, ended, none, none, ended, none}, // of what has ended: the news of that
		"to tell again":        {func(r *ledger.Row) error { return r.CallbackDue(after(5)) }, silent, silent, none, none, silent, silent},
		"that the news failed": {callbackFailed, ended, ended, ended, ended, ended, ended}, // nobody has sent any
	} {
		for state, want := range map[string]string{
			"waits": test.waits, "begun": test.begun, "succeeded": test.succeeded, "dead": test.dead, "cancelled": test.cancelled, "dropped": test.dropped,
		} {
			t.Run(state+" "+name, func(t *testing.T) {
				r := states[state]()
				was := r
				err := test.change(&r)
				if (want == none) != (err == nil) || want != none && !fault.HasCode(err, want) {
					t.Errorf("got %v, want %q", err, want)
				}
				if diff := cmp.Diff(was.Job, r.Job); err != nil && diff != "" {
					t.Errorf("changed although it was refused, -was +is:\n%s", diff)
				}
			})
		}
	}
}

func TestSent(t *testing.T) {
	t.Run("clears what was due, and nothing of another delivery or round", func(t *testing.T) {
		r := changed(t, queued(), func(r *ledger.Row) error { return r.Due(after(1)) })
		for _, other := range [][2]int{{0, 2}, {1, 1}} {
			err := r.Sent(other[0], other[1], "k1", after(1))
			check(t, r, fault.HasCode(err, ledger.CodeEnded) && r.DueAt.Equal(after(1)))
		}
		r = changed(t, r, sent)
		check(t, r, r.DueAt.IsZero() && r.SentAt.Equal(noon) && r.SealedUnder == "k1" && r.Callback == nil)
	})
	t.Run("is due again, begun or not", func(t *testing.T) {
		r := changed(t, begun(), func(r *ledger.Row) error { return r.SendAgain(after(5)) })
		check(t, r, r.DueAt.Equal(after(5)) && r.Begins == 1)
	})
}

func TestCallback(t *testing.T) {
	told := changed(t, died(), sent)
	t.Run("is handed over, fails, and is due again", func(t *testing.T) {
		check(t, told, told.DueAt.IsZero() && *told.Callback == routine.CallbackStatus{State: routine.HandedOver})
		r := changed(t, told, callbackFailed)
		check(t, r, *r.Callback == routine.CallbackStatus{State: routine.CallbackFailed, Attempts: 8, LastStatus: 500})
		r = changed(t, r, func(r *ledger.Row) error { return r.CallbackDue(after(9)) })
		check(t, r, r.Callback == nil && r.DueAt.Equal(after(9)))
	})
	t.Run("is not due where nobody is told", func(t *testing.T) {
		r := succeeded()
		r.Request.CallbackURL = ""
		check(t, r, fault.HasCode(r.CallbackDue(after(9)), ledger.CodeNoCallback))
	})
	t.Run("does not fail for another round, or while it is sent again", func(t *testing.T) {
		r := told
		check(t, r, fault.HasCode(r.CallbackFailed(1, 8, 500), ledger.CodeEnded))
		r = changed(t, r, notify)
		check(t, r, fault.HasCode(callbackFailed(&r), ledger.CodeEnded))
	})
}

func TestUndelivered(t *testing.T) {
	r := queued()
	for _, step := range []struct {
		id   string
		want int
	}{{"M1", 1}, {"M1", 1}, {"M2", 2}, {"M1", 2}, {strings.Repeat("x", 300), 3}, {strings.Repeat("x", 300), 3}} {
		same(t, r.CountUndelivered(step.id), step.want)
	}
	r.Die(failureAt(0, "Undelivered"), "", ledger.Trigger, r.Progress, noon)
	for n := range 100 {
		r.CountUndelivered(fmt.Sprint("more", n))
	}
	same(t, r.CountUndelivered("another"), 21)
	same(t, len(r.Undelivered), 20)
	r = changed(t, r, redriven(600))
	same(t, r.CountUndelivered("M1"), 1)
}
