package provision_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

// TestOwnership is about what the claims say after each way in which a routine and its record come to be there.
func TestOwnership(t *testing.T) {
	unreadable := faults.Fault{Answer: faults.Document, Body: `{"CreateTime":"just now"}`}
	for name, test := range map[string]struct {
		// before happens before the job.
		before func(*testing.T, account)
		rules  []faults.Rule
		// routine and record are the claims afterwards.
		routine, record string
	}{
		"made by an answered call": {routine: "live owned ci", record: "live owned ci"},
		"made by calls whose answers were lost": {
			rules: []faults.Rule{
				{Action: create, Fault: faults.Fault{Answer: faults.Reset, Execute: true}}, {Action: record, Fault: faults.Fault{Answer: faults.Reset, Execute: true}},
			},
			routine: "live owned ci", record: "live owned ci",
		},
		"there before": {before: func(t *testing.T, a account) { a.plant(t, -time.Hour) }, routine: "live adopted ci", record: "live owned ci"},
		"there before, bound too": {
			before:  func(t *testing.T, a account) { a.plant(t, -time.Hour); a.outsider(t, "a") },
			routine: "live adopted ci", record: "live adopted ci",
		},
		"there before, and the answer of the binding was lost": {
			before:  func(t *testing.T, a account) { a.plant(t, -time.Hour) },
			rules:   []faults.Rule{{Action: record, Fault: faults.Fault{Answer: faults.Reset, Execute: true}}},
			routine: "live adopted ci", record: "live unproven ci",
		},
		"made by a call, with a CreateTime that nobody can read": {
			rules:   []faults.Rule{{Action: get, Skip: 1, Fault: unreadable}},
			routine: "live unproven ci", record: "live owned ci",
		},
	} {
		t.Run("a routine that is "+name, func(t *testing.T) {
			a := start(t)
			if test.before != nil {
				test.before(t, a)
			}
			a.inject(t, test.rules...)
			a.does(t, newTask(1, owner, creates("a")))
			same(t, "claim of the routine", a.claimed(), test.routine)
			same(t, "claim of the host name", a.claimedHost("a"), test.record)
		})
	}
	t.Run("the claim has what tells the routine from others of its name, and the ids of the record", func(t *testing.T) {
		a := start(t)
		result := a.does(t, newTask(1, owner, with(creates("a"), func(r *routine.Request) { r.Description, r.HasAssets = ptr("shop"), ptr(true) })))
		claim, host := a.book.routine("pr-1"), a.book.record("pr-1", "a.example.com")
		same(t, "routine", claim, routine.Claim{
			Name: "pr-1", State: routine.Live, Ownership: routine.Owned, Caller: owner, CreateTime: a.clock.Now(), CreateNumber: 1, CreateJob: "job-1",
			DescriptionNumber: 1, Description: "shop", HasAssets: true, SeenAt: a.clock.Now(), ChangedAt: a.clock.Now(),
		})
		same(t, "host name", host, routine.RecordClaim{
			Routine: "pr-1", RecordName: "a.example.com", SiteID: creates("a").Records[0].SiteID, RecordID: result.RecordID, State: routine.Live,
			Ownership: routine.Owned, Caller: owner, Number: 1, JobID: "job-1", ChangedAt: a.clock.Now(),
		})
	})
	for _, moment := range []string{"between the look and the claim", "between the claim and the call"} {
		t.Run("a routine that another worker makes "+moment+" stays the other's", func(t *testing.T) {
			a, k := start(t), newTask(1, owner, creates("a"))
			meanwhile := func() {
				a.plant(t, 0)
				a.book.routines["pr-1"] = routine.Claim{
					Name: "pr-1", State: routine.Live, Ownership: routine.Owned, Caller: other, CreateTime: a.clock.Now(), CreateJob: "job-9", SeenAt: a.clock.Now(),
				}
			}
			begin := func(context.Context, routine.Progress) error { meanwhile(); return nil }
			if moment == "between the claim and the call" {
				begin = recorded
				a.Faults().SetHook(func(_ context.Context, call faults.Call, _ func()) (faults.Fault, bool) {
					if call.Action == create {
						meanwhile()
					}
					return faults.Fault{}, false
				})
			}
			if _, err := a.runJob(t.Context(), k.Job, &k.progress, &provision.Known{}, begin); err != nil && !fault.HasCode(err, provision.CodeCallOpen) {
				t.Fatal(err)
			}
			same(t, "claim", a.claimed(), "live owned web")
			same(t, "outcome", a.does(t, k).Routine, routine.Adopted)
			same(t, "claim", a.claimed(), "live owned web")
		})
	}
	t.Run("of two jobs whose calls had no answer one has made it", func(t *testing.T) {
		a, first, second := start(t), newTask(1, owner, creates("a")), newTask(2, owner, creates("b"))
		for _, k := range []*task{first, second} {
			a.inject(t, faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Reset, Execute: k == second}})
			a.inject(t, faults.Rule{Action: get, Skip: 1, Fault: faults.Fault{Answer: faults.HTML}})
			a.refuses(t, k, fault.Unavailable, broke)
		}
		outcomes := []routine.Outcome{a.does(t, first).Routine, a.does(t, second).Routine}
		same(t, "outcomes", outcomes, []routine.Outcome{routine.Adopted, routine.Created})
		same(t, "claim", a.claimed(), "live owned ci")
	})
	t.Run("a host name that another program bound after ESA refused ours for now is not owned, though another call's answer was lost", func(t *testing.T) {
		a, k := start(t), newTask(1, owner, creates("a", "b"))
		a.inject(t,
			faults.Rule{Action: record, Fault: faults.Fault{Answer: faults.Reset, Execute: true}},
			faults.Rule{Action: record, Fault: faults.Fault{Answer: faults.Error, Code: "UserOperationStatusIsLocked"}},
		)
		if _, err := a.try(t, k); !fault.HasKind(err, fault.Locked) {
			t.Fatal(err)
		}
		a.outsider(t, "b")
		a.does(t, k)
		same(t, "claim", a.claimedHost("a")+", "+a.claimedHost("b"), "live owned ci, live adopted ci")
	})
	t.Run("one that another program made between the look and the call is adopted, not owned", func(t *testing.T) {
		a, k := start(t), newTask(1, owner, creates("a"))
		_, err := a.runJob(t.Context(), k.Job, &k.progress, &provision.Known{}, func(context.Context, routine.Progress) error {
			a.plant(t, 0)
			return nil
		})
		must(t, err)
		same(t, "claim", a.claimed(), "live adopted ci")
	})
	t.Run("a record that another program bound while the job was away is adopted: the claim shows that no call was made for it", func(t *testing.T) {
		a, k := start(t), newTask(1, owner, creates("a"))
		a.does(t, newTask(1, owner, creates("b")))
		a.outsider(t, "a")
		k.progress = routine.Progress{Routine: routine.Created, RecordUnknown: true} // begun, and never settled
		a.does(t, k)
		same(t, "claim", a.claimedHost("a"), "live adopted ci")
	})
	t.Run("a record stays whose it is when another caller asks for it too", func(t *testing.T) {
		a := start(t)
		a.does(t, newTask(1, owner, creates("a")))
		a.does(t, newTask(2, other, creates("a")))
		same(t, "claim", a.claimedHost("a"), "live owned ci")
	})
	t.Run("a record that was removed by others is whose binds it again", func(t *testing.T) {
		a := start(t)
		result := a.does(t, newTask(1, owner, creates("a")))
		must(t, a.RemoveRecord(result.RecordID))
		a.does(t, newTask(2, other, creates("a")))
		same(t, "claim", a.claimedHost("a"), "live owned web")
	})
	t.Run("a record that ESA refuses for good is claimed no more", func(t *testing.T) {
		a := start(t)
		a.inject(t, faults.Rule{Action: record, Fault: faults.Fault{Answer: faults.Error, Code: "RelatedRecordNumberExceedQuotaLimit"}})
		a.refuses(t, newTask(1, owner, creates("a")), fault.Quota, "RelatedRecordNumberExceedQuotaLimit")
		same(t, "claim", a.claimedHost("a"), "gone  ci")
	})
	t.Run("a routine that ESA refuses for good is claimed no more", func(t *testing.T) {
		a := start(t)
		a.inject(t, faults.Rule{Action: create, Fault: faults.Fault{Answer: faults.Error, Code: esa.CodeRoutineQuota}})
		a.refuses(t, newTask(1, owner, creates("a")), fault.Quota, esa.CodeRoutineQuota)
		same(t, "claim", a.claimed(), "gone  ci")
	})
}

