package accept

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/api"
	"routinely/shared/routine"
)

func TestNothingIsPassedOver(t *testing.T) {
	t.Run("no parameter of an address, at any path", func(t *testing.T) {
		f := start(t)
		job := f.dead(t, 1)
		for _, e := range []map[string]any{
			event("GET", "/healthz", ""), event("GET", "/problems", ""), event("GET", "/openapi.yaml", ""), event("HEAD", "/healthz", ""),
			event("POST", "/v1/routines", good), batch("[" + good + "]"), event("GET", "/v1/routines/pr-1", ""), event("GET", "/v1/jobs/"+job.ID, ""),
			event("POST", "/v1/jobs/"+job.ID+":cancel", ""), event("POST", "/v1/jobs/"+job.ID+":notify", ""), event("GET", "/v1/dead-letters/"+job.ID, ""),
			event("POST", "/v1/dead-letters:redrive", `{"all":true}`), event("POST", "/v1/dead-letters/"+job.ID+":redrive", ""),
		} {
			p := f.refuses(t, withParams(e, map[string]string{"dryRun": "true"}), 400, "invalid-parameter")
			if len(p.Errors) != 1 || p.Errors[0].Pointer != "/dryRun" || p.Errors[0].Code != "unknown-parameter" {
				t.Errorf("%s: got %+v", e["rawPath"], p)
			}
		}
		if state := f.row(t, job.ID).State; state != routine.DeadLettered {
			t.Errorf("the dead letter is %s", state)
		}
	})
	t.Run("no body where none is taken", func(t *testing.T) {
		f := start(t)
		job := f.dead(t, 1)
		for _, e := range []map[string]any{
			event("DELETE", "/v1/dead-letters/"+job.ID, `{"dryRun":true}`), event("POST", "/v1/jobs/"+job.ID+":notify", `{"dryRun":true}`),
			withParams(event("DELETE", "/v1/dead-letters", `{"dryRun":true}`), map[string]string{"all": "true"}),
		} {
			if p := f.refuses(t, e, 400, "malformed-request"); len(p.Errors) != 1 || p.Errors[0].Pointer != "/dryRun" {
				t.Errorf("%s: got %+v", e["rawPath"], p)
			}
		}
		read[api.WorkedOff](t, f.call(t, event("DELETE", "/v1/dead-letters/"+job.ID, "{}")), 200)
		for _, path := range []string{"/v1/jobs", "/v1/jobs/" + job.ID, "/v1/routines/pr-1", "/v1/dead-letters", "/v1/dead-letters/" + job.ID} {
			for _, method := range []string{"GET", "HEAD"} {
				f.refuses(t, event(method, path, `{"state":"queued"}`), 400, "malformed-request")
				f.refuses(t, event(method, path, "x", "Content-Type", "text/plain"), 415, "unsupported-media-type")
			}
		}
		read[api.JobList](t, f.call(t, event("GET", "/v1/jobs", "{}")), 200)
	})
	t.Run("no empty idempotency key", func(t *testing.T) {
		f := start(t)
		f.refuses(t, event("POST", "/v1/routines", good, "Idempotency-Key", ""), 400, "invalid-idempotency-key")
		keyed := batch("[" + good + "]")
		keyed["headers"].(map[string]string)["Idempotency-Key"] = ""
		f.refuses(t, keyed, 400, "invalid-idempotency-key")
	})
	t.Run("no key with characters that were lost on its way", func(t *testing.T) {
		f := start(t)
		f.refuses(t, event("POST", "/v1/routines", good, "Idempotency-Key", "caf\ufffd"), 400, "invalid-idempotency-key")
		refused(t, f.call(t, event("POST", "/v1/routines", good, "webhook-id", "caf\ufffd")), 401, "unauthenticated")
		for _, key := range []string{`\ud800`, `\u0000`, `\u007f`} {
			item := strings.Replace(good, "{", `{"idempotencyKey":"k`+key+`",`, 1)
			got := read[api.BatchResult](t, f.call(t, batch("["+item+"]")), 422)
			if p := got.Items[0].Problem; p == nil || p.Code != "invalid-idempotency-key" {
				t.Errorf("%s: got %+v", key, got)
			}
		}
		f.post(t, good, "Idempotency-Key", "café\t1")
	})
	t.Run("no time that means none, which would choose everything", func(t *testing.T) {
		f := start(t)
		job := f.dead(t, 1)
		for _, never := range []string{"0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00", "0001-01-01T08:00:00+08:00"} {
			f.refuses(t, asking("DELETE", "/v1/dead-letters", "until", never), 400, "invalid-parameter")
			f.refuses(t, event("POST", "/v1/dead-letters:redrive", `{"since":"`+never+`"}`), 400, "malformed-request")
			f.refuses(t, asking("GET", "/v1/dead-letters", "until", never), 400, "invalid-parameter")
		}
		if state := f.row(t, job.ID).State; state != routine.DeadLettered {
			t.Errorf("the dead letter is %s", state)
		}
	})
	t.Run("no other way to write a number or a time than that of a body", func(t *testing.T) {
		f := start(t)
		for name, value := range map[string]string{"limit": "+5", "siteId": "+7", "since": "2026-01-15T06:28:17,5Z"} {
			f.refuses(t, asking("GET", "/v1/dead-letters", name, value), 400, "invalid-parameter")
		}
		f.refuses(t, asking("GET", "/v1/dead-letters", "siteId", `"7"`), 400, "invalid-parameter")
		read[api.DeadLetterList](t, f.call(t, asking("GET", "/v1/dead-letters", "siteId", "9223372036854775807")), 200)
	})
}

