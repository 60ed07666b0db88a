// Package trace carries the id of a trace from a request to all that is done for it, in the header traceparent of W3C Trace Context
// (https://www.w3.org/TR/trace-context/, level 2 included). It records no spans and sends none anywhere: only the id travels.
package trace

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
)

// Header is the name of the header, in the case that the specification recommends for sending it (section 3.2.1).
const Header = "traceparent"

// Parent is a valid value of the header traceparent in version 00: the id of a trace, the id of a span in it, and flags. Empty is none. Make one
// with Parse or Child.
type Parent string

// Lengths in bytes of the parts of a value: version-traceid-spanid-flags (section 3.2.2).
const (
	versionEnd = 2
	traceBegin = versionEnd + 1
	traceEnd   = traceBegin + 32
	spanBegin  = traceEnd + 1
	spanEnd    = spanBegin + 16
	flagsBegin = spanEnd + 1
	length     = flagsBegin + 2
)

// The flags that are passed on; unknown ones are not (section 3.2.2.5.2 of level 1). Level 2 names the second.
const (
	sampled = 0x01
	random  = 0x02
)

// Parse reads a value of the header. A later version may have more fields behind the flags, which are not kept (section 3.2.4). An invalid value is
// none.
func Parse(value string) (Parent, bool) {
	later := len(value) > length && value[length] == '-' && value[:versionEnd] != "00"
	if len(value) != length && !later {
		return "", false
	}
	for _, dash := range []int{versionEnd, traceEnd, spanEnd} {
		if value[dash] != '-' {
			return "", false
		}
	}
	version, trace, span, flags := value[:versionEnd], value[traceBegin:traceEnd], value[spanBegin:spanEnd], value[flagsBegin:length]
	if !isHex(version) || !isHex(trace) || !isHex(span) || !isHex(flags) || version == "ff" || isZero(trace) || isZero(span) {
		return "", false
	}
	bits, _ := hex.DecodeString(flags) // two digits
	return parent(trace, span, bits[0]&(sampled|random)), true
}

func parent(trace, span string, flags byte) Parent {
	return Parent(fmt.Sprintf("00-%s-%s-%02x", trace, span, flags))
}

// isHex reports whether a text is of lower-case hexadecimal digits; others are invalid (section 3.2.2.2).
func isHex(text string) bool { return strings.Trim(text, "0123456789abcdef") == "" }

func isZero(text string) bool { return strings.Trim(text, "0") == "" }

// Child is a new span of the trace, or the first of a new trace if there is none. bits returns 64 random bits.
func (p Parent) Child(bits func() uint64) Parent {
	span := fmt.Sprintf("%016x", max(bits(), 1)) // all zeros are invalid
	if p == "" {
		return parent(fmt.Sprintf("%016x%016x", bits(), max(bits(), 1)), span, random)
	}
	return p[:spanBegin] + Parent(span) + p[spanEnd:]
}

// ID is the id of the trace; empty of none.
func (p Parent) ID() string {
	if p == "" {
		return ""
	}
	return string(p[traceBegin:traceEnd])
}

// UnmarshalText reads a value that was kept; an invalid one is none, and no error.
func (p *Parent) UnmarshalText(text []byte) error {
	*p, _ = Parse(string(text))
	return nil
}

type key struct{}

// Into returns a context that carries a span.
func Into(ctx context.Context, p Parent) context.Context { return context.WithValue(ctx, key{}, p) }

// From returns the span that a context carries; none if it carries none.
func From(ctx context.Context) Parent {
	p, _ := ctx.Value(key{}).(Parent)
	return p
}
