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
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

const (
	uploadInfo = "GetRoutineStagingCodeUploadInfo"
	postObject = "PostObject"
	commit     = "CommitRoutineStagingCode"
	versions   = "ListRoutineCodeVersions"
	readCode   = "GetRoutineCodeVersion"
	plans      = "ListEdgeRoutinePlans"
	deployment = "CreateRoutineCodeDeployment"
)

// codes is job n of the owner for pr-1 with a host name and some code.
func codes(n int, source string, envs ...routine.Environment) *task {
	k := newTask(n, owner, with(creates("www"), func(r *routine.Request) {
		r.Code, r.Environments = &routine.Code{SHA256: routine.NewCode([]byte(source)).SHA256}, envs
	}))
	k.Source = func(context.Context) ([]byte, error) { return []byte(source), nil }
	return k
}

func rollsBack(n int, version string, envs ...routine.Environment) *task {
	return newTask(n, owner, routine.Request{Action: routine.Rollback, Name: "pr-1", Version: version, Environments: envs})
}

// live is the code that answers in staging and in production; a hyphen stands for none.
func (a account) live(t *testing.T) string {
	t.Helper()
	state, err := a.State()
	must(t, err)
	shown := map[string]string{"staging": "-", "production": "-"}
	r := state.Routines[0]
	for _, d := range r.Deployments {
		i := slices.IndexFunc(r.Versions, func(v esaemu.Version) bool { return v.CodeVersion == d.Shares[0].CodeVersion })
		shown[d.Env] = r.Versions[i].SHA256
	}
	return shown["staging"] + " " + shown["production"]
}

// wantLive checks which sources answer in staging and production.
func (a account) wantLive(t *testing.T, staging, production string) {
	t.Helper()
	sum := func(source string) string {
		if source == "-" {
			return source
		}
		return routine.NewCode([]byte(source)).SHA256
	}
	same(t, "live in staging and production", a.live(t), sum(staging)+" "+sum(production))
}

// made is how many versions ESA has.
func (a account) made(t *testing.T) int {
	t.Helper()
	state, err := a.State()
	must(t, err)
	return len(state.Routines[0].Versions)
}

func TestDeployCode(t *testing.T) {
	t.Run("uploads, commits, reads back, deploys to staging and then to production, before any host name is bound", func(t *testing.T) {
		a := start(t)
		result := a.does(t, codes(1, "one"))
		same(t, "calls", a.calls(), []string{
			get, create, get, versions, plans, uploadInfo, postObject, commit, readCode, deployment, deployment, get, record,
		})
		a.wantLive(t, "one", "one")
		number := a.book.routine("pr-1").DeployedTo(routine.Production).CodeVersion
		sum := routine.NewCode([]byte("one")).SHA256
		same(t, "result", result.Code, []routine.CodeResult{
			{Environment: routine.Staging, CodeVersion: number, SHA256: sum, Outcome: routine.Created},
			{Environment: routine.Production, CodeVersion: number, SHA256: sum, Outcome: routine.Created},
		})
		same(t, "versions of ours", a.book.routine("pr-1").Versions, []routine.OwnVersion{{CodeVersion: number, JobID: "job-1", SHA256: sum}})
	})
	t.Run("calls nothing for code that is live, but for one look", func(t *testing.T) {
		a := start(t)
		a.does(t, codes(1, "one"))
		a.Faults().Reset()
		result := a.does(t, codes(2, "one"))
		same(t, "outcome", result.Code[0].Outcome, routine.Adopted)
		for _, called := range a.calls() {
			if called != get && called != record && called != list { // whether the host name is bound
				t.Errorf("calls %v", a.calls())
			}
		}
		same(t, "versions", a.made(t), 1)
	})
	t.Run("uses a version of before for code that was there before", func(t *testing.T) {
		a := start(t)
		for n, source := range []string{"one", "two", "one"} {
			a.does(t, codes(n+1, source))
		}
		a.wantLive(t, "one", "one")
		same(t, "versions", a.made(t), 2)
	})
	t.Run("changes the environment that is named, and no other", func(t *testing.T) {
		a := start(t)
		a.does(t, codes(1, "one"))
		a.does(t, codes(2, "two", routine.Staging))
		a.wantLive(t, "two", "one")
	})
	t.Run("leaves an environment alone that a newer intent is about", func(t *testing.T) {
		a := start(t)
		a.does(t, codes(3, "new", routine.Production))
		result := a.does(t, codes(2, "old"))
		a.wantLive(t, "old", "new")
		same(t, "outcomes", []any{result.Code[0].Outcome, result.Code[0].SupersededBy, result.Code[1].Outcome}, []any{routine.Passed, "job-3", routine.Created})
	})
	t.Run("refuses a routine that is not owned, and changes nothing", func(t *testing.T) {
		a := start(t)
		must(t, a.PlantRoutine(esaemu.Routine{Name: "pr-1"}))
		a.refuses(t, codes(1, "one"), fault.Conflict, provision.CodeNotOwned)
		same(t, "versions", a.made(t), 0)
	})
	t.Run("is deployed again to a routine that was gone and is made again", func(t *testing.T) {
		a := start(t)
		k := codes(1, "one")
		a.Faults().SetHook(func(_ context.Context, call faults.Call, _ func()) (faults.Fault, bool) {
			if call.Action == record && len(a.holds(t)) == 1 {
				a.Faults().SetHook(nil)
				must(t, a.RemoveRoutine("pr-1"))
			}
			return faults.Fault{}, false
		})
		k.progress = routine.Progress{}
		if _, err := a.try(t, k); err != nil { // ESA does not show what was just made: the next attempt makes it again
			a.clock.Advance(2 * time.Second)
			a.does(t, k)
		}
		a.wantLive(t, "one", "one")
	})
}

