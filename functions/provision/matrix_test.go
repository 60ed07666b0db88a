package provision

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/faults/matrix"
	"routinely/deploy/local/localtest"
	"routinely/deploy/sim"
	"routinely/shared/fault"
	"routinely/shared/ledger"
)

// flow is one way through the worker.
type flow struct {
	name string
	// answers is what ESA answers beside the fault that is tried; each rule holds once.
	answers []faults.Rule
	// site is the job's, hasty means that its invocation has no time to wait for the lock.
	site  int64
	hasty bool
	// dies means that the job ends as a dead letter by itself, with the code.
	dies string
	// least are the calls that an undisturbed run must make.
	least []string
}

func flows() []flow {
	once := func(action, code string, status int) []faults.Rule {
		return []faults.Rule{{Action: action, Fault: faults.Fault{Answer: faults.Error, Status: status, Code: code}}}
	}
	begun := []string{"ledger GetRow", "ledger UpdateRow", "ESA CreateRoutine"}
	ended := []string{"ESA CreateRoutineRelatedRecord", "ledger BatchWriteRow", "ledger UpdateRow"}
	return []flow{
		{name: "a job that succeeds", site: localtest.SiteID, least: slices.Concat(begun, ended)},
		{
			name: "a job whose first step failed", site: localtest.SiteID, answers: once("CreateRoutine", "InternalException", 500),
			least: slices.Concat(begun, []string{
				"ESA GetRoutine", "MNS SendMessage", "ledger UpdateRow", "ledger UpdateRow", "ESA GetRoutine", "ESA CreateRoutine",
			}, ended),
		},
		{
			name: "a job whose second step failed", site: localtest.SiteID, answers: once("CreateRoutineRelatedRecord", "InternalException", 500),
			least: slices.Concat(begun, []string{
				"ESA CreateRoutineRelatedRecord", "ESA ListRoutineRelatedRecords", "MNS SendMessage", "ledger UpdateRow", "ledger UpdateRow",
				"ESA ListRoutineRelatedRecords",
			}, ended),
		},
		{
			name: "a job that is handed back", site: localtest.SiteID, hasty: true, answers: once("CreateRoutine", "UserOperationStatusIsLocked", 400),
			least: slices.Concat(begun, []string{"MNS SendMessage", "ledger UpdateRow", "ESA CreateRoutine"}, ended),
		},
		{
			name: "a job that is given up", site: 99, dies: "SiteParameterNotMatch",
			least: slices.Concat(begun, []string{"ESA CreateRoutineRelatedRecord", "ledger BatchWriteRow", "ledger UpdateRow", "MNS SendMessage"}),
		},
	}
}

// own are the actions of the test's own calls.
var own = []string{"BatchReceiveMessage", "ReceiveMessage", "DeleteMessage"}

// TestMatrix tries every way through the worker with everything that can break.
func TestMatrix(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // there is little to collect and much to do
	m := matrix.New(t, ledger.DefaultTable)
	t.Run("every call broken in every way", func(t *testing.T) {
		tried := matrix.Tried{}
		for _, f := range flows() {
			t.Run(f.name, func(t *testing.T) { f.broken(t, m, matrix.Cells("", f.calls(t, m), tried)) })
		}
		t.Run("ways that are left", func(t *testing.T) {
			f := flows()[1] // the first that calls every service
			f.broken(t, m, matrix.Left(f.calls(t, m), tried))
		})
		tried.Complete(t, "MNS", "ESA", "ledger")
	})
	tried := matrix.Tried{}
	for _, f := range flows() {
		t.Run("the instance killed, "+f.name, func(t *testing.T) { f.killedInstances(t, m, tried) })
		t.Run("no time left, "+f.name, func(t *testing.T) { f.deadlines(t, m) })
		t.Run("each event delivered twice, "+f.name, func(t *testing.T) { f.copies(t, m) })
	}
	m.Check(t)
}

// broken breaks the call of each cell and lets the job come to its end.
func (f flow) broken(t *testing.T, m *matrix.Matrix, cells []matrix.Cell) {
	m.Run(t, cells, func(t *testing.T, s *matrix.Stand, c matrix.Cell) matrix.Row {
		x := newTrial(t, s, f, c)
		x.breaks(t, c)
		x.drain(t)
		s.Heal(t)
		return matrix.Row{Saw: x.told(), Fate: x.judge(t)}
	})
}

// calls are those of an undisturbed run.
func (f flow) calls(t *testing.T, m *matrix.Matrix) []matrix.Call {
	t.Helper()
	return m.Undisturbed(f.name, func() []matrix.Call { return f.recorded(t, m) })
}

func (f flow) recorded(t *testing.T, m *matrix.Matrix) (calls []matrix.Call) {
	t.Helper()
	m.Once(t, func(s *matrix.Stand) {
		x := newTrial(t, s, f, matrix.Cell{})
		x.breaks(t, matrix.Cell{})
		x.drain(t)
		calls = s.Calls(t, own...)
		x.judge(t)
	})
	matrix.Expect(t, calls, f.least...)
	return calls
}

// killedInstances kills the instance before each call that the worker makes, and before it can report, and gives the event to
// a new one.
func (f flow) killedInstances(t *testing.T, m *matrix.Matrix, tried matrix.Tried) {
	calls := f.calls(t, m)
	fresh := matrix.Fresh("", calls, tried)
	var table strings.Builder
	for at := range len(calls) + 1 {
		if at < len(calls) && !fresh[at] {
			continue
		}
		where := "its report"
		if at < len(calls) {
			where = calls[at].Seam + " " + calls[at].String()
		}
		t.Run("before "+where, func(t *testing.T) {
			m.Once(t, func(s *matrix.Stand) {
				x := newTrial(t, s, f, matrix.Cell{})
				x.start(t, at)
				x.breaks(t, matrix.Cell{})
				x.unreported = at == len(calls)
				x.drain(t)
				fmt.Fprintf(&table, "\nFC  killed before %s: %s: %s", where, x.told(), x.judge(t))
			})
		})
	}
	t.Log(table.String())
}

