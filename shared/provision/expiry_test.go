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

// lives asks for pr-1 with host names, for so many hours.
func lives(hours int, hosts ...string) routine.Request {
	return with(creates(hosts...), func(r *routine.Request) { r.ExpiresIn = routine.Span(hours) * routine.Span(time.Hour) })
}

// renews is the renewal of pr-1 by its owner, for so many hours from now.
func renews(n, hours int) *task {
	return newTask(n, owner, with(asks(routine.Renew), func(r *routine.Request) { r.ExpiresIn = routine.Span(hours) * routine.Span(time.Hour) }))
}

// expires is the janitor's job that unbinds the host names of pr-1, and removes is the one that deletes it.
func expires(n int) *task {
	return newTask(n, routine.JanitorCaller, asks(routine.Expire)).operating()
}

func removes(n int) *task {
	return newTask(n, routine.JanitorCaller, asks(routine.Remove)).operating()
}

// over is an account in which the time of the owner's pr-1 is over, as the janitor has seen.
func over(t *testing.T, hosts ...string) account {
	t.Helper()
	a := start(t)
	a.does(t, newTask(1, owner, lives(1, hosts...)))
	a.clock.Advance(time.Hour)
	claim := a.book.routine("pr-1")
	claim.Expiry = &routine.Expiry{SeenAt: a.clock.Now()}
	a.book.routines["pr-1"] = claim
	a.Faults().Reset()
	return a
}

// hoursLeft is how long pr-1 is to live, in whole hours; 0 if for ever.
func (a account) hoursLeft() int {
	end := a.book.routine("pr-1").ExpiresAt
	if end.IsZero() {
		return 0
	}
	return int(end.Sub(a.clock.Now()).Hours())
}

// TestTimeToLive is about how the end of a routine's time is set by submits and renewals.
func TestTimeToLive(t *testing.T) {
	t.Run("runs from the end of the job that makes the routine, and the result tells it", func(t *testing.T) {
		a := start(t)
		result := a.does(t, newTask(1, owner, lives(2, "a")))
		same(t, "end", result.ExpiresAt, a.clock.Now().Add(2*time.Hour))
		same(t, "job of the end", a.book.routine("pr-1").ExpiryJob, "job-1")
	})
	for name, test := range map[string]struct {
		made, asked routine.Request
		want        int
	}{
		"a longer one is taken":                   {lives(2, "a"), lives(5, "b"), 5},
		"a shorter one makes no life shorter":     {lives(2, "a"), lives(1, "b"), 2},
		"one without leaves the end":              {lives(2, "a"), creates("b"), 2},
		"one for a routine that lives for ever":   {creates("a"), lives(1, "b"), 0},
		"one without for one that lives for ever": {creates("a"), creates("b"), 0},
	} {
		t.Run("of a later submit: "+name, func(t *testing.T) {
			a := start(t)
			a.does(t, newTask(1, owner, test.made))
			a.does(t, newTask(2, owner, test.asked))
			same(t, "hours", a.hoursLeft(), test.want)
		})
	}
	t.Run("is not set for a routine that was there before: only what is owned ends", func(t *testing.T) {
		a := start(t)
		a.plant(t, -time.Hour)
		a.does(t, newTask(1, owner, lives(1, "a")))
		same(t, "hours", a.hoursLeft(), 0)
	})
	t.Run("is gone with the routine: the next one lives as long as is asked for it", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(1, owner, lives(1, "a")))
		a.does(t, deletes(2))
		a.does(t, newTask(3, owner, creates("a")))
		same(t, "hours", a.hoursLeft(), 0)
	})
	t.Run("a renewal sets it from now, and may set it for a routine that would live for ever", func(t *testing.T) {
		a := made(t, "a")
		result := a.does(t, renews(2, 3))
		same(t, "outcome", result.Routine, routine.Renewed)
		same(t, "end", result.ExpiresAt, a.clock.Now().Add(3*time.Hour))
	})
	t.Run("an older submit or renewal does not change a newer end", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(1, owner, lives(1, "a")))
		a.does(t, renews(4, 2))
		a.does(t, newTask(2, owner, lives(9, "b")))
		a.passes(t, renews(3, 9), "job-4")
		same(t, "hours", a.hoursLeft(), 2)
	})
	t.Run("a renewal of another caller is refused, but for the scope operate", func(t *testing.T) {
		a := made(t, "a")
		k := renews(2, 3)
		k.Caller = other
		a.refuses(t, k, fault.Denied, provision.CodeNotOwner)
		same(t, "hours", a.hoursLeft(), 0)
		a.does(t, k.operating())
	})
	for name, before := range map[string]func(*testing.T, account){
		"that is not owned":                    func(t *testing.T, a account) { a.plant(t, -time.Hour) },
		"that was made again by somebody else": func(t *testing.T, a account) { a.does(t, newTask(1, owner, creates("a"))); a.madeAgain(t) },
		"that is deleted, and was made by others": func(t *testing.T, a account) {
			a.does(t, newTask(1, owner, creates("a")))
			a.does(t, deletes(2))
			a.plant(t, 0)
		},
	} {
		t.Run("a renewal of a routine "+name+" is refused", func(t *testing.T) {
			a := start(t)
			before(t, a)
			a.refuses(t, renews(5, 3), fault.Conflict, provision.CodeNotOwned)
			same(t, "hours", a.hoursLeft(), 0)
		})
	}
	t.Run("a renewal of a routine that is not there is refused", func(t *testing.T) {
		a := made(t, "a")
		must(t, a.RemoveRoutine("pr-1"))
		a.refuses(t, renews(2, 3), fault.NotFound, esa.CodeRoutineNotExist)
	})
	t.Run("a renewal leaves a deletion that was begun as it is", func(t *testing.T) {
		a := made(t, "a")
		a.lose(t, remove, false)
		a.refuses(t, deletes(2), fault.Unavailable, broke)
		a.does(t, renews(3, 3))
		same(t, "claim", a.claimed(), "deleting owned ci")
	})
}

