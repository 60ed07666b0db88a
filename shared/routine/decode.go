package routine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"routinely/shared/strictjson"
)

// Codes of problems.
const (
	codeSyntax    = "syntax"
	codeDuplicate = "duplicate"
	codeUnknown   = "unknown-field"
	codeMissing   = "missing"
	codeType      = "type"
	codeValue     = "value"
	codeMore      = "more"
)

// Decode reads one request to create a routine from JSON and reports all its problems at once as *Invalid. Field names may be in camelCase or in
// ESA's own spelling (Name, SiteId); SiteId may be a number or a string. The host names are records, or one is siteId and recordName. Unknown
// and repeated fields, and anything behind the object, are problems.
func Decode(text []byte) (Request, error) {
	fields, err := split(text)
	if err != nil {
		return Request{}, err
	}
	d := decoder{fields: fields}
	return d.request()
}

// DecodeJob is Decode for the request of a job, whatever its action.
func DecodeJob(text []byte) (Request, error) {
	fields, err := split(text)
	if err != nil {
		return Request{}, err
	}
	d := decoder{fields: fields}
	return d.job()
}

// DecodeBare is Decode for a message that another program has put on the queue. Nobody knows whose it is, so it can neither update nor protect.
func DecodeBare(text []byte) (Request, error) {
	req, err := Decode(text)
	if err != nil {
		return req, err
	}
	var problems []Problem
	if req.IfExists == Update {
		problems = append(problems, Problem{"/ifExists", codeValue, `"update" needs HTTP: a message on the queue does not show whose it is`})
	}
	if req.Protected != nil {
		problems = append(problems, Problem{"/protected", codeUnknown, "needs HTTP: a message on the queue does not show whose it is"})
	}
	if req.Code != nil {
		problems = append(problems, Problem{"/code", codeUnknown, "needs HTTP: a message on the queue does not show whose it is"})
	}
	if len(problems) > 0 {
		return Request{}, &Invalid{Problems: problems}
	}
	return req, nil
}

// job reads a request that may have an action.
func (d *decoder) job() (Request, error) {
	given := d.text("action")
	if given == nil || *given == "" {
		return d.request()
	}
	req := Request{Action: Action(*given), Name: d.name(), CallbackURL: d.callbackURL()}
	switch req.Action {
	case Unbind:
		if req.Records = d.allRecords(); len(req.Records) != 1 {
			d.add("records", codeValue, "must be one host name")
		}
	case Renew:
		req.ExpiresIn = d.expiresIn()
		if given, value := d.take("expiresIn"); value == nil {
			d.add(given, codeMissing, "is required")
		}
	case Rollback:
		req.Version, req.Environments = d.version(), d.environments()
	case Delete, TakeOwnership, Expire, Remove:
	default:
		d.add("action", codeValue, fmt.Sprintf("%q is not an action", clip(*given)))
	}
	d.unknown("a job's request")
	if len(d.problems) > 0 {
		return Request{}, &Invalid{Problems: inOrder(d.problems)}
	}
	return req, nil
}

func (d *decoder) request() (Request, error) {
	req := Request{
		Name:        d.name(),
		Description: d.text("description"),
		HasAssets:   d.flag("hasAssets"),
		Records:     d.allRecords(),
		IfExists:    d.ifExists(),
		ExpiresIn:   d.expiresIn(),
		Protected:   d.flag("protected"),
		Labels:      d.labels(),
		CallbackURL: d.callbackURL(),

		Code:            d.code(),
		Environments:    d.environments(),
		CodeDescription: d.codeDescription(),
	}
	d.onlyWithCode(req)
	d.unknown("a routine request")
	if len(d.problems) > 0 {
		return Request{}, &Invalid{Problems: inOrder(d.problems)}
	}
	return req, nil
}

// maxProblems bounds what is told of a request; somebody who sends thousands of unknown fields needs no list of them.
const maxProblems = 50

func inOrder(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int { return strings.Compare(a.Pointer, b.Pointer) })
	return Few(problems, maxProblems)
}

// Few returns the first problems, at most so many, and behind them one that says how many more there are.
func Few(problems []Problem, most int) []Problem {
	over := len(problems) - most
	if over <= 0 {
		return problems
	}
	var uncounted int
	if last := problems[len(problems)-1]; last.Code == codeMore {
		if over == 1 {
			return problems // all but the count
		}
		_, _ = fmt.Sscanf(last.Detail, moreDetail, &uncounted) // 0 if somebody else wrote it
		over--
	}
	return append(problems[:most:most], Problem{"", codeMore, fmt.Sprintf(moreDetail, over+uncounted)})
}

// moreDetail says how many problems are not told.
const moreDetail = "and %d more problems"

// field is one member of the object; used tells whether a rule has looked at it.
type field struct {
	given string
	value json.RawMessage
	used  bool
}

// split reads the object's members, keyed by their camelCase names.
func split(text []byte) (map[string]*field, error) {
	text = strictjson.WithoutMark(text)
	if detail := strictjson.Check(text); detail != "" {
		return nil, malformed(codeSyntax, detail)
	}
	text = bytes.TrimSpace(text)
	if text[0] != '{' {
		return nil, malformed(codeSyntax, "want one JSON object")
	}
	object := strictjson.Read(text, func(name string) (string, bool) { return camel(name), true })
	if object.TooMany {
		return nil, TooManyMembers()
	}
	var repeated []Problem
	for _, name := range object.Repeated {
		repeated = append(repeated, Repeated(name))
	}
	if len(repeated) > 0 {
		return nil, Malformed(repeated...)
	}
	fields := make(map[string]*field, len(object.Members))
	for key, member := range object.Members {
		fields[key] = &field{given: member.Name, value: member.Value}
	}
	return fields, nil
}

