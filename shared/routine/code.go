package routine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxCode is the length of the longest code, in bytes. ESA itself takes more; what a job carries is in memory whole.
const MaxCode = 1 << 20

// MaxCodeDescription is the length of the longest description of code, in bytes.
const MaxCodeDescription = 200

// Code is the JavaScript that a routine is to run.
type Code struct {
	// SHA256 is the hash of the code in 64 hexadecimal digits: its identity.
	SHA256 string `json:"sha256"`
	// Source is the code, of a request that brings it along. It is no part of the request's JSON.
	Source []byte `json:"-"`
}

// NewCode is the code of a source.
func NewCode(source []byte) *Code {
	sum := sha256.Sum256(source)
	return &Code{SHA256: hex.EncodeToString(sum[:]), Source: source}
}

// CheckSource says what is wrong with the text of some code; empty if nothing is.
func CheckSource(source []byte) (detail string) {
	switch {
	case len(bytes.TrimSpace(source)) == 0:
		return "is empty"
	case len(source) > MaxCode:
		return fmt.Sprintf("has %d bytes, at most %d are possible", len(source), MaxCode)
	case !utf8.Valid(source):
		return "is not UTF-8"
	}
	return ""
}

// CheckSHA256 says what is wrong with the hash of some code; empty if nothing is.
func CheckSHA256(text string) (detail string) {
	if len(text) == hex.EncodedLen(sha256.Size) && strings.Trim(text, "0123456789abcdef") == "" {
		return ""
	}
	return fmt.Sprintf("%q is not a SHA-256 in 64 lower-case hexadecimal digits", clip(text))
}

// Environment is a place where a version of a routine's code answers.
type Environment string

// The environments that ESA has, in the order in which code is deployed to them.
const (
	Staging    Environment = "staging"
	Production Environment = "production"
)

// Environments lists all environments, in the order in which code is deployed to them.
func Environments() []Environment { return []Environment{Staging, Production} }

// code reads the code of a request: its source, or the hash of code that was given before.
func (d *decoder) code() *Code {
	given, value := d.take("code")
	if value == nil {
		return nil
	}
	if value[0] != '{' {
		d.add(given, codeType, "must be an object with source or sha256")
		return nil
	}
	fields, err := split(value)
	if err != nil {
		for _, p := range problemsOf(err) {
			d.addBelow(given, p.Pointer, p.Code, p.Detail)
		}
		return nil
	}
	one := decoder{fields: fields}
	code := one.sourceOrSum()
	one.unknown("the code of a request")
	for _, p := range one.problems {
		d.addBelow(given, p.Pointer, p.Code, p.Detail)
	}
	return code
}

// withoutSource refuses a request that brings its code along, where that has no room.
func withoutSource(req Request, err error) (Request, error) {
	if err == nil && req.Code != nil && req.Code.Source != nil {
		return Request{}, &Invalid{Problems: []Problem{{"/code/source", codeValue, "is not possible here: give the code with POST /v1/code first, and its sha256 here"}}}
	}
	return req, err
}

func (d *decoder) sourceOrSum() *Code {
	source, sum := d.text("source"), d.text("sha256")
	switch {
	case source != nil && sum != nil:
		d.add("sha256", codeValue, "is given beside source: leave one of the two out")
	case source != nil:
		if detail := CheckSource([]byte(*source)); detail != "" {
			d.add("source", codeValue, detail)
			return nil
		}
		return NewCode([]byte(*source))
	case sum != nil:
		if detail := CheckSHA256(*sum); detail != "" {
			d.add("sha256", codeValue, detail)
		}
		return &Code{SHA256: *sum}
	case len(d.problems) == 0:
		d.problems = append(d.problems, Problem{"", codeMissing, "needs source, or the sha256 of code that was given before"})
	}
	return nil
}

