package esaemu_test

import (
	"testing"
	"time"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
)

func TestRecords(t *testing.T) {
	t.Run("binds a record name of the site and shows it in the lists", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		id := must[int64](t)(b.createRecord("web", "WWW.Example.com"))
		if id <= 1<<32 || id >= 1<<53 {
			t.Errorf("record id %d, want more than 32 and less than 53 bits", id)
		}
		other := must[int64](t)(b.createRecord("web", "example.com"))
		body := must[*esa.ListRoutineRelatedRecordsResponse](t)(b.sdk.ListRoutineRelatedRecords(&esa.ListRoutineRelatedRecordsRequest{Name: tea.String("web")})).Body
		same(t, "records", body.RelatedRecords, []*esa.ListRoutineRelatedRecordsResponseBodyRelatedRecords{
			{RecordName: tea.String("www.example.com"), RecordId: &id, SiteId: tea.Int64(siteID), SiteName: tea.String("example.com")},
			{RecordName: tea.String("example.com"), RecordId: &other, SiteId: tea.Int64(siteID), SiteName: tea.String("example.com")},
		})
		same(t, "total, page, size", []int64{*body.TotalCount, *body.PageNumber, *body.PageSize}, []int64{2, 1, 20})
		edge := must[*esa.ListEdgeRoutineRecordsResponse](t)(b.sdk.ListEdgeRoutineRecords(&esa.ListEdgeRoutineRecordsRequest{
			SiteId: tea.Int64(siteID), RecordName: tea.String("www."), RecordMatchType: tea.String("prefix"),
		})).Body
		same(t, "site's records", *edge.TotalCount, int32(1))
		same(t, "site's record", tea.StringValue(edge.Records[0].RecordName), "www.example.com")
		same(t, "nothing is left to do for its name", tea.StringValue(edge.Records[0].RecordCname), "")
	})

	t.Run("takes a name once in a site, whoever has it", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		want(t, "create", b.createRoutine("api"), "")
		must[int64](t)(b.createRecord("web", "www.example.com"))
		must[int64](t)(b.PlantRecord(siteID, "mail.example.com"))
		for routine, name := range map[string]string{"web": "www.example.com", "api": "WWW.example.com"} {
			_, err := b.createRecord(routine, name)
			want(t, routine+" "+name, err, "ParameterAlreadyExist")
		}
		_, err := b.createRecord("web", "mail.example.com")
		wantStatus(t, "an ordinary record's", err, "DependedByOthers", 400)
		edge := must[*esa.ListEdgeRoutineRecordsResponse](t)(b.sdk.ListEdgeRoutineRecords(&esa.ListEdgeRoutineRecordsRequest{SiteId: tea.Int64(siteID)}))
		same(t, "bound records", *edge.Body.TotalCount, int32(1))
	})

	t.Run("refuses what does not fit, with the documented code", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		for _, c := range []struct{ routine, site, record, code string }{
			{"none", "54362329990032", "www.example.com", "RoutineNotExist"},
			{"web", "1", "www.example.com", "SiteParameterNotMatch"},
			{"web", "54362329990032", "www.example.org", "SiteParameterNotMatch"},
			{"web", "54362329990032", "notexample.com", "SiteParameterNotMatch"},
			{"web", "54362329990032", "www.example.com.", "InvalidParameter"},
			{"web", "54362329990032", "*.example.com", "InvalidParameter"},
			{"web", "54362329990032", "a_b.example.com", "InvalidParameter"},
			{"web", "54362329990032", "", "InvalidParameter"},
			{"web", "example.com", "www.example.com", "InvalidParameter"},
			{"web", "5.0", "www.example.com", "InvalidParameter"},
			{"web", "99999999999999999999", "www.example.com", "InvalidParameter"},
			{"web", "", "www.example.com", "InvalidParameter"},
			{"", "54362329990032", "www.example.com", "InvalidParameter"},
		} {
			_, err := b.rpc(t, signed{
				"Action": "CreateRoutineRelatedRecord", "Name": c.routine, "SiteId": c.site, "RecordName": c.record,
			})
			want(t, c.routine+" "+c.site+" "+c.record, err, c.code)
		}
	})

	t.Run("stops at the quota of records", func(t *testing.T) {
		c := config(t.TempDir())
		c.RecordQuota = 1
		b := open(t, c)
		want(t, "create", b.createRoutine("web"), "")
		must[int64](t)(b.createRecord("web", "a.example.com"))
		_, err := b.createRecord("web", "b.example.com")
		want(t, "second", err, "RelatedRecordNumberExceedQuotaLimit")
		_, err = b.createRecord("web", "a.example.com")
		want(t, "the same again", err, "ParameterAlreadyExist")
		same(t, "records kept", len(must[esaemu.State](t)(b.State()).Routines[0].Records), 1)
	})

	t.Run("stops at the plan's number of sites", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		quota := 2
		if err := b.SetAccount(esaemu.AccountChange{SiteQuota: &quota}); err != nil {
			t.Fatal(err)
		}
		bind := func(site int64, record string) error {
			_, err := b.sdk.CreateRoutineRelatedRecord(&esa.CreateRoutineRelatedRecordRequest{Name: tea.String("web"), SiteId: &site, RecordName: &record})
			return err
		}
		for id, zone := range map[int64]string{7: "example.org", 8: "example.net"} {
			if err := b.AddSite(esaemu.Site{ID: id, Name: zone}); err != nil {
				t.Fatal(err)
			}
		}
		want(t, "first site", bind(siteID, "a.example.com"), "")
		want(t, "second site", bind(7, "a.example.org"), "")
		want(t, "third site", bind(8, "a.example.net"), "RelatedRecordNumberExceedQuotaLimit")
		want(t, "a site that is bound already", bind(7, "b.example.org"), "")
	})

	t.Run("deletes only the record that every parameter describes", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		want(t, "create", b.createRoutine("api"), "")
		id := must[int64](t)(b.createRecord("web", "www.example.com"))
		remove := func(routine, record string, site, id int64) error {
			_, err := b.sdk.DeleteRoutineRelatedRecord(&esa.DeleteRoutineRelatedRecordRequest{
				Name: &routine, RecordName: &record, SiteId: &site, RecordId: &id,
			})
			return err
		}
		want(t, "no such routine", remove("none", "www.example.com", siteID, id), "RoutineNotExist")
		want(t, "another routine's", remove("api", "www.example.com", siteID, id), "ParameterNotExist")
		want(t, "another name", remove("web", "w.example.com", siteID, id), "ParameterNotExist")
		want(t, "another site", remove("web", "www.example.com", 1, id), "SiteParameterNotMatch")
		want(t, "another id", remove("web", "www.example.com", siteID, id+1), "ParameterNotExist")
		want(t, "right", remove("web", "www.example.com", siteID, id), "")
		want(t, "again", remove("web", "www.example.com", siteID, id), "ParameterNotExist")
		if next := must[int64](t)(b.createRecord("web", "www.example.com")); next <= id {
			t.Errorf("the next record's id is %d, want one that was not used before %d", next, id)
		}
	})

	t.Run("pages and searches a routine's records", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		for i := range 22 {
			must[int64](t)(b.createRecord("web", string(rune('a'+i))+".example.com"))
		}
		list := func(r *esa.ListRoutineRelatedRecordsRequest) *esa.ListRoutineRelatedRecordsResponseBody {
			r.Name = tea.String("web")
			return must[*esa.ListRoutineRelatedRecordsResponse](t)(b.sdk.ListRoutineRelatedRecords(r)).Body
		}
		same(t, "first page", len(list(&esa.ListRoutineRelatedRecordsRequest{PageSize: tea.Int64(50)}).RelatedRecords), 20)
		second := list(&esa.ListRoutineRelatedRecordsRequest{PageNumber: tea.Int64(2)})
		same(t, "second page", len(second.RelatedRecords), 2)
		same(t, "total", *second.TotalCount, int64(22))
		found := list(&esa.ListRoutineRelatedRecordsRequest{SearchKeyWord: tea.String("B.EX")})
		same(t, "search", len(found.RelatedRecords), 1)
	})

	t.Run("keeps new records out of the lists for the list delay", func(t *testing.T) {
		b := start(t)
		delay := int64(5000)
		if err := b.SetAccount(esaemu.AccountChange{ListDelayMillis: &delay}); err != nil {
			t.Fatal(err)
		}
		want(t, "create", b.createRoutine("web"), "")
		must[int64](t)(b.createRecord("web", "www.example.com"))
		listed := func() [2]int64 {
			one := must[*esa.ListRoutineRelatedRecordsResponse](t)(b.sdk.ListRoutineRelatedRecords(&esa.ListRoutineRelatedRecordsRequest{Name: tea.String("web")}))
			two := must[*esa.ListEdgeRoutineRecordsResponse](t)(b.sdk.ListEdgeRoutineRecords(&esa.ListEdgeRoutineRecordsRequest{SiteId: tea.Int64(siteID)}))
			return [2]int64{*one.Body.TotalCount, int64(*two.Body.TotalCount)}
		}
		b.clock.Advance(4999 * time.Millisecond)
		same(t, "before", listed(), [2]int64{0, 0})
		_, err := b.createRecord("web", "www.example.com")
		want(t, "the name is taken all the same", err, "ParameterAlreadyExist")
		b.clock.Advance(time.Millisecond)
		same(t, "after", listed(), [2]int64{1, 1})
	})
}
