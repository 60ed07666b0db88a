package provision_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

// lateBinding leaves a call open that binds b to pr-1 once another call is made.
func lateBinding(t *testing.T, after string) account {
	a := made(t, "a")
	a.inject(t,
		faults.Rule{Action: record, Fault: faults.Fault{Answer: faults.Reset, After: after}},
		faults.Rule{Action: list, Fault: faults.Fault{Answer: faults.HTML}},
	)
	a.refuses(t, newTask(2, owner, creates("b")), fault.Unavailable, broke)
	return a
}

// TestOpenBindings is about calls to bind a host name that had no answer and may take effect later.
func TestOpenBindings(t *testing.T) {
	t.Run("a deletion waits for one, so that no record stays behind without its routine", func(t *testing.T) {
		a, k := lateBinding(t, remove), deletes(3)
		a.refuses(t, k, fault.Locked, provision.CodeCallOpen)
		same(t, "ESA has", a.bound(t), []string{"a"})
		a.clock.Advance(timeout + 2*time.Second)
		a.does(t, k)
		same(t, "claim", a.claimedHost("b"), "gone  ci")
	})
	t.Run("a deletion waits for one though the routine is gone: it may bind to the next one of the name", func(t *testing.T) {
		a, k := lateBinding(t, remove), deletes(3)
		must(t, a.RemoveRoutine("pr-1"))
		a.refuses(t, k, fault.Locked, provision.CodeCallOpen)
		a.clock.Advance(timeout + 2*time.Second)
		same(t, "outcome", a.does(t, k).Routine, routine.Absent)
	})
	t.Run("a deletion and an unbinding wait for one though the host name is bound by a later call", func(t *testing.T) {
		a, again := made(t, "a"), newTask(2, owner, creates("b"))
		a.lose(t, record, false)
		a.refuses(t, again, fault.Unavailable, broke)
		a.does(t, again)
		a.refuses(t, newTask(3, owner, unbinds("b")), fault.Locked, provision.CodeCallOpen)
		a.refuses(t, deletes(4), fault.Locked, provision.CodeCallOpen)
		same(t, "ESA has", a.bound(t), []string{"a", "b"})
		a.clock.Advance(timeout + 2*time.Second)
		a.does(t, deletes(4))
	})
	t.Run("what is bound to a routine that somebody has made again since is not ours", func(t *testing.T) {
		a, k := start(t), newTask(1, owner, creates("b"))
		a.lose(t, record, false)
		a.refuses(t, k, fault.Unavailable, broke)
		must(t, a.RemoveRoutine("pr-1"))
		a.clock.Advance(time.Hour)
		a.plant(t, 0)
		a.outsider(t, "b")
		a.does(t, k)
		same(t, "claim", a.claimedHost("b"), "live unproven ci")
	})
	t.Run("what was bound to an earlier routine of the name is not taken for what one may have bound", func(t *testing.T) {
		a := made(t, "a")
		must(t, a.RemoveRoutine("pr-1"))
		a.clock.Advance(time.Hour)
		a.lose(t, record, true)
		a.inject(t, faults.Rule{Action: list, Fault: faults.Fault{Answer: faults.HTML}})
		a.refuses(t, newTask(2, owner, creates("a")), fault.Unavailable, broke)
		same(t, "claim", a.claimedHost("a"), "creating  ci")
	})
	t.Run("nobody waits for one that ESA has refused", func(t *testing.T) {
		a := made(t, "a")
		a.inject(t, faults.Rule{Action: record, Fault: faults.Fault{Answer: faults.Error, Code: "InvalidParameter"}})
		a.refuses(t, newTask(2, owner, creates("b")), fault.Invalid, "InvalidParameter")
		a.does(t, deletes(3))
	})
	t.Run("a deletion waits for an open create of the job that has made the routine by a later call", func(t *testing.T) {
		a, again := start(t), newTask(1, owner, creates("a"))
		a.lose(t, create, false)
		a.refuses(t, again, fault.Unavailable, broke)
		a.clock.Advance(timeout / 2)
		a.does(t, again)
		a.refuses(t, deletes(2), fault.Locked, provision.CodeCallOpen)
		a.clock.Advance(timeout)
		same(t, "outcome", a.does(t, deletes(2)).Routine, routine.Deleted)
	})
	t.Run("a deletion waits for an open create of another job also if the routine was removed and made again since", func(t *testing.T) {
		a := start(t)
		a.lose(t, create, false)
		a.refuses(t, newTask(1, owner, creates("a")), fault.Unavailable, broke)
		a.does(t, newTask(2, owner, creates("b")))
		must(t, a.RemoveRoutine("pr-1"))
		a.clock.Advance(2 * time.Second)
		a.does(t, newTask(3, owner, creates("b")))
		a.refuses(t, deletes(4), fault.Locked, provision.CodeCallOpen)
		a.clock.Advance(timeout)
		same(t, "outcome", a.does(t, deletes(4)).Routine, routine.Deleted)
	})
}

