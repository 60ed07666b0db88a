package accept

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"routinely/shared/api"
)

// contract is openapi.yaml. Every answer that a test gets is held to it, see check.
type contract struct {
	doc        *openapi3.T
	operations []documented
	// schemas are those of bodies and headers, by their references, such as #/components/schemas/Job. They are compiled once: kin-openapi does
	// it for every value.
	schemas map[string]*jsonschema.Schema
}

// documented is an operation, with the paths that are its own.
type documented struct {
	*openapi3.Operation
	method string
	paths  *regexp.Regexp
}

// loaded is the contract, read once: that takes longer than most tests.
var loaded = sync.OnceValues(loadContract)

func newContract(t testing.TB) *contract {
	t.Helper()
	c, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func loadContract() (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background(), openapi3.DisableExamplesValidation()); err != nil {
		return nil, err
	}
	c := &contract{doc: doc, schemas: map[string]*jsonschema.Schema{}}
	placeholder := regexp.MustCompile(`\\\{\w+\\\}`)
	for path, item := range doc.Paths.Map() {
		paths := regexp.MustCompile("^" + placeholder.ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$")
		for method, operation := range item.Operations() {
			operation.Parameters = append(operation.Parameters, item.Parameters...)
			c.operations = append(c.operations, documented{operation, method, paths})
		}
	}
	return c, c.compile()
}

func (c *contract) compile() error {
	text, err := json.Marshal(map[string]any{"components": map[string]any{"schemas": c.doc.Components.Schemas, "headers": c.doc.Components.Headers}})
	if err != nil {
		return err
	}
	file, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020) // that of OpenAPI 3.1
	compiler.AssertFormat()
	compiler.RegisterFormat(&jsonschema.Format{Name: "int64", Validate: func(value any) error {
		if number, ok := value.(json.Number); ok {
			_, err := number.Int64()
			return err
		}
		return nil
	}})
	const name = "openapi.json"
	if err := compiler.AddResource(name, file); err != nil {
		return err
	}
	var refs []string
	for schema := range c.doc.Components.Schemas {
		refs = append(refs, "#/components/schemas/"+schema)
	}
	for header := range c.doc.Components.Headers {
		refs = append(refs, "#/components/headers/"+header+"/schema")
	}
	for _, ref := range refs {
		if c.schemas[ref], err = compiler.Compile(name + ref); err != nil {
			return err
		}
	}
	return nil
}

