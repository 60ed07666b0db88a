package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"routinely/shared/fault"
	"routinely/shared/routine"
	"routinely/shared/trace"
)

// Types of the CloudEvents (1.0, structured mode, JSON) that messages are.
const (
	// TypeJob is a job on its way.
	TypeJob = "routinely.job.v2"
	// TypeCallback is the news of a job's end on its way to a receiver.
	TypeCallback = "routinely.callback.v2"
	// TypeUnverified is a message whose key the function notify does not know, on its way to the janitor. It is not sealed: it gives nobody
	// anything but a dead letter.
	TypeUnverified = "routinely.unverified.v2"
	// ourTypes begin all of them.
	ourTypes = "routinely."
)

// source is the CloudEvents source of all our messages.
const source = "/routinely"

// MaxEnvelopeBytes is the longest message of a job: well below MNS's limit, so that it is still one when the trigger has wrapped it and the
// janitor finds it among the trigger's dead letters.
const MaxEnvelopeBytes = 40_000

// Envelope dispatches a job. What is carried out is what the job's row in the ledger holds; the request tells a message of the job from one
// that only has its id.
type Envelope struct {
	// JobID is the same in every delivery and in every copy of the job.
	JobID string `json:"jobId"`
	// Caller is who asked: routine.QueueCaller if the request did not come over HTTP.
	Caller string `json:"caller,omitempty"`
	// Limits are what the caller may name and bind: those at the acceptance or at the latest redrive.
	Limits routine.Limits `json:"limits,omitzero"`
	// AcceptedAt is when the request was accepted, by our clock. ProducedAt is when another program made it, by that program's clock; zero if
	// it did not say.
	AcceptedAt time.Time `json:"acceptedAt"`
	ProducedAt time.Time `json:"producedAt,omitzero"`
	// Round counts the job's redrives, from 0, and Number its deliveries in the round, from 1.
	Round  int `json:"round"`
	Number int `json:"number"`
	// Request is what was asked for when the message was sent.
	Request routine.Request `json:"request"`
	// Trace is the span of the acceptance, or of the latest redrive; of another program's request the one that its event names. Empty is none.
	Trace trace.Parent `json:"traceparent,omitempty"`
	// Bulk says that the job came in a batch: its message gives way to those of single requests. It is the message's priority, not part of its
	// body, so that a delivery does not tell it.
	Bulk bool `json:"-"`
}

// Priorities of messages. MNS takes 1, the most urgent, to 16, and treats them as a hint: it may deliver in another order.
const (
	// normalPriority is MNS's default; the SDK sends 0, which is out of range, unless it is told otherwise.
	normalPriority = 8
	bulkPriority   = 12
)

func (e Envelope) priority() int64 {
	if e.Bulk {
		return bulkPriority
	}
	return normalPriority
}

// Check says whether the envelope can be sent. One whose message would be longer than MaxEnvelopeBytes is a fault of kind Invalid with code
// MessageTooLarge. The digits of Round and Number are not counted, so that a job which could be sent once can be sent again.
func (e Envelope) Check() error {
	e.Round, e.Number = 0, 0
	data, err := encode(e)
	if err != nil {
		return err
	}
	body, err := e.event(data, longest())
	if size := len(body); err == nil && size > MaxEnvelopeBytes {
		return tooLarge(size, MaxEnvelopeBytes)
	}
	return err
}

func (e Envelope) event(data []byte, s seal) (string, error) {
	return encodeEvent(TypeJob, fmt.Sprintf("%s/%d.%d", e.JobID, e.Round, e.Number), e.JobID, e.AcceptedAt, data, s)
}

// Seal returns the message body of an envelope. The errors are those of Check, and a fault of kind Internal if there is no key.
func (k Keys) Seal(e Envelope) (string, error) {
	if err := e.Check(); err != nil {
		return "", err
	}
	return k.sealed(TypeJob, e, e.event)
}

// sealed encodes data, and makes the event of it and its seal.
func (k Keys) sealed(eventType string, data any, event func([]byte, seal) (string, error)) (string, error) {
	if len(k.all) == 0 {
		return "", &fault.Error{Kind: fault.Internal, Code: "NoMessageKey", Message: "there is no key to seal messages with", Hint: hintOurs}
	}
	text, err := encode(data)
	if err != nil {
		return "", err
	}
	return event(text, k.seal(eventType, text))
}

// cloudEvent is an event in the JSON format of CloudEvents 1.0. Its seal are two extension attributes.
type cloudEvent struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject,omitempty"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	seal
	Data json.RawMessage `json:"data"`
}

// encodeEvent writes an event around data. The CloudEvents SDK, which reads other programs' events, takes three times as long to write one,
// and accept writes one for each request.
func encodeEvent(eventType, id, subject string, at time.Time, data []byte, s seal) (string, error) {
	body, err := encode(cloudEvent{
		SpecVersion: event.CloudEventsVersionV1, ID: id, Source: source, Type: eventType, Subject: subject, Time: at.UTC(),
		DataContentType: event.ApplicationJSON, seal: s, Data: data,
	})
	return string(body), err
}

// encode writes JSON as our messages have it.
func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // XML has its own way with < and &; six bytes for each would make messages longer than they need be
	if err := encoder.Encode(value); err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Code: "Encoding", Message: "encode a message: " + err.Error(), Err: err, Hint: hintOurs}
	}
	return escapeNonCharacters(bytes.TrimRight(out.Bytes(), "\n")), nil
}

// escapeNonCharacters writes the two characters that JSON leaves as they are and XML cannot carry: Base64 for the whole message
// would make it a third longer.
func escapeNonCharacters(body []byte) []byte {
	body = bytes.ReplaceAll(body, []byte("\ufffe"), []byte(`\ufffe`))
	return bytes.ReplaceAll(body, []byte("\uffff"), []byte(`\uffff`))
}
