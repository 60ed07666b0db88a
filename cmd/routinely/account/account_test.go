package account_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/cmd/routinely/account"
	"routinely/cmd/routinely/cli"
	"routinely/shared/api"
	"routinely/shared/routine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)

func parked() api.Account {
	return api.Account{
		Lane: routine.Parked, ResumedAt: noon.Add(-24 * time.Hour), RoutineQuota: &routine.Quota{Limit: 100, Used: 41, ReadAt: noon},
		Parked: &api.Park{
			Since: noon, ToldAt: noon.Add(time.Hour), Kind: "account", Code: "RoutineUserServiceStatusHalt", Message: "CreateRoutine: halted",
			RequestID: "R-1", Hint: "Pay what is overdue.",
		},
		OldestWaiting: &api.WaitingJob{JobID: "job-1", AcceptedAt: noon.Add(-time.Minute), Waiting: &routine.Waiting{
			For: routine.ForPark, Since: noon, Until: noon.Add(2 * time.Hour),
		}},
	}
}

const parkedLines = `parked       since 2026-03-01 12:00:00, last found so 2026-03-01 13:00:00
cause        account RoutineUserServiceStatusHalt CreateRoutine: halted (request id R-1)
what to do   Pay what is overdue.
resumed      2026-02-28 12:00:00
oldest job   job-1, accepted 2026-03-01 11:59:00, 1h31m0s ago, waits for the lane, which is parked, since 2026-03-01 12:00:00, until 2026-03-01 14:00:00
quota        41 of 100 routines used, 59 left, read 2026-03-01 12:00:00
`

func TestShow(t *testing.T) {
	both := parked()
	both.Lane, both.Paused = routine.Paused, &routine.Pause{Since: noon, By: "ops", Reason: "moving"}
	for name, test := range map[string]struct {
		account        api.Account
		stdout, stderr string
	}{
		"a lane that is parked":            {parked(), "lane         parked\n" + parkedLines, "the lane runs again by itself as soon as ESA works\n"},
		"a lane that is parked and paused": {both, "lane         paused\npaused       since 2026-03-01 12:00:00\nby           ops\nreason       moving\n" + parkedLines, "next: routinely account resume\n"},
	} {
		t.Run("says why no job is worked off and what to do, of "+name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(test.account)
			}))
			defer server.Close()
			var stdout, stderr strings.Builder
			app := &cli.App{
				Environ: []string{"COLUMNS=200", "ROUTINELY_URL=" + server.URL}, Streams: cli.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr},
			}
			now := func() time.Time { return noon.Add(90 * time.Minute) }
			code := app.Run(t.Context(), []string{"account", "show"}, account.Command(app, now))
			if diff := cmp.Diff(test.stdout, stdout.String()) + cmp.Diff(test.stderr, stderr.String()); diff != "" || code != 0 {
				t.Errorf("exit code %d, -want +got:\n%s", code, diff)
			}
		})
	}
}
