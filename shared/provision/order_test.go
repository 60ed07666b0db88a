package provision_test

import (
	"context"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

// intend writes the number of a deletion to the claim, as whoever accepts it does.
func (a account) intend(n int) {
	claim := a.book.routine("pr-1")
	claim.DeleteNumber, claim.DeleteJob = int64(n), deletes(n).ID
	a.book.routines["pr-1"] = claim
}

// TestOrder is about intents that are carried out in another order than they were accepted in.
func TestOrder(t *testing.T) {
	t.Run("an older create is superseded by a deletion, which remembers it", func(t *testing.T) {
		a := made(t, "a")
		a.does(t, deletes(3))
		a.passes(t, newTask(2, other, creates("b")), "job-3")
		a.passes(t, newTask(2, other, creates("b")), "job-3")
		same(t, "overtook", a.book.routine("pr-1").Overtook, []string{"job-2"})
		same(t, "ESA has", a.holds(t), nil)
	})
	t.Run("an older create is superseded by a deletion that is accepted and not carried out yet", func(t *testing.T) {
		a := made(t, "a")
		a.intend(3)
		a.passes(t, newTask(2, other, creates("b")), "job-3")
	})
	t.Run("a create is not superseded by a deletion that was taken back since the claim was read", func(t *testing.T) {
		a, k := start(t), newTask(1, owner, creates("a"))
		a.intend(2)
		read := a.book.claims(k.Request)
		delete(a.book.routines, "pr-1")
		_, err := a.workflow.Run(t.Context(), k.Job, &k.progress, read, &provision.Known{}, recorded)
		must(t, err)
		same(t, "ESA has", a.bound(t), []string{"a"})
		same(t, "overtook", a.book.routine("pr-1").Overtook, nil)
	})
	t.Run("a create that is superseded in flight leaves what it made to the deletion", func(t *testing.T) {
		a, k := start(t), newTask(1, owner, creates("a", "b"))
		a.inject(t, faults.Rule{Action: record, Skip: 1, Fault: faults.Fault{Answer: faults.Error, Code: "UserOperationStatusIsLocked"}})
		a.refuses(t, k, fault.Locked, "UserOperationStatusIsLocked")
		a.intend(2)
		a.passes(t, k, "job-2")
		same(t, "ESA has", a.bound(t), []string{"a"})
		same(t, "claims", []string{a.claimed(), a.claimedHost("a")}, []string{"live owned ci", "live owned ci"})
		a.does(t, deletes(2))
		same(t, "ESA has", a.holds(t), nil)
	})
	t.Run("an older deletion unbinds older host names and leaves the routine to a newer create", func(t *testing.T) {
		a := made(t, "a")
		a.does(t, newTask(3, other, creates("b")))
		result := a.does(t, deletes(2))
		same(t, "outcome", result.Routine, routine.Passed)
		same(t, "ESA has", a.bound(t), []string{"b"})
	})
	t.Run("an older deletion that leaves nothing to do is superseded by the newer create", func(t *testing.T) {
		a := made(t, "a")
		a.does(t, newTask(3, owner, creates("a")))
		a.passes(t, deletes(2), "job-3")
		same(t, "ESA has", a.bound(t), []string{"a"})
	})
	t.Run("an older deletion leaves the routine to the newer create that made it", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(3, owner, creates("a")))
		a.passes(t, deletes(2), "job-3")
	})
	t.Run("that one counts also if ESA refuses its host name", func(t *testing.T) {
		a := start(t)
		a.inject(t, faults.Rule{Action: record, Fault: faults.Fault{Answer: faults.Error, Code: esa.CodeParameterAlreadyExist}})
		a.refuses(t, newTask(3, owner, creates("a")), fault.Conflict, esa.CodeParameterAlreadyExist)
		a.passes(t, deletes(2), "job-3")
		same(t, "ESA has", a.holds(t), []string{"pr-1"})
	})
	t.Run("that one counts also if somebody else has deleted the routine since", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(3, owner, creates("a")))
		must(t, a.RemoveRoutine("pr-1"))
		a.passes(t, deletes(2), "job-3")
	})
	t.Run("an older create knows the deletion also after a newer create", func(t *testing.T) {
		a := made(t, "a")
		a.does(t, deletes(3))
		a.does(t, newTask(4, owner, creates("a")))
		a.passes(t, newTask(2, owner, creates("b")), "job-3")
	})
	t.Run("a newer create counts also while ESA does not list its record yet", func(t *testing.T) {
		a := made(t, "a")
		must(t, a.SetAccount(esaemu.AccountChange{ListDelayMillis: ptr(int64(3_600_000))}))
		a.does(t, newTask(3, other, creates("b")))
		must(t, a.RemoveRecord(a.book.record("pr-1", "a.example.com").RecordID))
		a.passes(t, deletes(2), "job-3")
		same(t, "deletions", a.Faults().Count(remove), 0)
	})
	t.Run("a newer create counts also while nobody knows what became of its binding", func(t *testing.T) {
		a := made(t, "a")
		a.lose(t, record, false)
		a.inject(t, faults.Rule{Action: list, Fault: faults.Fault{Answer: faults.HTML}})
		a.refuses(t, newTask(3, other, creates("b")), fault.Unavailable, broke)
		same(t, "outcome", a.does(t, deletes(2)).Routine, routine.Passed)
	})
	t.Run("of two deletions the older one is superseded", func(t *testing.T) {
		a := made(t, "a")
		a.intend(3)
		a.passes(t, deletes(2), "job-3")
		a.does(t, deletes(3))
	})
	t.Run("a deletion that is repeated after another newer one is superseded too", func(t *testing.T) {
		a := made(t, "a")
		a.does(t, deletes(3))
		a.passes(t, deletes(2), "job-3")
	})
	t.Run("an older deletion does not count a newer host name that is to be unbound", func(t *testing.T) {
		a := made(t, "a")
		a.does(t, newTask(2, owner, creates("b")))
		host := a.book.record("pr-1", "b.example.com")
		host.Number, host.JobID, host.Leaving = 4, "job-4", true
		a.book.put(host)
		a.does(t, deletes(3))
		same(t, "ESA has", a.holds(t), nil)
	})
}

