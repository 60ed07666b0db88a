package routine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"routinely/shared/routine"
)

func ptr[T any](v T) *T { return &v }

func TestDecode(t *testing.T) {
	full := routine.Request{
		Name: "pr-123", Description: ptr("preview"), HasAssets: ptr(false), IfExists: routine.Fail,
		Records: []routine.Record{{SiteID: 54362329990032, RecordName: "pr-123.example.com"}},
	}
	const least = `"name":"ab","siteId":1,"recordName":"a.example.com"`
	// of is the least request, altered.
	of := func(change func(*routine.Request)) routine.Request {
		r := routine.Request{Name: "ab", Records: []routine.Record{{SiteID: 1, RecordName: "a.example.com"}}}
		change(&r)
		return r
	}
	same := of(func(*routine.Request) {})
	described := func(text string) routine.Request {
		return of(func(r *routine.Request) { r.Description = &text })
	}
	recorded := func(name string) routine.Request {
		return of(func(r *routine.Request) { r.Records[0].RecordName = name })
	}
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
			`{"name":"ab","siteId":"9223372036854775807","recordName":"a.example.com"}`, of(func(r *routine.Request) { r.Records[0].SiteID = 9223372036854775807 }),
		},
		"takes null for not given":              {`{` + least + `,"description":null,"hasAssets":null,"ifExists":null}`, same},
		"takes the default for not given":       {`{` + least + `,"ifExists":"adopt"}`, same},
		"takes a byte-order mark":               {"\ufeff{" + least + `}`, same},
		"takes white space around it":           {" \n{" + least + "}\n ", same},
		"lower-cases the record name":           {`{"name":"ab","siteId":1,"recordName":"A.Example.COM"}`, same},
		"drops one trailing dot":                {`{"name":"ab","siteId":1,"recordName":"a.example.com."}`, same},
		"turns IDN into ASCII":                  {`{"name":"ab","siteId":1,"recordName":"Bücher.例え.jp"}`, recorded("xn--bcher-kva.xn--r8jz45g.jp")},
		"takes a site's own name":               {`{"name":"ab","siteId":1,"recordName":"example.com"}`, recorded("example.com")},
		"takes a name of 41 characters":         {`{"name":"` + strings.Repeat("a", 41) + `","siteId":1,"recordName":"a.example.com"}`, of(func(r *routine.Request) { r.Name = strings.Repeat("a", 41) })},
		"keeps an empty description":            {`{` + least + `,"description":""}`, described("")},
		"takes a long description":              {`{` + least + `,"description":"` + strings.Repeat("é", 500) + `"}`, described(strings.Repeat("é", 500))},
		"keeps the characters of a description": {`{` + least + `,"description":"a\u0000b\n"}`, described("a\x00b\n")},
	} {
		t.Run(name, func(t *testing.T) { wantRequest(t, []byte(test.text), test.want) })
	}
}

// refused checks the pointer and code of every problem of a text, and whether it is malformed.
func refused(t *testing.T, text string, malformed bool, want ...string) {
	t.Helper()
	_, err := routine.Decode([]byte(text))
	wantProblems(t, err)
	var invalid *routine.Invalid
	_ = errors.As(err, &invalid)
	var problems []string
	for _, p := range invalid.Problems {
		problems = append(problems, p.Pointer+" "+p.Code)
	}
	same(t, "problems", problems, want)
	same(t, "malformed", invalid.Malformed, malformed)
}

func TestDecodeRefusesText(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "not JSON": "name=ab", "an array": `[{"name":"ab"}]`, "a string": `"ab"`, "null": "null",
		"cut off": `{"name":"ab"`, "cut off in a value": `{"name":"a`, "something after it": `{"name":"ab"} {}`,
		"garbage after it": `{"name":"ab"}x`, "not UTF-8": "{\"name\":\"\xff\"}", "a comma too many": `{"name":"ab",}`,
		"two byte-order marks": "\ufeff\ufeff{}",
	} {
		t.Run(name, func(t *testing.T) { refused(t, text, true, " syntax") })
	}
	t.Run("fields given twice", func(t *testing.T) {
		refused(t, `{"name":"ab","Name":"ab","siteId":1,"x/y":1,"x/y":2}`, true, "/Name duplicate", "/x~1y duplicate")
	})
}