// TestExpire is about the end of a routine's time: its host names are unbound, and it stays for a while.
func TestExpire(t *testing.T) {
	t.Run("unbinds the own host names and keeps the routine, and the claims say so", func(t *testing.T) {
		a := over(t, "a", "b")
		result := a.does(t, expires(2))
		same(t, "records", len(result.Records), 2)
		same(t, "ESA has", a.holds(t), []string{"pr-1"})
		same(t, "claim", a.claimed(), "expiring owned ci")
		same(t, "unbound at", a.book.routine("pr-1").Expiry.UnboundAt, a.clock.Now())
		same(t, "may be bound again", a.book.record("pr-1", "a.example.com").Expired, true)
	})
	t.Run("leaves a host name that is not owned", func(t *testing.T) {
		a := over(t, "a")
		a.outsider(t, "b")
		a.does(t, expires(2))
		same(t, "ESA has", a.bound(t), []string{"b"})
	})
	t.Run("is told that the routine is gone", func(t *testing.T) {
		a := over(t, "a")
		must(t, a.RemoveRoutine("pr-1"))
		same(t, "outcome", a.does(t, expires(2)).Routine, routine.Absent)
		same(t, "claim", a.claimed(), "gone  ci")
	})
	t.Run("goes on after a call that failed", func(t *testing.T) {
		a, k := over(t, "a", "b"), expires(2)
		a.inject(t, faults.Rule{Action: unbind, Skip: 1, Fault: faults.Fault{Answer: faults.Error, Code: "UserOperationStatusIsLocked"}})
		a.refuses(t, k, fault.Locked, "UserOperationStatusIsLocked")
		a.does(t, k)
		same(t, "ESA has", a.bound(t), nil)
	})
	for name, test := range map[string]struct {
		meanwhile func(*testing.T, account)
		by        string
	}{
		"a renewal":               {func(t *testing.T, a account) { a.does(t, renews(3, 1)) }, "job-3"},
		"a renewal that is older": {func(t *testing.T, a account) { k := renews(2, 1); k.ID = "job-r"; a.does(t, k) }, "job-r"},
		"a renewal that is over too": {
			func(t *testing.T, a account) { a.does(t, renews(3, 1)); a.clock.Advance(2 * time.Hour) }, "job-3",
		},
		"a submit with a later end": {func(t *testing.T, a account) { a.does(t, newTask(3, owner, lives(1, "a"))) }, "job-3"},
		"a newer host name":         {func(t *testing.T, a account) { a.does(t, newTask(3, other, creates("b"))) }, "job-3"},
		"a newer create of a deleted name": {func(t *testing.T, a account) {
			must(t, a.RemoveRoutine("pr-1"))
			a.does(t, newTask(3, owner, creates("a")))
		}, "job-3"},
	} {
		t.Run("loses against "+name, func(t *testing.T) {
			a := over(t, "a")
			test.meanwhile(t, a)
			a.passes(t, expires(2), test.by)
			if len(a.bound(t)) == 0 {
				t.Error("ESA has no host name")
			}
		})
	}
	for name, before := range map[string]func(*testing.T, account){
		"that is not over": func(t *testing.T, a account) { a.does(t, newTask(1, owner, lives(1, "a"))) },
		"that has no end":  func(t *testing.T, a account) { a.does(t, newTask(1, owner, creates("a"))) },
	} {
		t.Run("does nothing to a routine with a time "+name, func(t *testing.T) {
			a := start(t)
			before(t, a)
			a.passes(t, expires(2), "job-1")
		})
	}
	t.Run("names no job where no claim does", func(t *testing.T) {
		a := start(t)
		a.passes(t, expires(2), "")
		if _, err := a.try(t, expires(2)); err.Error() != "superseded: nothing is left to end" {
			t.Error(err)
		}
	})
	t.Run("does nothing to one that somebody made again", func(t *testing.T) {
		a := over(t, "a")
		a.madeAgain(t)
		a.outsider(t, "a")
		a.refuses(t, expires(2), fault.Conflict, provision.CodeNotOwned)
		a.keeps(t)
	})
	t.Run("is off where the deployment does not end routines by itself", func(t *testing.T) {
		a := over(t, "a")
		a.workflow.MayExpire = false
		a.refuses(t, expires(2), fault.Denied, provision.CodeDeletionOff)
		a.refuses(t, removes(3), fault.Denied, provision.CodeDeletionOff)
		a.keeps(t)
	})
}

