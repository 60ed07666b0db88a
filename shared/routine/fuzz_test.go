package routine_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/routine"
)

// FuzzDecodeItem: a text is either a request, which is the same when it is written and read again, or it is refused with a few short problems.
// Text that is JSON is never called malformed, and an unknown field is a member of it. An item has no more than a request and a key.
func FuzzDecodeItem(f *testing.F) {
	f.Add([]byte(`{"name":"ab","siteId":"1","recordName":"A.example.com.","hasAssets":true,"description":"x","ifExists":"adopt","idempotencyKey":"k"}`))
	f.Add([]byte(` {"Name":"ab","SiteId":1,"RecordName":"Bücher.例え.jp","Description":null,"IdempotencyKey":"\ud800"} `))
	f.Add([]byte(`{"name":"a","name":"b","a~/b":[{}],"siteId":1e3}`))
	f.Add([]byte(` {"name" : "a\"}{\\", "x":[1,{"y":"]"}] ,"z":-1.5e3,"t":true, "n":null, "":{} } `))
	f.Add([]byte(`{}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		given := slices.Clone(text)
		req, key, err := routine.DecodeItem(text)
		if string(given) != string(text) {
			t.Fatalf("the text was changed to %q", text)
		}
		alone, aloneErr := routine.Decode(text)
		if err != nil {
			wantProblems(t, err)
			wantMembers(t, text, err)
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

// wantMembers holds a refusal of an object to what encoding/json reads in it.
func wantMembers(t *testing.T, text []byte, err error) {
	t.Helper()
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || members == nil {
		return
	}
	var invalid *routine.Invalid
	_ = errors.As(err, &invalid)
	for _, p := range invalid.Problems {
		name := strings.NewReplacer("~1", "/", "~0", "~").Replace(strings.TrimPrefix(p.Pointer, "/"))
		if _, there := members[name]; p.Code == "unknown-field" && !invalid.Malformed && !there && !strings.HasSuffix(name, "…") {
			t.Fatalf("%q is no member of %s", name, text)
		}
		if p.Code == "syntax" && utf8.Valid(text) {
			t.Fatalf("valid JSON is malformed: %v", err)
		}
	}
}

// FuzzLimits: limits are the same when they are written and read again, or they are refused with a few short problems.
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
