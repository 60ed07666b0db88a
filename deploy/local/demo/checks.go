package demo

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
)

// outcome is what the demo finds when all has ended, beside the jobs of its lines.
type outcome struct {
	// strays are jobs of no line.
	strays []*job
	// left is how many messages are on the queues.
	left int
	esa  esaemu.State
	// calls are ESA's, and rules the faults that did not strike.
	calls []faults.Record
	rules []faults.Rule
}

// look finds out what became of each line.
func (d *demo) look(ctx context.Context) (o outcome, err error) {
	jobs, err := d.accept.jobs(ctx)
	if err != nil {
		return o, err
	}
	for i, j := range jobs {
		if jobs[i], err = d.accept.job(ctx, j.ID); err != nil {
			return o, err
		}
	}
	owned := map[*job]bool{}
	for _, l := range d.lines {
		if i := slices.IndexFunc(jobs, l.owns); i >= 0 {
			l.job = jobs[i]
			owned[l.job] = true
		}
	}
	o.strays = slices.DeleteFunc(jobs, func(j *job) bool { return owned[j] })
	var queues []struct{ ActiveMessages, InactiveMessages, DelayMessages int }
	if err = d.accept.get(ctx, d.stack.MNSURL()+"/_local/queues", &queues); err != nil {
		return o, err
	}
	for _, q := range queues {
		o.left += q.ActiveMessages + q.InactiveMessages + q.DelayMessages
	}
	o.calls, o.rules = d.stack.ESA().Faults().Calls(), d.stack.ESA().Faults().Rules()
	o.esa, err = d.stack.ESA().State()
	return o, err
}

// owns reports whether the job is the line's. One that came over the queue is known by the name of its routine, or by its message if that
// holds no request.
func (l *line) owns(j *job) bool {
	if !l.Queue {
		return j.ID == l.answer.jobID
	}
	return l.wish.Name != "" && j.Request.Name == l.wish.Name || j.Received != nil && j.Received.Body == l.text()
}

// check is one promise and what speaks against it.
type check struct {
	// name is the promise, note what it was held against.
	name, note string
	problems   []string
}

func (c *check) fail(bad bool, format string, args ...any) {
	if bad {
		c.problems = append(c.problems, fmt.Sprintf(format, args...))
	}
}

// checks holds the outcome against what Routinely promises.
func (d *demo) checks(o outcome) []check {
	return []check{d.accounted(o), d.expected(), d.inESA(o), d.letters(), d.unreadable(), queues(o), d.lock(o), d.outages(), struck(o)}
}

func (d *demo) accounted(o outcome) check {
	c := check{name: "every request is accounted for exactly once", note: fmt.Sprintf("%d requests, %d jobs", len(d.lines), countJobs(d.lines))}
	jobs := map[string]string{}
	for _, l := range d.lines {
		first, known := jobs[l.Key]
		c.fail(known && first != l.answer.jobID, "%q: the key %q stands for two jobs", l.Case, l.Key)
		jobs[l.Key] = l.answer.jobID
		refused := l.answer.code != ""
		c.fail(refused && l.job != nil, "%q was refused and worked on", l.Case)
		c.fail(!refused && l.job == nil, "%q was accepted and lost", l.Case)
		c.fail(!refused && l.job != nil && l.job.State == "queued", "%q was accepted and has not ended", l.Case)
	}
	for _, j := range o.strays {
		c.fail(true, "job %q belongs to no request", j.ID)
	}
	return c
}

func (d *demo) expected() check {
	c := check{name: "each became what its line says"}
	for _, l := range d.lines {
		c.fail(l.became() != l.Expect, "%q: %s; expected: %s", l.Case, l.became(), l.Expect)
	}
	return c
}

