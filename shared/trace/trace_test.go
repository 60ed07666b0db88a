package trace_test

import (
	"encoding/json"
	"strings"
	"testing"

	"routinely/shared/trace"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
	valid   = "00-" + traceID + "-" + spanID + "-01"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, given string
		want        trace.Parent
	}{
		{"the specification's example", valid, valid},
		{"flags that nobody has named are not passed on", "00-" + traceID + "-" + spanID + "-ff", "00-" + traceID + "-" + spanID + "-03"},
		{"a later version becomes version 00", "cc-" + traceID + "-" + spanID + "-01", valid},
		{"a later version may have more fields", "cc-" + traceID + "-" + spanID + "-01-what-comes", valid},
		{"a later version may have an empty field", "cc-" + traceID + "-" + spanID + "-01-", valid},
		{"more fields need a dash", "cc-" + traceID + "-" + spanID + "-01.more", ""},
		{"version 00 has no more fields", valid + "-more", ""},
		{"version ff", "ff" + valid[2:], ""},
		{"a version that is no number", "0x" + valid[2:], ""},
		{"a trace id of zeros", "00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", ""},
		{"a span id of zeros", "00-" + traceID + "-" + strings.Repeat("0", 16) + "-01", ""},
		{"a trace id in upper case", "00-" + strings.ToUpper(traceID) + "-" + spanID + "-01", ""},
		{"a span id in upper case", "00-" + traceID + "-" + strings.ToUpper(spanID) + "-01", ""},
		{"flags in upper case", "00-" + traceID + "-" + spanID + "-0F", ""},
		{"another character than a dash", strings.ReplaceAll(valid, "-", "_"), ""},
		{"a control character", valid[:40] + "\n" + valid[41:], ""},
		{"too short", valid[:54], ""},
		{"two joined by a comma", valid + "," + valid, ""},
		{"nothing", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, ok := trace.Parse(test.given); got != test.want || ok != (test.want != "") {
				t.Errorf("got %q, %t; want %q", got, ok, test.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(valid)
	f.Add("cc" + valid[2:] + "-more")
	f.Add("")
	f.Fuzz(func(t *testing.T, value string) {
		got, ok := trace.Parse(value)
		if !ok {
			if got != "" {
				t.Errorf("%q is invalid, and read as %q", value, got)
			}
			return
		}
		if again, ok := trace.Parse(string(got)); !ok || again != got || got[2:53] != trace.Parent(value[2:53]) {
			t.Errorf("%q is read as %q, and that as %q", value, got, again)
		}
	})
}

func TestChild(t *testing.T) {
	next := uint64(0)
	count := func() uint64 { next++; return next }
	t.Run("has the trace and the flags of its parent", func(t *testing.T) {
		if got, want := trace.Parent(valid).Child(count), trace.Parent("00-"+traceID+"-0000000000000001-01"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("of none begins a trace of random bits", func(t *testing.T) {
		got := trace.Parent("").Child(count)
		if want := trace.Parent("00-00000000000000030000000000000004-0000000000000002-02"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got.ID() != "00000000000000030000000000000004" {
			t.Errorf("id %s", got.ID())
		}
	})
	t.Run("is valid whatever the bits are", func(t *testing.T) {
		got := trace.Parent("").Child(func() uint64 { return 0 })
		if _, ok := trace.Parse(string(got)); !ok {
			t.Errorf("got %s", got)
		}
	})
}

func TestKept(t *testing.T) {
	type row struct {
		Trace trace.Parent `json:"traceparent,omitempty"`
	}
	for given, want := range map[string]string{
		`{"traceparent":"` + valid + `"}`: `{"traceparent":"` + valid + `"}`,
		`{}`:                              `{}`,
		`{"traceparent":"\n\u0000"}`:      `{}`,
	} {
		var r row
		if err := json.Unmarshal([]byte(given), &r); err != nil {
			t.Fatal(err)
		}
		if got, _ := json.Marshal(r); string(got) != want {
			t.Errorf("%s is kept as %s", given, got)
		}
	}
}

func TestContext(t *testing.T) {
	if got := trace.From(t.Context()); got != "" || got.ID() != "" {
		t.Errorf("got %q", got)
	}
	if got := trace.From(trace.Into(t.Context(), valid)); got != valid || got.ID() != traceID {
		t.Errorf("got %q", got)
	}
}
