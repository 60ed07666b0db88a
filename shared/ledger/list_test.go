package ledger_test

import (
	"encoding/base64"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/localtest"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// ids are those of jobs, newest first as given.
func ids(numbers ...int) []string {
	out := []string{}
	for _, n := range numbers {
		out = append(out, newJob(n).ID)
	}
	return out
}

func TestJobs(t *testing.T) {
	l, server := newLedger(t)
	claimTogether(t, l, newJobs(0, 24))
	for n := range 24 {
		switch n % 4 {
		case 1:
			add(t, l, newJob(n), at(100, succeeded(1)))
		case 2:
			add(t, l, newJob(n), at(100, deadLettered(1)))
		case 3:
			add(t, l, newJob(n), at(100, deadLettered(1)), at(101, redriven(1)), at(102, in(1, succeeded(1))))
		}
	}
	for _, test := range []struct {
		name   string
		filter ledger.Filter
		want   []string
	}{
		{"of a state", ledger.Filter{State: routine.DeadLettered}, ids(22, 18, 14, 10, 6, 2)},
		{"of a state that some reached after a redrive", ledger.Filter{State: routine.Succeeded}, ids(23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1)},
		{"of a state that all have left", ledger.Filter{State: routine.Cancelled}, ids()},
		{"of a name", ledger.Filter{Name: "pr-3"}, ids(23, 13, 3)},
		{"of a record name", ledger.Filter{RecordName: "pr-17.example.com"}, ids(17)},
		{"of a caller", ledger.Filter{Caller: "caller-1"}, ids(22, 19, 16, 13, 10, 7, 4, 1)},
		{"of a name and a state", ledger.Filter{Name: "pr-2", State: routine.DeadLettered}, ids(22, 2)},
		{"of a caller and a state", ledger.Filter{Caller: "caller-1", State: routine.Queued}, ids(16, 4)},
		{"of everything at once", ledger.Filter{Name: "pr-2", Caller: "caller-1", RecordName: "pr-22.example.com", State: routine.DeadLettered}, ids(22)},
		{"of values that no job has together", ledger.Filter{Name: "pr-2", RecordName: "pr-3.example.com"}, ids()},
		{"of half a name", ledger.Filter{Name: "pr"}, ids()},
		{"of nobody", ledger.Filter{Caller: "caller-1/../all"}, ids()},
	} {
		t.Run("lists the jobs "+test.name, func(t *testing.T) {
			for _, page := range []int{1, 3, 100} {
				if diff := cmp.Diff(test.want, list(t, l, test.filter, page)); diff != "" {
					t.Errorf("pages of %d (-want +got):\n%s", page, diff)
				}
			}
		})
	}
	t.Run("lists all jobs, newest first, and as Job returns them but for the attempts", func(t *testing.T) {
		jobs, next, err := l.Jobs(t.Context(), ledger.Filter{}, 100, "")
		if err != nil || next != "" || len(jobs) != 24 {
			t.Fatalf("%d jobs, next %q, error %v", len(jobs), next, err)
		}
		for i, job := range jobs {
			want, err := l.Job(t.Context(), newJob(23-i).ID)
			if err != nil {
				t.Fatal(err)
			}
			want.Attempts = nil
			if diff := cmp.Diff(want, job); diff != "" {
				t.Errorf("job %d (-Job +Jobs):\n%s", i, diff)
			}
		}
	})
	t.Run("reads a page in two calls", func(t *testing.T) {
		server.Faults().Reset()
		if page, next, err := l.Jobs(t.Context(), ledger.Filter{State: routine.Succeeded}, 10, ""); err != nil || len(page) != 10 || next == "" {
			t.Fatalf("%d jobs, next %q, error %v", len(page), next, err)
		}
		if calls := len(server.Faults().Calls()); calls != 2 {
			t.Errorf("%d calls", calls)
		}
	})
	t.Run("refuses limits that are out of range", func(t *testing.T) {
		for _, limit := range []int{-1, 0, 101} {
			if _, _, err := l.Jobs(t.Context(), ledger.Filter{}, limit, ""); codeOf(err) != "invalid InvalidLimit" {
				t.Errorf("limit %d: %v", limit, err)
			}
		}
	})
	t.Run("refuses filters that no job can fit", func(t *testing.T) {
		for _, f := range []ledger.Filter{{State: "running"}, {Name: string(make([]byte, 300))}, {RecordName: "\xff"}, {Caller: string(make([]byte, 300))}} {
			if _, _, err := l.Jobs(t.Context(), f, 10, ""); codeOf(err) != "invalid InvalidFilter" {
				t.Errorf("%q: %v", f, err)
			}
		}
	})
}

func TestSparseFilter(t *testing.T) {
	l, server := newLedger(t)
	f := ledger.Filter{Name: "shared", Caller: "nobody"}
	jobs := leanJobs(0, 1100)
	for n := range jobs {
		jobs[n].Request.Name = f.Name
	}
	if err := l.Fill(t.Context(), jobs, f); err != nil {
		t.Fatal(err)
	}
	server.Faults().Reset()
	t.Run("is followed for a thousand jobs, then the caller decides", func(t *testing.T) {
		page, cursor, err := l.Jobs(t.Context(), f, 1, "")
		if err != nil || len(page) != 0 || cursor == "" {
			t.Fatalf("%d jobs, cursor %q, error %v", len(page), cursor, err)
		}
		if n := server.Faults().Count("GetRange"); n > 20 {
			t.Errorf("%d calls", n)
		}
		page, cursor, err = l.Jobs(t.Context(), f, 1, cursor)
		if err != nil || len(page) != 0 || cursor != "" {
			t.Errorf("%d jobs, cursor %q, error %v", len(page), cursor, err)
		}
	})
}

func TestCursor(t *testing.T) {
	server, url := localtest.OTS(t, nil)
	l := connect(t, url, nil)
	if _, err := l.Setup(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	claimTogether(t, l, newJobs(0, 6))
	filter := ledger.Filter{State: routine.Queued}
	_, cursor, err := l.Jobs(t.Context(), filter, 2, "")
	if err != nil || cursor == "" {
		t.Fatalf("cursor %q, error %v", cursor, err)
	}
	t.Run("is refused when it is not one", func(t *testing.T) {
		raw, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil {
			t.Fatal(err)
		}
		changed := slices.Clone(raw)
		changed[len(changed)-1]++
		for name, bad := range map[string]string{
			"text": "next", "a symbol": "***", "nothing but a sum": base64.RawURLEncoding.EncodeToString(raw[:12]),
			"a changed position": base64.RawURLEncoding.EncodeToString(changed), "cut off": cursor[:len(cursor)-4], "padded": cursor + "==",
		} {
			server.Faults().Reset()
			if _, _, err := l.Jobs(t.Context(), filter, 2, bad); codeOf(err) != "invalid InvalidCursor" {
				t.Errorf("%s: %v", name, err)
			}
			if calls := len(server.Faults().Calls()); calls != 0 {
				t.Errorf("%s: %d calls", name, calls)
			}
		}
	})
	t.Run("is refused for another list", func(t *testing.T) {
		for _, other := range []ledger.Filter{{}, {State: routine.Succeeded}, {State: routine.Queued, Caller: "caller-1"}, {Name: "queued"}} {
			if _, _, err := l.Jobs(t.Context(), other, 2, cursor); codeOf(err) != "invalid InvalidCursor" {
				t.Errorf("%+v: %v", other, err)
			}
		}
	})
	t.Run("is refused for another table", func(t *testing.T) {
		other := connect(t, url, func(c *ledger.Config) { c.Table = "other" })
		if _, _, err := other.Jobs(t.Context(), filter, 2, cursor); codeOf(err) != "invalid InvalidCursor" {
			t.Error(err)
		}
	})
	t.Run("can be used again, with another limit", func(t *testing.T) {
		for _, limit := range []int{1, 2, 100} {
			jobs, _, err := l.Jobs(t.Context(), filter, limit, cursor)
			if err != nil || jobs[0].ID != newJob(3).ID {
				t.Errorf("limit %d: %v, error %v", limit, jobs, err)
			}
		}
	})
	t.Run("holds when the job it points to has left the list", func(t *testing.T) {
		add(t, l, newJob(3), succeeded(1))
		jobs, _, err := l.Jobs(t.Context(), filter, 2, cursor)
		if err != nil || len(jobs) != 2 || jobs[0].ID != newJob(2).ID {
			t.Errorf("jobs %v, error %v", jobs, err)
		}
	})
}

func TestPagingWhileJobsChange(t *testing.T) {
	l, _ := newLedger(t)
	const jobs = 30
	claimTogether(t, l, newJobs(0, jobs))
	seen := map[string]int{}
	changed := jobs
	for cursor := ""; ; {
		page, next, err := l.Jobs(t.Context(), ledger.Filter{}, 4, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, job := range page {
			seen[job.ID]++
		}
		// Between two pages new jobs arrive and old ones end, among them those of the next page.
		claim(t, l, newJob(changed))
		add(t, l, newJob(changed%jobs), at(500, started(1)), at(501, deadLettered(1)))
		add(t, l, newJob(jobs-1-len(seen)%jobs), at(502, in(1, succeeded(1))))
		changed++
		if cursor = next; next == "" {
			break
		}
	}
	for n := range jobs {
		if got := seen[newJob(n).ID]; got != 1 {
			t.Errorf("%s was listed %d times", newJob(n).ID, got)
		}
	}
}
