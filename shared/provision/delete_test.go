package provision_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

// deletes is a deletion of pr-1 by its owner.
func deletes(n int) *task { return newTask(n, owner, asks(routine.Delete)) }

// made is an account in which the owner's job 1 has made pr-1 with host names.
func made(t *testing.T, hosts ...string) account {
	t.Helper()
	a := start(t)
	a.does(t, newTask(1, owner, creates(hosts...)))
	a.Faults().Reset()
	return a
}

// keeps checks that nothing was deleted.
func (a account) keeps(t *testing.T) {
	t.Helper()
	same(t, "deletions", a.Faults().Count(remove)+a.Faults().Count(unbind), 0)
}

// document is an answer that ESA makes without doing what it was called for.
func document(body string) faults.Fault {
	return faults.Fault{Answer: faults.Document, Body: body}
}

func TestDelete(t *testing.T) {
	t.Run("unbinds the own host names, then deletes the routine, and reads back that each is gone", func(t *testing.T) {
		a := made(t, "a", "b")
		result := a.does(t, deletes(2))
		same(t, "calls", a.calls(), []string{get, routes, list, unbind, list, unbind, list, get, remove, get})
		same(t, "ESA has", a.holds(t), nil)
		same(t, "outcome", result.Routine, routine.Deleted)
		if len(result.Records) != 2 || result.Records[0].Outcome != routine.Deleted {
			t.Errorf("records %+v", result.Records)
		}
	})
	t.Run("leaves tombstones, which remember the intents and whose it was", func(t *testing.T) {
		a := made(t, "a")
		a.does(t, deletes(2))
		same(t, "routine", a.book.routine("pr-1"), routine.Claim{
			Name: "pr-1", State: routine.Gone, Caller: owner, CreateTime: a.clock.Now(), CreateNumber: 1, CreateJob: "job-1", DeleteNumber: 2, DeleteJob: "job-2",
			SeenAt: a.clock.Now(), ChangedAt: a.clock.Now(),
		})
		same(t, "host name", a.claimedHost("a"), "gone owned ci")
	})
	t.Run("is done if the routine is not there, with no write", func(t *testing.T) {
		a := made(t, "a")
		must(t, a.RemoveRoutine("pr-1"))
		same(t, "outcome", a.does(t, deletes(2)).Routine, routine.Absent)
		a.keeps(t)
		same(t, "claims", []string{a.claimed(), a.claimedHost("a")}, []string{"gone  ci", "gone owned ci"})
	})
	t.Run("is done if a record is not there any more", func(t *testing.T) {
		a, k := made(t, "a"), deletes(2)
		_, err := a.runJob(t.Context(), k.Job, &k.progress, &provision.Known{}, func(context.Context, routine.Progress) error {
			return a.RemoveRecord(a.book.record("pr-1", "a.example.com").RecordID)
		})
		must(t, err)
		same(t, "ESA has", a.holds(t), nil)
	})
	t.Run("makes room for the name: a newer job makes another one", func(t *testing.T) {
		a := made(t, "a")
		a.does(t, deletes(2))
		result := a.does(t, newTask(3, other, creates("a")))
		same(t, "outcome", outcome{result.Routine, result.Record}, outcome{routine.Created, routine.Created})
		same(t, "claim", a.claimed(), "live owned web")
	})
	t.Run("is off where the deployment does not delete: nothing is asked", func(t *testing.T) {
		a := made(t, "a")
		a.workflow.MayDelete = false
		a.refuses(t, deletes(2), fault.Denied, provision.CodeDeletionOff)
		same(t, "calls", a.calls(), nil)
	})
	t.Run("walks all pages of records", func(t *testing.T) {
		var hosts []string
		for n := range 20 {
			hosts = append(hosts, fmt.Sprintf("h%d", n))
		}
		a := made(t, hosts...)
		a.does(t, newTask(2, owner, creates("a", "b", "c")))
		result := a.does(t, deletes(3))
		same(t, "ESA has", a.holds(t), nil)
		same(t, "records that are told, and how many more", []int{len(result.Records), result.More}, []int{routine.MaxRecords, 3})
	})
}

