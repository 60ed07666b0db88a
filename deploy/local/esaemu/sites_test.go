package esaemu_test

import (
	"testing"
	"time"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
)

func site(id int64, name string) esaemu.Site { return esaemu.Site{ID: id, Name: name} }

func (b *bench) getSite(t *testing.T, id int64) *esa.GetSiteResponseBodySiteModel {
	t.Helper()
	return must[*esa.GetSiteResponse](t)(b.sdk.GetSite(&esa.GetSiteRequest{SiteId: &id})).Body.SiteModel
}

func TestSites(t *testing.T) {
	t.Run("finds the site of a record name by its longest zone", func(t *testing.T) {
		b := start(t)
		do(t, b.AddSite(site(7, "Shop.Example.com")))
		for record, zone := range map[string]string{
			"www.example.com": "example.com", "example.com": "example.com", "a.shop.example.com": "shop.example.com",
		} {
			body := must[map[string]any](t)(b.rpc(t, map[string]string{"Action": "GetMatchSite", "RecordName": record}))
			same(t, record, body["SiteName"], any(zone))
		}
		want(t, "no site", b.call("GetMatchSite", "RecordName", "www.example.org"), "SiteParameterNotMatch")
	})

	t.Run("lists sites by name, status, access and coverage", func(t *testing.T) {
		b := start(t)
		do(t, b.AddSite(esaemu.Site{ID: 7, Name: "example.org", Status: "offline", AccessType: "CNAME", Coverage: "overseas"}))
		for _, c := range []struct{ name, how, status, access, coverage, zones string }{
			{zones: "example.org example.com "},
			{name: "example.org", zones: "example.org "},
			{name: "example", zones: ""},
			{name: "example", how: "prefix", zones: "example.org example.com "},
			{name: "org", how: "suffix", zones: "example.org "},
			{name: "AMPLE.C", how: "fuzzy", zones: "example.com "},
			{status: "active", zones: "example.com "},
			{status: "moved", zones: ""},
			{name: "example", how: "prefix", status: "offline", zones: "example.org "},
			{access: "CNAME", zones: "example.org "},
			{coverage: "domestic", zones: "example.com "},
		} {
			list := must[*esa.ListSitesResponse](t)(b.sdk.ListSites(&esa.ListSitesRequest{
				SiteName: &c.name, SiteSearchType: &c.how, Status: &c.status, AccessType: &c.access, Coverage: &c.coverage,
			})).Body
			zones := ""
			for _, one := range list.Sites {
				zones += *one.SiteName + " "
			}
			if zones != c.zones || *list.PageSize != 500 {
				t.Errorf("%+v: %q, page size %d", c, zones, *list.PageSize)
			}
		}
		want(t, "unknown search", b.call("ListSites", "SiteSearchType", "regexp"), "InvalidParameter")
		want(t, "unknown status", b.call("ListSites", "Status", "asleep"), "InvalidParameter")
		tagged := must[*esa.ListSitesResponse](t)(b.sdk.ListSites(&esa.ListSitesRequest{TagFilter: []*esa.ListSitesRequestTagFilter{{Key: tea.String("k")}}}))
		same(t, "a tag that no site has", *tagged.Body.TotalCount, int32(0))
	})

	t.Run("shows a site with what it is", func(t *testing.T) {
		b := start(t)
		now, then := tea.String(b.clock.Now().UTC().Format(time.RFC3339)), tea.String("2025-01-02T03:04:05Z")
		b.clock.Advance(time.Minute)
		const cname = `{"id":7,"name":"example.org","status":"pending","accessType":"CNAME","coverage":"global","cnameZone":"cnamezone.com","createTime":"2025-01-02T03:04:05Z"}`
		b.wantScript(t, "POST", "sites", cname, 200, cname)
		same(t, "NS", *b.getSite(t, siteID), esa.GetSiteResponseBodySiteModel{
			SiteId: tea.Int64(siteID), SiteName: tea.String("example.com"), Status: tea.String("active"), AccessType: tea.String("NS"),
			Coverage: tea.String("domestic"), CnameZone: tea.String(""), InstanceId: tea.String("esa-site-local"), PlanName: tea.String("plan-local"),
			NameServerList: tea.String("male1-1.ialicdn.com,female1-1.ialicdn.com"), CreateTime: now, UpdateTime: now,
		})
		same(t, "CNAME", *b.getSite(t, 7), esa.GetSiteResponseBodySiteModel{
			SiteId: tea.Int64(7), SiteName: tea.String("example.org"), Status: tea.String("pending"), AccessType: tea.String("CNAME"),
			Coverage: tea.String("global"), CnameZone: tea.String("cnamezone.com"), InstanceId: tea.String("esa-site-local"), PlanName: tea.String("plan-local"),
			NameServerList: tea.String(""), CreateTime: then, UpdateTime: then,
		})
		want(t, "no such site", b.call("GetSite", "SiteId", "1"), "SiteParameterNotMatch")
	})

	t.Run("binds records of active sites only", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		for _, status := range []string{"pending", "offline", "moved", "active"} {
			do(t, b.AddSite(esaemu.Site{ID: siteID, Status: status}))
			got := b.getSite(t, siteID)
			same(t, "GetSite", []any{*got.SiteName, *got.Status}, []any{"example.com", status})
			code := map[bool]string{false: "SiteParameterNotMatch"}[status == "active"]
			want(t, "the site of a name, "+status, b.call("GetMatchSite", "RecordName", "www.example.com"), code)
			_, err := b.createRecord("web", "www.example.com")
			want(t, "a record, "+status, err, code)
		}
	})
}
