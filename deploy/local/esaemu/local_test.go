package esaemu_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/esaemu"
)

// script calls a /_local/ path as a script would.
func (b *bench) script(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	req := must[*http.Request](t)(http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, b.http.URL+"/_local/"+path, strings.NewReader(body)))
	resp := must[*http.Response](t)(b.http.Client().Do(req))
	defer resp.Body.Close()
	return resp.StatusCode, strings.TrimSpace(string(must[[]byte](t)(io.ReadAll(resp.Body))))
}

func (b *bench) wantScript(t *testing.T, method, path, body string, status int, answer string) {
	t.Helper()
	got, text := b.script(t, method, path, body)
	if got != status || text != answer {
		t.Errorf("%s %s %s: %d %s, want %d %s", method, path, body, got, text, status, answer)
	}
}

func TestScripts(t *testing.T) {
	t.Run("set up sites, routines and records, change the account, and read the state", func(t *testing.T) {
		b := start(t)
		b.wantScript(t, "POST", "sites", `{"id":7,"name":"Example.org","createTime":"2025-01-02T03:04:05Z"}`, 200,
			`{"id":7,"name":"example.org","status":"active","accessType":"NS","coverage":"domestic","createTime":"2025-01-02T03:04:05Z"}`)
		b.wantScript(t, "POST", "routines", `{"name":"foreign","description":"theirs","hasAssets":true,"createTime":"2025-01-02T03:04:05Z"}`, 200, `{"name":"foreign"}`)
		b.wantScript(t, "POST", "records", `{"siteId":7,"recordName":"Mail.example.org"}`, 200, `{"recordId":3227405728754049}`)
		id := must[int64](t)(b.createRecord("foreign", "www.example.com"))
		b.wantScript(t, "PUT", "account", `{"erService":"Creating","overdue":true,"recordQuota":3,"dangling":true,"latencyMillis":40,"listDelayMillis":50}`, 200,
			`{"erService":"Creating","overdue":true,"plan":"paid","routineQuota":100,"siteQuota":100,"versionQuota":20,"recordQuota":3,"uploadToken":false,"dangling":true,"latencyMillis":40,"listDelayMillis":50,"locked":false}`)
		_, text := b.script(t, "GET", "state", "")
		var got esaemu.State
		do(t, json.Unmarshal([]byte(text), &got))
		now, then := b.clock.Now().UTC().Round(0), time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
		same(t, "state", got, esaemu.State{
			Account: esaemu.Account{
				Standing:      esaemu.Standing{ErService: "Creating", Overdue: true, Plan: esaemu.Paid, RoutineQuota: 100, SiteQuota: 100, VersionQuota: 20, RecordQuota: 3, Dangling: true},
				LatencyMillis: 40, ListDelayMillis: 50,
			},
			Sites: []esaemu.Site{
				{ID: 7, Name: "example.org", Status: "active", AccessType: "NS", Coverage: "domestic", CreateTime: then},
				{ID: siteID, Name: "example.com", Status: "active", AccessType: "NS", Coverage: "domestic", CreateTime: now},
			},
			Routines: []esaemu.Routine{{
				Name: "foreign", Description: "theirs", HasAssets: true, CreateTime: then,
				Records: []esaemu.Record{{RecordID: id, SiteID: siteID, RecordName: "www.example.com", Routine: "foreign", CreateTime: now}},
			}},
			Planted: []esaemu.Record{{RecordID: id - 1, SiteID: 7, RecordName: "mail.example.org", CreateTime: now}},
		})
	})

	t.Run("take and release the lock", func(t *testing.T) {
		b := start(t)
		b.wantScript(t, "POST", "lock", `{"holdMillis":1000}`, 200, `{"holdMillis":1000}`)
		want(t, "held", b.createRoutine("web"), locked)
		b.wantScript(t, "DELETE", "lock", "", 204, "")
		want(t, "released", b.createRoutine("web"), "")
	})

	t.Run("see calls without signatures and descriptions", func(t *testing.T) {
		b := start(t)
		_, err := b.rpc(t, map[string]string{"Action": "CreateRoutine", "Name": "web", "Description": "long", "RegionId": "cn-hangzhou"})
		want(t, "create", err, "")
		want(t, "again", b.createRoutine("web"), "RoutineAlreadyExist")
		var got struct {
			Counters map[string]int
			Calls    []struct {
				Params map[string]string
				Status int
				Code   string
			}
		}
		_, text := b.script(t, "GET", "calls", "")
		do(t, json.Unmarshal([]byte(text), &got))
		same(t, "counters", got.Counters, map[string]int{"CreateRoutine": 2})
		same(t, "params", got.Calls[0].Params, map[string]string{"Name": "web"})
		same(t, "second call", []any{got.Calls[1].Status, got.Calls[1].Code}, []any{400, "RoutineAlreadyExist"})
	})

	t.Run("are told what is wrong with a request", func(t *testing.T) {
		b := start(t)
		must[int64](t)(b.PlantRecord(siteID, "www.example.com"))
		for _, c := range []struct{ method, path, body, text string }{
			{"POST", "sites", `{"id":0,"name":"example.com"}`, "site id 0: want a positive number"},
			{"POST", "sites", `{"id":1,"name":"example"}`, "site name"},
			{"POST", "sites", `{"id":54362329990032,"name":"example.org"}`, "has records, so it keeps its name"},
			{"POST", "sites", `{"id":"1","name":"example.com"}`, "id of type int64"},
			{"POST", "sites", `{"id":1,"nam":"example.com"}`, "unknown field"},
			{"POST", "sites", `{"id":1,"name":"example.com"}{}`, "data after the JSON object"},
			{"POST", "sites", ``, "EOF"},
			{"POST", "sites", `{"id":1,"name":"example.com","status":"asleep"}`, "site Status"},
			{"POST", "sites", `{"id":1,"name":"example.com","cnameZone":"cnamezone.com"}`, "for a site of the AccessType CNAME only"},
			{"POST", "sites", `{"id":1,"name":"example.com","accessType":"CNAME","cnameZone":"zone"}`, "want a zone"},
			{"PUT", "account", `{"routineQuota":-1}`, "must not be negative"},
			{"PUT", "account", `{"plan":"gold"}`, `plan \"gold\": want free or paid`},
			{"PUT", "account", `{"erService":"online"}`, "want one of [Running Creating NotOpened]"},
			{"PUT", "account", `{"latencyMillis":86400001}`, "latencyMillis"},
			{"POST", "lock", `{}`, "hold 0s: want more than nothing"},
			{"POST", "routines", `{"name":"No"}`, "routine name"},
			{"POST", "routines", `{"name":"web","records":[{}]}`, "without records"},
			{"DELETE", "routines/web", ``, "RoutineNotExist"},
			{"POST", "records", `{"routine":"web","siteId":54362329990032,"recordName":"a.example.com"}`, "RoutineNotExist"},
			{"DELETE", "records/7", ``, "no record 7"},
			{"DELETE", "records/www.example.com", ``, "want a number"},
			{"POST", "routes", `{"routine":"web","siteId":54362329990032}`, "RoutineNotExist"},
			{"POST", "records", `{"siteId":1,"recordName":"www.example.com"}`, "no site 1"},
			{"POST", "records", `{"siteId":54362329990032,"recordName":"*"}`, "recordName"},
			{"POST", "records", `{"siteId":54362329990032,"recordName":"www.example.com"}`, "has a record"},
		} {
			status, text := b.script(t, c.method, c.path, c.body)
			if status != 400 || !strings.HasPrefix(text, `{"error":"`) || !strings.Contains(text, c.text) {
				t.Errorf("%s %s %s: %d %s, want 400 and %q", c.method, c.path, c.body, status, text, c.text)
			}
		}
	})
}
