package esaemu_test

import (
	"encoding/json"
	"errors"
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
		same(t, "Description", tea.StringValue(got.Description), description)
		same(t, "HasAssets", tea.BoolValue(got.HasAssets), true)
		same(t, "CreateTime", tea.StringValue(got.CreateTime), b.clock.Now().UTC().Format(time.RFC3339))
		if record := tea.StringValue(got.DefaultRelatedRecord); !strings.HasPrefix(record, "web-1.") || !strings.HasSuffix(record, ".er.aliyun-esa.net") {
			t.Errorf("DefaultRelatedRecord %q, want a name of the routine under er.aliyun-esa.net", record)
		}
		same(t, "environments", []string{tea.StringValue(got.Envs[0].Env), tea.StringValue(got.Envs[1].Env)}, []string{"production", "staging"})
	})

	t.Run("says of an existing name that it exists, a full account notwithstanding", func(t *testing.T) {
		c := config(t.TempDir())
		c.RoutineQuota = 1
		b := open(t, c)
		want(t, "first", b.createRoutine("web"), "")
		want(t, "again", b.createRoutine("web"), "RoutineAlreadyExist")
		want(t, "another", b.createRoutine("api"), "RoutineNumberExceedQuotaLimit")
		same(t, "routines kept", len(must[esaemu.State](t)(b.State()).Routines), 1)
	})

	t.Run("says of an existing name what it is told to say", func(t *testing.T) {
		b := start(t)
		want(t, "create", b.createRoutine("web"), "")
		for _, code := range []string{"RoutineNameAlreadyExist", "RoutineNameAlreadyExists", "RoutineAlreadyExist"} {
			if err := b.SetAccount(esaemu.AccountChange{TakenCode: &code}); err != nil {
				t.Fatal(err)
			}
			wantStatus(t, code, b.createRoutine("web"), code, 400)
			want(t, "a free name", b.createRoutine("web-"+strings.ToLower(code)), "")
		}
	})

	t.Run("refuses names that break the console's rule and flags that are no boolean", func(t *testing.T) {
		b := start(t)
		for _, name := range []string{
			"", "a", "Web", "weB", "-web", "web-", "1web", "1-2", "we_b", "we b", "we.b", "wéb", "a:b", "--", strings.Repeat("a", 42),
		} {
			want(t, name, b.createRoutine(name), "InvalidParameter")
		}
		_, err := b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: tea.String("1web")})
		want(t, "a name that cannot be there", err, "RoutineNotExist")
		for _, name := range []string{"ab", "a1", "a--b", "a-2", strings.Repeat("a", 41), "a" + strings.Repeat("-", 39) + "1"} {
			want(t, name, b.createRoutine(name), "")
		}
		_, err = b.rpc(t, signed{"Action": "CreateRoutine", "Name": "web", "HasAssets": "yes"})
		want(t, "HasAssets yes", err, "InvalidParameter")
	})

	t.Run("answers an error as the gateway writes it", func(t *testing.T) {
		b := start(t)
		_, err := b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: tea.String("none")})
		var refused *tea.SDKError
		if !errors.As(err, &refused) {
			t.Fatalf("got %v, want an SDK error", err)
		}
		var body map[string]any
		if err := json.Unmarshal([]byte(tea.StringValue(refused.Data)), &body); err != nil {
			t.Fatal(err)
		}
		id, _ := body["RequestId"].(string)
		same(t, "message", tea.StringValue(refused.Message),
			"code: 400, The routine name does not exist. Check the routine name and try again. request id: "+id)
		same(t, "body", body, map[string]any{
			"RequestId": id, "HostId": "esa.cn-hangzhou.aliyuncs.com", "Code": "RoutineNotExist",
			"Message":   "The routine name does not exist. Check the routine name and try again.",
			"Recommend": `no routine "none"`,
		})
	})

	t.Run("pages and searches the account's routines within the documented ranges", func(t *testing.T) {
		b := start(t)
		for _, prefix := range []string{"api", "web"} {
			for i := range 12 {
				if err := b.PlantRoutine(esaemu.Routine{Name: prefix + string(rune('a'+i))}); err != nil {
					t.Fatal(err)
				}
			}
		}
		names := func(r *esa.ListUserRoutinesRequest) (out []string, body *esa.ListUserRoutinesResponseBody) {
			body = must[*esa.ListUserRoutinesResponse](t)(b.sdk.ListUserRoutines(r)).Body
			for _, one := range body.Routines {
				out = append(out, tea.StringValue(one.RoutineName))
			}
			return out, body
		}
		first, body := names(&esa.ListUserRoutinesRequest{})
		same(t, "default page", len(first), 20)
		same(t, "total, used, quota, size", []int64{
			*body.TotalCount, *body.UsedRoutineNumber, *body.QuotaRoutineNumber, *body.PageSize,
		}, []int64{24, 24, 20, 20})
		rest, body := names(&esa.ListUserRoutinesRequest{PageNumber: tea.Int64(2), PageSize: tea.Int64(50)})
		same(t, "second page", rest, []string{"webi", "webj", "webk", "webl"})
		same(t, "capped size", *body.PageSize, int64(20))
		found, body := names(&esa.ListUserRoutinesRequest{SearchKeyWord: tea.String("EBA"), PageSize: tea.Int64(1)})
		same(t, "search", found, []string{"weba"})
		same(t, "search total", *body.TotalCount, int64(1))
		none, body := names(&esa.ListUserRoutinesRequest{PageNumber: tea.Int64(10)})
		same(t, "past the end", none, []string(nil))
		if body.Routines == nil {
			t.Error("past the end: null, want an empty array")
		}
		for what, r := range map[string]*esa.ListUserRoutinesRequest{
			"page 0": {PageNumber: tea.Int64(0)}, "page 11": {PageNumber: tea.Int64(11)}, "size 0": {PageSize: tea.Int64(0)},
		} {
			_, err := b.sdk.ListUserRoutines(r)
			want(t, what, err, "InvalidParameter")
		}
	})

	t.Run("changes the description and lists no code versions", func(t *testing.T) {
		b := start(t)
		name := tea.String("web")
		want(t, "create", b.createRoutine("web"), "")
		_, err := b.sdk.UpdateRoutineConfigDescription(&esa.UpdateRoutineConfigDescriptionRequest{Name: name, Description: tea.String("new")})
		want(t, "update", err, "")
		got := must[*esa.GetRoutineResponse](t)(b.sdk.GetRoutine(&esa.GetRoutineRequest{Name: name}))
		same(t, "description", tea.StringValue(got.Body.Description), "new")
		versions := must[*esa.ListRoutineCodeVersionsResponse](t)(b.sdk.ListRoutineCodeVersions(&esa.ListRoutineCodeVersionsRequest{Name: name}))
		same(t, "versions", len(versions.Body.CodeVersions), 0)
		_, err = b.sdk.UpdateRoutineConfigDescription(&esa.UpdateRoutineConfigDescriptionRequest{Name: tea.String("none")})
		want(t, "update of none", err, "RoutineNotExist")
		_, err = b.sdk.ListRoutineCodeVersions(&esa.ListRoutineCodeVersionsRequest{Name: name, PageNumber: tea.Int64(3)})
		want(t, "third page of versions", err, "InvalidParameter")
		_, err = b.sdk.ListRoutineCodeVersions(&esa.ListRoutineCodeVersionsRequest{Name: tea.String("none")})
		want(t, "versions of none", err, "RoutineNotExist")
	})

	t.Run("deletes a routine once nothing uses it", func(t *testing.T) {
		b := start(t)
		remove := func() error {
			_, err := b.sdk.DeleteRoutine(&esa.DeleteRoutineRequest{Name: tea.String("web")})
			return err
		}
		want(t, "none", remove(), "RoutineNotExist")
		want(t, "create", b.createRoutine("web"), "")
		id := must[int64](t)(b.createRecord("web", "www.example.com"))
		want(t, "with a record", remove(), "DependedByOthers")
		_, err := b.sdk.DeleteRoutineRelatedRecord(&esa.DeleteRoutineRelatedRecordRequest{
			Name: tea.String("web"), SiteId: tea.Int64(siteID), RecordName: tea.String("www.example.com"), RecordId: &id,
		})
		want(t, "record", err, "")
		want(t, "alone", remove(), "")
		want(t, "the name is free again", b.createRoutine("web"), "")
	})
}
