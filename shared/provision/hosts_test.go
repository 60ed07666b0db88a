package provision_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/esa"
	"routinely/shared/fault"
	"routinely/shared/provision"
	"routinely/shared/routine"
)

// TestSeveralHostNames is about a request for more than one.
func TestSeveralHostNames(t *testing.T) {
	// outcomes are those of the result's records, in their order.
	outcomes := func(result routine.Result) (out []string) {
		for _, r := range result.Records {
			out = append(out, strings.TrimSuffix(r.RecordName, ".example.com")+" "+string(r.Outcome))
		}
		return out
	}
	refusedB := faults.Rule{
		Action: record, Match: map[string]string{"RecordName": "b.example.com"},
		Fault: faults.Fault{Answer: faults.Error, Code: esa.CodeParameterAlreadyExist},
	}
	t.Run("each is bound, and the result shows each", func(t *testing.T) {
		a := start(t)
		result := a.does(t, newTask(1, owner, creates("a", "b", "c")))
		same(t, "records", outcomes(result), []string{"a created", "b created", "c created"})
		same(t, "ESA has", a.bound(t), []string{"a", "b", "c"})
		same(t, "no single record", result.RecordID, 0)
	})
	t.Run("one that ESA refuses does not keep the others from being bound, and the failure names it", func(t *testing.T) {
		a, k := start(t), newTask(1, owner, creates("a", "b", "c"))
		a.inject(t, refusedB)
		failure := a.refuses(t, k, fault.Conflict, esa.CodeParameterAlreadyExist)
		same(t, "ESA has", a.bound(t), []string{"a", "c"})
		if !strings.HasPrefix(failure.Message, "1 of 3 host names are not bound (b.example.com); the first: ") {
			t.Errorf("message %q", failure.Message)
		}
	})
	t.Run("a redrive binds the one that is missing, and asks nothing about the others", func(t *testing.T) {
		a, k := start(t), newTask(1, owner, creates("a", "b", "c"))
		a.inject(t, refusedB)
		a.refuses(t, k, fault.Conflict, esa.CodeParameterAlreadyExist)
		a.Faults().Reset()
		same(t, "records", outcomes(a.does(t, k)), []string{"a created", "c created", "b created"})
		same(t, "calls", a.calls(), []string{record})
	})
	t.Run("a failure that may pass ends the attempt, and the next one goes on where it ended", func(t *testing.T) {
		a, k := start(t), newTask(1, owner, creates("a", "b", "c"))
		a.inject(t, faults.Rule{Action: record, Skip: 1, Fault: faults.Fault{Answer: faults.Error, Code: "UserOperationStatusIsLocked"}})
		a.refuses(t, k, fault.Locked, "UserOperationStatusIsLocked")
		same(t, "ESA has", a.bound(t), []string{"a"})
		same(t, "records", outcomes(a.does(t, k)), []string{"a created", "b created", "c created"})
	})
	t.Run("in doubt is only the one whose answer was lost: another program's record is not taken for the job's", func(t *testing.T) {
		a, k := start(t), newTask(1, owner, with(creates("a", "b"), func(r *routine.Request) { r.IfExists = routine.Fail }))
		a.lose(t, record, false)
		a.inject(t, faults.Rule{Action: list, Fault: faults.Fault{Answer: faults.HTML}})
		a.refuses(t, k, fault.Unavailable, broke)
		a.outsider(t, "b")
		failure := a.refuses(t, k, fault.Conflict, esa.CodeParameterAlreadyExist)
		same(t, "names it", strings.Contains(failure.Message, "(b.example.com)"), true)
	})
	t.Run("nor is one for which another job's call was lost", func(t *testing.T) {
		a, k := start(t), newTask(2, owner, with(creates("a", "b"), func(r *routine.Request) { r.IfExists = routine.Fail }))
		unseen := func(k *task) {
			a.lose(t, record, false)
			a.inject(t, faults.Rule{Action: list, Fault: faults.Fault{Answer: faults.HTML}})
			a.refuses(t, k, fault.Unavailable, broke)
		}
		unseen(newTask(1, owner, creates("b")))
		must(t, a.RemoveRoutine("pr-1"))
		unseen(k)
		a.outsider(t, "b")
		a.refuses(t, k, fault.Conflict, esa.CodeParameterAlreadyExist)
	})
}