// TestTwoKeys: a deletion needs the claim and the routine of the claim's CreateTime, read right before.
func TestTwoKeys(t *testing.T) {
	for name, test := range map[string]struct {
		before func(*testing.T, account)
		says   string
	}{
		"nobody here made": {func(t *testing.T, a account) { a.plant(t, -time.Hour) }, "was not made by Routinely"},
		"was there before": {
			func(t *testing.T, a account) { a.plant(t, -time.Hour); a.does(t, newTask(1, owner, creates("a"))) }, "its claim is adopted",
		},
		"is unproven": {
			func(t *testing.T, a account) {
				a.lose(t, create, false)
				a.refuses(t, newTask(1, owner, creates("a")), fault.Unavailable, broke)
				a.plant(t, timeout+2*time.Second)
				a.does(t, newTask(2, owner, creates("a")))
			}, "its claim is unproven",
		},
		"was made again by somebody else": {
			func(t *testing.T, a account) { a.does(t, newTask(1, owner, creates("a"))); a.madeAgain(t) }, "was made again by somebody else",
		},
		"somebody made after it was deleted": {
			func(t *testing.T, a account) {
				a.does(t, newTask(1, owner, creates("a")))
				a.does(t, deletes(2))
				a.plant(t, time.Minute)
			}, "was not made by Routinely",
		},
	} {
		t.Run("one that "+name+" stays", func(t *testing.T) {
			a := start(t)
			test.before(t, a)
			a.Faults().Reset()
			failure := a.refuses(t, deletes(9), fault.Conflict, provision.CodeNotOwned)
			a.keeps(t)
			if !strings.Contains(failure.Message, test.says) || failure.RequestID == "" {
				t.Errorf("got %+v", failure)
			}
		})
	}
	t.Run("one that somebody makes again between the records and the routine stays", func(t *testing.T) {
		a, k := made(t, "a"), deletes(2)
		_, err := a.runJob(t.Context(), k.Job, &k.progress, &provision.Known{}, func(context.Context, routine.Progress) error {
			a.madeAgain(t)
			return nil
		})
		if !fault.HasCode(err, provision.CodeNotOwned) {
			t.Errorf("got %v", err)
		}
		same(t, "deletions", a.Faults().Count(remove), 0)
	})
	t.Run("one that another caller owns stays, but for the scope operate", func(t *testing.T) {
		a := made(t, "a")
		a.refuses(t, newTask(2, other, asks(routine.Delete)), fault.Denied, provision.CodeNotOwner)
		a.keeps(t)
		a.does(t, newTask(3, other, asks(routine.Delete)).operating())
		same(t, "ESA has", a.holds(t), nil)
	})
}

