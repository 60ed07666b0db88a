package esaemu_test

import (
	"fmt"
	"testing"
	"time"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
)

func TestOutsiders(t *testing.T) {
	t.Run("act while the account is locked, full and overdue", func(t *testing.T) {
		b := start(t)
		none := 0
		do(t, b.SetAccount(esaemu.AccountChange{RoutineQuota: &none, SiteQuota: &none}))
		do(t, b.SetOverdue(true))
		do(t, b.HoldLock(t.Context(), time.Hour))
		b.wantScript(t, "POST", "routines", `{"name":"web"}`, 200, `{"name":"web"}`)
		b.wantScript(t, "POST", "records", `{"routine":"web","siteId":54362329990032,"recordName":"www.example.com"}`, 200, `{"recordId":3227405728754049}`)
		b.wantScript(t, "POST", "routes", `{"routine":"web","siteId":54362329990032,"name":"all"}`, 200, `{"configId":352816096980001}`)
		web := must[esaemu.State](t)(b.State()).Routines[0]
		same(t, "record and route", []string{web.Records[0].RecordName, web.Routes[0].Name}, []string{"www.example.com", "all"})
		b.wantScript(t, "DELETE", "records/3227405728754049", "", 204, "")
		same(t, "records", len(must[esaemu.State](t)(b.State()).Routines[0].Records), 0)
		b.wantScript(t, "DELETE", "routines/web", "", 204, "")
		same(t, "routines", len(must[esaemu.State](t)(b.State()).Routines), 0)
	})

	t.Run("who delete a routine take its records and routes with it, and no others", func(t *testing.T) {
		b := start(t)
		for _, name := range []string{"web", "web-2"} {
			do(t, b.PlantRoutine(esaemu.Routine{Name: name}))
			must[int64](t)(b.BindRecord(name, siteID, name+".example.com"))
			must[int64](t)(b.PlantRoute(esaemu.Route{Routine: name, SiteID: siteID}))
		}
		do(t, b.RemoveRoutine("web"))
		state := must[esaemu.State](t)(b.State())
		same(t, "dangling", len(state.DanglingRecords)+len(state.DanglingRoutes), 0)
		same(t, "left", []any{len(state.Routines), len(state.Routines[0].Records), len(state.Routines[0].Routes)}, []any{1, 1, 1})
		must[int64](t)(b.BindRecord("web-2", siteID, "web.example.com"))
	})

	t.Run("who make a name again are seen by its CreateTime, a second later", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		created := func() time.Time {
			body := must[*esa.GetRoutineResponse](t)(b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: tea.String("web")})).Body
			return must[time.Time](t)(time.Parse(time.RFC3339, *body.CreateTime))
		}
		first := created()
		do(t, b.RemoveRoutine("web"))
		do(t, b.PlantRoutine(esaemu.Routine{Name: "web", CreateTime: b.clock.Now().Add(time.Second)}))
		same(t, "CreateTime", created(), first.Add(time.Second))
	})
}

// TestFaultsOfALife shows how rules express what the life of a routine can meet.
func TestFaultsOfALife(t *testing.T) {
	breaks := func(t *testing.T, b *bench, rule string) {
		t.Helper()
		if status, text := b.script(t, "POST", "faults", rule); status != 201 {
			t.Fatal(text)
		}
	}
	exists := func(b *bench) string { return codeOf(b.call("GetRoutine", "Name", "web")) }

	t.Run("a create without an answer lands after the delete that was to undo it", func(t *testing.T) {
		b := start(t)
		breaks(t, b, `{"action":"CreateRoutine","fault":{"answer":"reset","after":"DeleteRoutine"}}`)
		want(t, "create", b.createRoutine("web"), "not an SDK error")
		same(t, "before", exists(b), "RoutineNotExist")
		want(t, "delete", b.call("DeleteRoutine", "Name", "web"), "RoutineNotExist")
		same(t, "after", exists(b), "")
	})
	for _, c := range []struct{ name, rule, answer, left string }{
		{"is refused", `{"action":"DeleteRoutine","fault":{"answer":"error","code":"DependedByOthers"}}`, "DependedByOthers", ""},
		{"has its answer lost", `{"action":"DeleteRoutine","fault":{"answer":"reset","execute":true}}`, "not an SDK error", "RoutineNotExist"},
		{"is lost", `{"action":"DeleteRoutine","fault":{"answer":"reset"}}`, "not an SDK error", ""},
	} {
		t.Run("a deletion "+c.name, func(t *testing.T) {
			b := start(t)
			want(t, "create", b.createRoutine("web"), "")
			breaks(t, b, c.rule)
			want(t, "delete", b.call("DeleteRoutine", "Name", "web"), c.answer)
			same(t, "the routine", exists(b), c.left)
		})
	}
	t.Run("a list lacks its second page", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		for i := range 41 {
			must[int64](t)(b.BindRecord("web", siteID, fmt.Sprintf("w%d.example.com", i)))
		}
		breaks(t, b, `{"action":"ListRoutineRelatedRecords","match":{"PageNumber":"2"},"fault":{"answer":"document","body":"{\"TotalCount\":41,\"RelatedRecords\":[]}"}}`)
		for page, count := range []int{20, 0, 1} {
			body := b.listed(t, esa.ListRoutineRelatedRecordsRequest{PageNumber: tea.Int64(int64(page + 1))})
			same(t, "page", []int{len(body.RelatedRecords), int(*body.TotalCount)}, []int{count, 41})
		}
	})
}
