package auth_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"routinely/shared/auth"
	"routinely/shared/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	now  = time.Unix(1614265330, 0)
	body = []byte(`{"test": 2432232314}`)
)

// holder is a caller with its secrets and its configuration.
type holder struct {
	name, token, webhookSecret, githubSecret string

	config map[string]any
}

// newHolder makes a caller with secrets of its own and all scopes.
func newHolder(name string) holder {
	token, hash := auth.NewToken()
	random := sha256.Sum256([]byte(token))
	h := holder{
		name: name, token: token,
		webhookSecret: "whsec_" + base64.StdEncoding.EncodeToString(random[:]),
		githubSecret:  "GitHub's " + base64.StdEncoding.EncodeToString(random[:24]), // not a possible name
	}
	h.config = map[string]any{
		"name": name, "scopes": []string{"submit", "read", "operate"}, "tokens": []string{hash},
		"webhookSecrets": []string{h.webhookSecret}, "githubSecrets": []string{h.githubSecret},
	}
	return h
}

func configure(callers ...map[string]any) string {
	text, err := json.Marshal(map[string]any{"callers": callers})
	if err != nil {
		panic(err) // only texts and numbers are in it
	}
	return string(text)
}

func parse(t testing.TB, text string) *auth.Guard {
	t.Helper()
	guard, err := auth.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

// parsePublished is parse for secrets that everybody knows.
func parsePublished(t testing.TB, text string) *auth.Guard {
	t.Helper()
	guard, err := auth.ParsePublished(text)
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

// keyOf is the key of a body that GitHub has signed.
func keyOf(body []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(body)) }

// headers makes a header of names and values.
func headers(pairs ...string) http.Header {
	out := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		out.Add(pairs[i], pairs[i+1])
	}
	return out
}

func (h holder) bearer() http.Header { return headers("Authorization", "Bearer "+h.token) }

// signature signs as Standard Webhooks says.
func (h holder) signature(id string, at time.Time, body []byte) string {
	secret, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(h.webhookSecret, "whsec_"))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (h holder) webhook(id string, at time.Time, body []byte) http.Header {
	return headers("webhook-id", id, "webhook-timestamp", strconv.FormatInt(at.Unix(), 10), "webhook-signature", h.signature(id, at, body))
}

func (h holder) github(id string, body []byte) http.Header {
	mac := hmac.New(sha256.New, []byte(h.githubSecret))
	mac.Write(body)
	return headers("X-GitHub-Delivery", id, "X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
}

func merge(all ...http.Header) http.Header {
	out := http.Header{}
	for _, header := range all {
		for name, values := range header {
			out[name] = append(out[name], values...)
		}
	}
	return out
}

func same[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s; -want +got:\n%s", what, diff)
	}
}

// known checks who sent a request, and under which key.
func known(t *testing.T, guard *auth.Guard, header http.Header, body []byte, name, key string) auth.Caller {
	t.Helper()
	caller, err := guard.Authenticate(header, body, now)
	if err != nil {
		t.Errorf("refused: %v", err)
	}
	same(t, "name and key", []string{caller.Name, caller.Key}, []string{name, key})
	return caller
}

// refused checks that a request is refused with a code, and that the refusal says what to do.
func refused(t *testing.T, guard *auth.Guard, header http.Header, body []byte, code string) {
	t.Helper()
	caller, err := guard.Authenticate(header, body, now)
	if !fault.HasKind(err, fault.Unauthenticated) || !fault.HasCode(err, code) || fault.From(err).Hint == "" {
		t.Errorf("got %v, want a refusal %s with a hint", err, code)
	}
	if caller.Name != "" || caller.May(auth.Submit) == nil {
		t.Errorf("a refused request is from %+v", caller)
	}
}

