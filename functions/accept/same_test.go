package accept

import (
	"testing"

	"routinely/shared/api"
	"routinely/shared/routine"
)

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
			if job.ID != first.ID || job.Request != first.Request {
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