// TestFindSite is about host names whose site is not named.
func TestFindSite(t *testing.T) {
	unnamed := func(name string) routine.Request {
		return routine.Request{Name: "pr-1", Records: []routine.Record{{RecordName: name}}}
	}
	// zones adds sites beside the one of example.com.
	zones := func(t *testing.T) account {
		a := start(t)
		for _, site := range []esaemu.Site{
			{ID: 7, Name: "shop.example.com"}, {ID: 8, Name: "deep.shop.example.com", Status: "pending"}, {ID: 9, Name: "example.net", AccessType: "CNAME"},
		} {
			must(t, a.AddSite(site))
		}
		return a
	}
	for name, want := range map[string]int64{
		"a.example.com": localtest.SiteID, "example.com": localtest.SiteID, "a.shop.example.com": 7, "shop.example.com": 7, "myshop.example.com": localtest.SiteID,
		"a.deep.shop.example.com": 7, "a.example.net": 9,
	} {
		t.Run(name+" is bound on the active site with the longest name that fits, and the result says which", func(t *testing.T) {
			a := zones(t)
			result := a.does(t, newTask(1, owner, unnamed(name)))
			if len(result.Records) != 1 || result.Records[0].SiteID != want || result.RecordID == 0 || result.Records[0].RecordID != result.RecordID {
				t.Errorf("got %+v, want site %d", result, want)
			}
			same(t, "needs a CNAME", result.Records[0].NeedsCNAME, want == 9)
		})
	}
	t.Run("only sites that the caller may use are looked at", func(t *testing.T) {
		a, k := zones(t), newTask(1, owner, unnamed("a.shop.example.com"))
		k.Limits = routine.Limits{Sites: routine.SiteIDs{localtest.SiteID}}
		same(t, "site", a.does(t, k).Records[0].SiteID, localtest.SiteID)
		k = newTask(2, owner, unnamed("a.example.net"))
		k.Limits = routine.Limits{Sites: routine.SiteIDs{localtest.SiteID}}
		a.refuses(t, k, fault.NotFound, provision.CodeSiteNotFound)
	})
	t.Run("none that fits is refused with nothing made", func(t *testing.T) {
		a := zones(t)
		failure := a.refuses(t, newTask(1, owner, unnamed("a.example.org")), fault.NotFound, provision.CodeSiteNotFound)
		same(t, "says that nothing was created", strings.Contains(failure.Hint, "Nothing was created"), true)
		same(t, "writes", a.writes(), 0)
	})
	t.Run("several of one name are refused, named", func(t *testing.T) {
		a := zones(t)
		must(t, a.AddSite(esaemu.Site{ID: 10, Name: "example.net"}))
		failure := a.refuses(t, newTask(1, owner, unnamed("a.example.net")), fault.Conflict, provision.CodeSiteNotFound)
		if !strings.Contains(failure.Message, "10 (example.net), 9 (example.net)") {
			t.Errorf("message %q", failure.Message)
		}
	})
	t.Run("a site that was added since is found", func(t *testing.T) {
		a := zones(t)
		a.refuses(t, newTask(1, owner, unnamed("a.example.org")), fault.NotFound, provision.CodeSiteNotFound)
		must(t, a.AddSite(esaemu.Site{ID: 11, Name: "example.org"}))
		same(t, "site", a.does(t, newTask(2, owner, unnamed("a.example.org"))).Records[0].SiteID, int64(11))
	})
	t.Run("sites are remembered for minutes", func(t *testing.T) {
		a := zones(t)
		a.does(t, newTask(1, owner, unnamed("a.example.com")))
		a.does(t, newTask(2, owner, unnamed("b.example.com")))
		same(t, "reads", a.Faults().Count(sites), 1)
		a.clock.Advance(6 * time.Minute)
		a.does(t, newTask(3, owner, unnamed("c.example.com")))
		same(t, "reads later", a.Faults().Count(sites), 2)
	})
	t.Run("a list of the sites that fails is a failure that may pass: without it nobody knows the site", func(t *testing.T) {
		a := zones(t)
		a.inject(t, faults.Rule{Action: sites, Fault: faults.Fault{Answer: faults.Reset}})
		a.refuses(t, newTask(1, owner, unnamed("a.example.com")), fault.Unavailable, broke)
		same(t, "writes", a.writes(), 0)
	})
	t.Run("one of several that no site fits keeps the job from making anything", func(t *testing.T) {
		a, req := zones(t), creates("a")
		req.Records = slices.Concat(req.Records, unnamed("a.example.org").Records)
		a.refuses(t, newTask(1, owner, req), fault.NotFound, provision.CodeSiteNotFound)
		same(t, "writes", a.writes(), 0)
	})
}
