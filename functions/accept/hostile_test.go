package accept

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/sim"
	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// places are where a caller can put a text.
var places = map[string]func(text string) map[string]any{
	"the method":         func(text string) map[string]any { return event(text, "/v1/routines", good) },
	"the path":           func(text string) map[string]any { return event("GET", "/v1/"+text, "") },
	"a job's id":         func(text string) map[string]any { return event("GET", "/v1/jobs/"+text, "") },
	"a dead letter's id": func(text string) map[string]any { return event("DELETE", "/v1/dead-letters/"+text, "") },
	"a parameter":        func(text string) map[string]any { return asking("GET", "/v1/jobs", "name", text) },
	"a key's beginning":  func(text string) map[string]any { return asking("GET", "/v1/dead-letters", "keyPrefix", text) },
	"a time":             func(text string) map[string]any { return asking("GET", "/v1/dead-letters", "since", text) },
	"a correction": func(text string) map[string]any {
		return event("POST", "/v1/dead-letters/1:redrive", `{"request":{"name":`+sim.Quote(text)+`}}`)
	},
	"a parameter's name": func(text string) map[string]any { return asking("GET", "/v1/jobs", text, "x") },
	"a cursor":           func(text string) map[string]any { return asking("GET", "/v1/dead-letters", "cursor", text) },
	"the name": func(text string) map[string]any {
		return event("POST", "/v1/routines", `{"name":`+sim.Quote(text)+`}`)
	},
	"the record's name": func(text string) map[string]any {
		return event("POST", "/v1/routines", `{"recordName":`+sim.Quote(text)+`}`)
	},
	"a field's name": func(text string) map[string]any {
		return event("POST", "/v1/routines", `{`+sim.Quote(text)+`:1}`)
	},
	"the body": func(text string) map[string]any { return event("POST", "/v1/routines", text) },
	"a callback's URL": func(text string) map[string]any {
		return event("POST", "/v1/routines", strings.Replace(good, "{", `{"callbackUrl":`+sim.Quote(text)+`,`, 1))
	},
	"a batch":             func(text string) map[string]any { return batch(`[{"name":` + sim.Quote(text) + `}]`) },
	"lines of a batch":    func(text string) map[string]any { return batch(text, "Content-Type", mediaNDJSON) },
	"the description":     func(text string) map[string]any { return event("POST", "/v1/routines", described(text)) },
	"the idempotency key": func(text string) map[string]any { return event("POST", "/v1/routines", good, "Idempotency-Key", text) },
	"the webhook's id":    func(text string) map[string]any { return event("POST", "/v1/routines", good, "webhook-id", text) },
	"the media type":      func(text string) map[string]any { return event("POST", "/v1/routines", good, "Content-Type", text) },
	"a preference":        func(text string) map[string]any { return event("GET", "/v1/jobs/1", "", "Prefer", text) },
	"other headers": func(text string) map[string]any {
		return event("POST", "/v1/routines", good, "User-Agent", text, "X-Forwarded-For", text, "Referer", text, "X-"+text, text, "Host", text)
	},
	"the reason of a redrive": func(text string) map[string]any {
		return event("POST", "/v1/dead-letters:redrive", `{"all":true,"reason":`+sim.Quote(text)+`}`)
	},
	"the reason of a deletion": func(text string) map[string]any {
		e := asking("DELETE", "/v1/dead-letters", "reason", text)
		e["queryParameters"].(map[string]string)["all"] = "true"
		return e
	},
}

func described(text string) string {
	return `{"name":"pr-1","siteId":7,"recordName":"pr-1.example.com","description":` + sim.Quote(text) + `}`
}

// ours are the fields of our log lines.
var ours = strings.Fields("time level msg function event status state leftOut caller source reason jobId traceId action name recordNames replayed error count failed more sent jobs kind code step hint cloudRequestId")

// bury makes a dead letter whose every text is hostile, as an envelope of somebody else could have it.
func (f *function) bury(t *testing.T, text string) {
	t.Helper()
	row := ledger.Unreadable(routine.Job{ID: "buried-" + strconv.Itoa(len(text)), Caller: text, AcceptedAt: f.clock.Now()}, routine.Attempt{
		At: f.clock.Now(), Step: routine.Step(text), Kind: text, Code: text, Message: text, RequestID: text, Hint: text,
	}, text, ledger.Worker, nil, &routine.Received{Encoding: routine.TextEncoding, Body: text})
	f.files(t, row)
}

