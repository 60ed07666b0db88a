package accept

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

const contractJob = `{"id":"019bc094-2b36-7cd1-9f1a-3c1f0b6f7a11","state":"queued","ready":false,"attempt":1,` +
	`"request":{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com"},"acceptedAt":"2026-01-15T06:28:17Z"}`

// answerWith is a response in JSON; a header without a value is left out.
func answerWith(status int, body string, headers ...string) Response {
	h := map[string]string{"Content-Type": "application/json"}
	for i := 0; i < len(headers); i += 2 {
		h[headers[i]] = headers[i+1]
	}
	maps.DeleteFunc(h, func(_, value string) bool { return value == "" })
	return Response{StatusCode: status, Headers: h, Body: body}
}

func acceptedWith(body string, headers ...string) Response {
	return answerWith(202, body, append([]string{"Location", "/v1/jobs/1", "Retry-After", "2"}, headers...)...)
}

func problemWith(status int, code string, headers ...string) Response {
	text, _ := json.Marshal(newProblem(status, code, "Title", "detail").Problem)
	return answerWith(status, string(text), append([]string{"Content-Type", "application/problem+json"}, headers...)...)
}

// asking is an event with one query parameter.
func asking(method, path, name, value string) map[string]any {
	e := event(method, path, "")
	e["queryParameters"] = map[string]string{name: value}
	return e
}

const contractBatch = `{"items":[{"index":0,"status":"accepted","jobId":"1"},{"index":1,"status":"rejected"}],` +
	`"accepted":1,"duplicate":0,"rejected":1,"failed":0}`

const contractDone = `{"count":1,"ids":["1"],"more":false}`

// exchange is an event with the answer to it.
type exchange struct {
	event map[string]any
	res   Response
}

func TestContractAllows(t *testing.T) {
	c := newContract(t)
	replayed := acceptedWith(contractJob, "Idempotency-Replayed", "true", "Preference-Applied", "wait=5")
	const noLetters = `{"deadLetters":[]}`
	const lines = `{"name":"pr-1","siteId":7,"recordName":"a.example.com","idempotencyKey":"k"}` + "\n\n" + `{"x":1}` + "\n"
	for name, x := range map[string]exchange{
		"an accepted job":                {event("POST", "/v1/routines", good), acceptedWith(contractJob)},
		"a replay that was waited for":   {event("POST", "/v1/routines", good, "Prefer", "wait=5"), replayed},
		"ESA's spelling and null":        {event("POST", "/v1/routines", `{"Name":"pr-1","SiteId":"7","RecordName":"x.example.com","ifExists":null}`), acceptedWith(contractJob)},
		"another JSON media type":        {event("POST", "/v1/routines", good, "Content-Type", "application/x+json; charset=utf-8"), acceptedWith(contractJob)},
		"a batch":                        {event("POST", "/v1/routines:batch", `[`+good+`,{"x":1}]`), answerWith(202, contractBatch)},
		"a batch of lines":               {event("POST", "/v1/routines:batch", lines, "Content-Type", "application/x-ndjson"), answerWith(202, contractBatch)},
		"a batch that was not queued":    {event("POST", "/v1/routines:batch", `[]`), answerWith(503, contractBatch, "Retry-After", "5")},
		"a page without a body to HEAD":  {event("HEAD", "/problems", ""), answerWith(200, "", "Content-Type", "text/markdown; charset=utf-8")},
		"a job whose id ends in :cancel": {event("GET", "/v1/jobs/1:cancel", ""), answerWith(200, contractJob)},
		"a cancellation without a body":  {event("POST", "/v1/jobs/1:cancel", ""), answerWith(200, contractJob)},
		"filters":                        {asking("GET", "/v1/dead-letters", "id", "a,b"), answerWith(200, noLetters)},
		"a redrive by filter":            {event("POST", "/v1/dead-letters:redrive", `{"kind":"account","limit":3}`), answerWith(200, contractDone)},
		"a deletion":                     {asking("DELETE", "/v1/dead-letters/1", "dryRun", "true"), answerWith(200, contractDone)},
		"a documented problem":           {event("GET", "/v1/jobs/1", ""), problemWith(404, "unknown-job")},
		"no such path":                   {event("GET", "/nowhere", ""), problemWith(404, "no-such-path")},
		"no such method":                 {event("PUT", "/healthz", ""), problemWith(405, "method-not-allowed", "Allow", "GET, HEAD")},
		"an event that is none":          {map[string]any{}, problemWith(400, "not-an-http-event")},
	} {
		t.Run(name, func(t *testing.T) { c.check(t, x.text(t), x.res) })
	}
}

