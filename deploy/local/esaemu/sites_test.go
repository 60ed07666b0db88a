package esaemu_test

import (
	"testing"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
)

func TestSites(t *testing.T) {
	t.Run("finds the site of a record name by its longest zone", func(t *testing.T) {
		b := start(t)
		if err := b.AddSite(esaemu.Site{ID: 7, Name: "Shop.Example.com"}); err != nil {
			t.Fatal(err)
		}
		for record, site := range map[string]string{
			"www.example.com": "example.com", "example.com": "example.com", "a.shop.example.com": "shop.example.com",
		} {
			body := must[map[string]any](t)(b.rpc(t, signed{"Action": "GetMatchSite", "RecordName": record}))
			same(t, record, body["SiteName"], any(site))
		}
		_, err := b.rpc(t, signed{"Action": "GetMatchSite", "RecordName": "www.example.org"})
		want(t, "no site", err, "SiteParameterNotMatch")
	})

	t.Run("lists sites by every kind of search", func(t *testing.T) {
		b := start(t)
		if err := b.AddSite(esaemu.Site{ID: 7, Name: "example.org"}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name, how string
			total     int32
		}{
			{"", "", 2},
			{"example.org", "", 1},
			{"example.org", "exact", 1},
			{"example", "", 0},
			{"example", "prefix", 2},
			{"org", "suffix", 1},
			{"AMPLE.C", "fuzzy", 1},
		} {
			got := must[*esa.ListSitesResponse](t)(b.sdk.ListSites(&esa.ListSitesRequest{SiteName: &c.name, SiteSearchType: &c.how}))
			same(t, c.name+" "+c.how, *got.Body.TotalCount, c.total)
			same(t, "page size", *got.Body.PageSize, int32(500))
		}
		_, err := b.sdk.ListSites(&esa.ListSitesRequest{SiteSearchType: tea.String("regexp")})
		want(t, "unknown search", err, "InvalidParameter")
	})

	t.Run("removes a site with its records and routes", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		must[int64](t)(b.createRecord("web", "www.example.com"))
		must[int64](t)(b.PlantRecord(siteID, "mail.example.com"))
		_, err := b.sdk.CreateRoutineRoute(&esa.CreateRoutineRouteRequest{RoutineName: tea.String("web"), SiteId: tea.Int64(siteID)})
		want(t, "route", err, "")
		if err := b.AddSite(esaemu.Site{ID: siteID, Name: "example.org"}); err == nil {
			t.Error("a site with records was renamed")
		}
		same(t, "removed", must[bool](t)(b.RemoveSite(siteID)), true)
		same(t, "removed again", must[bool](t)(b.RemoveSite(siteID)), false)
		_, err = b.createRecord("web", "www.example.com")
		want(t, "record", err, "SiteParameterNotMatch")
		_, err = b.sdk.DeleteRoutine(&esa.DeleteRoutineRequest{Name: tea.String("web")})
		want(t, "nothing uses the routine", err, "")
		same(t, "planted", must[esaemu.State](t)(b.State()).Planted, []esaemu.Record{})
	})
}
