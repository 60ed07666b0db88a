// Package logging sets logrus up once: one JSON line per entry, constant field names, and the fields of the current call,
// carried by its context.
package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"reflect"
	"unicode"
	"unicode/utf16"

	"github.com/sirupsen/logrus"

	"routinely/shared/plain"
)

// Names of the fields that log lines carry.
const (
	Function     = "function"
	RequestID    = "requestId" // of the invocation
	Caller       = "caller"
	Job          = "jobId"
	TraceID      = "traceId" // of the trace that the job belongs to
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
	logger.SetFormatter(short{visible{&logrus.JSONFormatter{TimestampFormat: "2006-01-02T15:04:05.000Z07:00"}}})
	return logger.WithField(Function, function), nil
}

// maxValue is the longest text in bytes that a field or a message of a line has: what others send is not to fill the log.
const maxValue = 4 << 10

// short cuts texts that are too long.
type short struct{ logrus.Formatter }

// Format is the formatter's. logrus gives it an entry of its own to change.
func (s short) Format(entry *logrus.Entry) ([]byte, error) {
	entry.Message = plain.Clip(entry.Message, maxValue)
	for name, value := range entry.Data {
		if failure, ok := value.(error); ok {
			entry.Data[name] = plain.Clip(failure.Error(), maxValue)
		} else if text := reflect.ValueOf(value); text.Kind() == reflect.String {
			entry.Data[name] = plain.Clip(text.String(), maxValue)
		}
	}
	return s.Formatter.Format(entry)
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

// Of returns the entry of the context for a line about a job: it has the job's id and that of its trace. A job of before there were traces has none.
func Of(ctx context.Context, job, traceID string) *logrus.Entry {
	entry := From(ctx).WithField(Job, job)
	if traceID == "" {
		return entry
	}
	return entry.WithField(TraceID, traceID)
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