// TestLaterRound is about a job that is done with some of its things, dies, and is redriven after these were changed.
func TestLaterRound(t *testing.T) {
	dead := func(t *testing.T) (account, *task) {
		a, k := start(t), newTask(1, owner, creates("a", "b"))
		a.inject(t, faults.Rule{Action: record, Skip: 1, Fault: faults.Fault{Answer: faults.Error, Code: "InvalidParameter"}})
		a.refuses(t, k, fault.Invalid, "InvalidParameter")
		same(t, "ESA has", a.bound(t), []string{"a"})
		return a, k
	}
	again := func(k *task, number int64) *task { k.Number = number; return k }
	t.Run("goes on where it stopped if nothing was changed, without a call about what is done", func(t *testing.T) {
		a, k := dead(t)
		before := a.Faults().Count(record) + a.Faults().Count(list)
		a.does(t, k)
		same(t, "ESA has", a.bound(t), []string{"a", "b"})
		same(t, "calls", a.Faults().Count(record)+a.Faults().Count(list), before+1)
	})
	t.Run("binds again what was unbound since", func(t *testing.T) {
		a, k := dead(t)
		a.does(t, newTask(2, owner, unbinds("a")))
		a.does(t, again(k, 3))
		same(t, "ESA has", a.bound(t), []string{"a", "b"})
	})
	t.Run("makes again what was deleted since, with all its host names", func(t *testing.T) {
		a, k := dead(t)
		a.does(t, deletes(2))
		result := a.does(t, again(k, 3))
		same(t, "ESA has", a.bound(t), []string{"a", "b"})
		same(t, "host names", len(result.Records), 2)
	})
	t.Run("makes again what somebody else has deleted, with all its host names", func(t *testing.T) {
		a, k := dead(t)
		must(t, a.RemoveRoutine("pr-1"))
		result := a.does(t, k)
		same(t, "ESA has", a.bound(t), []string{"b", "a"}) // it is told by b that the routine is gone
		same(t, "host names", len(result.Records), 2)
	})
	t.Run("as a newer intent keeps all its host names from an older deletion", func(t *testing.T) {
		a, k := dead(t)
		a.does(t, again(k, 3))
		a.passes(t, deletes(2), "job-1")
		same(t, "ESA has", a.bound(t), []string{"a", "b"})
	})
	t.Run("does not take for its own work what an older intent has described otherwise since", func(t *testing.T) {
		a, k := start(t), newTask(1, owner, with(creates("a", "b"), func(req *routine.Request) { req.Description = ptr("ours") }))
		a.inject(t, faults.Rule{Action: record, Skip: 1, Fault: faults.Fault{Answer: faults.Error, Code: "InvalidParameter"}})
		a.refuses(t, k, fault.Invalid, "InvalidParameter")
		a.does(t, newTask(2, owner, with(creates("a"), func(req *routine.Request) { req.Description, req.IfExists = ptr("newer"), routine.Update })))
		older := *k
		a.does(t, &older)
		a.refuses(t, again(k, 3), fault.Conflict, "RoutineAlreadyExist")
	})
	t.Run("finishes no deletion behind which another worker has bound a host name for a newer intent", func(t *testing.T) {
		a := made(t, "a")
		a.lose(t, remove, false)
		a.refuses(t, deletes(2), fault.Unavailable, broke)
		same(t, "claim", a.claimed(), "deleting owned ci")
		a.book.put(routine.RecordClaim{
			Routine: "pr-1", RecordName: "b.example.com", SiteID: localtest.SiteID, RecordID: a.outsider(t, "b"), State: routine.Live,
			Ownership: routine.Owned, Caller: owner, Number: 3, JobID: "job-3",
		})
		a.clock.Advance(2 * timeout)
		a.does(t, newTask(4, owner, creates("c")))
		same(t, "claim", a.claimed(), "live owned ci")
		same(t, "ESA has", a.bound(t), []string{"b", "c"})
	})
	t.Run("keeps what it binds from a deletion that another worker has begun with", func(t *testing.T) {
		for _, k := range []*task{deletes(2), newTask(2, owner, unbinds("a"))} {
			a := made(t, "a")
			claims := a.book.claims(k.Request)
			write := claims.Change
			claims.Change = func(ctx context.Context, changes provision.Changes) error {
				if changes.Records != nil && k.Request.Action == routine.Delete || a.book.record("pr-1", "a.example.com").Leaving {
					newer := a.book.record("pr-1", "a.example.com")
					newer.Number, newer.JobID, newer.Leaving = 3, "job-3", false
					a.book.put(newer)
				}
				return write(ctx, changes)
			}
			_, err := a.workflow.Run(t.Context(), k.Job, &k.progress, claims, &provision.Known{}, recorded)
			var superseded *provision.Superseded
			if !errors.As(err, &superseded) || superseded.By != "job-3" {
				t.Errorf("%s: %v", k.Request.Action, err)
			}
			same(t, "ESA has", a.bound(t), []string{"a"})
		}
	})
	t.Run("judges a routine that was made again since as the first round did", func(t *testing.T) {
		a, k := dead(t)
		a.does(t, deletes(2))
		a.clock.Advance(2 * time.Second)
		a.does(t, newTask(3, other, with(creates("c"), func(req *routine.Request) { req.Description = ptr("theirs") })))
		k.Request.Description = ptr("ours")
		a.refuses(t, again(k, 4), fault.Conflict, "RoutineAlreadyExist")
	})
}
