// Package routine holds the nouns of the product: the Request somebody makes about an edge routine, the rules it must keep,
// the Job that carries it out, and the Claim that remembers whose the routine is.
//
// It knows nothing of HTTP, queues or ESA's API and imports only the standard library and idna.
package routine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"routinely/shared/plain"

	"golang.org/x/net/idna"
)

// IfExists says what to do when the routine or the record exists before the job starts.
type IfExists string

const (
	// Adopt takes over what exists if it is what was asked for. It is the default.
	Adopt IfExists = "adopt"
	// Fail refuses what exists, unless an earlier attempt of the same job may have created it.
	Fail IfExists = "fail"
	// Update adopts what exists, and gives a routine that the caller owns the description asked for.
	Update IfExists = "update"
)

// Action is what a request wants done.
type Action string

// The actions. All but Create need HTTP.
const (
	// Create makes the routine unless it is there, and binds its host names. It is the default.
	Create Action = ""
	// Delete unbinds the routine's host names and deletes it.
	Delete Action = "delete"
	// Unbind deletes one record of the routine.
	Unbind Action = "unbind"
	// Renew sets when the routine's time is over, and binds again what was unbound because it was.
	Renew Action = "renew"
	// Rollback deploys an earlier version of the routine's code.
	Rollback Action = "rollback"
	// TakeOwnership makes an unproven or adopted routine, with its records, the caller's own.
	TakeOwnership Action = "claim"
	// Expire unbinds the host names of a routine whose time is over, and Remove deletes it a grace later. Only the janitor asks for them.
	Expire Action = "expire"
	Remove Action = "remove"
)

// Deletes reports whether the action wants something to be gone.
func (a Action) Deletes() bool {
	return a == Delete || a == Unbind || a == Remove || a == Expire
}

// Record is one host name that is to trigger a routine.
type Record struct {
	// SiteID is ESA's id of the site the record belongs to; it needs more than 32 bits. Zero leaves it to the worker to find the site.
	SiteID int64 `json:"siteId,omitempty"`
	// RecordName is the full host name, in lower case and ASCII, without a trailing dot.
	RecordName string `json:"recordName"`
}

// MaxRecords is how many host names one request may bind.
const MaxRecords = 20

// Request is what somebody wants of one routine: to be there, bound to its host names, unless Action says something else. A Request from Decode is
// valid and normalised. In JSON a request with one record has siteId and recordName, and one with several has records.
type Request struct {
	// Action is what is wanted.
	Action Action
	// Name is the routine's name, unique in the account: see CheckName.
	Name string
	// Description is free text; nil when not given.
	Description *string
	// HasAssets tells ESA that the routine comes with asset files; nil when not given.
	HasAssets *bool
	// Records are the host names, 1 to MaxRecords, each once. Only Create and Unbind have any, Unbind one.
	Records []Record
	// IfExists is Fail or Update, or empty for Adopt: of a request that spells out the default Decode makes one that does not.
	IfExists IfExists
	// ExpiresIn is how long the routine is to live, from the end of the job that makes it; zero if not given.
	ExpiresIn Span
	// Protected means that only the owner's host names may be bound to the routine; nil when not given.
	Protected *bool
	// Labels are at most MaxLabels pairs by which lists can be filtered.
	Labels map[string]string
	// CallbackURL is where to tell that the job has ended; empty if nobody is to be told. It may hold a secret: see Shown.
	CallbackURL string
	// Code is what the routine is to run; nil when not given.
	Code *Code
	// Environments are where the code, or the version of a Rollback, is to answer; nil is all of them. See DeployTo.
	Environments []Environment
	// CodeDescription is what the code is committed with, at most MaxCodeDescription bytes.
	CodeDescription string
	// Version is what a Rollback goes back to: Previous, or the number of a version.
	Version string
}

// written is a Request as JSON has it. The order of its members is that of their introduction: a hash of a request is made of its JSON.
type written struct {
	Action      Action            `json:"action,omitempty"`
	Name        string            `json:"name"`
	Description *string           `json:"description,omitempty"`
	HasAssets   *bool             `json:"hasAssets,omitempty"`
	SiteID      int64             `json:"siteId,omitempty"`
	RecordName  string            `json:"recordName,omitempty"`
	IfExists    IfExists          `json:"ifExists,omitempty"`
	CallbackURL string            `json:"callbackUrl,omitempty"`
	Records     []Record          `json:"records,omitempty"`
	ExpiresIn   Span              `json:"expiresIn,omitzero"`
	Protected   *bool             `json:"protected,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`

	Code            *Code         `json:"code,omitempty"`
	Environments    []Environment `json:"environments,omitempty"`
	CodeDescription string        `json:"codeDescription,omitempty"`
	Version         string        `json:"version,omitempty"`
}

