package accept

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"routinely/shared/api"
	"routinely/shared/routine"
)

// contract is openapi.yaml, ready to hold the function's answers to it.
type contract struct {
	doc     *openapi3.T
	schemas *schemas
	// routers has one for each method: a router looks only at the first path that fits, and /v1/jobs/1:cancel fits two.
	routers map[string]routers.Router
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

// loadContract reads the contract; TestContractIsValid looks at the examples, which takes longer than all the rest.
func loadContract() (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background(), openapi3.DisableExamplesValidation()); err != nil {
		return nil, err
	}
	schemas, err := newSchemas(doc)
	if err != nil {
		return nil, err
	}
	c := &contract{doc: doc, schemas: schemas, routers: map[string]routers.Router{}}
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		only := *doc
		only.Paths = openapi3.NewPaths()
		for path, item := range doc.Paths.Map() {
			if item.GetOperation(method) != nil {
				only.Paths.Set(path, item)
			}
		}
		if c.routers[method], err = gorillamux.NewRouter(&only); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// check holds the answer to an event to the contract, and what was asked as well if it was successful.
func (c *contract) check(t testing.TB, event []byte, res Response) {
	t.Helper()
	if err := c.violation(t.Context(), event, res); err != nil {
		why, _, _ := strings.Cut(err.Error(), "\nSchema:") // the whole schema, and all it refers to, would follow
		t.Errorf("openapi.yaml does not allow this: %s\nevent: %.1000s\nanswer: %d %v %.1000s", why, event, res.StatusCode, res.Headers, res.Body)
	}
}

func (c *contract) violation(ctx context.Context, event []byte, res Response) error {
	answer, err := receivedBy(res)
	if err != nil {
		return err
	}
	req, err := importRequest(ctx, event)
	if err != nil {
		return c.outside(answer, http.StatusBadRequest, http.StatusRequestEntityTooLarge)
	}
	head := req.Method == http.MethodHead
	if head {
		req.Method = http.MethodGet
	}
	options := &openapi3filter.Options{IncludeResponseStatus: true, SkipSettingDefaults: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
	in := &openapi3filter.RequestValidationInput{Request: req, Options: options}
	if find := c.routers[req.Method]; find != nil {
		in.Route, in.PathParams, _ = find.FindRoute(req)
	}
	if in.Route == nil {
		return c.outside(answer, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusInternalServerError)
	}
	if err := c.answered(ctx, in, answer, head); err != nil || answer.status >= http.StatusBadRequest {
		return err
	}
	return c.asked(ctx, in, answer)
}

// clientAnswer is the function's response as a client receives it.
type clientAnswer struct {
	status int
	header http.Header
	body   []byte
}

func receivedBy(res Response) (clientAnswer, error) {
	out := clientAnswer{status: res.StatusCode, header: http.Header{}, body: []byte(res.Body)}
	for name, value := range res.Headers {
		out.header.Set(name, value)
	}
	if !res.IsBase64Encoded {
		return out, nil
	}
	body, err := base64.StdEncoding.DecodeString(res.Body)
	out.body = body
	return out, err
}

// outside checks an answer that belongs to no operation: a problem with one of the statuses.
func (c *contract) outside(got clientAnswer, statuses ...int) error {
	code := map[int]string{
		http.StatusBadRequest: "not-an-http-event", http.StatusNotFound: "no-such-path",
		http.StatusMethodNotAllowed: "method-not-allowed", http.StatusInternalServerError: "internal",
		http.StatusRequestEntityTooLarge: "too-large",
	}[got.status]
	media := got.header.Get("Content-Type")
	switch {
	case !slices.Contains(statuses, got.status):
		return fmt.Errorf("status %d where there is no operation", got.status)
	case media != "application/problem+json":
		return fmt.Errorf("content type %q of a problem", media)
	case got.status == http.StatusMethodNotAllowed && got.header.Get("Allow") == "":
		return errors.New("no Allow header")
	}
	return c.problem(got, code)
}

// problem checks a problem whose code must be one of those.
func (c *contract) problem(got clientAnswer, codes ...string) error {
	if err := c.schemas.fit("#/components/schemas/Problem", got.body); err != nil {
		return err
	}
	var p api.Problem
	if err := json.Unmarshal(got.body, &p); err != nil {
		return err
	}
	if !slices.Contains(codes, p.Code) || p.Status != got.status || p.Type != "/problems#"+p.Code {
		return fmt.Errorf("status %d, in the body code %q, status %d, type %q; codes here: %q", got.status, p.Code, p.Status, p.Type, codes)
	}
	return nil
}

// everywhere are the headers that any answer can have, as the description says.
var everywhere = []string{"Content-Type", "Cache-Control", "Ratelimit", "Ratelimit-Policy"}

// answered checks the answer of an operation: status, headers, media type and body; of a problem the code too, for which each
// response has an example.
func (c *contract) answered(ctx context.Context, in *openapi3filter.RequestValidationInput, got clientAnswer, head bool) error {
	documented := in.Route.Operation.Responses.Status(got.status)
	if documented == nil {
		return fmt.Errorf("%s does not answer with status %d", in.Route.Operation.OperationID, got.status)
	}
	given := got.header.Get("Content-Type")
	media := documented.Value.Content.Get(given)
	if media == nil {
		return fmt.Errorf("status %d has no content type %q", got.status, given)
	}
	for name := range got.header {
		if !hasHeader(documented.Value.Headers, name) && !slices.Contains(everywhere, name) {
			return fmt.Errorf("status %d has no header %s", got.status, name)
		}
	}
	isText := !isJSON(mediaOf(given))
	if isText && !head && len(got.body) == 0 {
		return errors.New("the page is empty")
	}
	options := *in.Options
	options.ExcludeResponseBody = true
	err := openapi3filter.ValidateResponse(ctx, &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: got.status, Header: got.header, Options: &options,
	})
	if err != nil || isText || head && len(got.body) == 0 {
		return err
	}
	if err := c.schemas.fit(media.Schema.Ref, got.body); err != nil || given != "application/problem+json" {
		return err
	}
	return c.problem(got, slices.Collect(maps.Keys(media.Examples))...)
}

func hasHeader(documented openapi3.Headers, name string) bool {
	for known := range documented {
		if textproto.CanonicalMIMEHeaderKey(known) == name {
			return true
		}
	}
	return false
}

// mediaOf is a content type without its parameters; empty if it is none.
func mediaOf(contentType string) string {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	return media
}

// asked checks the request of a successful call. What only the descriptions say is taken for granted: another media type that
// ends in +json, a byte-order mark, ESA's spelling, and null for a field left out.
func (c *contract) asked(ctx context.Context, in *openapi3filter.RequestValidationInput, got clientAnswer) error {
	for name := range in.Request.URL.Query() {
		if !hasParameter(in.Route.Operation.Parameters, name) && !hasParameter(in.Route.PathItem.Parameters, name) {
			return fmt.Errorf("%s has no parameter %q", in.Route.Operation.OperationID, name)
		}
	}
	body, err := io.ReadAll(in.Request.Body)
	if err != nil {
		return err
	}
	body = routine.WithoutMark(body)
	if in.Route.Operation.OperationID == "createRoutineBatch" {
		in.Options.ExcludeRequestBody = true
		if err := c.askedBatch(in, body, got); err != nil {
			return err
		}
	}
	if isJSON(mediaOf(in.Request.Header.Get("Content-Type"))) {
		in.Request.Header.Set("Content-Type", "application/json")
		body = camelCase(body)
		if in.Route.Operation.OperationID == "redriveDeadLetter" {
			body = camelCaseBelow(body, "request")
		}
		if err := c.askedJSON(in, body); err != nil {
			return err
		}
	}
	in.Request.GetBody = nil // the one from before
	if in.Request.Body = http.NoBody; len(body) > 0 {
		in.Request.Body = io.NopCloser(bytes.NewReader(body))
	}
	return openapi3filter.ValidateRequest(ctx, in)
}

// askedJSON checks the body of a request, which the library need not do then. A body that is missing is for the library.
func (c *contract) askedJSON(in *openapi3filter.RequestValidationInput, body []byte) error {
	documented := in.Route.Operation.RequestBody
	if len(body) == 0 || documented == nil || in.Options.ExcludeRequestBody {
		return nil
	}
	media := documented.Value.Content.Get("application/json")
	if media == nil {
		return nil
	}
	in.Options.ExcludeRequestBody = true
	return c.schemas.fit(media.Schema.Ref, body)
}

func hasParameter(parameters openapi3.Parameters, name string) bool {
	return parameters.GetByInAndName(openapi3.ParameterInQuery, name) != nil
}

// askedBatch checks those items of a batch that were not rejected.
func (c *contract) askedBatch(in *openapi3filter.RequestValidationInput, body []byte, got clientAnswer) error {
	var result api.BatchResult
	if err := json.Unmarshal(got.body, &result); err != nil {
		return err
	}
	media := mediaOf(in.Request.Header.Get("Content-Type"))
	if !isJSON(media) && in.Route.Operation.RequestBody.Value.Content.Get(media) == nil {
		return fmt.Errorf("no batch has the content type %q", media)
	}
	items, err := batchItems(body, isJSON(media))
	if err != nil {
		return err
	}
	if len(items) != len(result.Items) {
		return fmt.Errorf("%d verdicts on %d items", len(result.Items), len(items))
	}
	for i, verdict := range result.Items {
		if verdict.Status == api.Rejected {
			continue
		}
		if err := c.schemas.fit("#/components/schemas/BatchItem", camelCase(items[i])); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	return nil
}

// camelCaseBelow does for a member of an object what camelCase does for the object, but for what is null: that has a meaning there, which only
// the description tells.
func camelCaseBelow(text []byte, member string) []byte {
	var given map[string]json.RawMessage
	if json.Unmarshal(text, &given) != nil || given[member] == nil {
		return text
	}
	given[member] = camelCase(given[member])
	if string(given[member]) == "{}" {
		delete(given, member) // all was null
	}
	changed, err := json.Marshal(given)
	if err != nil {
		return text
	}
	return changed
}

// camelCase returns a request in our own spelling, without what is null. Anything but an object stays as it is.
func camelCase(text []byte) []byte {
	var given map[string]json.RawMessage
	if json.Unmarshal(text, &given) != nil {
		return text
	}
	out := make(map[string]json.RawMessage, len(given))
	for name, value := range given {
		if slices.Contains([]string{"Name", "Description", "HasAssets", "SiteId", "RecordName", "IfExists", "CallbackUrl", "IdempotencyKey"}, name) {
			name = strings.ToLower(name[:1]) + name[1:]
		}
		if string(value) != "null" {
			out[name] = value
		}
	}
	changed, err := json.Marshal(out)
	if err != nil {
		return text
	}
	return changed
}
