package otsemu

import (
	"cmp"
	"encoding/hex"
	"math"
	"strconv"
)

// kind is a value's type, as PlainBuffer numbers them.
type kind byte

const (
	kindInteger       kind = 0x0
	kindDouble        kind = 0x1
	kindBoolean       kind = 0x2
	kindString        kind = 0x3
	kindBinary        kind = 0x7
	kindMin           kind = 0x9
	kindMax           kind = 0xa
	kindAutoIncrement kind = 0xb
	// kindNone marks a cell without a value; PlainBuffer has no number for it.
	kindNone kind = 0xff
)

func (k kind) String() string {
	switch k {
	case kindInteger:
		return "VT_INTEGER"
	case kindDouble:
		return "VT_DOUBLE"
	case kindBoolean:
		return "VT_BOOLEAN"
	case kindString:
		return "VT_STRING"
	case kindBinary:
		return "VT_BLOB"
	case kindMin:
		return "VT_INF_MIN"
	case kindMax:
		return "VT_INF_MAX"
	case kindAutoIncrement:
		return "VT_AUTO_INCREMENT"
	}
	return "VT_NULL"
}

// value is what a column holds.
type value struct {
	kind kind
	// number is an integer, the bits of a double, or 0 and 1 for a boolean.
	number int64
	// data are the bytes of a string or binary.
	data string
}

func (v value) double() float64 { return math.Float64frombits(uint64(v.number)) }

// size is what a value counts for in limits and capacity units, in bytes.
func (v value) size() int {
	switch v.kind {
	case kindInteger, kindDouble:
		return 8
	case kindBoolean:
		return 1
	}
	return len(v.data)
}

// compare orders two values of one type; values of different types have no order.
func (v value) compare(other value) (order int, comparable bool) {
	if v.kind != other.kind {
		return 0, false
	}
	switch v.kind {
	case kindInteger, kindBoolean:
		return cmp.Compare(v.number, other.number), true
	case kindDouble:
		return cmp.Compare(v.double(), other.double()), true
	}
	return cmp.Compare(v.data, other.data), true
}

// text shows a primary key's value in call logs and matches it in fault rules.
func (v value) text() string {
	switch v.kind {
	case kindInteger:
		return strconv.FormatInt(v.number, 10)
	case kindString:
		return v.data
	case kindBinary:
		return hex.EncodeToString([]byte(v.data))
	case kindMin:
		return "INF_MIN"
	case kindMax:
		return "INF_MAX"
	}
	return v.kind.String()
}
