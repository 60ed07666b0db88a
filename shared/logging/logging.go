// Package logging sets logrus up once: one JSON line per entry, constant field names, and the fields of the call at hand
// carried by its context.
package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"

	"github.com/sirupsen/logrus"
)

// Names of the fields that log lines carry.
const (
	Function     = "function"
	RequestID    = "requestId" // of the invocation
	Caller       = "caller"
	Job          = "jobId"
	Attempt      = "attempt"
	MessageID    = "messageId"
	Step         = "step"
	Kind         = "kind"
	Code         = "code"
	ESARequestID = "esaRequestId"
	Hint         = "hint"
	Outcome      = "outcome"
	DelaySeconds = "delaySeconds"
	Error        = "error"
)

// Fields are the fields of one entry.
type Fields = logrus.Fields

// New returns a logger of JSON lines at the level named debug, info, warn or error.
func New(w io.Writer, level, function string) (*logrus.Entry, error) {
	parsed, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	logger := logrus.New()
	logger.SetOutput(w)
	logger.SetLevel(parsed)
	logger.SetFormatter(visible{&logrus.JSONFormatter{TimestampFormat: "2006-01-02T15:04:05.000Z07:00"}})
	return logger.WithField(Function, function), nil
}

// visible writes the characters as \u sequences that a terminal or an editor obeys instead of showing, and that JSON leaves as they
// are: delete, the C1 controls, and those that turn the direction of text or join and divide it unseen.
type visible struct{ logrus.Formatter }

// Format is the formatter's.
func (v visible) Format(entry *logrus.Entry) ([]byte, error) {
	line, err := v.Formatter.Format(entry)
	if !bytes.ContainsFunc(line, unseen) {
		return line, err
	}
	var out bytes.Buffer
	for _, r := range string(line) {
		if !unseen(r) {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			_, _ = fmt.Fprintf(&out, `\u%04x`, unit) // a buffer takes everything
		}
	}
	return out.Bytes(), err
}

func unseen(r rune) bool {
	return r >= 0x7f && unicode.In(r, unicode.Cc, unicode.Cf)
}

type key struct{}

// Into returns a context that carries the entry.
func Into(ctx context.Context, entry *logrus.Entry) context.Context {
	return context.WithValue(ctx, key{}, entry)
}

// From returns the entry the context carries, or one that writes nowhere.
func From(ctx context.Context) *logrus.Entry {
	if entry, ok := ctx.Value(key{}).(*logrus.Entry); ok {
		return entry
	}
	silent := logrus.New()
	silent.SetOutput(io.Discard)
	return logrus.NewEntry(silent)
}
