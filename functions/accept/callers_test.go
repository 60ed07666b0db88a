package accept

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// Secrets of the callers in the tests.
const (
	webhookSecret = "whsec_x0Wc6j2bQ3xvYt1mJ8kq5nZr7Lp9sUaH"
	githubSecret  = "8f1b6d0c3e927a54d1e0b7c9a2f46835"
)

// knows makes callers known to the function, each with a token and what is said of it. It returns the tokens, by the callers' names.
func (f *function) knows(t *testing.T, callers map[string]string) map[string]string {
	t.Helper()
	tokens, list := map[string]string{}, []string{}
	for name, members := range callers {
		token, hash := auth.NewToken()
		tokens[name] = token
		list = append(list, fmt.Sprintf(`{"name":%q,"tokens":[%q],%s}`, name, hash, members))
	}
	guard, err := auth.Parse(`{"callers":[` + strings.Join(list, ",") + `]}`)
	if err != nil {
		t.Fatal(err)
	}
	f.Guard = guard
	return tokens
}

// guarded is a function that knows some callers, with their tokens by name.
func guarded(t *testing.T, perMinute int) (*function, map[string]string) {
	t.Helper()
	f := start(t)
	return f, f.knows(t, map[string]string{
		"ci":   fmt.Sprintf(`"scopes":["submit"],"webhookSecrets":[%q],"githubSecrets":[%q],"requestsPerMinute":%d`, webhookSecret, githubSecret, perMinute),
		"shop": `"scopes":["submit","read"]`, "reader": `"scopes":["read"]`, "ops": `"scopes":["read","operate"]`,
	})
}

// as adds a caller's token to an event.
func as(e map[string]any, token string) map[string]any {
	e["headers"].(map[string]string)["Authorization"] = "Bearer " + token
	return e
}

func TestCallers(t *testing.T) {
	t.Run("are in the job, the queue and the log, and have keys of their own", func(t *testing.T) {
		f, tokens := guarded(t, 0)
		ci := read[routine.Job](t, f.call(t, as(event("POST", "/v1/routines", good, "Idempotency-Key", "k"), tokens["ci"])), 202)
		shop := read[routine.Job](t, f.call(t, as(event("POST", "/v1/routines", wishFor(2), "Idempotency-Key", "k"), tokens["shop"])), 202)
		if ci.Caller != "ci" || shop.Caller != "shop" || ci.ID == shop.ID {
			t.Errorf("got %+v and %+v", ci, shop)
		}
		for _, e := range f.queued(t) {
			if e.Caller != "ci" && e.Caller != "shop" {
				t.Errorf("queued %+v", e)
			}
		}
		if !strings.Contains(f.log.String(), `"caller":"ci"`) || strings.Contains(f.log.String(), tokens["ci"]) {
			t.Errorf("log %s", f.log)
		}
	})
	t.Run("cancel jobs of their own, and operators anybody's; who sees a job is told why not", func(t *testing.T) {
		f, tokens := guarded(t, 0)
		for _, test := range []struct {
			who    string
			status int
		}{{"shop", 403}, {"reader", 403}, {"ci", 200}, {"ops", 200}} {
			job := read[routine.Job](t, f.call(t, as(event("POST", "/v1/routines", good), tokens["ci"])), 202)
			if res := f.call(t, as(event("POST", "/v1/jobs/"+job.ID+":cancel", ""), tokens[test.who])); res.StatusCode != test.status {
				t.Errorf("%s: %+v", test.who, res)
			}
		}
	})
	t.Run("who see no jobs are told nothing of another's", func(t *testing.T) {
		f, tokens := guarded(t, 0)
		job := read[routine.Job](t, f.call(t, as(event("POST", "/v1/routines", good, "Idempotency-Key", "k"), tokens["shop"])), 202)
		ended := read[routine.Job](t, f.call(t, as(event("POST", "/v1/routines", wishFor(2)), tokens["shop"])), 202)
		f.begins(t, ended.ID)
		f.dies(t, ended.ID)
		cancel := func(id string) (answer Response, calls int) {
			before := len(f.ots.Faults().Calls())
			answer = f.call(t, as(event("POST", "/v1/jobs/"+id+":cancel", `{"reason":"mine"}`), tokens["ci"]))
			answer.Body = strings.ReplaceAll(answer.Body, id, "ID")
			return answer, len(f.ots.Faults().Calls()) - before
		}
		const unknown = "019bc094-2b36-7cd1-9f1a-3c1f0b6f7a11"
		want, calls := cancel(unknown)
		refused(t, want, 404, "unknown-job")
		for _, id := range []string{job.ID, ended.ID} {
			got, same := cancel(id)
			if diff := cmp.Diff(want, got); diff != "" || same != calls {
				t.Errorf("%d calls instead of %d, -unknown +another's:\n%s", same, calls, diff)
			}
		}
		if f.row(t, job.ID).State != routine.Queued {
			t.Error("cancelled")
		}
		// A key stands for the caller's own jobs alone.
		own := read[routine.Job](t, f.call(t, as(event("POST", "/v1/routines", wishFor(3), "Idempotency-Key", "k"), tokens["ci"])), 202)
		if own.ID == job.ID || own.Caller != "ci" {
			t.Errorf("got %+v", own)
		}
	})
	t.Run("are known by the signature of a webhook, whose id is the key", func(t *testing.T) {
		f, _ := guarded(t, 0)
		headers := signedWebhook(t, "msg_1", good, f.clock.Now())
		first := f.post(t, good, headers...)
		again := f.call(t, event("POST", "/v1/routines", good, headers...))
		if job := read[routine.Job](t, again, 202); job.ID != first.ID || again.Headers["Idempotency-Replayed"] != "true" {
			t.Errorf("got %+v", again)
		}
		refused(t, f.call(t, event("POST", "/v1/routines", wishFor(2), headers...)), 401, "unauthenticated")
		f.clock.Advance(6 * time.Minute)
		refused(t, f.call(t, event("POST", "/v1/routines", good, headers...)), 401, "unauthenticated")
	})
	t.Run("are known by the signature of a GitHub webhook", func(t *testing.T) {
		f, _ := guarded(t, 0)
		if job := f.post(t, good, signedByGitHub(good, "72d3162e-cc78-11e3-81ab-4c9367dc0958")...); job.Caller != "ci" {
			t.Errorf("got %+v", job)
		}
	})
}

