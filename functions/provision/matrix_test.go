package provision_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"routinely/deploy/local/faults"
	"routinely/shared/dispatch"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// life is a way of a job through the worker, with the calls that it makes when nothing else breaks. Each job here wants a callback, and a
// routine that must not exist yet: it would take its own work for another's if it ran twice in a row.
type life struct {
	name   string
	change func(*routine.Job)
	// refused is the action that ESA refuses once with code, by itself.
	refused, code string
	// state and died are what the row tells in the end; ESA then holds the routine and so many records.
	state   routine.State
	died    string
	records int
	// esa and mns are the calls of these two. The ledger's begin with a read for each delivery, then come the write of its begin and those
	// of what became of it: for a hand-over one; for an end its index rows, the row, a delete of index rows, the callback's mark, and a delete.
	esa, mns, ots []string
}

func lives() []life {
	const look, create, bind, list, send, read, write = getRoutine, createRoutine, createRecord, listRecords, sendMessage, readRows, writeRows
	end := []string{write, write, write, write, write}
	unchanged := func(*routine.Job) {}
	return []life{
		{
			name: "succeeds", change: unchanged, state: routine.Succeeded, records: 1,
			esa: []string{look, create, bind}, mns: []string{send}, ots: slices.Concat([]string{read, write}, end),
		},
		{
			name: "fails once at step 1", change: unchanged, refused: create, code: "InternalException", state: routine.Succeeded, records: 1,
			esa: []string{look, create, look, look, create, bind}, mns: []string{send, send},
			ots: slices.Concat([]string{read, write, write, read, write}, end),
		},
		{
			name: "fails once at step 2", change: unchanged, refused: bind, code: "InternalException", state: routine.Succeeded, records: 1,
			esa: []string{look, create, bind, list, list, bind}, mns: []string{send, send},
			ots: slices.Concat([]string{read, write, write, read, write}, end),
		},
		{
			name: "waits for the lock", change: unchanged, refused: create, code: locked, state: routine.Succeeded, records: 1,
			esa: []string{look, create, look, create, bind}, mns: []string{send},
			ots: slices.Concat([]string{read, write, write}, end),
		},
		{
			name: "is given up", change: elsewhere, state: routine.DeadLettered, died: "SiteParameterNotMatch",
			esa: []string{look, create, bind}, mns: []string{send}, ots: slices.Concat([]string{read, write}, end),
		},
	}
}

// begin starts the servers and accepts the job.
func (f life) begin(t *testing.T) (*lane, string) {
	t.Helper()
	l := start(t)
	body := message(t, l.accept(t, 1, strict, hooked, f.change))
	for _, set := range []*faults.Set{l.mns.Faults(), l.esa.Faults(), l.ots.Faults()} {
		set.Reset()
	}
	return l, body
}

// refuse has ESA refuse what it refuses by itself. Of two rules for a call the first is carried out, so this comes behind what is tried.
func (f life) refuse(t *testing.T, l *lane) {
	t.Helper()
	if f.refused != "" {
		l.refuses(t, f.refused, f.code, 1)
	}
}

// check is what must hold in the end, whatever broke: the job has ended as it does undisturbed, ESA holds its things once, and the news of
// one end was sent.
func (f life) check(t *testing.T, l *lane) {
	t.Helper()
	row := l.row(t, "job-1")
	if row.State != f.state || row.Code != f.died || !row.DueAt.IsZero() || !row.Begun.IsZero() {
		t.Errorf("row %+v", row)
	}
	l.holds(t, 1, f.records)
	jobs, _, err := l.ledger.Jobs(t.Context(), ledger.Filter{}, 10, "")
	if err != nil || len(jobs) != 1 {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
	want, err := dispatch.Callback(row)
	if err != nil {
		t.Fatal(err)
	}
	sent := l.callbacks(t)
	if len(sent) == 0 || row.Callback == nil || row.Callback.State != routine.HandedOver {
		t.Errorf("%d callbacks, the row tells %+v", len(sent), row.Callback)
	}
	for _, c := range sent {
		same(t, "event", c.ID, want.ID)
	}
}

// TestLives checks that the lists of calls are true, so that the matrix breaks all of them.
func TestLives(t *testing.T) {
	for _, f := range lives() {
		t.Run("a job that "+f.name, func(t *testing.T) {
			l, body := f.begin(t)
			f.refuse(t, l)
			l.drain(t, body)
			only := func(set *faults.Set, actions ...string) []string {
				return slices.DeleteFunc(calls(set), func(action string) bool { return !slices.Contains(actions, action) })
			}
			same(t, "calls of ESA", calls(l.esa.Faults()), f.esa)
			same(t, "calls of MNS", only(l.mns.Faults(), sendMessage), f.mns)
			same(t, "calls of Tablestore", only(l.ots.Faults(), readRows, writeRows), f.ots)
			f.check(t, l)
		})
	}
}

// cell is one call of a life, and a way to break it.
type cell struct {
	life       life
	on, action string
	// nth counts the calls of the action from 0.
	nth   int
	way   string
	fault faults.Fault
	// times is how often it breaks: once, or more often than the worker asks a ledger.
	times int
}

func (c cell) String() string {
	return fmt.Sprintf("a job that %s, %s, %s %d, %s, times %d", c.life.name, c.on, c.action, c.nth+1, c.way, c.times)
}

func cells() (out []cell) {
	for _, f := range lives() {
		for _, c := range slices.Concat(callsOf("ESA", f.esa), callsOf("MNS", f.mns), callsOf("Tablestore", f.ots)) {
			c.life = f
			for way, fault := range map[string]faults.Fault{
				"an error":               {Answer: faults.Error, Status: 503, Code: "ServiceUnavailable"},
				"lost before its effect": {Answer: faults.Reset},
				"lost after its effect":  {Answer: faults.Reset, Execute: true},
				"a broken answer":        {Answer: faults.Truncated},
			} {
				c.way, c.fault = way, fault
				for _, c.times = range []int{1, 4} {
					out = append(out, c)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b cell) int { return strings.Compare(a.String(), b.String()) })
	return out
}

func callsOf(on string, actions []string) (out []cell) {
	seen := map[string]int{}
	for _, action := range actions {
		out = append(out, cell{on: on, action: action, nth: seen[action]})
		seen[action]++
	}
	return out
}

// TestMatrix breaks each call of each life in each way. What is not settled is delivered again and what is due is sent, until there is nothing
// left to do. The short form takes every seventh cell.
func TestMatrix(t *testing.T) {
	for n, c := range cells() {
		if testing.Short() && n%7 != 0 {
			continue
		}
		t.Run(c.String(), func(t *testing.T) {
			l, body := c.life.begin(t)
			set := map[string]*faults.Set{"ESA": l.esa.Faults(), "MNS": l.mns.Faults(), "Tablestore": l.ots.Faults()}[c.on]
			id, err := set.Add(faults.Rule{Action: c.action, Skip: c.nth, Times: c.times, Fault: c.fault})
			if err != nil {
				t.Fatal(err)
			}
			c.life.refuse(t, l)
			t.Log(l.drain(t, body))
			if slices.ContainsFunc(set.Rules(), func(r faults.Rule) bool { return r.ID == id && r.Times == c.times }) {
				t.Error("the fault hit nothing")
			}
			l.heal()
			c.life.check(t, l)
		})
	}
}