func TestCodeOfOthers(t *testing.T) {
	t.Run("that is uploaded in between never goes live under our name", func(t *testing.T) {
		a := start(t)
		k := codes(1, "ours")
		a.Faults().SetHook(func(_ context.Context, call faults.Call, _ func()) (faults.Fault, bool) {
			if call.Action == commit {
				a.Faults().SetHook(nil)
				must(t, a.PlantUpload("pr-1", []byte("theirs")))
			}
			return faults.Fault{}, false
		})
		a.refuses(t, k, fault.Unavailable, provision.CodeReplaced)
		a.wantLive(t, "-", "-")
		a.does(t, k)
		a.wantLive(t, "ours", "ours")
	})
	t.Run("that is live is replaced, and can be gone back to", func(t *testing.T) {
		a := start(t)
		a.does(t, codes(1, "one"))
		_, err := a.PlantVersion("pr-1", "by hand", []byte("theirs"), "staging", "production")
		must(t, err)
		a.does(t, codes(2, "two"))
		a.wantLive(t, "two", "two")
		a.does(t, rollsBack(3, routine.Previous))
		a.wantLive(t, "theirs", "theirs")
	})
	t.Run("is never deleted to make room; ours is, the oldest first, but for what is live and what was before", func(t *testing.T) {
		a := start(t)
		must(t, a.SetAccount(esaemu.AccountChange{VersionQuota: ptr(5)}))
		a.does(t, codes(1, "1"))
		foreign, err := a.PlantVersion("pr-1", "by hand", []byte("theirs"))
		must(t, err)
		for n := 2; n <= 8; n++ {
			a.does(t, codes(n, fmt.Sprint(n)))
		}
		state, err := a.State()
		must(t, err)
		var kept []string
		for _, v := range state.Routines[0].Versions {
			kept = append(kept, v.CodeDescription)
		}
		same(t, "kept", kept, []string{"[routinely job-8]", "[routinely job-7]", "[routinely job-6]", "[routinely job-5]", "by hand"})
		if state.Routines[0].Versions[4].CodeVersion != foreign {
			t.Error("the foreign version is another one")
		}
		a.does(t, rollsBack(9, routine.Previous))
		a.wantLive(t, "7", "7")
	})
	t.Run("that fills the routine is told", func(t *testing.T) {
		a := start(t)
		must(t, a.SetAccount(esaemu.AccountChange{VersionQuota: ptr(2)}))
		a.does(t, newTask(1, owner, creates("www")))
		for range 2 {
			_, err := a.PlantVersion("pr-1", "by hand", []byte("theirs"))
			must(t, err)
		}
		failure := a.refuses(t, codes(2, "ours"), fault.Quota, provision.CodeVersionsFull)
		if strings.Count(failure.Message, "by hand") != 2 {
			t.Error(failure.Message)
		}
	})
}

