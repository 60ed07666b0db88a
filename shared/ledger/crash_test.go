package ledger_test

import (
	"fmt"
	"testing"
	"time"

	sdk "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// start is newLedger for tests that need the server's address.
func start(t *testing.T) (*ledger.Ledger, string) {
	_, url := localtest.OTS(t, clock.NewManual(noon))
	l := connect(t, url, nil)
	if _, err := l.Setup(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	return l, url
}

// between returns a ledger of the same table that runs do before its n-th call.
func between(t *testing.T, url string, n int, do func()) *ledger.Ledger {
	calls := 0
	return connect(t, url, func(c *ledger.Config) {
		c.Credentials = func() (string, string, string) {
			if calls++; calls == n {
				do()
			}
			return localtest.Credentials()
		}
	})
}

// wantListed checks that the job is listed once, in every list it belongs to and in no other. None of the jobs it is asked of
// was ever cancelled.
func wantListed(t *testing.T, l *ledger.Ledger, id string) {
	t.Helper()
	job, err := l.Job(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []routine.State{"", routine.Queued, routine.Succeeded, routine.DeadLettered} {
		for _, f := range []ledger.Filter{{}, {Name: job.Request.Name}, {RecordName: job.Request.RecordName}, {Caller: job.Caller}} {
			f.State = state
			want := []string{}
			if state == "" || state == job.State {
				want = append(want, id)
			}
			if got := list(t, l, f, 10); !cmp.Equal(got, want) {
				t.Errorf("%+v of a job that is %s: listed %v", f, job.State, got)
			}
		}
	}
}

func TestCrash(t *testing.T) {
	// The calls of an entry that changes the state are GetRow, BatchWriteRow, UpdateRow, BatchWriteRow.
	for call := range 4 {
		for _, executed := range []bool{false, true} {
			t.Run(fmt.Sprintf("at call %d of Append, executed %t, leaves a job that is listed right", call+1, executed), func(t *testing.T) {
				l, server := newLedger(t)
				job := newJob(1)
				claim(t, l, job)
				// Twice, since a request on a kept connection is sent once more.
				breakNext(t, server, faults.Rule{Skip: call, Times: 2, Fault: faults.Fault{Answer: faults.Reset, Execute: executed}})
				record, err := l.Append(t.Context(), job, at(5, deadLettered(1)))
				if (err == nil) != (call == 3) || (record.Untidy != nil) != (call == 3) {
					t.Errorf("error %v, untidy %v", err, record.Untidy)
				}
				got, err := l.Job(t.Context(), job.ID)
				if err != nil || (got.State == routine.DeadLettered) != (call == 3 || call == 2 && executed) {
					t.Errorf("job is %s, error %v", got.State, err)
				}
				wantListed(t, l, job.ID)
				again := add(t, l, job, at(5, deadLettered(1)))
				if again.Late || again.Job.State != routine.DeadLettered || len(again.Job.Attempts) != 1 {
					t.Errorf("appended again: %+v", again)
				}
				wantListed(t, l, job.ID)
			})
		}
	}
	// The calls of a claim are BatchGetRow, BatchWriteRow, BatchWriteRow.
	for call := range 3 {
		for _, executed := range []bool{false, true} {
			t.Run(fmt.Sprintf("at call %d of Claim, executed %t, can be claimed again", call+1, executed), func(t *testing.T) {
				l, server := newLedger(t)
				job := newJob(1)
				breakNext(t, server, faults.Rule{Skip: call, Times: 2, Fault: faults.Fault{Answer: faults.Reset, Execute: executed}})
				if existing, _, err := l.Claim(t.Context(), job); err == nil {
					t.Errorf("existing %v and no error", existing)
				}
				if got := list(t, l, ledger.Filter{}, 10); (len(got) == 1) != (call == 2 && executed) {
					t.Errorf("listed %v", got)
				}
				existing, sameBody, err := l.Claim(t.Context(), job)
				if err != nil || (existing != nil) != (call == 2 && executed) || sameBody != (existing != nil) {
					t.Errorf("existing %v, same body %t, error %v", existing, sameBody, err)
				}
				wantListed(t, l, job.ID)
			})
		}
	}
}

func TestLostAnswer(t *testing.T) {
	lost := faults.Fault{Answer: faults.Reset, Execute: true}
	t.Run("of a claim on a dead connection is found out", func(t *testing.T) {
		l, server := newLedger(t)
		breakNext(t, server, faults.Rule{Action: "BatchWriteRow", Match: map[string]string{"rows": "1"}, Fault: lost})
		claim(t, l, newJob(1))
		if got, want := callsOf(server), "2 BatchGetRow, 3 BatchWriteRow"; got != want {
			t.Errorf("calls %s, want %s", got, want)
		}
		wantListed(t, l, newJob(1).ID)
	})
	t.Run("of an entry on a dead connection is found out", func(t *testing.T) {
		l, server := newLedger(t)
		claim(t, l, newJob(1))
		breakNext(t, server, faults.Rule{Action: "UpdateRow", Fault: lost})
		if record := add(t, l, newJob(1), at(3, succeeded(1))); record.Late || record.Job.State != routine.Succeeded {
			t.Errorf("record %+v", record)
		}
		wantListed(t, l, newJob(1).ID)
	})
}

func TestConflict(t *testing.T) {
	for call := 2; call <= 3; call++ {
		t.Run(fmt.Sprintf("with a worker that finishes before call %d leaves what it wrote", call), func(t *testing.T) {
			l, url := start(t)
			job := newJob(1)
			claim(t, l, job)
			slow := between(t, url, call, func() { add(t, l, job, at(5, succeeded(1))) })
			record := add(t, slow, job, at(6, deadLettered(1)))
			if !record.Late || record.Job.State != routine.Succeeded {
				t.Errorf("record %+v", record)
			}
			wantListed(t, l, job.ID)
			wantRows(t, url, 1+8)
		})
	}
	t.Run("with a redrive before the last call does not undo it", func(t *testing.T) {
		l, url := start(t)
		job := newJob(1)
		claim(t, l, job)
		slow := between(t, url, 4, func() { add(t, l, job, at(7, redriven(1))) })
		add(t, slow, job, at(6, deadLettered(1)))
		if got, err := l.Job(t.Context(), job.ID); err != nil || got.State != routine.Queued || got.Redriven != 1 {
			t.Errorf("job %+v, error %v", got, err)
		}
		wantListed(t, l, job.ID)
		wantRows(t, url, 1+8)
	})
	t.Run("of two claims leaves the winner's job, once", func(t *testing.T) {
		l, url := start(t)
		other := newJob(1)
		other.AcceptedAt, other.Request.Name = noon.Add(time.Hour), "other"
		slow := between(t, url, 3, func() { claim(t, l, newJob(1)) })
		existing, sameBody, err := slow.Claim(t.Context(), other)
		if err != nil || existing == nil || sameBody {
			t.Errorf("existing %v, same body %t, error %v", existing, sameBody, err)
		}
		wantListed(t, l, other.ID)
		if got := list(t, l, ledger.Filter{Name: "other"}, 10); len(got) != 0 {
			t.Errorf("listed %v", got)
		}
	})
	t.Run("inside the service is tried again", func(t *testing.T) {
		l, server := newLedger(t)
		claim(t, l, newJob(1))
		breakNext(t, server, faults.Rule{Action: "UpdateRow", Times: 3, Fault: faults.Fault{Answer: faults.Error, Status: 409, Code: "OTSRowOperationConflict"}})
		add(t, l, newJob(1), started(1))
	})
	t.Run("without end is given up", func(t *testing.T) {
		l, server := newLedger(t)
		breakNext(t, server, faults.Rule{Times: -1, Action: "PutRow", Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: "OTSConditionCheckFail"}})
		if _, err := l.Append(t.Context(), newJob(1), started(1)); codeOf(err) != "unavailable Contended" {
			t.Error(err)
		}
	})
	t.Run("with whoever deletes the table is reported row by row", func(t *testing.T) {
		_, url := start(t)
		slow := between(t, url, 2, func() {
			if _, err := rawClient(url).DeleteTable(&sdk.DeleteTableRequest{TableName: ledger.DefaultTable}); err != nil {
				t.Error(err)
			}
		})
		if _, _, err := slow.Claim(t.Context(), newJob(1)); codeOf(err) != "operator OTSObjectNotExist" {
			t.Error(err)
		}
	})
}

// allRows reads the table as it is.
func allRows(t *testing.T, url string) []*sdk.Row {
	t.Helper()
	criteria := &sdk.RangeRowQueryCriteria{
		TableName: ledger.DefaultTable, MaxVersion: 1, StartPrimaryKey: new(sdk.PrimaryKey), EndPrimaryKey: new(sdk.PrimaryKey),
	}
	for _, column := range []string{"p", "s"} {
		criteria.StartPrimaryKey.AddPrimaryKeyColumnWithMinValue(column)
		criteria.EndPrimaryKey.AddPrimaryKeyColumnWithMaxValue(column)
	}
	res, err := rawClient(url).GetRange(&sdk.GetRangeRequest{RangeRowQueryCriteria: criteria})
	if err != nil {
		t.Fatal(err)
	}
	return res.Rows
}

// wantRows checks that no row is left over.
func wantRows(t *testing.T, url string, want int) {
	t.Helper()
	rows := allRows(t, url)
	if len(rows) == want {
		return
	}
	for _, row := range rows {
		t.Log(row.PrimaryKey)
	}
	t.Errorf("%d rows, want %d", len(rows), want)
}

// jobRow is the row of the only job.
func jobRow(t *testing.T, url string) *sdk.Row {
	t.Helper()
	for _, row := range allRows(t, url) {
		if row.PrimaryKey.PrimaryKeys[1].Value == "job" {
			return row
		}
	}
	t.Fatal("no row of a job")
	return nil
}

// putColumn replaces a row by one with a single column.
func putColumn(t *testing.T, url string, row *sdk.Row, column string, value any) {
	t.Helper()
	change := &sdk.PutRowChange{TableName: ledger.DefaultTable, PrimaryKey: row.PrimaryKey}
	change.SetCondition(sdk.RowExistenceExpectation_IGNORE)
	change.AddColumn(column, value)
	if _, err := rawClient(url).PutRow(&sdk.PutRowRequest{PutRowChange: change}); err != nil {
		t.Fatal(err)
	}
}

func TestForeignRows(t *testing.T) {
	l, url := start(t)
	claim(t, l, newJob(1))
	job, index := jobRow(t, url), allRows(t, url)[0]
	for name, column := range map[string]struct {
		name  string
		value any
	}{
		"no JSON": {"job", "{"}, "no job": {"seq", int64(1)}, "another's column": {"extra", "x"}, "no sequence": {"job", `{"id":"job-000001"}`},
	} {
		t.Run("are reported, not taken for jobs: "+name, func(t *testing.T) {
			putColumn(t, url, job, column.name, column.value)
			if _, err := l.Job(t.Context(), newJob(1).ID); codeOf(err) != "internal UnreadableRow" {
				t.Error(err)
			}
		})
	}
	t.Run("are reported by lists", func(t *testing.T) {
		putColumn(t, url, job, "job", "{")
		if _, _, err := l.Jobs(t.Context(), ledger.Filter{}, 10, ""); codeOf(err) != "internal UnreadableRow" {
			t.Error(err)
		}
		putColumn(t, url, index, "other", "x")
		if _, _, err := l.Jobs(t.Context(), ledger.Filter{}, 10, ""); codeOf(err) != "internal UnreadableRow" {
			t.Error(err)
		}
	})
}
