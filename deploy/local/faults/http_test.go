package faults_test

import (
	"encoding/json"
	"strings"
	"testing"

	"routinely/deploy/local/faults"
)

func TestHandler(t *testing.T) {
	const broken = `{"action":"Buy","match":{"colour":"red"},"fault":{"answer":"error","code":"Busy","status":503}}`
	script := func(t *testing.T, s *shop, method, path, body string, status int) string {
		t.Helper()
		got, err := s.do(t.Context(), method, "/_local/"+path, body)
		if err != nil || got.Status != status {
			t.Fatalf("%s %s: %+v, %v, want %d", method, path, got, err, status)
		}
		return got.Body
	}

	t.Run("adds one rule or several, lists and removes them", func(t *testing.T) {
		s := openShop(t)
		same(t, "one", script(t, s, "POST", "faults", broken, 201), `{"ids":["1"]}`+"\n")
		same(t, "two", script(t, s, "POST", "faults", " ["+broken+","+broken+"]\n", 201), `{"ids":["2","3"]}`+"\n")
		same(t, "a call", s.buy(t, "/Buy?colour=red"), answer{503, "text/x-error", "Busy: injected fault"})
		var left []faults.Rule
		if err := json.Unmarshal([]byte(script(t, s, "GET", "faults", "", 200)), &left); err != nil || len(left) != 2 {
			t.Errorf("%d rules listed, want 2: %v", len(left), err)
		}
		same(t, "rules", left, s.set.Rules())
		script(t, s, "DELETE", "faults", "", 204)
		same(t, "no rules", script(t, s, "GET", "faults", "", 200), "[]\n")
	})

	t.Run("refuses a bad body with a text that names the mistake and adds nothing", func(t *testing.T) {
		for body, want := range map[string]string{
			"":                              "EOF",
			"fault":                         "invalid character",
			`"fault"`:                       "cannot unmarshal",
			`null`:                          "rule 0: fault answer",
			`{"fault":{"answer":"hang"}} x`: "data after the JSON value",
			`{"fualt":{"answer":"hang"}}`:   "fualt",
			`{"fault":{"answer":"hang"},"times":"2"}`:               "times",
			"[" + broken + `,{"fault":{"answer":"error"}}]`:         "rule 1: fault answer error: a code is needed",
			`{"action":"` + strings.Repeat("x", 1<<20) + `","a":1}`: "too large",
		} {
			s := openShop(t)
			if got := script(t, s, "POST", "faults", body, 400); !strings.Contains(got, want) || len(s.set.Rules()) != 0 {
				t.Errorf("%.40q: %.200q, %d rules; want %q and no rule", body, got, len(s.set.Rules()), want)
			}
		}
	})

	t.Run("shows and forgets counters and calls", func(t *testing.T) {
		s := openShop(t)
		s.buy(t, "/Buy")
		const log = `"calls":[{"action":"Buy","params":{"colour":""},"at":"2023-11-14T22:13:20Z","status":200}],`
		same(t, "calls", script(t, s, "GET", "calls", "", 200), "{"+log+`"counters":{"Buy":1},"hanging":0}`+"\n")
		same(t, "counters only", script(t, s, "GET", "calls?log=false", "", 200), `{"counters":{"Buy":1},"hanging":0}`+"\n")
		script(t, s, "DELETE", "calls", "", 204)
		same(t, "after DELETE", script(t, s, "GET", "calls", "", 200), `{"calls":[],"counters":{},"hanging":0}`+"\n")
	})
}
