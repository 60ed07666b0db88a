package invocation

import (
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"routinely/queue"
	"routinely/shared/config"
	"routinely/shared/ledger"
	"routinely/shared/logging"
)

// Parts are what both functions are made of.
type Parts struct {
	// Credentials are those of the latest call.
	Credentials *Credentials
	// Jobs is the way to the queues.
	Jobs *queue.Client
	// Record is what is written down of jobs; without a ledger it records nothing.
	Record *Record
	// Log is the function's logger, which writes to the output it was made with.
	Log *logrus.Entry
}

// NewParts makes the parts of the function called name. It makes no call; the error says which setting is wrong.
func NewParts(cfg config.Base, stdout io.Writer, name string) (*Parts, error) {
	log, err := logging.New(stdout, cfg.LogLevel, name)
	if err != nil {
		return nil, err
	}
	p := &Parts{Credentials: NewCredentials(cfg.Key), Log: log}
	p.Jobs, err = queue.New(queue.Config{
		Endpoint: cfg.Queue.Endpoint, Queue: cfg.Name, DeadLetterQueue: cfg.DeadLetter, CallbackQueue: cfg.CallbackQueue,
		Credentials: p.Credentials.Get, Timeout: cfg.Queue.Timeout,
	})
	if err != nil {
		return nil, err
	}
	var table *ledger.Ledger
	if cfg.Ledger.Endpoint != "" {
		table, err = ledger.New(ledger.Config{
			Endpoint: cfg.Ledger.Endpoint, Instance: cfg.Ledger.Instance, Table: cfg.Ledger.Table,
			Credentials: p.Credentials.Get, Timeout: cfg.Ledger.Timeout,
		})
		if err != nil {
			return nil, err
		}
	}
	p.Record = NewRecord(table, time.Now)
	return p, nil
}