// copies delivers each event twice: to the same instance, and to two.
func (f flow) copies(t *testing.T, m *matrix.Matrix) {
	for name, restart := range map[string]bool{"to the same instance": false, "to another instance": true} {
		t.Run(name, func(t *testing.T) {
			m.Once(t, func(s *matrix.Stand) {
				x := newTrial(t, s, f, matrix.Cell{})
				x.breaks(t, matrix.Cell{})
				x.twice, x.restart = true, restart
				x.drain(t)
				t.Logf("FC  delivered twice, %s: %s: %s", name, x.told(), x.judge(t))
			})
		})
	}
}

// deadlines lets the function's time run out in each call of ESA.
func (f flow) deadlines(t *testing.T, m *matrix.Matrix) {
	kinds := matrix.Kinds()
	hang := kinds[slices.IndexFunc(kinds, func(k matrix.Kind) bool { return k.Waits })]
	for _, call := range f.calls(t, m) {
		if call.Seam != "ESA" {
			continue
		}
		t.Run("in "+call.String(), func(t *testing.T) {
			m.Once(t, func(s *matrix.Stand) {
				c := matrix.Cell{Call: call, Kind: hang}
				x := newTrial(t, s, f, c)
				if x.work = matrix.TimeLimit; !f.hasty {
					x.limit = 10 * time.Second // longer than the invocation's time, which a hasty one does not know
				}
				x.start(t, -1)
				x.breaks(t, c)
				x.drain(t)
				s.Heal(t)
				t.Logf("FC  no time left in %s: %s: %s", call, x.told(), x.judge(t))
			})
		})
	}
}

// drain works the job queue as the trigger does, until it is empty: a message whose invocation failed is delivered again,
// and when that has happened often enough, whatever is broken passes.
func (x *trial) drain(t *testing.T) {
	t.Helper()
	const enough, most = 3, 200
	failures := 0
	for rounds, quiet := 0, false; ; rounds++ {
		if rounds > most {
			t.Fatal("the job goes round for ever")
		}
		messages, err := x.stand.Queues.Receive(t.Context(), "jobs", 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(messages) == 0 {
			if quiet {
				return
			}
			quiet = true
			x.stand.Clock.Advance(20 * time.Minute)
			continue
		}
		quiet = false
		if !x.deliver(t, messages[0].Body) {
			if failures++; failures == enough {
				x.stand.Heal(t)
				x.saw = append(x.saw, "(healed)")
			}
			x.stand.Clock.Advance(time.Minute)
			continue
		}
		if err := x.stand.Queues.Delete(t.Context(), "jobs", messages[0].ReceiptHandle); err != nil {
			t.Fatal(err)
		}
	}
}

// deliver invokes the function with the message, and reports whether that settled it.
func (x *trial) deliver(t *testing.T, text string) bool {
	t.Helper()
	times := 1
	if x.twice {
		times = 2
	}
	for range times {
		if !x.invoke(t, text) {
			return false
		}
		if x.restart {
			x.start(t, -1)
		}
	}
	return true
}

// answer is what an invocation ended with.
type answer struct {
	report
	err error
}

// invoke runs one invocation. An instance that is killed in it, or before it can report, is replaced.
func (x *trial) invoke(t *testing.T, text string) (settled bool) {
	t.Helper()
	defer x.stand.Over(t, x.cell)
	ended := make(chan answer, 1)
	w, instance, event := x.worker, x.instance, sim.Event(t, text)
	// Whoever looks for the end of an invocation whose instance is dead looks at the end of the trial.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	if !x.flow.hasty {
		ctx, cancel = context.WithTimeout(ctx, w.reserve+x.work)
	}
	x.stand.Go(func() {
		defer cancel()
		out, err := w.handle(ctx, event)
		ended <- answer{out, err}
	})
	select {
	case <-instance.Died():
		x.saw = append(x.saw, "killed")
		x.start(t, -1)
		return false
	case got := <-ended:
		if x.unreported && got.err == nil && w.finishes(got) {
			x.unreported = false
			x.saw = append(x.saw, "not reported")
			x.start(t, -1)
			return false
		}
		return x.note(got)
	}
}

// finishes reports whether the invocation was the job's last.
func (w *worker) finishes(got answer) bool {
	last := got.Messages[len(got.Messages)-1].Outcome
	return last == succeeded || last == deadLettered
}

// note writes down what the caller saw.
func (x *trial) note(got answer) bool {
	if got.err != nil {
		x.saw = append(x.saw, "error "+fault.From(got.err).Code)
		return false
	}
	for _, line := range got.Messages {
		x.saw = append(x.saw, string(line.Outcome))
	}
	return true
}

// told is what the caller saw, in short.
func (x *trial) told() string {
	var out []string
	for i := 0; i < len(x.saw); {
		n := 1
		for i+n < len(x.saw) && x.saw[i+n] == x.saw[i] {
			n++
		}
		text := x.saw[i]
		if n > 1 {
			text = fmt.Sprintf("%s x%d", text, n)
		}
		out = append(out, text)
		i += n
	}
	return strings.Join(out, ", ")
}