func (x exchange) text(t *testing.T) []byte {
	t.Helper()
	text, err := json.Marshal(x.event)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestContractRefuses(t *testing.T) {
	c := newContract(t)
	post, job, list := event("POST", "/v1/routines", good), event("GET", "/v1/jobs/1", ""), event("GET", "/v1/jobs", "")
	posting := func(body string) map[string]any { return event("POST", "/v1/routines", body) }
	with := func(old, fresh string) string { return strings.Replace(contractJob, old, fresh, 1) }
	for name, x := range map[string]exchange{
		"an undocumented status":                    {post, answerWith(201, contractJob, "Location", "/v1/jobs/1", "Retry-After", "2")},
		"an undocumented field":                     {post, acceptedWith(with(`"ready"`, `"extra":1,"ready"`))},
		"an undocumented field further in":          {post, acceptedWith(with(`"siteId"`, `"extra":1,"siteId"`))},
		"a missing field":                           {post, acceptedWith(with(`"state":"queued",`, ``))},
		"a wrong type":                              {post, acceptedWith(with(`"attempt":1`, `"attempt":"1"`))},
		"a value that is not listed":                {post, acceptedWith(with(`queued`, `lost`))},
		"a time that is none":                       {post, acceptedWith(with(`2026-01-15T06:28:17Z`, `today`))},
		"null for a list":                           {list, answerWith(200, `{"jobs":null}`)},
		"no JSON":                                   {post, acceptedWith("x")},
		"no body":                                   {post, acceptedWith("")},
		"no Location":                               {post, acceptedWith(contractJob, "Location", "")},
		"a Location elsewhere":                      {post, acceptedWith(contractJob, "Location", "/jobs/1")},
		"no Retry-After":                            {post, acceptedWith(contractJob, "Retry-After", "")},
		"a Retry-After without a number":            {post, acceptedWith(contractJob, "Retry-After", "soon")},
		"an undocumented header":                    {post, acceptedWith(contractJob, "X-Extra", "1")},
		"another content type":                      {post, acceptedWith(contractJob, "Content-Type", "text/plain")},
		"no content type":                           {post, acceptedWith(contractJob, "Content-Type", "")},
		"a problem as plain JSON":                   {job, problemWith(404, "unknown-job", "Content-Type", "application/json")},
		"a problem of another operation":            {job, problemWith(404, "unknown-routine")},
		"a problem with another status":             {job, answerWith(404, problemWith(400, "unknown-job").Body, "Content-Type", "application/problem+json")},
		"half a batch":                              {event("POST", "/v1/routines:batch", `[`), answerWith(202, contractBatch)},
		"an empty page":                             {event("GET", "/problems", ""), answerWith(200, "", "Content-Type", "text/markdown")},
		"a page of another type":                    {event("GET", "/problems", ""), answerWith(200, "x", "Content-Type", "text/plain")},
		"success at an unknown path":                {event("GET", "/nowhere", ""), answerWith(200, `{}`)},
		"405 without Allow":                         {event("PUT", "/healthz", ""), problemWith(405, "method-not-allowed")},
		"success for an event that is none":         {map[string]any{}, answerWith(200, `{}`)},
		"a field that is not documented, taken":     {posting(`{"name":"pr-1","siteId":7,"recordName":"a.example.com","ttl":1}`), acceptedWith(contractJob)},
		"a name that is not possible, taken":        {posting(`{"name":"-","siteId":7,"recordName":"a.example.com"}`), acceptedWith(contractJob)},
		"a redrive of a misspelt filter, taken":     {event("POST", "/v1/dead-letters:redrive", `{"knd":"account"}`), answerWith(200, contractDone)},
		"a parameter that is not documented, taken": {asking("GET", "/v1/jobs", "status", "queued"), answerWith(200, `{"jobs":[]}`)},
		"a value that is not possible, taken":       {asking("GET", "/v1/jobs", "state", "lost"), answerWith(200, `{"jobs":[]}`)},
		"an item that is wrong, taken":              {event("POST", "/v1/routines:batch", `[{"x":1},`+good+`]`), answerWith(202, contractBatch)},
		"a verdict too few":                         {event("POST", "/v1/routines:batch", `[`+good+`,{},{}]`), answerWith(202, contractBatch)},
		"a batch of another type, taken":            {event("POST", "/v1/routines:batch", good, "Content-Type", "text/csv"), answerWith(202, contractBatch)},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.violation(t.Context(), x.text(t), x.res); err == nil {
				t.Error("allowed")
			}
		})
	}
}

func TestContractIsValid(t *testing.T) {
	if testing.Short() {
		t.Skip("the library compiles a schema for each example, which takes a second; TestContractExamples compiles each schema once")
	}
	if err := newContract(t).doc.Validate(t.Context(), openapi3.EnableSchemaFormatValidation()); err != nil {
		t.Error(err)
	}
}

func TestContractExamples(t *testing.T) {
	c := newContract(t)
	contents := map[string]openapi3.Content{}
	for path, item := range c.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.RequestBody != nil {
				contents[method+" "+path] = operation.RequestBody.Value.Content
			}
			for status, answer := range operation.Responses.Map() {
				contents[method+" "+path+" "+status] = answer.Value.Content
			}
		}
	}
	fit := func(t *testing.T, media *openapi3.MediaType, example any) {
		t.Helper()
		text, err := json.Marshal(example)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.schemas.fit(media.Schema.Ref, text); err != nil {
			t.Error(err)
		}
	}
	for place, content := range contents {
		t.Run("of "+place+" fit their schema", func(t *testing.T) {
			for contentType, media := range content {
				if !isJSON(contentType) {
					continue
				}
				if media.Example != nil {
					fit(t, media, media.Example)
				}
				for _, example := range media.Examples {
					fit(t, media, example.Value.Value)
				}
			}
		})
	}
}

func TestContractFindsEveryOperation(t *testing.T) {
	c := newContract(t)
	for path, item := range c.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			t.Run(operation.OperationID, func(t *testing.T) {
				for _, id := range []string{"pr-1", "a%2Fb", "a%3Ab"} {
					url := strings.NewReplacer("{id}", id, "{name}", id).Replace(path)
					req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
					if err != nil {
						t.Fatal(err)
					}
					route, _, err := c.routers[method].FindRoute(req)
					if err != nil || route.Operation != operation {
						t.Errorf("%s %s: %v, %+v", method, url, err, route)
					}
				}
			})
		}
	}
}
