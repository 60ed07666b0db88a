package accept

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

func TestBodiesAreMeasuredFirst(t *testing.T) {
	f := start(t)
	stated := regexp.MustCompile(`The body\s+has at most\s+(\d+)\s+(KiB|MiB)`)
	for path, item := range f.contract.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.RequestBody == nil {
				continue
			}
			t.Run(method+" "+path+" takes a body as long as openapi.yaml says, and not a byte more, whatever is in it", func(t *testing.T) {
				size := stated.FindStringSubmatch(operation.Description)
				if size == nil {
					t.Fatalf("openapi.yaml does not say how long the body may be: %s", operation.Description)
				}
				limit, err := strconv.Atoi(size[1])
				if err != nil {
					t.Fatal(err)
				}
				limit *= map[string]int{"KiB": 1 << 10, "MiB": 1 << 20}[size[2]]
				path := strings.NewReplacer("{id}", "1", "{name}", "xy", "{recordName}", "x.example.com").Replace(path)
				for _, text := range []string{"[", "<", "\xff"} {
					if testing.Short() && limit > 1<<20 && text != "<" {
						continue // megabytes take a second, and those of escapes are the most
					}
					over, most := event(method, path, strings.Repeat(text, limit+1)), event(method, path, strings.Repeat(text, limit))
					if text == "\xff" {
						over, most = encoded(over), encoded(most)
					}
					f.refuses(t, over, http.StatusRequestEntityTooLarge, "too-large")
					if path == "/v1/code" { // it takes no JSON, but for a text of that type
						f.refuses(t, most, http.StatusUnsupportedMediaType, "unsupported-media-type")
						continue
					}
					f.refuses(t, most, http.StatusBadRequest, "malformed-request")
				}
			})
		}
	}
	t.Run("a body that is too long is refused before anybody asks who sent it", func(t *testing.T) {
		g, _ := guarded(t, 0)
		for _, path := range []string{"/v1/routines", "/v1/routines:batch"} {
			g.refuses(t, event("POST", path, strings.Repeat("[", bodyLimits()[path]+1)), http.StatusRequestEntityTooLarge, "too-large")
		}
	})
	t.Run("every route has a limit", func(t *testing.T) {
		for path, item := range f.contract.doc.Paths.Map() {
			open := item.Get != nil && item.Get.Security != nil // without callers no body is read
			parameter := regexp.MustCompile(`\{\w+\}(:\w+)?`)
			limited := false
			for pattern := range bodyLimits() {
				limited = limited || parameter.ReplaceAllString(pattern, "{}") == parameter.ReplaceAllString(path, "{}")
			}
			if !open && !limited {
				t.Errorf("%s has none", path)
			}
		}
	})
}

func TestEventsAreMeasuredFirst(t *testing.T) {
	f := start(t)
	text, err := json.Marshal(event("POST", "/v1/routines", good))
	if err != nil {
		t.Fatal(err)
	}
	pad := func(most int) []byte { return slices.Concat(text, []byte(strings.Repeat(" ", most-len(text)))) }
	t.Run("one that is as long as any may be is read", func(t *testing.T) {
		read[routine.Job](t, f.callRaw(t, pad(maxRest)), http.StatusAccepted)
	})
	t.Run("one that is longer than any may be is refused, whatever is in it", func(t *testing.T) {
		refused(t, f.callRaw(t, []byte(strings.Repeat("x", MaxEvent()+1))), http.StatusRequestEntityTooLarge, "too-large")
	})
	t.Run("a body that is longer than any may be is not copied", func(t *testing.T) {
		for _, e := range []map[string]any{event("POST", "/v1/routines:batch", strings.Repeat("x", 10<<20)), encoded(event("POST", "/v1/routines:batch", strings.Repeat("x", 8<<20)))} {
			text, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			res, _ := f.Handle(t.Context(), text)
			runtime.ReadMemStats(&after)
			refused(t, res, http.StatusRequestEntityTooLarge, "too-large")
			if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
				t.Errorf("refusing it took %d bytes", took)
			}
		}
	})
	t.Run("one with more than any has beside its body is refused", func(t *testing.T) {
		e := event("GET", "/v1/jobs", "")
		e["queryParameters"] = map[string]string{"x": strings.Repeat("x", maxRest)}
		refused(t, f.call(t, e), http.StatusRequestEntityTooLarge, "too-large")
	})
	t.Run("an escape counts as a byte, so that no body that may be sent is taken for too long", func(t *testing.T) {
		for text, want := range map[string]int{`""`: 0, `"abc"`: 3, `"\u003c\u003c"`: 2, `"\n\\\/\""`: 4, `"\u00fc\ud83d\ude00"`: 3, `null`: 2} {
			if got := leastLength([]byte(text)); got != want {
				t.Errorf("%s: got %d, want %d", text, got, want)
			}
		}
	})
}

