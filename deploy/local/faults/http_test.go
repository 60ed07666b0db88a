package faults_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/faults"
)

func TestHandler(t *testing.T) {
	const broken = `{"action":"Buy","match":{"colour":"red"},"fault":{"answer":"error","code":"Busy","status":503}}`
	status := func(t *testing.T, s *shop, method, path, body string) answer {
		t.Helper()
		got, err := s.do(t.Context(), method, path, body)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}

	t.Run("adds one rule or several, lists and removes them", func(t *testing.T) {
		s := openShop(t)
		if diff := cmp.Diff(answer{201, "application/json", `{"ids":["1"]}` + "\n"}, status(t, s, "POST", "/_local/faults", broken)); diff != "" {
			t.Errorf("one (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(`{"ids":["2","3"]}`+"\n", status(t, s, "POST", "/_local/faults", " ["+broken+","+broken+"]\n").Body); diff != "" {
			t.Errorf("two (-want +got):\n%s", diff)
		}
		s.wantAnswer(t, "/Buy?colour=red", answer{503, "text/x-error", "Busy: injected fault"})
		var left []faults.Rule
		if err := json.Unmarshal([]byte(status(t, s, "GET", "/_local/faults", "").Body), &left); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s.set.Rules(), left); diff != "" || len(left) != 2 {
			t.Errorf("%d rules listed, want 2 (-want +got):\n%s", len(left), diff)
		}
		if got := status(t, s, "DELETE", "/_local/faults", ""); got.Status != 204 || len(s.set.Rules()) != 0 {
			t.Errorf("DELETE: %+v, %d rules left", got, len(s.set.Rules()))
		}
		if got := status(t, s, "GET", "/_local/faults", "").Body; got != "[]\n" {
			t.Errorf("no rules: %q, want an empty array", got)
		}
	})

	t.Run("refuses a bad body with a text that names the mistake and adds nothing", func(t *testing.T) {
		for body, want := range map[string]string{
			"":                              "EOF",
			"fault":                         "invalid character",
			`"fault"`:                       "cannot unmarshal",
			`null`:                          "rule 0: fault answer",
			`{"fault":{"answer":"hang"}} x`: "data after the JSON value",
			`{"fault":{"answer":"hang"}}]`:  "data after the JSON value",
			`{"fualt":{"answer":"hang"}}`:   "fualt",
			`{"fault":{"answer":"hang"},"times":"2"}`:               "times",
			"[" + broken + `,{"fault":{"answer":"error"}}]`:         "rule 1: fault answer error: a code is needed",
			`{"action":"` + strings.Repeat("x", 1<<20) + `","a":1}`: "too large",
		} {
			s := openShop(t)
			got := status(t, s, "POST", "/_local/faults", body)
			if got.Status != 400 || !strings.Contains(got.Body, want) || len(s.set.Rules()) != 0 {
				t.Errorf("%.40q: %d %.200q, %d rules; want 400, %q, no rule", body, got.Status, got.Body, len(s.set.Rules()), want)
			}
		}
	})

	t.Run("shows and forgets counters and calls", func(t *testing.T) {
		s := openShop(t)
		s.wantAnswer(t, "/Buy", ok())
		const log = `"calls":[{"action":"Buy","params":{"colour":""},"at":"2023-11-14T22:13:20Z","status":200}],`
		if diff := cmp.Diff("{"+log+`"counters":{"Buy":1},"hanging":0}`+"\n", status(t, s, "GET", "/_local/calls", "").Body); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(`{"counters":{"Buy":1},"hanging":0}`+"\n", status(t, s, "GET", "/_local/calls?log=false", "").Body); diff != "" {
			t.Errorf("counters only (-want +got):\n%s", diff)
		}
		if got := status(t, s, "DELETE", "/_local/calls", ""); got.Status != 204 {
			t.Errorf("DELETE: %+v", got)
		}
		if diff := cmp.Diff(`{"calls":[],"counters":{},"hanging":0}`+"\n", status(t, s, "GET", "/_local/calls", "").Body); diff != "" {
			t.Errorf("after DELETE (-want +got):\n%s", diff)
		}
	})
}
