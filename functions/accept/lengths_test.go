package accept

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

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
			if made := f.Ledger.Create(t.Context(), row)[0]; made.Err != nil {
				t.Fatal(made.Err)
			}
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
			if made := g.Ledger.Create(t.Context(), ledger.Unreadable(job, failure, "unreadable", ledger.Worker, nil, nil))[0]; made.Err != nil {
				t.Fatal(made.Err)
			}
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