// TestBoundAgain is about a routine whose host names were unbound since its time was over.
func TestBoundAgain(t *testing.T) {
	ended := func(t *testing.T, hosts ...string) account {
		a := over(t, hosts...)
		a.does(t, expires(2))
		a.Faults().Reset()
		return a
	}
	t.Run("a renewal binds them again", func(t *testing.T) {
		a := ended(t, "a", "b")
		result := a.does(t, renews(3, 1))
		same(t, "records", len(result.Records), 2)
		same(t, "bound", len(a.bound(t)), 2)
		same(t, "claim", a.claimed(), "live owned ci")
		same(t, "end of the end", a.book.routine("pr-1").Expiry, nil)
	})
	t.Run("each stays its caller's", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(1, owner, lives(1, "a")))
		a.does(t, newTask(2, other, creates("b")))
		a.clock.Advance(time.Hour)
		a.does(t, expires(3))
		a.does(t, renews(4, 1))
		same(t, "claims", []string{a.claimedHost("a"), a.claimedHost("b")}, []string{"live owned ci", "live owned web"})
	})
	t.Run("a renewal that fails on the way binds the rest in its next attempt", func(t *testing.T) {
		a, k := ended(t, "a", "b"), renews(3, 1)
		a.inject(t, faults.Rule{Action: record, Fault: faults.Fault{Answer: faults.Error, Code: "UserOperationStatusIsLocked"}})
		a.refuses(t, k, fault.Locked, "UserOperationStatusIsLocked")
		a.does(t, k)
		same(t, "bound", len(a.bound(t)), 2)
	})
	t.Run("one that was unbound for another reason stays unbound", func(t *testing.T) {
		a := over(t, "a", "b")
		a.does(t, newTask(2, owner, unbinds("b")))
		a.does(t, expires(3))
		a.does(t, renews(4, 1))
		same(t, "ESA has", a.bound(t), []string{"a"})
	})
	t.Run("one that somebody wants unbound since stays unbound", func(t *testing.T) {
		a := ended(t, "a", "b")
		host := a.book.record("pr-1", "b.example.com")
		host.Number, host.JobID, host.Leaving = 4, "job-4", true // accepted, and not carried out yet
		a.book.put(host)
		same(t, "records", len(a.does(t, renews(3, 1)).Records), 1)
		same(t, "ESA has", a.bound(t), []string{"a"})
	})
	t.Run("a submit with a later end binds them again too", func(t *testing.T) {
		a := ended(t, "a", "b")
		a.does(t, newTask(3, owner, lives(1, "c")))
		same(t, "bound", len(a.bound(t)), 3)
		same(t, "claim", a.claimed(), "live owned ci")
	})
	t.Run("a submit without one binds its own alone", func(t *testing.T) {
		a := ended(t, "a")
		a.does(t, newTask(3, owner, creates("c")))
		same(t, "ESA has", a.bound(t), []string{"c"})
	})
	t.Run("those of a routine that is deleted belong to nobody's renewal", func(t *testing.T) {
		a := ended(t, "a")
		a.does(t, removes(3))
		a.does(t, newTask(4, other, creates("c")))
		k := renews(5, 1)
		k.Caller = other
		a.does(t, k)
		same(t, "ESA has", a.bound(t), []string{"c"})
	})
}