// TestOrderOfHostNames: binding a host name supersedes only older intents for that host name, and so does unbinding.
func TestOrderOfHostNames(t *testing.T) {
	t.Run("an older create leaves out a host name that was unbound since, and binds its others", func(t *testing.T) {
		a := made(t, "a")
		a.does(t, newTask(3, owner, unbinds("a")))
		result := a.does(t, newTask(2, owner, creates("a", "b")))
		same(t, "a", result.Records[0], routine.RecordResult{
			RecordName: "a.example.com", SiteID: creates("a").Records[0].SiteID, Outcome: routine.Passed, SupersededBy: "job-3",
		})
		same(t, "ESA has", a.bound(t), []string{"b"})
	})
	t.Run("a newer create binds a host name that was unbound", func(t *testing.T) {
		a := made(t, "a")
		a.does(t, newTask(2, owner, unbinds("a")))
		a.does(t, newTask(3, owner, creates("a")))
		same(t, "ESA has", a.bound(t), []string{"a"})
	})
	t.Run("an older unbinding is superseded by a newer create", func(t *testing.T) {
		a := made(t, "a")
		a.does(t, newTask(3, owner, creates("a")))
		a.passes(t, newTask(2, owner, unbinds("a")), "job-3")
	})
	t.Run("a newer unbinding of another host name does not count", func(t *testing.T) {
		a := made(t, "a", "b")
		a.does(t, newTask(3, owner, unbinds("b")))
		same(t, "outcome", a.does(t, newTask(2, owner, creates("a"))).Record, routine.Adopted)
	})
}