func TestLostAnswersAboutCode(t *testing.T) {
	for _, action := range []string{uploadInfo, postObject, commit, readCode, deployment, get, versions, plans} {
		for _, executed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, executed %t, make one version that goes live", action, executed), func(t *testing.T) {
				a := start(t)
				k := codes(1, "one")
				a.does(t, newTask(0, owner, creates("www")))
				a.lose(t, action, executed)
				for tries := 0; ; tries++ {
					if _, err := a.try(t, k); err == nil {
						break
					} else if tries == 3 {
						t.Fatal(err)
					}
					a.clock.Advance(afterCalls)
				}
				a.wantLive(t, "one", "one")
				same(t, "versions", a.made(t), 1)
			})
		}
	}
	t.Run("a deployment of an older job that may still take effect is waited for", func(t *testing.T) {
		a := start(t)
		a.does(t, codes(1, "one"))
		a.inject(t, faults.Rule{Action: deployment, Fault: faults.Fault{Answer: faults.Reset, After: get}})
		a.refuses(t, codes(2, "two"), fault.Unavailable, "ConnectionBroken")
		newer := codes(3, "three")
		a.refuses(t, newer, fault.Locked, provision.CodeCallOpen)
		a.clock.Advance(timeout + 2*time.Second)
		a.does(t, newer)
		a.wantLive(t, "three", "three")
	})
	t.Run("the version of a crash after the commit is found, and not made twice", func(t *testing.T) {
		a := start(t)
		k := codes(1, "one")
		a.lose(t, commit, true)
		a.refuses(t, k, fault.Unavailable, "ConnectionBroken")
		a.does(t, k)
		same(t, "versions", a.made(t), 1)
	})
}

func TestRollback(t *testing.T) {
	t.Run("goes back to what was before, and back again", func(t *testing.T) {
		a := start(t)
		a.does(t, codes(1, "one"))
		a.does(t, codes(2, "two"))
		a.does(t, rollsBack(3, routine.Previous))
		a.wantLive(t, "one", "one")
		a.does(t, rollsBack(4, routine.Previous, routine.Production))
		a.wantLive(t, "one", "two")
	})
	t.Run("goes back once, however often it is tried", func(t *testing.T) {
		a := start(t)
		a.does(t, codes(1, "one"))
		a.does(t, codes(2, "two"))
		k := rollsBack(3, routine.Previous)
		a.lose(t, deployment, true)
		a.refuses(t, k, fault.Unavailable, "ConnectionBroken")
		a.does(t, k)
		a.wantLive(t, "one", "one")
	})
	t.Run("goes to a version by its number, and not to one that is not there", func(t *testing.T) {
		a := start(t)
		a.does(t, codes(1, "one"))
		number := a.book.routine("pr-1").DeployedTo(routine.Staging).CodeVersion
		a.does(t, codes(2, "two"))
		a.does(t, codes(3, "three"))
		a.does(t, rollsBack(4, number))
		a.wantLive(t, "one", "one")
		a.refuses(t, rollsBack(5, "1766591259026072336"), fault.NotFound, provision.CodeNoVersion)
	})
	t.Run("has nothing to go back to at first", func(t *testing.T) {
		a := start(t)
		a.does(t, codes(1, "one"))
		a.refuses(t, rollsBack(2, routine.Previous), fault.NotFound, provision.CodeNoVersion)
	})
	t.Run("gives way to a newer intent", func(t *testing.T) {
		a := start(t)
		a.does(t, codes(1, "one"))
		a.does(t, codes(3, "three"))
		a.passes(t, rollsBack(2, routine.Previous), "job-3")
	})
}
