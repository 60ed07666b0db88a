package provision_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

// all are the actions that ESA was called with, in their order, since the last time.
func (a account) all() (out []string) {
	for _, call := range a.Faults().Calls() {
		out = append(out, call.Action)
	}
	a.Faults().Reset()
	return out
}

// bind runs a request for another host name of pr-1, altered by change, in an invocation.
func (a account) bind(t *testing.T, known *provision.Known, host string, change ...func(*routine.Request)) (outcome, error) {
	t.Helper()
	req := wish()
	req.Records[0].RecordName = host + ".example.com"
	for _, alter := range change {
		alter(&req)
	}
	result, err := a.runJob(t.Context(), job(req), &routine.Progress{}, known, recorded)
	return outcome{result.Routine, result.Record}, err
}

// TestKnown is about runs of one invocation.
func TestKnown(t *testing.T) {
	described := func(text string) func(*routine.Request) {
		return func(r *routine.Request) { r.Description = &text }
	}
	created, adopted := outcome{routine.Created, routine.Created}, outcome{routine.Adopted, routine.Created}
	// binds expects that a host name is bound.
	binds := func(t *testing.T, a account, known *provision.Known, host string, want outcome, change ...func(*routine.Request)) {
		t.Helper()
		got, err := a.bind(t, known, host, change...)
		must(t, err)
		same(t, "outcome", got, want)
	}
	t.Run("a routine is proven once, by its create: the others bind at once", func(t *testing.T) {
		a, known := start(t), new(provision.Known)
		binds(t, a, known, "a", created, described("shop"))
		binds(t, a, known, "b", adopted)
		binds(t, a, known, "c", adopted, described("shop"))
		same(t, "calls", a.all(), []string{sites, get, create, get, record, record, record})
	})
	t.Run("a routine is proven once in an invocation, by a look", func(t *testing.T) {
		a, known := start(t), new(provision.Known)
		a.plant(t, -time.Hour)
		for _, host := range []string{"a", "b", "c"} {
			binds(t, a, known, host, adopted)
		}
		same(t, "looks", a.Faults().Count(get), 1)
		binds(t, a, new(provision.Known), "d", adopted)
		same(t, "looks after another invocation", a.Faults().Count(get), 2)
	})
	t.Run("each request is judged by its own fields", func(t *testing.T) {
		a, known := start(t), new(provision.Known)
		binds(t, a, known, "a", created, described("shop"))
		_, other := a.bind(t, known, "b", described("blog"))
		_, strict := a.bind(t, known, "c", func(r *routine.Request) { r.IfExists = routine.Fail })
		if !fault.HasKind(other, fault.Conflict) || !fault.HasKind(strict, fault.Conflict) || fault.From(strict).RequestID == "" {
			t.Errorf("got %v and %v, want two conflicts", other, strict)
		}
		same(t, "looks: the refusals are judged by what ESA shows", a.Faults().Count(get), 4)
	})
	t.Run("what the ledger did not take is not known: ESA is asked", func(t *testing.T) {
		a, known := start(t), new(provision.Known)
		a.book.breaks, a.book.broken = 1, errors.New("the ledger does not answer")
		if _, err := a.bind(t, known, "a"); err != a.book.broken {
			t.Errorf("got %v", err)
		}
		a.book.broken = nil
		a.all()
		binds(t, a, known, "b", adopted)
		same(t, "calls", a.all(), []string{get, record})
		same(t, "claim", a.claimed(), "live owned ci")
	})
	t.Run("RoutineNotExist forgets it: ESA is asked", func(t *testing.T) {
		a, known := start(t), new(provision.Known)
		binds(t, a, known, "a", created)
		a.all()
		a.inject(t, faults.Rule{Action: record, Fault: faults.Fault{Answer: faults.Error, Code: esa.CodeRoutineNotExist}})
		binds(t, a, known, "b", adopted)
		same(t, "calls", a.all(), []string{record, get, record})
	})
	t.Run("a write that ESA answers is told, one that it refuses to the account is not", func(t *testing.T) {
		a, known := start(t), new(provision.Known)
		must(t, a.SetOverdue(true))
		if _, err := a.bind(t, known, "a"); !fault.HasCode(err, esa.CodeServiceHalt) || known.Written {
			t.Errorf("%v, written %t", err, known.Written)
		}
		must(t, a.SetOverdue(false))
		binds(t, a, known, "a", created)
		same(t, "written and created", []bool{known.Written, known.Changed}, []bool{true, true})
	})
}

