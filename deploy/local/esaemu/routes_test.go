package esaemu_test

import (
	"testing"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
)

// newRoute is a route with what is required of one.
func newRoute(routine string) *esa.CreateRoutineRouteRequest {
	return &esa.CreateRoutineRouteRequest{
		SiteId: tea.Int64(siteID), RoutineName: &routine, RouteName: tea.String("all"), RouteEnable: tea.String("on"),
		Rule: tea.String(`(http.host eq "www.example.com")`),
	}
}

func TestRoutes(t *testing.T) {
	t.Run("are made, read, listed and deleted; one without a place goes behind the others of its site", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		site, placed := tea.Int64(siteID), newRoute("web")
		placed.Sequence = tea.Int32(7)
		id := must[*esa.CreateRoutineRouteResponse](t)(b.sdk.CreateRoutineRoute(placed)).Body.ConfigId
		behind := must[*esa.CreateRoutineRouteResponse](t)(b.sdk.CreateRoutineRoute(newRoute("web"))).Body.ConfigId

		get := &esa.GetRoutineRouteRequest{SiteId: site, ConfigId: id}
		got := must[*esa.GetRoutineRouteResponse](t)(b.sdk.GetRoutineRoute(get)).Body
		same(t, "route", []any{*got.ConfigId, *got.RoutineName, *got.RouteName, *got.Rule, *got.RouteEnable, *got.Bypass, *got.Fallback, *got.Mode, *got.Sequence},
			[]any{*id, "web", "all", `(http.host eq "www.example.com")`, "on", "off", "off", "custom", int32(7)})
		list := must[*esa.ListRoutineRoutesResponse](t)(b.sdk.ListRoutineRoutes(&esa.ListRoutineRoutesRequest{RoutineName: tea.String("web")})).Body
		same(t, "list", []any{*list.TotalCount, *list.TotalPage, *list.PageSize, *list.Configs[1].SiteId, *list.Configs[1].SiteName, *list.Configs[1].Sequence},
			[]any{int32(2), int32(1), int32(500), int64(siteID), "example.com", int32(8)})
		want(t, "a routine with a route", b.writes()["DeleteRoutine"](), "DependedByOthers")

		remove := func(id *int64) error {
			_, err := b.sdk.DeleteRoutineRoute(&esa.DeleteRoutineRouteRequest{SiteId: site, ConfigId: id})
			return err
		}
		want(t, "delete", remove(id), "")
		want(t, "delete the other", remove(behind), "")
		wantStatus(t, "delete again", remove(id), "ConfigNotFound", 404)
		_, err := b.sdk.GetRoutineRoute(get)
		wantStatus(t, "get after delete", err, "ConfigNotFound", 404)
		_, err = b.rpc(t, map[string]string{"Action": "DeleteRoutineRoute", "SiteId": "54362329990032", "ConfigId": "first"})
		wantStatus(t, "no number", err, "InvalidConfigId", 400)
	})

	t.Run("need a routine, an active site, and what is required", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		do(t, b.AddSite(esaemu.Site{ID: 7, Name: "example.org", Status: "pending"}))
		for what, c := range map[string]struct {
			code   string
			change func(*esa.CreateRoutineRouteRequest)
		}{
			"no such routine": {"RoutineNotExist", func(r *esa.CreateRoutineRouteRequest) { r.RoutineName = tea.String("none") }},
			"no such site":    {"SiteParameterNotMatch", func(r *esa.CreateRoutineRouteRequest) { r.SiteId = tea.Int64(1) }},
			"a pending site":  {"SiteParameterNotMatch", func(r *esa.CreateRoutineRouteRequest) { r.SiteId = tea.Int64(7) }},
			"Bypass maybe":    {"InvalidParameter", func(r *esa.CreateRoutineRouteRequest) { r.Bypass = tea.String("maybe") }},
			"no RouteName":    {"MissingParameter", func(r *esa.CreateRoutineRouteRequest) { r.RouteName = nil }},
			"no RouteEnable":  {"MissingParameter", func(r *esa.CreateRoutineRouteRequest) { r.RouteEnable = nil }},
			"no Rule":         {"MissingParameter", func(r *esa.CreateRoutineRouteRequest) { r.Rule = nil }},
		} {
			request := newRoute("web")
			c.change(request)
			_, err := b.sdk.CreateRoutineRoute(request)
			want(t, what, err, c.code)
		}
		_, err := b.sdk.ListRoutineRoutes(&esa.ListRoutineRoutesRequest{RoutineName: tea.String("none")})
		want(t, "list", err, "RoutineNotExist")
	})
}
