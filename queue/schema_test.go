package queue_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"routinely/deploy/sim"
)

// schemaOf is one that accept serves.
func schemaOf(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile("../functions/accept/schemas/" + name + ".json")
	must(t, err)
	return schema
}

// allows reports whether the schema allows a message.
func allows(schema *jsonschema.Schema, message string) bool {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(message))
	return err == nil && schema.Validate(value) == nil
}

// taken reports whether the worker takes a message for a request.
func taken(t rapid.TB, message string) bool {
	t.Helper()
	return sim.Keys(t, sim.Key).Decode([]byte(event("M1", sim.Quote(message))), now)[0].Err == nil
}

// requestMembers are values, good and bad, of each member of a request; none is one about which schema and decoder differ.
var requestMembers = map[string][]any{
	"name":        {"pr-1", "p", "Pr-1", "pr-", "1pr", strings.Repeat("a", 41), strings.Repeat("a", 42), 7, ""},
	"recordName":  {"pr-1.example.com", "PR-1.Example.com.", "bücher.example", "例。com", "*.example.com", "a_b.example.com", "https://example.com", "localhost", "", 7},
	"siteId":      {7, "7", json.Number("54362329990032"), "007", 0, -1, "", "x", "-7", true},
	"description": {"", "free text", 7, []any{}},
	"hasAssets":   {true, false, "true", 1},
	"ifExists":    {"adopt", "fail", "update", "Fail", "", true},
	"expiresIn":   {"72h", "7d", "1h30m", "90", "h", "-1h", "1.5h", 72, ""},
	"labels": {
		map[string]any{"team": "web"},
		map[string]any{},
		map[string]any{"a b": "c"},
		map[string]any{"team": ""},
		map[string]any{"team": "\n"},
		map[string]any{"team": 1},
		map[string]any{"": "x"},
		labels(8), labels(9), "team=web",
		[]any{},
	},
	"callbackUrl": {"https://hooks.example.com/r?x=1", "", "https://a b", "https://a/?***", strings.Repeat("u", 2048), strings.Repeat("u", 2049), 1},
	"records": {
		[]any{map[string]any{"recordName": "a.example.com"}, map[string]any{"recordName": "b.example.com", "siteId": "7"}},
		[]any{},
		[]any{map[string]any{"siteId": 7}},
		[]any{map[string]any{"recordName": "a.example.com", "more": 1}},
		[]any{"a.example.com"},
		"a.example.com", records(20), records(21),
	},
	"protected": {true, false},
	"nome":      {"pr-1"},
}

func labels(n int) map[string]any {
	out := map[string]any{}
	for i := range n {
		out["k"+strings.Repeat("x", i)] = "v"
	}
	return out
}

func records(n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = map[string]any{"recordName": "h" + strings.Repeat("x", i) + ".example.com"}
	}
	return out
}