func TestBearer(t *testing.T) {
	ci, shop := newHolder("ci"), newHolder("shop")
	newer, hash := auth.NewToken()
	ci.config["tokens"] = append(ci.config["tokens"].([]string), hash)
	guard := parse(t, configure(ci.config, shop.config))

	t.Run("knows who holds a token, an old or a new one, in any case of the scheme and with spaces", func(t *testing.T) {
		known(t, guard, ci.bearer(), nil, "ci", "")
		known(t, guard, shop.bearer(), nil, "shop", "")
		known(t, guard, headers("Authorization", "Bearer "+newer), nil, "ci", "")
		known(t, guard, headers("Authorization", "bearer   "+ci.token), nil, "ci", "")
	})
	stranger, _ := auth.NewToken()
	for name, test := range map[string]struct {
		header http.Header
		code   string
	}{
		"an unknown token":             {headers("Authorization", "Bearer "+stranger), auth.CodeBadToken},
		"a request without a header":   {http.Header{}, auth.CodeMissingCredentials},
		"an old signature of GitHub":   {headers("X-GitHub-Delivery", "d1", "X-Hub-Signature", "sha1=00"), auth.CodeMissingCredentials},
		"an empty header":              {headers("Authorization", ""), auth.CodeMalformedCredentials},
		"a scheme alone":               {headers("Authorization", "Bearer"), auth.CodeMalformedCredentials},
		"a scheme and a space":         {headers("Authorization", "Bearer "), auth.CodeMalformedCredentials},
		"another scheme":               {headers("Authorization", "Basic dTpw"), auth.CodeMalformedCredentials},
		"no scheme":                    {headers("Authorization", ci.token), auth.CodeMalformedCredentials},
		"a space after the token":      {headers("Authorization", "Bearer "+ci.token+" "), auth.CodeMalformedCredentials},
		"two tokens":                   {headers("Authorization", "Bearer "+ci.token+", Bearer "+ci.token), auth.CodeMalformedCredentials},
		"a token that is cut":          {headers("Authorization", "Bearer "+ci.token[:47]), auth.CodeMalformedCredentials},
		"the hash of a token":          {headers("Authorization", "Bearer "+hash), auth.CodeMalformedCredentials},
		"a line break":                 {headers("Authorization", "Bearer "+ci.token[:47]+"\n"), auth.CodeMalformedCredentials},
		"a header that is there twice": {merge(ci.bearer(), ci.bearer()), auth.CodeMalformedCredentials},
	} {
		t.Run("refuses "+name, func(t *testing.T) { refused(t, guard, test.header, body, test.code) })
	}
	t.Run("refuses a weak token even if its hash is configured", func(t *testing.T) {
		weak := newHolder("weak")
		weak.config["tokens"] = []string{keyOf([]byte("rtly_password"))}
		refused(t, parse(t, configure(weak.config)), headers("Authorization", "Bearer rtly_password"), nil, auth.CodeMalformedCredentials)
	})
}

func TestSeveralKinds(t *testing.T) {
	ci, shop := newHolder("ci"), newHolder("shop")
	guard := parse(t, configure(ci.config, shop.config))
	webhook, github := ci.webhook("msg_1", now, body), ci.github("d-1", body)

	t.Run("takes several kinds of one caller, with the signed id as key", func(t *testing.T) {
		known(t, guard, merge(ci.bearer(), webhook), body, "ci", "msg_1")
		known(t, guard, merge(ci.bearer(), github), body, "ci", keyOf(body))
		known(t, guard, merge(webhook, github), body, "ci", "msg_1")
	})
	t.Run("refuses credentials of different callers", func(t *testing.T) {
		refused(t, guard, merge(shop.bearer(), webhook), body, auth.CodeConflictingCredentials)
		refused(t, guard, merge(webhook, shop.github("d-1", body)), body, auth.CodeConflictingCredentials)
	})
	t.Run("refuses all if one is wrong", func(t *testing.T) {
		stranger := newHolder("stranger")
		refused(t, guard, merge(stranger.bearer(), webhook), body, auth.CodeBadToken)
		refused(t, guard, merge(ci.bearer(), stranger.webhook("msg_1", now, body)), body, auth.CodeBadSignature)
		refused(t, guard, merge(ci.bearer(), webhook, stranger.github("d-1", body)), body, auth.CodeBadSignature)
		refused(t, guard, merge(ci.bearer(), headers("webhook-id", "msg_1")), body, auth.CodeMalformedCredentials)
	})
}

func TestEverybody(t *testing.T) {
	guard := parse(t, " none\n")
	t.Run("lets everybody do everything", func(t *testing.T) {
		caller := known(t, guard, http.Header{}, nil, auth.Anonymous, "")
		same(t, "scopes", may(caller), []string{"submit", "read", "operate"})
		if !guard.Admit(caller, 1000, now).Allowed {
			t.Error("limited")
		}
	})
	t.Run("takes the id of a webhook as the key, and the id of a delivery for the log", func(t *testing.T) {
		known(t, guard, headers("Webhook-Id", "msg_1"), nil, auth.Anonymous, "msg_1")
		if caller := known(t, guard, headers("X-GitHub-Delivery", "d-1"), nil, auth.Anonymous, ""); caller.Delivery != "d-1" || caller.Signed() {
			t.Errorf("got %+v", caller)
		}
	})
	t.Run("takes the hash of an id that could forge a line of the log, and refuses two ids", func(t *testing.T) {
		known(t, guard, headers("Webhook-Id", "msg\nlevel=error"), nil, auth.Anonymous, "webhook:7ba2a0877a64b20034199c4c7aa65ecabef5e7318e83fb11cf7c762c83cfea32")
		refused(t, guard, headers("Webhook-Id", "a", "Webhook-Id", "b"), nil, auth.CodeMalformedCredentials)
	})
}

