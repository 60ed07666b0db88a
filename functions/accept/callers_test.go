package accept

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"routinely/shared/api"
	"routinely/shared/auth"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// Secrets of the callers in the tests.
const (
	webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	githubSecret  = "a secret that is long enough for GitHub"
)

// guarded is a function that knows some callers, with their tokens by name.
func guarded(t *testing.T, perMinute int) (*function, map[string]string) {
	t.Helper()
	tokens := map[string]string{}
	hash := func(name string) string {
		token, hash := auth.NewToken()
		tokens[name] = token
		return hash
	}
	guard, err := auth.Parse(fmt.Sprintf(`{"callers":[
		{"name":"ci","scopes":["submit"],"tokens":[%q],"webhookSecrets":[%q],"githubSecrets":[%q],"requestsPerMinute":%d},
		{"name":"shop","scopes":["submit","read"],"tokens":[%q]},
		{"name":"reader","scopes":["read"],"tokens":[%q]},
		{"name":"ops","scopes":["read","operate"],"tokens":[%q]}]}`,
		hash("ci"), webhookSecret, githubSecret, perMinute, hash("shop"), hash("reader"), hash("ops")))
	if err != nil {
		t.Fatal(err)
	}
	f := start(t)
	f.Guard = guard
	return f, tokens
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
	t.Run("may do what their scopes say, and nothing without credentials", func(t *testing.T) {
		f, tokens := guarded(t, 0)
		job := read[routine.Job](t, f.call(t, as(event("POST", "/v1/routines", good), tokens["ci"])), 202)
		for _, test := range []struct {
			method, path, body string
			scope              auth.Scope
		}{
			{"POST", "/v1/routines", good, auth.Submit},
			{"POST", "/v1/routines:batch", "[" + good + "]", auth.Submit},
			{"GET", "/v1/routines/pr-1", "", auth.Read},
			{"GET", "/v1/jobs", "", auth.Read},
			{"GET", "/v1/jobs/" + job.ID, "", auth.Read},
			{"GET", "/v1/dead-letters", "", auth.Read},
			{"GET", "/v1/dead-letters/x", "", auth.Read},
			{"POST", "/v1/dead-letters:redrive", `{"all":true}`, auth.Operate},
			{"POST", "/v1/dead-letters/x:redrive", "", auth.Operate},
			{"POST", "/v1/jobs/" + job.ID + ":notify", "", auth.Operate},
			{"DELETE", "/v1/dead-letters/x", "", auth.Operate},
			{"DELETE", "/v1/dead-letters", "", auth.Operate},
		} {
			res := f.call(t, event(test.method, test.path, test.body))
			if refused(t, res, 401, "unauthenticated"); !strings.HasPrefix(res.Headers["Www-Authenticate"], "Bearer ") {
				t.Errorf("%s %s: headers %v", test.method, test.path, res.Headers)
			}
			for name, scopes := range map[string][]auth.Scope{"ci": {auth.Submit}, "shop": {auth.Submit, auth.Read}, "ops": {auth.Read, auth.Operate}} {
				res := f.call(t, as(event(test.method, test.path, test.body), tokens[name]))
				may := false
				for _, scope := range scopes {
					may = may || scope == test.scope
				}
				if may == (res.StatusCode == 403) || res.StatusCode == 401 {
					t.Errorf("%s %s as %s: status %d", test.method, test.path, name, res.StatusCode)
				}
			}
		}
	})
	t.Run("cancel jobs of their own, and operators anybody's", func(t *testing.T) {
		f, tokens := guarded(t, 0)
		for _, test := range []struct {
			who    string
			status int
		}{{"shop", 403}, {"ci", 200}, {"ops", 200}} {
			job := read[routine.Job](t, f.call(t, as(event("POST", "/v1/routines", good), tokens["ci"])), 202)
			if res := f.call(t, as(event("POST", "/v1/jobs/"+job.ID+":cancel", ""), tokens[test.who])); res.StatusCode != test.status {
				t.Errorf("%s: %+v", test.who, res)
			}
		}
	})
	t.Run("need no credentials for the pages", func(t *testing.T) {
		f, _ := guarded(t, 0)
		for _, path := range []string{"/healthz", "/problems", "/openapi.yaml"} {
			if res := f.call(t, event("GET", path, "")); res.StatusCode != 200 {
				t.Errorf("%s: %+v", path, res)
			}
		}
	})
	t.Run("are known by the signature of a webhook, whose id is the key", func(t *testing.T) {
		f, _ := guarded(t, 0)
		now := strconv.FormatInt(f.clock.Now().Unix(), 10)
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(webhookSecret, "whsec_"))
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte("msg_1." + now + "." + good))
		headers := []string{"webhook-id", "msg_1", "webhook-timestamp", now, "webhook-signature", "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}
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
		mac := hmac.New(sha256.New, []byte(githubSecret))
		mac.Write([]byte(good))
		job := f.post(t, good, "X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)), "X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
		if job.Caller != "ci" {
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