// MarshalJSON writes the one record of a request as siteId and recordName, and several as records.
func (r Request) MarshalJSON() ([]byte, error) {
	w := written{
		Action: r.Action, Name: r.Name, Description: r.Description, HasAssets: r.HasAssets, IfExists: r.IfExists, CallbackURL: r.CallbackURL,
		Records: r.Records, ExpiresIn: r.ExpiresIn, Protected: r.Protected, Labels: r.Labels,
		Code: r.Code, Environments: r.Environments, CodeDescription: r.CodeDescription, Version: r.Version,
	}
	if len(r.Records) == 1 {
		w.Records, w.SiteID, w.RecordName = nil, r.Records[0].SiteID, r.Records[0].RecordName
	}
	return marshal(w)
}

// UnmarshalJSON reads what MarshalJSON has written. It checks nothing: Decode does.
func (r *Request) UnmarshalJSON(text []byte) error {
	var w written
	if err := json.Unmarshal(text, &w); err != nil {
		return err
	}
	*r = Request{
		Action: w.Action, Name: w.Name, Description: w.Description, HasAssets: w.HasAssets, Records: w.Records, IfExists: w.IfExists,
		ExpiresIn: w.ExpiresIn, Protected: w.Protected, Labels: w.Labels, CallbackURL: w.CallbackURL,
		Code: w.Code, Environments: w.Environments, CodeDescription: w.CodeDescription, Version: w.Version,
	}
	if w.RecordName != "" {
		r.Records = []Record{{SiteID: w.SiteID, RecordName: w.RecordName}}
	}
	return nil
}

// marshal writes JSON with < and & as they are: as escapes each would take six bytes.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimRight(out.Bytes(), "\n"), err
}

// RecordNames are the host names of the request.
func (r Request) RecordNames() []string {
	names := make([]string, 0, len(r.Records))
	for _, record := range r.Records {
		names = append(names, record.RecordName)
	}
	return names
}

// Shown is the request as it may be shown to whoever may read the job: see ShownURL.
func (r Request) Shown() Request {
	r.CallbackURL = ShownURL(r.CallbackURL)
	return r
}

// hiddenPart stands for what is not shown of a URL.
const hiddenPart = "***"

// ShownURL is a callback URL as it may be shown: scheme, host and path alone. Stars stand for a query or fragment, and for a text that is no URL
// with a host. A user and password are left out.
func ShownURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return ""
	case err != nil || u.Host == "":
		return hiddenPart
	}
	shown := u.Scheme + "://" + u.Host + u.EscapedPath()
	if strings.ContainsAny(text, "?#") {
		shown += "?" + hiddenPart
	}
	return shown
}

// Problem is one thing wrong with a request.
type Problem struct {
	// Pointer is the JSON pointer (RFC 6901) of the value; empty for the whole document.
	Pointer string `json:"pointer"`
	// Code is a stable word for the kind of problem.
	Code string `json:"code"`
	// Detail says what is wrong and what would be right.
	Detail string `json:"detail"`
}

// Invalid lists everything wrong with a request.
type Invalid struct {
	// Malformed means that the text is not one JSON object; the rules were then not looked at.
	Malformed bool
	Problems  []Problem
}

// maxNamed is how many problems an error names: more than a request has fields.
const maxNamed = 10

// Error names the problems; of many the first.
func (e *Invalid) Error() string {
	problems := Few(e.Problems, maxNamed)
	parts := make([]string, 0, len(problems))
	for _, p := range problems {
		parts = append(parts, strings.TrimPrefix(p.Pointer+": "+p.Detail, ": "))
	}
	return "invalid request: " + strings.Join(parts, "; ")
}

const maxLabel = 63

