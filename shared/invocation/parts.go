package invocation

import (
	"io"

	"github.com/sirupsen/logrus"

	"routinely/queue"
	"routinely/shared/config"
	"routinely/shared/logging"
)

// Parts are what all functions are made of.
type Parts struct {
	// Credentials are those of the latest call.
	Credentials *Credentials
	// Jobs is the way to the queues.
	Jobs *queue.Client
	// Log is the function's logger, which writes to the output it was made with.
	Log *logrus.Entry
}

// NewParts makes the parts of the function called name. It makes no call; the error says which setting is wrong.
func NewParts(cfg config.Function, stdout io.Writer, name string) (*Parts, error) {
	log, err := logging.New(stdout, cfg.LogLevel, name)
	if err != nil {
		return nil, err
	}
	p := &Parts{Credentials: NewCredentials(cfg.Key), Log: log}
	p.Jobs, err = queue.Open(cfg.Queue, cfg.Prefix, cfg.MessageKeys, p.Credentials.Get)
	if err != nil {
		return nil, err
	}
	return p, nil
}
