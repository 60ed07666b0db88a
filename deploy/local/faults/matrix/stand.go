// Package matrix breaks every call that a function makes in every way that a network, a gateway or a cloud can break it, one
// at a time. It is for tests only.
//
// A Stand holds the three services, each behind a Seam. A test lets its flow run undisturbed, has Stand.Calls tell which
// calls that took, makes Cells of them, and tries the flow again for each cell on a stand of its own: cells on one stand
// follow each other, so that they can share servers and still have the clock for themselves. What must hold is for the
// test to say.
package matrix

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/localtest"
	"routinely/deploy/local/mnsclient"
)

// Time limits of the calls of a function under test.
const (
	// TimeLimit is that of calls to a seam that keeps its caller waiting.
	TimeLimit = 100 * time.Millisecond
	// patience is that of all others.
	patience = 10 * time.Second
)

// Stand is a set of services for one trial after the other.
type Stand struct {
	// Clock is MNS's, and that of whatever is tried. Only the test moves it.
	Clock *clock.Manual
	// MNS has the queues jobs and jobs-dead, Ledger a table.
	MNS, ESA, Ledger *Seam
	// Queues, LedgerURL, ESAURL and Account are the test's own ways to the services, past their doors.
	Queues            *mnsclient.Client
	LedgerURL, ESAURL string
	Account           *esaemu.Server

	// wanted is what trials must leave in ESA, checked what was looked at before, by the routines' names.
	wanted  map[string]wanted
	checked map[string]bool

	running sync.WaitGroup

	mu        sync.Mutex
	order     []*Seam
	instances []*Instance
}

// newStand starts the services of a stand. table is the ledger's.
func newStand(t testing.TB, table string) *Stand {
	t.Helper()
	s := &Stand{Clock: clock.NewManual(time.Now()), wanted: map[string]wanted{}, checked: map[string]bool{}}
	queues, mnsURL := localtest.MNS(t, s.Clock, "jobs", "jobs-dead")
	account, esaURL := localtest.ESA(t, nil, 0)
	rows, otsURL := localtest.OTS(t, nil)
	many := 100_000
	if err := errors.Join(rows.CreateTable(table, "p", "s"), account.SetAccount(esaemu.AccountChange{RoutineQuota: &many})); err != nil {
		t.Fatal(err)
	}
	s.Queues, s.LedgerURL, s.ESAURL, s.Account = localtest.MNSClient(t, mnsURL), otsURL, esaURL, account
	s.MNS = open(t, "MNS", queues, queues.Faults(), mns())
	s.ESA = open(t, "ESA", account, account.Faults(), esa())
	s.Ledger = open(t, "ledger", rows, rows.Faults(), tablestore())
	return s
}

func (s *Stand) seams() []*Seam { return []*Seam{s.MNS, s.ESA, s.Ledger} }

// Want says that a routine with so many records, all of the name, is what the trial must leave in ESA. What is left is looked
// at once for many trials, which is quicker.
func (s *Stand) Want(trial *testing.T, routine, record string, records int) {
	s.wanted[routine] = wanted{trial.Name(), record, records}
}

// wanted is what a trial must leave.
type wanted struct {
	trial, record string
	records       int
}

// Check compares what ESA holds with what trials must have left, and tells what is wrong by trial.
func (s *Stand) check() (map[string]string, error) {
	state, err := s.Account.State()
	wrong := map[string]string{}
	for _, r := range state.Routines {
		want, known := s.wanted[r.Name]
		delete(s.wanted, r.Name)
		if s.checked[r.Name] {
			continue
		}
		s.checked[r.Name] = true
		odd := slices.ContainsFunc(r.Records, func(one esaemu.Record) bool { return one.RecordName != want.record })
		if !known || odd || len(r.Records) != want.records {
			wrong[want.trial] = fmt.Sprintf("ESA holds %+v, want %d records %s", r, want.records, want.record)
		}
	}
	for name, want := range s.wanted {
		wrong[want.trial] = "ESA holds no routine " + name
	}
	clear(s.wanted)
	return wrong, err
}

// begin makes the stand ready for a trial.
func (s *Stand) begin() error {
	s.mu.Lock()
	s.order = nil
	s.mu.Unlock()
	var errs []error
	for _, seam := range s.seams() {
		errs = append(errs, seam.reset())
	}
	return errors.Join(errs...)
}

// clean takes what a trial that failed has left off the queues.
func (s *Stand) clean(t testing.TB) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	s.Heal(t)
	s.Clock.Advance(time.Hour)
	for _, name := range []string{"jobs", "jobs-dead"} {
		for {
			messages, err := s.Queues.Receive(ctx, name, 16, 0)
			if err != nil || len(messages) == 0 {
				break
			}
			for _, m := range messages {
				_ = s.Queues.Delete(ctx, name, m.ReceiptHandle)
			}
		}
	}
}