// eventMembers are values of each member of a CloudEvent beside its data.
var eventMembers = map[string][]any{
	"specversion":     {"1.0", "0.2", ""},
	"id":              {"42", "", 1},
	"source":          {"/ci", "", 1},
	"type":            {"request", "com.example.request", "", "routinely.job.v2", "routinely.other"},
	"time":            {"2026-01-15T06:28:17Z", "soon"},
	"datacontenttype": {"application/json", "application/vnd.ci+json; charset=utf-8"},
	"traceparent":     {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x"},
	"subject":         {"pr-1"},
	"extension":       {"x", true, 1},
}

// TestMessageSchema asks the schema and the decoder about each value of each member, and about messages in which several are wrong.
func TestMessageSchema(t *testing.T) {
	schema := schemaOf(t, "message")
	agree := func(t rapid.TB, message any) (good bool) {
		t.Helper()
		body := text(t, message)
		got, want := allows(schema, body), taken(t, body)
		if got != want {
			t.Fatalf("schema %t, decoder %t: %s", got, want, body)
		}
		return want
	}
	inEvent := func(data any) map[string]any {
		return map[string]any{"specversion": "1.0", "id": "1", "source": "/ci", "type": "x", "data": data}
	}
	t.Run("of each value of a request", func(t *testing.T) {
		for name, values := range requestMembers {
			good := 0
			for _, value := range append(values, nothing{}) {
				request := map[string]any{"name": "pr-1", "recordName": "a.example.com"}
				if name == "records" {
					delete(request, "recordName")
				}
				set(request, name, value)
				if agree(t, request) {
					good++
				}
				agree(t, inEvent(request))
			}
			if good == 0 && name != "protected" && name != "nome" {
				t.Errorf("no value of %s is taken", name)
			}
		}
	})
	t.Run("of each value of a CloudEvent", func(t *testing.T) {
		for name, values := range eventMembers {
			for _, value := range append(values, nothing{}) {
				event := inEvent(map[string]any{"name": "pr-1", "recordName": "a.example.com"})
				set(event, name, value)
				agree(t, event)
			}
		}
	})
	t.Run("of several", rapid.MakeCheck(func(t *rapid.T) {
		draw := func(message map[string]any, from map[string][]any) {
			for range rapid.IntRange(0, 3).Draw(t, "members") {
				name := rapid.SampledFrom(slices.Sorted(maps.Keys(from))).Draw(t, "member")
				set(message, name, rapid.SampledFrom(append(from[name], nothing{})).Draw(t, name))
			}
		}
		message := map[string]any{"name": "pr-1", "recordName": "a.example.com"}
		draw(message, requestMembers)
		if rapid.Bool().Draw(t, "in a CloudEvent") {
			message = inEvent(message)
			draw(message, eventMembers)
		}
		agree(t, message)
	}))
}

// nothing is the value of a member that is not there.
type nothing struct{}

func set(message map[string]any, name string, value any) {
	if message[name] = value; value == (nothing{}) {
		delete(message, name)
	}
}

func text(t rapid.TB, value any) string {
	t.Helper()
	out, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// messagesPage is the page about what is on the queues.
const messagesPage = "../docs/reference/messages.md"

// TestMessagesPage holds what the page says to the schema and the decoder: its examples, and where these two differ.
func TestMessagesPage(t *testing.T) {
	content, err := os.ReadFile(messagesPage)
	must(t, err)
	page := string(content)
	schema := schemaOf(t, "message")
	t.Run("has good examples", func(t *testing.T) {
		examples := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(page, -1)
		for _, example := range examples {
			if !allows(schema, example[1]) || !taken(t, example[1]) {
				t.Errorf("schema %t, decoder %t: %s", allows(schema, example[1]), taken(t, example[1]), example[1])
			}
		}
		if len(examples) < 3 {
			t.Errorf("%d examples", len(examples))
		}
	})
	_, table, _ := strings.Cut(page, "<!-- differences -->")
	table, _, _ = strings.Cut(table, "<!-- /differences -->")
	rows := regexp.MustCompile("(?m)^\\| ([^|]+) \\| `([^|]+)` \\| (taken|refused) \\|$").FindAllStringSubmatch(table, -1)
	for _, row := range rows {
		t.Run("names a difference: "+row[1], func(t *testing.T) {
			message := strings.ReplaceAll(row[2], "…80", strings.Repeat("é", 80))
			if got := taken(t, message); got != (row[3] == "taken") || allows(schema, message) == got {
				t.Errorf("schema %t, decoder %t: %s", allows(schema, message), got, message)
			}
		})
	}
	if lines := strings.Count(table, "\n| "); len(rows) != lines-1 || len(rows) < 10 { // all but the heading
		t.Errorf("%d of %d rows can be read", len(rows), lines)
	}
}

// TestRecordedMessages holds to the schemas what earlier releases left on their queues.
func TestRecordedMessages(t *testing.T) {
	files, err := filepath.Glob("../deploy/sim/seeds/testdata/releases/*/*.json")
	must(t, err)
	message, envelope := schemaOf(t, "message"), schemaOf(t, "envelope")
	seen := map[string]int{}
	for _, file := range files {
		var left struct{ Messages map[string][]string }
		content, err := os.ReadFile(file)
		must(t, err)
		must(t, json.Unmarshal(content, &left))
		for name, bodies := range left.Messages {
			for _, body := range bodies {
				switch {
				case allows(envelope, body):
					seen["envelopes"]++
				case allows(message, body):
					seen["messages"]++
				default:
					t.Errorf("%s, %s: %s", filepath.Base(file), name, body)
				}
			}
		}
	}
	if seen["envelopes"] < 10 {
		t.Errorf("seen %v", seen)
	}
}
