package auth_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"routinely/shared/auth"
	"routinely/shared/fault"
)

// fixed is a caller whose credentials are always the same, so that a corpus can hold them.
func fixed(webhookSecret, githubSecret string) holder {
	h := holder{name: "ci", token: "rtly_" + strings.Repeat("A", 43), webhookSecret: webhookSecret, githubSecret: githubSecret}
	h.config = map[string]any{
		"name": h.name, "scopes": []string{"submit", "read"}, "webhookSecrets": []string{h.webhookSecret}, "githubSecrets": []string{h.githubSecret},
		"tokens": []string{"sha256:9cf6e61780387d4b57aba245949eb930bd47a97a97e6570261907d2b3e4b11b0"},
	}
	return h
}

// FuzzHeaders: a request without a secret is refused, and a refusal shows nothing of the request.
func FuzzHeaders(f *testing.F) {
	h := fixed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "It's a Secret to Everybody") // those of the published vectors
	guard := parsePublished(f, configure(h.config))
	signed, delivered := h.webhook("msg_1", now, body), h.github("d-1", body)
	f.Add("Bearer "+h.token, "", "", "", "", "", body)
	f.Add("", "msg_1", "1614265330", signed.Get("webhook-signature"), "", "", body)
	f.Add("", "", "", "", "d-1", delivered.Get("X-Hub-Signature-256"), body)
	f.Fuzz(func(t *testing.T, authorization, id, timestamp, signatures, delivery, hub string, body []byte) {
		header := http.Header{}
		for name, value := range map[string]string{
			"Authorization": authorization, "Webhook-Id": id, "Webhook-Timestamp": timestamp, "Webhook-Signature": signatures,
			"X-GitHub-Delivery": delivery, "X-Hub-Signature-256": hub,
		} {
			if value != "" {
				header.Set(name, value)
			}
		}
		caller, err := guard.Authenticate(header, body, now)
		if err != nil {
			checkRefusal(t, caller, err)
			return
		}
		if strings.HasPrefix(caller.Key, "webhook:") { // the hash of an id that cannot be a key
			caller.Key = ""
		}
		byToken := strings.HasSuffix(authorization, " "+h.token)
		byWebhook := strings.Contains(signatures, h.signature(id, unix(t, timestamp), body))
		byGitHub := strings.EqualFold(hub, h.github(delivery, body).Get("X-Hub-Signature-256"))
		if !byToken && !byWebhook && !byGitHub || authorization != "" && !byToken || signatures != "" && !byWebhook || hub != "" && !byGitHub {
			t.Fatalf("let in: %v", header)
		}
		if caller.Name != "ci" || caller.Key != "" && caller.Key != id && caller.Key != keyOf(body) || strings.ContainsAny(caller.Key, " .\r\n\"") {
			t.Fatalf("got %+v", caller)
		}
	})
}

// unix reads a timestamp if there is one.
func unix(t *testing.T, text string) time.Time {
	t.Helper()
	var seconds int64
	if _, err := fmt.Sscanf(text, "%d", &seconds); text != "" && err != nil {
		t.Fatalf("let in with the timestamp %q", text)
	}
	return time.Unix(seconds, 0)
}

func checkRefusal(t *testing.T, caller auth.Caller, err error) {
	t.Helper()
	if !fault.HasKind(err, fault.Unauthenticated) || caller.Name != "" || caller.Key != "" || caller.May(auth.Submit) == nil {
		t.Fatalf("got %+v, %v", caller, err)
	}
	text := err.Error() + fault.From(err).Hint
	if len(text) > 400 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Fatalf("a refusal with what was sent: %q", text)
	}
}

// FuzzParse: a text is refused, without a secret in the error, or it makes a guard that refuses strangers.
func FuzzParse(f *testing.F) {
	h := fixed("whsec_n1jjljkghsHVEuvhu7RrOmPugSxEk+XCsXO+c7mj7wM=", "c50e7f1b94a2d8366e0b9fd17a43c825")
	config := configure(h.config)
	parse(f, config) // what is made of it by fuzzing has no other fault
	for _, text := range []string{"", "none", config, config[:len(config)/2], `{"callers":[{"name":"a","scopes":["submit"]}]}`} {
		f.Add(text)
	}
	secrets := spellings(h.token, h.webhookSecret, h.githubSecret)
	stranger := newHolder("stranger")
	f.Fuzz(func(t *testing.T, text string) {
		guard, err := auth.Parse(text)
		if (guard == nil) != (err != nil) {
			t.Fatalf("got %v, %v", guard, err)
		}
		showsNone(t, secrets, fmt.Sprintf("%v %+v %#v", err, guard, guard))
		if err != nil || strings.TrimSpace(text) == "none" {
			return
		}
		for _, header := range []http.Header{{}, stranger.bearer(), stranger.webhook("msg_1", now, body), stranger.github("d-1", body)} {
			if caller, err := guard.Authenticate(header, body, now); err == nil {
				t.Fatalf("let a stranger in as %+v", caller)
			}
		}
	})
}
