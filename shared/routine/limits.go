package routine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits are what a caller may name and bind, and until when. An empty member limits nothing, so the zero Limits allow everything.
type Limits struct {
	// Names are prefixes, of which a routine's name must begin with one.
	Names []string `json:"names,omitempty"`
	// RecordSuffixes are host names, normalised as record names are. A record name must be one of them or lie below one.
	RecordSuffixes []string `json:"recordSuffixes,omitempty"`
	// Sites are the ids of ESA's sites that may be bound.
	Sites SiteIDs `json:"sites,omitempty"`
	// ExpiresAt is the time from which nothing is allowed; zero means never.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
}

// SiteIDs are ids of ESA's sites. In JSON they are texts, since many readers of JSON keep 53 bits of a number and these need more;
// numbers are read too.
type SiteIDs []int64

// MarshalJSON writes a list of texts.
func (ids SiteIDs) MarshalJSON() ([]byte, error) {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = strconv.FormatInt(id, 10)
	}
	return json.Marshal(texts)
}

// UnmarshalJSON reads a list of texts and numbers.
func (ids *SiteIDs) UnmarshalJSON(text []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	*ids = nil
	for i, value := range list {
		id, p := ParseID(value)
		if p != nil {
			return fmt.Errorf("sites[%d]: want the id of a site", i)
		}
		*ids = append(*ids, id)
	}
	return nil
}

// Expired reports whether nothing is allowed any more at a time.
func (l Limits) Expired(at time.Time) bool { return !l.ExpiresAt.IsZero() && !at.Before(l.ExpiresAt) }

// codeOutside is the code of a problem with a value that would be right for somebody else.
const codeOutside = "outside-limits"

// Outside lists what of a valid request is not allowed at a time, each with the member and what is allowed; nil if all is.
func (l Limits) Outside(r Request, at time.Time) []Problem {
	var out []Problem
	add := func(at, detail string) { out = append(out, Problem{at, codeOutside, detail}) }
	if l.Expired(at) {
		add("", "the caller may ask for nothing since "+l.ExpiresAt.UTC().Format(time.RFC3339))
	}
	if len(l.Names) > 0 && !slices.ContainsFunc(l.Names, func(prefix string) bool { return strings.HasPrefix(r.Name, prefix) }) {
		add("/name", fmt.Sprintf("%q is not the caller's: a name must begin with %s", clip(r.Name), alternatives(l.Names)))
	}
	for i, record := range r.Records {
		at := ""
		if len(r.Records) > 1 {
			at = "/records/" + strconv.Itoa(i)
		}
		if !l.MayBind(record.RecordName) {
			add(at+"/recordName", fmt.Sprintf("%q is not the caller's: a record name must be or end in %s", clip(record.RecordName), alternatives(l.RecordSuffixes)))
		}
		if record.SiteID != 0 && !l.MayUse(record.SiteID) { // otherwise one of the caller's sites is looked for
			add(at+"/siteId", fmt.Sprintf("%d is not the caller's: the site must be %s", record.SiteID, alternatives(l.siteTexts())))
		}
	}
	return out
}

// MayBind reports whether a record name is allowed.
func (l Limits) MayBind(recordName string) bool {
	below := func(suffix string) bool { return recordName == suffix || strings.HasSuffix(recordName, "."+suffix) }
	return len(l.RecordSuffixes) == 0 || slices.ContainsFunc(l.RecordSuffixes, below)
}

// MayUse reports whether a site is allowed.
func (l Limits) MayUse(siteID int64) bool {
	return len(l.Sites) == 0 || slices.Contains(l.Sites, siteID)
}

func (l Limits) siteTexts() []string {
	texts := make([]string, len(l.Sites))
	for i, id := range l.Sites {
		texts[i] = strconv.FormatInt(id, 10)
	}
	return texts
}

// alternatives names some of what is allowed; an answer about a thousand requests stays short.
func alternatives(allowed []string) string {
	const most = 5
	shown := make([]string, 0, most)
	for _, one := range allowed[:min(len(allowed), most)] {
		shown = append(shown, clip(one))
	}
	text := strings.Join(shown, " or ")
	if over := len(allowed) - most; over > 0 {
		text += fmt.Sprintf(" or one of %d more", over)
	}
	return text
}

