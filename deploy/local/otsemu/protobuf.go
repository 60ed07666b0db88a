package otsemu

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// message is a decoded protobuf message. The generated types belong to the SDK, which this server must not share its reading of
// the protocol with, so messages are read field by field. A reader that meets a field of another type than it wants notes that
// as the message's problem, and callers ask for the problem once, at the end.
type message struct {
	fields map[protowire.Number][]wireValue
	// problem is shared by a message and those inside it.
	problem *error
}

type wireValue struct {
	kind   protowire.Type
	number uint64
	bytes  []byte
}

func parseMessage(b []byte) (*message, error) {
	var problem error
	m := decode(b, &problem)
	return m, problem
}

func decode(b []byte, problem *error) *message {
	m := &message{fields: map[protowire.Number][]wireValue{}, problem: problem}
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			m.fail()
			return m
		}
		b = b[n:]
		v := wireValue{kind: kind}
		switch kind {
		case protowire.VarintType:
			v.number, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(field, kind, b)
		}
		if n < 0 {
			m.fail()
			return m
		}
		b = b[n:]
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
func (m *message) require(fields ...protowire.Number) {
	for _, field := range fields {
		if !m.has(field) {
			m.fail()
		}
	}
}

func (m *message) has(field protowire.Number) bool { return len(m.fields[field]) > 0 }

// last is a field's value: of a field that came more than once the last counts.
func (m *message) last(field protowire.Number, kind protowire.Type) (wireValue, bool) {
	values := m.fields[field]
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

func (m *message) bytes(field protowire.Number) []byte {
	v, _ := m.last(field, protowire.BytesType)
	return v.bytes
}

func (m *message) text(field protowire.Number) string { return string(m.bytes(field)) }

func (m *message) number(field protowire.Number, fallback int64) int64 {
	if v, found := m.last(field, protowire.VarintType); found {
		return int64(v.number)
	}
	return fallback
}

func (m *message) flag(field protowire.Number, fallback bool) bool {
	if v, found := m.last(field, protowire.VarintType); found {
		return v.number != 0
	}
	return fallback
}

// all is a repeated field of strings, bytes or messages.
func (m *message) all(field protowire.Number) [][]byte {
	var out [][]byte
	for _, v := range m.fields[field] {
		if v.kind != protowire.BytesType {
			m.fail()
		}
		out = append(out, v.bytes)
	}
	return out
}

func (m *message) texts(field protowire.Number) []string {
	var out []string
	for _, b := range m.all(field) {
		out = append(out, string(b))
	}
	return out
}

// inner is a field that is a message; an absent one is an empty message.
func (m *message) inner(field protowire.Number) *message { return decode(m.bytes(field), m.problem) }

func (m *message) inners(field protowire.Number) []*message {
	var out []*message
	for _, b := range m.all(field) {
		out = append(out, decode(b, m.problem))
	}
	return out
}

func appendBytes(b []byte, field protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), value)
}

func appendText(b []byte, field protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), value)
}

func appendNumber(b []byte, field protowire.Number, value int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(value))
}

func appendFlag(b []byte, field protowire.Number, value bool) []byte {
	return appendNumber(b, field, int64(protowire.EncodeBool(value)))
}
