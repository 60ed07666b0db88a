package routine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/routine"
)

func ptr[T any](v T) *T { return &v }

func TestDecode(t *testing.T) {
	full := routine.Request{
		Name: "pr-123", Description: ptr("preview"), HasAssets: ptr(false), SiteID: 54362329990032,
		RecordName: "pr-123.example.com", IfExists: routine.Fail,
	}
	least := routine.Request{Name: "ab", SiteID: 1, RecordName: "a.example.com"}
	for name, test := range map[string]struct {
		text string
		want routine.Request
	}{
		"reads camelCase": {
			`{"name":"pr-123","description":"preview","hasAssets":false,"siteId":54362329990032,"recordName":"pr-123.example.com","ifExists":"fail"}`, full,
		},
		"reads ESA's spelling": {
			`{"Name":"pr-123","Description":"preview","HasAssets":false,"SiteId":54362329990032,"RecordName":"pr-123.example.com","IfExists":"fail"}`, full,
		},
		"reads 64-bit ids as strings": {
			`{"name":"ab","siteId":"9223372036854775807","recordName":"a.example.com"}`,
			routine.Request{Name: "ab", SiteID: 9223372036854775807, RecordName: "a.example.com"},
		},
		"takes null for not given":        {`{"name":"ab","siteId":1,"recordName":"a.example.com","description":null,"hasAssets":null,"ifExists":null}`, least},
		"tells an empty description":      {`{"name":"ab","siteId":1,"recordName":"a.example.com","description":""}`, routine.Request{Name: "ab", Description: ptr(""), SiteID: 1, RecordName: "a.example.com"}},
		"lower-cases the record name":     {`{"name":"ab","siteId":1,"recordName":"A.Example.COM"}`, least},
		"drops one trailing dot":          {`{"name":"ab","siteId":1,"recordName":"a.example.com."}`, least},
		"turns IDN into ASCII":            {`{"name":"ab","siteId":1,"recordName":"Bücher.例え.jp"}`, routine.Request{Name: "ab", SiteID: 1, RecordName: "xn--bcher-kva.xn--r8jz45g.jp"}},
		"takes a site's apex":             {`{"name":"ab","siteId":1,"recordName":"example.com"}`, routine.Request{Name: "ab", SiteID: 1, RecordName: "example.com"}},
		"takes a byte-order mark":         {"\ufeff" + `{"name":"ab","siteId":1,"recordName":"a.example.com"}`, least},
		"takes the default for not given": {`{"name":"ab","siteId":1,"recordName":"a.example.com","ifExists":"adopt"}`, least},
		"takes white space around it":     {" \n{\"name\":\"ab\",\"siteId\":1,\"recordName\":\"a.example.com\"}\n ", least},
		"takes a name of 41 characters":   {`{"name":"` + strings.Repeat("a", 41) + `","siteId":1,"recordName":"a.example.com"}`, routine.Request{Name: strings.Repeat("a", 41), SiteID: 1, RecordName: "a.example.com"}},
		"takes a long free description":   {`{"name":"ab","siteId":1,"recordName":"a.example.com","description":"` + strings.Repeat("é", 500) + `"}`, routine.Request{Name: "ab", Description: ptr(strings.Repeat("é", 500)), SiteID: 1, RecordName: "a.example.com"}},
		"keeps escapes of a description":  {`{"name":"ab","siteId":1,"recordName":"a.example.com","description":"a\u0000b\n"}`, routine.Request{Name: "ab", Description: ptr("a\x00b\n"), SiteID: 1, RecordName: "a.example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := routine.Decode([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// problemsOf returns pointer and code of every problem, and whether the text was malformed.
func problemsOf(t *testing.T, text string) (problems []string, malformed bool) {
	t.Helper()
	_, err := routine.Decode([]byte(text))
	var invalid *routine.Invalid
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v, want problems", err)
	}
	for _, p := range invalid.Problems {
		if p.Detail == "" {
			t.Errorf("problem %s %s has no detail", p.Pointer, p.Code)
		}
		problems = append(problems, p.Pointer+" "+p.Code)
	}
	return problems, invalid.Malformed
}

func TestDecodeRefusesText(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "not JSON": "name=ab", "an array": `[{"name":"ab"}]`, "a string": `"ab"`, "null": "null",
		"cut off": `{"name":"ab"`, "cut off in a value": `{"name":"a`, "something behind": `{"name":"ab"} {}`,
		"garbage behind": `{"name":"ab"}x`, "not UTF-8": "{\"name\":\"\xff\"}", "a comma too many": `{"name":"ab",}`,
		"two byte-order marks": "\ufeff\ufeff{}",
	} {
		t.Run(name, func(t *testing.T) {
			problems, malformed := problemsOf(t, text)
			if diff := cmp.Diff([]string{" syntax"}, problems); diff != "" || !malformed {
				t.Errorf("malformed %t, problems -want +got:\n%s", malformed, diff)
			}
		})
	}
	t.Run("fields given twice", func(t *testing.T) {
		problems, malformed := problemsOf(t, `{"name":"ab","Name":"ab","siteId":1,"x/y":1,"x/y":2}`)
		if diff := cmp.Diff([]string{"/Name duplicate", "/x~1y duplicate"}, problems); diff != "" || !malformed {
			t.Errorf("malformed %t, problems -want +got:\n%s", malformed, diff)
		}
	})
}

func TestDecodeRefusesValues(t *testing.T) {
	t.Run("reports all problems at once, in the caller's spelling", func(t *testing.T) {
		problems, malformed := problemsOf(t, `{"Name":"A_","siteId":"x","recordName":"localhost","hasAssets":"yes","description":1,"ifExists":"maybe","a~/b":1}`)
		want := []string{"/Name value", "/a~0~1b unknown-field", "/description type", "/hasAssets type", "/ifExists value", "/recordName value", "/siteId value"}
		if diff := cmp.Diff(want, problems); diff != "" || malformed {
			t.Errorf("malformed %t, problems -want +got:\n%s", malformed, diff)
		}
	})
	t.Run("misses what is required", func(t *testing.T) {
		problems, _ := problemsOf(t, `{"name":null}`)
		if diff := cmp.Diff([]string{"/name missing", "/recordName missing", "/siteId missing"}, problems); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	for _, value := range []string{`"a"`, `"-a"`, `"a-"`, `"1a"`, `"Ab"`, `"a_b"`, `"a:b"`, `"a.b"`, `""`, `"` + strings.Repeat("a", 42) + `"`, `"bü"`} {
		t.Run("name "+value, func(t *testing.T) {
			problems, _ := problemsOf(t, `{"name":`+value+`,"siteId":1,"recordName":"a.example.com"}`)
			if diff := cmp.Diff([]string{"/name value"}, problems); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	for value, code := range map[string]string{
		`0`: "value", `-1`: "value", `1.5`: "value", `1e3`: "value", `9223372036854775808`: "value", `"1 "`: "value", `"+1"`: "value",
		`""`: "value", `true`: "type", `{}`: "type", `[1]`: "type",
	} {
		t.Run("siteId "+value, func(t *testing.T) {
			problems, _ := problemsOf(t, `{"name":"ab","siteId":`+value+`,"recordName":"a.example.com"}`)
			if diff := cmp.Diff([]string{"/siteId " + code}, problems); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	for _, value := range []string{
		"com", "*.example.com", "_a.example.com", "a..example.com", ".example.com", "a.example.com..", "a b.example.com",
		"-a.example.com", "a-.example.com", "a.example.c", "a.example.123", "192.0.2.1", "https://a.example.com", "a.example.com:80",
		strings.Repeat("a", 64) + ".example.com", strings.Repeat("a.", 126) + "example.com", "",
	} {
		t.Run("recordName "+value, func(t *testing.T) {
			problems, _ := problemsOf(t, `{"name":"ab","siteId":1,"recordName":"`+value+`"}`)
			if diff := cmp.Diff([]string{"/recordName value"}, problems); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	for _, value := range []string{"a--b.example.com", "ab--cd.example.com", "r3---sn-apo3qvuoxuxbt.example.com", "0--1.a-b.example.com", "xn--bcher-kva.example.com"} {
		t.Run("but takes the plain host name "+value, func(t *testing.T) {
			if got, detail := routine.NormalizeRecordName(strings.ToUpper(value) + "."); got != value || detail != "" {
				t.Errorf("got %q, %s", got, detail)
			}
		})
	}
	for value, want := range map[string]string{
		"*.example.com": "no wildcards", "_dmarc.example.com": "underscore", "https://a.example.com": "give the name alone", "a.example.com:80": "give the name alone", "a.example.com/?token=hush": "is not a host name: give the name alone",
		"xn--a.example.com": "letters, digits and hyphens", "a b.example.com": "letters, digits and hyphens",
	} {
		t.Run("and says in plain words what is wrong with "+value, func(t *testing.T) {
			_, detail := routine.NormalizeRecordName(value)
			if !strings.Contains(detail, want) || strings.Contains(detail, "idna") {
				t.Errorf("got %q", detail)
			}
		})
	}
	for text, want := range map[string]string{
		`{"name":"ab","siteId":1,"recordName":"a.example.com","callbackUrl":"https://h.example.com/a?***"}`: "/callbackUrl value",
		`{"name":"ab","siteId":1,"recordName":"a.example.com","idempotencyKey":""}`:                         "/idempotencyKey value",
	} {
		t.Run("refuses what only looks like a value: "+want, func(t *testing.T) {
			_, _, err := routine.DecodeItem([]byte(text))
			var invalid *routine.Invalid
			if !errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].Pointer+" "+invalid.Problems[0].Code != want {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("does not list endless problems, and does not look at endless members", func(t *testing.T) {
		var text strings.Builder
		for i := range 99 {
			fmt.Fprintf(&text, `"%s%04d":1,`, strings.Repeat("x", 100), i)
		}
		problems, malformed := problemsOf(t, `{`+text.String()+`"name":"ab"}`)
		if len(problems) != 51 || problems[50] != " more" || malformed {
			t.Errorf("%d problems, the last is %q", len(problems), problems[len(problems)-1])
		}
		problems, malformed = problemsOf(t, `{`+text.String()+`"name":"ab","siteId":1}`)
		if diff := cmp.Diff([]string{" more"}, problems); diff != "" || !malformed {
			t.Errorf("of 101 members: malformed %t, problems -want +got:\n%s", malformed, diff)
		}
	})
	t.Run("clips what it quotes", func(t *testing.T) {
		_, err := routine.Decode([]byte(`{"name":"` + strings.Repeat("X", 5000) + `","siteId":1,"recordName":"a.example.com"}`))
		if len(err.Error()) > 400 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"name":"ab","siteId":"1","recordName":"A.example.com.","hasAssets":true,"description":"x","ifExists":"adopt"}`))
	f.Add([]byte(`{"Name":1,"name":2}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		req, err := routine.Decode(text)
		if err != nil {
			var invalid *routine.Invalid
			if !errors.As(err, &invalid) || len(invalid.Problems) == 0 {
				t.Fatalf("an error without problems: %v", err)
			}
			return
		}
		if req.SiteID <= 0 || req.Name == "" || req.RecordName != strings.ToLower(req.RecordName) {
			t.Fatalf("accepted %+v", req)
		}
	})
}

func FuzzDecodeSeesWhatJSONSees(f *testing.F) {
	f.Add([]byte(` {"name" : "a\"}{\\", "x":[1,{"y":"]"}] ,"z":-1.5e3,"t":true, "n":null, "":{} } `))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var want map[string]json.RawMessage
		if json.Unmarshal(text, &want) != nil || want == nil {
			return
		}
		_, err := routine.Decode(text)
		var invalid *routine.Invalid
		if errors.As(err, &invalid) && invalid.Malformed && invalid.Problems[0].Code == "syntax" && utf8.Valid(text) {
			t.Fatalf("valid JSON is malformed: %v", err)
		}
		if errors.As(err, &invalid) && !invalid.Malformed {
			for _, p := range invalid.Problems {
				name := strings.NewReplacer("~1", "/", "~0", "~").Replace(strings.TrimPrefix(p.Pointer, "/"))
				if _, there := want[name]; p.Code == "unknown-field" && !there && !strings.HasSuffix(name, "…") {
					t.Fatalf("%q is no member of %s", name, text)
				}
			}
		}
	})
}