func TestRateLimit(t *testing.T) {
	f, tokens := guarded(t, 3)
	ask := func() Response { return f.call(t, as(event("POST", "/v1/routines", good), tokens["ci"])) }
	for left := 2; left >= 0; left-- {
		if res := ask(); res.StatusCode != 202 || !strings.HasPrefix(res.Headers["Ratelimit"], fmt.Sprintf(`"caller";r=%d;`, left)) {
			t.Errorf("%d left: %+v", left, res)
		}
	}
	res := ask()
	if refused(t, res, 429, "too-many-requests"); res.Headers["Retry-After"] != "20" || res.Headers["Ratelimit-Policy"] != `"caller";q=3;w=60` {
		t.Errorf("got %+v", res)
	}
	f.clock.Advance(20 * time.Second)
	if res := ask(); res.StatusCode != 202 {
		t.Errorf("got %+v", res)
	}
	f.clock.Advance(time.Minute)
	list := as(batch("["+wishFor(1)+","+wishFor(2)+"]"), tokens["ci"])
	if got := read[api.BatchResult](t, f.call(t, list), 202); got.Accepted != 2 {
		t.Errorf("got %+v", got)
	}
	refused(t, f.call(t, list), 429, "too-many-requests")
	if jobs, _, err := f.Ledger.Jobs(t.Context(), ledger.Filter{}, 100, ""); err != nil || len(jobs) != 6 {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
}

func TestWhatCallsCost(t *testing.T) {
	// left is how many requests a caller may still send after a call.
	left := func(t *testing.T, res Response) (n int) {
		t.Helper()
		if _, err := fmt.Sscanf(res.Headers["Ratelimit"], `"caller";r=%d;`, &n); err != nil {
			t.Fatalf("%v: %+v", err, res)
		}
		return n
	}
	const perMinute = 60
	ask := func(t *testing.T, e map[string]any) int {
		t.Helper()
		f, tokens := guarded(t, perMinute)
		return perMinute - left(t, f.call(t, as(e, tokens["ci"])))
	}
	waiting := func(n int) map[string]any {
		return event("POST", "/v1/routines", good, "Prefer", fmt.Sprintf("wait=%d", n))
	}
	for name, test := range map[string]struct {
		call map[string]any
		want int
	}{
		"a request":                       {event("POST", "/v1/routines", good), 1},
		"a batch of three":                {batch("[" + good + "," + good + "," + good + "]"), 3},
		"a batch of three, two wrong":     {batch("[" + good + ",1,{}]"), 3},
		"lines, empty ones between":       {batch(good+"\n\n"+good+"\n", "Content-Type", mediaNDJSON), 2},
		"a wait of a second":              {waiting(1), 2},
		"a wait of ten seconds":           {waiting(10), 2},
		"a wait of eleven seconds":        {waiting(11), 3},
		"a wait that is longer than any":  {waiting(3600), 6},
		"a batch larger than the limit":   {batch("[" + strings.Repeat(good+",", 99) + good + "]"), perMinute},
		"a batch that is not read at all": {batch("[" + strings.Repeat(good+",", 1000) + good + "]"), 1},
		"what the caller may not do":      {event("GET", "/v1/jobs", ""), 1},
		"a body that is no request":       {event("POST", "/v1/routines", "{}"), 1},
		"a parameter there is not":        {asking("POST", "/v1/routines", "x", "y"), 1},
		"a job there is not":              {event("POST", "/v1/jobs/nobody:cancel", ""), 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ask(t, test.call); got != test.want {
				t.Errorf("costs %d, want %d", got, test.want)
			}
		})
	}
	reads := func(t *testing.T, perMinute int) (*function, string) {
		t.Helper()
		f := start(t)
		return f, f.knows(t, map[string]string{"ci": fmt.Sprintf(`"scopes":["submit","read"],"requestsPerMinute":%d`, perMinute)})["ci"]
	}
	t.Run("to count dead letters costs what its reads of the ledger may be", func(t *testing.T) {
		f, token := reads(t, perMinute)
		if got := perMinute - left(t, f.call(t, as(asking("GET", "/v1/dead-letters", "counts", "true"), token))); got != 1+countPrice {
			t.Errorf("costs %d", got)
		}
		f, token = reads(t, 10)
		f.call(t, as(event("GET", "/v1/jobs", ""), token))
		refused(t, f.call(t, as(asking("GET", "/v1/dead-letters", "counts", "true"), token)), 429, "too-many-requests")
	})
	t.Run("HEAD costs what GET costs", func(t *testing.T) {
		for _, method := range []string{"GET", "HEAD"} {
			f, token := reads(t, perMinute)
			if got := perMinute - left(t, f.call(t, as(event(method, "/v1/jobs", ""), token))); got != 1 {
				t.Errorf("%s costs %d", method, got)
			}
		}
	})
	t.Run("who has nothing left is refused before anything is read", func(t *testing.T) {
		f, token := reads(t, 1)
		f.call(t, as(event("GET", "/v1/jobs", ""), token))
		for _, e := range []map[string]any{
			event("POST", "/v1/routines", "{"), batch("["), event("POST", "/v1/routines", good, "Content-Type", "text/html"), asking("GET", "/v1/jobs", "state", "x"),
			event("HEAD", "/v1/jobs", ""),
		} {
			refused(t, f.call(t, as(e, token)), 429, "too-many-requests")
		}
	})
	t.Run("a batch that is refused for its size can be sent when Retry-After says", func(t *testing.T) {
		f, token := reads(t, perMinute)
		list := batch("[" + strings.Repeat(good+",", 39) + good + "]")
		f.call(t, as(list, token))
		res := f.call(t, as(list, token))
		refused(t, res, 429, "too-many-requests")
		wait, err := strconv.Atoi(res.Headers["Retry-After"])
		if err != nil {
			t.Fatal(err)
		}
		f.clock.Advance(time.Duration(wait) * time.Second)
		read[api.BatchResult](t, f.call(t, as(list, token)), 202)
	})
	t.Run("who cannot pay for a wait is answered at once, and the job is accepted", func(t *testing.T) {
		f, token := reads(t, 3)
		f.call(t, as(event("POST", "/v1/routines", good), token))
		began := f.clock.Now()
		res := f.call(t, as(waiting(30), token))
		if _, applied := res.Headers["Preference-Applied"]; applied || res.StatusCode != 202 || !f.clock.Now().Equal(began) || left(t, res) != 1 {
			t.Errorf("after %s: %+v", f.clock.Now().Sub(began), res)
		}
	})
	t.Run("a caller waits four times at once at most, and the fifth is answered at once", func(t *testing.T) {
		f, token := reads(t, perMinute)
		job := read[routine.Job](t, f.call(t, as(event("POST", "/v1/routines", good), token)), 202)
		look := func() Response {
			return f.call(t, as(event("GET", "/v1/jobs/"+job.ID, "", "Prefer", "wait=20"), token))
		}
		depth, applied := 0, []bool{}
		f.Sleep = func(_ context.Context, d time.Duration) { // while one waits, the next comes
			if depth++; depth <= maxWaits {
				_, given := look().Headers["Preference-Applied"]
				applied = append(applied, given)
			}
			f.clock.Advance(d)
		}
		look()
		if want := []bool{false, true, true, true}; !slices.Equal(applied, want) { // the innermost, the fifth, ends first
			t.Errorf("waited: %v, want %v", applied, want)
		}
		if _, given := look().Headers["Preference-Applied"]; !given {
			t.Error("who has waited may not wait again")
		}
	})
}

