package janitor_test

import (
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/shared/routine"
)

// plant makes a routine in ESA as somebody else would.
func (h *house) plant(t *testing.T, name string) {
	t.Helper()
	must(t, h.esa.PlantRoutine(esaemu.Routine{Name: name, Description: "of " + name}))
}

// shorten makes ESA answer lists of routines with one page that is not all it counts.
func (h *house) shorten(t *testing.T) {
	t.Helper()
	body := `{"TotalCount":3,"QuotaRoutineNumber":100,"UsedRoutineNumber":3,"Routines":[{"RoutineName":"pr-1","CreateTime":"2026-03-01T12:00:00Z"}]}`
	_, err := h.esa.Faults().Add(faults.Rule{Action: "ListUserRoutines", Times: -1, Fault: faults.Fault{Answer: faults.Document, Body: body}})
	must(t, err)
}

func (h *house) listing(t *testing.T) routine.Listing {
	t.Helper()
	s, err := h.Ledger.Listing(t.Context())
	must(t, err)
	return s
}

func TestListing(t *testing.T) {
	t.Run("keeps what ESA shows of the account, and its quota", func(t *testing.T) {
		h := start(t)
		h.plant(t, "one")
		h.clock.Advance(time.Minute)
		h.plant(t, "two")
		h.run(t)
		same(t, "listing", h.listing(t), routine.Listing{ReadAt: noon.Add(time.Minute), Limit: 100, Used: 2, Routines: []routine.ListedRoutine{
			{Name: "one", CreateTime: noon, Description: "of one"}, {Name: "two", CreateTime: noon.Add(time.Minute), Description: "of two"},
		}})
		account, err := h.Ledger.Account(t.Context())
		must(t, err)
		same(t, "quota", account.Quota, &routine.Quota{Limit: 100, Used: 2, ReadAt: noon.Add(time.Minute)})
	})
	t.Run("asks every five minutes, and changes nothing in ESA", func(t *testing.T) {
		h := start(t)
		for range 11 {
			h.run(t)
			h.clock.Advance(time.Minute)
		}
		same(t, "calls", len(h.esa.Faults().Calls()), 3)
		same(t, "lists", h.esa.Faults().Count("ListUserRoutines"), 3)
	})
	t.Run("asks as often as expired routines are looked at", func(t *testing.T) {
		h := start(t)
		cfg := h.Config
		cfg.ExpirySettle = 10 * time.Second
		h.remake(t, cfg)
		h.run(t)
		h.clock.Advance(time.Minute)
		h.run(t)
		same(t, "lists", h.esa.Faults().Count("ListUserRoutines"), 2)
	})
	t.Run("a list that is not whole changes nothing, and is told", func(t *testing.T) {
		h := start(t)
		h.plant(t, "one")
		h.run(t)
		before := h.listing(t)
		h.plant(t, "two")
		h.clock.Advance(5 * time.Minute)
		h.shorten(t)
		out := h.fails(t)
		if len(out.Failed) != 1 || out.Failed[0].Code != "IncompleteList" {
			t.Errorf("%+v", out)
		}
		same(t, "listing", h.listing(t), before)
		h.esa.Faults().Clear()
		h.run(t)
		same(t, "listing of the next run", len(h.listing(t).Routines), 2)
	})
	t.Run("leaves ESA alone while the lane is parked", func(t *testing.T) {
		h := start(t)
		h.stop(t, &routine.Park{Since: noon, ToldAt: noon, Kind: "account"}, nil)
		h.run(t)
		same(t, "calls", len(h.esa.Faults().Calls()), 0)
	})
	t.Run("a quota that a worker has read since stays", func(t *testing.T) {
		h := start(t)
		read := routine.Quota{Limit: 20, Used: 7, ReadAt: noon.Add(time.Second)}
		_, err := h.Ledger.ChangeAccount(t.Context(), func(a *routine.Account) error {
			a.Quota = &read
			return nil
		})
		must(t, err)
		h.run(t)
		account, err := h.Ledger.Account(t.Context())
		must(t, err)
		same(t, "quota", account.Quota, &read)
	})
}
