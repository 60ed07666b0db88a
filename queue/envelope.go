package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// Types of the CloudEvents (1.0, structured mode, JSON) that messages are.
const (
	// TypeJob is a job on its way.
	TypeJob = "routinely.job.v1"
	// TypeDeadLetter is a job, or a message that could not be read, that was given up.
	TypeDeadLetter = "routinely.dead-letter.v1"
)

// source is the CloudEvents source of all our messages.
const source = "/routinely"

// maxFailures bounds the history an envelope carries: the first failure and the latest ones.
const maxFailures = 12

// maxText bounds the message and hint of one failure in the history, in bytes.
const maxText = 400

// maxRedrives bounds how many redrives an envelope tells of, and maxReason who did each and why, in bytes.
const (
	maxRedrives = 5
	maxReason   = 200
)

// historyBytes is how much an envelope may grow by its history. Accepting only requests that leave this much room keeps every
// later send of the job within MNS's limit.
const historyBytes = maxFailures*(2*maxText+300) + maxRedrives*(2*maxReason+100) + 1024

// MaxAcceptedBytes is the largest envelope of a new job.
const MaxAcceptedBytes = MaxMessageBytes - historyBytes

// Envelope is a job on the queue: the request and everything the next attempt must know, so that no store is needed.
type Envelope struct {
	// JobID is the same in every attempt and in every copy of the job.
	JobID string `json:"jobId"`
	// Caller is who asked, if the request came over HTTP.
	Caller string `json:"caller,omitempty"`
	// AcceptedAt is when the request was accepted.
	AcceptedAt time.Time `json:"acceptedAt"`
	// Attempt is the number of the attempt to make, counted from 1.
	Attempt int `json:"attempt"`
	// HandedBack counts how often the job went back to the queue without an attempt being counted.
	HandedBack int `json:"handedBack,omitempty"`
	// Redriven is how often the job was taken back from the dead letters. Attempt, HandedBack and the age begin anew each time.
	Redriven int `json:"redriven,omitempty"`
	// Redrives are the latest redrives, oldest first.
	Redrives []routine.Redrive `json:"redrives,omitempty"`
	// Request is what is asked for.
	Request routine.Request `json:"request"`
	// Progress is what earlier attempts achieved or left in doubt.
	Progress routine.Progress `json:"progress,omitzero"`
	// Failures are the attempts so far, oldest first; of many, the first and the latest.
	Failures []routine.Attempt `json:"failures,omitempty"`
}

// Fail appends a failed attempt to the history, which stays bounded.
func (e *Envelope) Fail(a routine.Attempt) { e.Failures = remember(e.Failures, a) }

// remember returns the history with one more attempt, and without the second and those behind it that are too many.
func remember(history []routine.Attempt, a routine.Attempt) []routine.Attempt {
	a.Message, a.Hint = cut(a.Message), cut(a.Hint)
	history = append(history[:len(history):len(history)], a)
	if over := len(history) - maxFailures; over > 0 {
		history = append(history[:1:1], history[1+over:]...)
	}
	return history
}

// Redrive makes the envelope that of a job that begins anew: the first attempt of another round, with all that happened
// before as its history. What the steps achieved stays known.
func (e *Envelope) Redrive(at time.Time, by, reason string) {
	e.Redriven++
	e.Attempt, e.HandedBack = 1, 0
	e.Redrives = append(e.Redrives[:len(e.Redrives):len(e.Redrives)], routine.Redrive{
		Number: e.Redriven, At: at.UTC(), By: cutTo(by, maxReason), Reason: cutTo(reason, maxReason),
	})
	if over := len(e.Redrives) - maxRedrives; over > 0 {
		e.Redrives = e.Redrives[over:]
	}
}

// Since is when the present round began: the job's age counts from here.
func (e *Envelope) Since() time.Time {
	if n := len(e.Redrives); n > 0 {
		return e.Redrives[n-1].At
	}
	return e.AcceptedAt
}

// cut shortens a text for people to maxText bytes.
func cut(text string) string { return cutTo(text, maxText) }

// cutTo shortens a text for people without splitting a character, and replaces what XML cannot carry.
func cutTo(text string, limit int) string {
	var out strings.Builder
	written := 0
	for _, r := range text {
		if notXML(r) {
			r = utf8.RuneError
		}
		if written += width(r); written > limit {
			return out.String() + "…"
		}
		out.WriteRune(r)
	}
	return out.String()
}

// width is how many bytes JSON needs for a character.
func width(r rune) int {
	switch r {
	case '"', '\\', '\t', '\n', '\r':
		return 2
	case '\u2028', '\u2029':
		return 6
	}
	return utf8.RuneLen(r)
}

// Encode returns the message body.
func (e Envelope) Encode() ([]byte, error) {
	id := fmt.Sprintf("%s/%d.%d.%d", e.JobID, e.Redriven, e.Attempt, e.HandedBack)
	return encode(TypeJob, id, e.JobID, e.AcceptedAt, e)
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
	encoder.SetEscapeHTML(false) // XML has its own way with < and &; six bytes for each would break the bounds of the history
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
