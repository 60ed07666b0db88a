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

// takes is the operator's claim of pr-1.
func takes(n int) *task { return newTask(n, other, asks(routine.TakeOwnership)).operating() }

func TestTakeOwnership(t *testing.T) {
	for name, before := range map[string]func(*testing.T, account){
		"that nobody claims": func(t *testing.T, a account) { a.plant(t, -time.Hour); a.outsider(t, "a"); a.outsider(t, "b") },
		"that was adopted": func(t *testing.T, a account) {
			a.plant(t, -time.Hour)
			a.outsider(t, "a")
			a.does(t, newTask(1, owner, creates("a", "b")))
		},
		"that was made again": func(t *testing.T, a account) {
			a.does(t, newTask(1, owner, creates("a")))
			a.madeAgain(t)
			a.outsider(t, "a")
			a.outsider(t, "b")
		},
	} {
		t.Run("makes a routine "+name+" the caller's own, with its records", func(t *testing.T) {
			a := start(t)
			before(t, a)
			a.Faults().Reset()
			result := a.does(t, takes(2))
			same(t, "outcome", result.Routine, routine.Claimed)
			same(t, "records", len(result.Records), 2)
			same(t, "claims", []string{a.claimed(), a.claimedHost("a"), a.claimedHost("b")}, []string{"live owned web", "live owned web", "live owned web"})
			same(t, "writes", a.writes(), 0)
			a.does(t, newTask(3, other, asks(routine.Delete)))
			same(t, "ESA has", a.holds(t), nil)
		})
	}
	t.Run("makes records that nobody claims the owner's of a routine that is owned", func(t *testing.T) {
		a := made(t, "a")
		a.outsider(t, "b")
		same(t, "records", len(a.does(t, takes(2)).Records), 2)
		same(t, "claims", []string{a.claimed(), a.claimedHost("a"), a.claimedHost("b")}, []string{"live owned ci", "live owned ci", "live owned ci"})
		a.does(t, deletes(3))
		same(t, "ESA has", a.holds(t), nil)
	})
	t.Run("leaves deletions and unbindings in force that were asked for before", func(t *testing.T) {
		a := start(t)
		a.plant(t, -time.Hour)
		a.outsider(t, "a")
		a.does(t, newTask(1, owner, creates("a", "b")))
		unbinding, deletion := newTask(3, owner, unbinds("a")), deletes(2)
		a.refuses(t, unbinding, fault.Conflict, provision.CodeNotOwned)
		a.refuses(t, deletion, fault.Conflict, provision.CodeNotOwned)
		a.does(t, takes(4))
		unbinding.Operate, deletion.Operate = true, true // the routine is the operator's now
		a.does(t, unbinding)
		same(t, "ESA has", a.holds(t), []string{"pr-1", "pr-1 b.example.com"})
		a.does(t, deletion)
		same(t, "ESA has", a.holds(t), nil)
	})
	t.Run("leaves a host name to a newer intent", func(t *testing.T) {
		a := made(t, "a")
		a.does(t, newTask(3, owner, creates("b")))
		a.does(t, takes(2))
		same(t, "claim", a.claimedHost("b"), "live owned ci")
	})
	t.Run("a routine that is not there is refused", func(t *testing.T) {
		a := start(t)
		a.refuses(t, takes(1), fault.NotFound, esa.CodeRoutineNotExist)
		same(t, "claim", a.claimed(), "  ")
	})
	t.Run("one whose CreateTime nobody can read is refused: it could not be told from another one", func(t *testing.T) {
		a := start(t)
		a.plant(t, 0)
		a.inject(t, faults.Rule{Action: get, Fault: document(`{"CreateTime":"just now"}`)})
		a.refuses(t, takes(1), fault.Conflict, provision.CodeNotOwned)
		same(t, "claim", a.claimed(), "  ")
	})
	t.Run("nothing is claimed on a part of the list", func(t *testing.T) {
		a := start(t)
		a.plant(t, 0)
		a.inject(t, faults.Rule{Action: list, Fault: document(`{"TotalCount":1,"RelatedRecords":[]}`)})
		a.refuses(t, takes(1), fault.Unavailable, esa.CodeIncompleteList)
		same(t, "claim", a.claimed(), "  ")
	})
	t.Run("is superseded by a newer deletion", func(t *testing.T) {
		a := made(t, "a")
		a.intend(3)
		a.passes(t, takes(2), "job-3")
	})
}
