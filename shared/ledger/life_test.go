package ledger_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// request asks for a callback.
var request = routine.Request{Name: "pr-1", SiteID: 7, RecordName: "pr-1.example.com", CallbackURL: "https://ci.example/hook?secret"}

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

func cancelled(t *testing.T) ledger.Row {
	r := queued()
	if err := r.Cancel("olga", "a mistake", after(1)); err != nil {
		t.Fatal(err)
	}
	return r
}

func dropped(t *testing.T) ledger.Row {
	r := died()
	if err := r.Drop("olga", "not needed", after(5)); err != nil {
		t.Fatal(err)
	}
	return r
}

// redrivenOnce is a job in round 1.
func redrivenOnce(t *testing.T) ledger.Row {
	r := died()
	if err := r.Redrive("olga", "quota raised", nil, after(10), after(10), after(11)); err != nil {
		t.Fatal(err)
	}
	return r
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
		r := queued()
		if err := r.Due(noon); err != nil {
			t.Fatal(err)
		}
		r.Begin(1, routine.Progress{}, after(1))
		r.Begin(1, routine.Progress{RecordUnknown: true}, after(2))
		if r.Begins != 2 || !r.Begun.Equal(after(2)) || !r.StartedAt.Equal(after(1)) || r.Waiting != nil || !r.DueAt.IsZero() || !r.Progress.RecordUnknown {
			t.Errorf("%+v", r)
		}
	})
	t.Run("raises the row to a later delivery, and counts that anew", func(t *testing.T) {
		r := begun()
		r.Begin(3, r.Progress, after(2))
		if r.Number != 3 || r.Begins != 1 {
			t.Errorf("number %d begun %d times", r.Number, r.Begins)
		}
	})
	t.Run("is followed by looks that change nothing but the progress", func(t *testing.T) {
		r := begun()
		want := r
		r.Look(routine.Progress{RoutineRecreated: true}, after(2))
		want.Progress, want.Begun, want.UpdatedAt = routine.Progress{RoutineRecreated: true}, after(2), after(2)
		if diff := cmp.Diff(want.Job, r.Job); diff != "" || r.Begins != 1 || !r.Progress.RoutineRecreated {
			t.Errorf("begun %d times, -want +got:\n%s", r.Begins, diff)
		}
	})
	t.Run("that was never settled leaves the record in doubt", func(t *testing.T) {
		was, now := queued(), begun()
		if was.Known().RecordUnknown || !now.Known().RecordUnknown || now.Progress.RecordUnknown {
			t.Errorf("before %+v, after %+v", was.Known(), now.Known())
		}
	})
}