// abandoned leaves pr-1 made by a call of job 1, which had no answer and which nobody has looked at since.
func (a account) abandoned(t *testing.T) {
	t.Helper()
	a.lose(t, create, true)
	a.inject(t, faults.Rule{Action: get, Skip: 1, Fault: faults.Fault{Answer: faults.HTML}})
	a.refuses(t, newTask(1, owner, creates("a")), fault.Unavailable, broke)
}

// TestProofByAClaim is about a routine that a call of an earlier job has made.
func TestProofByAClaim(t *testing.T) {
	t.Run("it belongs to the caller of that job, and a later one adopts it", func(t *testing.T) {
		a := start(t)
		a.abandoned(t)
		same(t, "outcome", a.does(t, newTask(2, other, creates("b"))).Routine, routine.Adopted)
		same(t, "claim", a.claimed(), "live owned ci")
	})
	t.Run("a later job that says fail is refused", func(t *testing.T) {
		a := start(t)
		a.abandoned(t)
		strict := with(creates("b"), func(r *routine.Request) { r.IfExists = routine.Fail })
		a.refuses(t, newTask(2, other, strict), fault.Conflict, esa.CodeRoutineAlreadyExist)
	})
	t.Run("it is that job's also if an earlier job had a call of its own at that time, which had no effect", func(t *testing.T) {
		a, k := start(t), newTask(1, owner, with(creates("a"), func(r *routine.Request) { r.Description = ptr("another") }))
		now := a.clock.Now()
		k.progress.Look = &routine.Look{At: now, Until: now.Add(timeout)}
		a.does(t, newTask(2, other, creates("b")))
		a.refuses(t, k, fault.Conflict, esa.CodeRoutineAlreadyExist)
		same(t, "claim", a.claimed(), "live owned web")
	})
	t.Run("it is unproven if its CreateTime is outside of the call", func(t *testing.T) {
		a := start(t)
		a.lose(t, create, false)
		a.refuses(t, newTask(1, owner, creates("a")), fault.Unavailable, broke)
		a.plant(t, timeout+2*time.Second)
		a.does(t, newTask(2, other, creates("b")))
		same(t, "claim", a.claimed(), "live unproven web")
	})
}

