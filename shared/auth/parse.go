package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"routinely/shared/routine"
	"routinely/shared/secret"
	"routinely/shared/strictjson"
	"routinely/shared/webhook"
)

// variable is where the configuration comes from, for the texts that tell what to change.
const variable = "ROUTINELY_AUTH"

const (
	// minGitHubSecret is what Standard Webhooks wants too; GitHub asks for high entropy and sets no bound.
	minGitHubSecret = webhook.MinSecret
	maxGitHubSecret = 256
	maxName         = 64
)

// Parse reads the configuration of the callers. It is either the word none, which makes everybody the caller Anonymous with
// all scopes, or a JSON object:
//
//	{"callers": [{
//	  "name": "ci",
//	  "scopes": ["submit", "read"],
//	  "tokens": ["sha256:..."],
//	  "webhookSecrets": ["whsec_..."],
//	  "githubSecrets": ["..."],
//	  "requestsPerMinute": 600,
//	  "names": ["pr-"],
//	  "recordSuffixes": ["preview.example.com"],
//	  "sites": ["54362329990032"],
//	  "expiresAt": "2026-12-31T00:00:00Z"
//	}]}
//
// A name has 1 to 64 letters, digits and . _ - in it, and is shown and logged. Tokens are hashes made by NewToken; a webhook
// secret is whsec_ and 24 to 64 bytes in base64; a GitHub secret has 24 to 256 characters of ASCII. There may be several of
// each, so that one can take the place of another. What stands in documentation or can be guessed is refused. A limit of 0, or
// none, means as many requests as the caller likes. The last four are routine.Limits.
//
// The caller routine.QueueCaller stands for requests that other programs put on the queue: it has no credentials, and may have limits.
//
// The error names every problem with its caller and field, and never quotes a secret.
func Parse(text string) (*Guard, error) { return parse(text, secret.Guessable) }

func parse(text string, guessable func(content []byte) string) (*Guard, error) {
	text = strings.TrimSpace(string(strictjson.WithoutMark([]byte(text))))
	switch {
	case text == "":
		return nil, errors.New(variable + " is empty: set it to the callers, as JSON, or to the word none to let everybody in")
	case text == "none":
		return &Guard{everybody: true}, nil
	case !utf8.ValidString(text) || !json.Valid([]byte(text)):
		// What encoding/json says of it can quote a part of a secret.
		return nil, errors.New(variable + " is neither JSON nor the word none")
	}
	p := parser{guard: &Guard{}, owners: map[string]int{}, guessable: guessable}
	p.callers(json.RawMessage(text))
	if len(p.problems) > 0 {
		return nil, fmt.Errorf("%s: %s", variable, strings.Join(p.problems, "; "))
	}
	return p.guard, nil
}

// parser collects the callers and all problems with them.
type parser struct {
	guard    *Guard
	problems []string
	// owners tells which account has a credential, by kind and value.
	owners map[string]int
	// guessable says how others can know a secret, or guess it, given its bytes.
	guessable func(content []byte) string
}

func (p *parser) add(place, problem string, args ...any) {
	p.problems = append(p.problems, place+": "+fmt.Sprintf(problem, args...))
}

func (p *parser) callers(text json.RawMessage) {
	members := p.object("the text", text, "callers")
	if members == nil {
		return
	}
	var callers []json.RawMessage
	if json.Unmarshal(members["callers"], &callers) != nil || len(callers) == 0 {
		p.add("callers", "must be a list of one caller or more")
		return
	}
	for i, caller := range callers {
		p.caller(fmt.Sprintf("callers[%d]", i), caller)
	}
}

func (p *parser) caller(place string, text json.RawMessage) {
	known := append([]string{"name", "scopes", "tokens", "webhookSecrets", "githubSecrets", "requestsPerMinute", "deleteOnClose"}, routine.LimitMembers()...)
	members := p.object(place, text, known...)
	if members == nil {
		return
	}
	name := p.name(place, members["name"])
	if name != "" {
		place = fmt.Sprintf("caller %q", name)
	}
	scopes := p.scopes(place, members["scopes"])
	p.guard.accounts = append(p.guard.accounts, account{
		name: name, scopes: scopes, limit: p.limit(place, members["requestsPerMinute"]), may: p.limits(place, members),
		onClose: p.onClose(place, members["deleteOnClose"], members["githubSecrets"] != nil),
	})
	tokens, webhooks, github := members["tokens"], members["webhookSecrets"], members["githubSecrets"]
	if name == routine.QueueCaller {
		p.queue(place, scopes, tokens != nil || webhooks != nil || github != nil || members["requestsPerMinute"] != nil)
		return
	}
	p.credentials(&p.guard.tokens, place, "tokens", tokens, tokenDigest)
	p.credentials(&p.guard.webhooks, place, "webhookSecrets", webhooks, webhookDigest)
	p.credentials(&p.guard.github, place, "githubSecrets", github, githubDigest)
	switch {
	case tokens == nil && webhooks == nil && github == nil:
		p.add(place, "has no credential: give it tokens, webhookSecrets or githubSecrets")
	case tokens == nil && slices.ContainsFunc(scopes, func(s Scope) bool { return s != Submit }):
		p.add(place+" scopes", "%s and %s need a token: a signature gives the scope %s alone", Read, Operate, Submit)
	}
}

