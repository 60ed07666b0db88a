package otsemu

import (
	"encoding/binary"
	"strings"
)

// Marks that begin each column of an encoded key, so that INF_MIN and INF_MAX sort around every value.
const (
	markMin   = 0x00
	markValue = 0x01
	markMax   = 0xff
)

// encodeKey is a primary key in an order of bytes that is the order of keys: column by column, integers by number, strings and
// binaries by their bytes. The end of a string is 0x00 0x01 and a zero byte in it 0x00 0xff, so that a prefix sorts first.
func encodeKey(key []cell) []byte {
	out := make([]byte, 0, 64)
	for _, c := range key {
		switch c.value.kind {
		case kindMin:
			out = append(out, markMin)
		case kindMax:
			out = append(out, markMax)
		case kindInteger:
			out = binary.BigEndian.AppendUint64(append(out, markValue), uint64(c.value.number)^1<<63)
		default:
			out = append(out, markValue)
			out = append(out, strings.ReplaceAll(c.value.data, "\x00", "\x00\xff")...)
			out = append(out, 0x00, 0x01)
		}
	}
	return out
}

// keyText is a primary key as call logs show it and fault rules match it, such as "job=abc,part=3".
func keyText(key []cell) string {
	parts := make([]string, 0, len(key))
	for _, c := range key {
		parts = append(parts, c.name+"="+c.value.text())
	}
	return strings.Join(parts, ",")
}
