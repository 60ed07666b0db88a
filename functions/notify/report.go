package notify

import (
	"context"

	"routinely/shared/fault"
	"routinely/shared/logging"
)

// outcome is what became of one delivered message.
type outcome string

const (
	delivered outcome = "delivered"
	again     outcome = "again"
	// givenUp: the callback is on the dead-letter queue.
	givenUp outcome = "given-up"
	// passedOn: the message is no callback, and is on the dead-letter queue.
	passedOn   outcome = "passed-on"
	notSettled outcome = "not-settled"
)

// Report is the function's answer: what became of each message.
type Report struct {
	Messages []entry `json:"messages"`
}

type entry struct {
	ID        string  `json:"id,omitempty"`
	JobID     string  `json:"jobId,omitempty"`
	TraceID   string  `json:"traceId,omitempty"`
	MessageID string  `json:"messageId,omitempty"`
	Outcome   outcome `json:"outcome"`
	Attempt   int     `json:"attempt,omitempty"`
	// URL is shown without its query.
	URL          string     `json:"url,omitempty"`
	Kind         fault.Kind `json:"kind,omitempty"`
	Code         string     `json:"code,omitempty"`
	Error        string     `json:"error,omitempty"`
	Hint         string     `json:"hint,omitempty"`
	DelaySeconds float64    `json:"delaySeconds,omitempty"`
}

func (l *entry) blame(failure *fault.Error) {
	l.Kind, l.Code, l.Error, l.Hint = failure.Kind, failure.Code, failure.Error(), failure.Hint
}

// log writes the one line of a message's outcome.
func (l *entry) log(ctx context.Context) {
	fields := logging.Fields{
		logging.Event: logging.DeliveryEnded, logging.Outcome: l.Outcome, logging.MessageID: l.MessageID, logging.Attempt: l.Attempt, "callbackId": l.ID, "url": l.URL,
	}
	if l.Outcome == delivered || l.Outcome == givenUp {
		fields[logging.Event] = logging.CallbackEnded
	}
	if l.Error != "" {
		fields[logging.Error], fields[logging.Kind], fields[logging.Code], fields[logging.Hint] = l.Error, l.Kind, l.Code, l.Hint
	}
	if l.Outcome == again {
		fields[logging.DelaySeconds] = l.DelaySeconds
	}
	log := logging.Of(ctx, l.JobID, l.TraceID).WithFields(fields)
	switch l.Outcome {
	case delivered:
		log.Info("callback delivered")
	case again:
		log.Warn("callback again")
	case givenUp, passedOn, notSettled:
		log.Error("callback " + string(l.Outcome))
	}
}
