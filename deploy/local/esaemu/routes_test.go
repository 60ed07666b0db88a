package esaemu_test

import (
	"fmt"
	"net/http"
	"testing"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
)

func TestRoutes(t *testing.T) {
	t.Run("are made, read, listed and deleted; one without a place goes behind the others of its site", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		route := &esa.CreateRoutineRouteRequest{
			SiteId: tea.Int64(siteID), RoutineName: tea.String("web"), RouteName: tea.String("all"), RouteEnable: tea.String("on"),
			Rule: tea.String(`(http.host eq "www.example.com")`), Sequence: tea.Int32(7),
		}
		id := must[*esa.CreateRoutineRouteResponse](t)(b.sdk.CreateRoutineRoute(route)).Body.ConfigId
		route.Sequence = nil
		must[*esa.CreateRoutineRouteResponse](t)(b.sdk.CreateRoutineRoute(route))
		got := must[*esa.GetRoutineRouteResponse](t)(b.sdk.GetRoutineRoute(&esa.GetRoutineRouteRequest{SiteId: tea.Int64(siteID), ConfigId: id})).Body
		same(t, "route", []any{*got.ConfigId, *got.RoutineName, *got.RouteName, *got.Rule, *got.RouteEnable, *got.Bypass, *got.Fallback, *got.Mode, *got.Sequence},
			[]any{*id, "web", "all", `(http.host eq "www.example.com")`, "on", "off", "off", "custom", int32(7)})
		list := must[*esa.ListRoutineRoutesResponse](t)(b.sdk.ListRoutineRoutes(&esa.ListRoutineRoutesRequest{RoutineName: tea.String("web")})).Body
		same(t, "list", []any{*list.TotalCount, *list.TotalPage, *list.PageSize, *list.Configs[1].SiteId, *list.Configs[1].SiteName, *list.Configs[1].Sequence},
			[]any{int32(2), int32(1), int32(500), int64(siteID), "example.com", int32(8)})
		want(t, "a routine with a route", b.call("DeleteRoutine", "Name", "web"), "DependedByOthers")

		remove := []string{"SiteId", "54362329990032", "ConfigId", fmt.Sprint(*id)}
		want(t, "delete", b.call("DeleteRoutineRoute", remove...), "")
		wantStatus(t, "delete again", b.call("DeleteRoutineRoute", remove...), "ConfigNotFound", 404)
		wantStatus(t, "get after delete", b.call("GetRoutineRoute", remove...), "ConfigNotFound", 404)
		wantStatus(t, "no number", b.call("DeleteRoutineRoute", "SiteId", "54362329990032", "ConfigId", "first"), "InvalidConfigId", 400)
	})

	t.Run("change in what is given, and keep the rest and their routine", func(t *testing.T) {
		b := start(t)
		do(t, b.PlantRoutine(esaemu.Routine{Name: "web"}))
		old := esaemu.Route{Routine: "web", SiteID: siteID, Name: "all", Rule: "true", Enable: "on", Bypass: "off", Fallback: "off", Mode: "custom"}
		old.ConfigID, old.Sequence = must[int64](t)(b.PlantRoute(old)), 1
		update := &esa.UpdateRoutineRouteRequest{SiteId: tea.Int64(siteID), ConfigId: &old.ConfigID, RouteEnable: tea.String("off"), RoutineName: tea.String("web")}
		must[*esa.UpdateRoutineRouteResponse](t)(b.sdk.UpdateRoutineRoute(update))
		old.Enable = "off"
		same(t, "route", must[esaemu.State](t)(b.State()).Routines[0].Routes, []esaemu.Route{old})
		update.RoutineName = tea.String("api")
		_, err := b.sdk.UpdateRoutineRoute(update)
		want(t, "another routine", err, "InvalidParameter")
		update.RoutineName, update.Bypass = nil, tea.String("maybe")
		_, err = b.sdk.UpdateRoutineRoute(update)
		want(t, "no word", err, "InvalidParameter")
	})

	t.Run("are listed by site, and found there by their id", func(t *testing.T) {
		b := start(t)
		do(t, b.AddSite(site(7, "example.org")))
		do(t, b.PlantRoutine(esaemu.Routine{Name: "web"}))
		first := must[int64](t)(b.PlantRoute(esaemu.Route{Routine: "web", SiteID: siteID, Name: "first"}))
		must[int64](t)(b.PlantRoute(esaemu.Route{Routine: "web", SiteID: siteID, Name: "second"}))
		must[int64](t)(b.PlantRoute(esaemu.Route{Routine: "web", SiteID: 7, Name: "other"}))
		names := func(r *esa.ListSiteRoutesRequest) (out []string) {
			for _, one := range must[*esa.ListSiteRoutesResponse](t)(b.sdk.ListSiteRoutes(r)).Body.Configs {
				out = append(out, *one.RouteName)
			}
			return out
		}
		same(t, "the site's", names(&esa.ListSiteRoutesRequest{SiteId: tea.Int64(siteID)}), []string{"first", "second"})
		same(t, "by id", names(&esa.ListSiteRoutesRequest{SiteId: tea.Int64(siteID), ConfigId: &first}), []string{"first"})
		want(t, "no site", b.call("ListSiteRoutes", "SiteId", "1"), "SiteParameterNotMatch")
	})

	t.Run("are made, changed and deleted by POST only, as the cloud's metadata says", func(t *testing.T) {
		b := start(t)
		for action, status := range map[string]int{"CreateRoutineRoute": 404, "UpdateRoutineRoute": 404, "DeleteRoutineRoute": 404, "OpenErService": 404, "GetRoutineRoute": 400} {
			answer := must[*http.Response](t)(b.http.Client().Get(b.http.URL + "/?Action=" + action + "&Version=2024-09-10"))
			answer.Body.Close()
			same(t, action, answer.StatusCode, status)
		}
	})

	t.Run("need a routine, an active site, and what is required", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		do(t, b.AddSite(esaemu.Site{ID: 7, Name: "example.org", Status: "pending"}))
		for _, c := range []struct{ name, value, code string }{
			{"RoutineName", "none", "RoutineNotExist"},
			{"SiteId", "1", "SiteParameterNotMatch"},
			{"SiteId", "7", "SiteParameterNotMatch"},
			{"Bypass", "maybe", "InvalidParameter"},
			{"RouteName", "", "MissingParameter"},
			{"RouteEnable", "", "MissingParameter"},
			{"Rule", "", "MissingParameter"},
		} {
			route := []string{"RoutineName", "web", "SiteId", "54362329990032", "RouteName", "all", "RouteEnable", "on", "Rule", "true", c.name, c.value}
			want(t, c.name+" "+c.value, b.call("CreateRoutineRoute", route...), c.code)
		}
		want(t, "list", b.call("ListRoutineRoutes", "RoutineName", "none"), "RoutineNotExist")
	})
}