// queue checks the one caller without credentials. What has no effect there would be taken for a protection.
func (p *parser) queue(place string, scopes []Scope, more bool) {
	if more || !slices.Equal(scopes, []Scope{Submit}) {
		p.add(place, "stands for requests that are put on the queue: give it the scope %s and limits, neither credentials nor requestsPerMinute", Submit)
	}
}

// limits reads what the caller may name and bind.
func (p *parser) limits(place string, members map[string]json.RawMessage) routine.Limits {
	limits, problems := routine.ReadLimits(members)
	for _, wrong := range problems {
		field, index, inList := strings.Cut(strings.TrimPrefix(wrong.Pointer, "/"), "/")
		if inList {
			field += "[" + index + "]"
		}
		p.add(place+" "+field, "%s", wrong.Detail)
	}
	return limits
}

func (p *parser) name(place string, value json.RawMessage) string {
	var name string
	_ = json.Unmarshal(value, &name) // what is not a text stays empty
	switch {
	case name == "" || len(name) > maxName || !consistsOf(name, "._-"):
		p.add(place+" name", "must have 1 to %d letters, digits, full stops, underscores and hyphens", maxName)
		return ""
	case isToken(name) || strings.HasPrefix(name, webhook.SecretPrefix):
		p.add(place+" name", "looks like a secret; names are logged")
		return ""
	case strings.EqualFold(name, Anonymous):
		p.add(place+" name", "%s is reserved", Anonymous)
	case strings.EqualFold(name, routine.JanitorCaller):
		p.add(place+" name", "%s is reserved", routine.JanitorCaller)
	case strings.EqualFold(name, routine.QueueCaller) && name != routine.QueueCaller:
		p.add(place+" name", "would be taken for %s, which stands for requests that are put on the queue", routine.QueueCaller)
	case slices.ContainsFunc(p.guard.accounts, func(a account) bool { return a.name == name }):
		p.add(place+" name", "there is another caller %q", name)
	}
	return name
}

func (p *parser) scopes(place string, value json.RawMessage) []Scope {
	var out []Scope
	for i, text := range p.texts(place, "scopes", value) {
		switch scope := Scope(text); {
		case scope != Submit && scope != Read && scope != Operate:
			p.add(fmt.Sprintf("%s scopes[%d]", place, i), "%s is not a scope; possible: %s, %s, %s", harmless(text), Submit, Read, Operate)
		case slices.Contains(out, scope):
			p.add(fmt.Sprintf("%s scopes[%d]", place, i), "%s is given twice", scope)
		default:
			out = append(out, scope)
		}
	}
	if value == nil {
		p.add(place+" scopes", "are missing; possible: %s, %s, %s", Submit, Read, Operate)
	}
	return out
}

func (p *parser) limit(place string, value json.RawMessage) *bucket {
	perMinute := 0
	if value != nil && json.Unmarshal(value, &perMinute) != nil || perMinute < 0 || perMinute > maxPerMinute {
		p.add(place+" requestsPerMinute", "must be a whole number from 0, for no limit, to %d", maxPerMinute)
		return nil
	}
	if perMinute == 0 {
		return nil
	}
	return newBucket(perMinute)
}