// LimitMembers are the names of the members of Limits in JSON.
func LimitMembers() []string { return []string{"names", "recordSuffixes", "sites", "expiresAt"} }

// ParseLimits reads limits from a JSON object with the members names, recordSuffixes and sites, lists of one or more, and expiresAt, a
// time in RFC 3339; each may be left out. The error is an *Invalid with all problems, and quotes no value.
func ParseLimits(text string) (Limits, error) {
	fields, err := split([]byte(text))
	if err != nil {
		return Limits{}, err
	}
	var problems []Problem
	members := map[string]json.RawMessage{}
	for name, f := range fields {
		if !slices.Contains(LimitMembers(), name) {
			problems = append(problems, Problem{Pointer(f.given), codeUnknown, "is not a member; possible: " + strings.Join(LimitMembers(), ", ")})
		}
		members[name] = f.value
	}
	limits, wrong := ReadLimits(members)
	if problems = append(problems, wrong...); len(problems) > 0 {
		return Limits{}, &Invalid{Problems: inOrder(problems)}
	}
	return limits, nil
}

// ReadLimits is ParseLimits for the members of an object that has others besides, which it passes over.
func ReadLimits(members map[string]json.RawMessage) (Limits, []Problem) {
	var l Limits
	var problems []Problem
	add := func(at, detail string) { problems = append(problems, Problem{"/" + at, codeValue, detail}) }
	eachOf(members, "names", add, func(value json.RawMessage) (wrong string) {
		prefix, ok := textOf(value)
		if !ok || prefix == "" || !isLabel(prefix+"x") { // a prefix may end in a hyphen
			return "must be the beginning of a routine's name: lower-case letters, digits and hyphens, no hyphen first"
		}
		l.Names = append(l.Names, prefix)
		return ""
	})
	eachOf(members, "recordSuffixes", add, func(value json.RawMessage) (wrong string) {
		const wanted = "must be a host name such as example.com, which stands for itself and for all below it; without a star or a dot before it"
		given, ok := textOf(value)
		if !ok || len(given) > maxGiven {
			return wanted
		}
		suffix, detail := NormalizeRecordName(given)
		if detail != "" {
			return wanted
		}
		l.RecordSuffixes = append(l.RecordSuffixes, suffix)
		return ""
	})
	eachOf(members, "sites", add, func(value json.RawMessage) (wrong string) {
		id, p := ParseID(value)
		if p != nil {
			return "must be the id of a site, as a number or a string"
		}
		l.Sites = append(l.Sites, id)
		return ""
	})
	if value, given := members["expiresAt"]; given {
		text, _ := textOf(value)
		at, err := time.Parse(time.RFC3339, text)
		if l.ExpiresAt = at.UTC(); err != nil || l.ExpiresAt.Year() < 1970 || l.ExpiresAt.Year() > 9999 { // the year 1 would mean never
			add("expiresAt", "must be a time such as 2026-12-31T00:00:00Z")
		}
	}
	return l, problems
}

// maxGiven is longer than any host name in any alphabet, in bytes. To make ASCII of a text takes more than proportional time.
const maxGiven = 4 * maxHostName

// eachOf reads a member that is a list. An empty one is refused: it comes of a variable that was empty, and would limit nothing.
func eachOf(members map[string]json.RawMessage, name string, add func(at, detail string), read func(json.RawMessage) (wrong string)) {
	value, given := members[name]
	if !given {
		return
	}
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil || len(list) == 0 {
		add(name, "must be a list of one or more")
		return
	}
	for i, one := range list {
		if wrong := read(one); wrong != "" {
			add(name+"/"+strconv.Itoa(i), wrong)
		}
	}
}

// textOf reads a JSON string; ok is false for anything else, null included.
func textOf(value json.RawMessage) (text string, ok bool) {
	ok = value[0] == '"' && json.Unmarshal(value, &text) == nil
	return text, ok
}
