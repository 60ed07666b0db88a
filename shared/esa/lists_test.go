package esa_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/clock"
	"routinely/deploy/local/esaemu"
	"routinely/deploy/local/faults"
	"routinely/deploy/local/localtest"
	"routinely/shared/esa"
	"routinely/shared/fault"
)

func TestLists(t *testing.T) {
	t.Run("all records of a routine, on several pages", func(t *testing.T) {
		server, client := start(t)
		if err := server.PlantRoutine(esaemu.Routine{Name: "pr-1"}); err != nil {
			t.Fatal(err)
		}
		var want []esa.RelatedRecord
		for i := range 41 {
			name := fmt.Sprintf("a%02d.example.com", i)
			id, err := server.BindRecord("pr-1", localtest.SiteID, name)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, esa.RelatedRecord{RecordID: id, SiteID: localtest.SiteID, RecordName: name, SiteName: localtest.SiteName})
		}
		got, err := client.RelatedRecords(t.Context(), "pr-1")
		requests := map[string]bool{}
		for i := range got {
			requests[got[i].RequestID], got[i].RequestID = true, ""
		}
		if len(requests) != 3 || requests[""] {
			t.Errorf("the request ids of three pages are %v", requests)
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
		if n := server.Faults().Count("ListRoutineRelatedRecords"); n != 3 {
			t.Errorf("%d pages read, want 3", n)
		}
	})
	t.Run("all routes to a routine, on several pages", func(t *testing.T) {
		server, client := start(t)
		if err := server.PlantRoutine(esaemu.Routine{Name: "pr-1"}); err != nil {
			t.Fatal(err)
		}
		var want []esa.Route
		for i := range 101 {
			name := fmt.Sprintf("r%03d", i)
			id, err := server.PlantRoute(esaemu.Route{Routine: "pr-1", SiteID: localtest.SiteID, Name: name, Rule: "true"})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, esa.Route{ConfigID: id, SiteID: localtest.SiteID, RouteName: name, Rule: "true"})
		}
		got, err := client.Routes(t.Context(), "pr-1")
		for i := range got {
			if got[i].RequestID == "" {
				t.Errorf("%+v has no request id", got[i])
			}
			got[i].RequestID = ""
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
	})
	t.Run("all routines of the account, with its quota and ESA's time", func(t *testing.T) {
		now := time.Now().UTC().Truncate(time.Second)
		server, url := localtest.ESA(t, clock.NewManual(now), 0)
		var want []esa.NamedRoutine
		for i := range 21 {
			made := esaemu.Routine{Name: fmt.Sprintf("r-%02d", i), Description: "d", HasAssets: i == 7, CreateTime: now.Add(-time.Duration(i) * time.Second)}
			if err := server.PlantRoutine(made); err != nil {
				t.Fatal(err)
			}
			want = append(want, esa.NamedRoutine{Name: made.Name, Routine: esa.Routine{Description: "d", HasAssets: made.HasAssets, CreateTime: made.CreateTime}})
		}
		got, err := newClient(t, url).Routines(t.Context())
		if diff := cmp.Diff(esa.RoutineList{Routines: want, Limit: 100, Used: 21, At: now}, got); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
	})
	t.Run("nothing, where there is nothing", func(t *testing.T) {
		server, client := start(t)
		if err := server.PlantRoutine(esaemu.Routine{Name: "pr-1"}); err != nil {
			t.Fatal(err)
		}
		records, err := client.RelatedRecords(t.Context(), "pr-1")
		routes, err2 := client.Routes(t.Context(), "pr-1")
		if len(records)+len(routes) != 0 || err != nil || err2 != nil {
			t.Errorf("%v, %v; %v, %v", records, err, routes, err2)
		}
	})
	t.Run("the sites of the account, with how each is reached", func(t *testing.T) {
		server, client := start(t)
		if err := server.AddSite(esaemu.Site{ID: 7, Name: "example.org", Status: "pending", AccessType: "CNAME"}); err != nil {
			t.Fatal(err)
		}
		want := []esa.Site{
			{ID: 7, Name: "example.org", Status: "pending", AccessType: "CNAME"},
			{ID: localtest.SiteID, Name: localtest.SiteName, Status: esa.SiteActive, AccessType: "NS"},
		}
		got, id, err := client.Sites(t.Context())
		if diff := cmp.Diff(want, got); diff != "" || id == "" || err != nil {
			t.Errorf("%q, %v, -want +got:\n%s", id, err, diff)
		}
	})
	t.Run("a list of routines without a readable Date is unusable", func(t *testing.T) {
		server, client := start(t)
		inject(t, server, faults.Rule{Action: "ListUserRoutines", Fault: faults.Fault{Answer: faults.Slow, Headers: map[string]string{"Date": "today"}}})
		failure := fault.From(calls()["ListUserRoutines"](t.Context(), client))
		if failure == nil || failure.Code != "UnusableAnswer" || failure.RequestID == "" || failure.Step != "ListUserRoutines" {
			t.Errorf("got %+v", failure)
		}
	})
}

