package ledger_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// TestCost counts the calls of each entry, on a ledger that does not know the row and on the one that wrote it, and compares
// them with the table in the package's comment.
func TestCost(t *testing.T) {
	comment, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	warm, server := newLedger(t)
	cold := connectTo(t, server)
	// A change of a state, so that those that follow are not the first.
	change := func(l *ledger.Ledger, n int) {
		claim(t, l, newJob(n))
		add(t, l, newJob(n), succeeded(1))
	}
	change(cold, 1)
	change(warm, 2)
	calls := func(l *ledger.Ledger, job routine.Job, e ledger.Entry) string {
		server.Faults().Reset()
		add(t, l, job, e)
		return callsOf(server)
	}
	dead := []ledger.Entry{started(1), deadLettered(1)}
	for i, test := range []struct {
		before []ledger.Entry
		entry  ledger.Entry
		warm   bool
	}{
		{nil, ledger.Entry{Kind: ledger.Queued}, false},
		{[]ledger.Entry{failed(1)}, started(2), true},
		{[]ledger.Entry{started(1)}, failed(1), true},
		{[]ledger.Entry{started(1)}, handedBack(1, 1), true},
		{[]ledger.Entry{started(1)}, succeeded(1), true},
		{[]ledger.Entry{started(1)}, deadLettered(1), true},
		{[]ledger.Entry{{Kind: ledger.Queued}}, ledger.Entry{Kind: ledger.Cancelled}, true},
		{dead, redriven(1), false},
	} {
		t.Run("of an entry "+string(test.entry.Kind)+" is what the comment says", func(t *testing.T) {
			known, unknown := newJob(2*i+10), newJob(2*i+11)
			add(t, warm, known, test.before...)
			add(t, warm, unknown, test.before...)
			row := fmt.Sprintf("//\t%-15s%-34s", test.entry.Kind, calls(cold, unknown, test.entry))
			if again := calls(warm, known, test.entry); test.warm {
				row += again
			} else if want := strings.TrimSpace(row[18:]); again != want {
				t.Errorf("calls %s on the ledger that wrote the row, %s on another", again, want)
			}
			if row = strings.TrimSpace(row); !strings.Contains(string(comment), row+"\n") {
				t.Errorf("the comment lacks the line\n%s", row)
			}
		})
	}
	t.Run("of a claim is what the comment says", func(t *testing.T) {
		server.Faults().Reset()
		claim(t, warm, newJob(100))
		if row := "//\tclaim          " + callsOf(server) + "\n"; !strings.Contains(string(comment), row) {
			t.Errorf("the comment lacks the line\n%s", row)
		}
	})
	t.Run("of a late entry is that of one whose row is not remembered", func(t *testing.T) {
		job := newJob(101)
		claim(t, warm, job)
		add(t, warm, job, at(1, failed(1)))
		wantCalls(t, warm, server, job, at(2, failed(1)), "GetRow, UpdateRow")
	})
	t.Run("of a known entry and of the claim of a job that exists is one read", func(t *testing.T) {
		job := newJob(102)
		claim(t, warm, job)
		add(t, warm, job, at(1, failed(1)))
		wantCalls(t, warm, server, job, at(1, failed(1)), "GetRow")
		server.Faults().Reset()
		if _, _, err := warm.Claim(t.Context(), job); err != nil || callsOf(server) != "BatchGetRow" {
			t.Errorf("error %v, calls %s", err, callsOf(server))
		}
	})
	t.Run("of a change that stands alone is a call more", func(t *testing.T) {
		alone := connectTo(t, server)
		claim(t, alone, newJob(103))
		wantCalls(t, alone, server, newJob(103), succeeded(1), "2 BatchWriteRow, GetRow, UpdateRow")
		job := newJob(104)
		claim(t, alone, job)
		wantCalls(t, alone, server, job, succeeded(1), "BatchWriteRow, GetRow, UpdateRow")
	})
	t.Run("of 200 claims is what the comment says", func(t *testing.T) {
		server.Faults().Reset()
		claimTogether(t, warm, leanJobs(1000, 1200))
		if n := len(server.Faults().Calls()); n != 11 {
			t.Errorf("%d calls", n)
		}
	})
}
