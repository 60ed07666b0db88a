package accept

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// answered holds any answer to what the platform and the contract ask for. The services behind the function are well, so no
// answer is its own fault.
func (f *function) answered(t *testing.T, text []byte) {
	t.Helper()
	f.log.Reset()
	res := f.callRaw(t, text)
	if res.StatusCode >= http.StatusInternalServerError || res.Headers == nil {
		t.Fatalf("got %+v, log %s", res, f.log)
	}
	if res.IsBase64Encoded {
		if _, err := base64.StdEncoding.DecodeString(res.Body); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzEvent asserts that every event is answered, as the contract says.
func FuzzEvent(f *testing.F) {
	called := start(f)
	for _, e := range []map[string]any{
		event("POST", "/v1/routines", good), event("GET", "/v1/jobs", ""), batch("[" + good + "]"), event("HEAD", "/healthz", ""),
		event("POST", "/v1/jobs/1:cancel", `{"reason":"x"}`), asking("DELETE", "/v1/dead-letters", "all", "true"),
	} {
		text, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"body":"%","isBase64Encoded":true}`))
	f.Fuzz(called.answered)
}

// FuzzRequest asserts the same of events that are those of an HTTP trigger.
func FuzzRequest(f *testing.F) {
	called := start(f)
	f.Add("POST", "/v1/routines", "", "", "application/json", "k", good)
	f.Add("POST", "/v1/routines:batch", "", "", "application/x-ndjson", "", good+"\n{}\n")
	f.Add("GET", "/v1/jobs", "cursor", "x", "", "", "")
	f.Add("GET", "/v1/jobs/%2f:cancel", "", "", "", "", "")
	f.Add("GET", "/v1/dead-letters", "siteId", "9223372036854775808", "", "", "")
	f.Add("GET", "/v1/dead-letters", "since", "2026-01-15T06:28:17+24:00", "", "", "")
	f.Add("POST", "/v1/dead-letters/1:redrive", "", "", "application/json", "", `{"request":{"SiteId":"8","description":null},"dryRun":true}`)
	f.Add("POST", "/v1/dead-letters:redrive", "", "", "application/json", "", `{"all":true,"limit":3,"reason":"x"}`)
	f.Add("POST", "/v1/routines", "", "", "application/json", "", `{"name":"pr-1","records":[{"recordName":"a.b.com"}],"expiresIn":"72h","labels":{"a":"b"}}`)
	f.Add("GET", "/v1/routines", "label", "team=web", "", "", "")
	f.Add("GET", "/v1/routines:check", "", "", "", "", "")
	f.Add("DELETE", "/v1/routines/pr-1", "", "", "application/json", "k", `{"callbackUrl":"https://hooks.example.com/"}`)
	f.Add("DELETE", "/v1/routines/pr-1/records/a.b.com", "", "", "", "", "")
	f.Add("POST", "/v1/routines/pr-1:renew", "", "", "application/json", "", `{"expiresIn":"72h"}`)
	f.Add("POST", "/v1/routines/pr-1:claim", "", "", "", "", "")
	f.Add("POST", "/v1/routines:plan-delete", "", "", "application/json", "", `{"names":["pr-1"],"label":"a=b","expiringBefore":"2026-01-15T06:28:17Z"}`)
	f.Add("POST", "/v1/routines:apply-delete", "", "", "application/json", "k", planOf(f, api.PlanItem{Name: "pr-1", CreateTime: made, Number: 1, Delete: true, Why: "x"}))
	f.Fuzz(func(t *testing.T, method, path, name, value, contentType, key, body string) {
		e := event(method, path, base64.StdEncoding.EncodeToString([]byte(body)), "Content-Type", contentType)
		e["isBase64Encoded"] = true
		if key != "" {
			e["headers"] = map[string]string{"Content-Type": contentType, "Idempotency-Key": key}
		}
		if name != "" {
			e["queryParameters"] = map[string]string{name: value}
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		called.answered(t, text)
	})
}

// FuzzBatchItems asserts that a batch is cut where its lines or its array say, and each piece is a request or refused.
func FuzzBatchItems(f *testing.F) {
	f.Add([]byte("["+good+",17,{}]"), true)
	f.Add([]byte("\n"+good+"\r\n \n{broken\n"), false)
	f.Fuzz(func(t *testing.T, body []byte, array bool) {
		items, err := batchItems(body, array)
		var known problem
		if err != nil {
			if !errors.As(err, &known) || known.Status >= http.StatusInternalServerError || items != nil {
				t.Fatalf("%d items, %v", len(items), err)
			}
			return
		}
		var want []json.RawMessage
		if array {
			if err := json.Unmarshal(body, &want); err != nil {
				t.Fatal(err)
			}
		} else {
			for line := range strings.SplitSeq(string(body), "\n") {
				if strings.TrimSpace(line) != "" {
					want = append(want, json.RawMessage(strings.TrimSpace(line)))
				}
			}
		}
		if len(items) > api.MaxBatch || !slices.EqualFunc(items, want, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
			t.Fatalf("got %q, want %q", items, want)
		}
		for _, item := range items {
			_, _, err := routine.DecodeItem(item)
			if p := problemOf(err); err != nil && p.Status >= http.StatusInternalServerError {
				t.Fatalf("%q: %v", item, err)
			}
		}
	})
}

// FuzzQuery asserts that parameters are taken as what they are, or refused with a problem for each that is wrong.
func FuzzQuery(f *testing.F) {
	for _, text := range []string{
		"", "kind=account&siteId=7&limit=3&all=true", "id=a,b,,c&step=CreateRoutine&origin=worker", "limit=0x10&siteId=-1&all=yes&kind=",
		"a=%zz&b;c&%2F~=1&name=x&name=y", "limit=%EF%BC%91&cursor=" + strings.Repeat("x", 100),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q := readQuery(&http.Request{URL: &url.URL{RawQuery: text}})
		filter, limit, all := readFilter(q), q.number("limit", 50, 1, ledger.MaxPage), q.flag("all")
		err := q.end()
		if err == nil {
			given, _ := url.ParseQuery(text)
			if limit < 1 || limit > ledger.MaxPage || filter.SiteID < 0 || filter.Code != given.Get("code") || all != (given.Get("all") == "true") {
				t.Fatalf("got %+v, limit %d, all %t", filter, limit, all)
			}
			return
		}
		var p problem
		if !errors.As(err, &p) || p.Status != http.StatusBadRequest || len(p.Errors) == 0 || p.Detail == "" {
			t.Fatalf("got %+v", err)
		}
		for _, e := range p.Errors {
			if !strings.HasPrefix(e.Pointer, "/") || e.Code == "" || e.Detail == "" || len(e.Detail) > 1_000 {
				t.Fatalf("got %+v", e)
			}
		}
	})
}
