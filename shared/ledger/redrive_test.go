package ledger_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestRedrive(t *testing.T) {
	t.Run("begins a round", func(t *testing.T) {
		r := redrivenOnce(t)
		if r.State != routine.Queued || r.Redriven != 1 || r.Number != 1 || r.Attempt != 1 || r.Begins != 0 || r.Code != "" || r.Last != nil {
			t.Errorf("%+v", r)
		}
		if !r.DueAt.Equal(after(11)) || r.Waiting.For != routine.ForQueue || !r.DiedAt.IsZero() || !r.StartedAt.IsZero() || r.Origin != "" {
			t.Errorf("%+v", r)
		}
		want := []routine.Redrive{{Number: 1, At: after(10), By: "olga", Reason: "quota raised"}}
		if diff := cmp.Diff(want, r.Redrives); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if len(r.Attempts) != 1 || len(r.Left) != 2 || !r.Progress.RecordUnknown {
			t.Errorf("%d attempts, left %v, progress %+v", len(r.Attempts), r.Left, r.Progress)
		}
	})
	t.Run("does not take what died, or was redriven, since the set was chosen", func(t *testing.T) {
		r := died()
		if err := r.Redrive("", "", nil, after(1), after(10), after(10)); !fault.HasCode(err, ledger.CodeNotDead) {
			t.Errorf("died since: %v", err)
		}
		r = redrivenOnce(t) // at minute ten
		r.Die(failureAt(660, "Again"), "", ledger.Worker, r.Progress, after(12))
		for minute, want := range map[int]bool{10: false, 11: true} {
			again := r
			if err := again.Redrive("", "", nil, after(minute), after(20), after(20)); (err == nil) != want {
				t.Errorf("as of minute %d: %v", minute, err)
			}
		}
	})
	for name, r := range map[string]ledger.Row{"waits": redrivenOnce(t), "succeeded": succeeded(), "was cancelled": cancelled(t), "was dropped": dropped(t)} {
		t.Run("is refused if the job "+name, func(t *testing.T) {
			if err := r.Redrive("", "", nil, after(60), after(60), after(60)); !fault.HasCode(err, ledger.CodeNotDead) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("is refused for a message without a valid request", func(t *testing.T) {
		garbage := ledger.Unreadable(routine.Job{ID: "x", AcceptedAt: noon}, failureAt(0, "UnreadableMessage"), "", ledger.Worker, nil, nil)
		invalid := ledger.Unreadable(routine.Job{ID: "x", AcceptedAt: noon}, failureAt(0, "InvalidRequest"), "", ledger.Worker,
			[]routine.Problem{{Pointer: "/name"}}, nil)
		for _, r := range []ledger.Row{garbage, invalid} {
			if err := r.Redrive("", "", nil, after(60), after(60), after(60)); !fault.HasCode(err, ledger.CodeNoRequest) {
				t.Errorf("got %v", err)
			}
		}
		if err := garbage.Redrive("", "", &request, after(60), after(60), after(60)); err != nil || garbage.Request.Name != "pr-1" {
			t.Errorf("with a request: %v", err)
		}
	})
}

func TestCorrection(t *testing.T) {
	text := "new"
	for name, test := range map[string]struct {
		change                   func(*routine.Request)
		keepsRoutine, keepsDoubt bool
	}{
		"nothing":         {func(*routine.Request) {}, true, true},
		"the callback":    {func(r *routine.Request) { r.CallbackURL = "https://other.example" }, true, true},
		"the site":        {func(r *routine.Request) { r.SiteID = 8 }, true, false},
		"the record name": {func(r *routine.Request) { r.RecordName = "other.example.com" }, true, false},
		"the name":        {func(r *routine.Request) { r.Name = "other" }, false, false},
		"the description": {func(r *routine.Request) { r.Description = &text }, false, false},
		"the assets":      {func(r *routine.Request) { r.HasAssets = new(bool) }, false, false},
		"what exists":     {func(r *routine.Request) { r.IfExists = routine.Fail }, false, false},
	} {
		t.Run("of "+name+" keeps progress only of parts whose input is unchanged", func(t *testing.T) {
			r := died() // the routine is made, the record is in doubt
			corrected := r.Request
			test.change(&corrected)
			if err := r.Redrive("", "", &corrected, after(10), after(10), after(10)); err != nil {
				t.Fatal(err)
			}
			if keeps := r.Progress.Routine == routine.Created; keeps != test.keepsRoutine || r.Progress.RecordUnknown != test.keepsDoubt {
				t.Errorf("progress %+v", r.Progress)
			}
			if len(r.Left) != 2 || (r.Redrives[0].Was != nil) != (corrected != request) || !r.StandsFor(request) || !r.StandsFor(corrected) {
				t.Errorf("left %v, redrives %+v", r.Left, r.Redrives)
			}
		})
	}
	t.Run("that succeeds still tells what the earlier request left", func(t *testing.T) {
		r := died()
		corrected := r.Request
		corrected.RecordName = "other.example.com"
		if err := r.Redrive("", "", &corrected, after(10), after(10), after(10)); err != nil {
			t.Fatal(err)
		}
		r.Succeed(routine.Result{}, routine.Progress{}, after(12), after(12))
		want := []routine.Left{{Routine: "pr-1", SiteID: 7, RecordName: "pr-1.example.com", Outcome: routine.Unknown}}
		if diff := cmp.Diff(want, r.Left); diff != "" {
			t.Errorf("left -want +got:\n%s", diff)
		}
	})
	t.Run("shows the earlier request without the query of its callback URL", func(t *testing.T) {
		r := died()
		corrected := r.Request
		corrected.Name = "other"
		if err := r.Redrive("", "", &corrected, after(10), after(10), after(10)); err != nil {
			t.Fatal(err)
		}
		if was := r.Shown().Redrives[0].Was; was.Name != "pr-1" || strings.Contains(was.CallbackURL, "secret") {
			t.Errorf("was %+v", was)
		}
		if was := r.Redrives[0].Was; !strings.Contains(was.CallbackURL, "secret") {
			t.Errorf("the row itself was altered: %+v", was)
		}
	})
}

func TestBounds(t *testing.T) {
	long := strings.Repeat("漢", 1000)
	r := queued()
	for round := range 30 {
		failure := failureAt(60*round, long)
		failure.Number, failure.Message, failure.Hint, failure.RequestID = round, long, long, long
		r.Die(failure, long, ledger.Worker, routine.Progress{Routine: routine.Created, RecordUnknown: true}, noon)
		corrected := r.Request
		corrected.Name, corrected.Description = fmt.Sprintf("pr-%d", round), &long
		if err := r.Redrive(long, long, &corrected, after(60*round), after(60*round), noon); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.Attempts) != 12 || r.Attempts[0].Number != 0 || r.Attempts[11].Number != 29 {
		t.Errorf("%d attempts, the first is %d", len(r.Attempts), r.Attempts[0].Number)
	}
	if len(r.Redrives) != 5 || r.Redrives[4].Number != 30 || len(*r.Redrives[4].Was.Description) > 400 {
		t.Errorf("%d redrives", len(r.Redrives))
	}
	if len(r.Left) != 20 || len(r.Hashes) != 20 || !r.StandsFor(r.Request) {
		t.Errorf("%d left, %d hashes", len(r.Left), len(r.Hashes))
	}
	if a := r.Attempts[3]; len(a.Message) > 400 || len(a.Hint) > 400 || len(a.Code) > 255 || len(a.RequestID) > 255 || len(r.Reason) > 400 || len(r.By) > 255 {
		t.Errorf("%d, %d, %d, %d, %d, %d bytes", len(a.Message), len(a.Hint), len(a.Code), len(a.RequestID), len(r.Reason), len(r.By))
	}
	t.Run("texts hold no bytes that are none, and no control characters", func(t *testing.T) {
		r := queued()
		failure := failureAt(0, "X")
		failure.Message = "a\xffb\x00c\nd"
		r.Die(failure, "", ledger.Worker, r.Progress, noon)
		if r.Last.Message != "a\uFFFDb\uFFFDc\nd" {
			t.Errorf("%q", r.Last.Message)
		}
	})
}
