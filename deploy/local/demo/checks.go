package demo

import (
	"fmt"

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

// codeDepended is ESA's answer for a host name that is an ordinary record. It looks like a passing one, so it is tried again.
const codeDepended = "DependedByOthers"

// kindLocked is how the worker calls it.
const kindLocked = "locked"

// checks holds the outcome against what Routinely promises.
func checks(o *outcome) []check {
	return []check{
		checkAccounted(o), checkExpected(o), checkESA(o), checkLetters(o), checkUnreadable(o), checkQueues(o), checkLock(o), checkOutages(o),
		checkFaults(o),
	}
}

func checkAccounted(o *outcome) check {
	c := check{name: "every request is accounted for exactly once", note: fmt.Sprintf("%d requests, %d jobs", len(o.rows), countJobs(o.lines))}
	jobs := map[string]string{}
	for _, r := range o.rows {
		if first, known := jobs[r.Key]; known && first != r.jobID {
			c.fail("%q: the key %q stands for two jobs", r.Case, r.Key)
		}
		jobs[r.Key] = r.jobID
		switch {
		case r.code != "" && r.job != nil:
			c.fail("%q was refused and worked on", r.Case)
		case r.code == "" && r.job == nil:
			c.fail("%q was accepted and lost", r.Case)
		case r.code == "" && r.job.State == "queued":
			c.fail("%q was accepted and has not ended", r.Case)
		}
	}
	for _, j := range o.strays {
		c.fail("job %q belongs to no request", j.ID)
	}
	return c
}

func checkExpected(o *outcome) check {
	c := check{name: "each became what its line says"}
	for _, r := range o.rows {
		if became := r.became(); became != r.Expect.shown() {
			c.fail("%q: %s; expected: %s", r.Case, became, r.Expect.shown())
		}
	}
	return c
}

func checkESA(o *outcome) check {
	want, got := wanted(o.lines, &o.planted, stack.SiteID), held(&o.state, &o.planted)
	c := check{name: "ESA holds what was asked for and nothing else", note: fmt.Sprintf("%d routines and records, the planted ones untouched", len(want))}
	for _, thing := range missing(want, got) {
		c.fail("missing: %s", thing)
	}
	for _, thing := range missing(got, want) {
		c.fail("not asked for: %s", thing)
	}
	return c
}

func checkLetters(o *outcome) check {
	c := check{name: "every dead letter says kind, code, what to do and ESA's request id"}
	n := 0
	for _, r := range o.rows {
		if r.job == nil || r.job.State != deadLettered {
			continue
		}
		n++
		for field, value := range map[string]string{"kind": r.job.Kind, "code": r.job.Code, "hint": r.job.Hint} {
			if value == "" {
				c.fail("%q: no %s", r.Case, field)
			}
		}
		if r.job.Step != "" && r.job.RequestID == "" {
			c.fail("%q: no request id of %s", r.Case, r.job.Step)
		}
	}
	c.note = fmt.Sprintf("%d dead letters", n)
	return c
}

func checkUnreadable(o *outcome) check {
	c := check{name: "a message without a valid request is kept byte for byte"}
	for _, r := range o.rows {
		if !r.Queue || r.Expect.success() {
			continue
		}
		if r.job == nil || r.job.Received == nil || r.job.Received.Encoding != "text" || r.job.Received.Body != r.text() {
			c.fail("%q is not among the dead letters as it was", r.Case)
		}
	}
	return c
}

func checkQueues(o *outcome) check {
	c := check{name: "the queues are empty"}
	if o.left > 0 {
		c.fail("%d messages are left", o.left)
	}
	return c
}

// checkLock relies on every further attempt having a cause: a failed one that was injected, or the code that ESA itself answers and that
// is tried again. An answer that is lost costs none.
func checkLock(o *outcome) check {
	refused, again, costly := 0, 0, 0
	c := check{name: "no lock refusal was counted as an attempt"}
	for _, call := range o.calls {
		if call.Code == codeLocked {
			refused++
		}
	}
	seen := map[string]bool{}
	for _, r := range o.rows {
		if r.job == nil || seen[r.job.ID] {
			continue
		}
		seen[r.job.ID] = true
		again += max(r.job.Attempt-1, 0)
		depended := 0
		for _, attempt := range r.job.Attempts {
			if attempt.Code == codeDepended {
				depended++
			}
			if attempt.Kind == kindLocked {
				c.fail("%q has an attempt that failed by the lock", r.Case)
			}
		}
		costly += max(depended-1, 0) // the last one ends the job
	}
	for _, f := range o.faults {
		if !f.lost {
			costly += f.times - f.left
		}
	}
	if refused == 0 {
		c.fail("no call met the lock: nothing was shown")
	}
	if again > costly {
		c.fail("%d further attempts for %d errors that are tried again", again, costly)
	}
	c.note = fmt.Sprintf("%d refusals, %d further attempts for %d errors that are tried again", refused, again, costly)
	return c
}

func checkOutages(o *outcome) check {
	c := check{name: "without the ledger nothing is promised, and without MNS nobody is refused"}
	if o.refused != askedDown {
		c.fail("without the ledger %d of %d requests were answered with 503", o.refused, askedDown)
	}
	if o.waiting != sentDown {
		c.fail("without MNS %d of %d requests were accepted and wait for the queue", o.waiting, sentDown)
	}
	c.note = fmt.Sprintf("%d answers 503, %d jobs that the janitor sent", o.refused, o.waiting)
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
