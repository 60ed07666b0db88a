// Package logging sets logrus up once: one JSON line per entry, constant field names, and the fields of the call at hand
// carried by its context.
package logging

import (
	"context"
	"fmt"
	"io"

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
	logger.SetFormatter(&logrus.JSONFormatter{TimestampFormat: "2006-01-02T15:04:05.000Z07:00"})
	return logger.WithField(Function, function), nil
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