// isLabel reports whether text is a DNS label in lower case: 1 to 63 letters, digits and hyphens, no hyphen first or last.
func isLabel(text string) bool {
	if text == "" || len(text) > maxLabel || text[0] == '-' || text[len(text)-1] == '-' {
		return false
	}
	for _, c := range []byte(text) {
		if c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// isTopLabel reports whether text is a label that can end a host name: two letters or more, or an internationalised label.
func isTopLabel(text string) bool {
	if strings.HasPrefix(text, "xn--") {
		return isLabel(text)
	}
	return isLabel(text) && len(text) > 1 && !strings.ContainsAny(text, "-0123456789")
}

const (
	maxHostName = 253
	// maxGivenHostName is the longest text in bytes that can be a host name: a character outside of ASCII takes four at most, and one or more of the
	// name that it becomes.
	maxGivenHostName = 4 * maxHostName
)

// MaxName is the length of the longest routine name.
const MaxName = 41

// CheckName says what is wrong with a routine's name; empty if nothing is. The rule is that of ESA's console guide: 2 to 41 lower-case letters,
// digits and hyphens, a letter first, no hyphen last (https://help.aliyun.com/zh/edge-security-acceleration/esa/user-guide/get-started-with-edge-routine).
func CheckName(name string) (detail string) {
	if isLabel(name) && len(name) > 1 && len(name) <= MaxName && name[0] >= 'a' {
		return ""
	}
	return fmt.Sprintf("%q is not a routine name: 2 to %d lower-case letters, digits and hyphens, a letter first, no hyphen last", clip(name), MaxName)
}

// NormalizeRecordName returns a host name as ESA stores it: in lower case and ASCII, without a trailing dot. detail says what is wrong with it;
// empty if nothing is. Hyphens may be anywhere but first or last in a label, whatever the rules for internationalised names keep them for.
func NormalizeRecordName(given string) (name, detail string) {
	if strings.ContainsAny(given, "/:@?#") { // it is not quoted: a URL can hold a secret
		return "", "is not a host name: give the name alone, without scheme, user, port, path or query"
	}
	if len(given) > maxGivenHostName { // the time that package idna takes grows with the square
		return "", fmt.Sprintf("%q is %d bytes long, a host name has at most %d characters", clip(given), len(given), maxHostName)
	}
	if hint := notSingleHost(given); hint != "" {
		return "", fmt.Sprintf("%q is not a host name: %s", clip(given), hint)
	}
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckHyphens(false))
	ascii, err := profile.ToASCII(strings.TrimSuffix(given, "."))
	if err != nil {
		return "", fmt.Sprintf("%q is not a host name: it has letters, digits and hyphens between dots, or is an internationalised name", clip(given))
	}
	ascii = strings.ToLower(ascii)
	if len(ascii) > maxHostName {
		return "", fmt.Sprintf("%q is %d characters long, a host name has at most %d", clip(given), len(ascii), maxHostName)
	}
	labels := strings.Split(ascii, ".")
	if len(labels) < 2 {
		return "", fmt.Sprintf("%q is not a full host name such as www.example.com", clip(given))
	}
	for i, label := range labels {
		if !isLabel(label) || (i == len(labels)-1 && !isTopLabel(label)) {
			return "", fmt.Sprintf("%q is not a host name: label %q is not allowed", clip(given), clip(label))
		}
	}
	return ascii, ""
}

// notSingleHost recognises what is meant well and is no single host name. What it returns is empty for anything else.
func notSingleHost(given string) (hint string) {
	switch {
	case strings.Contains(given, "*"):
		return "ESA binds single host names and no wildcards; ask for each host name by itself"
	case strings.Contains(given, "_"):
		return "an underscore is not possible in the name of a host that serves pages"
	}
	return ""
}

// MaxCallbackURL is the length of the longest callback URL, in bytes.
const MaxCallbackURL = 2048

// CheckCallbackURL says what is wrong with a callback URL that is given; empty if nothing is. Where callbacks may go is a
// matter of the deployment.
func CheckCallbackURL(text string) (detail string) {
	switch {
	case text == "":
		return "must not be empty: leave it out"
	case len(text) > MaxCallbackURL:
		return fmt.Sprintf("has %d bytes, at most %d are possible", len(text), MaxCallbackURL)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return "must not hold spaces or control characters"
	case strings.HasSuffix(text, "?"+hiddenPart):
		return "is a URL as it is shown, without its query: give the whole one"
	}
	return ""
}

// clip keeps a quoted value readable, whatever was sent: at most 80 bytes.
func clip(text string) string {
	const most = 80
	return plain.Clip(text, most)
}
