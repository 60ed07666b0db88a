package provision_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

// The callers of the tests. The owner asks first for pr-1.
const (
	owner = "ci"
	other = "web"
)

// task is a job about pr-1 with its progress.
type task struct {
	provision.Job
	progress routine.Progress
}

// newTask is job n of a caller, whose number is n too: it is accepted after those with lower numbers.
func newTask(n int, caller string, req routine.Request) *task {
	return &task{Job: provision.Job{ID: fmt.Sprintf("job-%d", n), Request: req, Caller: caller, Number: int64(n)}}
}

// operating gives the task's caller the scope operate.
func (k *task) operating() *task {
	k.Operate = true
	return k
}

// creates asks for pr-1 with host names, given without their site's name.
func creates(hosts ...string) routine.Request {
	req := routine.Request{Name: "pr-1"}
	for _, host := range hosts {
		req.Records = append(req.Records, routine.Record{SiteID: localtest.SiteID, RecordName: host + ".example.com"})
	}
	return req
}

// with is a request altered.
func with(req routine.Request, alter func(*routine.Request)) routine.Request {
	alter(&req)
	return req
}

// asks is a request for something else than a routine with host names.
func asks(action routine.Action) routine.Request {
	return routine.Request{Action: action, Name: "pr-1"}
}

func unbinds(host string) routine.Request {
	return routine.Request{Action: routine.Unbind, Name: "pr-1", Records: []routine.Record{{RecordName: host + ".example.com"}}}
}

// try runs a task once, in an invocation of its own, with what is claimed by now.
func (a account) try(t *testing.T, k *task) (routine.Result, error) {
	t.Helper()
	return a.runJob(t.Context(), k.Job, &k.progress, &provision.Known{}, recorded)
}

// does expects that a task is done.
func (a account) does(t *testing.T, k *task) routine.Result {
	t.Helper()
	result, err := a.try(t, k)
	if err != nil {
		t.Fatalf("%s of %s: %v", k.ID, k.Caller, err)
	}
	return result
}

// refuses expects that a task fails with the kind and the code, and says what a person can do.
func (a account) refuses(t *testing.T, k *task, kind fault.Kind, code string) *fault.Error {
	t.Helper()
	result, err := a.try(t, k)
	var failure *fault.Error
	if !errors.As(err, &failure) || failure.Kind != kind || failure.Code != code || failure.Hint == "" {
		t.Fatalf("%s: got %+v, %v, want %s %s", k.ID, result, err, kind, code)
	}
	if shown := code == provision.CodeForeign || code == provision.CodeNotOwned && failure.Step == list; shown && failure.RequestID == "" {
		t.Errorf("%s: got %+v, want ESA's id of the call that showed it", k.ID, failure)
	}
	return failure
}

// passes expects that a task is superseded by another job, without a write to ESA.
func (a account) passes(t *testing.T, k *task, by string) {
	t.Helper()
	before := a.writes()
	result, err := a.try(t, k)
	var superseded *provision.Superseded
	if !errors.As(err, &superseded) || superseded.By != by {
		t.Fatalf("%s: got %+v, %v, want superseded by %s", k.ID, result, err, by)
	}
	same(t, "writes", a.writes(), before)
}

// writes counts the calls that change something in ESA.
func (a account) writes() (n int) {
	for _, action := range []string{create, record, describe, unbind, remove} {
		n += a.Faults().Count(action)
	}
	return n
}

// broke is the code of a fault whose answer was lost.
const broke = "ConnectionBroken"

// lose loses the answer to the next call of an action, before or after its effect.
func (a account) lose(t *testing.T, action string, afterEffect bool) {
	t.Helper()
	a.inject(t, faults.Rule{Action: action, Fault: faults.Fault{Answer: faults.Reset, Execute: afterEffect}})
}

// claimed is what the claim of pr-1 says of state, ownership and owner.
func (a account) claimed() string {
	c := a.book.routine("pr-1")
	return fmt.Sprintf("%s %s %s", c.State, c.Ownership, c.Caller)
}

// claimedHost is what the claim of a host name says of state, ownership and caller.
func (a account) claimedHost(host string) string {
	c := a.book.record("pr-1", host+".example.com")
	return fmt.Sprintf("%s %s %s", c.State, c.Ownership, c.Caller)
}

// bound lists the host names that ESA has bound to pr-1, without their site's name.
func (a account) bound(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, thing := range a.holds(t) {
		if host, found := strings.CutPrefix(thing, "pr-1 "); found {
			out = append(out, strings.TrimSuffix(host, ".example.com"))
		}
	}
	return out
}

// outsider binds a host name to pr-1 as another program does, and returns the record's id.
func (a account) outsider(t *testing.T, host string) int64 {
	t.Helper()
	id, err := a.BindRecord("pr-1", localtest.SiteID, host+".example.com")
	must(t, err)
	return id
}