// hostOf is a host name of so many characters.
func hostOf(length int) string {
	const end = ".example.com"
	labels := strings.Repeat("a.", length/2)[:length-len(end)-1]
	return labels + "a" + end // two of them at the end, or one behind a full stop
}

// requestWith is a good request with another value of a field.
func requestWith(field, value string) string {
	members := map[string]string{"name": "pr-1", "siteId": "7", "recordName": "pr-1.example.com", "description": ""}
	members[field] = value
	text, _ := json.Marshal(members) // texts alone
	return string(text)
}

func TestLengthsOfRequests(t *testing.T) {
	f := start(t)
	url := func(length int) string {
		const host = "https://ci.example.com/"
		return host + strings.Repeat("u", length-len(host))
	}
	for field, values := range map[string][2]string{
		"name": {strings.Repeat("a", routine.MaxName), strings.Repeat("a", routine.MaxName+1)}, "recordName": {hostOf(253), hostOf(254)},
		"callbackUrl": {url(routine.MaxCallbackURL), url(routine.MaxCallbackURL + 1)},
	} {
		t.Run("a "+field+" at its longest is taken, and one byte more is refused", func(t *testing.T) {
			f.post(t, requestWith(field, values[0]))
			f.queued(t)
			f.refuses(t, event("POST", "/v1/routines", requestWith(field, values[1])), http.StatusUnprocessableEntity, "invalid-request")
		})
	}
	t.Run("an idempotency key", func(t *testing.T) {
		key := strings.Repeat("k", maxKey)
		read[routine.Job](t, f.call(t, event("POST", "/v1/routines", requestWith("name", "pr-1"), "Idempotency-Key", key)), http.StatusAccepted)
		f.queued(t)
		f.refuses(t, event("POST", "/v1/routines", good, "Idempotency-Key", key+"k"), http.StatusBadRequest, "invalid-idempotency-key")
		read[api.BatchResult](t, f.call(t, batch("["+requestWith("idempotencyKey", key)+"]")), http.StatusAccepted) // a duplicate
		read[api.BatchResult](t, f.call(t, batch("["+requestWith("idempotencyKey", key+"k")+"]")), http.StatusUnprocessableEntity)
	})
	t.Run("a host name that only looks at its length is not looked at further", func(t *testing.T) {
		f.queued(t)
		given := strings.Repeat("字", 253*4/3+1)
		p := f.refuses(t, event("POST", "/v1/routines", requestWith("recordName", given)), http.StatusUnprocessableEntity, "invalid-request")
		if want := "is 1014 bytes long, a host name has at most 253 characters"; len(p.Errors) != 1 || !strings.HasSuffix(p.Errors[0].Detail, want) {
			t.Errorf("got %+v, want %s", p.Errors, want)
		}
	})
	t.Run("what an error repeats of a name is short", func(t *testing.T) {
		for _, text := range []string{strings.Repeat("x", 60_000), strings.Repeat("字", 20_000), strings.Repeat("\\", 30_000)} {
			for _, field := range []string{"name", "recordName", "siteId", "ifExists", "callbackUrl", text} {
				res := f.call(t, event("POST", "/v1/routines", requestWith(field, text)))
				if len(res.Body) > 3_000 {
					t.Errorf("%.20s: %d bytes: %.3000s", field, len(res.Body), res.Body)
				}
			}
		}
	})
}

