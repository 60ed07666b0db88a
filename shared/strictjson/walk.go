package strictjson

import (
	"encoding/json"
	"iter"
)

// Members walks the members of a JSON object, which must be valid and without white space before it: encoding/json has said so. That
// package has no way to see a member twice but its token reader, which takes longer than everything else that is done for a
// request.
func Members(object []byte) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for at := space(object, 1); object[at] != '}'; {
			nameEnd := valueEnd(object, at)
			var name string
			_ = json.Unmarshal(object[at:nameEnd], &name) // a valid string
			value := space(object, space(object, nameEnd)+1)
			end := valueEnd(object, value)
			if !yield(name, object[value:end:end]) {
				return
			}
			at = space(object, end)
			if object[at] == ',' {
				at = space(object, at+1)
			}
		}
	}
}

// Elements walks the elements of a JSON array, which must be valid and without white space before it. It makes no copy of any.
func Elements(array []byte) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		for at := space(array, 1); array[at] != ']'; {
			end := valueEnd(array, at)
			if !yield(array[at:end:end]) {
				return
			}
			at = space(array, end)
			if array[at] == ',' {
				at = space(array, at+1)
			}
		}
	}
}

// space returns where the white space at a position ends.
func space(text []byte, at int) int {
	for text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r' {
		at++
	}
	return at
}

// valueEnd returns where the value that begins at a position ends.
func valueEnd(text []byte, at int) int {
	for depth := 0; ; {
		switch c := text[at]; c {
		case '"':
			at = stringEnd(text, at)
		case '{', '[':
			depth++
			at++
		case '}', ']':
			depth--
			at++
		default:
			at++
		}
		if depth == 0 && (at == len(text) || ends(text[at-1], text[at])) {
			return at
		}
	}
}

// ends reports whether a value outside of all braces is over between two bytes: behind its quote, brace or bracket, or where
// a number or a word meets what cannot be a part of it.
func ends(last, next byte) bool {
	switch last {
	case '"', '}', ']':
		return true
	}
	switch next {
	case ' ', '\t', '\n', '\r', ',', '}', ']':
		return true
	}
	return false
}

// stringEnd returns where the string that begins at a position ends.
func stringEnd(text []byte, at int) int {
	for at++; text[at] != '"'; at++ {
		if text[at] == '\\' {
			at++
		}
	}
	return at + 1
}