// refusal is a line of the log about a caller who is not known.
type refusal struct {
	Level, Msg, Source, Reason, Error string
	LeftOut, Status                   int
}

// refused are the lines about callers who are not known, since the last call.
func (f *function) refused(t *testing.T) []refusal {
	t.Helper()
	var out []refusal
	for line := range strings.Lines(f.log.String()) {
		var one refusal
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		if one.Msg == "caller refused" {
			out = append(out, one)
		}
	}
	f.log.Reset()
	return out
}

func TestRefusalsLeaveATrace(t *testing.T) {
	stranger, _ := auth.NewToken()
	t.Run("each with where it came from and why, and no secret", func(t *testing.T) {
		f, tokens := guarded(t, 0)
		webhook := signedWebhook(t, "msg_1", good, f.clock.Now())
		stale := signedWebhook(t, "msg_1", good, f.clock.Now().Add(-time.Hour))
		for want, headers := range map[string][]string{
			"MissingCredentials":     nil,
			"BadToken":               {"Authorization", "Bearer " + stranger},
			"MalformedCredentials":   {"Authorization", "Basic " + stranger},
			"BadSignature":           signedByGitHub(good+" ", "d-1"),
			"StaleTimestamp":         stale,
			"ConflictingCredentials": append(webhook, "Authorization", "Bearer "+tokens["ops"]),
		} {
			f.call(t, event("POST", "/v1/routines", good, headers...))
			if strings.Contains(f.log.String(), stranger) || strings.Contains(f.log.String(), "v1,") || len(f.log.String()) > 500 {
				t.Errorf("log %s", f.log)
			}
			got := f.refused(t)
			if len(got) != 1 || got[0].Reason != want || got[0].Source != "192.0.2.1" || got[0].Level != "warning" || got[0].Status != http.StatusUnauthorized || got[0].Error == "" {
				t.Errorf("%s: got %+v", want, got)
			}
		}
	})
	t.Run("in lines that stay short, whatever the platform says of the source", func(t *testing.T) {
		f, _ := guarded(t, 0)
		e := event("GET", "/v1/jobs", "")
		e["requestContext"].(map[string]any)["http"].(map[string]string)["sourceIp"] = strings.Repeat("9", 10_000)
		f.call(t, e)
		if len(f.log.String()) > 500 {
			t.Errorf("a line of %d bytes", f.log.Len())
		}
		if got := f.refused(t); len(got) != 1 || got[0].Source != strings.Repeat("9", 45) {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("in so many lines a minute, of which the next tells how many are left out", func(t *testing.T) {
		f, tokens := guarded(t, 0)
		flood := func(n int) []refusal {
			for range n {
				f.call(t, event("GET", "/v1/jobs", "", "Authorization", "Bearer "+stranger))
			}
			return f.refused(t)
		}
		if got := len(flood(maxRefusals + 100)); got != maxRefusals {
			t.Errorf("%d lines", got)
		}
		f.clock.Advance(time.Minute)
		var leftOut []int
		for _, line := range flood(3) {
			leftOut = append(leftOut, line.LeftOut)
		}
		if diff := cmp.Diff([]int{100, 0, 0}, leftOut); diff != "" {
			t.Errorf("left out (-want +got):\n%s", diff)
		}
		f.call(t, as(event("GET", "/v1/jobs", ""), tokens["shop"]))
		if got := f.refused(t); got != nil {
			t.Errorf("a caller who is known: %+v", got)
		}
	})
	t.Run("also if the caller is known and sends too many", func(t *testing.T) {
		f, tokens := guarded(t, 1)
		for range 2 {
			f.call(t, as(event("POST", "/v1/routines", good), tokens["ci"]))
		}
		got := f.refused(t)
		if len(got) != 1 || got[0].Status != http.StatusTooManyRequests || got[0].Reason != auth.CodeTooManyRequests || got[0].Error == "" {
			t.Errorf("got %+v", got)
		}
	})
}