func TestLogIsNotInjected(t *testing.T) {
	f := start(t)
	cells, lines := 0, 0
	for name, text := range sim.Hostile() {
		for place, in := range places {
			cells++
			t.Run(name+" in "+place, func(t *testing.T) {
				f.log.Reset()
				if strings.Contains(place, "reason") {
					f.bury(t, text)
				}
				res := f.call(t, in(text))
				// The same bytes as they are, wherever the event has them: most are not JSON then.
				const here = "HOSTILE"
				whole, err := json.Marshal(in(here))
				if err != nil {
					t.Fatal(err)
				}
				log, err := logging.New(f.log, "debug", "accept")
				if err != nil {
					t.Fatal(err)
				}
				raw := serveEvent(logging.Into(t.Context(), log), bytes.ReplaceAll(whole, []byte(here), []byte(text)), f.routes())
				for _, answer := range []Response{res, raw} {
					if answer.StatusCode >= http.StatusInternalServerError {
						t.Errorf("got %+v", answer)
					}
					for header, value := range answer.Headers {
						if strings.ContainsAny(value, "\r\n\x00\x1b") {
							t.Errorf("header %s: %q", header, value)
						}
					}
				}
				sim.CheckLog(t, f.log.Bytes(), ours)
				lines += bytes.Count(f.log.Bytes(), []byte("\n"))
				f.mnsClock.Advance(time.Hour) // what is held on the queues comes back
			})
		}
	}
	if lines < cells/3 {
		t.Errorf("only %d lines were logged: the test looks in the wrong place", lines)
	}
}

func TestHostileDescriptionArrives(t *testing.T) {
	f := start(t)
	for name, text := range sim.Hostile() {
		if !utf8.ValidString(text) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if res := f.call(t, event("POST", "/v1/routines", described(text))); res.StatusCode != http.StatusAccepted {
				t.Fatalf("got %+v", res)
			}
			got := f.queued(t)
			if len(got) != 1 || got[0].Request.Description == nil || *got[0].Request.Description != text {
				t.Errorf("queued %+v, want the description %q", got, text)
			}
		})
	}
}

// encoded makes the body of an event Base64, as the trigger does with a body that is not text.
func encoded(e map[string]any) map[string]any {
	e = maps.Clone(e)
	e["body"], e["isBase64Encoded"] = base64.StdEncoding.EncodeToString([]byte(e["body"].(string))), true
	return e
}