// forms are how each list looks: its array, an item of it by number, and what stands beside.
func forms() map[string]struct{ array, item, beside string } {
	return map[string]struct{ array, item, beside string }{
		"ListRoutineRelatedRecords": {"RelatedRecords", `{"RecordId":%d,"SiteId":7,"RecordName":"a.example.com"}`, ""},
		"ListRoutineRoutes":         {"Configs", `{"ConfigId":%d,"SiteId":7}`, ""},
		"ListUserRoutines":          {"Routines", `{"RoutineName":"r-%d"}`, `,"QuotaRoutineNumber":100,"UsedRoutineNumber":3`},
		"ListSites":                 {"Sites", `{"SiteId":%d}`, ""},
	}
}

// pageOf is a page with the given items, of a list that has total items.
func pageOf(action string, total int, items ...int) string {
	var all []string
	for _, i := range items {
		all = append(all, fmt.Sprintf(forms()[action].item, i))
	}
	return document(action, total, strings.Join(all, ","))
}

func document(action string, total int, items string) string {
	return fmt.Sprintf(`{"TotalCount":%d,%q:[%s]%s}`, total, forms()[action].array, items, forms()[action].beside)
}

// showPages makes ESA answer the first pages of an action's list with the given bodies.
func showPages(t *testing.T, server *esaemu.Server, action string, bodies ...string) {
	t.Helper()
	for i, body := range bodies {
		inject(t, server, faults.Rule{
			Action: action, Match: map[string]string{"PageNumber": fmt.Sprint(i + 1)}, Fault: faults.Fault{Answer: faults.Document, Body: body},
		})
	}
}

func TestIncompleteLists(t *testing.T) {
	type shown struct {
		total int
		items []int
	}
	for action := range forms() {
		for name, pages := range map[string][]shown{
			"an empty first page":                 {{3, nil}},
			"an empty second page":                {{3, []int{1, 2}}, {3, nil}},
			"a count that grows":                  {{2, []int{1}}, {3, []int{2}}},
			"a count that shrinks":                {{3, []int{1}}, {2, []int{2}}},
			"a count that vanishes":               {{3, []int{1}}, {0, nil}},
			"an item that comes twice":            {{3, []int{1, 2}}, {3, []int{2}}},
			"more items than are counted":         {{1, []int{1, 2}}},
			"more items than are counted, in all": {{3, []int{1, 2}}, {3, []int{3, 4}}},
		} {
			t.Run(action+" is not the whole list: "+name, func(t *testing.T) {
				server, client := start(t)
				var bodies []string
				for _, p := range pages {
					bodies = append(bodies, pageOf(action, p.total, p.items...))
				}
				showPages(t, server, action, bodies...)
				failure := fault.From(calls()[action](t.Context(), client))
				if failure == nil || failure.Kind != fault.Unavailable || failure.Code != esa.CodeIncompleteList || failure.Step != action || failure.Hint == "" {
					t.Errorf("got %+v", failure)
				}
			})
		}
		t.Run(action+" is whole if its pages add up, whatever their size", func(t *testing.T) {
			server, client := start(t)
			showPages(t, server, action, pageOf(action, 4, 1, 2), pageOf(action, 4, 3), pageOf(action, 4, 4))
			if err := calls()[action](t.Context(), client); err != nil {
				t.Error(err)
			}
		})
		for name, item := range map[string]string{"without its id": `{}`, "that is null": `null`} {
			t.Run(action+" is unusable with an item "+name, func(t *testing.T) {
				server, client := start(t)
				showPages(t, server, action, document(action, 1, item))
				failure := fault.From(calls()[action](t.Context(), client))
				if failure == nil || failure.Code != "UnusableAnswer" || failure.Step != action {
					t.Errorf("got %+v", failure)
				}
			})
		}
		t.Run(action+" is unusable without a count", func(t *testing.T) {
			server, client := start(t)
			showPages(t, server, action, `{"RequestId":"R7"}`)
			failure := fault.From(calls()[action](t.Context(), client))
			if failure == nil || failure.Code != "UnusableAnswer" || failure.RequestID != "R7" {
				t.Errorf("got %+v", failure)
			}
		})
		t.Run(action+" fails with its second page", func(t *testing.T) {
			server, client := start(t)
			showPages(t, server, action, pageOf(action, 3, 1, 2))
			inject(t, server, faults.Rule{Action: action, Fault: faults.Fault{Answer: faults.Error, Code: "Throttling.User"}})
			if err := calls()[action](t.Context(), client); !fault.HasCode(err, "Throttling.User") {
				t.Error(err)
			}
		})
	}
	t.Run("a record that is not found in a part of the list may be there", func(t *testing.T) {
		server, client := start(t)
		const action = "ListRoutineRelatedRecords"
		showPages(t, server, action, pageOf(action, 3, 1, 2), pageOf(action, 3))
		if _, found, err := client.FindRelatedRecord(t.Context(), "pr-1", 7, "b.example.com"); found || !fault.HasCode(err, esa.CodeIncompleteList) {
			t.Errorf("%t, %v", found, err)
		}
	})
	t.Run("more routines than ESA shows are a fault", func(t *testing.T) {
		server, client := start(t)
		for i := range 201 {
			if err := server.PlantRoutine(esaemu.Routine{Name: fmt.Sprintf("r-%03d", i)}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := client.Routines(t.Context()); !fault.HasCode(err, "TooManyPages") || len(got.Routines) != 0 {
			t.Errorf("%d routines, %v", len(got.Routines), err)
		}
	})
}