func TestHandOver(t *testing.T) {
	waiting := routine.Waiting{For: routine.ForBackoff, Since: after(2), Until: after(9)}
	t.Run("that counts is an attempt", func(t *testing.T) {
		r := begun()
		r.HandOver(2, ledger.HandOver{Failure: failureAt(120, "Busy"), Counted: true, Waiting: waiting, Sent: true}, after(2))
		if r.Number != 2 || r.Attempt != 2 || r.HandedBack != 0 || len(r.Attempts) != 1 || r.Code != "Busy" || *r.Waiting != waiting {
			t.Errorf("%+v", r)
		}
		if !r.Begun.IsZero() || r.Begins != 0 || !r.DueAt.IsZero() || r.State != routine.Queued {
			t.Errorf("%+v", r)
		}
	})
	t.Run("that does not count tells of the failure all the same", func(t *testing.T) {
		r := begun()
		r.HandOver(2, ledger.HandOver{Failure: failureAt(120, "Locked"), Waiting: waiting, Sent: true}, after(2))
		if r.Attempt != 1 || r.HandedBack != 1 || len(r.Attempts) != 0 || r.Code != "Locked" || r.Last.Code != "Locked" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("that was not sent is due when the job's turn is", func(t *testing.T) {
		r := begun()
		r.HandOver(2, ledger.HandOver{Failure: failureAt(120, "Busy"), Waiting: waiting}, after(2))
		if !r.DueAt.Equal(after(9)) {
			t.Errorf("due %s", r.DueAt)
		}
		r.HandOver(3, ledger.HandOver{Failure: failureAt(120, "Busy"), Waiting: routine.Waiting{For: routine.ForTurn}}, after(2))
		if !r.DueAt.Equal(after(2)) {
			t.Errorf("due %s", r.DueAt)
		}
	})
}

func TestAge(t *testing.T) {
	r := begun()
	if r.Age(after(60), 0) != 0 {
		t.Errorf("age %s before an answer", r.Age(after(60), 0))
	}
	r.Answered(after(5), 0)
	r.Answered(after(50), 0)
	if r.Age(after(60), 0) != 55*time.Minute {
		t.Errorf("age %s", r.Age(after(60), 0))
	}
	t.Run("begins anew with a redrive", func(t *testing.T) {
		r.Die(failureAt(0, "X"), "", ledger.Worker, r.Progress, noon)
		if err := r.Redrive("", "", nil, after(70), after(70), after(70)); err != nil || r.Age(after(80), 0) != 0 {
			t.Errorf("age %s, %v", r.Age(after(80), 0), err)
		}
	})
}

func TestEnds(t *testing.T) {
	t.Run("success leaves no failure and nothing behind", func(t *testing.T) {
		r := redrivenOnce(t)
		r.Succeed(routine.Result{Routine: routine.Adopted}, routine.Progress{}, after(12), after(13))
		if !r.Ready || r.Kind+r.Code+r.Hint+r.Reason+r.By != "" || r.Last != nil || r.Left != nil || r.Result.Routine != routine.Adopted {
			t.Errorf("%+v", r)
		}
		if !r.DueAt.Equal(after(13)) || len(r.Attempts) != 1 {
			t.Errorf("due %s, %d attempts", r.DueAt, len(r.Attempts))
		}
	})
	t.Run("death tells why and what is left", func(t *testing.T) {
		r := died()
		want := []routine.Left{
			{Routine: "pr-1", Outcome: routine.Created},
			{Routine: "pr-1", SiteID: 7, RecordName: "pr-1.example.com", Outcome: routine.Unknown},
		}
		if diff := cmp.Diff(want, r.Left); diff != "" {
			t.Errorf("left -want +got:\n%s", diff)
		}
		if r.Code != "Taken" || r.Reason != "it would fail again" || r.Origin != ledger.Worker || !r.DiedAt.Equal(after(2)) || !r.DueAt.Equal(after(3)) {
			t.Errorf("%+v", r)
		}
	})
	t.Run("nothing is due if nobody wants to be told", func(t *testing.T) {
		r := queued()
		r.Request.CallbackURL = ""
		r.Die(failureAt(0, "X"), "", ledger.Worker, r.Progress, after(3))
		if !r.DueAt.IsZero() {
			t.Errorf("due %s", r.DueAt)
		}
	})
	t.Run("a look without an end leaves a routine in doubt", func(t *testing.T) {
		r := begun()
		r.Die(failureAt(0, "X"), "", ledger.Worker, r.Progress, after(3))
		if diff := cmp.Diff([]routine.Left{{Routine: "pr-1", Outcome: routine.Unknown}}, r.Left); diff != "" {
			t.Errorf("left -want +got:\n%s", diff)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Run("calls off what waits", func(t *testing.T) {
		r := cancelled(t)
		if r.State != routine.Cancelled || r.By != "olga" || r.Reason != "a mistake" || !r.DueAt.IsZero() || r.Left != nil {
			t.Errorf("%+v", r)
		}
	})
	t.Run("is refused for ten minutes after a begin, and says how long", func(t *testing.T) {
		r := begun()
		err := r.Cancel("olga", "", after(4))
		if !fault.HasCode(err, ledger.CodeBegun) || fault.From(err).RetryAfter != 7*time.Minute || r.State != routine.Queued {
			t.Errorf("%s, %v", r.State, err)
		}
		if err := r.Cancel("olga", "", after(11)); err != nil {
			t.Error(err)
		}
	})
	t.Run("tells what an unsettled begin may have made", func(t *testing.T) {
		r := begun()
		if err := r.Cancel("olga", "", after(60)); err != nil {
			t.Fatal(err)
		}
		want := []routine.Left{
			{Routine: "pr-1", Outcome: routine.Unknown}, {Routine: "pr-1", SiteID: 7, RecordName: "pr-1.example.com", Outcome: routine.Unknown},
		}
		if diff := cmp.Diff(want, r.Left); diff != "" {
			t.Errorf("left -want +got:\n%s", diff)
		}
	})
	for name, r := range map[string]ledger.Row{"succeeded": succeeded(), "died": died(), "was cancelled": cancelled(t), "was dropped": dropped(t)} {
		t.Run("is refused once the job "+name, func(t *testing.T) {
			if err := r.Cancel("olga", "", after(60)); !fault.HasCode(err, ledger.CodeEnded) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestDrop(t *testing.T) {
	t.Run("leaves a dead letter undone, by whom and why, with the news of its death still owed", func(t *testing.T) {
		r := dropped(t)
		if r.State != routine.Dropped || r.By != "olga" || r.Reason != "not needed" || !r.DueAt.Equal(after(3)) {
			t.Errorf("%+v", r)
		}
		if news := r.News(); news.State != routine.DeadLettered || !news.UpdatedAt.Equal(after(2)) || news.By != "" || news.Request.CallbackURL != "https://ci.example/hook?***" {
			t.Errorf("news %+v", news)
		}
	})
	for name, r := range map[string]ledger.Row{"waits": queued(), "succeeded": succeeded(), "was cancelled": cancelled(t), "was dropped": dropped(t)} {
		t.Run("is refused if the job "+name, func(t *testing.T) {
			if err := r.Drop("olga", "", after(60)); !fault.HasCode(err, ledger.CodeNotDead) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSend(t *testing.T) {
	t.Run("is due only until a worker has told something", func(t *testing.T) {
		r := queued()
		if err := r.Due(after(1)); err != nil || !r.DueAt.Equal(after(1)) {
			t.Errorf("due %s, %v", r.DueAt, err)
		}
		handed := begun()
		handed.HandOver(2, ledger.HandOver{Failure: failureAt(0, "Busy"), Sent: true}, after(2))
		for name, r := range map[string]ledger.Row{"begun": begun(), "handed over": handed, "succeeded": succeeded()} {
			if err := r.Due(after(5)); !fault.HasCode(err, ledger.CodeEnded) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("again is due, begun or not, of what has not ended", func(t *testing.T) {
		r := begun()
		if err := r.SendAgain(after(5)); err != nil || !r.DueAt.Equal(after(5)) || r.Begins != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		r = died()
		if err := r.SendAgain(after(5)); !fault.HasCode(err, ledger.CodeEnded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("clears the mark only for what was sent", func(t *testing.T) {
		r := queued()
		if err := r.Sent(0, 1, "k1", after(1)); !fault.HasCode(err, ledger.CodeEnded) {
			t.Errorf("nothing was due: %v", err)
		}
		if err := r.Due(after(1)); err != nil {
			t.Fatal(err)
		}
		for _, other := range [][2]int{{0, 2}, {1, 1}} {
			if err := r.Sent(other[0], other[1], "k1", after(1)); !fault.HasCode(err, ledger.CodeEnded) || r.DueAt.IsZero() {
				t.Errorf("round %d, number %d: %v", other[0], other[1], err)
			}
		}
		if err := r.Sent(0, 1, "k1", after(2)); err != nil || !r.DueAt.IsZero() || !r.SentAt.Equal(after(2)) || r.Callback != nil {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestCallback(t *testing.T) {
	sent := func() ledger.Row {
		r := died()
		if err := r.Sent(0, 1, "k1", after(4)); err != nil {
			t.Fatal(err)
		}
		return r
	}
	t.Run("is handed over, fails, and is due again", func(t *testing.T) {
		r := sent()
		if diff := cmp.Diff(&routine.CallbackStatus{State: routine.HandedOver}, r.Callback); diff != "" || !r.DueAt.IsZero() {
			t.Errorf("due %s, -want +got:\n%s", r.DueAt, diff)
		}
		if err := r.CallbackFailed(0, 8, 500); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(&routine.CallbackStatus{State: routine.CallbackFailed, Attempts: 8, LastStatus: 500}, r.Callback); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if err := r.CallbackDue(after(9)); err != nil || r.Callback != nil || !r.DueAt.Equal(after(9)) {
			t.Errorf("%+v, %v", r.Callback, err)
		}
	})
	t.Run("is not due where nobody is told", func(t *testing.T) {
		silent := succeeded()
		silent.Request.CallbackURL = ""
		for name, r := range map[string]ledger.Row{"no URL": silent, "queued": queued(), "cancelled": cancelled(t), "dropped": dropped(t)} {
			if err := r.CallbackDue(after(9)); !fault.HasCode(err, ledger.CodeNoCallback) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("does not fail for another end, or while it is sent again", func(t *testing.T) {
		redriven := sent()
		if err := redriven.Redrive("", "", nil, after(10), after(10), after(10)); err != nil {
			t.Fatal(err)
		}
		for name, r := range map[string]ledger.Row{"still due": died(), "redriven": redriven, "cancelled": cancelled(t)} {
			if err := r.CallbackFailed(0, 8, 500); !fault.HasCode(err, ledger.CodeEnded) {
				t.Errorf("%s: %v", name, err)
			}
		}
		r := sent()
		if err := r.CallbackFailed(1, 8, 500); !fault.HasCode(err, ledger.CodeEnded) {
			t.Errorf("of another round: %v", err)
		}
	})
}

func TestUndelivered(t *testing.T) {
	r := queued()
	for _, step := range []struct {
		id   string
		want int
	}{{"M1", 1}, {"M1", 1}, {"M2", 2}, {"M1", 2}, {strings.Repeat("x", 300), 3}, {strings.Repeat("x", 300), 3}} {
		if got := r.CountUndelivered(step.id); got != step.want {
			t.Errorf("%.5s: %d, want %d", step.id, got, step.want)
		}
	}
	r.Die(failureAt(0, "Undelivered"), "", ledger.Trigger, r.Progress, noon)
	for n := range 100 {
		if got := r.CountUndelivered(fmt.Sprint("more", n)); got > 21 || len(r.Undelivered) > 20 {
			t.Fatalf("%d, of which %d are kept", got, len(r.Undelivered))
		}
	}
	if n := r.CountUndelivered("another"); n != 21 {
		t.Errorf("%d beyond the last that is kept", n)
	}
	if err := r.Redrive("", "", nil, after(10), after(10), after(10)); err != nil || r.CountUndelivered("M1") != 1 {
		t.Errorf("counted on in the next round, %v", err)
	}
}
