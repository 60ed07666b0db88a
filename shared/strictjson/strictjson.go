// Package strictjson reads JSON as I-JSON (RFC 7493) wants it, which encoding/json does not: of a member that is given twice that takes the
// last, it takes a name in any case, and passes over names that it does not know. Two readers of such a text would understand different things.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// WithoutMark returns a text without the byte-order mark that some programs write before UTF-8. A reader of JSON may pass over it (RFC 8259,
// section 8.1).
func WithoutMark(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\ufeff")) }

// Check says in words for people what is wrong with a text that is to be one JSON value; empty if nothing is.
func Check(text []byte) (detail string) {
	switch {
	case !utf8.Valid(text):
		return "the text is not UTF-8"
	case json.Valid(text):
		return ""
	case len(bytes.TrimSpace(text)) == 0:
		return "not JSON: there is nothing in it"
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	var ignored json.RawMessage
	err := decoder.Decode(&ignored)
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return fmt.Sprintf("not JSON: there is something behind the value, which ends at byte %d", decoder.InputOffset())
	case errors.As(err, &syntax) && strings.Contains(syntax.Error(), "depth"):
		return "not JSON: objects and lists go too deep"
	case errors.As(err, &syntax) && syntax.Offset > 0 && syntax.Offset <= int64(len(text)):
		at := syntax.Offset - 1
		found, _ := utf8.DecodeRune(text[at:])
		return fmt.Sprintf("not JSON: %q cannot stand at byte %d", string(found), at+1)
	}
	return "not JSON: the text ends too early"
}