// environments reads where the code is to answer, in the order of deployment; nil is all of them.
func (d *decoder) environments() []Environment {
	given, value := d.take("environments")
	if value == nil {
		return nil
	}
	var names []string
	if value[0] != '[' || json.Unmarshal(value, &names) != nil {
		d.add(given, codeType, "must be a list of staging and production")
		return nil
	}
	out, problems := CheckEnvironments(names)
	for _, p := range problems {
		d.addBelow(given, strings.TrimPrefix(p.Pointer, "/environments"), p.Code, p.Detail)
	}
	if len(names) == 0 {
		d.add(given, codeValue, "is empty: leave it out")
	}
	return out
}

// CheckEnvironments brings environments into the order of deployment; none, and all, are nil: spelled out or not, it is the same. The problems point
// below /environments.
func CheckEnvironments(names []string) (envs []Environment, problems []Problem) {
	for i, name := range names {
		at := "/environments/" + strconv.Itoa(i)
		switch {
		case !slices.Contains(Environments(), Environment(name)):
			problems = append(problems, Problem{at, codeValue, fmt.Sprintf("%q is not staging or production", clip(name))})
		case slices.Index(names, name) < i:
			problems = append(problems, Problem{at, codeDuplicate, fmt.Sprintf("%q is there before", name)})
		}
	}
	envs = slices.DeleteFunc(Environments(), func(e Environment) bool { return !slices.Contains(names, string(e)) })
	if len(envs) == 0 || len(envs) == len(Environments()) {
		return nil, problems
	}
	return envs, problems
}

// codeDescription reads what the code is committed with.
func (d *decoder) codeDescription() string {
	text := d.text("codeDescription")
	if text == nil {
		return ""
	}
	if len(*text) > MaxCodeDescription || strings.ContainsFunc(*text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		d.add(d.fields["codeDescription"].given, codeValue, fmt.Sprintf("want at most %d bytes without control characters", MaxCodeDescription))
	}
	return *text
}

// onlyWithCode refuses what says something about code in a request without any.
func (d *decoder) onlyWithCode(req Request) {
	if d.fields["code"] != nil || d.fields["codeFile"] != nil {
		return
	}
	if req.Environments != nil {
		d.add(d.fields["environments"].given, codeValue, "is about code, and there is none: leave it out")
	}
	if req.CodeDescription != "" {
		d.add(d.fields["codeDescription"].given, codeValue, "is about code, and there is none: leave it out")
	}
}

// DeployTo are the environments that the request is about, in the order of deployment.
func (r Request) DeployTo() []Environment {
	if r.Environments == nil {
		return Environments()
	}
	return r.Environments
}

// problemsOf are the problems of an error of split.
func problemsOf(err error) []Problem {
	invalid, ok := err.(*Invalid) //nolint:errorlint // split wraps nothing
	if !ok {
		return []Problem{{"", codeSyntax, err.Error()}}
	}
	return invalid.Problems
}

// Previous stands for the version that was live before, in a rollback.
const Previous = "previous"

// version reads what a rollback goes back to.
func (d *decoder) version() string {
	given, text, ok := d.required("version")
	if ok {
		if detail := CheckVersion(text); detail != "" {
			d.add(given, codeValue, detail)
		}
	}
	return text
}

// CheckVersion says what is wrong with what a rollback goes back to; empty if nothing is. The number of a version is a moment in Unix nanoseconds.
func CheckVersion(text string) (detail string) {
	const digits = 19
	if text == Previous || len(text) == digits && strings.Trim(text, "0123456789") == "" {
		return ""
	}
	return fmt.Sprintf("%q is not %q or the number of a version, 19 digits", clip(text), Previous)
}

