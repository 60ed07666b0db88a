package requests

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// decodeText returns a text as UTF-8 without its byte-order mark, and the name of the encoding that it had. Other encodings cannot be told from
// each other, so they are refused.
func decodeText(raw []byte) (text []byte, encoding string, err error) {
	text, encoding = bytes.TrimPrefix(raw, []byte("\ufeff")), "UTF-8"
	if order, rest := orderOf(raw); order != nil {
		encoding = "UTF-16"
		if text, err = fromUTF16(rest, order); err != nil {
			return nil, "", err
		}
	}
	if !utf8.Valid(text) {
		return nil, "", fmt.Errorf("line %d: the text is neither UTF-8 nor UTF-16 with a byte-order mark (it may be GBK or Latin-1): save it as UTF-8",
			lineWhere(text, func(line []byte) bool { return !utf8.Valid(line) }))
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, "", fmt.Errorf("line %d: the text holds the character NUL (it may be UTF-16 without a byte-order mark): save it as UTF-8",
			lineWhere(text, func(line []byte) bool { return bytes.IndexByte(line, 0) >= 0 }))
	}
	return text, encoding, nil
}

// lineWhere is the first line of which something is true, counted from 1.
func lineWhere(text []byte, is func(line []byte) bool) int {
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if is(line) {
			break
		}
	}
	return number
}

// orderOf returns how a text in UTF-16 puts two bytes together, by its byte-order mark; nil if it has none.
func orderOf(raw []byte) (order func(a, b byte) uint16, rest []byte) {
	little, isLittle := bytes.CutPrefix(raw, []byte("\xff\xfe"))
	big, isBig := bytes.CutPrefix(raw, []byte("\xfe\xff"))
	switch {
	case isLittle:
		return func(a, b byte) uint16 { return uint16(b)<<8 | uint16(a) }, little
	case isBig:
		return func(a, b byte) uint16 { return uint16(a)<<8 | uint16(b) }, big
	}
	return nil, nil
}

func fromUTF16(raw []byte, order func(a, b byte) uint16) ([]byte, error) {
	if len(raw)%2 != 0 {
		return nil, errors.New("the UTF-16 text ends within a character")
	}
	units := make([]uint16, 0, len(raw)/2)
	for pair := range slices.Chunk(raw, 2) {
		units = append(units, order(pair[0], pair[1]))
	}
	runes := utf16.Decode(units)
	if count(runes, utf8.RuneError) > count(units, utf8.RuneError) { // a half without its other half becomes one
		return nil, errors.New("the UTF-16 text is damaged: a surrogate stands alone")
	}
	return []byte(string(runes)), nil
}

func count[T comparable](list []T, what T) (n int) {
	for _, one := range list {
		if one == what {
			n++
		}
	}
	return n
}
