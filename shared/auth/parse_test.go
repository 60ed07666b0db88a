package auth_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"routinely/shared/auth"
	"routinely/shared/fault"
)

func TestNewToken(t *testing.T) {
	token, hash := auth.NewToken()
	if other, _ := auth.NewToken(); token == other || len(token) != len("rtly_")+43 {
		t.Errorf("made tokens of %d bytes, equal: %v", len(token), token == other)
	}
	h := newHolder("ci")
	h.token, h.config["tokens"] = token, []string{hash}
	known(t, parse(t, configure(h.config)), h.bearer(), nil, "ci", "")
}

func TestParse(t *testing.T) {
	t.Run("says what to set if nothing is", func(t *testing.T) {
		for _, text := range []string{"", " \n"} {
			guard, err := auth.Parse(text)
			if guard != nil || err == nil || !strings.Contains(err.Error(), "ROUTINELY_AUTH is empty") || !strings.Contains(err.Error(), "none") {
				t.Errorf("got %v, %v", guard, err)
			}
		}
	})
	t.Run("takes only the word none itself for none", func(t *testing.T) {
		for _, text := range []string{
			"None", "none,", `"none"`, "null", "[]", "{}", `{"callers":[]}`, `{"callers":null}`, `{"callers":{}}`, "{", "{} {}", "\xff",
		} {
			if guard, err := auth.Parse(text); guard != nil || err == nil {
				t.Errorf("%q: got %v, %v", text, guard, err)
			}
		}
	})
	t.Run("reads names of each form, also behind the byte-order mark of some editors", func(t *testing.T) {
		for _, name := range []string{"a", "Z-9_.x", strings.Repeat("n", 64)} {
			h := newHolder(name)
			known(t, parse(t, "\ufeff"+configure(h.config)), h.bearer(), nil, name, "")
		}
	})
	t.Run("reads webhook secrets of 24 to 64 bytes, and needs no token for a caller that submits", func(t *testing.T) {
		for _, size := range []int{24, 64} {
			h := newHolder("ci")
			h.webhookSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(h.token + h.token)[:size])
			h.config["webhookSecrets"], h.config["scopes"] = []string{h.webhookSecret}, []string{"submit"}
			delete(h.config, "tokens")
			known(t, parse(t, configure(h.config)), h.webhook("msg_1", now, body), body, "ci", "msg_1")
		}
	})
	t.Run("names all problems at once", func(t *testing.T) {
		a, b := newHolder("a"), newHolder("b")
		a.config["scopes"], a.config["tokens"] = []string{"write"}, []string{"x"}
		b.config["requestsPerMinute"] = -1
		_, err := auth.Parse(configure(a.config, b.config))
		want := `ROUTINELY_AUTH: caller "a" scopes[0]: "write" is not a scope; possible: submit, read, operate; ` +
			`caller "a" tokens[0]: must be sha256: and 64 hexadecimal digits, the hash of a token and not the token; ` +
			`caller "b" requestsPerMinute: must be a whole number from 0, for no limit, to 1000000`
		same(t, "error", fmt.Sprint(err), want)
	})
}

