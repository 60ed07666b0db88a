package esaemu_test

import (
	"fmt"
	"testing"
	"time"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
)

func (b *bench) deleteRecord(routine, record string, site, id int64) error {
	return b.call("DeleteRoutineRelatedRecord", "Name", routine, "RecordName", record, "SiteId", fmt.Sprint(site), "RecordId", fmt.Sprint(id))
}

// listed are the records of the routine web.
func (b *bench) listed(t *testing.T, r esa.ListRoutineRelatedRecordsRequest) *esa.ListRoutineRelatedRecordsResponseBody {
	t.Helper()
	r.Name = tea.String("web")
	return must[*esa.ListRoutineRelatedRecordsResponse](t)(b.sdk.ListRoutineRelatedRecords(&r)).Body
}

func TestRecords(t *testing.T) {
	t.Run("binds a record name of the site and shows it in the lists", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		id := must[int64](t)(b.createRecord("web", "WWW.Example.com"))
		if id <= 1<<32 || id >= 1<<53 {
			t.Errorf("record id %d, want more than 32 and less than 53 bits", id)
		}
		other := must[int64](t)(b.createRecord("web", "example.com"))
		body := b.listed(t, esa.ListRoutineRelatedRecordsRequest{})
		same(t, "records", body.RelatedRecords, []*esa.ListRoutineRelatedRecordsResponseBodyRelatedRecords{
			{RecordName: tea.String("www.example.com"), RecordId: &id, SiteId: tea.Int64(siteID), SiteName: tea.String("example.com")},
			{RecordName: tea.String("example.com"), RecordId: &other, SiteId: tea.Int64(siteID), SiteName: tea.String("example.com")},
		})
		same(t, "total, page, size", []int64{*body.TotalCount, *body.PageNumber, *body.PageSize}, []int64{2, 1, 20})
	})

	t.Run("takes a name once in a site", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		want(t, "create", b.createRoutine("api"), "")
		must[int64](t)(b.createRecord("web", "www.example.com"))
		must[int64](t)(b.PlantRecord(siteID, "mail.example.com"))
		for _, c := range []struct{ routine, record, code string }{
			{"web", "www.example.com", "ParameterAlreadyExist"},
			{"api", "WWW.example.com", "ParameterAlreadyExist"},
			{"web", "mail.example.com", "DependedByOthers"}, // an ordinary record's
		} {
			_, err := b.createRecord(c.routine, c.record)
			wantStatus(t, c.routine+" "+c.record, err, c.code, 400)
		}
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
			err := b.call("CreateRoutineRelatedRecord", "Name", c.routine, "SiteId", c.site, "RecordName", c.record)
			want(t, c.routine+" "+c.site+" "+c.record, err, c.code)
		}
	})

	t.Run("stops at the quota of records and at the plan's number of sites", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		do(t, b.AddSite(site(7, "example.org")))
		do(t, b.AddSite(site(8, "example.net")))
		records, sites := 3, 2
		do(t, b.SetAccount(esaemu.AccountChange{RecordQuota: &records, SiteQuota: &sites}))
		for _, c := range []struct {
			site         int64
			record, code string
		}{
			{siteID, "a.example.com", ""},
			{7, "a.example.org", ""},
			{8, "a.example.net", "RelatedRecordNumberExceedQuotaLimit"},
			{7, "b.example.org", ""},
			{7, "c.example.org", "RelatedRecordNumberExceedQuotaLimit"},
			{7, "b.example.org", "ParameterAlreadyExist"},
		} {
			want(t, c.record, b.call("CreateRoutineRelatedRecord", "Name", "web", "SiteId", fmt.Sprint(c.site), "RecordName", c.record), c.code)
		}
		same(t, "records kept", len(must[esaemu.State](t)(b.State()).Routines[0].Records), 3)
	})

	t.Run("deletes only the record that every parameter describes", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		want(t, "create", b.createRoutine("api"), "")
		id := must[int64](t)(b.createRecord("web", "www.example.com"))
		for _, c := range []struct {
			routine, record string
			site, id        int64
			code            string
		}{
			{"none", "www.example.com", siteID, id, "RoutineNotExist"},
			{"api", "www.example.com", siteID, id, "ParameterNotExist"},
			{"web", "w.example.com", siteID, id, "ParameterNotExist"},
			{"web", "www.example.com", 1, id, "SiteParameterNotMatch"},
			{"web", "www.example.com", siteID, id + 1, "ParameterNotExist"},
			{"web", "www.example.com", siteID, id, ""},
			{"web", "www.example.com", siteID, id, "ParameterNotExist"},
		} {
			want(t, c.routine+" "+c.record, b.deleteRecord(c.routine, c.record, c.site, c.id), c.code)
		}
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
		same(t, "first page", len(b.listed(t, esa.ListRoutineRelatedRecordsRequest{PageSize: tea.Int64(50)}).RelatedRecords), 20)
		second := b.listed(t, esa.ListRoutineRelatedRecordsRequest{PageNumber: tea.Int64(2)})
		same(t, "second page and total", []int{len(second.RelatedRecords), int(*second.TotalCount)}, []int{2, 22})
		same(t, "search", len(b.listed(t, esa.ListRoutineRelatedRecordsRequest{SearchKeyWord: tea.String("B.EX")}).RelatedRecords), 1)
	})

	t.Run("keeps new records out of the lists for the list delay, though their names are taken", func(t *testing.T) {
		b := start(t)
		delay := int64(5000)
		do(t, b.SetAccount(esaemu.AccountChange{ListDelayMillis: &delay}))
		want(t, "create", b.createRoutine("web"), "")
		must[int64](t)(b.createRecord("web", "www.example.com"))
		count := func() int { return len(b.listed(t, esa.ListRoutineRelatedRecordsRequest{}).RelatedRecords) }
		b.clock.Advance(4999 * time.Millisecond)
		same(t, "before", count(), 0)
		_, err := b.createRecord("web", "www.example.com")
		want(t, "the name", err, "ParameterAlreadyExist")
		b.clock.Advance(time.Millisecond)
		same(t, "after", count(), 1)
	})
}
