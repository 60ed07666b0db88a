package esaemu_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	"github.com/alibabacloud-go/tea/tea"

	"routinely/deploy/local/esaemu"
)

func TestRoutines(t *testing.T) {
	t.Run("creates a routine and echoes it exactly", func(t *testing.T) {
		b := start(t)
		description := "a + b = 100 % & ünï — \"<quoted>\"\n second line"
		created := must[*esa.CreateRoutineResponse](t)(b.sdk.CreateRoutine(&esa.CreateRoutineRequest{
			Name: tea.String("web-1"), Description: &description, HasAssets: tea.Bool(true),
		}))
		same(t, "status", tea.StringValue(created.Body.Status), "OK")
		id := tea.StringValue(created.Body.RequestId)
		same(t, "request id header", tea.StringValue(created.Headers["x-acs-request-id"]), id)
		if len(id) != 36 || id != strings.ToUpper(id) {
			t.Errorf("request id %q, want a UUID in capitals", id)
		}
		got := must[*esa.GetRoutineResponse](t)(b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: tea.String("web-1")})).Body
		same(t, "Description, HasAssets, CreateTime", []any{*got.Description, *got.HasAssets, *got.CreateTime},
			[]any{description, true, b.clock.Now().UTC().Format(time.RFC3339)})
		if record := tea.StringValue(got.DefaultRelatedRecord); !strings.HasPrefix(record, "web-1.") || !strings.HasSuffix(record, ".er.aliyun-esa.net") {
			t.Errorf("DefaultRelatedRecord %q, want a name of the routine under er.aliyun-esa.net", record)
		}
		same(t, "environments", []string{*got.Envs[0].Env, *got.Envs[1].Env}, []string{"production", "staging"})
	})

	t.Run("says of an existing name that it exists, on a full account too", func(t *testing.T) {
		c := config(t.TempDir())
		c.RoutineQuota = 1
		b := open(t, c)
		want(t, "first", b.createRoutine("web"), "")
		wantStatus(t, "again", b.createRoutine("web"), "RoutineAlreadyExist", 400)
		want(t, "another", b.createRoutine("api"), "RoutineNumberExceedQuotaLimit")
		same(t, "routines kept", len(must[esaemu.State](t)(b.State()).Routines), 1)
	})

	t.Run("refuses names that break the console's rule and flags that are no boolean", func(t *testing.T) {
		b := start(t)
		for _, name := range []string{
			"", "a", "Web", "weB", "-web", "web-", "1web", "1-2", "we_b", "we b", "we.b", "wéb", "a:b", "--", strings.Repeat("a", 42),
		} {
			want(t, name, b.createRoutine(name), "InvalidParameter")
		}
		want(t, "a name that cannot be there", b.call("GetRoutine", "Name", "1web"), "RoutineNotExist")
		for _, name := range []string{"ab", "a1", "a--b", "a-2", strings.Repeat("a", 41)} {
			want(t, name, b.createRoutine(name), "")
		}
		want(t, "HasAssets yes", b.call("CreateRoutine", "Name", "web", "HasAssets", "yes"), "InvalidParameter")
	})

	t.Run("answers an error as the gateway writes it", func(t *testing.T) {
		b := start(t)
		_, err := b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: tea.String("none")})
		var refused *tea.SDKError
		if !errors.As(err, &refused) {
			t.Fatalf("got %v, want an SDK error", err)
		}
		var body map[string]any
		do(t, json.Unmarshal([]byte(tea.StringValue(refused.Data)), &body))
		const text = "The routine name does not exist. Check the routine name and try again."
		id, _ := body["RequestId"].(string)
		same(t, "message", tea.StringValue(refused.Message), "code: 400, "+text+" request id: "+id)
		same(t, "body", body, map[string]any{
			"RequestId": id, "HostId": "esa.cn-hangzhou.aliyuncs.com", "Code": "RoutineNotExist", "Message": text, "Recommend": `no routine "none"`,
		})
	})

	t.Run("pages and searches the account's routines within the documented ranges", func(t *testing.T) {
		b := start(t)
		for _, prefix := range []string{"api", "web"} {
			for i := range 12 {
				do(t, b.PlantRoutine(esaemu.Routine{Name: prefix + string(rune('a'+i))}))
			}
		}
		for _, c := range []struct {
			page, size         int64
			search             string
			first              string
			count, total, used int64
		}{
			{first: "apia", count: 20, total: 24, used: 24},
			{page: 2, size: 50, first: "webi", count: 4, total: 24, used: 24},
			{search: "EBA", size: 1, first: "weba", count: 1, total: 1, used: 24},
			{page: 10, total: 24, used: 24},
		} {
			r := &esa.ListUserRoutinesRequest{SearchKeyWord: &c.search}
			r.PageNumber, r.PageSize = tea.Int64(max(c.page, 1)), tea.Int64(cmp.Or(c.size, 20))
			list := must[*esa.ListUserRoutinesResponse](t)(b.sdk.ListUserRoutines(r))
			body := list.Body
			same(t, r.String(), []int64{int64(len(body.Routines)), *body.TotalCount, *body.UsedRoutineNumber}, []int64{c.count, c.total, c.used})
			if body.Routines == nil || c.count > 0 && *body.Routines[0].RoutineName != c.first {
				t.Errorf("%s: %v, want an array that begins with %q", r, body.Routines, c.first)
			}
		}
		for _, wrong := range [][]string{{"PageNumber", "0"}, {"PageNumber", "11"}, {"PageSize", "0"}} {
			want(t, wrong[0]+wrong[1], b.call("ListUserRoutines", wrong...), "InvalidParameter")
		}
	})

	t.Run("lists all routines at once, with descriptions in Base64, for the MCP server", func(t *testing.T) {
		b := start(t)
		made := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
		do(t, b.PlantRoutine(esaemu.Routine{Name: "web", Description: "old", CreateTime: made}))
		body := must[*esa.GetRoutineUserInfoResponse](t)(b.sdk.GetRoutineUserInfo()).Body
		same(t, "routines", body.Routines, []*esa.GetRoutineUserInfoResponseBodyRoutines{
			{RoutineName: tea.String("web"), Description: tea.String("b2xk"), CreateTime: tea.String("2025-01-02T03:04:05Z")},
		})
		same(t, "subdomains", len(body.Subdomains), 1)
	})

	t.Run("changes the description and lists no code versions", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		want(t, "update", b.call("UpdateRoutineConfigDescription", "Name", "web", "Description", "new"), "")
		want(t, "update of none", b.call("UpdateRoutineConfigDescription", "Name", "none"), "RoutineNotExist")
		got := must[*esa.GetRoutineResponse](t)(b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: tea.String("web")}))
		same(t, "description", tea.StringValue(got.Body.Description), "new")
		versions := must[*esa.ListRoutineCodeVersionsResponse](t)(b.sdk.ListRoutineCodeVersions(&esa.ListRoutineCodeVersionsRequest{Name: tea.String("web")}))
		same(t, "versions", len(versions.Body.CodeVersions), 0)
		want(t, "third page of versions", b.call("ListRoutineCodeVersions", "Name", "web", "PageNumber", "3"), "InvalidParameter")
	})

	t.Run("deletes a routine once nothing uses it, and frees its name", func(t *testing.T) {
		b := start(t)
		remove := func() error { return b.call("DeleteRoutine", "Name", "web") }
		want(t, "none", remove(), "RoutineNotExist")
		want(t, "create", b.createRoutine("web"), "")
		id := must[int64](t)(b.createRecord("web", "www.example.com"))
		want(t, "with a record", remove(), "DependedByOthers")
		want(t, "record", b.deleteRecord("web", "www.example.com", siteID, id), "")
		want(t, "alone", remove(), "")
		want(t, "again", b.createRoutine("web"), "")
	})

	t.Run("deletes a routine that is used, if told so, and leaves what used it", func(t *testing.T) {
		b := start(t)
		dangling := true
		do(t, b.SetAccount(esaemu.AccountChange{Dangling: &dangling}))
		do(t, b.PlantRoutine(esaemu.Routine{Name: "web"}))
		id := must[int64](t)(b.createRecord("web", "www.example.com"))
		route := must[int64](t)(b.PlantRoute(esaemu.Route{Routine: "web", SiteID: siteID}))
		want(t, "delete", b.call("DeleteRoutine", "Name", "web"), "")
		state := must[esaemu.State](t)(b.State())
		same(t, "routines, record, route", []any{len(state.Routines), state.DanglingRecords[0].RecordID, state.DanglingRoutes[0].ConfigID}, []any{0, id, route})
		want(t, "the record without its routine", b.deleteRecord("web", "www.example.com", siteID, id), "RoutineNotExist")
		do(t, b.PlantRoutine(esaemu.Routine{Name: "api"}))
		_, err := b.createRecord("api", "www.example.com")
		want(t, "its name", err, "ParameterAlreadyExist")
		want(t, "the route without its routine", b.call("DeleteRoutineRoute", "SiteId", "54362329990032", "ConfigId", fmt.Sprint(route)), "")
	})
}
