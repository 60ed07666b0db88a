package accept

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/api"
	"routinely/shared/routine"
)

// lane asks for the account.
func (f *function) lane(t *testing.T) api.Account {
	t.Helper()
	return read[api.Account](t, f.call(t, event("GET", "/v1/account", "")), 200)
}

// runs expects the lane to be in a state.
func (f *function) runs(t *testing.T, want routine.Lane) {
	t.Helper()
	if got := f.lane(t).Lane; got != want {
		t.Errorf("the lane is %s, want %s", got, want)
	}
}

// parks lets a worker find that ESA works for no job.
func (f *function) parks(t *testing.T) {
	t.Helper()
	if _, err := f.Ledger.ChangeAccount(t.Context(), func(a *routine.Account) error {
		a.Stop(&routine.Park{
			Since: now, ToldAt: now, Kind: "account", Code: "RoutineUserServiceStatusHalt", RequestID: "R1", Message: "overdue", Hint: "pay", Probe: "job-1",
		}, a.Pause, now)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

var (
	pause  = event("POST", "/v1/account:pause", `{"reason":"moving"}`)
	resume = event("POST", "/v1/account:resume", "")
)

func TestAccount(t *testing.T) {
	t.Run("is a running lane before anything is known", func(t *testing.T) {
		if diff := cmp.Diff(api.Account{Lane: routine.Running}, start(t).lane(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("says why ESA works for no job, and what is known of the quota", func(t *testing.T) {
		f := start(t)
		f.parks(t)
		quota := routine.Quota{Limit: 100, Used: 41, ReadAt: now}
		if _, err := f.Ledger.ChangeAccount(t.Context(), func(a *routine.Account) error {
			a.Quota = &quota
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		want := api.Account{Lane: routine.Parked, RoutineQuota: &quota, Parked: &api.Park{
			Since: now, ToldAt: now, Kind: "account", Code: "RoutineUserServiceStatusHalt", RequestID: "R1", Message: "overdue", Hint: "pay",
		}}
		if diff := cmp.Diff(want, f.lane(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("names the unfinished job that was accepted first, and what it waits for", func(t *testing.T) {
		f := start(t)
		var jobs []routine.Job
		for n := range 13 {
			jobs = append(jobs, f.post(t, wishFor(n)))
			if got := f.lane(t).OldestWaiting.JobID; got != jobs[0].ID { // accepted at this moment, the first time
				t.Errorf("got %s, want %s", got, jobs[0].ID)
			}
			f.clock.Advance(time.Second)
		}
		for _, job := range jobs[:11] { // more than one read of the index finds
			f.succeeds(t, job.ID)
		}
		first := jobs[11]
		want := &api.WaitingJob{JobID: first.ID, AcceptedAt: first.AcceptedAt, Waiting: first.Waiting}
		if diff := cmp.Diff(want, f.lane(t).OldestWaiting); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		f.begins(t, first.ID)
		if got := f.lane(t).OldestWaiting; got.JobID != first.ID || got.Waiting != nil {
			t.Errorf("with a worker: %+v", got)
		}
	})
}

func TestPause(t *testing.T) {
	t.Run("lasts until it is resumed, however often it is paused meanwhile", func(t *testing.T) {
		f := start(t)
		first := read[api.Account](t, f.call(t, pause), 200)
		want := api.Account{Lane: routine.Paused, Paused: &routine.Pause{Since: now, By: anonymous, Reason: "moving"}}
		if diff := cmp.Diff(want, first) + cmp.Diff(want, f.lane(t)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		f.clock.Advance(time.Minute)
		want.Paused.Reason = "still moving"
		again := read[api.Account](t, f.call(t, event("POST", "/v1/account:pause", `{"reason":"still moving"}`)), 200)
		if diff := cmp.Diff(want, again); diff != "" {
			t.Errorf("paused again: -want +got:\n%s", diff)
		}
		resumed := read[api.Account](t, f.call(t, event("POST", "/v1/account:resume", `{"reason":"moved"}`)), 200)
		if diff := cmp.Diff(api.Account{Lane: routine.Running, ResumedAt: f.clock.Now()}, resumed); diff != "" {
			t.Errorf("resumed: -want +got:\n%s", diff)
		}
		for _, line := range []string{"lane paused", "still moving", "lane resumed", "moved", `"caller":"anonymous"`, `"level":"warning"`} {
			if !strings.Contains(f.log.String(), line) {
				t.Errorf("not logged: %s", line)
			}
		}
	})
	t.Run("keeps a park, which a resumption does not take back", func(t *testing.T) {
		f := start(t)
		f.parks(t)
		if paused := read[api.Account](t, f.call(t, pause), 200); paused.Lane != routine.Paused || paused.Parked == nil {
			t.Errorf("paused: %+v", paused)
		}
		if resumed := read[api.Account](t, f.call(t, resume), 200); resumed.Lane != routine.Parked || resumed.Paused != nil {
			t.Errorf("resumed: %+v", resumed)
		}
		p := read[api.Problem](t, f.call(t, resume), 409)
		if p.Code != "not-paused" || !strings.Contains(p.Detail, "runs again by itself") {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("is not taken back twice", func(t *testing.T) {
		f := start(t)
		p := read[api.Problem](t, f.call(t, resume), 409)
		if p.Code != "not-paused" || p.Detail != "the lane is running" || f.log.Len() > 0 {
			t.Errorf("got %+v, log %s", p, f.log)
		}
	})
	for name, body := range map[string]string{
		"no body": "", "no reason": "{}", "an empty reason": `{"reason":""}`, "a blank reason": `{"reason":" "}`,
		"a reason too long": `{"reason":"` + strings.Repeat("x", api.MaxReason+1) + `"}`, "another member": `{"reason":"x","by":"me"}`,
	} {
		t.Run("is refused with "+name, func(t *testing.T) {
			f := start(t)
			refused(t, f.call(t, event("POST", "/v1/account:pause", body)), 400, "malformed-request")
			f.runs(t, routine.Running)
		})
	}
}