// Heal ends every fault.
func (s *Stand) Heal(t testing.TB) {
	t.Helper()
	for _, seam := range s.seams() {
		seam.Faults.Clear()
		if err := seam.reopen(); err != nil {
			t.Fatal(err)
		}
	}
}

// Over tells that an invocation is over: a connection that was refused once is not refused any longer.
func (s *Stand) Over(t testing.TB, c Cell) {
	t.Helper()
	if c.Forever || c.Kind.fault != nil || c.Call.Seam == "" || s.seam(c).hit(c) != nil {
		return
	}
	if err := s.seam(c).reopen(); err != nil {
		t.Fatal(err)
	}
}

// Break breaks the cell's call.
func (s *Stand) Break(t testing.TB, c Cell) {
	t.Helper()
	if c.Call.Seam == "" {
		return
	}
	if err := s.seam(c).Break(c); err != nil {
		t.Fatal(err)
	}
}

// seam is the one that the cell is about.
func (s *Stand) seam(c Cell) *Seam {
	return s.seams()[slices.IndexFunc(s.seams(), func(seam *Seam) bool { return seam.Name == c.Call.Seam })]
}

// Limit is the time limit of the function's calls to the seam.
func (s *Stand) Limit(seam *Seam, c Cell) time.Duration {
	if c.Kind.Waits && c.Call.Seam == seam.Name {
		return TimeLimit
	}
	return patience
}

// Calls are the calls that instances of the function have made since the trial began, in their order, none of which may have
// been refused. own are the actions of calls that the test itself makes.
func (s *Stand) Calls(t testing.TB, own ...string) []Call {
	t.Helper()
	s.Settled(t, own...)
	s.mu.Lock()
	defer s.mu.Unlock()
	left := map[*Seam][]string{}
	for _, seam := range s.seams() {
		left[seam] = seam.actions(own)
	}
	at, nth := map[*Seam]int{}, map[string]int{}
	var out []Call
	for _, seam := range s.order {
		action := left[seam][0]
		left[seam] = left[seam][1:]
		out = append(out, Call{Seam: seam.Name, Action: action, Nth: nth[action], At: at[seam]})
		at[seam]++
		nth[action]++
	}
	return out
}

// Settled returns once the calls that instances have made so far are answered and logged, which comes after the answer. A killed instance can have left some under way.
func (s *Stand) Settled(t testing.TB, own ...string) {
	t.Helper()
	for began := time.Now(); ; runtime.Gosched() {
		s.mu.Lock()
		made, arrived := len(s.order), 0
		for _, seam := range s.seams() {
			arrived += len(seam.actions(own))
		}
		s.mu.Unlock()
		if arrived >= made {
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("%d calls made, %d arrived", made, arrived)
		}
	}
}

// Instance is one instance of a function, as its calls see it.
type Instance struct {
	stand *Stand
	// dieAt is the number of the call that it does not live to make; -1 for none.
	dieAt, calls int
	died, buried chan struct{}
}

// Instance returns a new instance, which is killed before its call of that number, counted from 0; with -1 it lives.
func (s *Stand) Instance(dieAt int) *Instance {
	i := &Instance{stand: s, dieAt: dieAt, died: make(chan struct{}), buried: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instances = append(s.instances, i)
	return i
}

// Go runs an invocation, whose instance may be killed in it. The trial ends with it.
func (s *Stand) Go(invocation func()) { s.running.Go(invocation) }

// bury ends all instances, and what is left of their invocations.
func (s *Stand) bury() {
	s.mu.Lock()
	for _, i := range s.instances {
		close(i.buried)
	}
	s.instances = nil
	s.mu.Unlock()
	s.running.Wait()
}

// Died is closed when the instance is killed. It makes no call from then on.
func (i *Instance) Died() <-chan struct{} { return i.died }

// Credentials are those that the instance signs its calls to the seam with. drop closes the connections it keeps.
func (i *Instance) Credentials(seam *Seam) func() (accessKeyID, accessKeySecret, securityToken string) {
	return func() (string, string, string) {
		if !i.lives(seam) {
			// The dead make no call: it is held until nobody looks any longer, and then refused.
			<-i.buried
			return "nobody", "nothing", ""
		}
		seam.calling()
		return localtest.Credentials()
	}
}

// lives counts a call and reports whether the instance lives to make it.
func (i *Instance) lives(seam *Seam) bool {
	i.stand.mu.Lock()
	defer i.stand.mu.Unlock()
	i.calls++
	if i.dieAt < 0 || i.calls <= i.dieAt {
		i.stand.order = append(i.stand.order, seam)
		return true
	}
	if i.calls == i.dieAt+1 {
		close(i.died)
	}
	return false
}

// Drop says how the connections are closed that the function keeps to the seam.
func (s *Seam) Drop(drop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop = append(s.drop, drop)
}

// Restart forgets all calls that were made so far: those of the test's preparations are none of the function's.
func (s *Stand) Restart() {
	for _, seam := range s.seams() {
		seam.Faults.Reset()
	}
}
