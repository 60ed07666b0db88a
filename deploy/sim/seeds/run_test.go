package seeds_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/mnsclient"
	"routinely/deploy/sim"
	"routinely/shared/routine"
)

// run is a plan at work in a world.
type run struct {
	*world
	plan  plan
	trace []string
	// requests are what the users still ask for, deliveries what the triggers of the two queues have received and not deleted yet.
	requests   []*request
	deliveries []*delivery
	// late are calls that take effect although their callers have no answer, copies the messages of jobs that were seen.
	late   []lateCall
	copies []mnsclient.Message
	// names gives each message the number under which it was seen first.
	names map[string]string
	// invocations counts the invocations, swept is when the janitor ran last.
	invocations int
	swept       time.Time
	// down is a server that does not answer, until the driver has made so many decisions.
	down     string
	downTill int
	step     int
	calm     bool
	// ids are the jobs that users were told of, by the keys of their intents.
	ids map[string]string
	// planned is when the plans were made that intents carry out.
	planned  map[string]time.Time
	redrives []redrive
	// outside is what outsiders have made and removed.
	outside outside
	// doubts are the times at which a call of a worker broke that was about a routine, or may have been, or a second worker began beside the first.
	doubts map[string][]time.Time
	// beside is set once two workers were at work at the same time: two jobs may say then that they made a routine.
	beside bool
	// lostBinds are the times at which a call of a worker broke that bound a host name, or one that kept what became of it.
	lostBinds []time.Time
	// lived are the versions that were live, by routine and environment, the latest last.
	lived map[string][]string
	// made is when a routine was made by calls of ours.
	made map[string][]time.Time
	// givenUp counts the batches that triggers have given up.
	givenUp int
}

// invocation is one event with one process of a function.
type invocation struct {
	number  int
	process string
	// killed is guarded by the gate.
	killed bool
	// keeps means that nothing may be deleted.
	keeps bool
	// lasted is how much time has passed since it began, without its own pauses.
	lasted time.Duration
	// looks is what the invocation has asked ESA last of a routine, and lists that it has listed what uses a routine.
	looks string
	lists map[string]bool
	// ended is closed once the handler has returned, with out or err.
	ended chan struct{}
	out   any
	err   error
	// then is what the platform or the user makes of its end.
	then func()
}

func (in *invocation) String() string { return fmt.Sprintf("%s#%d", in.process, in.number) }

// lived reports whether the handler answered.
func (in *invocation) lived() bool { return !in.killed && in.err == nil }

func newRun(t *testing.T, seed uint64) *run {
	r := &run{
		world: newWorld(t, seed), plan: newPlan(seed), names: map[string]string{}, swept: began, ids: map[string]string{}, planned: map[string]time.Time{},
		doubts: map[string][]time.Time{}, made: map[string][]time.Time{}, lived: map[string][]string{}, outside: outside{
			removed: map[string]time.Time{}, touched: map[string]time.Time{}, hosts: map[string]bool{}, took: map[int64]bool{},
			coded: map[string]bool{}, versions: map[string][]string{}, deployed: map[string]time.Time{},
		},
	}
	r.dangle(r.plan.dangling)
	r.must(r.esa.SetAccount(esaemu.AccountChange{VersionQuota: &r.plan.versions}))
	r.requests = requestsOf(r.plan.intents, r.receiverURL)
	return r
}

func (r *run) log(format string, args ...any) {
	r.trace = append(r.trace, fmt.Sprintf("%9s  %s", r.clock.Now().Sub(began), fmt.Sprintf(format, args...)))
}

// chance draws one of so many.
func (r *run) chance(in int) bool { return r.random.IntN(in) == 0 }

// drive runs the plan: first with trouble, then without until all is at rest and all time is over.
func (r *run) drive() {
	for r.step = 0; r.step < r.plan.steps; r.step++ {
		r.meddle()
		r.decide()
	}
	r.calm, r.down = true, ""
	r.esa.ReleaseLock()
	r.log("from here on nothing breaks")
	r.rest()
	for _, d := range []time.Duration{5 * time.Hour, 11 * time.Minute, expiryGrace, 25 * time.Hour, 25 * time.Hour, 25 * time.Hour, 25 * time.Hour} {
		if !r.mortal() {
			break
		}
		r.advance(d)
		r.rest()
	}
}

// mortal reports whether the time of a routine is not over.
func (r *run) mortal() bool {
	for _, in := range r.plan.intents {
		answer, there := r.claim(in.name)
		if there && !answer.ExpiresAt.IsZero() && answer.State != routine.Gone && answer.State != "" {
			return true
		}
	}
	return false
}

// decide makes one decision: it answers a call that is held, or lets something begin.
func (r *run) decide() {
	held := r.held()
	if len(held) > 0 && !r.chance(10) {
		r.answer(held[r.random.IntN(len(held))])
		return
	}
	acts := []func() bool{
		r.ask, r.ask, r.deliver, r.deliver, r.deliver, r.collect, r.collect, r.sweep, r.pass, r.pass, r.operate, r.land,
	}
	if r.acted(acts[r.random.IntN(len(acts))]) {
		return
	}
	if len(held) > 0 {
		r.answer(held[0])
	}
}

