package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Types of the CloudEvents (1.0, structured mode, JSON) that messages are.
const (
	// TypeJob is a job on its way.
	TypeJob = "routinely.job.v2"
	// TypeCallback is the news of a job's end on its way to a receiver.
	TypeCallback = "routinely.callback.v2"
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
	// Caller is who asked, if the request came over HTTP.
	Caller string `json:"caller,omitempty"`
	// AcceptedAt is when the request was accepted.
	AcceptedAt time.Time `json:"acceptedAt"`
	// Round counts the job's redrives, from 0, and Number its deliveries in the round, from 1.
	Round  int `json:"round"`
	Number int `json:"number"`
	// Request is what was asked for when the message was sent.
	Request routine.Request `json:"request"`
}

// Encode returns the message body. One that is longer than MaxEnvelopeBytes is a fault of kind Invalid with code MessageTooLarge. The digits
// of Round and Number are not counted, so that a job which could be sent once can be sent again.
func (e Envelope) Encode() (string, error) {
	numbers := fmt.Sprintf("%d.%d", e.Round, e.Number)
	body, err := encode(TypeJob, e.JobID+"/"+numbers, e.JobID, e.AcceptedAt, e)
	if size := len(body) - 2*len(numbers); err == nil && size > MaxEnvelopeBytes {
		err = tooLarge(size, MaxEnvelopeBytes)
	}
	return string(body), err
}

// cloudEvent is an event in the JSON format of CloudEvents 1.0.
type cloudEvent struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject,omitempty"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            any       `json:"data"`
}

// encode writes an event. The CloudEvents SDK, which reads other programs' events, takes three times as long to write one,
// and accept writes one for each request.
func encode(eventType, id, subject string, at time.Time, data any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // XML has its own way with < and &; six bytes for each would make messages longer than they need be
	err := encoder.Encode(cloudEvent{
		SpecVersion: event.CloudEventsVersionV1, ID: id, Source: source, Type: eventType, Subject: subject, Time: at.UTC(),
		DataContentType: event.ApplicationJSON, Data: data,
	})
	if err != nil {
		return nil, &fault.Error{
			Kind: fault.Internal, Code: "Encoding", Message: fmt.Sprintf("encode %s: %v", eventType, err), Err: err, Hint: hintOurs,
		}
	}
	return escapeNonCharacters(bytes.TrimRight(out.Bytes(), "\n")), nil
}

// escapeNonCharacters writes the two characters that JSON leaves as they are and XML cannot carry: Base64 for the whole message
// would make it a third longer.
func escapeNonCharacters(body []byte) []byte {
	body = bytes.ReplaceAll(body, []byte("\ufffe"), []byte(`\ufffe`))
	return bytes.ReplaceAll(body, []byte("\uffff"), []byte(`\uffff`))
}
