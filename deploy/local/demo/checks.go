package demo

import (
	"fmt"
	"slices"

	"routinely/deploy/local/stack"
)

// check is one promise and what speaks against it.
type check struct {
	// name is the promise, note what it was held against.
	name, note string
	problems   []string
}

func (c *check) fail(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// codeLocked is ESA's answer while another routine operation of the account runs.
const codeLocked = "UserOperationStatusIsLocked"

// kindLocked is how the worker calls it.
const kindLocked = "locked"

// checks holds the outcome against what Routinely promises.
func checks(o *outcome, a accounts) []check {
	list := []check{
		checkAccounted(o, a), checkExpected(o, a), checkESA(o), checkLetters(a), checkUnreadable(a), checkQueue(o), checkLock(o),
	}
	if o.journal.earlier == 0 {
		list = append(list, checkFaults(o))
	}
	return list
}

func checkAccounted(o *outcome, a accounts) check {
	c := check{name: "every request is accounted for exactly once", note: fmt.Sprintf("%d requests, %d jobs", len(a.rows), countJobs(o.lines))}
	jobs := map[string]string{}
	for _, r := range a.rows {
		if first := jobs[r.Key]; first != "" && first != r.jobID {
			c.fail("%q: the key %q stands for two jobs", r.Case, r.Key)
		}
		jobs[r.Key] = r.jobID
		switch copies := len(r.letters); {
		case r.code != "" && len(r.ends)+copies > 0:
			c.fail("%q was refused and worked on", r.Case)
		case r.code == "" && len(r.ends) == 0:
			c.fail("%q was accepted and lost", r.Case)
		case len(r.ends) > 1, r.ends[outcomeSucceeded] && copies > 0:
			c.fail("%q succeeded and was given up", r.Case)
		case r.ends[outcomeDeadLettered] && copies == 0:
			c.fail("%q was given up and has no dead letter", r.Case)
		case copies > 1 && !o.disturbed():
			c.fail("%q has %d dead letters", r.Case, copies)
		}
	}
	// A demo that was killed between putting a message on the queue and writing that down leaves one job of no known line.
	if strays := a.strayWords; len(strays) > o.journal.earlier {
		c.fail("%d jobs belong to no request, the first is %s", len(strays), strays[0].subject())
	}
	for _, d := range a.strayLetters {
		c.fail("a dead letter belongs to no request: job %q, %.100q", d.JobID, d.Received.Body+d.raw)
	}
	return c
}

func checkExpected(o *outcome, a accounts) check {
	c := check{name: "each became what its line says"}
	if o.disturbed() {
		c.note = "or was found done"
	}
	for _, r := range a.rows {
		if !r.asExpected(o.disturbed()) {
			c.fail("%q: %s; expected: %s", r.Case, r.became(), r.Expect.shown())
		}
	}
	return c
}

func checkESA(o *outcome) check {
	want, got := wanted(o.lines, o.journal.planted, stack.SiteID), held(&o.state, o.journal.planted)
	c := check{name: "ESA holds what was asked for and nothing else", note: fmt.Sprintf("%d routines and records, the planted ones untouched", len(want))}
	for _, thing := range missing(want, got) {
		c.fail("missing: %s", thing)
	}
	for _, thing := range missing(got, want) {
		c.fail("not asked for: %s", thing)
	}
	return c
}

func checkLetters(a accounts) check {
	c := check{name: "every dead letter says kind, code, what to do and ESA's request id"}
	n := 0
	for _, r := range a.rows {
		for _, d := range r.letters {
			n++
			for field, value := range map[string]string{"kind": d.Kind, "code": d.Code, "hint": d.Hint} {
				if value == "" {
					c.fail("%q: no %s", r.Case, field)
				}
			}
			if d.Step != "" && d.RequestID == "" {
				c.fail("%q: no request id of %s", r.Case, d.Step)
			}
		}
	}
	c.note = fmt.Sprintf("%d dead letters", n)
	return c
}

func checkUnreadable(a accounts) check {
	c := check{name: "a message without a valid request is kept byte for byte"}
	for _, r := range a.rows {
		if !r.Queue || r.Expect.success() {
			continue
		}
		kept := slices.ContainsFunc(r.letters, func(d letter) bool {
			return d.Received.Encoding == "text" && d.Received.Body == r.text()
		})
		if !kept {
			c.fail("%q is not in the dead-letter queue as it was", r.Case)
		}
	}
	return c
}

func checkQueue(o *outcome) check {
	c := check{name: "the job queue is empty"}
	if o.left > 0 {
		c.fail("%d messages are left", o.left)
	}
	return c
}

// checkLock relies on every further attempt having a cause: a failed one that was injected. An answer that is lost costs none,
// unless it was the lock's refusal that got lost; only a disturbance can bring these together.
func checkLock(o *outcome) check {
	refused, again, costly := 0, 0, 0
	c := check{name: "no lock refusal was counted as an attempt"}
	for _, call := range o.calls {
		if call.Code == codeLocked {
			refused++
		}
	}
	for _, w := range o.words {
		if w.Outcome != outcomeAgain {
			continue
		}
		again++
		if w.Kind == kindLocked {
			c.fail("attempt %d of job %s failed by the lock", w.Attempt, w.JobID)
		}
	}
	for _, d := range o.letters {
		for _, attempt := range d.Attempts {
			if attempt.Kind == kindLocked {
				c.fail("the dead letter of job %s has an attempt that failed by the lock", d.JobID)
			}
		}
	}
	for _, f := range o.faults {
		if !f.lost || o.disturbed() {
			costly += f.times - f.left
		}
	}
	if refused == 0 {
		c.fail("no call met the lock: nothing was shown")
	}
	if again > costly {
		c.fail("%d attempts failed and only %d errors were injected", again, costly)
	}
	c.note = fmt.Sprintf("%d refusals, %d further attempts for %d injected errors", refused, again, costly)
	return c
}

func checkFaults(o *outcome) check {
	c := check{name: "every planned fault struck"}
	for _, f := range o.faults {
		if f.left > 0 {
			c.fail("%s on %s: %d of %d did not", f.name, f.action, f.left, f.times)
		}
	}
	return c
}
