package esaemu_test

import (
	"strings"
	"testing"
	"time"

	"routinely/deploy/local/clock"
)

func TestRequests(t *testing.T) {
	const object, form = "application/json", "application/x-www-form-urlencoded"
	call := func(action, contentType, body string) v3 {
		return v3{method: "POST", contentType: contentType, body: body, headers: map[string]string{"x-acs-action": action}}
	}

	t.Run("are judged by action and signature before their parameters are", func(t *testing.T) {
		b := start(t)
		for name, bad := range map[string][2]string{
			"an object":     {object, `{"Name":"web","Description":{"a":1}}`},
			"an array":      {object, `{"Name":["web"]}`},
			"no JSON":       {object, `{"Name":`},
			"no object":     {object, `"web"`},
			"no form":       {form, "Name=%zz"},
			"another type":  {"text/plain", "Name=web"},
			"no type":       {"text/", "Name=web"},
			"a wrong value": {form, "Name=Web"},
		} {
			_, err := b.acs3(t, call("DropEverything", bad[0], bad[1]))
			wantStatus(t, name+" for an unknown action", err, "InvalidAction.NotFound", 404)
			forged := call("CreateRoutine", bad[0], bad[1])
			forged.secret = "other"
			_, err = b.acs3(t, forged)
			wantStatus(t, name+" under a wrong signature", err, "SignatureDoesNotMatch", 403)
			_, err = b.acs3(t, call("CreateRoutine", bad[0], bad[1]))
			wantStatus(t, name, err, "InvalidParameter", 400)
		}
		// What esa-cli sends to deploy assets, of which this server knows nothing.
		_, err := b.acs3(t, call("CreateRoutineWithAssetsCodeVersion", object, `{"Name":"web","ConfOptions":{"NotFoundStrategy":"SinglePageApplication"}}`))
		wantStatus(t, "esa-cli", err, "InvalidAction.NotFound", 404)
	})

	t.Run("may hold an array where JSON text is wanted, and nowhere else", func(t *testing.T) {
		b := start(t)
		sites := func(body string) any {
			t.Helper()
			return must[map[string]any](t)(b.acs3(t, call("ListSites", object, body)))["TotalCount"]
		}
		same(t, "an array", sites(`{"TagFilter":[{"Key":"k","Value":"v"}]}`), any(0.0))
		same(t, "its text", sites(`{"TagFilter":"[{\"Key\":\"k\"}]"}`), any(0.0))
		same(t, "an empty array", sites(`{"TagFilter":[]}`), any(1.0))
		for _, body := range []string{`{"TagFilter":{}}`, `{"TagFilter":"k"}`, `{"SiteName":[]}`} {
			_, err := b.acs3(t, call("ListSites", object, body))
			want(t, body, err, "InvalidParameter")
		}
	})

	t.Run("are told the same way each time", func(t *testing.T) {
		for range 20 {
			_, err := start(t).acs3(t, call("CreateRoutine", object, `{"Zone":{},"Name":"web","Alias":[],"HasAssets":true}`))
			if err == nil || !strings.Contains(err.Error(), "Alias: want a text") {
				t.Fatalf("%v, want the first name by the alphabet", err)
			}
			_, err = start(t).acs3(t, v3{
				method: "GET", headers: map[string]string{"x-acs-action": "GetErService", "x-acs-b": "1", "x-acs-a": "1"}, unsigned: []string{"x-acs-b", "x-acs-a"},
			})
			if err == nil || !strings.Contains(err.Error(), "x-acs-a is missing") {
				t.Fatalf("%v, want the first name by the alphabet", err)
			}
		}
	})
}

func TestCallLog(t *testing.T) {
	t.Run("is the same for the same calls", func(t *testing.T) {
		now := time.Now()
		log := func() string {
			c := config(t.TempDir())
			at := clock.NewManual(now)
			c.Clock = at
			b := open(t, c)
			for _, body := range []string{
				`{"Name":"web","Description":{"long":"text"},"HasAssets":true,"Conf":{"b":[1, 2],"a":null},"More":[],"Other":"x"}`,
				`{"Name":"web","HasAssets":true}`, `{"HasAssets":true,"Name":"web"}`, `{"Name":`,
			} {
				at.Advance(time.Second)
				_, _ = b.acs3(t, v3{method: "POST", query: "Tag=1", contentType: "application/json", body: body, headers: map[string]string{"x-acs-action": "CreateRoutine"}})
			}
			at.Advance(time.Second)
			_, err := b.createRecord("web", "www.example.com")
			want(t, "record", err, "")
			_, text := b.script(t, "GET", "calls", "")
			return text
		}
		first := log()
		for _, part := range []string{
			`"params":{"Conf":"{\"b\":[1,2],\"a\":null}","HasAssets":"true","More":"[]","Name":"web","Other":"x","Tag":"1"},`,
			`"params":{"HasAssets":"true","Name":"web","Tag":"1"},`, `"params":{"Tag":"1"},`,
		} {
			if !strings.Contains(first, part) {
				t.Errorf("no %s in %s", part, first)
			}
		}
		for range 10 {
			same(t, "log", log(), first)
		}
	})
}
