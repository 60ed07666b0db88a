package accept

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"routinely/shared/routine"
)

// isJSON reports whether a media type is JSON's or ends in its suffix (RFC 6839).
func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

// readBody checks the headers that describe the body, and returns the body. Media types beside JSON's are possible if they are in others.
func readBody(r *http.Request, others ...string) (body []byte, media string, err error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, "", problemMediaType.with(fmt.Sprintf("Content-Encoding %q: send the body as it is", clip(encoding, maxShown)))
	}
	given := r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(given)
	if err != nil || !isJSON(media) && !slices.Contains(others, media) {
		want := strings.Join(append([]string{"application/json"}, others...), " or ")
		return nil, "", problemMediaType.with(fmt.Sprintf("Content-Type %q: want %s", clip(given, maxShown), want))
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, "", problemMediaType.with(fmt.Sprintf("charset %q: JSON is UTF-8", clip(charset, maxShown)))
	}
	return visitOf(r.Context()).body, media, nil
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
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return problemMalformed.with(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return problemMalformed.with("there is something behind the object")
	}
	return checkMembers(body, reflect.ValueOf(into).Elem())
}

// checkMembers refuses what encoding/json passes over: of a repeated member it takes the last, it takes a name in any case, and null is nothing
// to it. Two readers of such a body would understand different things. A member without a value (null, 0, an empty text or list) is refused as
// well: it comes of a variable that was empty, and a filter without it would choose everything.
func checkMembers(body []byte, object reflect.Value) error {
	body = bytes.TrimSpace(body)
	if body[0] != '{' {
		return problemMalformed.with("want one JSON object")
	}
	known := map[string]reflect.Value{}
	for _, field := range reflect.VisibleFields(object.Type()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		known[name] = object.FieldByIndex(field.Index)
	}
	seen := map[string]bool{}
	var empty []routine.Problem
	for name, text := range routine.Members(body) {
		value, found := known[name]
		switch {
		case !found:
			return problemMalformed.with(fmt.Sprintf("unknown field %.40q", name))
		case seen[name]:
			return problemMalformed.with(fmt.Sprintf("%q is given more than once", name))
		case string(text) == "null" || isEmpty(value):
			empty = append(empty, routine.Problem{Pointer: "/" + name, Code: "value", Detail: "is given without a value: leave it out"})
		}
		seen[name] = true
	}
	if len(empty) > 0 {
		return problemMalformed.about(empty...)
	}
	return nil
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
