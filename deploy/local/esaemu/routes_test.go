package esaemu_test

import (
	"testing"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"
)

func TestRoutes(t *testing.T) {
	t.Run("creates, reads, lists and deletes a route", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		site, routine := tea.Int64(siteID), tea.String("web")
		made := must[*esa.CreateRoutineRouteResponse](t)(b.sdk.CreateRoutineRoute(&esa.CreateRoutineRouteRequest{
			SiteId: site, RoutineName: routine, RouteName: tea.String("all"), Rule: tea.String(`(http.host eq "www.example.com")`), Sequence: tea.Int32(3),
		}))
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
		want(t, "get after delete", err, "ParameterNotExist")
	})

	t.Run("refuses unknown objects and words", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		for code, r := range map[string]*esa.CreateRoutineRouteRequest{
			"RoutineNotExist":       {SiteId: tea.Int64(siteID), RoutineName: tea.String("none")},
			"SiteParameterNotMatch": {SiteId: tea.Int64(1), RoutineName: tea.String("web")},
			"InvalidParameter":      {SiteId: tea.Int64(siteID), RoutineName: tea.String("web"), Bypass: tea.String("maybe")},
		} {
			_, err := b.sdk.CreateRoutineRoute(r)
			want(t, "create", err, code)
		}
		_, err := b.sdk.ListRoutineRoutes(&esa.ListRoutineRoutesRequest{RoutineName: tea.String("none")})
		want(t, "list", err, "RoutineNotExist")
	})
}