// fit holds a JSON text to a schema.
func (c *contract) fit(ref string, text []byte) error {
	schema := c.schemas[ref]
	if schema == nil {
		return fmt.Errorf("the schema %q has no name: give it one among the components", ref)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// check holds the answer to an event to the contract.
func (c *contract) check(t testing.TB, event []byte, res Response) {
	t.Helper()
	if err := c.violation(t.Context(), event, res); err != nil {
		t.Errorf("openapi.yaml does not allow this: %v\nevent: %.1000s\nanswer: %d %v %.1000s", err, event, res.StatusCode, res.Headers, res.Body)
	}
}

func (c *contract) violation(ctx context.Context, event []byte, res Response) error {
	if res.IsBase64Encoded {
		body, err := base64.StdEncoding.DecodeString(res.Body)
		if err != nil {
			return err
		}
		res.Body = string(body)
	}
	req, err := importRequest(ctx, event)
	if err != nil {
		return c.problem(res, "not-an-http-event", "too-large")
	}
	method := req.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	at := slices.IndexFunc(c.operations, func(o documented) bool {
		return o.method == method && o.paths.MatchString(req.URL.EscapedPath()) && path.Clean(req.URL.Path) == req.URL.Path
	})
	if at < 0 {
		if res.StatusCode == http.StatusMethodNotAllowed && res.Headers["Allow"] == "" {
			return errors.New("no Allow header")
		}
		return c.problem(res, "no-such-path", "method-not-allowed", "internal")
	}
	return c.answered(c.operations[at], req, res)
}

// answered checks the answer of an operation: the status, the headers, the media type and the body. Of what succeeds, each parameter of the
// address must be documented.
func (c *contract) answered(o documented, req *http.Request, res Response) error {
	answer := o.Responses.Status(res.StatusCode)
	if answer == nil {
		return fmt.Errorf("%s does not answer with status %d", o.OperationID, res.StatusCode)
	}
	given := res.Headers["Content-Type"]
	if len(answer.Value.Content) == 0 && (given != "" || res.Body != "") {
		return fmt.Errorf("status %d has no body", res.StatusCode)
	}
	media := answer.Value.Content.Get(given)
	if media == nil && len(answer.Value.Content) > 0 {
		return fmt.Errorf("status %d has no content type %q", res.StatusCode, given)
	}
	if err := c.headers(answer.Value.Headers, res.Headers); err != nil {
		return err
	}
	for name := range req.URL.Query() {
		if res.StatusCode < http.StatusBadRequest && o.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
			return fmt.Errorf("%s has no parameter %q", o.OperationID, name)
		}
	}
	switch {
	case media == nil || req.Method == http.MethodHead && res.Body == "":
		return nil
	case given == "application/problem+json":
		return c.problem(res, slices.Collect(maps.Keys(media.Examples))...) // each response has an example of each code
	case given == "application/json":
		return c.fit(media.Schema.Ref, []byte(res.Body))
	case res.Body == "":
		return errors.New("the page is empty")
	}
	return nil
}

// everywhere are the headers that any answer can have, as the description says.
var everywhere = []string{"Content-Type", "Cache-Control", "Ratelimit", "Ratelimit-Policy"}

func (c *contract) headers(known openapi3.Headers, given map[string]string) error {
	var names []string
	for name, header := range known {
		name = textproto.CanonicalMIMEHeaderKey(name)
		names = append(names, name)
		text, there := given[name]
		if !there && header.Value.Required {
			return fmt.Errorf("no header %s", name)
		}
		value := []byte(text)
		if !header.Value.Schema.Value.Type.Is("integer") {
			value, _ = json.Marshal(text)
		}
		if err := c.fit(header.Ref+"/schema", value); there && err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
	}
	for name := range given {
		if !slices.Contains(names, name) && !slices.Contains(everywhere, name) {
			return fmt.Errorf("there is no header %s", name)
		}
	}
	return nil
}

// problem checks a problem whose code must be one of those.
func (c *contract) problem(res Response, codes ...string) error {
	if got := res.Headers["Content-Type"]; got != "application/problem+json" {
		return fmt.Errorf("content type %q of a problem", got)
	}
	if err := c.fit("#/components/schemas/Problem", []byte(res.Body)); err != nil {
		return err
	}
	var p api.Problem
	if err := json.Unmarshal([]byte(res.Body), &p); err != nil {
		return err
	}
	if !slices.Contains(codes, p.Code) || p.Status != res.StatusCode || p.Type != "/problems#"+p.Code {
		return fmt.Errorf("status %d, in the body code %q, status %d, type %q; codes here: %q", res.StatusCode, p.Code, p.Status, p.Type, codes)
	}
	return nil
}

// TestContractFindsWhatIsNotDocumented breaks an answer that openapi.yaml allows, in every way that check looks for.
func TestContractFindsWhatIsNotDocumented(t *testing.T) {
	f := start(t)
	post, get := event("POST", "/v1/routines", good), event("GET", "/v1/jobs/1", "")
	for name, test := range map[string]struct {
		event map[string]any
		spoil func(*Response)
	}{
		"a status":            {post, func(res *Response) { res.StatusCode = 201 }},
		"a member":            {post, func(res *Response) { res.Body = strings.Replace(res.Body, "{", `{"extra":1,`, 1) }},
		"a value":             {post, func(res *Response) { res.Body = strings.Replace(res.Body, "queued", "lost", 1) }},
		"no member":           {post, func(res *Response) { res.Body = "{}" }},
		"no body":             {post, func(res *Response) { res.Body = "" }},
		"a header":            {post, func(res *Response) { res.Headers["X-Extra"] = "1" }},
		"no header":           {post, func(res *Response) { delete(res.Headers, "Location") }},
		"a header's value":    {post, func(res *Response) { res.Headers["Retry-After"] = "soon" }},
		"a media type":        {post, func(res *Response) { res.Headers["Content-Type"] = "text/plain" }},
		"another's problem":   {get, func(res *Response) { res.Body = strings.ReplaceAll(res.Body, "unknown-job", "unknown-routine") }},
		"a problem's status":  {get, func(res *Response) { res.Body = strings.Replace(res.Body, "404", "400", 1) }},
		"a parameter":         {event("GET", "/v1/jobs", ""), nil},
		"a success elsewhere": {event("GET", "/nowhere", ""), func(res *Response) { *res = f.call(t, post) }},
		"no event":            {map[string]any{}, func(res *Response) { *res = f.call(t, post) }},
		"no methods":          {event("PUT", "/healthz", ""), func(res *Response) { delete(res.Headers, "Allow") }},
		"an empty page":       {event("GET", "/problems", ""), func(res *Response) { res.Body = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			res := f.call(t, test.event) // which is allowed
			if test.spoil == nil {
				test.event = withParams(test.event, map[string]string{"status": "queued"})
			} else {
				test.spoil(&res)
			}
			text, err := json.Marshal(test.event)
			if err != nil {
				t.Fatal(err)
			}
			if f.contract.violation(t.Context(), text, res) == nil {
				t.Error("allowed")
			}
		})
	}
}

func TestContractIsValid(t *testing.T) {
	if err := newContract(t).doc.Validate(t.Context(), openapi3.EnableSchemaFormatValidation()); err != nil {
		t.Error(err)
	}
}

func TestContractExamples(t *testing.T) {
	c := newContract(t)
	fit := func(t *testing.T, content openapi3.Content) {
		t.Helper()
		for contentType, media := range content {
			examples := []any{}
			if media.Example != nil {
				examples = append(examples, media.Example)
			}
			for _, example := range media.Examples {
				examples = append(examples, example.Value.Value)
			}
			for _, example := range examples {
				text, err := json.Marshal(example)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.fit(media.Schema.Ref, text); isJSON(contentType) && err != nil {
					t.Error(err)
				}
			}
		}
	}
	for _, o := range c.operations {
		t.Run("of "+o.OperationID+" fit their schemas", func(t *testing.T) {
			if o.RequestBody != nil {
				fit(t, o.RequestBody.Value.Content)
			}
			for _, answer := range o.Responses.Map() {
				fit(t, answer.Value.Content)
			}
		})
	}
}
