package provision_test

import (
	"context"
	"fmt"
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

// TestKnown is about runs of one invocation.
func TestKnown(t *testing.T) {
	next := 0
	// bind runs a request for another host name of pr-1.
	bind := func(t *testing.T, a account, known *provision.Known, change func(*routine.Request)) (outcome, error) {
		t.Helper()
		req := wish()
		next++
		req.RecordName = fmt.Sprintf("host-%d.example.com", next)
		if change != nil {
			change(&req)
		}
		result, err := a.workflow.Run(t.Context(), req, &routine.Progress{}, known, recorded)
		return outcome{result.Routine, result.Record}, err
	}
	described := func(text string) func(*routine.Request) {
		return func(r *routine.Request) { r.Description = &text }
	}
	created, adopted := outcome{routine.Created, routine.Created}, outcome{routine.Adopted, routine.Created}
	t.Run("a routine is proven once, by its create: the others bind at once", func(t *testing.T) {
		a, known := start(t), new(provision.Known)
		first, err := bind(t, a, known, described("shop"))
		second, secondErr := bind(t, a, known, nil)
		third, thirdErr := bind(t, a, known, described("shop"))
		if err != nil || secondErr != nil || thirdErr != nil {
			t.Fatal(err, secondErr, thirdErr)
		}
		same(t, "outcomes", []outcome{first, second, third}, []outcome{created, adopted, adopted})
		same(t, "calls", a.all(), []string{sites, get, create, record, record, record})
	})
	t.Run("a routine is proven once, by a look", func(t *testing.T) {
		a, known := start(t), new(provision.Known)
		a.plant(t, -time.Hour)
		for range 3 {
			if _, err := bind(t, a, known, nil); err != nil {
				t.Fatal(err)
			}
		}
		same(t, "looks", a.Faults().Count(get), 1)
	})
	t.Run("each request is judged by its own fields", func(t *testing.T) {
		a, known := start(t), new(provision.Known)
		if _, err := bind(t, a, known, described("shop")); err != nil {
			t.Fatal(err)
		}
		_, other := bind(t, a, known, described("blog"))
		_, strict := bind(t, a, known, func(r *routine.Request) { r.IfExists = routine.Fail })
		if !fault.HasKind(other, fault.Conflict) || !fault.HasKind(strict, fault.Conflict) || fault.From(strict).RequestID == "" {
			t.Errorf("got %v and %v, want two conflicts", other, strict)
		}
		same(t, "looks: the refusals are judged by what ESA shows", a.Faults().Count(get), 3)
	})
	t.Run("RoutineNotExist forgets it: ESA is asked", func(t *testing.T) {
		a, known := start(t), new(provision.Known)
		if _, err := bind(t, a, known, nil); err != nil {
			t.Fatal(err)
		}
		a.all()
		a.inject(t, faults.Rule{Action: record, Fault: faults.Fault{Answer: faults.Error, Code: esa.CodeRoutineNotExist}})
		if got, err := bind(t, a, known, nil); err != nil || got != adopted {
			t.Errorf("%+v, %v", got, err)
		}
		same(t, "calls", a.all(), []string{record, get, record})
	})
	t.Run("another invocation asks anew", func(t *testing.T) {
		a := start(t)
		for range 2 {
			if _, err := bind(t, a, new(provision.Known), nil); err != nil {
				t.Fatal(err)
			}
		}
		same(t, "looks", a.Faults().Count(get), 2)
	})
	t.Run("a write that ESA answers is told, one that it refuses to the account is not", func(t *testing.T) {
		a, known := start(t), new(provision.Known)
		must(t, a.SetOverdue(true))
		if _, err := bind(t, a, known, nil); !fault.HasCode(err, esa.CodeServiceHalt) || known.Written {
			t.Errorf("%v, written %t", err, known.Written)
		}
		must(t, a.SetOverdue(false))
		if _, err := bind(t, a, known, nil); err != nil || !known.Written || !known.Created {
			t.Errorf("%v, %+v", err, known)
		}
	})
}

// TestSites is about what is found out before anything is made.
func TestSites(t *testing.T) {
	ask := func(t *testing.T, a account, known *provision.Known, change func(*routine.Request)) error {
		t.Helper()
		req := wish()
		change(&req)
		_, err := a.workflow.Run(t.Context(), req, &routine.Progress{}, known, recorded)
		return err
	}
	for name, test := range map[string]struct {
		change func(*routine.Request)
		kind   fault.Kind
		code   string
	}{
		"a site that is not the account's":    {func(r *routine.Request) { r.SiteID = 99 }, fault.NotFound, esa.CodeSiteParameterNotMatch},
		"a site that is not active":           {func(r *routine.Request) { r.SiteID, r.RecordName = 7, "a.example.net" }, fault.Conflict, provision.CodeSiteNotActive},
		"a record name outside of its zone":   {func(r *routine.Request) { r.RecordName = "a.example.org" }, fault.NotFound, esa.CodeSiteParameterNotMatch},
		"a record name that ends like a zone": {func(r *routine.Request) { r.RecordName = "myexample.com" }, fault.NotFound, esa.CodeSiteParameterNotMatch},
	} {
		t.Run(name+" is refused with nothing made", func(t *testing.T) {
			a := start(t)
			must(t, a.AddSite(esaemu.Site{ID: 7, Name: "example.net", Status: "pending"}))
			failure := fault.From(ask(t, a, new(provision.Known), test.change))
			if failure == nil || failure.Kind != test.kind || failure.Code != test.code || failure.RequestID == "" || failure.Hint == "" || failure.Step != sites {
				t.Errorf("got %+v", failure)
			}
			same(t, "calls", a.all(), []string{sites})
		})
	}
	t.Run("the site's own name is in its zone", func(t *testing.T) {
		if err := ask(t, start(t), new(provision.Known), func(r *routine.Request) { r.RecordName = "example.com" }); err != nil {
			t.Error(err)
		}
	})
	t.Run("an active site is remembered for minutes, one that is not there is asked for each time", func(t *testing.T) {
		a := start(t)
		count := func(change func(*routine.Request)) int {
			_ = ask(t, a, new(provision.Known), change)
			return a.Faults().Count(sites)
		}
		same := func(*routine.Request) {}
		got := []int{count(same), count(same), count(func(r *routine.Request) { r.SiteID = 99 }), count(same)}
		a.clock.Advance(6 * time.Minute)
		if got = append(got, count(same)); fmt.Sprint(got) != "[1 1 2 2 3]" {
			t.Errorf("reads of the sites after each request: %v", got)
		}
	})
	for name, broken := range map[string]faults.Fault{
		"is denied":     {Answer: faults.Error, Status: 403, Code: "Forbidden.RAM"},
		"is unanswered": {Answer: faults.Reset},
		"is not whole":  {Answer: faults.Truncated},
	} {
		t.Run("a look-up that "+name+" stops nobody, and is not repeated in the invocation", func(t *testing.T) {
			a, known := start(t), new(provision.Known)
			a.inject(t, faults.Rule{Action: sites, Times: 5, Fault: broken})
			for n := range 2 {
				must(t, ask(t, a, known, func(r *routine.Request) { r.RecordName = fmt.Sprintf("n%d.example.com", n) }))
			}
			same(t, "reads of the sites", a.Faults().Count(sites), 1)
			err := ask(t, a, new(provision.Known), func(r *routine.Request) { r.SiteID = 99 })
			if failure := fault.From(err); failure == nil || failure.Code != esa.CodeSiteParameterNotMatch || failure.Step != record {
				t.Errorf("got %v, want the refusal of step 2", err)
			}
		})
	}
	t.Run("a job that has its routine does not ask", func(t *testing.T) {
		a := start(t)
		a.plant(t, -time.Hour)
		if _, err := a.attempt(t.Context(), wish(), &routine.Progress{Routine: routine.Adopted}, func(context.Context, routine.Progress) error { return nil }); err != nil {
			t.Fatal(err)
		}
		same(t, "reads of the sites", a.Faults().Count(sites), 0)
	})
}
