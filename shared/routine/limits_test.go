package routine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/routine"
)

// shopLimits are the limits of a caller.
const shopLimits = `{"names":["shop-","kiosk"],"recordSuffixes":["Example.com.","münchen.example"],"sites":["7",54362329990032],` +
	`"expiresAt":"2026-12-31T00:00:00+08:00"}`

func parseLimits(t *testing.T, text string) routine.Limits {
	t.Helper()
	limits, err := routine.ParseLimits(text)
	if err != nil {
		t.Fatal(err)
	}
	return limits
}

func TestLimits(t *testing.T) {
	limits := parseLimits(t, shopLimits)
	before, after := limits.ExpiresAt.Add(-time.Nanosecond), limits.ExpiresAt
	good := routine.Request{Name: "shop-1", Records: []routine.Record{{SiteID: 54362329990032, RecordName: "www.example.com"}}}

	for name, test := range map[string]struct {
		change func(*routine.Request)
		allows bool
	}{
		"a name with a prefix":                 {func(*routine.Request) {}, true},
		"a name that is a prefix":              {func(r *routine.Request) { r.Name = "kiosk" }, true},
		"another site":                         {func(r *routine.Request) { r.Records[0].SiteID = 7 }, true},
		"the suffix itself":                    {func(r *routine.Request) { r.Records[0].RecordName = "example.com" }, true},
		"a name two labels below the suffix":   {func(r *routine.Request) { r.Records[0].RecordName = "a.b.example.com" }, true},
		"a name below an international suffix": {func(r *routine.Request) { r.Records[0].RecordName = "www.xn--mnchen-3ya.example" }, true},
		"a label that ends like the suffix":    {func(r *routine.Request) { r.Records[0].RecordName = "badexample.com" }, false},
		"a name that goes on":                  {func(r *routine.Request) { r.Records[0].RecordName = "example.com.cn" }, false},
		"a part of the suffix":                 {func(r *routine.Request) { r.Records[0].RecordName = "com" }, false},
		"a cut label of the suffix":            {func(r *routine.Request) { r.Records[0].RecordName = "xample.com" }, false},
	} {
		t.Run(fmt.Sprintf("%s is allowed: %t", name, test.allows), func(t *testing.T) {
			r := good
			r.Records = slices.Clone(good.Records)
			test.change(&r)
			if got := limits.Outside(r, before); (got == nil) != test.allows || got != nil && (len(got) != 1 || got[0].Pointer != "/recordName") {
				t.Errorf("%+v: %v", r, got)
			}
		})
	}
	t.Run("name each member that is outside, with what is allowed", func(t *testing.T) {
		r := routine.Request{Name: "my-shop-1", Records: []routine.Record{{SiteID: 8, RecordName: "example.com.evil.test"}}}
		want := []routine.Problem{
			{Pointer: "/name", Code: "outside-limits", Detail: `"my-shop-1" is not the caller's: a name must begin with shop- or kiosk`},
			{
				Pointer: "/recordName", Code: "outside-limits",
				Detail: `"example.com.evil.test" is not the caller's: a record name must be or end in example.com or xn--mnchen-3ya.example`,
			},
			{Pointer: "/siteId", Code: "outside-limits", Detail: `8 is not the caller's: the site must be 7 or 54362329990032`},
		}
		same(t, "problems", limits.Outside(r, before), want)
	})
	t.Run("allow nothing from the time on at which they end", func(t *testing.T) {
		got := limits.Outside(good, after)
		want := []routine.Problem{{Code: "outside-limits", Detail: "the caller may ask for nothing since 2026-12-30T16:00:00Z"}}
		if diff := cmp.Diff(want, got); diff != "" || !limits.Expired(after) || limits.Expired(before) {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("allow everything if there are none", func(t *testing.T) {
		if got := (routine.Limits{}).Outside(routine.Request{Name: "x", Records: []routine.Record{{SiteID: 1, RecordName: "a.b"}}}, after); got != nil {
			t.Errorf("got %v", got)
		}
	})
	t.Run("name some of many", func(t *testing.T) {
		many := routine.Limits{Names: strings.Split(strings.Repeat("a-,", 999)+"a-", ",")}
		got := many.Outside(good, before)
		if len(got) != 1 || !strings.HasSuffix(got[0].Detail, "a- or a- or one of 995 more") || len(got[0].Detail) > 200 {
			t.Errorf("got %v", got)
		}
	})
}

func TestLimitsAsJSON(t *testing.T) {
	t.Run("hold ids as texts, which every reader keeps whole", func(t *testing.T) {
		text, err := json.Marshal(parseLimits(t, shopLimits))
		want := `{"names":["shop-","kiosk"],"recordSuffixes":["example.com","xn--mnchen-3ya.example"],"sites":["7","54362329990032"],` +
			`"expiresAt":"2026-12-30T16:00:00Z"}`
		same(t, "JSON", string(text), want)
		var again routine.Limits
		if err := errors.Join(err, json.Unmarshal(text, &again)); err != nil {
			t.Error(err)
		}
		same(t, "read again", again, parseLimits(t, shopLimits))
	})
	t.Run("are nothing if there are none", func(t *testing.T) {
		if text, err := json.Marshal(routine.Limits{}); string(text) != "{}" || err != nil {
			t.Errorf("got %s, %v", text, err)
		}
	})
	t.Run("refuse sites that are none", func(t *testing.T) {
		for _, text := range []string{`{"sites":["x"]}`, `{"sites":[-1]}`, `{"sites":[1.5]}`, `{"sites":7}`, `{"sites":[null]}`} {
			if err := json.Unmarshal([]byte(text), &routine.Limits{}); err == nil {
				t.Errorf("%s is taken", text)
			}
		}
	})
}

func TestParseLimitsRefuses(t *testing.T) {
	for text, want := range map[string][]string{
		``:                                          {""},
		`[]`:                                        {""},
		`{"name":["a"]}`:                            {"/name"},
		`{"names":["a"],"names":["b"]}`:             {"/names"},
		`{"names":[]}`:                              {"/names"},
		`{"names":null}`:                            {"/names"},
		`{"names":"shop-"}`:                         {"/names"},
		`{"names":["","-a","A","a*",1]}`:            {"/names/0", "/names/1", "/names/2", "/names/3", "/names/4"},
		`{"recordSuffixes":[]}`:                     {"/recordSuffixes"},
		`{"recordSuffixes":["*.a.test"]}`:           {"/recordSuffixes/0"},
		`{"recordSuffixes":[".a.test"]}`:            {"/recordSuffixes/0"},
		`{"recordSuffixes":["a.test",null]}`:        {"/recordSuffixes/1"},
		`{"recordSuffixes":[""]}`:                   {"/recordSuffixes/0"},
		`{"sites":[]}`:                              {"/sites"},
		`{"sites":[0,-1,"+1","x",1.0,null]}`:        {"/sites/0", "/sites/1", "/sites/2", "/sites/3", "/sites/4", "/sites/5"},
		`{"sites":[9223372036854775808]}`:           {"/sites/0"},
		`{"expiresAt":"2026-12-31"}`:                {"/expiresAt"},
		`{"expiresAt":"0001-01-01T00:00:00Z"}`:      {"/expiresAt"},
		`{"expiresAt":"0000-01-01T00:00:00+23:59"}`: {"/expiresAt"},
		`{"expiresAt":"9999-12-31T23:59:59-01:00"}`: {"/expiresAt"},
		`{"recordSuffixes":["` + strings.Repeat("ü.", 100_000) + `"]}`: {"/recordSuffixes/0"},
		`{"expiresAt":1798675200}`:                                     {"/expiresAt"},
		`{"expiresAt":null,"sites":[{}]}`:                              {"/expiresAt", "/sites/0"},
	} {
		t.Run(fmt.Sprintf("%.60s", text), func(t *testing.T) {
			_, err := routine.ParseLimits(text)
			wantProblems(t, err)
			var invalid *routine.Invalid
			_ = errors.As(err, &invalid)
			var got []string
			for _, p := range invalid.Problems {
				got = append(got, p.Pointer)
			}
			same(t, "pointers", got, want)
		})
	}
}
