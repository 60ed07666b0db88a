package accept

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

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
				path := strings.NewReplacer("{id}", "1", "{name}", "x").Replace(path)
				for _, text := range []string{"[", "<", "\xff"} {
					if testing.Short() && limit > 1<<20 && text != "<" {
						continue // megabytes take a second, and those of escapes are the most
					}
					over, most := event(method, path, strings.Repeat(text, limit+1)), event(method, path, strings.Repeat(text, limit))
					if text == "\xff" {
						over, most = encoded(over), encoded(most)
					}
					f.refuses(t, over, http.StatusRequestEntityTooLarge, "too-large")
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
	t.Run("the README states the limits", func(t *testing.T) {
		for path, want := range map[string]string{
			"README.md": "A batch has at most\n  2 MiB, every other body 64 KiB.", "README.zh-CN.md": "批次最大 2 MiB，其他请求体最大 64 KiB。",
		} {
			text, err := os.ReadFile("../../" + path)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), want) {
				t.Errorf("%s does not say %q", path, want)
			}
		}
		for path, limit := range bodyLimits() {
			if want := map[bool]int{true: 2 << 20, false: 64 << 10}[path == "/v1/routines:batch"]; limit != want {
				t.Errorf("%s takes %d bytes, the README says %d", path, limit, want)
			}
		}
	})
	t.Run("every route has a limit", func(t *testing.T) {
		for path, item := range f.contract.doc.Paths.Map() {
			open := item.Get != nil && item.Get.Security != nil // without callers no body is read
			pattern := regexp.MustCompile(`\{\w+\}(:\w+)?`).ReplaceAllString(path, "{id}")
			if !open && bodyLimits()[pattern] == 0 {
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