func TestHTTP(t *testing.T) {
	f := start(t)
	t.Run("keeps answers out of stores, but for the pages", func(t *testing.T) {
		for path, want := range map[string]string{
			"/v1/jobs": "no-store", "/v1/jobs/1": "no-store", "/nowhere": "no-store", "/healthz": "no-store",
			"/problems": "public, max-age=300", "/openapi.yaml": "public, max-age=300", "/schemas/job.json": "public, max-age=300",
		} {
			if got := f.call(t, event("GET", path, "")).Headers["Cache-Control"]; got != want {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
		}
		if got := f.callRaw(t, []byte("[]")).Headers["Cache-Control"]; got != "no-store" {
			t.Errorf("no event: got %q", got)
		}
	})
	t.Run("names the methods that are possible, those of actions too", func(t *testing.T) {
		for path, want := range map[string]string{
			"/v1/jobs": "GET, HEAD", "/v1/jobs/1": "GET, HEAD", "/v1/jobs/1:cancel": "GET, POST, HEAD", "/v1/dead-letters/1:redrive": "DELETE, GET, POST, HEAD",
			"/v1/routines": "GET, POST, HEAD", "/v1/dead-letters": "DELETE, GET, HEAD",
		} {
			for _, method := range []string{http.MethodPut, http.MethodOptions} {
				res := f.call(t, event(method, path, ""))
				if refused(t, res, 405, "method-not-allowed"); res.Headers["Allow"] != want {
					t.Errorf("%s %s: got %q, want %q", method, path, res.Headers["Allow"], want)
				}
			}
		}
	})
	t.Run("names the media types and the encoding that are possible", func(t *testing.T) {
		lines := event("POST", "/v1/routines:batch", "a", "Content-Type", "text/csv")
		for _, test := range []struct {
			event        map[string]any
			header, want string
		}{
			{event("POST", "/v1/routines", good, "Content-Type", "text/plain"), "Accept", "application/json"},
			{event("POST", "/v1/routines", good, "Content-Type", "application/json; charset=latin1"), "Accept", "application/json"},
			{lines, "Accept", "application/json, application/x-ndjson, application/jsonl"},
			{event("POST", "/v1/routines", good, "Content-Encoding", "gzip"), "Accept-Encoding", "identity"},
		} {
			res := f.call(t, test.event)
			if refused(t, res, 415, "unsupported-media-type"); res.Headers[test.header] != test.want || strings.Contains(res.Body, "Go ") {
				t.Errorf("got %+v", res)
			}
		}
	})
}

func TestOneValueHasOneMeaning(t *testing.T) {
	for name, contentType := range map[string]string{
		"its own":              "application/json",
		"a suffix":             "Application/vnd.ci+JSON",
		"the charset":          "application/json; charset=utf-8",
		"the charset, quoted":  `application/json;charset="UTF-8"`,
		"the charset, as many": "application/json; charset=utf8",
	} {
		t.Run("JSON is JSON with "+name, func(t *testing.T) {
			f := start(t)
			f.post(t, good, "Content-Type", contentType)
			if got := f.queued(t); len(got) != 1 || got[0].Request.Name != wish.Name {
				t.Errorf("queued %+v", got)
			}
		})
	}
	t.Run("with a byte-order mark, in every body", func(t *testing.T) {
		f := start(t)
		const mark = "\ufeff"
		job := f.post(t, mark+good)
		read[api.BatchResult](t, f.call(t, batch(mark+"["+good+"]")), 202)
		read[api.BatchResult](t, f.call(t, event("POST", "/v1/routines:batch", mark+good, "Content-Type", "application/x-ndjson")), 202)
		f.dies(t, job.ID)
		read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters:redrive", mark+`{"all":true,"dryRun":true}`)), 200)
		read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters/"+job.ID+":redrive", mark+`{"request":{"siteId":8}}`)), 200)
		read[routine.Job](t, f.call(t, event("POST", "/v1/jobs/"+job.ID+":cancel", mark+`{"reason":"x"}`)), 200)
	})
	t.Run("with the default spelled out, null, another spelling or another form, to an idempotency key", func(t *testing.T) {
		f := start(t)
		var first routine.Job
		for i, body := range []string{
			`{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com"}`,
			`{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com","ifExists":"adopt"}`,
			`{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com","ifExists":null,"description":null,"hasAssets":null,"callbackUrl":null}`,
			`{"Name":"pr-1","SiteId":"7","RecordName":"PR-1.Example.com.","IfExists":"adopt"}`,
		} {
			job := f.post(t, body, "Idempotency-Key", "k")
			if i == 0 {
				first = job
			}
			if job.ID != first.ID || !cmp.Equal(job.Request, first.Request) {
				t.Errorf("%s is %+v, the first %+v", body, job, first)
			}
		}
		for _, body := range []string{
			`{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com","hasAssets":false}`,
			`{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com","description":""}`,
			`{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com","ifExists":"fail"}`,
		} {
			refused(t, f.call(t, event("POST", "/v1/routines", body, "Idempotency-Key", "k")), 422, "idempotency-key-reused")
		}
	})
	t.Run("as a number or in a string, of every id", func(t *testing.T) {
		f := start(t)
		for n, id := range []string{`7`, `"7"`} {
			job := f.dead(t, n)
			done := read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters:redrive", `{"siteId":`+id+`,"dryRun":true}`)), 200)
			if done.Count != n+1 {
				t.Errorf("site %s: got %+v", id, done)
			}
			read[api.WorkedOff](t, f.call(t, event("POST", "/v1/dead-letters/"+job.ID+":redrive", `{"dryRun":true,"request":{"siteId":`+id+`}}`)), 200)
		}
	})
	t.Run("as a host name in any form, of every filter", func(t *testing.T) {
		f := start(t)
		f.post(t, `{"name":"pr-1","siteId":7,"recordName":"bücher.example.com"}`)
		for _, host := range []string{"BÜCHER.example.com.", "xn--bcher-kva.Example.com"} {
			if got := read[api.JobList](t, f.call(t, asking("GET", "/v1/jobs", "record", host)), 200); len(got.Jobs) != 1 {
				t.Errorf("%s: got %+v", host, got)
			}
		}
	})
}
