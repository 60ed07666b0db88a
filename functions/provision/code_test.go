package provision_test

import (
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/localtest"
	"routinely/shared/routine"
)

// The actions about code.
const (
	uploadInfo    = "GetRoutineStagingCodeUploadInfo"
	postObject    = "PostObject"
	commit        = "CommitRoutineStagingCode"
	listVersions  = "ListRoutineCodeVersions"
	readVersion   = "GetRoutineCodeVersion"
	removeVersion = "DeleteRoutineCodeVersion"
	deployment    = "CreateRoutineCodeDeployment"
	listPlans     = "ListEdgeRoutinePlans"
)

// deploys accepts job n, about pr-1 with host name a, with code.
func (l *lane) deploys(t *testing.T, n int, source string) string {
	t.Helper()
	l.clock.Advance(time.Second)
	code := routine.NewCode([]byte(source))
	must(t, l.ledger.PutCode(t.Context(), "ci", code))
	return message(t, l.accept(t, n, hooked, func(job *routine.Job) {
		job.Request.Name, job.Request.Records = "pr-1", []routine.Record{{SiteID: localtest.SiteID, RecordName: "a.example.com"}}
		job.Request.Code = &routine.Code{SHA256: code.SHA256}
	}))
}

// full is a lane whose routine has as many versions as it may, of which one can go: those of jobs 7, 8 and 9.
func full(t *testing.T) *lane {
	t.Helper()
	l := start(t)
	const versions = 3
	must(t, l.esa.SetAccount(esaemu.AccountChange{VersionQuota: ptr(versions)}))
	for n, source := range []string{"seven", "eight", "nine"} {
		l.expect(t, "succeeded", l.deploys(t, 7+n, source))
	}
	l.clock.Advance(10 * time.Minute) // the plan is asked for again
	return l
}

func ptr[T any](v T) *T { return &v }

// runs checks what is live in both environments, and that job 1 has made so many versions, of three at most.
func (l *lane) runs(t *testing.T, source string, made int) {
	t.Helper()
	state, err := l.esa.State()
	must(t, err)
	there, live := state.Routines[0], map[string]string{}
	for _, v := range there.Versions {
		for _, d := range there.Deployments {
			if d.Shares[0].CodeVersion == v.CodeVersion {
				live[d.Env] = v.SHA256
			}
		}
		if strings.Contains(v.CodeDescription, "job-1]") {
			made--
		}
	}
	sum := routine.NewCode([]byte(source)).SHA256
	same(t, "live", live, map[string]string{"staging": sum, "production": sum})
	if made != 0 || len(there.Versions) > 3 {
		t.Errorf("versions %+v", there.Versions)
	}
}

func TestCode(t *testing.T) {
	t.Run("of a rollback is what was live before", func(t *testing.T) {
		l := full(t)
		l.clock.Advance(time.Second)
		body := message(t, l.accept(t, 1, func(job *routine.Job) {
			job.Request = routine.Request{Action: routine.Rollback, Name: "pr-1", Version: routine.Previous}
		}))
		l.expect(t, "succeeded", body)
		l.runs(t, "eight", 0)
	})
	t.Run("is a dead letter with the names of the versions if others depend on the one that could go", func(t *testing.T) {
		l := full(t)
		l.refuses(t, removeVersion, "DependedByOthers", forever)
		l.expect(t, "dead-lettered", l.deploys(t, 1, "one"))
		if row := l.row(t, "job-1"); row.Code != "CodeVersionsFull" || strings.Count(row.Last.Message, "[routinely job-") != 3 {
			t.Errorf("row %+v", row.Last)
		}
	})
	t.Run("that is not kept any more is a dead letter that says so", func(t *testing.T) {
		l := full(t)
		row := l.accept(t, 1, func(job *routine.Job) {
			job.Request.Name, job.Request.Code = "pr-1", routine.NewCode([]byte("lost"))
		})
		l.expect(t, "dead-lettered", message(t, row))
		if row := l.row(t, "job-1"); row.Code != "UnknownCode" || row.Hint == "" {
			t.Errorf("row %+v", row)
		}
	})
}
