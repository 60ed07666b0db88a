package provision_test

import (
	"context"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

// before lets something happen right before the next call of an action.
func (a account) before(action string, happens func()) {
	a.Faults().SetHook(func(_ context.Context, call faults.Call, _ func()) (faults.Fault, bool) {
		if call.Action == action {
			a.Faults().SetHook(nil)
			happens()
		}
		return faults.Fault{}, false
	})
}

// late loses the answer to the next call of an action, which takes effect once the returned function is called.
func (a account) late(action string) (lands func()) {
	a.Faults().SetHook(func(_ context.Context, call faults.Call, effect func()) (faults.Fault, bool) {
		if call.Action != action {
			return faults.Fault{}, false
		}
		a.Faults().SetHook(nil)
		lands = effect
		return faults.Fault{Answer: faults.Reset}, true
	})
	return func() { lands() }
}

// afterCalls is longer than a call can take.
const afterCalls = timeout + 2*time.Second

func TestOrderOfCode(t *testing.T) {
	t.Run("code that is live is not taken for settled while an older deployment of other code may take effect", func(t *testing.T) {
		a := start(t)
		a.does(t, codes(1, "one"))
		lands := a.late(deployment)
		a.refuses(t, codes(2, "two"), fault.Unavailable, broke)
		newer := codes(3, "one")
		a.refuses(t, newer, fault.Locked, provision.CodeCallOpen)
		lands()
		a.clock.Advance(afterCalls)
		a.does(t, newer)
		a.wantLive(t, "one", "one")
	})
	t.Run("a job corrected to other code waits for the deployment of before", func(t *testing.T) {
		a := start(t)
		lands := a.late(deployment)
		a.refuses(t, codes(1, "one"), fault.Unavailable, broke)
		corrected := codes(1, "two")
		corrected.Number = 2
		a.refuses(t, corrected, fault.Locked, provision.CodeCallOpen)
		lands()
		a.clock.Advance(afterCalls)
		a.does(t, corrected)
		a.wantLive(t, "two", "two")
	})
	t.Run("an environment that a newer intent takes over at the same moment is left alone", func(t *testing.T) {
		a := start(t)
		a.does(t, codes(1, "three"))
		a.does(t, codes(2, "one"))
		a.before(readCode, func() { // another worker is at work on the newer one
			a.does(t, codes(4, "three", routine.Production))
		})
		result := a.does(t, codes(3, "two"))
		a.wantLive(t, "two", "three")
		same(t, "outcomes", []routine.Outcome{result.Code[0].Outcome, result.Code[1].Outcome}, []routine.Outcome{routine.Created, routine.Passed})
		same(t, "superseded by", result.Code[1].SupersededBy, "job-4")
		same(t, "job", a.book.routine("pr-1").DeployedTo(routine.Production).JobID, "job-4")
	})
	t.Run("a rollback leaves an environment alone that a newer intent is about by now", func(t *testing.T) {
		a := start(t)
		a.does(t, codes(1, "one"))
		a.does(t, codes(2, "two"))
		k := rollsBack(3, routine.Previous)
		a.lose(t, deployment, false)
		a.refuses(t, k, fault.Unavailable, broke)
		a.clock.Advance(afterCalls)
		a.does(t, codes(4, "four", routine.Production))
		a.does(t, k)
		a.wantLive(t, "one", "four")
	})
	t.Run("what others deployed is the previous, also if the same code is deployed over it", func(t *testing.T) {
		a := start(t)
		a.does(t, codes(1, "one"))
		a.does(t, codes(2, "two"))
		_, err := a.PlantVersion("pr-1", "by hand", []byte("theirs"), "staging", "production")
		must(t, err)
		a.does(t, codes(3, "two"))
		a.does(t, rollsBack(4, routine.Previous))
		a.wantLive(t, "theirs", "theirs")
	})
	t.Run("a commit that may still take effect is waited for, and its version is used", func(t *testing.T) {
		a := start(t)
		k := codes(1, "one")
		lands := a.late(commit)
		a.refuses(t, k, fault.Unavailable, broke)
		a.refuses(t, k, fault.Locked, provision.CodeCallOpen)
		lands()
		a.does(t, k)
		same(t, "versions", a.made(t), 1)
		a.wantLive(t, "one", "one")
	})
	t.Run("an upload of which nobody knows what became is tried again at once", func(t *testing.T) {
		for _, action := range []string{uploadInfo, postObject} {
			a := start(t)
			k := codes(1, "one")
			a.lose(t, action, true)
			a.refuses(t, k, fault.Unavailable, broke)
			a.does(t, k)
			a.wantLive(t, "one", "one")
		}
	})
	t.Run("two workers at the same job make one version", func(t *testing.T) {
		for _, action := range []string{plans, readCode} {
			a := start(t)
			a.does(t, newTask(0, owner, creates("www")))
			a.before(action, func() { // of readCode the first worker has committed and not said so yet
				if action == plans {
					a.does(t, codes(1, "one"))
				} else {
					a.refuses(t, codes(1, "one"), fault.Locked, provision.CodeCallOpen)
				}
			})
			k := codes(1, "one")
			if action == plans {
				a.refuses(t, k, fault.Locked, provision.CodeCallOpen)
			}
			a.does(t, k)
			same(t, "versions", a.made(t), 1)
			same(t, "versions of ours", len(a.book.routine("pr-1").Versions), 1)
		}
	})
	t.Run("what went live is in the claim, also if the other environment failed", func(t *testing.T) {
		a := start(t)
		a.inject(t, faults.Rule{Action: deployment, Match: map[string]string{"Env": "production"}, Fault: faults.Fault{Answer: faults.Error, Code: "InvalidParameter"}})
		a.refuses(t, codes(1, "one"), fault.Invalid, "InvalidParameter")
		a.wantLive(t, "one", "-")
		same(t, "claimed", a.book.routine("pr-1").DeployedTo(routine.Staging).SHA256, routine.NewCode([]byte("one")).SHA256)
		same(t, "claimed", a.book.routine("pr-1").DeployedTo(routine.Production).SHA256, "")
	})
	t.Run("code is deployed again to a routine that another job has made again", func(t *testing.T) {
		a := start(t)
		k := codes(1, "one")
		a.lose(t, record, false)
		a.refuses(t, k, fault.Unavailable, broke)
		must(t, a.RemoveRoutine("pr-1"))
		a.clock.Advance(afterCalls)
		a.does(t, newTask(2, owner, creates("www")))
		a.wantLive(t, "-", "-")
		a.does(t, k)
		a.wantLive(t, "one", "one")
	})
	t.Run("a version that somebody deploys or deletes while room is made is passed over", func(t *testing.T) {
		for _, gone := range []bool{false, true} {
			a := start(t)
			must(t, a.SetAccount(accountOf(4)))
			for n, source := range []string{"1", "2", "3", "4"} {
				a.does(t, codes(n+1, source))
			}
			state, err := a.State()
			must(t, err)
			oldest := state.Routines[0].Versions[3].CodeVersion
			a.before(removeVersion, func() {
				if gone {
					must(t, a.RemoveVersion("pr-1", oldest))
				} else {
					must(t, a.DeployVersion("pr-1", oldest, "staging"))
				}
			})
			a.does(t, codes(5, "5"))
			a.wantLive(t, "5", "5")
		}
	})
}

const removeVersion = "DeleteRoutineCodeVersion"

func accountOf(versions int) esaemu.AccountChange {
	return esaemu.AccountChange{VersionQuota: &versions}
}
