package ledger_test

import (
	"testing"
	"time"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/otsemu"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// wantCalls appends an entry and checks which calls that took.
func wantCalls(t *testing.T, l *ledger.Ledger, server *otsemu.Server, job routine.Job, e ledger.Entry, want string) ledger.Record {
	t.Helper()
	server.Faults().Reset()
	record := add(t, l, job, e)
	if got := callsOf(server); got != want {
		t.Errorf("%s takes the calls %s, want %s", e.Kind, got, want)
	}
	return record
}

const (
	coldUpdate = "GetRow, UpdateRow"
	warmUpdate = "UpdateRow"
	// missed is a write on a row that another writer changed.
	missed = "GetRow, 2 UpdateRow"
)

func TestMemory(t *testing.T) {
	t.Run("is no more than a guess: what others wrote is found by the condition", func(t *testing.T) {
		l, server := newLedger(t)
		other := connectTo(t, server)
		job := newJob(1)
		claim(t, l, job)
		add(t, l, job, at(2, started(1)))
		add(t, other, job, at(3, failed(1)))
		got := wantCalls(t, l, server, job, at(4, handedBack(2, 1)), missed)
		if got.Late || got.Job.Attempt != 2 || got.Job.HandedBack != 1 || len(got.Job.Attempts) != 1 {
			t.Errorf("record %+v", got)
		}
		history, err := l.History(t.Context(), job.ID)
		want := []ledger.Entry{at(1, ledger.Entry{Kind: ledger.Queued}), at(2, started(1)), at(3, failed(1)), at(4, handedBack(2, 1))}
		if diff := cmp.Diff(want, history); diff != "" || err != nil {
			t.Errorf("error %v, history (-want +got):\n%s", err, diff)
		}
	})
	t.Run("makes no half of a row that is gone", func(t *testing.T) {
		l, url := start(t)
		job := newJob(1)
		claim(t, l, job)
		add(t, l, job, at(2, started(1)))
		gone := &sdk.DeleteRowChange{TableName: ledger.DefaultTable, PrimaryKey: jobRow(t, url).PrimaryKey}
		gone.SetCondition(sdk.RowExistenceExpectation_EXPECT_EXIST)
		if _, err := rawClient(url).DeleteRow(&sdk.DeleteRowRequest{DeleteRowChange: gone}); err != nil {
			t.Fatal(err)
		}
		if got := add(t, l, job, at(3, failed(1))); !got.Job.Gap || got.Job.Attempt != 2 {
			t.Errorf("record %+v, want one that begins with the failure", got)
		}
	})
	t.Run("does not end a job that another has ended", func(t *testing.T) {
		l, server := newLedger(t)
		job := newJob(1)
		claim(t, l, job)
		add(t, l, job, at(2, started(1)))
		add(t, connectTo(t, server), job, at(3, succeeded(1)))
		if got := add(t, l, job, at(4, deadLettered(1))); !got.Late || got.Job.State != routine.Succeeded {
			t.Errorf("record %+v", got)
		}
		wantListed(t, l, job.ID)
	})
	for name, e := range map[string]ledger.Entry{"known": at(2, started(1)), "known by its attempt": at(5, started(1)), "late": at(5, handedBack(1, 1))} {
		t.Run("does not say that an entry is "+name, func(t *testing.T) {
			l, server := newLedger(t)
			job := newJob(1)
			claim(t, l, job)
			add(t, l, job, at(2, started(1)), at(3, failed(1)))
			add(t, connectTo(t, server), job, at(4, succeeded(2)))
			// What is recalled says that the job is queued.
			if got := add(t, l, job, e); got.Job.State != routine.Succeeded {
				t.Errorf("record %+v", got)
			}
		})
	}
	t.Run("does not outlive an entry whose outcome is unknown", func(t *testing.T) {
		l, server := newLedger(t)
		job := newJob(1)
		claim(t, l, job)
		add(t, l, job, at(2, started(1)))
		breakNext(t, server, faults.Rule{Action: "UpdateRow", Times: 2, Fault: faults.Fault{Answer: faults.Reset, Execute: true}})
		if _, err := l.Append(t.Context(), job, at(3, failed(1))); err == nil {
			t.Fatal("no error")
		}
		if got := wantCalls(t, l, server, job, at(3, failed(1)), "GetRow"); got.Late || got.Job.Attempt != 2 {
			t.Errorf("record %+v", got)
		}
	})
	t.Run("holds the rows written last, up to 64", func(t *testing.T) {
		l, server := newLedger(t)
		jobs := leanJobs(0, 65)
		claimTogether(t, l, jobs)
		for _, job := range jobs {
			add(t, l, job, at(100, started(1)))
		}
		wantCalls(t, l, server, jobs[0], at(101, failed(1)), coldUpdate)
		wantCalls(t, l, server, jobs[2], at(101, failed(1)), warmUpdate)
		wantCalls(t, l, server, jobs[64], at(101, failed(1)), warmUpdate)
	})
	t.Run("holds no row of many entries", func(t *testing.T) {
		l, server := newLedger(t)
		job := newJob(1)
		claim(t, l, job)
		for attempt := 1; attempt <= 32; attempt++ {
			add(t, l, job, at(10+attempt, failed(attempt)))
		}
		wantCalls(t, l, server, job, at(100, failed(33)), coldUpdate)
	})
	t.Run("holds a row for an hour", func(t *testing.T) {
		server, url := localtest.OTS(t, nil)
		now := noon
		l := connect(t, url, func(c *ledger.Config) { c.Now = func() time.Time { return now } })
		if _, err := l.Setup(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		claim(t, l, newJob(1))
		add(t, l, newJob(1), at(2, started(1)))
		now = now.Add(time.Hour - time.Second)
		wantCalls(t, l, server, newJob(1), at(3, failed(1)), warmUpdate)
		now = now.Add(time.Hour)
		wantCalls(t, l, server, newJob(1), at(4, failed(2)), coldUpdate)
	})
	t.Run("is not asked by those who read", func(t *testing.T) {
		l, server := newLedger(t)
		job := newJob(1)
		claim(t, l, job)
		add(t, l, job, at(2, started(1)))
		add(t, connectTo(t, server), job, at(3, succeeded(1)))
		if got := readJob(t, l, 1); got.State != routine.Succeeded {
			t.Errorf("job %+v", got)
		}
		if history, err := l.History(t.Context(), job.ID); err != nil || len(history) != 3 {
			t.Errorf("history %v, error %v", history, err)
		}
		if got := list(t, l, ledger.Filter{State: routine.Queued}, 10); len(got) != 0 {
			t.Errorf("listed as queued: %v", got)
		}
		if existing, _, err := l.Claim(t.Context(), job); err != nil || existing.State != routine.Succeeded {
			t.Errorf("existing %+v, error %v", existing, err)
		}
	})
}

func TestLeftovers(t *testing.T) {
	server, url := localtest.OTS(t, nil)
	now := noon
	l := connect(t, url, func(c *ledger.Config) { c.Now = func() time.Time { return now } })
	if _, err := l.Setup(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	claimTogether(t, l, newJobs(0, 10))
	const rows, left = 10 * 9, 4
	t.Run("of a change that stands alone are deleted at once", func(t *testing.T) {
		add(t, l, newJob(0), at(20, succeeded(1)))
		wantRows(t, url, rows)
	})
	t.Run("of changes in a row go with the next change", func(t *testing.T) {
		for n := 1; n < 8; n++ {
			now = now.Add(59 * time.Second)
			add(t, l, newJob(n), at(20, succeeded(1)))
			wantRows(t, url, rows+left)
		}
	})
	t.Run("do not show in lists", func(t *testing.T) {
		for state, want := range map[routine.State][]string{routine.Queued: ids(9, 8), routine.Succeeded: ids(7, 6, 5, 4, 3, 2, 1, 0)} {
			if diff := cmp.Diff(want, list(t, l, ledger.Filter{State: state}, 3)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", state, diff)
			}
		}
	})
	t.Run("are not forgotten when the next change fails", func(t *testing.T) {
		breakNext(t, server, faults.Rule{Action: "BatchWriteRow", Fault: faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSServerBusy"}})
		if _, err := l.Append(t.Context(), newJob(8), at(20, succeeded(1))); codeOf(err) != "unavailable OTSServerBusy" {
			t.Error(err)
		}
		wantRows(t, url, rows+left)
	})
	t.Run("go with the next change, however late it comes", func(t *testing.T) {
		now = now.Add(time.Hour)
		add(t, l, newJob(8), at(20, succeeded(1)))
		wantRows(t, url, rows)
	})
}
