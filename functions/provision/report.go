package provision

import (
	"context"

	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/logging"
	"routinely/shared/routine"
)

// outcome is what became of one delivered message.
type outcome string

const (
	succeeded    outcome = "succeeded"
	again        outcome = "again"
	handedBack   outcome = "handed-back"
	deadLettered outcome = "dead-lettered"
	duplicate    outcome = "duplicate"
	cancelled    outcome = "cancelled"
	superseded   outcome = "superseded"
	notSettled   outcome = "not-settled"
)

// Report is the function's answer: what became of each message, for whoever invokes the function by hand or reads its
// result; the trigger does not.
type Report struct {
	Messages []entry `json:"messages"`
}

type entry struct {
	JobID        string          `json:"jobId,omitempty"`
	TraceID      string          `json:"traceId,omitempty"`
	MessageID    string          `json:"messageId,omitempty"`
	Outcome      outcome         `json:"outcome"`
	Attempt      int             `json:"attempt,omitempty"`
	Result       *routine.Result `json:"result,omitempty"`
	Step         string          `json:"step,omitempty"`
	Kind         fault.Kind      `json:"kind,omitempty"`
	Code         string          `json:"code,omitempty"`
	Error        string          `json:"error,omitempty"`
	ESARequestID string          `json:"esaRequestId,omitempty"`
	Hint         string          `json:"hint,omitempty"`
	DelaySeconds float64         `json:"delaySeconds,omitempty"`
	// ESACalls is how many calls of ESA the delivery took.
	ESACalls int `json:"esaCalls,omitempty"`
}

// logResult adds what was achieved to the fields of a line. Of several host names it says how many.
func logResult(r routine.Result, fields logging.Fields) {
	for name, outcome := range map[string]routine.Outcome{"routine": r.Routine, "record": r.Record} {
		if outcome != "" {
			fields[name] = outcome
		}
	}
	if r.RecordID != 0 {
		fields["recordId"] = r.RecordID
	}
	if n := len(r.Records) + r.More; n > 1 {
		fields["records"] = n
	}
}

// newEntry is that of a delivery of which nothing has become yet.
func newEntry(d queue.Delivery) entry {
	return entry{JobID: d.Envelope.JobID, TraceID: d.Envelope.Trace.ID(), MessageID: d.MessageID}
}

func (l *entry) blame(last routine.Attempt) {
	l.Step, l.Kind, l.Code, l.Error = string(last.Step), fault.Kind(last.Kind), last.Code, last.Message
	l.ESARequestID, l.Hint = last.RequestID, last.Hint
}

// unsettled says why the ledger did not take what became of the message.
func (l *entry) unsettled(failure *fault.Error) {
	*l = entry{
		JobID: l.JobID, TraceID: l.TraceID, MessageID: l.MessageID, Attempt: l.Attempt, Outcome: notSettled, Step: failure.Step, Kind: failure.Kind,
		Code: failure.Code, Error: failure.Error(), Hint: failure.Hint, ESACalls: l.ESACalls,
	}
}

// log writes the one line of a message's outcome. The outcomes that end a job are named as the states that they end in.
func (l *entry) log(ctx context.Context) {
	fields := logging.Fields{
		logging.Event: logging.DeliveryEnded, logging.Outcome: l.Outcome, logging.MessageID: l.MessageID, logging.Attempt: l.Attempt,
		logging.ESACalls: l.ESACalls,
	}
	switch l.Outcome {
	case succeeded, superseded, deadLettered:
		fields[logging.Event], fields[logging.State] = logging.JobEnded, l.Outcome
	case again, handedBack, duplicate, cancelled, notSettled:
	}
	if l.Result != nil {
		logResult(*l.Result, fields)
	}
	if l.Error != "" {
		fields[logging.Error], fields[logging.Kind], fields[logging.Code] = l.Error, l.Kind, l.Code
		fields[logging.Step], fields[logging.ESARequestID], fields[logging.Hint] = l.Step, l.ESARequestID, l.Hint
	}
	if l.Outcome == again || l.Outcome == handedBack {
		fields[logging.DelaySeconds] = l.DelaySeconds
	}
	log := logging.Of(ctx, l.JobID, l.TraceID).WithFields(fields)
	switch l.Outcome {
	case succeeded, duplicate, cancelled, superseded:
		log.Info("job " + string(l.Outcome))
	case again, handedBack:
		log.Warn("job " + string(l.Outcome))
	case deadLettered, notSettled:
		log.Error("job " + string(l.Outcome))
	}
}