func (d *demo) inESA(o outcome) check {
	want, got := d.held(esaemu.State{Routines: slices.Collect(maps.Values(d.want)), Planted: d.planted}), d.held(o.esa)
	c := check{name: "ESA holds what was asked for and nothing else", note: fmt.Sprintf("%d routines and records, what others made untouched", len(want))}
	for _, thing := range slices.Sorted(maps.Keys(want)) {
		c.fail(!got[thing], "missing: %s", thing)
	}
	for _, thing := range slices.Sorted(maps.Keys(got)) {
		c.fail(!want[thing], "not asked for: %s", thing)
	}
	return c
}

// stepLooked is the step of a dead letter about what a list showed: ESA refused nothing.
const stepLooked = "ListRoutineRelatedRecords"

func (d *demo) letters() check {
	c, n := check{name: "every dead letter says kind, code, what to do and ESA's request id"}, 0
	for _, l := range d.lines {
		if j := l.job; j != nil && j.State == deadLettered {
			n++
			c.fail(j.Kind == "" || j.Code == "" || j.Hint == "", "%q: kind %q, code %q, hint %q", l.Case, j.Kind, j.Code, j.Hint)
			c.fail(j.Step != "" && j.Step != stepLooked && j.RequestID == "", "%q: no request id of %s", l.Case, j.Step)
		}
	}
	c.note = fmt.Sprintf("%d dead letters", n)
	return c
}

func (d *demo) unreadable() check {
	c := check{name: "a message without a valid request is kept byte for byte"}
	for _, l := range d.lines {
		kept := l.job != nil && l.job.Received != nil && l.job.Received.Encoding == "text" && l.job.Received.Body == l.text()
		c.fail(l.Queue && !l.expects("routine") && !kept, "%q is not among the dead letters as it was", l.Case)
	}
	return c
}

func queues(o outcome) check {
	c := check{name: "the queues are empty"}
	c.fail(o.left > 0, "%d messages are left", o.left)
	return c
}

// lock relies on every further attempt having a cause: an error that was injected, or the code that ESA itself answers and that is tried
// again. An answer that is lost costs no attempt.
func (d *demo) lock(o outcome) check {
	c := check{name: "no lock refusal was counted as an attempt"}
	again, cost, seen := 0, d.cost, map[*job]bool{nil: true}
	for _, l := range d.lines {
		if seen[l.job] {
			continue
		}
		seen[l.job] = true
		again += max(l.job.Attempt-1, 0)
		depended := 0
		for _, attempt := range l.job.Attempts {
			c.fail(attempt.Kind == "locked", "%q has an attempt that failed by the lock", l.Case)
			if attempt.Code == codeDepended {
				depended++
			}
		}
		cost += max(depended-1, 0) // the last one ends the job
	}
	refused := locked(o.calls)
	c.fail(refused == 0, "no call met the lock: nothing was shown")
	c.fail(again > cost, "%d further attempts for %d errors that are tried again", again, cost)
	c.note = fmt.Sprintf("%d refusals, %d further attempts for %d errors that are tried again", refused, again, cost)
	return c
}

// locked is how many calls met the lock.
func locked(calls []faults.Record) (n int) {
	for _, call := range calls {
		if call.Code == codeLocked {
			n++
		}
	}
	return n
}

func (d *demo) outages() check {
	c := check{name: "without the ledger nothing is promised, and without MNS nobody is refused"}
	c.fail(d.down.status != http.StatusServiceUnavailable, "without the ledger a request was %s", d.down)
	c.fail(d.waiting != sentDown, "without MNS %d of %d requests were accepted and wait for the queue", d.waiting, sentDown)
	c.note = fmt.Sprintf("%s; %d jobs that the janitor sent", d.down, d.waiting)
	return c
}

func struck(o outcome) check {
	c := check{name: "every planned fault struck"}
	for _, rule := range o.rules {
		c.fail(true, "%s %s on %s of %s: %d did not", rule.Fault.Answer, rule.Fault.Code, rule.Action, rule.Match["Name"], rule.Times)
	}
	return c
}
