package accept

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/routine"
)

// The short forms of the requests below.
func listLetters(name, value string) map[string]any {
	return asking("GET", "/v1/dead-letters", name, value)
}

func redriveAll(body string) map[string]any {
	return event("POST", "/v1/dead-letters:redrive", body)
}

// refuses makes a call that must end with the problem. Nothing of it may be on the queue, and it is not for our log.
func (f *function) refuses(t *testing.T, e map[string]any, status int, code string) api.Problem {
	t.Helper()
	f.log.Reset()
	res := f.call(t, e)
	var p api.Problem
	if err := json.Unmarshal([]byte(res.Body), &p); err != nil {
		t.Fatalf("%v: %+v", err, res)
	}
	if res.StatusCode != status || p.Code != code || p.Title == "" || p.Detail == "" && p.Code != "no-such-path" || len(p.Detail) > 5_000 {
		t.Errorf("got %d %.1000s, want %d %s", res.StatusCode, res.Body, status, code)
	}
	if left := f.queued(t); left != nil || f.log.Len() > 0 {
		t.Errorf("queued %+v, log %s", left, f.log)
	}
	return p
}

func TestRefusals(t *testing.T) {
	f := start(t)
	kept := f.dead(t, 1)
	letter := "/v1/dead-letters/" + kept.ID
	get := func(path string) map[string]any { return event("GET", path, "") }
	submit := func(body string, headers ...string) map[string]any {
		return event("POST", "/v1/routines", body, headers...)
	}
	correct := func(body string) map[string]any { return event("POST", letter+":redrive", body) }
	drop := func(name, value string) map[string]any { return asking("DELETE", "/v1/dead-letters", name, value) }
	jobs := func(name, value string) map[string]any { return asking("GET", "/v1/jobs", name, value) }
	routines := func(name, value string) map[string]any { return asking("GET", "/v1/routines", name, value) }
	renew := func(body string) map[string]any { return event("POST", "/v1/routines/pr-1:renew", body) }
	plan := func(body string) map[string]any { return event("POST", "/v1/routines:plan-delete", body) }
	apply := func(body string) map[string]any { return event("POST", "/v1/routines:apply-delete", body) }
	lives := func(span string) string {
		return `{"name":"pr-1","recordName":"pr-1.example.com","expiresIn":"` + span + `"}`
	}
	const csv = "text/csv"
	for _, group := range []struct {
		status int
		code   string
		cases  map[string]map[string]any
	}{
		{404, "no-such-path", map[string]map[string]any{
			"the root": get("/"), "a path that is unclean": event("POST", "/v1//routines", good), "a path below": event("POST", "/v1/routines/x/y", good),
		}},
		{405, "method-not-allowed", map[string]map[string]any{
			"another method": event("PUT", "/v1/routines", ""), "an action nobody knows": event("POST", "/v1/jobs/1:stop", ""),
			"an action on nothing": event("POST", "/v1/jobs/:cancel", ""), "a job without action": event("POST", "/v1/jobs/1", ""),
			"a method nobody knows": event("BREW", "/healthz", ""), "to drop with a method": event("POST", "/v1/dead-letters", ""),
			"to read a pause": get("/v1/account:pause"),
		}},
		{415, "unsupported-media-type", map[string]map[string]any{
			"another media type": submit(good, "Content-Type", "text/plain"), "no media type": submit(good, "Content-Type", ""),
			"a form":          submit(good, "Content-Type", "application/x-www-form-urlencoded"),
			"another charset": submit(good, "Content-Type", "application/json; charset=gbk"), "a compressed body": submit(good, "Content-Encoding", "gzip"),
			"a table": batch("name,siteId", "Content-Type", csv), "a compressed batch": batch("[]", "Content-Encoding", "gzip"),
			"a redrive as a table": event("POST", "/v1/dead-letters:redrive", "all", "Content-Type", csv),
		}},
		{413, "too-large", map[string]map[string]any{
			"an oversized body": submit(strings.Repeat(" ", api.MaxBatchBytes+1)), "an oversized job": submit(described(strings.Repeat("d", queue.MaxEnvelopeBytes))),
			"too many requests": batch("[" + strings.Repeat(good+",", api.MaxBatch) + good + "]"),
		}},
		{400, "invalid-idempotency-key", map[string]map[string]any{"an endless key": submit(good, "Idempotency-Key", strings.Repeat("k", 256))}},
		{400, "malformed-request", map[string]map[string]any{
			"no body": submit(""), "one request as a batch": batch(good), "no lines": batch("\n\n", "Content-Type", "application/jsonl"), "half a batch": batch("[" + good),
			"a cancellation with more": event("POST", "/v1/jobs/1:cancel", `{"why":"x"}`), "a cancellation of null": event("POST", "/v1/jobs/1:cancel", `{"reason":null}`),
			"two cancellations":                event("POST", "/v1/jobs/1:cancel", `{} {}`),
			"a field twice":                    submit(`{"name":"pr-1","name":"pr-2","siteId":7,"recordName":"a.example.com"}`),
			"a field twice, in ESA's spelling": submit(`{"name":"pr-1","Name":"pr-1","siteId":7,"recordName":"a.example.com"}`),
			"a field twice, escaped":           submit(`{"name":"pr-1","n\u0061me":"pr-1","siteId":7,"recordName":"a.example.com"}`),
			"a redrive without saying":         redriveAll(""), "a redrive of null": redriveAll("null"), "a redrive of an empty name": redriveAll(`{"name":""}`),
			"a redrive of no ids": redriveAll(`{"ids":[]}`), "a redrive of ids that are null": redriveAll(`{"ids":null}`), "a redrive of site 0": redriveAll(`{"siteId":0}`),
			"a redrive of no site": redriveAll(`{"siteId":null}`), "a redrive since never": redriveAll(`{"since":"0001-01-01T00:00:00Z"}`),
			"a redrive of none of all": redriveAll(`{"all":true,"limit":0}`), "a redrive of a misspelt name": redriveAll(`{"record":"x"}`),
			"a redrive, dry and not": redriveAll(`{"all":true,"dryRun":true,"dryRun":false}`), "a redrive, dry and not, in capitals": redriveAll(`{"all":true,"dryRun":true,"DRYRUN":false}`),
			"a redrive in capitals": redriveAll(`{"ALL":true}`), "a redrive in escapes, twice": redriveAll(`{"all":true,"\u0061ll":false}`),
			"a correction by null": correct(`{"request":null}`), "a correction, twice": correct(`{"request":{"siteId":8,"SiteId":9}}`),
			"a correction, dry and not": correct(`{"dryRun":true,"dryRun":false}`), "two corrections": correct(`{} {}`),
			"a plan without saying": plan(""), "a plan of no names": plan(`{"names":[]}`), "a plan of a misspelt name": plan(`{"name":"pr-1"}`),
			"a plan with more in it": apply(`{"hash":"x","items":[{"name":"pr-1","force":true}]}`), "a plan of no items": apply(`{"hash":"x","items":[]}`),
			"a renewal without a body": renew(""), "a renewal with more": renew(`{"expiresIn":"72h","force":true}`), "a renewal of no time": renew(`{"expiresIn":""}`),
			"a deletion with more": event("DELETE", "/v1/routines/pr-1", `{"force":true}`), "a claim with more": event("POST", "/v1/routines/pr-1:claim", `{"reason":"x"}`),
		}},
		{400, "invalid-parameter", map[string]map[string]any{
			"a state there is not": jobs("state", "lost"), "an empty state": jobs("state", ""), "a callback that is none": jobs("callback", "handed-over"),
			"a limit of nothing": jobs("limit", "0"), "a limit beyond all": jobs("limit", "101"), "a limit that is none": jobs("limit", "many"), "an empty limit": jobs("limit", ""),
			"a job's name that is none": jobs("name", "PR_1"), "a job's host that is none": jobs("record", "x"), "a misspelt parameter": jobs("State", "queued"),
			"a cursor of one's own": jobs("cursor", "abc"),
			"a kind there is not":   listLetters("kind", "sad"), "a step there is not": listLetters("step", "Create"), "an origin there is not": listLetters("origin", "x"),
			"a name that is none": listLetters("name", "PR 1"), "an empty name": listLetters("name", ""), "a host name that is none": listLetters("record", "x"),
			"a site that is no number": listLetters("siteId", "x"), "no site": listLetters("siteId", "0"), "an empty id among ids": listLetters("id", "a,,b"),
			"a day that is no time": listLetters("since", "2026-01-15"), "counts without a value": listLetters("counts", ""), "a misspelt filter": listLetters("recordname", "x"),
			"a cursor of nobody":    listLetters("cursor", "x"),
			"a state of no routine": routines("state", "gone"), "an ownership there is not": routines("ownership", "mine"), "a label without a key": routines("label", "=x"),
			"a label's empty value": routines("label", "team="), "a label that is none": routines("label", "te am"), "a routine's end that is no time": routines("expiringBefore", "soon"),
			"an owner with a bell": routines("caller", "\a"), "no routines at all": routines("limit", "0"), "a cursor of no routine": routines("cursor", "x"),
			"to delete what cannot be a routine": event("DELETE", "/v1/routines/PR_1", ""), "to unbind what is no host name": event("DELETE", "/v1/routines/pr-1/records/x", ""),
			"to renew what cannot be a routine": event("POST", "/v1/routines/-:renew", `{"expiresIn":"72h"}`), "to drop an empty name": drop("name", ""), "to drop, a dry run or not": drop("dryRun", ""),
			"to drop and something": asking("DELETE", letter, "force", "yes"),
		}},
		{422, "invalid-redrive", map[string]map[string]any{
			"a redrive of nothing": redriveAll("{}"), "a redrive of all and some": redriveAll(`{"all":true,"code":"x"}`), "a redrive of not all": redriveAll(`{"all":false}`),
			"a redrive of an empty id": redriveAll(`{"ids":[""]}`), "a redrive of less than none": redriveAll(`{"all":true,"limit":-1}`),
			"a redrive of a strange kind": redriveAll(`{"kind":"sad"}`), "a redrive of a strange host": redriveAll(`{"recordName":"x"}`),
			"a redrive from nowhere": redriveAll(`{"all":true,"cursor":"x"}`), "a redrive for a long story": redriveAll(`{"all":true,"reason":"` + strings.Repeat("x", 201) + `"}`),
		}},
		{422, "invalid-request", map[string]map[string]any{
			"a correction of nothing": correct(`{"request":{}}`), "a correction of what is not": correct(`{"request":{"site":8}}`),
			"a life that is too short": submit(lives("59m")), "a life that is too long": submit(lives("721h")), "a life of nothing": submit(lives("0h")),
			"a corrected life that is too long": correct(`{"request":{"expiresIn":"721h"}}`),
			"a renewal for too long":            renew(`{"expiresIn":"721h"}`), "a renewal for a word": renew(`{"expiresIn":"long"}`), "a renewal without saying": renew(`{}`),
			"a renewal told to nobody":      renew(`{"expiresIn":"72h","callbackUrl":"https://localhost/"}`),
			"a deletion told to half a URL": event("DELETE", "/v1/routines/pr-1", `{"callbackUrl":"https://hooks.example.com/?***"}`),
			"a plan of nothing":             plan(`{}`), "a plan of all and some": plan(`{"all":true,"caller":"x"}`), "a plan of not all": plan(`{"all":false}`),
			"a plan of a strange state": plan(`{"state":"gone"}`), "a plan of a strange name": plan(`{"names":["pr-1","PR 1"]}`), "a plan of half a label": plan(`{"label":"team="}`),
			"a plan of strangers": plan(`{"ownership":"mine"}`), "half a plan": apply(`{"hash":"x"}`), "a plan without a hash": apply(`{"items":[{"name":"pr-1"}]}`),
			"a plan of no name": apply(`{"hash":"x","items":[{"name":""}]}`), "a plan for a long story": apply(`{"hash":"x","items":[{"name":"pr-1"}],"reason":"` + strings.Repeat("x", 201) + `"}`),
		}},
		{404, "unknown-job", map[string]map[string]any{
			"a job nobody knows": get("/v1/jobs/1"), "to cancel it": event("POST", "/v1/jobs/1:cancel", ""), "to notify of it": event("POST", "/v1/jobs/1:notify", ""),
		}},
		{404, "unknown-routine", map[string]map[string]any{"a routine nobody knows": get("/v1/routines/x")}},
		{404, "unknown-dead-letter", map[string]map[string]any{
			"a letter nobody knows": get("/v1/dead-letters/1"), "to redrive it": event("POST", "/v1/dead-letters/1:redrive", ""),
			"to drop it": event("DELETE", "/v1/dead-letters/1", ""), "to read a redrive": get("/v1/dead-letters/1:redrive"),
		}},
	} {
		for name, e := range group.cases {
			t.Run(name+" is "+group.code, func(t *testing.T) {
				f.refuses(t, e, group.status, group.code)
				if state := f.row(t, kept.ID).State; state != routine.DeadLettered {
					t.Errorf("the dead letter is %s", state)
				}
			})
		}
	}
	t.Run("all that is wrong is told at once, with pointers", func(t *testing.T) {
		var pointers []string
		for _, e := range f.refuses(t, submit(`{"Name":"X","siteId":true,"extra":1}`), 422, "invalid-request").Errors {
			pointers = append(pointers, e.Pointer+" "+e.Code)
		}
		if diff := cmp.Diff([]string{"/Name value", "/extra unknown-field", "/recordName missing", "/siteId type"}, pointers); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("of very much that is wrong a part is told", func(t *testing.T) {
		p := f.refuses(t, submit("{"+strings.Repeat(`"name":"x",`, 99)+`"name":"x"}`), 400, "malformed-request")
		if len(p.Errors) != 51 || p.Errors[50].Pointer != "" {
			t.Errorf("errors %v", p.Errors)
		}
	})
	t.Run("a batch of nothing but wrong requests is refused", func(t *testing.T) {
		if got := read[api.BatchResult](t, f.call(t, batch(`[{},{"name":"x"}]`)), 422); got.Rejected != 2 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestProblemsSpeakToPeople(t *testing.T) {
	f := start(t)
	for name, test := range map[string]struct {
		event       map[string]any
		pointer, is string
	}{
		"no JSON":                {redriveAll(`{"all":tru}`), "", `not JSON: "}" cannot stand at byte 11`},
		"half of it":             {redriveAll(`{"all":true`), "", "not JSON: the text ends too early"},
		"two objects":            {redriveAll(`{"all":true} {}`), "", "not JSON: there is something behind the value, which ends at byte 12"},
		"a list":                 {redriveAll(`[]`), "", "want one JSON object"},
		"no UTF-8":               {encoded(redriveAll("{\"code\":\"\xff\"}")), "", "the text is not UTF-8"},
		"a text for a number":    {redriveAll(`{"limit":"3"}`), "/limit", "must be an integer"},
		"half a number":          {redriveAll(`{"limit":1.5}`), "/limit", "must be an integer"},
		"a text for a truth":     {redriveAll(`{"dryRun":"yes"}`), "/dryRun", "must be true or false"},
		"a number for a text":    {redriveAll(`{"code":3}`), "/code", "must be a string"},
		"a text for a list":      {redriveAll(`{"ids":"a"}`), "/ids", "must be a list of strings"},
		"a list of numbers":      {redriveAll(`{"ids":[1]}`), "/ids", "must be a list of strings"},
		"a day for a time":       {redriveAll(`{"since":"2026-01-15"}`), "/since", "must be a time such as 2026-01-15T06:28:17Z"},
		"a comma in a time":      {redriveAll(`{"since":"2026-01-15T06:28:17,5Z"}`), "/since", "must be a time such as 2026-01-15T06:28:17Z"},
		"a name for an id":       {redriveAll(`{"siteId":"x"}`), "/siteId", `"x" is not a 64-bit integer`},
		"a member unknown":       {redriveAll(`{"a/b":1}`), "/a~1b", `"a/b" is not a member here`},
		"a member twice":         {redriveAll(`{"code":"a","code":"b"}`), "/code", `"code" is given more than once`},
		"a member in capitals":   {redriveAll(`{"Code":"a"}`), "/Code", `"Code" is not a member here`},
		"a batch of no JSON":     {batch(`[{"name":]`), "", `not JSON: "]" cannot stand at byte 10`},
		"a batch that is none":   {batch(`{}`), "", "want a JSON array of requests"},
		"an empty batch":         {batch(`[]`), "", "the batch holds no request"},
		"a cancellation as text": {event("POST", "/v1/jobs/1:cancel", `{"reason":{}}`), "/reason", "must be a string"},
		"a caller":               {asking("GET", "/v1/jobs", "caller", "a\x00"), "/caller", "control character"},
		"a code":                 {listLetters("code", "a\x7f"), "/code", "control character"},
		"a time out of range":    {listLetters("since", "0000-01-01T00:00:00+23:59"), "/since", "a time such as"},
		"a parameter unknown":    {asking("GET", "/v1/jobs", "a/b~", "x"), "/a~1b~0", "is not a parameter here"},
		"a cursor of elsewhere":  {asking("GET", "/v1/jobs", "cursor", "x"), "/cursor", "cursor"},
		"a drop of nothing":      {event("DELETE", "/v1/dead-letters", ""), "", "give a filter, or all=true"},
		"a body's time":          {redriveAll(`{"until":"9999-12-31T23:59:59-14:00"}`), "/until", "must be a time"},
		"a key's beginning":      {redriveAll(`{"keyPrefix":"\u0001"}`), "/keyPrefix", "control character"},
		"a limit beyond numbers": {redriveAll(`{"all":true,"limit":4294967296}`), "/limit", "must be from 1 to"},
	} {
		t.Run("of "+name, func(t *testing.T) {
			res := f.call(t, test.event)
			p := read[api.Problem](t, res, res.StatusCode)
			if p.Status/100 != 4 || len(p.Errors) != 1 || p.Errors[0].Pointer != test.pointer || !strings.Contains(p.Errors[0].Detail, test.is) {
				t.Errorf("got %+v", p)
			}
			if strings.Contains(p.Detail, "Go ") || strings.Contains(p.Detail, "json:") || !strings.Contains(p.Detail, test.is) {
				t.Errorf("detail %q", p.Detail)
			}
		})
	}
}
