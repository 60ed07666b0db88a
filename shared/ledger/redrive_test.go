package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestRedrive(t *testing.T) {
	t.Run("begins a round", func(t *testing.T) {
		r := redrivenOnce(t)
		check(t, r, r.State == routine.Queued && r.Redriven == 1 && r.Number == 1 && r.Attempt == 1 && r.Begins == 0 && r.Code == "" && r.Last == nil)
		check(t, r, r.DueAt.Equal(after(11)) && r.Waiting.For == routine.ForQueue && r.DiedAt.IsZero() && r.StartedAt.IsZero() && r.Origin == "")
		check(t, r, slices.Equal(r.Redrives, []routine.Redrive{{Number: 1, At: after(10), By: "olga", Reason: "quota raised"}}))
		check(t, r, len(r.Attempts) == 1 && len(r.Left) == 2 && r.Progress.RecordUnknown)
	})
	again := redrivenOnce(t) // at minute ten
	again.Die(failureAt(660, "Again"), "", ledger.Worker, again.Progress, after(12))
	for name, test := range map[string]struct {
		row  ledger.Row
		asOf int
		want string
	}{
		"does not take what died since the set was chosen":         {died(), 1, ledger.CodeNotDead},
		"does not take what was redriven since the set was chosen": {again, 10, ledger.CodeNotDead},
		"takes what was redriven before the set was chosen":        {again, 11, ""},
		"takes no message that holds no request": {
			ledger.Unreadable(routine.Job{ID: "x", AcceptedAt: noon}, failureAt(0, "X"), "", ledger.Worker, nil, nil), 60, ledger.CodeNoRequest,
		},
		"takes no message whose request is not valid": {
			ledger.Unreadable(routine.Job{ID: "x", AcceptedAt: noon, Request: request}, failureAt(0, "X"), "", ledger.Worker, []routine.Problem{{Pointer: "/name"}}, nil),
			60, ledger.CodeNoRequest,
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.row.Redrive("", "", nil, after(test.asOf), after(60), after(60))
			if (err == nil) != (test.want == "") || err != nil && !fault.HasCode(err, test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("takes a message that holds no request, with one", func(t *testing.T) {
		r := ledger.Unreadable(routine.Job{ID: "x", AcceptedAt: noon}, failureAt(0, "X"), "", ledger.Worker, nil, nil)
		if err := r.Redrive("", "", &request, after(60), after(60), after(60)); err != nil || r.Request.Name != "pr-1" {
			t.Errorf("%s, %v", r.Request.Name, err)
		}
	})
}

func TestCorrection(t *testing.T) {
	corrected := func(t *testing.T, change func(*routine.Request)) ledger.Row {
		return changed(t, died(), func(r *ledger.Row) error {
			other := r.Request
			change(&other)
			return r.Redrive("", "", &other, after(10), after(10), after(10))
		})
	}
	text := "new"
	for name, test := range map[string]struct {
		change                   func(*routine.Request)
		keepsRoutine, keepsDoubt bool
	}{
		"nothing":         {func(*routine.Request) {}, true, true},
		"the callback":    {func(r *routine.Request) { r.CallbackURL = "https://other.example" }, true, true},
		"the site":        {func(r *routine.Request) { r.Records = []routine.Record{{SiteID: 8, RecordName: "pr-1.example.com"}} }, true, false},
		"the record name": {func(r *routine.Request) { r.Records = []routine.Record{{SiteID: 7, RecordName: "other.example.com"}} }, true, false},
		"the name":        {func(r *routine.Request) { r.Name = "other" }, false, false},
		"the description": {func(r *routine.Request) { r.Description = &text }, false, false},
		"the assets":      {func(r *routine.Request) { r.HasAssets = new(bool) }, false, false},
		"what exists":     {func(r *routine.Request) { r.IfExists = routine.Fail }, false, false},
	} {
		t.Run("of "+name+" keeps progress only of parts whose input is unchanged", func(t *testing.T) {
			r := corrected(t, test.change) // the routine is made, the record is in doubt
			check(t, r, (r.Progress.Routine == routine.Created) == test.keepsRoutine && r.Progress.RecordUnknown == test.keepsDoubt)
			check(t, r, len(r.Left) == 2 && (r.Redrives[0].Was != nil) == (ledger.Hash(r.Request) != ledger.Hash(request)) && r.StandsFor(request) && r.StandsFor(r.Request))
		})
	}
	t.Run("of a rollback chooses the version again", func(t *testing.T) {
		r := begun()
		progress := routine.Progress{Code: routine.CodeProgress{Targets: []routine.CodeResult{{Environment: routine.Staging, CodeVersion: "1"}}, CommitUnknown: true}}
		r.Die(failureAt(120, "Gone"), "", ledger.Worker, progress, after(3))
		again := changed(t, r, func(r *ledger.Row) error { return r.Redrive("", "", nil, after(10), after(10), after(10)) })
		other := r.Request
		other.Version = "2"
		corrected := changed(t, r, func(r *ledger.Row) error { return r.Redrive("", "", &other, after(10), after(10), after(10)) })
		check(t, again, len(again.Progress.Code.Targets) == 1)
		check(t, corrected, corrected.Progress.Code.Targets == nil && corrected.Progress.Code.CommitUnknown)
	})
	t.Run("that succeeds still tells what the earlier request left", func(t *testing.T) {
		r := corrected(t, func(r *routine.Request) { r.Records = []routine.Record{{SiteID: 7, RecordName: "other.example.com"}} })
		r.Succeed(routine.Result{}, routine.Progress{}, after(12), after(12))
		check(t, r, slices.Equal(r.Left, []routine.Left{{Routine: "pr-1", SiteID: 7, RecordName: "pr-1.example.com", Outcome: routine.Unknown}}))
	})
	t.Run("shows the earlier request without the query of its callback URL, and keeps it", func(t *testing.T) {
		r := corrected(t, func(r *routine.Request) { r.Name = "other" })
		check(t, r, r.Shown().Redrives[0].Was.Name == "pr-1" && !strings.Contains(r.Shown().Redrives[0].Was.CallbackURL, "secret"))
		check(t, r, strings.Contains(r.Redrives[0].Was.CallbackURL, "secret"))
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
		must(t, r.Redrive(long, long, &corrected, after(60*round), after(60*round), noon))
	}
	check(t, r, len(r.Attempts) == 12 && r.Attempts[0].Number == 0 && r.Attempts[11].Number == 29)
	check(t, r, len(r.Redrives) == 5 && r.Redrives[4].Number == 30 && len(*r.Redrives[4].Was.Description) <= 400)
	check(t, r, len(r.Left) == 42 && len(r.Hashes) == 20 && r.StandsFor(r.Request))
	a := r.Attempts[3]
	check(t, r, len(a.Message) <= 400 && len(a.Hint) <= 400 && len(a.Code) <= 255 && len(a.RequestID) <= 255 && len(r.Reason) <= 400 && len(r.By) <= 255)
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
