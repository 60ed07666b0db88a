package routine_test

import (
	"encoding/json"
	"strings"
	"testing"

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
	return routine.Request{
		Name:        rapid.StringMatching(`[a-z][a-z0-9-]{0,39}[a-z0-9]`).Draw(t, "name"),
		Description: text.Draw(t, "description"),
		HasAssets:   truth.Draw(t, "hasAssets"),
		SiteID:      rapid.Int64Min(1).Draw(t, "siteId"),
		RecordName:  strings.Join(labels, "."),
		IfExists:    rapid.SampledFrom([]routine.IfExists{"", routine.Fail}).Draw(t, "ifExists"),
	}
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
		for _, name := range []string{"description", "hasAssets", "ifExists"} {
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
		given.RecordName = strings.Map(func(c rune) rune {
			if rapid.Bool().Draw(t, "capital") {
				return []rune(strings.ToUpper(string(c)))[0]
			}
			return c
		}, given.RecordName) + rapid.SampledFrom([]string{"", "."}).Draw(t, "dot")
		wantRequest(t, marshal(t, given), want)
	}))
	t.Run("keeps a record name that it has normalized", rapid.MakeCheck(func(t *rapid.T) {
		letters := rapid.StringOfN(rapid.RuneFrom([]rune("aZ0-.。．İıßς\u00ad\u200dü例え٠אⅣ\u0301")), 1, 12, -1)
		name := letters.Draw(t, "name") + rapid.SampledFrom([]string{"", ".example.com", ".例え.jp", ".COM."}).Draw(t, "end")
		first, err := routine.Decode(marshal(t, routine.Request{Name: "ab", SiteID: 1, RecordName: name}))
		if err == nil {
			wantRequest(t, marshal(t, first), first)
		}
	}))
}