// TestForeign: nothing goes with a routine that is not owned by its claim.
func TestForeign(t *testing.T) {
	t.Run("a record that nobody claims is looked at again for ten minutes, then it refuses the deletion, named", func(t *testing.T) {
		a, k := made(t, "a"), deletes(2)
		a.outsider(t, "b")
		if failure := a.refuses(t, k, fault.Throttled, provision.CodeForeign); failure.RetryAfter <= 0 || failure.RetryAfter > 10*time.Minute {
			t.Errorf("again after %s", failure.RetryAfter)
		}
		a.clock.Advance(9 * time.Minute)
		a.refuses(t, k, fault.Throttled, provision.CodeForeign)
		a.clock.Advance(time.Minute)
		failure := a.refuses(t, k, fault.Conflict, provision.CodeForeign)
		if !strings.Contains(failure.Message, "record b.example.com of site") || strings.Contains(failure.Message, "a.example.com") {
			t.Errorf("message %q", failure.Message)
		}
		a.keeps(t)
	})
	t.Run("a record whose claim comes meanwhile goes with it", func(t *testing.T) {
		a, k := made(t, "a"), deletes(3)
		a.lose(t, record, true)
		a.inject(t, faults.Rule{Action: list, Fault: faults.Fault{Answer: faults.HTML}})
		binds := newTask(2, owner, creates("b"))
		a.refuses(t, binds, fault.Unavailable, broke)
		a.clock.Advance(2 * timeout)
		a.refuses(t, k, fault.Throttled, provision.CodeForeign)
		a.does(t, newTask(4, owner, asks(routine.TakeOwnership)).operating())
		a.does(t, deletes(5))
		same(t, "ESA has", a.holds(t), nil)
	})
	t.Run("the time begins again once there is none", func(t *testing.T) {
		a, k := made(t, "a"), deletes(2)
		id := a.outsider(t, "b")
		a.refuses(t, k, fault.Throttled, provision.CodeForeign)
		must(t, a.RemoveRecord(id))
		a.inject(t, faults.Rule{Action: unbind, Fault: faults.Fault{Answer: faults.Error, Code: "UserOperationStatusIsLocked"}})
		a.refuses(t, k, fault.Locked, "UserOperationStatusIsLocked")
		a.clock.Advance(time.Hour)
		a.outsider(t, "c")
		a.refuses(t, k, fault.Throttled, provision.CodeForeign)
	})
	t.Run("a record that was adopted refuses it at once", func(t *testing.T) {
		a := made(t, "a")
		a.outsider(t, "b")
		a.does(t, newTask(2, owner, creates("b")))
		a.refuses(t, deletes(3), fault.Conflict, provision.CodeForeign)
		a.keeps(t)
	})
	t.Run("a record that was made again by somebody else refuses it", func(t *testing.T) {
		a := made(t, "a")
		must(t, a.RemoveRecord(a.book.record("pr-1", "a.example.com").RecordID))
		a.outsider(t, "a")
		a.refuses(t, deletes(2), fault.Conflict, provision.CodeForeign)
		a.keeps(t)
	})
	t.Run("another caller's own record goes with it: it is claimed as owned", func(t *testing.T) {
		a := made(t, "a")
		a.does(t, newTask(2, other, creates("b")))
		a.does(t, deletes(3))
		same(t, "ESA has", a.holds(t), nil)
	})
	t.Run("a route refuses it at once, named: Routinely makes none", func(t *testing.T) {
		a := made(t, "a")
		_, err := a.PlantRoute(esaemu.Route{SiteID: localtest.SiteID, Routine: "pr-1", Name: "checkout"})
		must(t, err)
		failure := a.refuses(t, deletes(2), fault.Conflict, provision.CodeForeign)
		if !strings.Contains(failure.Message, `route "checkout" of site`) {
			t.Errorf("message %q", failure.Message)
		}
		a.keeps(t)
	})
	t.Run("of many the first are named, and how many more there are", func(t *testing.T) {
		a := made(t, "a")
		for n := range 7 {
			a.outsider(t, fmt.Sprintf("h%d", n))
		}
		failure := a.refuses(t, deletes(2), fault.Throttled, provision.CodeForeign)
		if !strings.HasSuffix(failure.Message, " and 2 more") {
			t.Errorf("message %q", failure.Message)
		}
	})
	for action, body := range map[string]string{
		list:   `{"TotalCount":2,"RelatedRecords":[]}`,
		routes: `{"TotalCount":1,"Configs":[]}`,
	} {
		t.Run("an answer to "+action+" that is not the whole list refuses it: nothing is deleted on a part", func(t *testing.T) {
			a := made(t, "a")
			a.inject(t, faults.Rule{Action: action, Fault: document(body)})
			a.refuses(t, deletes(2), fault.Unavailable, esa.CodeIncompleteList)
			a.keeps(t)
		})
		t.Run("an answer to "+action+" that does not come refuses it", func(t *testing.T) {
			a := made(t, "a")
			a.inject(t, faults.Rule{Action: action, Fault: faults.Fault{Answer: faults.Reset}})
			a.refuses(t, deletes(2), fault.Unavailable, broke)
			a.keeps(t)
		})
	}
}