// onClose reads the name of the routine that a closed pull request deletes.
func (p *parser) onClose(place string, value json.RawMessage, github bool) string {
	if value == nil {
		return ""
	}
	const longest = "999999999" // more digits than the number of any pull request has
	var name string
	_ = json.Unmarshal(value, &name) // what is not a text stays empty
	switch {
	case !github:
		p.add(place+" deleteOnClose", "needs githubSecrets: only GitHub's signed webhook reports closed pull requests")
	case strings.Count(name, NumberPlace) != 1 || routine.CheckName(strings.ReplaceAll(name, NumberPlace, longest)) != "":
		p.add(place+" deleteOnClose", "must be a routine's name of at most %d characters with %s once, such as pr-%s",
			routine.MaxName-len(longest)+len(NumberPlace), NumberPlace, NumberPlace)
	default:
		return name
	}
	return ""
}

// texts reads a list that, if it is there, has at least one text.
func (p *parser) texts(place, field string, value json.RawMessage) []string {
	if value == nil {
		return nil
	}
	var out []string
	if json.Unmarshal(value, &out) != nil || len(out) == 0 {
		p.add(place+" "+field, "must be a list of one text or more")
		return nil
	}
	return out
}

// reader makes a candidate's digest and the value that tells it from others; the problem it returns quotes neither.
type reader func(text string) (made digest, value, problem string)

// credentials makes candidates for the caller that came last.
func (p *parser) credentials(candidates *[]candidate, place, field string, list json.RawMessage, read reader) {
	self := len(p.guard.accounts) - 1
	for i, text := range p.texts(place, field, list) {
		at := fmt.Sprintf("%s %s[%d]", place, field, i)
		made, value, problem := read(text)
		if problem == "" {
			problem = p.guessable([]byte(value))
		}
		if problem != "" {
			p.add(at, "%s", problem)
			continue
		}
		if owner, taken := p.owners[field+" "+value]; taken {
			p.add(at, "caller %q has it already: each is for one caller, once", p.guard.accounts[owner].name)
			continue
		}
		p.owners[field+" "+value] = self
		*candidates = append(*candidates, candidate{account: self, digest: made})
	}
}

func tokenDigest(text string) (made digest, value, problem string) {
	digits, found := strings.CutPrefix(text, hashPrefix)
	sum, err := hex.DecodeString(digits)
	if !found || err != nil || len(sum) != sha256.Size {
		return nil, "", "must be sha256: and 64 hexadecimal digits, the hash of a token and not the token"
	}
	return func(...[]byte) [sha256.Size]byte { return [sha256.Size]byte(sum) }, string(sum), ""
}

func webhookDigest(text string) (made digest, value, problem string) {
	key, ok := webhook.ReadSecret(text)
	if !ok {
		return nil, "", fmt.Sprintf("must be %s and %d to %d bytes in base64", webhook.SecretPrefix, webhook.MinSecret, webhook.MaxSecret)
	}
	return hmacOf(key), string(key), ""
}

func githubDigest(text string) (made digest, value, problem string) {
	printable := !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
	if len(text) < minGitHubSecret || len(text) > maxGitHubSecret || !printable || strings.TrimSpace(text) != text {
		return nil, "", fmt.Sprintf("must have %d to %d characters of ASCII and no space around it", minGitHubSecret, maxGitHubSecret)
	}
	return hmacOf([]byte(text)), text, ""
}

// object returns the members of a JSON object, of which the text must be valid JSON; nil if there is a problem.
func (p *parser) object(place string, text json.RawMessage, known ...string) map[string]json.RawMessage {
	text = bytes.TrimSpace(text)
	if text[0] != '{' {
		p.add(place, "must be an object")
		return nil
	}
	before := len(p.problems)
	object := strictjson.Read(text, func(name string) (string, bool) { return name, slices.Contains(known, name) })
	if object.TooMany {
		p.add(place, "has more than %d members", strictjson.MaxMembers)
	}
	for _, name := range object.Unknown {
		p.add(place, "%s is not a field; possible: %s", harmless(name), strings.Join(known, ", "))
	}
	for _, name := range object.Repeated {
		if slices.Contains(known, name) { // of another one it was said that it is none
			p.add(place, "%s is given twice", name)
		}
	}
	members := map[string]json.RawMessage{}
	for _, name := range known {
		member, given := object.Members[name]
		if !given {
			continue
		}
		if members[name] = member.Value; string(member.Value) == "null" {
			p.add(place, "%s must not be null", name)
		}
	}
	if len(p.problems) > before {
		return nil
	}
	return members
}

// harmless quotes a text that cannot be a secret, not even a misplaced one: too short, and of letters alone.
func harmless(text string) string {
	if len(text) < webhook.MinSecret && consistsOf(text, "") && !strings.ContainsAny(text, "0123456789") {
		return fmt.Sprintf("%q", text)
	}
	return "what is given there"
}
