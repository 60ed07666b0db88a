package esaemu_test

import (
	"fmt"
	"testing"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
)

// writes are all operations on the routine web that an account can be kept from.
func (b *bench) writes() map[string]func() error {
	name, site, record, id := tea.String("web"), tea.Int64(siteID), tea.String("www.example.com"), tea.Int64(1)
	return map[string]func() error{
		"CreateRoutine": func() error { return b.createRoutine("api") },
		"UpdateRoutineConfigDescription": func() error {
			_, err := b.sdk.UpdateRoutineConfigDescription(&esa.UpdateRoutineConfigDescriptionRequest{Name: name})
			return err
		},
		"DeleteRoutine": func() error {
			_, err := b.sdk.DeleteRoutine(&esa.DeleteRoutineRequest{Name: name})
			return err
		},
		"CreateRoutineRelatedRecord": func() error {
			_, err := b.createRecord("web", "a.example.com")
			return err
		},
		"DeleteRoutineRelatedRecord": func() error {
			_, err := b.sdk.DeleteRoutineRelatedRecord(&esa.DeleteRoutineRelatedRecordRequest{Name: name, SiteId: site, RecordId: id, RecordName: record})
			return err
		},
		"CreateRoutineRoute": func() error {
			_, err := b.sdk.CreateRoutineRoute(newRoute("web"))
			return err
		},
	}
}

// reads are all operations that are answered whatever the account's standing.
func (b *bench) reads() map[string]func() error {
	name, site := tea.String("web"), tea.Int64(siteID)
	return map[string]func() error{
		"GetErService": func() error {
			_, err := b.sdk.GetErService(&esa.GetErServiceRequest{})
			return err
		},
		"GetRoutine": func() error {
			_, err := b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: name})
			return err
		},
		"ListUserRoutines": func() error {
			_, err := b.sdk.ListUserRoutines(&esa.ListUserRoutinesRequest{})
			return err
		},
		"ListRoutineRelatedRecords": func() error {
			_, err := b.sdk.ListRoutineRelatedRecords(&esa.ListRoutineRelatedRecordsRequest{Name: name})
			return err
		},
		"GetSite": func() error {
			_, err := b.sdk.GetSite(&esa.GetSiteRequest{SiteId: site})
			return err
		},
		"ListSites": func() error {
			_, err := b.sdk.ListSites(&esa.ListSitesRequest{})
			return err
		},
	}
}

func TestAccount(t *testing.T) {
	serviceOf := func(t *testing.T, b *bench) string {
		t.Helper()
		return tea.StringValue(must[*esa.GetErServiceResponse](t)(b.sdk.GetErService(&esa.GetErServiceRequest{})).Body.Status)
	}

	t.Run("creates routines only while the service runs", func(t *testing.T) {
		b := start(t)
		same(t, "a new account", serviceOf(t, b), "Running")
		for _, status := range []string{"Creating", "NotOpened"} {
			do(t, b.SetErService(status))
			same(t, "GetErService", serviceOf(t, b), status)
			want(t, status, b.createRoutine("web"), "ServiceNotOpen")
		}
		open := func() error {
			_, err := b.sdk.OpenErService(&esa.OpenErServiceRequest{})
			return err
		}
		want(t, "open", open(), "")
		want(t, "open again", open(), "ErService.HasOpened")
		same(t, "opened", serviceOf(t, b), "Running")
		want(t, "create", b.createRoutine("web"), "")
		if err := b.SetErService("online"); err == nil {
			t.Error("a status that ESA does not have was taken")
		}
	})

	t.Run("halts every write while it is overdue, and no read", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		do(t, b.SetOverdue(true))
		for action, write := range b.writes() {
			want(t, action, write(), "RoutineUserServiceStatusHalt")
		}
		for action, read := range b.reads() {
			want(t, action, read(), "")
		}
		same(t, "GetErService", serviceOf(t, b), "Running")
		do(t, b.SetOverdue(false))
		want(t, "paid", b.createRoutine("api"), "")
	})

	t.Run("has the quotas of its plan, which a script can change", func(t *testing.T) {
		b := start(t)
		told := func() [3]any {
			service := must[*esa.GetErServiceResponse](t)(b.sdk.GetErService(&esa.GetErServiceRequest{})).Body
			list := must[*esa.ListUserRoutinesResponse](t)(b.sdk.ListUserRoutines(&esa.ListUserRoutinesRequest{})).Body
			return [3]any{tea.StringValue(service.PlanName), *list.QuotaRoutineNumber, must[esaemu.State](t)(b.State()).Account.SiteQuota}
		}
		same(t, "a new account", told(), [3]any{"er_freemode", int64(20), 20})
		b.wantScript(t, "PUT", "account", `{"plan":"paid"}`, 200,
			`{"erService":"Running","overdue":false,"plan":"paid","routineQuota":100,"siteQuota":100,"recordQuota":0,"takenCode":"RoutineAlreadyExist","latencyMillis":0,"listDelayMillis":0,"locked":false}`)
		same(t, "paid", told(), [3]any{"er_paymode", int64(100), 100})
		free, seven := esaemu.Free, 7
		if err := b.SetAccount(esaemu.AccountChange{Plan: &free, RoutineQuota: &seven}); err != nil {
			t.Fatal(err)
		}
		same(t, "free, with another quota", told(), [3]any{"er_freemode", int64(7), 20})
		plans := must[*esa.ListEdgeRoutinePlansResponse](t)(b.sdk.ListEdgeRoutinePlans()).Body.PlanInfo
		same(t, "plans", []string{*plans[0].PlanName, *plans[0].ErRoutineQuota, *plans[1].PlanName, *plans[1].ErRoutineQuota},
			[]string{"er_freemode", "20", "er_paymode", "100"})
	})

	t.Run("stops at its number of routines, of which it tells how many there are", func(t *testing.T) {
		b := start(t)
		for i := range 20 {
			want(t, "create", b.createRoutine(fmt.Sprint("web-", i)), "")
		}
		want(t, "the 21st", b.createRoutine("web-20"), "RoutineNumberExceedQuotaLimit")
		list := must[*esa.ListUserRoutinesResponse](t)(b.sdk.ListUserRoutines(&esa.ListUserRoutinesRequest{PageSize: tea.Int64(1)})).Body
		same(t, "quota, used", []int64{*list.QuotaRoutineNumber, *list.UsedRoutineNumber}, []int64{20, 20})
	})
}