// TestClaimBeforeCall: what is about to be done is claimed first, so that a crash leaves what is needed to judge it.
func TestClaimBeforeCall(t *testing.T) {
	for name, test := range map[string]struct {
		made   bool
		k      *task
		action string
	}{
		"a routine is made":                  {false, newTask(2, owner, creates("a")), create},
		"a host name is bound":               {true, newTask(2, owner, creates("b")), record},
		"a description is changed":           {true, newTask(2, owner, with(creates("a"), func(r *routine.Request) { r.IfExists, r.Description = routine.Update, ptr("new") })), describe},
		"a host name is unbound":             {true, newTask(2, owner, unbinds("a")), unbind},
		"a routine is deleted":               {true, newTask(2, owner, asks(routine.Delete)), remove},
		"a host name whose time is over":     {true, newTask(2, owner, asks(routine.Expire)).operating(), unbind},
		"a routine is deleted, without host": {true, newTask(3, owner, asks(routine.Delete)), remove},
	} {
		t.Run("before "+name, func(t *testing.T) {
			a := start(t)
			if test.made {
				a.does(t, newTask(1, owner, with(creates("a"), func(r *routine.Request) { r.ExpiresIn = routine.Span(time.Hour) })))
				a.clock.Advance(time.Hour)
			}
			if test.k.Number == 3 {
				a.does(t, newTask(2, owner, unbinds("a")))
			}
			before := a.Faults().Count(test.action)
			a.book.broken = errors.New("the ledger does not answer")
			if _, err := a.try(t, test.k); !errors.Is(err, a.book.broken) {
				t.Errorf("got %v", err)
			}
			same(t, "calls of "+test.action, a.Faults().Count(test.action), before)
		})
	}
}
