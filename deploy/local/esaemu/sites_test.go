package esaemu_test

import (
	"testing"
	"time"

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

	t.Run("shows a site with what it is, alone and in lists", func(t *testing.T) {
		b := start(t)
		made := b.clock.Now().UTC().Format(time.RFC3339)
		b.clock.Advance(time.Minute)
		b.wantScript(t, "POST", "sites", `{"id":7,"name":"example.org","status":"pending","accessType":"CNAME","coverage":"global","cnameZone":"cnamezone.com","createTime":"2025-01-02T03:04:05Z"}`, 200,
			`{"id":7,"name":"example.org","status":"pending","accessType":"CNAME","coverage":"global","cnameZone":"cnamezone.com","createTime":"2025-01-02T03:04:05Z"}`)
		ns := esa.GetSiteResponseBodySiteModel{
			SiteId: tea.Int64(siteID), SiteName: tea.String("example.com"), Status: tea.String("active"), AccessType: tea.String("NS"),
			Coverage: tea.String("domestic"), CnameZone: tea.String(""), InstanceId: tea.String("esa-site-local"), PlanName: tea.String("plan-local"),
			NameServerList: tea.String("male1-1.ialicdn.com,female1-1.ialicdn.com"), CreateTime: &made, UpdateTime: &made,
		}
		then := tea.String("2025-01-02T03:04:05Z")
		cname := esa.GetSiteResponseBodySiteModel{
			SiteId: tea.Int64(7), SiteName: tea.String("example.org"), Status: tea.String("pending"), AccessType: tea.String("CNAME"),
			Coverage: tea.String("global"), CnameZone: tea.String("cnamezone.com"), InstanceId: tea.String("esa-site-local"), PlanName: tea.String("plan-local"),
			NameServerList: tea.String(""), CreateTime: then, UpdateTime: then,
		}
		for _, site := range []esa.GetSiteResponseBodySiteModel{ns, cname} {
			got := must[*esa.GetSiteResponse](t)(b.sdk.GetSite(&esa.GetSiteRequest{SiteId: site.SiteId})).Body.SiteModel
			same(t, "site", *got, site)
		}
		_, err := b.sdk.GetSite(&esa.GetSiteRequest{SiteId: tea.Int64(1)})
		want(t, "no such site", err, "SiteParameterNotMatch")
		list := must[*esa.ListSitesResponse](t)(b.sdk.ListSites(&esa.ListSitesRequest{})).Body.Sites
		same(t, "listed", []string{*list[0].CnameZone, *list[0].CreateTime, *list[1].NameServerList, *list[1].InstanceId},
			[]string{"cnamezone.com", *then, *ns.NameServerList, "esa-site-local"})
	})

	t.Run("lists sites by status, access and coverage", func(t *testing.T) {
		b := start(t)
		if err := b.AddSite(esaemu.Site{ID: 7, Name: "example.org", Status: "offline", AccessType: "CNAME", Coverage: "overseas"}); err != nil {
			t.Fatal(err)
		}
		zones := func(r esa.ListSitesRequest) (out []string) {
			for _, site := range must[*esa.ListSitesResponse](t)(b.sdk.ListSites(&r)).Body.Sites {
				out = append(out, *site.SiteName)
			}
			return out
		}
		same(t, "active", zones(esa.ListSitesRequest{Status: tea.String("active")}), []string{"example.com"})
		same(t, "offline", zones(esa.ListSitesRequest{Status: tea.String("offline"), SiteName: tea.String("example"), SiteSearchType: tea.String("prefix")}), []string{"example.org"})
		same(t, "moved", zones(esa.ListSitesRequest{Status: tea.String("moved")}), []string(nil))
		same(t, "CNAME", zones(esa.ListSitesRequest{AccessType: tea.String("CNAME")}), []string{"example.org"})
		same(t, "domestic", zones(esa.ListSitesRequest{Coverage: tea.String("domestic")}), []string{"example.com"})
		same(t, "a tag that no site has", zones(esa.ListSitesRequest{TagFilter: []*esa.ListSitesRequestTagFilter{{Key: tea.String("k"), Value: tea.String("v")}}}), []string(nil))
		_, err := b.sdk.ListSites(&esa.ListSitesRequest{Status: tea.String("asleep")})
		want(t, "unknown status", err, "InvalidParameter")
	})

	t.Run("binds records of active sites only", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		for _, status := range []string{"pending", "offline", "moved"} {
			if err := b.AddSite(esaemu.Site{ID: siteID, Status: status}); err != nil {
				t.Fatal(err)
			}
			site := must[*esa.GetSiteResponse](t)(b.sdk.GetSite(&esa.GetSiteRequest{SiteId: tea.Int64(siteID)})).Body.SiteModel
			same(t, "GetSite", []any{*site.SiteId, *site.SiteName, *site.Status, *site.AccessType}, []any{int64(siteID), "example.com", status, "NS"})
			_, err := b.createRecord("web", "www.example.com")
			want(t, status, err, "SiteParameterNotMatch")
			_, err = b.rpc(t, signed{"Action": "GetMatchSite", "RecordName": "www.example.com"})
			want(t, "the site of a name, "+status, err, "SiteParameterNotMatch")
		}
		if err := b.AddSite(esaemu.Site{ID: siteID, Name: "example.com", Status: "active"}); err != nil {
			t.Fatal(err)
		}
		must[int64](t)(b.createRecord("web", "www.example.com"))
	})

	t.Run("tells where the owner of a site with CNAME access has to lead a record's name", func(t *testing.T) {
		b := start(t)
		if err := b.AddSite(esaemu.Site{ID: siteID, Name: "example.com", AccessType: "CNAME", CnameZone: "CnameZone.com"}); err != nil {
			t.Fatal(err)
		}
		want(t, "create", b.createRoutine("web"), "")
		must[int64](t)(b.createRecord("web", "a.example.com"))
		records := must[*esa.ListEdgeRoutineRecordsResponse](t)(b.sdk.ListEdgeRoutineRecords(&esa.ListEdgeRoutineRecordsRequest{SiteId: tea.Int64(siteID)})).Body.Records
		same(t, "CNAME", tea.StringValue(records[0].RecordCname), "a.example.com.cnamezone.com")
	})

	t.Run("removes a site with its records and routes", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		must[int64](t)(b.createRecord("web", "www.example.com"))
		must[int64](t)(b.PlantRecord(siteID, "mail.example.com"))
		_, err := b.sdk.CreateRoutineRoute(newRoute("web"))
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
