package esaemu_test

import (
	"fmt"
	"testing"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
)

// writes are calls that change something of the routine web, or would: an action with its parameters each.
func writes() [][]string {
	const site, record = "54362329990032", "www.example.com"
	return [][]string{
		{"CreateRoutine", "Name", "api"},
		{"UpdateRoutineConfigDescription", "Name", "web", "Description", "new"},
		{"DeleteRoutine", "Name", "web"},
		{"CreateRoutineRelatedRecord", "Name", "web", "SiteId", site, "RecordName", record},
		{"DeleteRoutineRelatedRecord", "Name", "web", "SiteId", site, "RecordName", record, "RecordId", "1"},
		{"CreateRoutineRoute", "RoutineName", "web", "SiteId", site, "RouteName", "all", "RouteEnable", "on", "Rule", "true"},
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
		want(t, "open", b.call("OpenErService"), "")
		want(t, "open again", b.call("OpenErService"), "ErService.HasOpened")
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
		for _, call := range writes() {
			want(t, call[0], b.call(call[0], call[1:]...), "RoutineUserServiceStatusHalt")
		}
		for _, call := range [][]string{
			{"GetErService"},
			{"GetRoutine", "Name", "web"},
			{"ListUserRoutines"},
			{"ListRoutineRelatedRecords", "Name", "web"},
			{"GetSite", "SiteId", "54362329990032"},
			{"ListSites"},
		} {
			want(t, call[0], b.call(call[0], call[1:]...), "")
		}
		same(t, "GetErService", serviceOf(t, b), "Running")
		do(t, b.SetOverdue(false))
		want(t, "paid", b.createRoutine("api"), "")
	})

	t.Run("has the quotas of its plan, unless a script sets others, and stops at them", func(t *testing.T) {
		b := start(t)
		plan := func(name string, quota int64) {
			t.Helper()
			service := must[*esa.GetErServiceResponse](t)(b.sdk.GetErService(&esa.GetErServiceRequest{})).Body
			list := must[*esa.ListUserRoutinesResponse](t)(b.sdk.ListUserRoutines(&esa.ListUserRoutinesRequest{PageSize: tea.Int64(1)})).Body
			used := int64(len(must[esaemu.State](t)(b.State()).Routines))
			same(t, "plan, quota, used", []any{*service.PlanName, *list.QuotaRoutineNumber, *list.UsedRoutineNumber}, []any{name, quota, used})
		}
		free, paid, seven := esaemu.Free, esaemu.Paid, 7
		plan("er_paymode", 100)
		do(t, b.SetAccount(esaemu.AccountChange{Plan: &free}))
		plan("er_freemode", 20)
		do(t, b.SetAccount(esaemu.AccountChange{Plan: &paid}))
		plan("er_paymode", 100)
		do(t, b.SetAccount(esaemu.AccountChange{Plan: &free, RoutineQuota: &seven}))
		for i := range seven {
			want(t, "create", b.createRoutine(fmt.Sprint("web-", i)), "")
		}
		want(t, "the eighth", b.createRoutine("web-7"), "RoutineNumberExceedQuotaLimit")
		plan("er_freemode", 7)
	})
}
