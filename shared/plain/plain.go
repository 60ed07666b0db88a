// Package plain makes texts of others fit for what holds or shows them: a row, an event, a log line, an answer. It is the one place where a text
// is shortened.
package plain

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// mark stands for what was left out.
const mark = "…"

// Clip returns the beginning of a text that is longer than most bytes, in whole characters and with an ellipsis behind it, so that the result
// has at most most bytes. A text that is short enough stays as it is. most is at least the 3 bytes of the ellipsis.
func Clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := most - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}

// Clean returns a text with U+FFFD for each byte that is not UTF-8 and for each control character of ASCII but newline and tab. JSON writes
// a control character in six bytes.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return utf8.RuneError
		}
		return r
	}, text)
}

// Line returns a text on one line, of at most most bytes as Clip makes it: white space and characters that cannot be printed become one
// space between words, so that a terminal obeys nothing in it.
func Line(text string, most int) string {
	divides := func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }
	return Clip(strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), divides), " "), most)
}
