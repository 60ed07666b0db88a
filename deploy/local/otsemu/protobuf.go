package otsemu

import "encoding/binary"

// Wire types of protobuf, which say how the value of a field is written (https://protobuf.dev/programming-guides/encoding/). The
// protocol uses no other types.
const (
	wireVarint = 0
	wireBytes  = 2
)

// message is a decoded protobuf message. This server must not use the SDK's generated types, or both would share one misreading of the
// protocol. It uses no protobuf module either: google.golang.org/protobuf requires a github.com/golang/protobuf that slows the start of
// every program with the SDK (see go.mod).
//
// A reader that finds a field of another type than it wants notes that as the message's problem. Callers look at the problem once, at
// the end.
type message struct {
	fields map[int][]wireValue
	// problem is shared by a message and those inside it.
	problem *error
}

// wireValue is a number (wireVarint) or bytes (wireBytes).
type wireValue struct {
	kind   uint64
	number uint64
	bytes  []byte
}

func parseMessage(b []byte) (*message, error) {
	var problem error
	m := decode(b, &problem)
	return m, problem
}

func decode(b []byte, problem *error) *message {
	m := &message{fields: map[int][]wireValue{}, problem: problem}
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		number, k := binary.Uvarint(b[max(n, 0):]) // the value, or the length of the bytes that follow
		if n <= 0 || k <= 0 || tag>>3 == 0 {
			m.fail()
			return m
		}
		v := wireValue{kind: tag & 7, number: number}
		b = b[n+k:]
		switch {
		case v.kind == wireBytes && number <= uint64(len(b)):
			v.bytes, b = b[:number], b[number:]
		case v.kind != wireVarint:
			m.fail()
			return m
		}
		field := int(tag >> 3)
		m.fields[field] = append(m.fields[field], v)
	}
	return m
}

func (m *message) fail() {
	if *m.problem == nil {
		*m.problem = invalid("Parse PBMessage from RawString failed.")
	}
}

// require notes a required field that is absent.
func (m *message) require(fields ...int) {
	for _, f := range fields {
		if !m.has(f) {
			m.fail()
		}
	}
}

func (m *message) has(f int) bool { return len(m.fields[f]) > 0 }

// last is a field's value. Of a field that comes more than once, the last counts.
func (m *message) last(f int, kind uint64) (v wireValue, found bool) {
	if !m.has(f) {
		return wireValue{}, false
	}
	if v = m.fields[f][len(m.fields[f])-1]; v.kind != kind {
		m.fail()
		return wireValue{}, false
	}
	return v, true
}

func (m *message) bytes(f int) []byte {
	v, _ := m.last(f, wireBytes)
	return v.bytes
}

func (m *message) text(f int) string { return string(m.bytes(f)) }

func (m *message) number(f int, fallback int64) int64 {
	if v, found := m.last(f, wireVarint); found {
		return int64(v.number)
	}
	return fallback
}

// flag is a boolean field; an absent one is false.
func (m *message) flag(f int) bool { return m.number(f, 0) != 0 }

// all is a repeated field of strings, bytes or messages.
func (m *message) all(f int) [][]byte {
	var out [][]byte
	for _, v := range m.fields[f] {
		if v.kind != wireBytes {
			m.fail()
		}
		out = append(out, v.bytes)
	}
	return out
}

// inner is a field that is a message; an absent one is an empty message.
func (m *message) inner(f int) *message { return decode(m.bytes(f), m.problem) }

func (m *message) inners(f int) []*message {
	var out []*message
	for _, b := range m.all(f) {
		out = append(out, decode(b, m.problem))
	}
	return out
}

func appendBytes(b []byte, f int, value []byte) []byte {
	b = binary.AppendUvarint(b, uint64(f)<<3|wireBytes)
	return append(binary.AppendUvarint(b, uint64(len(value))), value...)
}

func appendText(b []byte, f int, value string) []byte { return appendBytes(b, f, []byte(value)) }

func appendNumber(b []byte, f int, value int64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(f)<<3|wireVarint), uint64(value))
}

func appendFlag(b []byte, f int, value bool) []byte {
	if value {
		return appendNumber(b, f, 1)
	}
	return appendNumber(b, f, 0)
}
