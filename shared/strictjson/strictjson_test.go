package strictjson_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/strictjson"
)

func TestCheckSaysInPlainWordsWhereATextIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"": "not JSON: there is nothing in it", " ": "not JSON: there is nothing in it", `{"name":"ab"`: "not JSON: the text ends too early",
		`{"name":"a`: "not JSON: the text ends too early", `{"a":1,}`: `not JSON: "}" cannot stand at byte 8`, `[1}`: `not JSON: "}" cannot stand at byte 3`,
		`{} {}`: "not JSON: there is something behind the value, which ends at byte 2", "  ü": `not JSON: "ü" cannot stand at byte 3`,
		`{"a":tru}`: `not JSON: "}" cannot stand at byte 9`, "\xff": "the text is not UTF-8", `[1,2]`: "",
	} {
		if got := strictjson.Check([]byte(text)); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestRead(t *testing.T) {
	key := func(name string) (string, bool) {
		if name == "A" {
			name = "a"
		}
		return name, name == "a" || name == "b"
	}
	got := strictjson.Read([]byte(`{ "A" : [1, {"a": "}"}] , "x":1,"a":2,"b":"\\\"","x":3,"c":{}}`), key)
	want := strictjson.Object{
		Members: map[string]strictjson.Member{"a": {"A", []byte(`[1, {"a": "}"}]`)}, "b": {"b", []byte(`"\\\""`)}},
		Unknown: []string{"x", "c"}, Repeated: []string{"a", "x"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
