package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// component is the schema of Serverless Devs' component fc3. It forbids no unknown key anywhere, and its triggerConfig takes
// any object, since one of the alternatives is just that: what it leaves open is closed here.
type component struct {
	compiler *jsonschema.Compiler
	props    *jsonschema.Schema
	// keys are the property names of each definition, and those of the root under "".
	keys map[string][]string
}

const schemaURL = "fc3-schema.json"

// definitions are the types of triggers and what describes their configuration.
var definitions = map[string]string{
	"eventbridge": "IEventBridge",
	"http":        "IHttpTriggerConfig",
	"mns_topic":   "IMnsTriggerConfig",
	"timer":       "ITimerTriggerConfig",
}

func loadComponent(t *testing.T) component {
	t.Helper()
	content := read(t, "deploy", "testdata", "fc3-schema.json")
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	c := component{compiler: jsonschema.NewCompiler(), keys: map[string][]string{}}
	if err := c.compiler.AddResource(schemaURL, doc); err != nil {
		t.Fatal(err)
	}
	if c.props, err = c.compiler.Compile(schemaURL); err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	var file struct {
		object
		Definitions map[string]object `json:"definitions"`
	}
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	c.keys[""] = slices.Collect(maps.Keys(file.Properties))
	for name, definition := range file.Definitions {
		c.keys[name] = slices.Collect(maps.Keys(definition.Properties))
	}
	return c
}

// check returns what is wrong with the props of a resource by the schema.
func (c component) check(props map[string]any) []string {
	out := violations("props", c.props.Validate(props))
	// customDomain is read by the component though its schema does not have it.
	out = append(out, unknown("props", props, append(c.keys[""], "customDomain"))...)
	for i, trigger := range list(props["triggers"]) {
		out = append(out, c.checkTrigger(fmt.Sprintf("props/triggers/%d", i), object(trigger))...)
	}
	return out
}

func (c component) checkTrigger(where string, trigger map[string]any) []string {
	out := unknown(where, trigger, c.keys["ITrigger"])
	definition, ok := definitions[fmt.Sprint(trigger["triggerType"])]
	if !ok {
		return append(out, fmt.Sprintf("%s: no rule for triggers of type %v", where, trigger["triggerType"]))
	}
	schema, err := c.compiler.Compile(schemaURL + "#/definitions/" + definition)
	if err != nil {
		return append(out, err.Error())
	}
	where += "/triggerConfig"
	config := object(trigger["triggerConfig"])
	out = append(out, violations(where, schema.Validate(config))...)
	return append(out, unknown(where, config, c.keys[definition])...)
}

// place is a line of a validation error: where in the value, and what is wrong.
var place = regexp.MustCompile(`(?m)^\s*- at '([^']*)': (.*)$`)

// violations flattens what a schema says into a line for each broken rule. It reads the error's text: the structured output of
// the library leaves out the message when there is one error only.
func violations(where string, err error) []string {
	if err == nil {
		return nil
	}
	var out []string
	for _, match := range place.FindAllStringSubmatch(err.Error(), -1) {
		out = append(out, where+match[1]+": "+match[2])
	}
	if out == nil {
		return []string{where + ": " + err.Error()}
	}
	return out
}

func unknown(where string, given map[string]any, allowed []string) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(allowed, key) {
			out = append(out, fmt.Sprintf("%s: unknown key %s", where, key))
		}
	}
	return out
}

// object returns the value as an object, an empty one if it is something else: then the schema has complained already.
func object(value any) map[string]any {
	out, _ := value.(map[string]any)
	return out
}

func list(value any) []any {
	out, _ := value.([]any)
	return out
}

// at follows keys into nested objects.
func at(value any, keys ...string) any {
	for _, key := range keys {
		value = object(value)[key]
	}
	return value
}

// number returns the value as a number, -1 if it is something else.
func number(value any) float64 {
	switch n := value.(type) {
	case float64:
		return n
	case uint64:
		return float64(n)
	case int64:
		return float64(n)
	}
	return -1
}
