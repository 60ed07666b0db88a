package accept

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"routinely/shared/plain"
	"routinely/shared/routine"
	"routinely/shared/strictjson"
)

// isJSON reports whether a media type is JSON's or ends in its suffix (RFC 6839).
func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

// readBody checks the headers that describe the body, and returns the body. Media types beside JSON's are possible if they are in others.
func readBody(r *http.Request, others ...string) (body []byte, media string, err error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, "", wrongMedia("Accept-Encoding", "identity", fmt.Sprintf("Content-Encoding %q: send the body as it is", plain.Clip(encoding, maxShown)))
	}
	taken := append([]string{"application/json"}, others...)
	given := r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(given)
	if err != nil || !isJSON(media) && !slices.Contains(others, media) {
		return nil, "", wrongMedia("Accept", strings.Join(taken, ", "), fmt.Sprintf("Content-Type %q: want %s", plain.Clip(given, maxShown), strings.Join(taken, " or ")))
	}
	if charset := strings.ToLower(params["charset"]); charset != "" && charset != "utf-8" && charset != "utf8" {
		return nil, "", wrongMedia("Accept", strings.Join(taken, ", "), fmt.Sprintf("charset %q: JSON is UTF-8", plain.Clip(charset, maxShown)))
	}
	return strictjson.WithoutMark(visitOf(r.Context()).body), media, nil
}

// wrongMedia is the problem of a body in another form, with a header that says which one is taken (RFC 9110, section 15.5.16).
func wrongMedia(header, taken, detail string) problem {
	p := problemMediaType.with(detail)
	p.header = http.Header{header: {taken}}
	return p
}

// readOptional reads a JSON body into a struct, if there is a body. Unknown fields are refused: a misspelt one would be
// taken for one left out.
func readOptional(r *http.Request, into any) error {
	if r.ContentLength == 0 {
		return nil
	}
	return readStrict(r, into)
}

// readStrict is readOptional for a body that must be there.
func readStrict(r *http.Request, into any) error {
	body, _, err := readBody(r)
	if err != nil {
		return err
	}
	if detail := strictjson.Check(body); detail != "" {
		return malformed(detail)
	}
	body = bytes.TrimSpace(body)
	if body[0] != '{' {
		return malformed("want one JSON object")
	}
	return readMembers(body, reflect.ValueOf(into).Elem())
}

// readMembers reads the members of an object into a struct. A member without a value (null, 0, an empty text or list) is refused: it comes of a
// variable that was empty, and a filter without it would choose everything.
func readMembers(text []byte, into reflect.Value) error {
	fields := map[string]reflect.Value{}
	for _, field := range reflect.VisibleFields(into.Type()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields[name] = into.FieldByIndex(field.Index)
	}
	object := strictjson.Read(text, func(name string) (string, bool) { return name, fields[name].IsValid() })
	if object.TooMany {
		return routine.TooManyMembers()
	}
	var wrong []routine.Problem
	for _, name := range object.Unknown {
		wrong = append(wrong, routine.Problem{Pointer: routine.Pointer(name), Code: "unknown-field", Detail: fmt.Sprintf("%.40q is not a member here", name)})
	}
	for _, name := range object.Repeated {
		wrong = append(wrong, routine.Repeated(name))
	}
	for name, member := range object.Members {
		if code, detail := readMember(member.Value, fields[name]); code != "" {
			wrong = append(wrong, routine.Problem{Pointer: routine.Pointer(name), Code: code, Detail: detail})
		}
	}
	if len(wrong) > 0 {
		return routine.Malformed(wrong...)
	}
	return nil
}

// readMember reads a value; code and detail say what is wrong with it. A number of 64 bits is an id of ESA.
func readMember(text json.RawMessage, into reflect.Value) (code, detail string) {
	switch {
	case string(text) == "null":
		return "value", "is given without a value: leave it out"
	case into.Kind() == reflect.Int64:
		id, p := routine.ParseID(text)
		if p != nil {
			return p.Code, p.Detail
		}
		into.SetInt(id)
	case unmarshal(text, into.Addr().Interface()) != nil || !rightTime(text, into):
		return "type", "must be " + wanted(into)
	case isEmpty(into):
		return "value", "is given without a value: leave it out"
	}
	return "", ""
}

// unmarshal reads a value. A member of an object in a list is refused if it is unknown.
func unmarshal(text json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// rightTime reports whether a value is a time as parseTime takes it, if it is to be a time.
func rightTime(text json.RawMessage, into reflect.Value) bool {
	if into.Type() != reflect.TypeFor[time.Time]() {
		return true
	}
	_, ok := parseTime(strings.Trim(string(text), `"`))
	return ok
}

// wanted is what a member must be, in words for people.
func wanted(member reflect.Value) string {
	switch {
	case member.Type() == reflect.TypeFor[time.Time]():
		return "a time such as 2026-01-15T06:28:17Z"
	case member.Kind() == reflect.Bool:
		return "true or false"
	case member.Kind() == reflect.Int:
		return "an integer"
	case member.Kind() == reflect.Slice && member.Type().Elem().Kind() == reflect.Struct:
		return "a list of objects as GET /openapi.yaml describes them"
	case member.Kind() == reflect.Slice:
		return "a list of strings"
	}
	return "a string"
}

// malformed is the problem of a body that is not the JSON value that the path wants.
func malformed(detail string) problem {
	return problemMalformed.about(routine.Problem{Code: "syntax", Detail: detail})
}

// isEmpty reports whether a member has no value. False is one.
func isEmpty(value reflect.Value) bool {
	switch value.Kind() {
	case reflect.Bool:
		return false
	case reflect.Slice:
		return value.Len() == 0
	default:
		return value.IsZero()
	}
}