func TestParseRefuses(t *testing.T) {
	const place = `caller "ci" `
	whsec := func(size int) string {
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("0123456789abcdef", 5)[:size]))
	}
	tests := map[string]struct {
		field string
		value any
		want  string
	}{
		"no name":                        {"name", "", "callers[0] name: must have 1 to 64"},
		"a name of 65 letters":           {"name", strings.Repeat("n", 65), "callers[0] name: must have 1 to 64"},
		"a name with a line break":       {"name", "a\nb", "callers[0] name: must have 1 to 64"},
		"a name that is no text":         {"name", 1, "callers[0] name: must have 1 to 64"},
		"a token as name":                {"name", newHolder("x").token, "callers[0] name: looks like a secret"},
		"a secret as name":               {"name", "whsec_abc", "callers[0] name: looks like a secret"},
		"the reserved name":              {"name", "Anonymous", "callers[0] name: anonymous is reserved"},
		"the queue's name in capitals":   {"name", "Queue", "callers[0] name: would be taken for queue"},
		"no scopes":                      {"scopes", []string{}, place + "scopes: must be a list"},
		"scopes that are a text":         {"scopes", "submit", place + "scopes: must be a list"},
		"an unknown scope":               {"scopes", []string{"read", "Submit"}, place + `scopes[1]: "Submit" is not a scope`},
		"a scope twice":                  {"scopes", []string{"read", "read"}, place + "scopes[1]: read is given twice"},
		"a scope that is null":           {"scopes", []any{nil}, place + `scopes[0]: "" is not a scope`},
		"a null":                         {"tokens", nil, "callers[0]: tokens must not be null"},
		"an empty list of tokens":        {"tokens", []string{}, place + "tokens: must be a list"},
		"a list of numbers":              {"tokens", []int{1}, place + "tokens: must be a list"},
		"a token":                        {"tokens", []string{newHolder("x").token}, place + "tokens[0]: must be sha256:"},
		"a hash without its name":        {"tokens", []string{strings.Repeat("0", 64)}, place + "tokens[0]: must be sha256:"},
		"a hash of 63 digits":            {"tokens", []string{"sha256:" + strings.Repeat("0", 63)}, place + "tokens[0]: must be sha256:"},
		"a hash of 66 digits":            {"tokens", []string{"sha256:" + strings.Repeat("0", 66)}, place + "tokens[0]: must be sha256:"},
		"an empty webhook secret":        {"webhookSecrets", []string{""}, place + "webhookSecrets[0]: must be whsec_"},
		"a webhook secret of 23 bytes":   {"webhookSecrets", []string{whsec(23)}, place + "webhookSecrets[0]: must be whsec_"},
		"a webhook secret of 65 bytes":   {"webhookSecrets", []string{whsec(65)}, place + "webhookSecrets[0]: must be whsec_"},
		"base64 that was cut":            {"webhookSecrets", []string{whsec(32)[:48]}, place + "webhookSecrets[0]: must be whsec_"},
		"base64 with a line break":       {"webhookSecrets", []string{whsec(24) + "\n"}, place + "webhookSecrets[0]: must be whsec_"},
		"a webhook secret of zeros":      {"webhookSecrets", []string{"whsec_" + strings.Repeat("A", 32)}, place + "webhookSecrets[0]: is too weak, it has too few"},
		"a published webhook secret":     {"webhookSecrets", []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, place + "webhookSecrets[0]: is an example"},
		"a published secret of GitHub":   {"githubSecrets", []string{"It's a Secret to Everybody"}, place + "githubSecrets[0]: is an example"},
		"a published hash":               {"tokens", []string{"sha256:" + strings.ToUpper("5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8")}, place + "tokens[0]: is an example"},
		"a hash of zeros":                {"tokens", []string{"sha256:" + strings.Repeat("0", 64)}, place + "tokens[0]: is too weak"},
		"a short secret of GitHub":       {"githubSecrets", []string{strings.Repeat("0123456789abcdef", 2)[:23]}, place + "githubSecrets[0]: must have 24"},
		"a long secret of GitHub":        {"githubSecrets", []string{strings.Repeat("0123456789abcdef", 17)}, place + "githubSecrets[0]: must have 24"},
		"a space behind GitHub's secret": {"githubSecrets", []string{"It's a Secret to Everybody "}, place + "githubSecrets[0]: must have 24"},
		"GitHub's secret not in ASCII":   {"githubSecrets", []string{"It's a Secret to Everybödy"}, place + "githubSecrets[0]: must have 24"},
		"a weak secret of GitHub":        {"githubSecrets", []string{strings.Repeat("secret", 5)}, place + "githubSecrets[0]: is too weak"},
		"a negative limit":               {"requestsPerMinute", -1, place + "requestsPerMinute: must be a whole number"},
		"a fraction as limit":            {"requestsPerMinute", 1.5, place + "requestsPerMinute: must be a whole number"},
		"a limit in quotes":              {"requestsPerMinute", "60", place + "requestsPerMinute: must be a whole number"},
		"too large a limit":              {"requestsPerMinute", 1_000_001, place + "requestsPerMinute: must be a whole number"},
		"a name's beginning in capitals": {"names", []string{"pr-", "PR-"}, place + "names[1]: must be the beginning"},
		"a wildcard as record suffix":    {"recordSuffixes", []string{"*.example.com"}, place + "recordSuffixes[0]: must be a host name"},
		"an empty list of sites":         {"sites", []any{}, place + "sites: must be a list"},
		"an end that is no time":         {"expiresAt", "tomorrow", place + "expiresAt: must be a time"},
		"an unknown field":               {"scope", "submit", `callers[0]: "scope" is not a field; possible: name,`},
		"a field in other letters":       {"Tokens", []string{"x"}, `callers[0]: "Tokens" is not a field`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			config := maps.Clone(newHolder("ci").config)
			config[tt.field] = tt.value
			guard, err := auth.Parse(configure(config))
			if guard != nil || !strings.Contains(fmt.Sprint(err), "ROUTINELY_AUTH: "+tt.want) {
				t.Errorf("got %v, %v, want %q", guard, err, tt.want)
			}
		})
	}
	tokenless := maps.Clone(newHolder("ci").config)
	delete(tokenless, "tokens")
	for text, want := range map[string]string{
		`{"callers":[{"name":"ci","scopes":["submit"]}]}`:         `caller "ci": has no credential`,
		`{"callers":[{"name":"ci"}]}`:                             place + "scopes: are missing",
		configure(tokenless):                                      place + "scopes: read and operate need a token",
		configure(newHolder("ci").config, newHolder("ci").config): `callers[1] name: there is another caller "ci"`,
		`{"callers":[{"name":"a","name":"b"}]}`:                   "callers[0]: name is given twice",
		`{"callers":[],"callers":[]}`:                             "the text: callers is given twice",
		`{"callers":[[]]}`:                                        "callers[0]: must be an object",
		`{"callers":[{"na\u006de":"a","name":"b"}]}`:              "callers[0]: name is given twice",
	} {
		t.Run(want, func(t *testing.T) {
			if _, err := auth.Parse(text); !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, field := range []string{"tokens", "webhookSecrets", "githubSecrets"} {
		t.Run(field+" that two callers have, or one has twice", func(t *testing.T) {
			a, b := newHolder("a"), newHolder("b")
			b.config[field] = a.config[field]
			_, err := auth.Parse(configure(a.config, b.config))
			if !strings.Contains(fmt.Sprint(err), fmt.Sprintf(`caller "b" %s[0]: caller "a" has it already`, field)) {
				t.Errorf("got %v", err)
			}
			one := a.config[field].([]string)[0]
			a.config[field] = []string{one, one}
			if _, err := auth.Parse(configure(a.config)); !strings.Contains(fmt.Sprint(err), field+`[1]: caller "a" has it already`) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// spellings are the forms in which a secret could show.
func spellings(secrets ...string) []string {
	var out []string
	for _, s := range secrets {
		out = append(out, s, fmt.Sprintf("%x", s), fmt.Sprintf("%X", s), strings.Trim(fmt.Sprint([]byte(s)), "[]"),
			strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", []byte(s)), "[]byte{"), "}"), base64.StdEncoding.EncodeToString([]byte(s)))
	}
	return out
}

// secrets is what must not be shown of a caller: its secrets, the bytes of its webhook key, and the hash of its token.
func (h holder) secrets() []string {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(h.webhookSecret, "whsec_"))
	hash := strings.TrimPrefix(h.config["tokens"].([]string)[0], "sha256:")
	var sum []byte
	_, _ = fmt.Sscanf(hash, "%x", &sum)
	return spellings(h.token, h.webhookSecret, strings.TrimPrefix(h.webhookSecret, "whsec_"), string(key), h.githubSecret, hash, string(sum))
}

func showsNone(t *testing.T, secrets []string, text string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%q shows %q", text, secret)
		}
	}
}

func TestSecrecy(t *testing.T) {
	ci, shop := newHolder("ci"), newHolder("shop")
	guard := parse(t, configure(ci.config, shop.config))
	secrets := append(ci.secrets(), shop.secrets()...)

	t.Run("no way to print a guard shows a secret", func(t *testing.T) {
		type outer struct {
			Exported   auth.Guard
			unexported auth.Guard
			pointer    *auth.Guard
		}
		o := outer{*guard, *guard, guard}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p"} {
			for _, value := range []any{guard, *guard, o, &o, []any{guard}, errors.New(fmt.Sprint(o.pointer))} {
				showsNone(t, secrets, fmt.Sprintf(verb, value))
			}
		}
		text, err := json.Marshal(map[string]any{"guard": guard, "value": *guard, "outer": o})
		if err != nil {
			t.Fatal(err)
		}
		showsNone(t, secrets, string(text))
		if got := fmt.Sprintf("%+v, %s", guard, parse(t, "none")); got != "guard of 2 callers, guard that lets everybody in" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("neither a caller nor a refusal shows a secret or what was sent", func(t *testing.T) {
		stranger := newHolder("stranger")
		secrets := append(secrets, stranger.secrets()...)
		for _, header := range []http.Header{
			ci.bearer(), ci.webhook("msg_1", now, body), ci.github("d-1", body), stranger.bearer(), stranger.webhook("msg_1", now, body),
			stranger.github("d-1", body), merge(ci.bearer(), shop.github("d-1", body)), headers("Authorization", "Basic "+ci.token),
			headers("Authorization", ci.token), headers("Webhook-Id", ci.token), headers("X-Hub-Signature-256", ci.githubSecret),
			ci.webhook("msg_1", now.Add(-1e12), body),
		} {
			caller, err := guard.Authenticate(header, body, now)
			showsNone(t, secrets, fmt.Sprintf("%v %+v %#v %v %+v %#v", caller, caller, caller, err, err, err))
		}
	})
	t.Run("no error of the configuration shows a secret, wherever it was put", func(t *testing.T) {
		config := configure(ci.config, shop.config)
		for _, secret := range []string{ci.token, ci.webhookSecret, ci.githubSecret} {
			for _, place := range []string{
				"%s", "%q", "[%q]", "{%q:1}", `{"callers":%q}`, `{"callers":[%q]}`, `{"callers":[{%q:1}]}`, `{"callers":[{"name":%q}]}`,
				`{"callers":[{"name":"a","scopes":[%q]}]}`, `{"callers":[{"name":"a","scopes":%q}]}`, `{"callers":[{"name":"a","tokens":[%q]}]}`,
				`{"callers":[{"name":"a","webhookSecrets":[" %s"]}]}`, `{"callers":[{"name":"a","githubSecrets":[" %s"]}]}`,
				`{"callers":[{"name":"a","requestsPerMinute":%q}]}`, `{"callers":[{"name":"a","tokens":["%s]}]}`,
			} {
				_, err := auth.Parse(fmt.Sprintf(place, secret))
				showsNone(t, secrets, fmt.Sprintf("%v %#v", err, err))
				if err == nil {
					t.Errorf("%s is accepted", place)
				}
			}
		}
		for _, secret := range []string{"CorrectHorseBatteryStaple", "whsec_cut", "abc123"} {
			for _, place := range []string{`{%q:1}`, `{"callers":[{"name":"a","scopes":[%q]}]}`} {
				_, err := auth.Parse(fmt.Sprintf(place, secret))
				showsNone(t, []string{secret}, fmt.Sprint(err))
			}
		}
		for cut := range len(config) {
			_, err := auth.Parse(config[:cut])
			showsNone(t, secrets, fmt.Sprint(err))
		}
	})
}

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
			if !fault.HasKind(err, fault.Unauthenticated) || caller.Name != "" || caller.Key != "" || caller.May(auth.Submit) == nil {
				t.Fatalf("got %+v, %v", caller, err)
			}
			text := err.Error() + fault.From(err).Hint
			if len(text) > 400 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("a refusal with what was sent: %q", text)
			}
			return
		}
		if strings.HasPrefix(caller.Key, "webhook:") { // the hash of an id that cannot be a key
			caller.Key = ""
		}
		seconds, err := strconv.ParseInt(cmp.Or(timestamp, "0"), 10, 64)
		if err != nil {
			t.Fatalf("let in with the timestamp %q", timestamp)
		}
		byToken := strings.HasSuffix(authorization, " "+h.token)
		byWebhook := strings.Contains(signatures, h.signature(id, time.Unix(seconds, 0), body))
		byGitHub := strings.EqualFold(hub, h.github(delivery, body).Get("X-Hub-Signature-256"))
		if !byToken && !byWebhook && !byGitHub || authorization != "" && !byToken || signatures != "" && !byWebhook || hub != "" && !byGitHub {
			t.Fatalf("let in: %v", header)
		}
		if caller.Name != "ci" || caller.Key != "" && caller.Key != id && caller.Key != keyOf(body) || strings.ContainsAny(caller.Key, " .\r\n\"") {
			t.Fatalf("got %+v", caller)
		}
	})
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