// TestSites is about what is found out before anything is made.
func TestSites(t *testing.T) {
	elsewhere := func(r *routine.Request) { r.Records[0].SiteID = 99 }
	named := func(name string) func(*routine.Request) {
		return func(r *routine.Request) { r.Records[0].RecordName = name }
	}
	for name, test := range map[string]struct {
		change func(*routine.Request)
		kind   fault.Kind
		code   string
	}{
		"a site that is not the account's":    {elsewhere, fault.NotFound, esa.CodeSiteParameterNotMatch},
		"a site that is not active":           {func(r *routine.Request) { r.Records[0] = routine.Record{SiteID: 7, RecordName: "a.example.net"} }, fault.Conflict, provision.CodeSiteNotActive},
		"a record name outside of its zone":   {named("a.example.org"), fault.NotFound, esa.CodeSiteParameterNotMatch},
		"a record name that ends like a zone": {named("myexample.com"), fault.NotFound, esa.CodeSiteParameterNotMatch},
	} {
		t.Run(name+" is refused with nothing made", func(t *testing.T) {
			a := start(t)
			must(t, a.AddSite(esaemu.Site{ID: 7, Name: "example.net", Status: "pending"}))
			_, err := a.bind(t, new(provision.Known), "a", test.change)
			failure := fault.From(err)
			if failure == nil || failure.Kind != test.kind || failure.Code != test.code || failure.RequestID == "" || failure.Hint == "" || failure.Step != sites {
				t.Errorf("got %+v", failure)
			}
			same(t, "calls", a.all(), []string{sites})
		})
	}
	t.Run("the site's own name is in its zone", func(t *testing.T) {
		_, err := start(t).bind(t, new(provision.Known), "a", named("example.com"))
		must(t, err)
	})
	t.Run("an active site is remembered for minutes, one that is not there is asked for each time", func(t *testing.T) {
		a := start(t)
		count := func(change ...func(*routine.Request)) int {
			_, _ = a.bind(t, new(provision.Known), "a", change...)
			return a.Faults().Count(sites)
		}
		got := []int{count(), count(), count(elsewhere), count()}
		a.clock.Advance(6 * time.Minute)
		same(t, "reads of the sites after each request", append(got, count()), []int{1, 1, 2, 2, 3})
	})
	for name, broken := range map[string]faults.Fault{
		"is denied":     {Answer: faults.Error, Status: 403, Code: "Forbidden.RAM"},
		"is unanswered": {Answer: faults.Reset},
		"is not whole":  {Answer: faults.Truncated},
	} {
		t.Run("a look-up that "+name+" stops nobody, and is not repeated in the invocation", func(t *testing.T) {
			a, known := start(t), new(provision.Known)
			a.inject(t, faults.Rule{Action: sites, Times: 5, Fault: broken})
			for _, host := range []string{"a", "b"} {
				_, err := a.bind(t, known, host)
				must(t, err)
			}
			same(t, "reads of the sites", a.Faults().Count(sites), 1)
			_, err := a.bind(t, new(provision.Known), "c", elsewhere)
			if failure := fault.From(err); failure == nil || failure.Code != esa.CodeSiteParameterNotMatch || failure.Step != record {
				t.Errorf("got %v, want the refusal of step 2", err)
			}
		})
	}
	t.Run("a job that has its routine is not told that nothing was created", func(t *testing.T) {
		a, req := start(t), wish()
		req.Records[0].SiteID = 99
		for _, progress := range []routine.Progress{{}, {Routine: routine.Created}} {
			failure := a.fails(t, req, &progress, fault.NotFound, esa.CodeSiteParameterNotMatch)
			same(t, "says that nothing was created", strings.Contains(failure.Hint, "Nothing was created"), progress.Routine == "")
		}
	})
}
