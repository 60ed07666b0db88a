package routine_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"routinely/shared/routine"
)

// anyRequest draws a request that keeps the rules, as Decode gives it.
func anyRequest(t *rapid.T) routine.Request {
	label := rapid.StringMatching(`[a-z0-9]|[a-z0-9][a-z0-9-]{0,10}[a-z0-9]|[a-z]{63}`).
		Filter(func(s string) bool { return !strings.HasPrefix(s, "xn--") }) // holds Punycode
	text, truth := rapid.Ptr(rapid.String(), true), rapid.Ptr(rapid.Bool(), true)
	labels := append(rapid.SliceOfN(label, 1, 3).Draw(t, "labels"), rapid.StringMatching(`[a-z]{2,6}`).Draw(t, "top label"))
	req := routine.Request{
		Name:        rapid.StringMatching(`[a-z][a-z0-9-]{0,39}[a-z0-9]`).Draw(t, "name"),
		Description: text.Draw(t, "description"),
		HasAssets:   truth.Draw(t, "hasAssets"),
		IfExists:    rapid.SampledFrom([]routine.IfExists{"", routine.Fail, routine.Update}).Draw(t, "ifExists"),
		ExpiresIn:   routine.Span(rapid.Int64Range(0, int64(routine.MaxSpan/routine.Span(time.Second))).Draw(t, "expiresIn")) * routine.Span(time.Second),
		Protected:   truth.Draw(t, "protected"),
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "records") {
		req.Records = append(req.Records, routine.Record{
			SiteID: rapid.Int64Min(0).Draw(t, "siteId"), RecordName: strings.Repeat("x.", i) + strings.Join(labels, "."),
		})
	}
	if pairs := rapid.MapOfN(rapid.StringMatching(`[a-zA-Z0-9._/-]{1,40}`), rapid.StringMatching(`[ -~é]{1,40}`), 0, routine.MaxLabels).Draw(t, "pairs"); len(pairs) > 0 {
		req.Labels = pairs
	}
	return req
}

func same[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s; -want +got:\n%s", what, diff)
	}
}

func marshal(t rapid.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// wantRequest decodes a text, which must be that request.
func wantRequest(t rapid.TB, text []byte, want routine.Request) {
	t.Helper()
	got, err := routine.Decode(text)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%s: %v, -want +got:\n%s", text, err, diff)
	}
}

func TestRequestProperties(t *testing.T) {
	t.Run("is the same in either spelling, in any order, with nulls and with a key", rapid.MakeCheck(func(t *rapid.T) {
		want := anyRequest(t)
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(marshal(t, want), &fields); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"description", "hasAssets", "ifExists", "expiresIn", "protected", "labels"} {
			if fields[name] == nil && rapid.Bool().Draw(t, name+" is null") {
				fields[name] = json.RawMessage("null")
			}
		}
		var members []string
		for name, value := range fields {
			if rapid.Bool().Draw(t, name+" in ESA's spelling") {
				name = strings.ToUpper(name[:1]) + name[1:]
			}
			members = append(members, string(marshal(t, name))+" :\t"+string(value))
		}
		object := func() []byte {
			return []byte("{" + strings.Join(rapid.Permutation(members).Draw(t, "order"), " ,\n") + "}")
		}
		wantRequest(t, object(), want)
		wantKey := rapid.StringN(1, -1, -1).Draw(t, "key")
		members = append(members, `"idempotencyKey":`+string(marshal(t, wantKey)))
		item := object()
		got, key, err := routine.DecodeItem(item)
		if diff := cmp.Diff(want, got); err != nil || diff != "" || key != wantKey {
			t.Fatalf("key %q, want %q, %v, -want +got:\n%s", key, wantKey, err, diff)
		}
		if _, err := routine.Decode(item); err == nil {
			t.Fatal("a request alone was taken with a key")
		}
	}))
	t.Run("has the same record name in capitals and with a final dot", rapid.MakeCheck(func(t *rapid.T) {
		want := anyRequest(t)
		given := want
		given.Records = slices.Clone(want.Records)
		last := &given.Records[len(given.Records)-1]
		last.RecordName = strings.Map(func(c rune) rune {
			if rapid.Bool().Draw(t, "capital") {
				return []rune(strings.ToUpper(string(c)))[0]
			}
			return c
		}, last.RecordName) + rapid.SampledFrom([]string{"", "."}).Draw(t, "dot")
		wantRequest(t, marshal(t, given), want)
	}))
	t.Run("keeps a record name that it has normalized", rapid.MakeCheck(func(t *rapid.T) {
		letters := rapid.StringOfN(rapid.RuneFrom([]rune("aZ0-.。．İıßς\u00ad\u200dü例え٠אⅣ\u0301")), 1, 12, -1)
		name := letters.Draw(t, "name") + rapid.SampledFrom([]string{"", ".example.com", ".例え.jp", ".COM."}).Draw(t, "end")
		first, err := routine.Decode(marshal(t, routine.Request{Name: "ab", Records: []routine.Record{{SiteID: 1, RecordName: name}}}))
		if err == nil {
			wantRequest(t, marshal(t, first), first)
		}
	}))
}

// FuzzDecodeItem: a text is either a request, which is the same when it is written and read again, or it is refused with a few short problems.
// Text that is JSON is never called malformed, and an unknown field is a member of it. An item has no more than a request and a key.
func FuzzDecodeItem(f *testing.F) {
	f.Add([]byte(`{"name":"ab","siteId":"1","recordName":"A.example.com.","hasAssets":true,"description":"x","ifExists":"adopt","idempotencyKey":"k"}`))
	f.Add([]byte(` {"Name":"ab","SiteId":1,"RecordName":"Bücher.例え.jp","Description":null,"IdempotencyKey":"\ud800"} `))
	f.Add([]byte(`{"name":"a","name":"b","a~/b":[{}],"siteId":1e3}`))
	f.Add([]byte(` {"name" : "a\"}{\\", "x":[1,{"y":"]"}] ,"z":-1.5e3,"t":true, "n":null, "":{} } `))
	f.Add([]byte(`{"name":"ab","records":[{"recordName":"a.example.com","site":1},{"SiteId":"7","RecordName":"B.example.com"}],"expiresIn":"7d"}`))
	f.Add([]byte(`{"Name":"ab","Records":[{"recordName":"a.example.com"}],"Labels":{"a":"b"},"Protected":false,"IfExists":"update"}`))
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
		top, _, _ := strings.Cut(strings.TrimPrefix(p.Pointer, "/"), "/")
		name := strings.NewReplacer("~1", "/", "~0", "~").Replace(top)
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
