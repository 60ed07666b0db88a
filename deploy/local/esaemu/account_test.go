package esaemu_test

import (
	"fmt"
	"testing"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
)

func TestAccount(t *testing.T) {
	yes, no := true, false

	t.Run("creates routines only once the service is activated", func(t *testing.T) {
		b := start(t)
		status := func() string {
			return tea.StringValue(must[*esa.GetErServiceResponse](t)(b.sdk.GetErService(&esa.GetErServiceRequest{})).Body.Status)
		}
		same(t, "a new account", status(), "Running")
		if err := b.SetAccount(esaemu.AccountChange{Activated: &no}); err != nil {
			t.Fatal(err)
		}
		same(t, "switched off", status(), "NotOpened")
		want(t, "create", b.createRoutine("web"), "ServiceNotOpen")
		_, err := b.sdk.OpenErService(&esa.OpenErServiceRequest{})
		want(t, "open", err, "")
		_, err = b.sdk.OpenErService(&esa.OpenErServiceRequest{})
		want(t, "open again", err, "ErService.HasOpened")
		same(t, "opened", status(), "Running")
		want(t, "create", b.createRoutine("web"), "")
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
			`{"activated":true,"overdue":false,"plan":"paid","routineQuota":100,"siteQuota":100,"recordQuota":0,"takenCode":"RoutineAlreadyExist","latencyMillis":0,"listDelayMillis":0,"locked":false}`)
		same(t, "paid", told(), [3]any{"er_paymode", int64(100), 100})
		free, seven := esaemu.Free, 7
		if err := b.SetAccount(esaemu.AccountChange{Plan: &free, RoutineQuota: &seven}); err != nil {
			t.Fatal(err)
		}
		same(t, "free, with another quota", told(), [3]any{"er_freemode", int64(7), 20})
		plans := must[*esa.ListEdgeRoutinePlansResponse](t)(b.sdk.ListEdgeRoutinePlans()).Body.PlanInfo
		plan := func(name, payment, routines, versions, sites string) *esa.ListEdgeRoutinePlansResponseBodyPlanInfo {
			return &esa.ListEdgeRoutinePlansResponseBodyPlanInfo{
				PlanName: &name, PaymentMethod: &payment, BillingMode: tea.String("POSTPAY"),
				ErRoutineQuota: &routines, ErRoutineCodeVersionQuota: &versions, ErRoutineRouteSiteCountQuota: &sites,
			}
		}
		same(t, "plans", plans, []*esa.ListEdgeRoutinePlansResponseBodyPlanInfo{
			plan("er_freemode", "er_free", "20", "5", "20"), plan("er_paymode", "er_pay", "100", "20", "100"),
		})
	})

	t.Run("stops at the plan's number of routines", func(t *testing.T) {
		b := start(t)
		for i := range 20 {
			want(t, "create", b.createRoutine(fmt.Sprint("web-", i)), "")
		}
		want(t, "the 21st", b.createRoutine("web-20"), "RoutineNumberExceedQuotaLimit")
	})

	t.Run("halts every write of an overdue account and no read", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		id := must[int64](t)(b.createRecord("web", "www.example.com"))
		if err := b.SetAccount(esaemu.AccountChange{Overdue: &yes}); err != nil {
			t.Fatal(err)
		}
		const halted = "RoutineUserServiceStatusHalt"
		name, site := tea.String("web"), tea.Int64(siteID)
		want(t, "CreateRoutine", b.createRoutine("api"), halted)
		_, err := b.createRecord("web", "a.example.com")
		want(t, "CreateRoutineRelatedRecord", err, halted)
		_, err = b.sdk.DeleteRoutineRelatedRecord(&esa.DeleteRoutineRelatedRecordRequest{
			Name: name, SiteId: site, RecordId: &id, RecordName: tea.String("www.example.com"),
		})
		want(t, "DeleteRoutineRelatedRecord", err, halted)
		_, err = b.sdk.DeleteRoutine(&esa.DeleteRoutineRequest{Name: name})
		want(t, "DeleteRoutine", err, halted)
		_, err = b.sdk.UpdateRoutineConfigDescription(&esa.UpdateRoutineConfigDescriptionRequest{Name: name})
		want(t, "UpdateRoutineConfigDescription", err, halted)
		_, err = b.sdk.CreateRoutineRoute(newRoute("web"))
		want(t, "CreateRoutineRoute", err, halted)
		_, err = b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: name})
		want(t, "GetRoutine", err, "")
	})
}
