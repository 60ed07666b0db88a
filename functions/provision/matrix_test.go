package provision_test

import (
	"fmt"
	"slices"
	"testing"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/dispatch"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// life is a way of a job through the worker. Its job wants a callback, and a routine that must not exist yet: if it ran twice, it would take its
// own work for another's. A deletion is of a routine that job 0 has made with a host name. Together the lives make all calls of the worker.
type life struct {
	name   string
	action routine.Action
	// deploys means that the job has code, for a routine that is full: the oldest version is deleted.
	deploys bool
	// prepare makes ESA answer so that the job takes this way.
	prepare func(*testing.T, *lane)
	// state and code are what the job says in the end; ESA then holds so many routines, each with a record.
	state    routine.State
	code     string
	routines int
}

func lives() []life {
	refused := func(t *testing.T, l *lane) { l.refuses(t, createRecord, "InternalException", 1) }
	foreign := func(t *testing.T, l *lane) {
		if _, err := l.esa.PlantRoute(esaemu.Route{SiteID: localtest.SiteID, Routine: "pr-1", Name: "checkout"}); err != nil {
			t.Fatal(err)
		}
	}
	return []life{
		{"a deployment of code", routine.Create, true, func(*testing.T, *lane) {}, routine.Succeeded, "", 1},
		{"a job that fails once", routine.Create, false, refused, routine.Succeeded, "", 1},
		{"a deletion", routine.Delete, false, func(*testing.T, *lane) {}, routine.Succeeded, "", 0},
		{"a deletion with which something foreign would go", routine.Delete, false, foreign, routine.DeadLettered, "BoundByOthers", 1},
	}
}

// prepared starts the servers and accepts the job.
func (f life) prepared(t *testing.T) (*lane, string) {
	t.Helper()
	var l *lane
	var body string
	switch {
	case f.deploys:
		l = full(t)
		body = l.deploys(t, 1, "one")
	case f.action == routine.Create:
		l = start(t)
		body = message(t, l.accept(t, 1, strict, hooked))
	default:
		l = start(t)
		l.expect(t, "succeeded", l.wants(t, 0, routine.Create, "a"))
		body = l.wants(t, 1, f.action)
	}
	l.callbacks(t)
	for _, set := range l.servers() {
		set.Reset()
	}
	return l, body
}

// servers are the worker's three servers by name.
func (l *lane) servers() map[string]*faults.Set {
	return map[string]*faults.Set{"ESA": l.esa.Faults(), "MNS": l.mns.Faults(), "Tablestore": l.ots.Faults()}
}

// check is what must hold in the end, whatever broke: the job has ended as it does undisturbed, ESA holds its things once, and the callback of
// one end was sent.
func (f life) check(t *testing.T, l *lane) {
	t.Helper()
	row := l.row(t, "job-1")
	if row.State != f.state || row.Code != f.code || !row.DueAt.IsZero() || !row.Begun.IsZero() {
		t.Errorf("row %+v", row)
	}
	l.holds(t, f.routines, f.routines)
	jobs, _, err := l.ledger.Jobs(t.Context(), ledger.Filter{}, 10, "")
	want := 1 + min(1, len(f.action))
	if f.deploys {
		want = 4
		l.runs(t, "one", 1)
	}
	if err != nil || len(jobs) != want {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
	told, err := dispatch.Callback(row)
	must(t, err)
	sent := l.callbacks(t)
	if len(sent) == 0 || row.Callback == nil || row.Callback.State != routine.HandedOver {
		t.Errorf("%d callbacks, the row says %+v", len(sent), row.Callback)
	}
	for _, c := range sent {
		same(t, "event", c.ID, told.ID)
	}
}

// cell is one call of a life, and a way to break it.
type cell struct {
	life           life
	server, action string
	// nth counts the calls of the action from 0.
	nth   int
	way   string
	fault faults.Fault
}

// broken is how often in a row a call breaks: more often than the worker asks a ledger. The simulation breaks single ones.
const broken = 4

func (c cell) String() string {
	return fmt.Sprintf("%s; %s; %s, call %d; %s", c.life.name, c.server, c.action, c.nth+1, c.way)
}

// cells are all cells of a life: its calls are those of an undisturbed run.
func (f life) cells(t *testing.T) (out []cell) {
	t.Helper()
	l, body := f.prepared(t)
	f.prepare(t, l)
	l.drain(t, body)
	for _, server := range []string{"ESA", "MNS", "Tablestore"} {
		seen := map[string]int{}
		for _, action := range calls(l.servers()[server]) {
			if server == "MNS" && action != sendMessage { // the others are the test's own
				continue
			}
			for _, way := range []struct {
				name  string
				fault faults.Fault
			}{
				{"an error without effect", faults.Fault{Answer: faults.Error, Status: 503, Code: "ServiceUnavailable"}},
				{"a broken answer after its effect", faults.Fault{Answer: faults.Truncated}},
			} {
				out = append(out, cell{f, server, action, seen[action], way.name, way.fault})
			}
			seen[action]++
		}
	}
	f.check(t, l)
	return out
}

// TestMatrix breaks each call of each life in each way. What is not settled is delivered again and what is due is sent, until there is nothing
// left to do.
func TestMatrix(t *testing.T) {
	for _, f := range lives() {
		for _, c := range f.cells(t) {
			t.Run(c.String(), func(t *testing.T) {
				l, body := f.prepared(t)
				set := l.servers()[c.server]
				id, err := set.Add(faults.Rule{Action: c.action, Skip: c.nth, Times: broken, Fault: c.fault})
				must(t, err)
				f.prepare(t, l) // of two rules for a call the first is carried out
				t.Log(l.drain(t, body))
				if slices.ContainsFunc(set.Rules(), func(r faults.Rule) bool { return r.ID == id && r.Times == broken }) {
					t.Error("the fault hit nothing")
				}
				l.heal()
				f.check(t, l)
			})
		}
	}
}