// held are the calls that can be answered. While another worker waits for a server, a pause of one does not end: that would take time from the other.
func (r *run) held() []*call {
	all := r.gate.calls()
	return slices.DeleteFunc(slices.Clone(all), func(c *call) bool {
		return c.server == clockServer && slices.ContainsFunc(all, func(other *call) bool { return other.by != c.by && other.server != clockServer })
	})
}

func (r *run) acted(act func() bool) bool {
	if !act() {
		return false
	}
	r.gate.settle()
	r.finish()
	return true
}

// atWork reports whether one of the processes has an invocation.
func (r *run) atWork(processes ...string) bool {
	r.gate.mu.Lock()
	defer r.gate.mu.Unlock()
	return slices.ContainsFunc(processes, func(p string) bool { return r.gate.running[p] != nil })
}

// start hands an event to a process, unless it has one.
func (r *run) start(process, what string, event []byte, then func(*invocation)) bool {
	if r.atWork(process) {
		return false
	}
	r.invocations++
	in := &invocation{number: r.invocations, process: process, keeps: r.plan.keeps, lists: map[string]bool{}, ended: make(chan struct{})}
	in.then = func() { then(in) }
	r.log("%s begins: %s", in, what)
	if strings.HasPrefix(process, provisioner) && r.atWork(provisioner, provisioner+second) {
		r.doubt("")
		r.beside = true
	}
	handle := r.handlerOf(in)
	r.gate.mu.Lock()
	r.gate.running[process] = in
	r.gate.mu.Unlock()
	go func() {
		defer r.gate.tell()
		defer close(in.ended)
		ctx, cancel := context.WithTimeout(r.t.Context(), lifetime)
		defer cancel()
		in.out, in.err = handle(ctx, event)
	}()
	return true
}

// finish does what follows from invocations that have ended.
func (r *run) finish() {
	r.gate.mu.Lock()
	var over []*invocation
	for _, in := range r.gate.running {
		select {
		case <-in.ended:
			over = append(over, in)
			delete(r.gate.running, in.process)
		default:
		}
	}
	r.gate.mu.Unlock()
	slices.SortFunc(over, func(a, b *invocation) int { return cmp.Compare(a.number, b.number) })
	for _, in := range over {
		switch {
		case in.killed:
			r.log("%s is gone", in)
		case in.err != nil:
			r.log("%s ends with an error", in)
		default:
			r.log("%s ends", in)
		}
		in.then()
	}
}

// sweep lets the timer start a janitor, at times while another one is at work.
func (r *run) sweep() bool {
	if r.clock.Now().Sub(r.swept) < time.Minute || !r.calm && r.chance(2) {
		return false
	}
	process := sweeper
	if r.atWork(sweeper) && r.chance(3) {
		process = sweeper + second
	}
	return r.start(process, "the timer", []byte(`{"triggerName":"timer"}`), func(*invocation) { r.swept = r.clock.Now() })
}

// patience is how much time passes at most while an invocation is at work: its calls end within seconds.
const patience = 4 * time.Second

// pass lets time pass.
func (r *run) pass() bool {
	r.gate.mu.Lock()
	running := slices.Collect(maps.Values(r.gate.running))
	r.gate.mu.Unlock()
	if len(running) > 0 {
		d := time.Duration(1+r.random.IntN(3)) * time.Second
		if slices.ContainsFunc(running, func(in *invocation) bool { return in.lasted+d > patience }) {
			return false
		}
		for _, in := range running {
			in.lasted += d
		}
		r.advance(d)
		return true
	}
	if len(r.late) > 0 && !r.chance(4) { // much happens before it takes effect
		return false
	}
	times := []time.Duration{
		time.Second, 3 * time.Second, 20 * time.Second, time.Minute, 2 * time.Minute, 11 * time.Minute, time.Hour, expiryGrace, 27 * time.Hour,
	}
	r.advance(times[min(r.random.IntN(len(times)), r.random.IntN(len(times)))])
	return true
}

func (r *run) advance(d time.Duration) {
	r.move(d)
	r.log("%s pass", d)
}

// move moves the clock. Calls whose time is over by then take effect first.
func (r *run) move(d time.Duration) {
	end := r.clock.Now().Add(d)
	r.late = slices.DeleteFunc(r.late, func(c lateCall) bool {
		if c.until.After(end) {
			return false
		}
		r.takeEffect(c)
		return true
	})
	r.clock.Advance(d)
}

// collect lets a trigger receive messages.
func (r *run) collect() bool {
	queue := sim.JobQueue
	if r.chance(3) {
		queue = sim.CallbackQueue
	}
	return r.receiveFrom(queue)
}