func TestZero(t *testing.T) {
	t.Run("a guard that was not made by Parse refuses everybody", func(t *testing.T) {
		ci, guard := newHolder("ci"), &auth.Guard{}
		refused(t, guard, http.Header{}, nil, auth.CodeMissingCredentials)
		refused(t, guard, ci.bearer(), nil, auth.CodeBadToken)
		refused(t, guard, ci.webhook("msg_1", now, body), body, auth.CodeBadSignature)
		refused(t, guard, ci.github("d-1", body), body, auth.CodeBadSignature)
		if limit := guard.Admit(auth.Caller{}, 1, now); limit.Allowed || limit.RetryAfter <= 0 {
			t.Errorf("admits a caller it does not know: %+v", limit)
		}
	})
	t.Run("a caller that no guard has named may do nothing", func(t *testing.T) {
		same(t, "scopes", may(auth.Caller{}), nil)
		if (auth.Caller{}).MayCancel("") == nil {
			t.Error("may cancel the job of nobody")
		}
	})
}

// may lists what a caller may do.
func may(caller auth.Caller) []string {
	var out []string
	for _, scope := range []auth.Scope{auth.Submit, auth.Read, auth.Operate, "", "other"} {
		if caller.May(scope) == nil {
			out = append(out, string(scope))
		}
	}
	return out
}

func TestMay(t *testing.T) {
	ci, operator := newHolder("ci"), newHolder("operator")
	ci.config["scopes"] = []string{"submit", "read"}
	guard := parse(t, configure(ci.config, operator.config))
	byToken := known(t, guard, ci.bearer(), body, "ci", "")
	bySignature := known(t, guard, operator.webhook("msg_1", now, body), body, "operator", "msg_1")

	t.Run("gives a token the caller's scopes and no others", func(t *testing.T) {
		same(t, "scopes", may(byToken), []string{"submit", "read"})
		err := byToken.May(auth.Operate)
		if !fault.HasKind(err, fault.Denied) || !fault.HasCode(err, auth.CodeMissingScope) || !strings.Contains(err.Error(), "operate") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("gives a signature submit alone", func(t *testing.T) {
		byGitHub := known(t, guard, operator.github("d-1", body), body, "operator", keyOf(body))
		byBoth := known(t, guard, merge(operator.bearer(), operator.github("d-1", body)), body, "operator", keyOf(body))
		want := [][]string{{"submit"}, {"submit"}, {"submit", "read", "operate"}}
		same(t, "scopes", [][]string{may(bySignature), may(byGitHub), may(byBoth)}, want)
		if err := bySignature.May(auth.Operate); !strings.Contains(fault.From(err).Hint, "signature") {
			t.Errorf("the hint does not say why: %q", fault.From(err).Hint)
		}
	})
	t.Run("to cancel, a caller needs submit and its own job, or operate", func(t *testing.T) {
		reader := newHolder("reader")
		reader.config["scopes"] = []string{"read"}
		byReader := known(t, parse(t, configure(reader.config)), reader.bearer(), nil, "reader", "")
		byOperator := known(t, guard, operator.bearer(), nil, "operator", "")
		for _, test := range []struct {
			caller  auth.Caller
			ownedBy string
			may     bool
		}{{byToken, "ci", true}, {byToken, "shop", false}, {byReader, "reader", false}, {byOperator, "shop", true}, {bySignature, "operator", false}} {
			same(t, test.caller.Name+" may cancel a job of "+test.ownedBy, test.caller.MayCancel(test.ownedBy) == nil, test.may)
		}
	})
}

func TestChallenge(t *testing.T) {
	ci := newHolder("ci")
	ci.config["scopes"] = []string{"submit"}
	guard := parse(t, configure(ci.config))
	_, missing := guard.Authenticate(http.Header{}, nil, now)
	_, bad := guard.Authenticate(newHolder("stranger").bearer(), nil, now)
	denied := known(t, guard, ci.bearer(), nil, "ci", "").May(auth.Read)
	got := []string{auth.Challenge(missing), auth.Challenge(bad), auth.Challenge(denied)}
	want := []string{
		`Bearer realm="routinely"`, `Bearer realm="routinely", error="invalid_token"`, `Bearer realm="routinely", error="insufficient_scope"`,
	}
	same(t, "WWW-Authenticate", got, want)
}
