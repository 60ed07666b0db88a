package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// outcomes keeps what the functions print.
type outcomes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write takes whole lines.
func (o *outcomes) Write(lines []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(lines)
}

// take returns the lines of JSON with an event that were printed since the last call.
func (o *outcomes) take(t *testing.T) []map[string]any {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []map[string]any
	for text := range strings.Lines(o.text.String()) {
		if !strings.HasPrefix(text, "{") { // the platform's SDK prints, too
			continue
		}
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Errorf("%v: %s", err, text)
		}
		if line["event"] != nil {
			out = append(out, line)
		}
	}
	o.text.Reset()
	return out
}

// said runs the functions while something is done, and returns their outcome lines. They have ended then, so that no line is missing.
func (d *deployment) said(do func()) []map[string]any {
	d.t.Helper()
	d.stop()
	d.log.take(d.t)
	d.start()
	do()
	d.stop()
	return d.log.take(d.t)
}

// outcomeSchema is that of the outcome lines.
func outcomeSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(read(t, "deploy", "observability", "schema.json")))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// chapters of ram_run_test.go are all that the programs do, so that every kind of line is among theirs.
func TestOutcomeLines(t *testing.T) {
	d := deploy(t)
	lines := d.said(func() {
		for _, each := range recordings[:len(recordings)-1] {
			each.chapter(d)
		}
	})
	schema := outcomeSchema(t)
	seen := map[string]bool{}
	for _, line := range lines {
		seen[fmt.Sprint(line["event"])] = true
		if err := schema.Validate(line); err != nil {
			t.Errorf("%v: %v", line, err)
		}
	}
	// The others come with faults, see planted.
	for _, event := range []string{"job.accepted", "job.ended", "delivery.ended", "callback.ended", "invocation.ended", "account.seen"} {
		if !seen[event] {
			t.Errorf("no line %s", event)
		}
	}
	line := map[string]any{}
	for name, value := range lines[0] {
		line[name] = value
	}
	for name, broken := range map[string]any{"another": 1, "event": "another.event", "function": nil} {
		was := line[name]
		if line[name] = broken; broken == nil {
			delete(line, name)
		}
		if schema.Validate(line) == nil {
			t.Errorf("the schema takes %v", line)
		}
		if line[name] = was; was == nil {
			delete(line, name)
		}
	}
}

// outcomeProperty is what the schema says of a field.
type outcomeProperty struct {
	Type any
	Enum []any
}

// kind is the type of a field, in words of JSON Schema.
func (p outcomeProperty) kind() string {
	if _, number := append(p.Enum, "")[0].(float64); number {
		return "integer"
	}
	if several, ok := p.Type.([]any); ok {
		return fmt.Sprint(several[0])
	}
	if p.Type == nil {
		return "string"
	}
	return fmt.Sprint(p.Type)
}

// outcomeRule is what the schema says of the lines of an event.
type outcomeRule struct {
	Then struct {
		Title         string
		Required      []string
		PropertyNames struct{ Enum []string }
	}
}

// optional are the fields that lines of an event can have, beside those that all lines have.
func (r outcomeRule) optional(common []string) []string {
	return slices.DeleteFunc(slices.Clone(r.Then.PropertyNames.Enum), func(name string) bool {
		return name == "requestId" || slices.Contains(common, name) || slices.Contains(r.Then.Required, name)
	})
}

// outcomeRules are the schema, as far as pages and the index repeat it.
type outcomeRules struct {
	Required   []string
	Properties map[string]outcomeProperty
	AllOf      []outcomeRule
}

func outcomeDocument(t *testing.T) (out outcomeRules) {
	t.Helper()
	if err := json.Unmarshal(read(t, "deploy", "observability", "schema.json"), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// outcomeFields are the fields of the schema, with true for numbers.
func outcomeFields(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for name, property := range outcomeDocument(t).Properties {
		out[name] = property.kind() == "integer" || property.kind() == "number"
	}
	return out
}