// Repeated is the problem of a member that is given more than once.
func Repeated(name string) Problem {
	return Problem{Pointer(name), codeDuplicate, fmt.Sprintf("%q is given more than once", clip(name))}
}

// TooManyMembers is what is wrong with an object of more than strictjson.MaxMembers members.
func TooManyMembers() error {
	return malformed(codeMore, fmt.Sprintf("the object has more than %d members", strictjson.MaxMembers))
}

// Malformed is what is wrong with the shape of a text. Of many problems the first are listed, in the order of their pointers.
func Malformed(problems ...Problem) *Invalid {
	return &Invalid{Malformed: true, Problems: inOrder(problems)}
}

func malformed(code, detail string) error { return Malformed(Problem{"", code, detail}) }

// camel maps ESA's spelling to ours; a name that is neither stays as it is.
func camel(name string) string {
	switch name {
	case "Name", "Description", "HasAssets", "SiteId", "RecordName", "Records", "IfExists", "ExpiresIn", "Protected", "Labels", "CallbackUrl",
		"IdempotencyKey", "Code", "CodeFile", "Environments", "CodeDescription":
		return strings.ToLower(name[:1]) + name[1:]
	}
	return name
}

// Pointer is the JSON pointer of a member of the top object (RFC 6901 section 3). A name beyond all sense is shortened.
func Pointer(name string) string {
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(clip(name))
}

type decoder struct {
	fields   map[string]*field
	problems []Problem
}

func (d *decoder) add(at, code, detail string) { d.addBelow(at, "", code, detail) }

// addBelow adds a problem with a value inside of a member. below is its pointer from there.
func (d *decoder) addBelow(at, below, code, detail string) {
	d.problems = append(d.problems, Problem{Pointer(at) + below, code, detail})
}

// take returns a member's value; nil for an absent one and for null, which mean the same.
func (d *decoder) take(name string) (given string, value json.RawMessage) {
	f, ok := d.fields[name]
	if !ok {
		return name, nil
	}
	f.used = true
	if string(f.value) == "null" {
		return f.given, nil
	}
	return f.given, f.value
}

// unknown adds a problem for each member that no rule has looked at. of says what the object is.
func (d *decoder) unknown(of string) {
	for _, f := range d.fields {
		if !f.used {
			d.add(f.given, codeUnknown, fmt.Sprintf("%q is not a field of %s", clip(f.given), of))
		}
	}
}

func (d *decoder) text(name string) *string {
	given, value := d.take(name)
	if value == nil {
		return nil
	}
	var s string
	if json.Unmarshal(value, &s) != nil {
		d.add(given, codeType, "must be a string")
		return nil
	}
	return &s
}

func (d *decoder) required(name string) (given, text string, ok bool) {
	given, value := d.take(name)
	if value == nil {
		d.add(given, codeMissing, "is required")
		return given, "", false
	}
	if json.Unmarshal(value, &text) != nil {
		d.add(given, codeType, "must be a string")
		return given, "", false
	}
	return given, text, true
}

func (d *decoder) name() string {
	given, text, ok := d.required("name")
	if !ok {
		return ""
	}
	if detail := CheckName(text); detail != "" {
		d.add(given, codeValue, detail)
	}
	return text
}

func (d *decoder) recordName() string {
	given, text, ok := d.required("recordName")
	if !ok {
		return ""
	}
	normal, detail := NormalizeRecordName(text)
	if detail != "" {
		d.add(given, codeValue, detail)
	}
	return normal
}

func (d *decoder) flag(name string) *bool {
	given, value := d.take(name)
	if value == nil {
		return nil
	}
	var b bool
	if json.Unmarshal(value, &b) != nil {
		d.add(given, codeType, "must be true or false")
		return nil
	}
	return &b
}

// siteID is 0 if none is given: then the site is found by the record name.
func (d *decoder) siteID() int64 {
	given, value := d.take("siteId")
	if value == nil {
		return 0
	}
	id, p := ParseID(value)
	if p != nil {
		d.add(given, p.Code, p.Detail)
	}
	return id
}

// ParseID reads an id of ESA, a 64-bit integer greater than 0, as a JSON number or in a JSON string: many programs cannot hold one above 2^53
// in a number. The problem, without a pointer, is nil if nothing is wrong.
func ParseID(value []byte) (id int64, p *Problem) {
	digits := string(value)
	if value[0] == '"' && json.Unmarshal(value, &digits) != nil {
		digits = ""
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case err != nil && value[0] != '"' && (value[0] < '0' || value[0] > '9') && value[0] != '-':
		return 0, &Problem{Code: codeType, Detail: "must be an integer, as a number or a string"}
	case err != nil || digits[0] == '+':
		return 0, &Problem{Code: codeValue, Detail: fmt.Sprintf("%s is not a 64-bit integer", clip(string(value)))}
	case id <= 0:
		return 0, &Problem{Code: codeValue, Detail: "must be greater than 0"}
	}
	return id, nil
}

func (d *decoder) ifExists() IfExists {
	given, value := d.take("ifExists")
	if value == nil {
		return ""
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		d.add(given, codeType, `must be "adopt", "fail" or "update"`)
		return ""
	}
	switch choice := IfExists(text); choice {
	case Adopt:
		return "" // the default: spelled out or not, it is the same request
	case Fail, Update:
		return choice
	}
	d.add(given, codeValue, fmt.Sprintf(`%q is not "adopt", "fail" or "update"`, clip(text)))
	return ""
}

func (d *decoder) callbackURL() string {
	given, value := d.take("callbackUrl")
	if value == nil {
		return ""
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		d.add(given, codeType, "must be a string")
		return ""
	}
	if detail := CheckCallbackURL(text); detail != "" {
		d.add(given, codeValue, detail)
	}
	return text
}
