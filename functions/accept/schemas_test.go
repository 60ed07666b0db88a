package accept

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"routinely/deploy/sim"
	"routinely/shared/api"
)

var update = flag.Bool("update", false, "write the schemas")

const (
	components = "#/components/schemas/"
	draft      = "https://json-schema.org/draft/2020-12/schema"
)

// cutSchemas returns the files that openapi.yaml asks for in x-schemas, by their names: each schema with all others that it needs.
func cutSchemas(t *testing.T) map[string]string {
	t.Helper()
	var doc struct {
		Schemas map[string]struct {
			Ref string `yaml:"$ref"`
		} `yaml:"x-schemas"`
		Components struct {
			Schemas map[string]any `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(contractPage, &doc); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for name, root := range doc.Schemas {
		definitions := map[string]any{}
		var need func(ref string) string
		need = func(ref string) string {
			component := strings.TrimPrefix(ref, components)
			if _, known := definitions[component]; !known {
				definitions[component] = true // while it is made: a schema may need itself
				definitions[component] = rewritten(doc.Components.Schemas[component], need)
			}
			return "#/$defs/" + component
		}
		file := map[string]any{
			"$schema": draft, "$id": "/schemas/" + name + ".json", "title": "Routinely: " + name, "$ref": need(root.Ref), "$defs": definitions,
		}
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", " ")
		if err := encoder.Encode(file); err != nil {
			t.Fatal(err)
		}
		files[name+".json"] = out.String()
	}
	return files
}

// rewritten is a value of the document in which each reference is the one that need returns for it.
func rewritten(value any, need func(ref string) string) any {
	switch value := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, member := range value {
			if ref, ok := member.(string); ok && name == "$ref" {
				out[name] = need(ref)
				continue
			}
			out[name] = rewritten(member, need)
		}
		return out
	case []any:
		out := make([]any, len(value))
		for i, element := range value {
			out[i] = rewritten(element, need)
		}
		return out
	}
	return value
}

func TestSchemaFiles(t *testing.T) {
	want := cutSchemas(t)
	if *update {
		if err := os.RemoveAll("schemas"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir("schemas", 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range want {
			if err := os.WriteFile(filepath.Join("schemas", name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := map[string]string{}
	entries, err := os.ReadDir("schemas")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join("schemas", entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[entry.Name()] = string(text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("openapi.yaml has changed: go test ./functions/accept -run TestSchemaFiles -update\n-openapi.yaml +schemas:\n%s", diff)
	}
	t.Run("are all that the path takes", func(t *testing.T) {
		var names []string
		for _, name := range newContract(t).doc.Paths.Find("/schemas/{schema}.json").Parameters.GetByInAndName("path", "schema").Schema.Value.Enum {
			names = append(names, name.(string)+".json")
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(slices.Values(names))); diff != "" {
			t.Errorf("-x-schemas +path:\n%s", diff)
		}
	})
}

// served compiles a schema as accept serves it, after it was held to the meta-schema of its draft.
func (f *function) served(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	file, err := jsonschema.UnmarshalJSON(strings.NewReader(f.call(t, event("GET", "/schemas/"+name+".json", "")).Body))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	meta, err := compiler.Compile(draft)
	if err != nil {
		t.Fatal(err)
	}
	if err := meta.Validate(file); err != nil {
		t.Error(err)
	}
	at := "https://accept.example.com/schemas/" + name + ".json"
	if err := compiler.AddResource(at, file); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(at)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// violates says what is wrong with a JSON text by a schema.
func violates(schema *jsonschema.Schema, text string) error {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

func TestSchemas(t *testing.T) {
	f := start(t)
	job := f.post(t, withCallback(hook))
	sealed := sim.Take(t, f.queue, sim.JobQueue)
	for name, good := range map[string][]string{
		"request": {good, wishFor(1), withCallback(hook)},
		"batch":   {wishes(3), "[" + strings.Replace(good, "{", `{"idempotencyKey":"k",`, 1) + "]"},
		"job":     {f.call(t, event("GET", "/v1/jobs/"+job.ID, "")).Body},
		"message": {good, `{"specversion":"1.0","id":"1","source":"/ci","type":"x","data":` + good + `}`},
	} {
		t.Run(name+" is valid, fits what is sent, and refuses a member too many", func(t *testing.T) {
			schema := f.served(t, name)
			for _, text := range good {
				if err := violates(schema, text); err != nil {
					t.Errorf("%s: %v", text, err)
				}
				if violates(schema, strings.Replace(text, `"name"`, `"nome":1,"name"`, 1)) == nil {
					t.Errorf("%s: a member too many is allowed", text)
				}
			}
		})
	}
	t.Run("envelope is valid and fits the message on the queue, and none that lacks its seal", func(t *testing.T) {
		schema := f.served(t, "envelope")
		if err := violates(schema, sealed[0]); err != nil || len(sealed) != 1 {
			t.Errorf("%s: %v", sealed, err)
		}
		if violates(schema, strings.Replace(sealed[0], `"mac"`, `"Mac"`, 1)) == nil {
			t.Error("a message without a seal is allowed")
		}
	})
	t.Run("event is valid", func(t *testing.T) { f.served(t, "event") })
	t.Run("are a problem where there is none", func(t *testing.T) {
		for _, path := range []string{"/schemas/nothing.json", "/schemas/job", "/schemas/..%2Fopenapi.yaml", "/schemas"} {
			if p := read[api.Problem](t, f.call(t, event("GET", path, "")), 404); p.Code != "no-such-path" {
				t.Errorf("%s: %+v", path, p)
			}
		}
		refused(t, f.call(t, event("POST", "/schemas/job.json", "")), 405, "method-not-allowed")
		refused(t, f.call(t, asking("GET", "/schemas/job.json", "v", "2")), 400, "invalid-parameter")
	})
}

func TestPagesAreNotSentAgain(t *testing.T) {
	f := start(t)
	for _, path := range []string{"/problems", "/openapi.yaml", "/schemas/job.json"} {
		t.Run(path, func(t *testing.T) {
			whole := f.call(t, event("GET", path, ""))
			tag := whole.Headers["Etag"]
			for _, same := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
				res := f.call(t, event("GET", path, "", "If-None-Match", same))
				if res.StatusCode != 304 || res.Body != "" || res.Headers["Etag"] != tag || res.Headers["Cache-Control"] == "" || tag == "" {
					t.Errorf("If-None-Match %s: %+v", same, res)
				}
			}
			if res := f.call(t, event("GET", path, "", "If-None-Match", `"other"`)); res.StatusCode != 200 || res.Body != whole.Body {
				t.Errorf("status %d for another text", res.StatusCode)
			}
			if res := f.call(t, event("HEAD", path, "")); res.StatusCode != 200 || res.Headers["Etag"] != tag {
				t.Errorf("HEAD: %d %v", res.StatusCode, res.Headers)
			}
		})
	}
}