// TestDeletionThatFails is about calls that ESA refuses, or whose answers are lost.
func TestDeletionThatFails(t *testing.T) {
	refusal := faults.Fault{Answer: faults.Error, Code: "InvalidParameter"}
	t.Run("a routine that ESA does not delete is live again, with the reason", func(t *testing.T) {
		a := made(t, "a")
		a.inject(t, faults.Rule{Action: remove, Fault: refusal})
		a.refuses(t, deletes(2), fault.Invalid, "InvalidParameter")
		same(t, "claim", a.claimed(), "live owned ci")
		same(t, "reason", a.book.routine("pr-1").Reason, "InvalidParameter")
	})
	for _, action := range []string{unbind, remove} {
		for _, effective := range []bool{true, false} {
			t.Run(fmt.Sprintf("a lost answer to %s, after its effect: %t, is settled by the next attempt", action, effective), func(t *testing.T) {
				a, k := made(t, "a"), deletes(2)
				a.lose(t, action, effective)
				a.refuses(t, k, fault.Unavailable, broke)
				same(t, "claim", a.claimed(), map[string]string{unbind: "live owned ci", remove: "deleting owned ci"}[action])
				same(t, "outcome", a.does(t, k).Routine, routine.Deleted)
				same(t, "ESA has", a.holds(t), nil)
				same(t, "deletions", a.Faults().Count(action), map[bool]int{true: 1, false: 2}[effective])
			})
		}
	}
	t.Run("that absence cannot be read back leaves it deleting, until that is possible", func(t *testing.T) {
		a, k := made(t, "a"), deletes(2)
		a.inject(t, faults.Rule{Action: get, Skip: 2, Fault: faults.Fault{Answer: faults.HTML}})
		a.refuses(t, k, fault.Unavailable, "HTTP502")
		same(t, "claim", a.claimed(), "deleting owned ci")
		same(t, "outcome", a.does(t, k).Routine, routine.Deleted)
	})
	for _, action := range []string{unbind, remove} {
		t.Run("what ESA still shows after "+action+" is not gone", func(t *testing.T) {
			a, k := made(t, "a"), deletes(2)
			a.inject(t, faults.Rule{Action: action, Fault: document(`{"Status":"OK"}`)})
			failure := a.refuses(t, k, fault.Unavailable, provision.CodeNotGone)
			same(t, "step", failure.Step, action)
			a.does(t, k)
			same(t, "ESA has", a.holds(t), nil)
		})
	}
	t.Run("one that is there again as another one after the call is gone", func(t *testing.T) {
		a := made(t, "a")
		a.inject(t, faults.Rule{Action: get, Skip: 2, Fault: document(`{"CreateTime":"2020-01-01T00:00:00Z"}`)})
		same(t, "outcome", a.does(t, deletes(2)).Routine, routine.Deleted)
	})
	t.Run("a step that does not fit is not begun, and what is done stays done", func(t *testing.T) {
		a, k := made(t, "a", "b"), deletes(2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := a.runJob(ctx, k.Job, &k.progress, &provision.Known{}, func(context.Context, routine.Progress) error {
			a.workflow.StepTime = time.Hour
			return nil
		})
		if !fault.HasCode(err, provision.CodeNoTime) {
			t.Errorf("got %v", err)
		}
		same(t, "calls", slices.DeleteFunc(a.calls(), func(action string) bool { return action != unbind && action != remove }), []string{unbind})
		a.workflow.StepTime = time.Millisecond
		a.does(t, k)
		same(t, "ESA has", a.holds(t), nil)
	})
}
