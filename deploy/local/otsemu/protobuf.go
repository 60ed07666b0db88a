package otsemu

import "encoding/binary"

// field is the number of a field of a protobuf message, and wireType how its value is written
// (https://protobuf.dev/programming-guides/encoding/).
type (
	field    uint64
	wireType uint64
)

// The wire types of protobuf. Groups, the two that are left, are long out of use.
const (
	wireVarint  wireType = 0
	wireFixed64 wireType = 1
	wireBytes   wireType = 2
	wireFixed32 wireType = 5
)

// message is a decoded protobuf message. It is read field by field and not by a protobuf package: the SDK's generated types are
// what this server must not share its reading of the protocol with, and a newer runtime in the module would make the SDK's
// start twenty times slower. A reader that meets a field of another type than it wants notes that as the message's problem,
// and callers ask for the problem once, at the end.
type message struct {
	fields map[field][]wireValue
	// problem is shared by a message and those inside it.
	problem *error
}

type wireValue struct {
	kind   wireType
	number uint64
	bytes  []byte
}

func parseMessage(b []byte) (*message, error) {
	var problem error
	m := decode(b, &problem)
	return m, problem
}

func decode(b []byte, problem *error) *message {
	m := &message{fields: map[field][]wireValue{}, problem: problem}
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 {
			m.fail()
			return m
		}
		v, rest, ok := readValue(wireType(tag&7), b[n:])
		if !ok {
			m.fail()
			return m
		}
		b = rest
		m.fields[field(tag>>3)] = append(m.fields[field(tag>>3)], v)
	}
	return m
}

// readValue reads a value and returns what is behind it. Values of fixed size are passed over: no field here has one.
func readValue(kind wireType, b []byte) (v wireValue, rest []byte, ok bool) {
	v.kind = kind
	size, n := 0, 0
	switch kind {
	case wireVarint:
		v.number, n = binary.Uvarint(b)
		return v, b[max(n, 0):], n > 0
	case wireBytes:
		var length uint64
		if length, n = binary.Uvarint(b); n <= 0 || length > uint64(len(b)-n) {
			return v, nil, false
		}
		size = int(length)
		v.bytes = b[n : n+size]
	case wireFixed64:
		size = 8
	case wireFixed32:
		size = 4
	default:
		return v, nil, false
	}
	if len(b) < n+size {
		return v, nil, false
	}
	return v, b[n+size:], true
}

func (m *message) fail() {
	if *m.problem == nil {
		*m.problem = invalid("Parse PBMessage from RawString failed.")
	}
}

// require notes a required field that is absent.
func (m *message) require(fields ...field) {
	for _, f := range fields {
		if !m.has(f) {
			m.fail()
		}
	}
}

func (m *message) has(f field) bool { return len(m.fields[f]) > 0 }

// last is a field's value: of a field that came more than once the last counts.
func (m *message) last(f field, kind wireType) (wireValue, bool) {
	values := m.fields[f]
	if len(values) == 0 {
		return wireValue{}, false
	}
	v := values[len(values)-1]
	if v.kind != kind {
		m.fail()
		return wireValue{}, false
	}
	return v, true
}

func (m *message) bytes(f field) []byte {
	v, _ := m.last(f, wireBytes)
	return v.bytes
}

func (m *message) text(f field) string { return string(m.bytes(f)) }

func (m *message) number(f field, fallback int64) int64 {
	if v, found := m.last(f, wireVarint); found {
		return int64(v.number)
	}
	return fallback
}

func (m *message) flag(f field, fallback bool) bool {
	if v, found := m.last(f, wireVarint); found {
		return v.number != 0
	}
	return fallback
}

// all is a repeated field of strings, bytes or messages.
func (m *message) all(f field) [][]byte {
	var out [][]byte
	for _, v := range m.fields[f] {
		if v.kind != wireBytes {
			m.fail()
		}
		out = append(out, v.bytes)
	}
	return out
}

func (m *message) texts(f field) []string {
	var out []string
	for _, b := range m.all(f) {
		out = append(out, string(b))
	}
	return out
}

// inner is a field that is a message; an absent one is an empty message.
func (m *message) inner(f field) *message { return decode(m.bytes(f), m.problem) }

func (m *message) inners(f field) []*message {
	var out []*message
	for _, b := range m.all(f) {
		out = append(out, decode(b, m.problem))
	}
	return out
}

func appendTag(b []byte, f field, kind wireType) []byte {
	return binary.AppendUvarint(b, uint64(f)<<3|uint64(kind))
}

func appendBytes(b []byte, f field, value []byte) []byte {
	return append(binary.AppendUvarint(appendTag(b, f, wireBytes), uint64(len(value))), value...)
}

func appendText(b []byte, f field, value string) []byte {
	return append(binary.AppendUvarint(appendTag(b, f, wireBytes), uint64(len(value))), value...)
}

func appendNumber(b []byte, f field, value int64) []byte {
	return binary.AppendUvarint(appendTag(b, f, wireVarint), uint64(value))
}

func appendFlag(b []byte, f field, value bool) []byte {
	if value {
		return appendNumber(b, f, 1)
	}
	return appendNumber(b, f, 0)
}