// TestRemove is about a routine whose grace is over.
func TestRemove(t *testing.T) {
	ended := func(t *testing.T) account {
		a := over(t, "a")
		a.does(t, expires(2))
		a.Faults().Reset()
		return a
	}
	t.Run("deletes it", func(t *testing.T) {
		a := ended(t)
		same(t, "outcome", a.does(t, removes(3)).Routine, routine.Deleted)
		same(t, "ESA has", a.holds(t), nil)
		same(t, "claim", a.claimed(), "gone  ci")
	})
	t.Run("refuses foreign records as every deletion does", func(t *testing.T) {
		a := ended(t)
		a.outsider(t, "b")
		a.refuses(t, removes(3), fault.Throttled, provision.CodeForeign)
		a.keeps(t)
	})
	t.Run("loses against a renewal, and older intents hold again", func(t *testing.T) {
		a, k := over(t, "a"), removes(4)
		a.does(t, newTask(2, owner, unbinds("a"))) // nothing but the new time keeps the routine
		a.does(t, expires(3))
		a.inject(t, faults.Rule{Action: remove, Fault: faults.Fault{Answer: faults.Error, Code: "UserOperationStatusIsLocked"}})
		a.refuses(t, k, fault.Locked, "UserOperationStatusIsLocked")
		a.does(t, renews(5, 1))
		a.passes(t, k, "job-5")
		same(t, "ESA has", a.holds(t), []string{"pr-1"})
		same(t, "number of the deletion", a.book.routine("pr-1").DeleteNumber, 0)
	})
	t.Run("one that ESA refuses stays unbound and expiring", func(t *testing.T) {
		a := ended(t)
		a.inject(t, faults.Rule{Action: remove, Fault: faults.Fault{Answer: faults.Error, Code: "InvalidParameter"}})
		a.refuses(t, removes(3), fault.Invalid, "InvalidParameter")
		same(t, "claim", a.claimed(), "expiring owned ci")
	})
	t.Run("is finished once the call was made, whatever the answer was", func(t *testing.T) {
		a, k := ended(t), removes(3)
		a.lose(t, remove, true)
		a.refuses(t, k, fault.Unavailable, broke)
		same(t, "outcome", a.does(t, k).Routine, routine.Deleted)
	})
}
