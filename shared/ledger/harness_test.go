package ledger_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/otsemu"
	"routinely/shared/fault"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// noon is when the tests' jobs begin.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newLedger starts a server with a table and returns a client of it.
func newLedger(t testing.TB) (*ledger.Ledger, *otsemu.Server) {
	t.Helper()
	server, url := localtest.OTS(t, clock.NewManual(noon))
	l := connect(t, url, nil)
	if _, err := l.Setup(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	server.Faults().Reset()
	return l, server
}

// connect returns a client with a change to its configuration, nil for none.
func connect(t testing.TB, url string, change func(*ledger.Config)) *ledger.Ledger {
	t.Helper()
	cfg := ledger.Config{
		Endpoint: url, Instance: localtest.Instance, Credentials: localtest.Credentials, Timeout: 5 * time.Second,
		Retention: 30 * 24 * time.Hour, Now: func() time.Time { return noon },
	}
	if change != nil {
		change(&cfg)
	}
	l, err := ledger.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// newJob is the n-th job: accepted n seconds after noon.
func newJob(n int) routine.Job {
	return routine.Job{
		ID: fmt.Sprintf("job-%06d", n), Caller: fmt.Sprintf("caller-%d", n%3), AcceptedAt: noon.Add(time.Duration(n) * time.Second),
		Request: routine.Request{
			Name: fmt.Sprintf("pr-%d", n%10), SiteID: localtest.SiteID, RecordName: fmt.Sprintf("pr-%d.example.com", n),
		},
	}
}

func claim(t testing.TB, l *ledger.Ledger, jobs ...routine.Job) {
	t.Helper()
	for _, job := range jobs {
		existing, _, err := l.Claim(t.Context(), job)
		if err != nil || existing != nil {
			t.Fatalf("claim of %s: existing %v, error %v", job.ID, existing, err)
		}
	}
}

// claimTogether claims jobs in fewer calls.
func claimTogether(t testing.TB, l *ledger.Ledger, jobs []routine.Job) {
	t.Helper()
	wantClaimed(t, l.ClaimAll(t.Context(), jobs), jobs, "")
}

// at is an entry some seconds after noon.
func at(seconds int, e ledger.Entry) ledger.Entry {
	e.At = noon.Add(time.Duration(seconds) * time.Second)
	return e
}

func started(attempt int) ledger.Entry { return ledger.Entry{Kind: ledger.Started, Attempt: attempt} }

func failed(attempt int) ledger.Entry {
	return ledger.Entry{Kind: ledger.Failed, Attempt: attempt, Failure: failure(attempt)}
}

func failure(attempt int) *routine.Attempt {
	return &routine.Attempt{
		Number: attempt, At: noon, Step: routine.CreateRoutine, Kind: string(fault.Unavailable), Code: "InternalException",
		RequestID: "R1", Message: "it broke", Hint: "try again",
	}
}

func handedBack(attempt, count int) ledger.Entry {
	return ledger.Entry{Kind: ledger.HandedBack, Attempt: attempt, HandedBack: count}
}

func succeeded(attempt int) ledger.Entry {
	return ledger.Entry{
		Kind: ledger.Succeeded, Attempt: attempt,
		Result: &routine.Result{Routine: routine.Created, Record: routine.Created, RecordID: 7},
	}
}

func deadLettered(attempt int) ledger.Entry {
	return ledger.Entry{Kind: ledger.DeadLettered, Attempt: attempt, Failure: failure(attempt), Reason: "not retryable"}
}

func redriven(count int) ledger.Entry {
	return ledger.Entry{Kind: ledger.Redriven, Redriven: count, By: "olga", Reason: "quota raised"}
}

// in puts an entry into the round after a number of redrives.
func in(round int, e ledger.Entry) ledger.Entry {
	e.Redriven = round
	return e
}

// add appends entries that must be recorded, and returns the last record.
func add(t testing.TB, l *ledger.Ledger, job routine.Job, entries ...ledger.Entry) ledger.Record {
	t.Helper()
	var record ledger.Record
	for _, e := range entries {
		var err error
		if record, err = l.Append(t.Context(), job, e); err != nil {
			t.Fatalf("append %s: %v", e.Kind, err)
		}
		if record.Untidy != nil {
			t.Fatalf("append %s: %v", e.Kind, record.Untidy)
		}
	}
	return record
}

// list reads all pages and returns the ids.
func list(t testing.TB, l *ledger.Ledger, f ledger.Filter, page int) []string {
	t.Helper()
	ids := []string{}
	for cursor := ""; ; {
		jobs, next, err := l.Jobs(t.Context(), f, page, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, job := range jobs {
			ids = append(ids, job.ID)
		}
		if cursor = next; next == "" {
			return ids
		}
	}
}

// breakNext makes the server break calls.
func breakNext(t testing.TB, server *otsemu.Server, rule faults.Rule) {
	t.Helper()
	if _, err := server.Faults().Add(rule); err != nil {
		t.Fatal(err)
	}
}

// codeOf is the kind and code of a fault, "" for none.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	f := fault.From(err)
	return string(f.Kind) + " " + f.Code
}

// callsOf counts the calls since the server's counters were reset, by their actions.
func callsOf(server *otsemu.Server) string {
	counts := map[string]int{}
	for _, call := range server.Faults().Calls() {
		counts[call.Action]++
	}
	var texts []string
	for _, action := range slices.Sorted(maps.Keys(counts)) {
		text := action
		if counts[action] > 1 {
			text = fmt.Sprintf("%d %s", counts[action], action)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// connectTo returns another client of the server, as another process would be one.
func connectTo(t testing.TB, server *otsemu.Server) *ledger.Ledger {
	t.Helper()
	return connect(t, localtest.Listen(t, server, nil), nil)
}
