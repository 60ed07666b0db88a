package provision_test

import (
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

func TestUnbind(t *testing.T) {
	t.Run("deletes the record, reads back that it is gone, and leaves the others and the routine", func(t *testing.T) {
		a := made(t, "a", "b")
		result := a.does(t, newTask(2, owner, unbinds("a")))
		same(t, "calls", a.calls(), []string{get, list, unbind, list})
		same(t, "ESA has", a.bound(t), []string{"b"})
		same(t, "result", result.Record, routine.Deleted)
		same(t, "claim", a.claimedHost("a"), "gone owned ci")
	})
	for name, test := range map[string]struct {
		// bound is who asked for the host name, on the owner's routine, and k unbinds it.
		bound string
		k     *task
		may   bool
	}{
		"who asked for the host name":            {other, newTask(3, other, unbinds("b")), true},
		"the routine's owner":                    {other, newTask(3, owner, unbinds("b")), true},
		"another caller":                         {owner, newTask(3, other, unbinds("b")), false},
		"a third caller":                         {other, newTask(3, "third", unbinds("b")), false},
		"another caller, with the scope operate": {owner, newTask(3, other, unbinds("b")).operating(), true},
	} {
		t.Run(name+" may do it: "+map[bool]string{true: "yes", false: "no"}[test.may], func(t *testing.T) {
			a := made(t, "a")
			a.does(t, newTask(2, test.bound, creates("b")))
			if test.may {
				a.does(t, test.k)
				same(t, "ESA has", a.bound(t), []string{"a"})
				return
			}
			a.refuses(t, test.k, fault.Denied, provision.CodeNotOwner)
			a.keeps(t)
		})
	}
	for name, before := range map[string]func(*testing.T, account){
		"a record that nobody claims":  func(t *testing.T, a account) { a.outsider(t, "b") },
		"a record that was adopted":    func(t *testing.T, a account) { a.outsider(t, "b"); a.does(t, newTask(2, owner, creates("b"))) },
		"a record that was made again": func(t *testing.T, a account) { a.does(t, newTask(2, owner, creates("b"))); a.rebound(t, "b") },
		"a routine that was made again": func(t *testing.T, a account) {
			a.does(t, newTask(2, owner, creates("b")))
			a.madeAgain(t)
			a.outsider(t, "b")
		},
		"one that a lost call has bound": func(t *testing.T, a account) { a.boundUnseen(t, newTask(2, owner, creates("b"))) },
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			a := made(t, "a")
			before(t, a)
			a.refuses(t, newTask(3, owner, unbinds("b")), fault.Conflict, provision.CodeNotOwned)
			a.keeps(t)
		})
	}
	t.Run("refuses a record that ESA left behind, of a routine that was made again", func(t *testing.T) {
		a := made(t, "a")
		must(t, a.SetAccount(esaemu.AccountChange{Dangling: ptr(true)}))
		must(t, a.workflow.ESA.DeleteRoutine(t.Context(), "pr-1"))
		a.plant(t, 2*time.Second)
		same(t, "ESA has", a.bound(t), []string{"a"})
		a.refuses(t, newTask(2, owner, unbinds("a")), fault.Conflict, provision.CodeNotOwned)
	})
	t.Run("unbinds an own record of a routine that was there before", func(t *testing.T) {
		a := start(t)
		a.plant(t, -time.Hour)
		a.does(t, newTask(1, owner, creates("a")))
		a.does(t, newTask(2, owner, unbinds("a")))
		same(t, "ESA has", a.holds(t), []string{"pr-1"})
	})
	t.Run("is done if there is no such record, or no routine", func(t *testing.T) {
		a := made(t, "a")
		same(t, "no record", a.does(t, newTask(2, owner, unbinds("b"))).Record, routine.Absent)
		must(t, a.RemoveRoutine("pr-1"))
		same(t, "no routine", a.does(t, newTask(3, owner, unbinds("a"))).Record, routine.Absent)
		same(t, "claim", a.claimedHost("a"), "gone owned ci")
		a.keeps(t)
	})
	t.Run("waits for a call that may still bind the host name", func(t *testing.T) {
		a, k := made(t, "a"), newTask(3, owner, unbinds("b"))
		a.inject(t,
			faults.Rule{Action: record, Fault: faults.Fault{Answer: faults.Reset}},
			faults.Rule{Action: list, Fault: faults.Fault{Answer: faults.HTML}},
		)
		a.refuses(t, newTask(2, owner, creates("b")), fault.Unavailable, broke)
		a.refuses(t, k, fault.Locked, provision.CodeCallOpen)
		a.clock.Advance(2 * timeout)
		same(t, "outcome", a.does(t, k).Record, routine.Absent)
	})
	for _, effective := range []bool{true, false} {
		t.Run("a lost answer is settled by the next attempt, after its effect: "+map[bool]string{true: "yes", false: "no"}[effective], func(t *testing.T) {
			a, k := made(t, "a"), newTask(2, owner, unbinds("a"))
			a.lose(t, unbind, effective)
			a.refuses(t, k, fault.Unavailable, broke)
			same(t, "claim", a.claimedHost("a"), "deleting owned ci")
			same(t, "outcome", a.does(t, k).Record, routine.Deleted)
			same(t, "ESA has", a.bound(t), nil)
		})
	}
	t.Run("is not done on a part of the list", func(t *testing.T) {
		a := made(t, "a")
		a.inject(t, faults.Rule{Action: list, Fault: document(`{"TotalCount":1,"RelatedRecords":[]}`)})
		a.refuses(t, newTask(2, owner, unbinds("a")), fault.Unavailable, esa.CodeIncompleteList)
		same(t, "claim", a.claimedHost("a"), "live owned ci")
	})
	t.Run("is off where the deployment does not delete", func(t *testing.T) {
		a := made(t, "a")
		a.workflow.MayDelete = false
		a.refuses(t, newTask(2, owner, unbinds("a")), fault.Denied, provision.CodeDeletionOff)
	})
	t.Run("is superseded by a newer deletion of the routine", func(t *testing.T) {
		a := made(t, "a")
		a.intend(3)
		a.passes(t, newTask(2, owner, unbinds("a")), "job-3")
	})
	t.Run("finds a record on the site of its claim", func(t *testing.T) {
		a := made(t, "a")
		must(t, a.AddSite(esaemu.Site{ID: 7, Name: "shop.example.com"}))
		a.does(t, newTask(2, owner, with(creates("x"), func(r *routine.Request) {
			r.Records[0] = routine.Record{SiteID: 7, RecordName: "x.shop.example.com"}
		})))
		k := newTask(3, owner, unbinds("x"))
		k.Request.Records[0].RecordName = "x.shop.example.com"
		a.does(t, k)
		same(t, "ESA has", a.bound(t), []string{"a"})
	})
}

// rebound removes a record of pr-1 and binds its host name again as somebody else would.
func (a account) rebound(t *testing.T, host string) {
	t.Helper()
	must(t, a.RemoveRecord(a.book.record("pr-1", host+".example.com").RecordID))
	a.outsider(t, host)
}

// boundUnseen leaves the host name of a task bound by a call whose answer was lost, with nobody having looked since.
func (a account) boundUnseen(t *testing.T, k *task) {
	t.Helper()
	a.lose(t, record, true)
	a.inject(t, faults.Rule{Action: list, Fault: faults.Fault{Answer: faults.HTML}})
	a.refuses(t, k, fault.Unavailable, broke)
	a.clock.Advance(2 * timeout)
}
