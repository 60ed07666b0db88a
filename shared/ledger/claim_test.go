package ledger_test

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/otsemu"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// newJobs are jobs from one number up to another.
func newJobs(from, to int) []routine.Job {
	var jobs []routine.Job
	for n := from; n < to; n++ {
		jobs = append(jobs, newJob(n))
	}
	return jobs
}

// leanJobs are jobs from one number up to another that are in the list of all jobs and in no other, which saves three quarters
// of their index rows. A call takes as many of them as of others.
func leanJobs(from, to int) []routine.Job {
	jobs := newJobs(from, to)
	for i := range jobs {
		jobs[i].Caller, jobs[i].Request.Name, jobs[i].Request.RecordName = "", "", ""
	}
	return jobs
}

// wantClaimed checks that each of the jobs was claimed, or none of them but for the fault.
func wantClaimed(t testing.TB, claims []ledger.Claimed, jobs []routine.Job, code string) {
	t.Helper()
	for i, claimed := range claims {
		if codeOf(claimed.Err) != code || claimed.Existing != nil || claimed.SameBody {
			t.Fatalf("%s: %+v, want the fault %q", jobs[i].ID, claimed, code)
		}
	}
}

func TestClaimAll(t *testing.T) {
	l, server := newLedger(t)
	many, news, old := newJobs(0, 1000), "10 BatchGetRow, 45 BatchWriteRow", "35 BatchGetRow"
	if testing.Short() {
		many, news, old = slices.Concat(leanJobs(0, 75), newJobs(75, 100), leanJobs(100, 230)), "3 BatchGetRow, 12 BatchWriteRow", "9 BatchGetRow"
	}
	t.Run("claims many jobs in few calls", func(t *testing.T) {
		server.Faults().Reset()
		claimTogether(t, l, many)
		if got := callsOf(server); got != news {
			t.Errorf("calls %s, want %s", got, news)
		}
		for _, f := range []ledger.Filter{{}, {State: routine.Queued}} {
			if listed := len(list(t, l, f, 100)); listed != len(many) {
				t.Errorf("%+v: %d jobs are listed", f, listed)
			}
		}
		got77 := list(t, l, ledger.Filter{RecordName: many[77].Request.RecordName, State: routine.Queued}, 10)
		if diff := cmp.Diff(ids(77), got77); diff != "" {
			t.Errorf("jobs of a record (-want +got):\n%s", diff)
		}
	})
	t.Run("finds many existing jobs in few calls and writes nothing", func(t *testing.T) {
		server.Faults().Reset()
		for i, claimed := range l.ClaimAll(t.Context(), many) {
			if claimed.Err != nil || claimed.Existing == nil || claimed.Existing.ID != newJob(i).ID || !claimed.SameBody {
				t.Fatalf("job %d: %+v", i, claimed)
			}
		}
		if got := callsOf(server); got != old {
			t.Errorf("calls %s, want %s", got, old)
		}
	})
	t.Run("tells of each job what Claim tells of it", func(t *testing.T) {
		one, other := newJob(2001), newJob(2003)
		claim(t, l, one, other)
		first := add(t, l, one, failed(1)).Job
		second := add(t, l, other, at(9, succeeded(1))).Job
		changed := other
		changed.Request.SiteID++
		got := l.ClaimAll(t.Context(), []routine.Job{newJob(2000), one, newJob(2002), changed})
		want := []ledger.Claimed{{}, {Existing: &first, SameBody: true}, {}, {Existing: &second}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("claims (-want +got):\n%s", diff)
		}
	})
	t.Run("lets the second of two jobs find the first", func(t *testing.T) {
		jobs := []routine.Job{newJob(3000), newJob(3001), newJob(3000), newJob(3000)}
		jobs[3].Request.SiteID++
		got := l.ClaimAll(t.Context(), jobs)
		first, err := l.Job(t.Context(), jobs[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		want := []ledger.Claimed{{}, {}, {Existing: &first, SameBody: true}, {Existing: &first}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("claims (-want +got):\n%s", diff)
		}
		for i, again := range l.ClaimAll(t.Context(), jobs) {
			if again.Existing == nil || again.SameBody != (i < 3) {
				t.Errorf("claim %d again: %+v", i, again)
			}
		}
	})
	t.Run("refuses a job that makes no sense, alone", func(t *testing.T) {
		got := l.ClaimAll(t.Context(), []routine.Job{{}, newJob(4000), {ID: "x", AcceptedAt: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}})
		if codeOf(got[0].Err) != "invalid InvalidJobID" || got[1].Err != nil || codeOf(got[2].Err) != "invalid InvalidJob" {
			t.Errorf("claims %+v", got)
		}
	})
	t.Run("makes no call for nothing", func(t *testing.T) {
		server.Faults().Reset()
		if got := l.ClaimAll(t.Context(), nil); len(got) != 0 || callsOf(server) != "" {
			t.Errorf("claims %+v, calls %s", got, callsOf(server))
		}
	})
	t.Run("stays within the limits of a call with the longest requests", func(t *testing.T) {
		long := strings.Repeat("x", 60<<10)
		jobs, calls := newJobs(5000, 5120), "2 BatchGetRow, 13 BatchWriteRow"
		if testing.Short() {
			jobs, calls = jobs[:20], "BatchGetRow, 3 BatchWriteRow" // jobs of 1 MB, then the rest
		}
		for i := range jobs {
			jobs[i].Request.Description = &long
		}
		server.Faults().Reset()
		claimTogether(t, l, jobs)
		if got := callsOf(server); got != calls {
			t.Errorf("calls %s, want %s", got, calls)
		}
	})
}

func TestClaimAllRace(t *testing.T) {
	l, server := newLedger(t)
	t.Run("lets one of many win each job", func(t *testing.T) {
		const callers = 4
		jobs := 230
		if testing.Short() {
			jobs = 30 // two calls for index rows, one for jobs
		}
		var group sync.WaitGroup
		won := make(chan string, callers*jobs)
		for n := range callers {
			group.Go(func() {
				mine := newJobs(0, jobs)
				for i := range mine {
					mine[i].AcceptedAt = mine[i].AcceptedAt.Add(time.Duration(n) * time.Hour)
				}
				for i, claimed := range l.ClaimAll(t.Context(), mine) {
					switch {
					case claimed.Err != nil:
						t.Error(claimed.Err)
					case claimed.Existing == nil:
						won <- mine[i].ID
					}
				}
			})
		}
		group.Wait()
		close(won)
		winners := map[string]int{}
		for id := range won {
			winners[id]++
		}
		if len(won) != 0 || len(winners) != jobs {
			t.Errorf("%d jobs were won", len(winners))
		}
		for id, n := range winners {
			if n != 1 {
				t.Errorf("%s was won %d times", id, n)
			}
		}
		if n := len(list(t, l, ledger.Filter{}, 100)); n != jobs {
			t.Errorf("%d jobs are listed", n)
		}
	})
	t.Run("finds out rows that were put although the answer was lost", func(t *testing.T) {
		jobs := newJobs(1000, 1007)
		breakNext(t, server, faults.Rule{
			Action: "BatchWriteRow", Match: map[string]string{"rows": "7"}, Fault: faults.Fault{Answer: faults.Reset, Execute: true},
		})
		claimTogether(t, l, jobs)
		if diff := cmp.Diff(newJob(1003), readJob(t, l, 1003), cmpopts.IgnoreFields(routine.Job{}, "State", "Attempt", "UpdatedAt")); diff != "" {
			t.Errorf("job (-want +got):\n%s", diff)
		}
	})
}

func readJob(t *testing.T, l *ledger.Ledger, n int) routine.Job {
	t.Helper()
	job, err := l.Job(t.Context(), newJob(n).ID)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func TestClaimAllFaults(t *testing.T) {
	// The calls of 230 new jobs are 2 reads, 8 writes of index rows and 1 of jobs for the first 200, then 1, 2 and 1.
	jobs := leanJobs(0, 230)
	type part struct{ call, from, to int }
	type down struct{ call, claimed int }
	parts := []part{{1, 100, 200}, {10, 0, 200}, {13, 225, 230}}
	downs := []down{{0, 0}, {4, 0}, {14, 200}}
	if !testing.Short() { // these are the same calls for other jobs
		parts, downs = append(parts, part{5, 75, 100}), append(downs, down{10, 0})
	}
	for _, test := range parts {
		t.Run(fmt.Sprintf("of call %d are those of its jobs alone", test.call+1), func(t *testing.T) {
			l, server := newLedger(t)
			breakNext(t, server, faults.Rule{Skip: test.call, Fault: faults.Fault{Answer: faults.Error, Status: 403, Code: "OTSNotEnoughCapacityUnit"}})
			got := l.ClaimAll(t.Context(), jobs)
			wantClaimed(t, got[:test.from], jobs, "")
			wantClaimed(t, got[test.from:test.to], jobs[test.from:], "throttled OTSNotEnoughCapacityUnit")
			wantClaimed(t, got[test.to:], jobs[test.to:], "")
			if n := len(list(t, l, ledger.Filter{State: routine.Queued}, 100)); n != len(jobs)-(test.to-test.from) {
				t.Errorf("%d jobs are listed", n)
			}
			first, end := max(test.from-5, 0), min(test.to+5, len(jobs))
			for i, again := range l.ClaimAll(t.Context(), jobs[first:end]) {
				if missed := test.from <= first+i && first+i < test.to; again.Err != nil || (again.Existing == nil) != missed {
					t.Fatalf("%s again: %+v", jobs[first+i].ID, again)
				}
			}
		})
	}
	for _, test := range downs {
		t.Run(fmt.Sprintf("of a service that is down from call %d cost no other call", test.call+1), func(t *testing.T) {
			l, server := newLedger(t)
			breakNext(t, server, faults.Rule{Skip: test.call, Times: -1, Fault: faults.Fault{Answer: faults.Error, Status: 503, Code: "OTSServerBusy"}})
			got := l.ClaimAll(t.Context(), jobs)
			if n := len(server.Faults().Calls()); n != test.call+1 {
				t.Errorf("%d calls", n)
			}
			wantClaimed(t, got[:test.claimed], jobs, "")
			wantClaimed(t, got[test.claimed:], jobs[test.claimed:], "unavailable OTSServerBusy")
		})
	}
	t.Run("of rows are those of their jobs alone", func(t *testing.T) {
		jobs := newJobs(0, 3)
		for _, test := range []struct{ call, rows, refused, job int }{{2, 24, 9, 1}, {3, 3, 2, 2}} {
			_, server := newLedger(t)
			one := func(call int) bool { return call == test.call }
			got := refusing(t, server, one, test.rows, test.refused, "OTSNotEnoughCapacityUnit").ClaimAll(t.Context(), jobs)
			for i, claimed := range got {
				want := ""
				if i == test.job {
					want = "throttled OTSNotEnoughCapacityUnit"
				}
				wantClaimed(t, []ledger.Claimed{claimed}, jobs[i:], want)
				if f := fault.From(claimed.Err); f != nil && (f.Step != "BatchWriteRow" || f.RequestID != "R1") {
					t.Errorf("fault %+v", f)
				}
			}
		}
	})
	t.Run("of a put that others are always faster with are given up", func(t *testing.T) {
		_, server := newLedger(t)
		third := func(call int) bool { return call%3 == 0 } // after the read and the index rows
		got := refusing(t, server, third, 1, 0, "OTSConditionCheckFail").ClaimAll(t.Context(), newJobs(0, 1))
		if codeOf(got[0].Err) != "unavailable Contended" || len(server.Faults().Calls()) < 60 {
			t.Errorf("claims %+v after %d calls", got, len(server.Faults().Calls()))
		}
	})
	t.Run("of a row that cannot be read are those of its job alone", func(t *testing.T) {
		l, url := start(t)
		claim(t, l, newJob(1))
		row := jobRow(t, url)
		for _, column := range []struct {
			name  string
			value any
		}{{"seq", "x"}, {"seq", int64(1)}} {
			putColumn(t, url, row, column.name, column.value)
			got := l.ClaimAll(t.Context(), newJobs(0, 3))
			if codeOf(got[0].Err) != "" || codeOf(got[1].Err) != "internal UnreadableRow" || codeOf(got[2].Err) != "" {
				t.Errorf("claims %+v", got)
			}
		}
	})
}

// refusing connects to the server through one that answers some of the calls itself: each a BatchWriteRow of so many rows, of
// which it refuses one. The answer is the message BatchWriteRowResponse of the protocol.
func refusing(t *testing.T, server *otsemu.Server, answers func(call int) bool, rows, refused int, code string) *ledger.Ledger {
	calls := 0
	field := func(number byte, value string) string { return string([]byte{number<<3 | 2, byte(len(value))}) + value }
	return connect(t, localtest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls++; !answers(calls) {
			server.ServeHTTP(w, r)
			return
		}
		table := field(1, ledger.DefaultTable)
		for row := range rows {
			if row == refused {
				table += field(2, "\x08\x00"+field(2, field(1, code)+field(2, "slower")))
				continue
			}
			table += field(2, "\x08\x01"+field(3, field(1, "\x08\x00\x10\x01")))
		}
		// The length of a table's part takes two bytes.
		answer := string([]byte{1<<3 | 2, byte(len(table)&0x7f | 0x80), byte(len(table) >> 7)}) + table
		sum := md5.Sum([]byte(answer))
		w.Header().Set("x-ots-requestid", "R1")
		w.Header().Set("x-ots-contentmd5", base64.StdEncoding.EncodeToString(sum[:]))
		_, _ = w.Write([]byte(answer))
	}), nil), nil)
}
