package routine_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/routine"
)

// FuzzDecodeItem asserts that a text is either a request that is the same when it is written and read again, or is refused
// with problems that are few, short and in order; and that a key is all that an item can have beside a request.
func FuzzDecodeItem(f *testing.F) {
	f.Add([]byte(`{"name":"ab","siteId":"1","recordName":"A.example.com.","hasAssets":true,"description":"x","ifExists":"adopt","idempotencyKey":"k"}`))
	f.Add([]byte(` {"Name":"ab","SiteId":1,"RecordName":"Bücher.例え.jp","Description":null,"IdempotencyKey":"\ud800"} `))
	f.Add([]byte(`{"name":"a","name":"b","a~/b":[{}],"siteId":1e3}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		given := slices.Clone(text)
		req, key, err := routine.DecodeItem(text)
		if string(given) != string(text) {
			t.Fatalf("the text was changed to %q", text)
		}
		alone, aloneErr := routine.Decode(text)
		if err != nil {
			wantProblems(t, err)
			if aloneErr == nil {
				t.Fatalf("a request alone, but no item: %v", err)
			}
			return
		}
		wantRequest(t, marshal(t, req), req)
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		if hasKey := fields["idempotencyKey"] != nil || fields["IdempotencyKey"] != nil; hasKey != (aloneErr != nil) || !hasKey && key != "" {
			t.Fatalf("key %q, %v", key, aloneErr)
		}
		if aloneErr == nil {
			if diff := cmp.Diff(req, alone); diff != "" {
				t.Fatalf("-item +alone:\n%s", diff)
			}
		}
	})
}

// FuzzLimits asserts the same of limits.
func FuzzLimits(f *testing.F) {
	f.Add(shopLimits)
	f.Add(`{"names":["a",""],"recordSuffixes":["Bücher.例え.jp","*"],"sites":["",-1,9223372036854775808],"expiresAt":"0000-01-01T00:00:00+23:59"}`)
	f.Add(` {"sites":[1e3],"Names":[],"a~/b":null} `)
	f.Fuzz(func(t *testing.T, text string) {
		limits, err := routine.ParseLimits(text)
		if err != nil {
			wantProblems(t, err)
			return
		}
		written, err := json.Marshal(limits)
		if err != nil {
			t.Fatal(err)
		}
		again, err := routine.ParseLimits(string(written))
		if diff := cmp.Diff(limits, again); diff != "" || err != nil {
			t.Fatalf("%v, %s: -first +again:\n%s", err, written, diff)
		}
	})
}

// wantProblems holds a refusal to what callers are promised.
func wantProblems(t *testing.T, err error) {
	t.Helper()
	var invalid *routine.Invalid
	if !errors.As(err, &invalid) || len(invalid.Problems) == 0 || len(invalid.Problems) > 51 {
		t.Fatalf("got %v", err)
	}
	for _, p := range invalid.Problems {
		if p.Code == "" || p.Detail == "" || len(p.Pointer) > 1000 || len(p.Detail) > 2000 {
			t.Fatalf("a problem that says nothing, or too much: %+v", p)
		}
		if p.Pointer != "" && !strings.HasPrefix(p.Pointer, "/") {
			t.Fatalf("no JSON pointer: %q", p.Pointer)
		}
	}
}
