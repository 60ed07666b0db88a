package accept

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"routinely/shared/api"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// signedWebhook are the headers of a Standard Webhook of the caller ci.
func signedWebhook(t *testing.T, id, body string, at time.Time) []string {
	t.Helper()
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(webhookSecret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	sent := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + sent + "." + body))
	return []string{"webhook-id", id, "webhook-timestamp", sent, "webhook-signature", "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}
}

// signedByGitHub are the headers of a delivery of GitHub for the caller ci.
func signedByGitHub(body, delivery string) []string {
	mac := hmac.New(sha256.New, []byte(githubSecret))
	mac.Write([]byte(body))
	return []string{"X-Hub-Signature-256", "sha256=" + hex.EncodeToString(mac.Sum(nil)), "X-GitHub-Delivery", delivery}
}

// jobs counts all there are.
func (f *function) jobs(t *testing.T) int {
	t.Helper()
	all, _, err := f.Ledger.Jobs(t.Context(), ledger.Filter{}, 100, "")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// Whoever has seen one signed request sends it again with everything changed that is not signed.
func TestCapturedRequest(t *testing.T) {
	f, tokens := guarded(t, 0)
	webhook := signedWebhook(t, "msg_1", good, f.clock.Now())
	first := f.post(t, good, webhook...)
	byGitHub := f.post(t, good, signedByGitHub(good, "d-1")...)
	if f.jobs(t) != 2 || first.Key != "msg_1" || byGitHub.Key != fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(good))) {
		t.Fatalf("%d jobs, %+v", f.jobs(t), byGitHub)
	}
	t.Run("is the same job again, whatever comes with it", func(t *testing.T) {
		for name, more := range map[string][]string{
			"nothing": nil, "a preference": {"Prefer", "wait=10"}, "another media type": {"Content-Type", "application/x+json"},
			"the key that is signed": {"Idempotency-Key", "msg_1"}, "GitHub's headers": {"X-GitHub-Delivery", "d-2", "X-GitHub-Event", "push"},
		} {
			res := f.call(t, event("POST", "/v1/routines", good, append(slices.Clone(webhook), more...)...))
			if again := read[routine.Job](t, res, 202); again.ID != first.ID || res.Headers["Preference-Applied"] != "" {
				t.Errorf("%s: got %+v", name, res)
			}
		}
		for n := range 20 {
			if again := f.post(t, good, signedByGitHub(good, fmt.Sprintf("d-%d", n))...); again.ID != byGitHub.ID {
				t.Errorf("GitHub's delivery %d: got %+v", n, again)
			}
		}
	})
	t.Run("is refused with another key", func(t *testing.T) {
		for _, signed := range [][]string{webhook, signedByGitHub(good, "d-1")} {
			for n := range 20 {
				headers := append(slices.Clone(signed), "Idempotency-Key", fmt.Sprintf("k%d", n))
				refused(t, f.call(t, event("POST", "/v1/routines", good, headers...)), 400, "invalid-idempotency-key")
			}
		}
	})
	t.Run("is no batch, in whatever media type", func(t *testing.T) {
		refused(t, f.call(t, batch(good, webhook...)), 400, "malformed-request")
		for _, media := range []string{"application/x-ndjson", "application/jsonl"} {
			refused(t, f.call(t, batch(good, append(slices.Clone(webhook), "Content-Type", media)...)), 415, "unsupported-media-type")
		}
	})
	t.Run("is good for nothing else", func(t *testing.T) {
		refused(t, f.call(t, event("POST", "/v1/jobs/"+first.ID+":cancel", "", signedWebhook(t, "msg_1", "", f.clock.Now())...)), 403, "denied")
	})
	t.Run("has made one job all the while", func(t *testing.T) {
		if got := f.jobs(t); got != 2 {
			t.Errorf("%d jobs of two requests", got)
		}
	})
	t.Run("takes the key of who shows a token too", func(t *testing.T) {
		for _, signed := range [][]string{webhook, signedByGitHub(good, "d-1")} {
			headers := append(slices.Clone(signed), "Idempotency-Key", "mine", "Authorization", "Bearer "+tokens["ci"])
			if job := f.post(t, good, headers...); f.row(t, job.ID).Key != "mine" {
				t.Errorf("got %+v", job)
			}
		}
	})
}