func TestDecodeRefusesValues(t *testing.T) {
	t.Run("reports all problems at once, in the caller's spelling", func(t *testing.T) {
		refused(t, `{"Name":"A_","siteId":"x","recordName":"localhost","hasAssets":"yes","description":1,"ifExists":"maybe","a~/b":1}`, false,
			"/Name value", "/a~0~1b unknown-field", "/description type", "/hasAssets type", "/ifExists value", "/recordName value", "/siteId value")
	})
	t.Run("reports what is missing", func(t *testing.T) {
		refused(t, `{"name":null}`, false, "/name missing", "/recordName missing")
	})
	for problem, values := range map[string][]string{
		"/name value":   {`"a"`, `"-a"`, `"a-"`, `"1a"`, `"Ab"`, `"a_b"`, `"a:b"`, `"a.b"`, `""`, `"` + strings.Repeat("a", 42) + `"`, `"bü"`},
		"/siteId value": {`0`, `-1`, `1.5`, `1e3`, `9223372036854775808`, `"1 "`, `"+1"`, `""`},
		"/siteId type":  {`true`, `{}`, `[1]`},
		"/recordName value": {
			`"com"`, `"*.example.com"`, `"_a.example.com"`, `"a..example.com"`, `".example.com"`, `"a.example.com.."`, `"a b.example.com"`,
			`"-a.example.com"`, `"a-.example.com"`, `"a.example.c"`, `"a.example.123"`, `"192.0.2.1"`, `"https://a.example.com"`, `"a.example.com:80"`,
			`"` + strings.Repeat("a", 64) + `.example.com"`, `"` + strings.Repeat("a.", 126) + `example.com"`, `""`,
		},
	} {
		for _, value := range values {
			t.Run(problem+": "+value, func(t *testing.T) {
				members := map[string]json.RawMessage{"name": []byte(`"ab"`), "siteId": []byte(`1`), "recordName": []byte(`"a.example.com"`)}
				name, _, _ := strings.Cut(problem[1:], " ")
				members[name] = []byte(value)
				refused(t, string(marshal(t, members)), false, problem)
			})
		}
	}
	t.Run("lists 50 problems at most, and reads 100 members at most", func(t *testing.T) {
		var members strings.Builder
		want := []string{"/recordName missing"}
		for i := range 99 {
			name := fmt.Sprintf("%s%04d", strings.Repeat("x", 100), i)
			fmt.Fprintf(&members, `"%s":1,`, name)
			if i < 49 {
				want = append(want, routine.Pointer(name)+" unknown-field")
			}
		}
		refused(t, `{`+members.String()+`"name":"ab"}`, false, append(want, " more")...)
		refused(t, `{`+members.String()+`"name":"ab","siteId":1}`, true, " more")
	})
	t.Run("clips what it quotes", func(t *testing.T) {
		_, err := routine.Decode([]byte(`{"name":"` + strings.Repeat("X", 5000) + `","siteId":1,"recordName":"a.example.com"}`))
		if len(err.Error()) > 400 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	})
	for text, want := range map[string]string{
		`"callbackUrl":"https://h.example.com/a?***"`: "/callbackUrl value", // masked, as an answer shows it
		`"idempotencyKey":""`:                         "/idempotencyKey value",
	} {
		t.Run("refuses "+text, func(t *testing.T) {
			_, _, err := routine.DecodeItem([]byte(`{"name":"ab","siteId":1,"recordName":"a.example.com",` + text + `}`))
			var invalid *routine.Invalid
			if !errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].Pointer+" "+invalid.Problems[0].Code != want {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNormalizeRecordName(t *testing.T) {
	for _, name := range []string{"a--b.example.com", "ab--cd.example.com", "r3---sn-apo3qvuoxuxbt.example.com", "0--1.a-b.example.com", "xn--bcher-kva.example.com"} {
		t.Run("takes the plain host name "+name, func(t *testing.T) {
			if got, detail := routine.NormalizeRecordName(strings.ToUpper(name) + "."); got != name || detail != "" {
				t.Errorf("got %q, %s", got, detail)
			}
		})
	}
	for name, want := range map[string]string{
		"*.example.com": "no wildcards", "_dmarc.example.com": "underscore", "https://a.example.com": "give the name alone",
		"a.example.com:80": "give the name alone", "a.example.com/?token=hush": "is not a host name: give the name alone",
		"xn--a.example.com": "letters, digits and hyphens", "a b.example.com": "letters, digits and hyphens",
	} {
		t.Run("says in plain words what is wrong with "+name, func(t *testing.T) {
			if _, detail := routine.NormalizeRecordName(name); !strings.Contains(detail, want) || strings.Contains(detail, "idna") {
				t.Errorf("got %q", detail)
			}
		})
	}
}