func TestLengthsOfFilters(t *testing.T) {
	f := start(t)
	word, ids := strings.Repeat("w", maxWord), strings.Repeat("i,", api.MaxIDs-1)+"i"
	for _, test := range []struct {
		method, path, name string
		longest, longer    string
	}{
		{"GET", "/v1/jobs", "name", strings.Repeat("a", 41), strings.Repeat("a", 42)},
		{"GET", "/v1/jobs", "record", hostOf(253), hostOf(254)},
		{"GET", "/v1/jobs", "caller", word, word + "w"},
		{"GET", "/v1/dead-letters", "name", strings.Repeat("a", 41), strings.Repeat("a", 42)},
		{"GET", "/v1/dead-letters", "record", hostOf(253), hostOf(254)},
		{"GET", "/v1/dead-letters", "caller", word, word + "w"},
		{"GET", "/v1/dead-letters", "code", word, word + "w"},
		{"GET", "/v1/dead-letters", "keyPrefix", word, word + "w"},
		{"GET", "/v1/dead-letters", "id", word, word + "w"},
		{"GET", "/v1/dead-letters", "id", ids, ids + ",i"},
		{"GET", "/v1/dead-letters", "siteId", "9223372036854775807", "9223372036854775808"},
		{"GET", "/v1/dead-letters", "limit", "100", "101"},
		{"DELETE", "/v1/dead-letters/x", "reason", strings.Repeat("r", api.MaxReason), strings.Repeat("r", api.MaxReason+1)},
	} {
		t.Run(fmt.Sprintf("%s of %s %s, %d characters", test.name, test.method, test.path, len(test.longest)), func(t *testing.T) {
			if res := f.call(t, asking(test.method, test.path, test.name, test.longest)); res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNotFound {
				t.Errorf("%d bytes: %d %.500s", len(test.longest), res.StatusCode, res.Body)
			}
			f.refuses(t, asking(test.method, test.path, test.name, test.longer), http.StatusBadRequest, "invalid-parameter")
		})
	}
	for name, values := range map[string][2]string{
		"name": {strings.Repeat("a", 41), strings.Repeat("a", 42)}, "recordName": {hostOf(253), hostOf(254)}, "caller": {word, word + "w"},
		"code": {word, word + "w"}, "keyPrefix": {word, word + "w"}, "reason": {strings.Repeat("r", api.MaxReason), strings.Repeat("r", api.MaxReason+1)},
	} {
		t.Run(name+" of a redrive", func(t *testing.T) {
			call := func(value string) map[string]any {
				return event("POST", "/v1/dead-letters:redrive", fmt.Sprintf(`{"kind":"quota","dryRun":true,%q:%q}`, name, value))
			}
			read[api.WorkedOff](t, f.call(t, call(values[0])), http.StatusOK)
			f.refuses(t, call(values[1]), http.StatusUnprocessableEntity, "invalid-redrive")
		})
	}
	t.Run("a cursor is not read if it is longer than any", func(t *testing.T) {
		const want = "has 2049 bytes, at most 2048 are possible"
		for _, e := range []map[string]any{asking("GET", "/v1/jobs", "cursor", strings.Repeat("c", maxCursor+1)), asking("GET", "/v1/dead-letters", "cursor", strings.Repeat("c", maxCursor+1))} {
			if p := f.refuses(t, e, http.StatusBadRequest, "invalid-parameter"); len(p.Errors) != 1 || p.Errors[0].Detail != want {
				t.Errorf("got %+v", p)
			}
		}
		e := event("POST", "/v1/dead-letters:redrive", `{"all":true,"cursor":"`+strings.Repeat("c", maxCursor+1)+`"}`)
		if p := f.refuses(t, e, http.StatusUnprocessableEntity, "invalid-redrive"); len(p.Errors) != 1 || p.Errors[0].Detail != want {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("the longest cursor there is leads on", func(t *testing.T) {
		for n := range 2 {
			job := routine.Job{ID: strings.Repeat("i", 254) + strconv.Itoa(n), AcceptedAt: f.clock.Now()}
			row := ledger.Unreadable(job, routine.Attempt{At: f.clock.Now(), Kind: "invalid"}, "unreadable", ledger.Worker, nil, nil)
			f.files(t, row)
		}
		list := read[api.DeadLetterList](t, f.call(t, asking("GET", "/v1/dead-letters", "limit", "1")), http.StatusOK)
		e := asking("GET", "/v1/dead-letters", "cursor", list.Next)
		if rest := read[api.DeadLetterList](t, f.call(t, e), http.StatusOK); len(rest.DeadLetters) != 1 {
			t.Errorf("got %+v", rest)
		}
	})
	t.Run("a count lists a hundred codes and counts all", func(t *testing.T) {
		g := start(t)
		for n := range maxCodes + 1 {
			job := routine.Job{ID: strconv.Itoa(n), AcceptedAt: g.clock.Now()}
			failure := routine.Attempt{At: g.clock.Now(), Kind: "invalid", Code: strconv.Itoa(n)}
			g.files(t, ledger.Unreadable(job, failure, "unreadable", ledger.Worker, nil, nil))
		}
		if got := g.letters(t, map[string]string{"counts": "true"}).Counts; len(got.Codes) != maxCodes || got.Total != maxCodes+1 {
			t.Errorf("%d codes of %d", len(got.Codes), got.Total)
		}
	})
	t.Run("a cancellation's reason", func(t *testing.T) {
		for extra, want := range []int{http.StatusOK, http.StatusBadRequest} {
			job := f.post(t, good)
			body := fmt.Sprintf(`{"reason":%q}`, strings.Repeat("r", api.MaxReason+extra))
			if res := f.call(t, event("POST", "/v1/jobs/"+job.ID+":cancel", body)); res.StatusCode != want {
				t.Errorf("%d bytes: %+v", api.MaxReason+extra, res)
			}
		}
	})
}