func TestCapturedBatch(t *testing.T) {
	f, _ := guarded(t, 0)
	body := "[\n" + wishFor(1) + "\n]"
	for _, signed := range [][]string{signedWebhook(t, "msg_1", body, f.clock.Now()), signedByGitHub(body, "d-1")} {
		before := f.jobs(t)
		if got := read[api.BatchResult](t, f.call(t, batch(body, signed...)), 202); got.Accepted != 1 {
			t.Errorf("got %+v", got)
		}
		if got := read[api.BatchResult](t, f.call(t, batch(body, signed...)), 202); got.Duplicate != 1 {
			t.Errorf("again: got %+v", got)
		}
		refused(t, f.call(t, batch(body, append(slices.Clone(signed), "Idempotency-Key", "k")...)), 400, "invalid-idempotency-key")
		// As lines, the second is a request too, with another index.
		refused(t, f.call(t, batch(body, append(slices.Clone(signed), "Content-Type", "application/x-ndjson")...)), 415, "unsupported-media-type")
		if got := f.jobs(t) - before; got != 1 {
			t.Errorf("%d jobs of one request", got)
		}
	}
}

func TestDeliveryIsLogged(t *testing.T) {
	f, _ := guarded(t, 0)
	f.post(t, good, signedByGitHub(good, "72d3162e-cc78-11e3-81ab-4c9367dc0958")...)
	if !strings.Contains(f.log.String(), `"delivery":"72d3162e-cc78-11e3-81ab-4c9367dc0958"`) {
		t.Errorf("log %s", f.log)
	}
	f.log.Reset()
	f.post(t, good, signedByGitHub(good, strings.Repeat("forged\n", 40))...)
	if strings.Contains(f.log.String(), "forged") {
		t.Errorf("log %s", f.log)
	}
}

func TestRepeatedHeaders(t *testing.T) {
	f, tokens := guarded(t, 0)
	mine := "Bearer " + tokens["ci"]
	for name, headers := range map[string][]string{
		"a token in two cases":       {"Authorization", mine, "authorization", mine},
		"two tokens in two cases":    {"Authorization", mine, "AUTHORIZATION", "Bearer " + tokens["ops"]},
		"two tokens, joined":         {"Authorization", mine + "," + mine},
		"two keys in two cases":      {"Authorization", mine, "Idempotency-Key", "a", "idempotency-key", "b"},
		"two keys, joined":           {"Authorization", mine, "Idempotency-Key", "a, b"},
		"an empty key and another":   {"Authorization", mine, "Idempotency-Key", "", "idempotency-key", "b"},
		"two ids of webhooks":        {"webhook-id", "a", "Webhook-Id", "b"},
		"two times, joined":          {"webhook-timestamp", "1,2"},
		"two media types":            {"Authorization", mine, "content-type", "application/json"},
		"two signatures of webhooks": {"webhook-signature", "v1,AAAA", "Webhook-Signature", "v1,AAAA"},
		"two signatures of GitHub":   {"X-Hub-Signature-256", "sha256=00,sha256=00"},
		"a header that nobody reads": {"Authorization", mine, "X-Extra", "1", "x-extra", "1"},
	} {
		t.Run(name+" are refused", func(t *testing.T) {
			refused(t, f.call(t, event("POST", "/v1/routines", good, headers...)), 400, "repeated-header")
		})
	}
	t.Run("are refused wherever they come", func(t *testing.T) {
		for _, path := range []string{"/healthz", "/problems", "/openapi.yaml", "/schemas/job.json", "/v1/jobs", "/v1/jobs/1", "/v1/routines/pr-1", "/v1/dead-letters", "/v1/dead-letters/1"} {
			refused(t, f.call(t, event("GET", path, "", "X-Extra", "1", "x-extra", "2")), 400, "repeated-header")
		}
	})
	t.Run("are not seen in what one value may hold", func(t *testing.T) {
		res := f.call(t, event("POST", "/v1/routines", good, "Authorization", `Digest username="a", realm="b"`))
		refused(t, res, 401, "unauthenticated")
		f.post(t, good, "Authorization", mine, "X-Forwarded-For", "192.0.2.1, 192.0.2.2", "Accept", "application/json, text/plain")
	})
}
