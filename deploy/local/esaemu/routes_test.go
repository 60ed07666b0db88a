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
	t.Run("creates, reads, lists and deletes a route", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		site, routine := tea.Int64(siteID), tea.String("web")
		request := newRoute("web")
		request.Sequence = tea.Int32(3)
		made := must[*esa.CreateRoutineRouteResponse](t)(b.sdk.CreateRoutineRoute(request))
		id := made.Body.ConfigId
		got := must[*esa.GetRoutineRouteResponse](t)(b.sdk.GetRoutineRoute(&esa.GetRoutineRouteRequest{SiteId: site, ConfigId: id})).Body
		same(t, "route", []any{*got.ConfigId, *got.RoutineName, *got.RouteName, *got.Rule, *got.RouteEnable, *got.Bypass, *got.Fallback, *got.Mode, *got.Sequence},
			[]any{*id, "web", "all", `(http.host eq "www.example.com")`, "on", "off", "off", "custom", int32(3)})
		list := must[*esa.ListRoutineRoutesResponse](t)(b.sdk.ListRoutineRoutes(&esa.ListRoutineRoutesRequest{RoutineName: routine})).Body
		same(t, "list", []any{*list.TotalCount, *list.TotalPage, *list.PageSize, *list.Configs[0].SiteId, *list.Configs[0].SiteName},
			[]any{int32(1), int32(1), int32(500), int64(siteID), "example.com"})
		_, err := b.sdk.DeleteRoutine(&esa.DeleteRoutineRequest{Name: routine})
		want(t, "a routine with a route", err, "DependedByOthers")
		_, err = b.sdk.DeleteRoutineRoute(&esa.DeleteRoutineRouteRequest{SiteId: site, ConfigId: id})
		want(t, "delete", err, "")
		_, err = b.sdk.GetRoutineRoute(&esa.GetRoutineRouteRequest{SiteId: site, ConfigId: id})
		wantStatus(t, "get after delete", err, "ConfigNotFound", 404)
		_, err = b.sdk.DeleteRoutineRoute(&esa.DeleteRoutineRouteRequest{SiteId: site, ConfigId: id})
		wantStatus(t, "delete again", err, "ConfigNotFound", 404)
		_, err = b.rpc(t, signed{"Action": "DeleteRoutineRoute", "SiteId": "54362329990032", "ConfigId": "first"})
		wantStatus(t, "no number", err, "InvalidConfigId", 400)
	})

	t.Run("puts a route without a place behind the others of its site", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		placed := newRoute("web")
		placed.Sequence = tea.Int32(7)
		for _, request := range []*esa.CreateRoutineRouteRequest{newRoute("web"), placed, newRoute("web")} {
			must[*esa.CreateRoutineRouteResponse](t)(b.sdk.CreateRoutineRoute(request))
		}
		var places []int32
		for _, one := range must[*esa.ListRoutineRoutesResponse](t)(b.sdk.ListRoutineRoutes(&esa.ListRoutineRoutesRequest{RoutineName: tea.String("web")})).Body.Configs {
			places = append(places, *one.Sequence)
		}
		same(t, "places", places, []int32{1, 7, 8})
	})

	t.Run("refuses unknown objects and words", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		if err := b.AddSite(esaemu.Site{ID: 7, Name: "example.org", Status: "pending"}); err != nil {
			t.Fatal(err)
		}
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
