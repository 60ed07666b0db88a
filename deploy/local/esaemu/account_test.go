package esaemu_test

import (
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
		same(t, "opened", status(), "Running")
		want(t, "create", b.createRoutine("web"), "")
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
		_, err = b.sdk.CreateRoutineRoute(&esa.CreateRoutineRouteRequest{RoutineName: name, SiteId: site})
		want(t, "CreateRoutineRoute", err, halted)
		_, err = b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: name})
		want(t, "GetRoutine", err, "")
	})
}