func TestDepth(t *testing.T) {
	// Far more than a decoder needs that does not call itself, and far less than one level of a call for each brace. A process
	// whose stack is larger ends.
	defer debug.SetMaxStack(debug.SetMaxStack(256 << 10))
	f := start(t)
	deep := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	const tooDeep = 10_001 // one more than encoding/json takes
	for name, body := range map[string]string{
		"arrays":              deep("[", "", "]", tooDeep),
		"arrays left open":    deep("[", "", "", tooDeep),
		"objects":             deep(`{"a":`, "1", "}", tooDeep),
		"a field of a number": `{"siteId":` + deep("[", "", "]", tooDeep) + `}`,
		"a field of a text":   `{"description":` + deep("[", "", "]", tooDeep) + `}`,
		"a field that is not": `{"all":true,"x":` + deep("[", "", "]", tooDeep) + `}`,
	} {
		t.Run(name+" that go too deep are not JSON", func(t *testing.T) {
			for _, e := range []map[string]any{
				event("POST", "/v1/routines", body), encoded(event("POST", "/v1/routines", body)), batch(body),
				event("POST", "/v1/dead-letters:redrive", body), event("POST", "/v1/dead-letters/1:redrive", body),
			} {
				if p := f.refuses(t, e, http.StatusBadRequest, "malformed-request"); !strings.Contains(p.Detail, "go too deep") {
					t.Errorf("detail %q", p.Detail)
				}
			}
		})
		t.Run(name+" in a line of a batch are one bad item", func(t *testing.T) {
			res := f.call(t, batch(body+"\n"+good+"\n", "Content-Type", mediaNDJSON))
			var out api.BatchResult
			if err := json.Unmarshal([]byte(res.Body), &out); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"rejected malformed-request ", "accepted"}, verdicts(out)); diff != "" || len(f.queued(t)) != 1 {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	t.Run("what is deep and not too deep breaks the rules for routines", func(t *testing.T) {
		f.refuses(t, event("POST", "/v1/routines", `{"siteId":`+deep("[", "", "]", 9_000)+`}`), http.StatusUnprocessableEntity, "invalid-request")
	})
}

func TestNumbers(t *testing.T) {
	f := start(t)
	for name, number := range map[string]string{
		"a huge exponent": "1e400", "a huge negative one": "1e-400", "many digits": strings.Repeat("9", 50_000),
		"many digits behind the point": "7." + strings.Repeat("0", 50_000), "one too large for 64 bits": "9223372036854775808",
		"the smallest of 64 bits": "-9223372036854775808", "nothing below 0": "-0", "a fraction": "7.5", "an exponent": "7e0",
	} {
		t.Run(name+" is not a site", func(t *testing.T) {
			for _, id := range []string{number, `"` + number + `"`} {
				body := `{"name":"pr-1","recordName":"pr-1.example.com","siteId":` + id + `}`
				p := f.refuses(t, event("POST", "/v1/routines", body), http.StatusUnprocessableEntity, "invalid-request")
				if len(p.Errors) != 1 || p.Errors[0].Pointer != "/siteId" {
					t.Errorf("errors %.500v", p.Errors)
				}
			}
		})
		t.Run(name+" is not a limit", func(t *testing.T) {
			if len(number) <= 4_000 { // an address has no more
				f.refuses(t, asking("GET", "/v1/jobs", "limit", number), http.StatusBadRequest, "invalid-parameter")
			}
		})
	}
}

func TestAddressesAndHeaders(t *testing.T) {
	// The limits of the HTTP trigger: 8 KB of headers, 4 KB of path and query.
	const headers, address = 8 << 10, 4 << 10
	t.Run("a thousand headers are no obstacle", func(t *testing.T) {
		f := start(t)
		e := event("POST", "/v1/routines", good)
		for i := range 1_000 {
			e["headers"].(map[string]string)[fmt.Sprintf("X-%d", i)] = "v"
		}
		if res := f.call(t, e); res.StatusCode != http.StatusAccepted || len(f.queued(t)) != 1 {
			t.Errorf("got %+v", res)
		}
	})
	f := start(t)
	t.Run("a key as long as all headers is refused", func(t *testing.T) {
		e := event("POST", "/v1/routines", good, "Idempotency-Key", strings.Repeat("k", headers))
		f.refuses(t, e, http.StatusBadRequest, "invalid-idempotency-key")
	})
	t.Run("a preference as long as all headers is read", func(t *testing.T) {
		e := event("GET", "/v1/jobs/1", "", "Prefer", strings.Repeat("wait=x,", headers/7))
		f.refuses(t, e, http.StatusNotFound, "unknown-job")
	})
	t.Run("an id as long as the address is nobody's", func(t *testing.T) {
		long := strings.Repeat("i", address)
		f.refuses(t, event("GET", "/v1/jobs/"+long, ""), http.StatusNotFound, "unknown-job")
		f.refuses(t, event("GET", "/v1/dead-letters/"+long, ""), http.StatusNotFound, "unknown-dead-letter")
		f.refuses(t, event("GET", "/v1/routines/"+long, ""), http.StatusNotFound, "unknown-routine")
	})
	t.Run("a path of many pieces leads nowhere", func(t *testing.T) {
		if res := f.call(t, event("GET", strings.Repeat("/v1", address/3), "")); res.StatusCode != http.StatusNotFound {
			t.Errorf("got %+v", res)
		}
	})
	t.Run("parameters as many as an address has are refused", func(t *testing.T) {
		e, many := event("GET", "/v1/jobs", ""), map[string]string{}
		for i := range address / len("p000=&") {
			many[fmt.Sprintf("p%d", i)] = ""
		}
		e["queryParameters"] = many
		if p := f.refuses(t, e, http.StatusBadRequest, "invalid-parameter"); len(p.Errors) != maxQueryProblems {
			t.Errorf("%d problems", len(p.Errors))
		}
	})
	t.Run("a parameter as long as an address is refused and not repeated", func(t *testing.T) {
		for name, value := range map[string]string{strings.Repeat("p", address): "x", "limit": strings.Repeat("9", address), "cursor": strings.Repeat("c", address)} {
			f.refuses(t, asking("GET", "/v1/jobs", name, value), http.StatusBadRequest, "invalid-parameter")
		}
	})
}