// TestIntentMeanwhile is about an intent that is accepted while a call is under way.
func TestIntentMeanwhile(t *testing.T) {
	t.Run("what a call has bound is claimed, and the newer intent stays", func(t *testing.T) {
		a, k := start(t), newTask(1, owner, creates("a"))
		_, err := a.runJob(t.Context(), k.Job, &k.progress, &provision.Known{}, func(context.Context, routine.Progress) error {
			a.book.put(routine.RecordClaim{Routine: "pr-1", RecordName: "a.example.com", Number: 2, JobID: "job-2", Leaving: true, State: routine.Gone})
			return nil
		})
		must(t, err)
		host := a.book.record("pr-1", "a.example.com")
		if host.State != routine.Live || host.RecordID == 0 || host.Number != 2 || host.JobID != "job-2" || !host.Leaving {
			t.Errorf("claim %+v", host)
		}
		a.does(t, newTask(2, owner, unbinds("a")))
		same(t, "ESA has", a.bound(t), nil)
	})
}

// TestOpenCalls is about calls of which nobody knows what became, and which may still take effect.
func TestOpenCalls(t *testing.T) {
	// unknownCreate leaves a CreateRoutine call open that lands after the next look.
	unknownCreate := func(t *testing.T) account {
		a := start(t)
		a.inject(t,
			faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Reset, After: get}},
			faults.Rule{Action: get, Skip: 1, Fault: faults.Fault{Answer: faults.HTML}},
		)
		a.refuses(t, newTask(1, owner, creates("a")), fault.Unavailable, broke)
		same(t, "ESA has", a.holds(t), nil)
		return a
	}
	t.Run("a deletion waits for a create, at no attempt, and deletes what that has made", func(t *testing.T) {
		a, k := unknownCreate(t), deletes(2)
		failure := a.refuses(t, k, fault.Locked, provision.CodeCallOpen)
		if failure.RetryAfter <= 0 || failure.RetryAfter > timeout+time.Second {
			t.Errorf("again after %s", failure.RetryAfter)
		}
		same(t, "ESA has", a.holds(t), []string{"pr-1"})
		a.refuses(t, k, fault.Locked, provision.CodeCallOpen) // it has deleted what it found, and the call may have been repeated on its way
		same(t, "ESA has", a.holds(t), nil)
		a.clock.Advance(timeout + 2*time.Second)
		same(t, "outcome", a.does(t, k).Routine, routine.Deleted)
	})
	t.Run("a deletion is done once the create has had its time", func(t *testing.T) {
		a, k := start(t), deletes(2)
		a.lose(t, create, false)
		a.refuses(t, newTask(1, owner, creates("a")), fault.Unavailable, broke)
		a.refuses(t, k, fault.Locked, provision.CodeCallOpen)
		a.clock.Advance(timeout + 2*time.Second)
		same(t, "outcome", a.does(t, k).Routine, routine.Absent)
	})
	t.Run("a deletion waits for the create of another job, though the one that made the routine had a call of its own that failed", func(t *testing.T) {
		a, first, second := start(t), newTask(1, owner, creates("a")), newTask(2, owner, creates("b"))
		a.lose(t, create, false)
		a.refuses(t, second, fault.Unavailable, broke)
		a.clock.Advance(timeout / 2)
		a.lose(t, create, false)
		a.refuses(t, first, fault.Unavailable, broke)
		a.does(t, second)
		a.refuses(t, deletes(3), fault.Locked, provision.CodeCallOpen)
		a.clock.Advance(timeout + 2*time.Second)
		same(t, "outcome", a.does(t, deletes(3)).Routine, routine.Deleted)
	})
	t.Run("a deletion that a late create undoes deletes again", func(t *testing.T) {
		a, k := start(t), deletes(2)
		a.inject(t, faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Reset, After: remove}})
		first := newTask(1, owner, creates("a"))
		a.refuses(t, first, fault.Unavailable, broke)
		a.plant(t, 0) // as if an earlier call of the job had made it
		a.refuses(t, k, fault.Unavailable, provision.CodeNotGone)
		a.refuses(t, k, fault.Locked, provision.CodeCallOpen)
		same(t, "ESA has", a.holds(t), nil)
		a.clock.Advance(timeout + 2*time.Second)
		same(t, "outcome", a.does(t, k).Routine, routine.Deleted)
	})
	t.Run("a deletion that was begun deletes also what a late create has made since, with another CreateTime", func(t *testing.T) {
		a, k := start(t), deletes(2)
		a.inject(t, faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Reset, After: remove}})
		a.refuses(t, newTask(1, owner, creates("a")), fault.Unavailable, broke)
		a.plant(t, 0) // as if an earlier call of the job had made it
		a.clock.Advance(3 * time.Second)
		a.refuses(t, k, fault.Locked, provision.CodeCallOpen)
		same(t, "ESA has", a.holds(t), []string{"pr-1"})
		a.refuses(t, k, fault.Locked, provision.CodeCallOpen)
		same(t, "ESA has", a.holds(t), nil)
	})
	// unknownDelete leaves a DeleteRoutine call open that did nothing so far.
	unknownDelete := func(t *testing.T) account {
		a := made(t, "a")
		a.lose(t, remove, false)
		a.refuses(t, deletes(2), fault.Unavailable, broke)
		same(t, "claim", a.claimed(), "deleting owned ci")
		return a
	}
	t.Run("a newer create finishes a deletion that was begun, and waits until its call has had its time", func(t *testing.T) {
		a, k := unknownDelete(t), newTask(3, owner, creates("a"))
		a.refuses(t, k, fault.Locked, provision.CodeCallOpen)
		same(t, "ESA has", a.holds(t), nil)
		same(t, "creates", a.Faults().Count(create), 0)
		a.clock.Advance(timeout + 2*time.Second)
		result := a.does(t, k)
		same(t, "outcome", outcome{result.Routine, result.Record}, outcome{routine.Created, routine.Created})
	})
	t.Run("so does one of another caller: the deletion was its owner's", func(t *testing.T) {
		a, k := unknownDelete(t), newTask(3, other, creates("b"))
		a.refuses(t, k, fault.Locked, provision.CodeCallOpen)
		a.clock.Advance(timeout + 2*time.Second)
		a.does(t, k)
		same(t, "claim", a.claimed(), "live owned web")
		same(t, "ESA has", a.bound(t), []string{"b"})
	})
	t.Run("and the deletion that was finished is superseded by it", func(t *testing.T) {
		a := unknownDelete(t)
		a.clock.Advance(timeout + 2*time.Second)
		a.does(t, newTask(3, owner, creates("a")))
		a.passes(t, deletes(2), "job-3")
		same(t, "ESA has", a.bound(t), []string{"a"})
	})
	t.Run("a host name that goes with a deletion that is finished is bound all the same", func(t *testing.T) {
		a := made(t, "a")
		must(t, a.SetAccount(esaemu.AccountChange{ListDelayMillis: ptr(int64(3_600_000))}))
		a.refuses(t, deletes(2), fault.Internal, esa.CodeDependedByOthers) // ESA did not list the record
		must(t, a.SetAccount(esaemu.AccountChange{ListDelayMillis: ptr(int64(0))}))
		a.clock.Advance(timeout + 2*time.Second)
		same(t, "outcome", a.does(t, newTask(3, owner, creates("a"))).Record, routine.Created)
		same(t, "ESA has", a.bound(t), []string{"a"})
	})
	t.Run("one that somebody makes again meanwhile is not deleted, and adopted once the call has had its time", func(t *testing.T) {
		a, k := unknownDelete(t), newTask(3, owner, creates("a"))
		a.madeAgain(t)
		a.Faults().Reset()
		a.refuses(t, k, fault.Locked, provision.CodeCallOpen)
		a.clock.Advance(timeout + 2*time.Second)
		a.does(t, k)
		same(t, "claim", a.claimed(), "live adopted ci")
		a.keeps(t)
	})
	t.Run("a deletion that was begun is over once ESA shows another routine of the name", func(t *testing.T) {
		a := unknownDelete(t)
		a.madeAgain(t)
		a.Faults().Reset()
		same(t, "outcome", a.does(t, deletes(2)).Routine, routine.Deleted)
		a.keeps(t)
		same(t, "ESA has", a.holds(t), []string{"pr-1"})
	})
}
