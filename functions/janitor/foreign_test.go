package janitor_test

import (
	"fmt"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// holds makes a routine that is owned and has no end of its time.
func (h *house) holds(t *testing.T, name string) {
	t.Helper()
	h.own(t, name)
	h.changeClaim(t, name, func(c *routine.Claim) { c.ExpiresAt = time.Time{} })
}

// bind binds a record to a routine as somebody else would, and returns its id.
func (h *house) bind(t *testing.T, name, recordName string) (id int64) {
	t.Helper()
	id, err := h.esa.BindRecord(name, localtest.SiteID, recordName)
	must(t, err)
	return id
}

// route makes a route to a routine as somebody else would.
func (h *house) route(t *testing.T, name, routeName string) {
	t.Helper()
	_, err := h.esa.PlantRoute(esaemu.Route{Routine: name, SiteID: localtest.SiteID, Name: routeName})
	must(t, err)
}

// claimRecord writes the claim of a host name, as a worker does.
func (h *house) claimRecord(t *testing.T, name, recordName string, alter func(*routine.RecordClaim)) {
	t.Helper()
	holdings, err := h.Ledger.Holdings(t.Context(), []ledger.Wanted{{Name: name, RecordNames: []string{recordName}}})
	must(t, err)
	_, err = h.Ledger.ChangeRecord(t.Context(), holdings[0].Records[0], func(c *routine.RecordClaim) error {
		alter(c)
		return nil
	})
	must(t, err)
}

// reads makes a run that lists the routines, five minutes after the last thing, and returns what is foreign to them.
func (h *house) reads(t *testing.T) map[string]routine.Foreign {
	t.Helper()
	h.clock.Advance(5 * time.Minute)
	h.run(t)
	return h.foreign(t)
}

// foreign is what is kept of what is foreign, by routine.
func (h *house) foreign(t *testing.T) map[string]routine.Foreign {
	t.Helper()
	out := map[string]routine.Foreign{}
	for _, one := range h.listing(t).Routines {
		if one.Foreign != nil {
			out[one.Name] = *one.Foreign
		}
	}
	return out
}

// incomplete makes ESA answer an action with a page that is not all it counts.
func (h *house) incomplete(t *testing.T, action string) {
	t.Helper()
	rule := faults.Rule{Action: action, Times: -1, Fault: faults.Fault{Answer: faults.Document, Body: `{"TotalCount":3}`}}
	_, err := h.esa.Faults().Add(rule)
	must(t, err)
}

// none is that nothing is foreign.
var none = map[string]routine.Foreign{}

func TestForeign(t *testing.T) {
	t.Run("is what others have bound to a routine that is owned, with the time of the reading, until it is removed", func(t *testing.T) {
		h := start(t)
		h.holds(t, "shop")
		id := h.bind(t, "shop", "other.example.com")
		h.route(t, "shop", "all")
		want := routine.Foreign{
			ReadAt: noon.Add(5 * time.Minute), Records: []string{"other.example.com"}, Routes: []string{fmt.Sprintf(`"all" of site %d`, localtest.SiteID)},
		}
		same(t, "foreign", h.reads(t), map[string]routine.Foreign{"shop": want})
		must(t, h.esa.RemoveRecord(id))
		want.ReadAt, want.Records = noon.Add(10*time.Minute), nil
		same(t, "foreign", h.reads(t), map[string]routine.Foreign{"shop": want})
	})
	t.Run("is nothing of what its claims own", func(t *testing.T) {
		h := start(t)
		h.holds(t, "shop")
		id := h.bind(t, "shop", "www.example.com")
		h.claimRecord(t, "shop", "www.example.com", func(c *routine.RecordClaim) {
			c.State, c.Ownership, c.RecordID = routine.Live, routine.Owned, id
		})
		same(t, "foreign", h.reads(t), none)
	})
	for name, claim := range map[string]routine.RecordClaim{
		"was adopted":             {State: routine.Live, Ownership: routine.AdoptedThing},
		"was bound again by them": {State: routine.Live, Ownership: routine.Owned, RecordID: 7},
		"was unbound":             {State: routine.Gone},
	} {
		t.Run("is a record of others whose host name "+name, func(t *testing.T) {
			h := start(t)
			h.holds(t, "shop")
			id := h.bind(t, "shop", "www.example.com")
			h.claimRecord(t, "shop", "www.example.com", func(c *routine.RecordClaim) {
				c.State, c.Ownership, c.RecordID = claim.State, claim.Ownership, claim.RecordID
				if claim.Ownership == routine.AdoptedThing {
					c.RecordID = id
				}
			})
			same(t, "records", h.reads(t)["shop"].Records, []string{"www.example.com"})
		})
	}
	t.Run("is no record whose host name a job is about, or was a moment ago", func(t *testing.T) {
		h := start(t)
		h.holds(t, "shop")
		h.bind(t, "shop", "new.example.com")
		h.bind(t, "shop", "just-unbound.example.com")
		h.claimRecord(t, "shop", "new.example.com", func(c *routine.RecordClaim) { c.State = routine.Creating })
		h.clock.Advance(5 * time.Minute)
		h.claimRecord(t, "shop", "just-unbound.example.com", func(c *routine.RecordClaim) { c.State = routine.Gone })
		h.run(t)
		same(t, "foreign", h.foreign(t), none)
	})
	for name, alter := range map[string]func(*routine.Claim){
		"was adopted":       func(c *routine.Claim) { c.Ownership = routine.AdoptedThing },
		"is being deleted":  func(c *routine.Claim) { c.State = routine.Deleting },
		"others made again": func(c *routine.Claim) { c.CreateTime = noon.Add(-time.Hour) },
	} {
		t.Run("is not looked for at a routine that "+name, func(t *testing.T) {
			h := start(t)
			h.holds(t, "shop")
			h.bind(t, "shop", "other.example.com")
			h.changeClaim(t, "shop", alter)
			same(t, "foreign", h.reads(t), none)
			same(t, "lists of records", h.esa.Faults().Count("ListRoutineRelatedRecords"), 0)
		})
	}
	t.Run("is named as far as there are few, and counted", func(t *testing.T) {
		h := start(t)
		h.holds(t, "shop")
		for n := range routine.MaxForeign + 2 {
			h.bind(t, "shop", fmt.Sprintf("other-%d.example.com", n))
			h.route(t, "shop", fmt.Sprintf("route-%d", n))
		}
		got := h.reads(t)["shop"]
		same(t, "named", []int{len(got.Records), len(got.Routes)}, []int{routine.MaxForeign, routine.MaxForeign})
		same(t, "counted", []int{got.MoreRecords, got.MoreRoutes}, []int{2, 2})
	})
}

func TestForeignReading(t *testing.T) {
	for _, action := range []string{"ListRoutineRelatedRecords", "ListRoutineRoutes"} {
		t.Run("changes nothing about a routine if "+action+" is not whole, and goes on with the others", func(t *testing.T) {
			h := start(t)
			h.holds(t, "pr-1")
			h.holds(t, "pr-2")
			h.bind(t, "pr-1", "other.example.com")
			before := h.reads(t)
			h.incomplete(t, action)
			h.clock.Advance(5 * time.Minute)
			if out := h.fails(t); len(out.Failed) != 1 || out.Failed[0].Code != "IncompleteList" {
				t.Errorf("%+v", out)
			}
			same(t, "foreign", h.foreign(t), before)
			same(t, "read up to", h.listing(t).ForeignUpTo, "pr-2")
		})
	}
	t.Run("goes on where it left off if there are more routines than it takes", func(t *testing.T) {
		h := start(t)
		for n := range 45 {
			h.holds(t, fmt.Sprintf("r-%02d", n))
			h.bind(t, fmt.Sprintf("r-%02d", n), fmt.Sprintf("r-%02d.example.com", n))
		}
		h.clock.Advance(time.Hour)
		for n, known := range []int{20, 40, 45, 45} {
			same(t, "routines with something foreign", len(h.reads(t)), known)
			same(t, "lists", h.esa.Faults().Count("ListRoutineRelatedRecords"), 20*(n+1))
		}
		same(t, "read up to", h.listing(t).ForeignUpTo, "r-34")
	})
	t.Run("goes on behind a routine at which ESA did not answer", func(t *testing.T) {
		h := start(t)
		h.holds(t, "pr-1")
		h.holds(t, "pr-2")
		h.bind(t, "pr-2", "other.example.com")
		_, err := h.esa.Faults().Add(faults.Rule{Action: "ListRoutineRoutes", Times: 1, Fault: faults.Fault{Answer: faults.Reset}})
		must(t, err)
		h.clock.Advance(5 * time.Minute)
		h.fails(t)
		same(t, "foreign", h.foreign(t), none)
		same(t, "routines with something foreign", len(h.reads(t)), 1)
	})
	t.Run("fails at nothing if a routine was deleted meanwhile", func(t *testing.T) {
		h := start(t)
		h.holds(t, "shop")
		_, err := h.esa.Faults().Add(faults.Rule{Action: "ListRoutineRelatedRecords", Times: 1, Fault: faults.Fault{Answer: faults.Error, Code: "RoutineNotExist"}})
		must(t, err)
		same(t, "foreign", h.reads(t), none)
	})
	t.Run("leaves ESA alone while the lane is parked", func(t *testing.T) {
		h := start(t)
		h.holds(t, "shop")
		h.stop(t, &routine.Park{Since: noon, ToldAt: noon.Add(5 * time.Minute), Kind: "account"}, nil)
		same(t, "foreign", h.reads(t), none)
		same(t, "calls", len(h.esa.Faults().Calls()), 0)
	})
	t.Run("forgets what was foreign to a routine that others have made again", func(t *testing.T) {
		h := start(t)
		h.holds(t, "shop")
		h.bind(t, "shop", "other.example.com")
		same(t, "routines with something foreign", len(h.reads(t)), 1)
		must(t, h.esa.RemoveRoutine("shop"))
		h.plant(t, "shop")
		same(t, "foreign", h.reads(t), none)
	})
	t.Run("is not made by a run that has no whole list of routines", func(t *testing.T) {
		h := start(t)
		h.holds(t, "shop")
		h.shorten(t)
		h.clock.Advance(5 * time.Minute)
		same(t, "failed", len(h.fails(t).Failed), 1)
		same(t, "lists of records", h.esa.Faults().Count("ListRoutineRelatedRecords"), 0)
	})
	t.Run("by two janitors at once is one", func(t *testing.T) {
		h := start(t)
		h.holds(t, "shop")
		h.bind(t, "shop", "other.example.com")
		h.clock.Advance(5 * time.Minute)
		h.atOnce(t, 2)
		same(t, "records", h.foreign(t)["shop"].Records, []string{"other.example.com"})
	})
}
