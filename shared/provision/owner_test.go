package provision_test

import (
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

// described asks for pr-1 with a description, to be given to it if it is there.
func described(text string) routine.Request {
	return with(creates("a"), func(r *routine.Request) { r.IfExists, r.Description = routine.Update, &text })
}

// description is that of pr-1 in ESA.
func (a account) description(t *testing.T) string {
	t.Helper()
	state, err := a.State()
	must(t, err)
	return state.Routines[0].Description
}

// TestUpdate is about "ifExists": "update".
func TestUpdate(t *testing.T) {
	t.Run("an owned routine gets the description, which is read back and claimed", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(1, owner, described("old")))
		a.Faults().Reset()
		result := a.does(t, newTask(2, owner, described("new")))
		same(t, "outcome", result.Routine, routine.Updated)
		same(t, "calls", a.calls(), []string{get, get, describe, get, record, list})
		same(t, "description", a.description(t), "new")
		same(t, "claimed", a.book.routine("pr-1").Description, "new")
	})
	t.Run("one that is new is made with it", func(t *testing.T) {
		a := start(t)
		same(t, "outcome", a.does(t, newTask(1, owner, described("new"))).Routine, routine.Created)
		same(t, "changes", a.Faults().Count(describe), 0)
	})
	t.Run("one that has it is not changed, whoever made it", func(t *testing.T) {
		a := start(t)
		a.plant(t, -time.Hour)
		a.does(t, newTask(1, owner, described("")))
		same(t, "changes", a.Faults().Count(describe), 0)
	})
	t.Run("one that is not owned is refused", func(t *testing.T) {
		a := start(t)
		a.plant(t, -time.Hour)
		a.refuses(t, newTask(1, owner, described("new")), fault.Conflict, provision.CodeNotOwned)
		same(t, "changes", a.Faults().Count(describe), 0)
	})
	t.Run("one that somebody made again is refused", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(1, owner, described("old")))
		a.madeAgain(t)
		a.refuses(t, newTask(2, owner, described("new")), fault.Conflict, provision.CodeNotOwned)
		same(t, "changes", a.Faults().Count(describe), 0)
	})
	t.Run("other assets are refused all the same: ESA cannot change them", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(1, owner, described("old")))
		assets := with(described("new"), func(r *routine.Request) { r.HasAssets = ptr(true) })
		a.refuses(t, newTask(2, owner, assets), fault.Conflict, esa.CodeRoutineAlreadyExist)
	})
	t.Run("an older one does not take a newer description away, whichever job has given that", func(t *testing.T) {
		for _, newer := range []func(*testing.T, account){
			func(t *testing.T, a account) { a.does(t, newTask(3, owner, described("new"))) },
			func(t *testing.T, a account) {
				a.does(t, newTask(1, owner, described("first")))
				a.does(t, newTask(3, owner, described("new")))
			},
		} {
			a := start(t)
			newer(t, a)
			same(t, "outcome", a.does(t, newTask(2, owner, described("old"))).Routine, routine.Adopted)
			same(t, "description", a.description(t), "new")
		}
	})
	t.Run("a call whose answer was lost is settled by looking", func(t *testing.T) {
		a, k := start(t), newTask(2, owner, described("new"))
		a.does(t, newTask(1, owner, described("old")))
		a.lose(t, describe, true)
		a.refuses(t, k, fault.Unavailable, broke)
		same(t, "outcome", a.does(t, k).Routine, routine.Updated)
		same(t, "changes", a.Faults().Count(describe), 1)
	})
	t.Run("a description that ESA does not show is not done", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(1, owner, described("old")))
		a.inject(t, faults.Rule{Action: describe, Fault: document(`{"Status":"OK"}`)})
		a.refuses(t, newTask(2, owner, described("new")), fault.Unavailable, "NotUpdated")
	})
}

// madeAgain deletes pr-1 and makes it again as somebody else would.
func (a account) madeAgain(t *testing.T) {
	t.Helper()
	must(t, a.RemoveRoutine("pr-1"))
	a.plant(t, 2*time.Second)
}

// TestOtherCaller is about a caller who does not own the routine.
func TestOtherCaller(t *testing.T) {
	protected := func(on bool) func(*routine.Request) {
		return func(r *routine.Request) { r.Protected = &on }
	}
	t.Run("may bind its own host names to it", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(1, owner, creates("a")))
		a.does(t, newTask(2, other, creates("b")))
		same(t, "owner", a.claimed(), "live owned ci")
		same(t, "host name", a.claimedHost("b"), "live owned web")
	})
	t.Run("may not while it is protected, but for the scope operate", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(1, owner, with(creates("a"), protected(true))))
		a.refuses(t, newTask(2, other, creates("b")), fault.Denied, provision.CodeProtected)
		a.does(t, newTask(3, other, creates("b")).operating())
		a.does(t, newTask(4, owner, creates("c")))
		same(t, "ESA has", a.bound(t), []string{"a", "b", "c"})
	})
	t.Run("may again once the owner has taken the protection away", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(1, owner, with(creates("a"), protected(true))))
		a.does(t, newTask(2, owner, with(creates("a"), protected(false))))
		a.does(t, newTask(3, other, creates("b")))
	})
	for name, alter := range map[string]func(*routine.Request){
		"its time to live":  func(r *routine.Request) { r.ExpiresIn = routine.Span(time.Hour) },
		"its protection":    protected(true),
		"its labels":        func(r *routine.Request) { r.Labels = map[string]string{"team": "web"} },
		"its description":   func(r *routine.Request) { r.IfExists, r.Description = routine.Update, ptr("new") },
		"nothing by update": func(r *routine.Request) { r.IfExists = routine.Update },
	} {
		t.Run("may not set "+name, func(t *testing.T) {
			a := start(t)
			a.does(t, newTask(1, owner, creates("a")))
			before := a.writes()
			a.refuses(t, newTask(2, other, with(creates("b"), alter)), fault.Denied, provision.CodeNotOwner)
			same(t, "writes", a.writes(), before)
		})
	}
	t.Run("may set what it likes of one that is gone", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(1, owner, with(creates("a"), protected(true))))
		a.does(t, newTask(2, owner, asks(routine.Delete)))
		a.does(t, newTask(3, other, with(creates("b"), func(r *routine.Request) { r.Labels = map[string]string{"team": "web"} })))
		same(t, "claim", a.claimed(), "live owned web")
	})
	t.Run("the owner sets labels and protection, and leaves them with a request that does not name them", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(1, owner, with(with(creates("a"), protected(true)), func(r *routine.Request) { r.Labels = map[string]string{"team": "web"} })))
		a.does(t, newTask(2, owner, creates("b")))
		claim := a.book.routine("pr-1")
		same(t, "labels", claim.Labels, map[string]string{"team": "web"})
		same(t, "protected", claim.Protected, true)
	})
	t.Run("nobody sets them of a routine that is not owned", func(t *testing.T) {
		a := start(t)
		a.plant(t, -time.Hour)
		a.does(t, newTask(1, owner, with(creates("a"), protected(true))))
		same(t, "protected", a.book.routine("pr-1").Protected, false)
	})
}