// Deployed is what is known of one environment of a routine.
type Deployed struct {
	Environment Environment `json:"environment"`
	// Number is that of the newest intent about the environment, and JobID its job.
	Number int64  `json:"number,omitempty"`
	JobID  string `json:"jobId,omitempty"`
	// CodeVersion is the version that we have deployed, and SHA256 the hash of its code; empty of a version that was not made by us.
	CodeVersion string `json:"codeVersion,omitempty"`
	SHA256      string `json:"sha256,omitempty"`
	// Since is when ESA first showed it there, by ESA's clock, and By the job that deployed it.
	Since time.Time `json:"since,omitzero"`
	By    string    `json:"by,omitempty"`
	// Previous is the version that was live before, whoever deployed it.
	Previous string `json:"previous,omitempty"`
	// Replaced is what was live when the latest deployment of ours began, until it was read back.
	Replaced string `json:"replaced,omitempty"`
	// CallUntil is until when a deployment of ours, of which nobody knows what became, may take effect; zero if there is none. Calling is its version.
	CallUntil time.Time `json:"callUntil,omitzero"`
	Calling   string    `json:"calling,omitempty"`
}

// OwnVersion is a version of a routine's code that a call of ours has made.
type OwnVersion struct {
	CodeVersion string `json:"codeVersion"`
	JobID       string `json:"jobId"`
	// SHA256 is the hash of its code, once it was read back. Replaced means that it has other code than the job's: somebody else has uploaded it.
	SHA256   string `json:"sha256,omitempty"`
	Replaced bool   `json:"replaced,omitempty"`
}

// DeployedTo is what is known of an environment.
func (c Claim) DeployedTo(env Environment) Deployed {
	for _, d := range c.Deployed {
		if d.Environment == env {
			return d
		}
	}
	return Deployed{Environment: env}
}

// Deploy alters what is known of an environment.
func (c *Claim) Deploy(env Environment, alter func(*Deployed)) {
	d := c.DeployedTo(env)
	alter(&d)
	others := slices.DeleteFunc(slices.Clone(c.Deployed), func(other Deployed) bool { return other.Environment == env })
	c.Deployed = append(others, d)
	slices.SortFunc(c.Deployed, func(a, b Deployed) int {
		return slices.Index(Environments(), a.Environment) - slices.Index(Environments(), b.Environment)
	})
}

// OwnVersion is a version that a call of ours has made; false if none of that number is known.
func (c Claim) OwnVersion(codeVersion string) (OwnVersion, bool) {
	i := slices.IndexFunc(c.Versions, func(v OwnVersion) bool { return v.CodeVersion == codeVersion })
	if i < 0 {
		return OwnVersion{}, false
	}
	return c.Versions[i], true
}

// AddVersion notes a version that a call of ours has made, or what is known of it now.
func (c *Claim) AddVersion(v OwnVersion) {
	c.DropVersions(func(codeVersion string) bool { return codeVersion == v.CodeVersion })
	c.Versions = append(c.Versions, v)
}

// DropVersions forgets versions.
func (c *Claim) DropVersions(gone func(codeVersion string) bool) {
	c.Versions = slices.DeleteFunc(slices.Clone(c.Versions), func(v OwnVersion) bool { return gone(v.CodeVersion) })
}

// Remaining is what of Deployed outlives the routine: the numbers of the intents.
func (c Claim) Remaining() []Deployed {
	var out []Deployed
	for _, d := range c.Deployed {
		out = append(out, Deployed{Environment: d.Environment, Number: d.Number, JobID: d.JobID})
	}
	return out
}

// CodeProgress is how far a job has come with code.
type CodeProgress struct {
	// CommitUnknown is set once a call to make a version may have taken effect without saying so.
	CommitUnknown bool `json:"commitUnknown,omitempty"`
	// Targets are the versions that the job wants in the environments, once it knows.
	Targets []CodeResult `json:"targets,omitempty"`
	// Done is set once all are live, or a newer intent is about them.
	Done bool `json:"done,omitempty"`
}

// CodeResult is what a job achieved with one environment.
type CodeResult struct {
	Environment Environment `json:"environment"`
	CodeVersion string      `json:"codeVersion,omitempty"`
	SHA256      string      `json:"sha256,omitempty"`
	// Outcome is Created if the job deployed the version, Adopted if it was live, Passed if a newer intent is about the environment.
	Outcome Outcome `json:"outcome,omitempty"`
	// SupersededBy is the job with that newer intent.
	SupersededBy string `json:"supersededBy,omitempty"`
}
