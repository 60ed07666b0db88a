package queue

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// DeadLetter is a job or a message that was given up, with everything needed to understand it and to try again.
type DeadLetter struct {
	// JobID is empty for a message that held no job.
	JobID string `json:"jobId,omitempty"`
	// Kind, Code, Message, RequestID and Step are those of the last failure; Hint says what to do next.
	Kind      string       `json:"kind"`
	Code      string       `json:"code"`
	Message   string       `json:"message"`
	RequestID string       `json:"requestId,omitempty"`
	Step      routine.Step `json:"step,omitempty"`
	Hint      string       `json:"hint"`
	// Reason says why the job was not tried again.
	Reason string `json:"reason"`
	// Problems lists what is wrong with a request that breaks the rules.
	Problems []routine.Problem `json:"problems,omitempty"`
	// The rest tells the job's life, as its envelope did.
	Caller     string            `json:"caller,omitempty"`
	AcceptedAt time.Time         `json:"acceptedAt,omitzero"`
	Attempt    int               `json:"attempt,omitempty"`
	Redriven   int               `json:"redriven,omitempty"`
	Redrives   []routine.Redrive `json:"redrives,omitempty"`
	Request    *routine.Request  `json:"request,omitempty"`
	Progress   routine.Progress  `json:"progress,omitzero"`
	Attempts   []routine.Attempt `json:"attempts,omitempty"`
	// Callback is the callback that could not be delivered, of a letter that is about one and not about its job.
	Callback *Callback `json:"callback,omitempty"`
	// DeadAt is when it was given up.
	DeadAt time.Time `json:"deadAt"`
	// Received is the message as it was received.
	Received Received `json:"received"`
}

// NewAttempt is the attempt that came to a failure.
func NewAttempt(number, redriven int, at time.Time, failure *fault.Error) routine.Attempt {
	return routine.Attempt{
		Number: number, Redriven: redriven, At: at.UTC(), Step: routine.Step(failure.Step), Kind: string(failure.Kind), Code: failure.Code,
		RequestID: failure.RequestID, Message: failure.Error(), Hint: failure.Hint,
	}
}

// NewDeadLetter is a letter of what died in its last attempt, and why there is no other. Whose letter it is, is left to fill in.
func NewDeadLetter(last routine.Attempt, reason string) DeadLetter {
	return DeadLetter{
		Kind: last.Kind, Code: last.Code, Message: last.Message, RequestID: last.RequestID, Step: last.Step, Hint: last.Hint,
		Reason: reason, DeadAt: last.At,
	}
}

// Encodings of a received body.
const (
	// Text is the body itself.
	Text = "text"
	// Base64 is for bytes that are not UTF-8, and for characters that neither JSON escapes nor XML carries.
	Base64 = "base64"
	// GzipBase64 is for bodies that would not fit otherwise.
	GzipBase64 = "gzip+base64"
)

// Received is a message body, byte for byte.
type Received struct {
	// MessageID is MNS's id of the message, empty when the trigger did not say.
	MessageID string `json:"messageId,omitempty"`
	// Encoding is Text, Base64 or GzipBase64.
	Encoding string `json:"encoding"`
	// Body is the body, or its part, so encoded.
	Body string `json:"body"`
	// Part counts from 1 to Parts where one message cannot hold the body: joined in order, then decoded, the bodies of all
	// dead letters with the same CloudEvents subject give the message.
	Part  int `json:"part,omitempty"`
	Parts int `json:"parts,omitempty"`
}

// partBytes is how much of an encoded body a message has room for beside the history.
const partBytes = MaxMessageBytes - historyBytes - 8192

// ReceivedBody makes the record of a body. Encode cuts it into parts when it must.
func ReceivedBody(messageID string, body []byte) Received {
	r := Received{MessageID: messageID, Encoding: Text, Body: string(body)}
	if !utf8.Valid(body) || strings.ContainsAny(r.Body, "\ufffe\uffff") {
		r.Encoding, r.Body = Base64, base64.StdEncoding.EncodeToString(body)
	}
	if !fits(r.Body) {
		r.Encoding, r.Body = GzipBase64, base64.StdEncoding.EncodeToString(compress(body))
	}
	return r
}

// fits measures the text as JSON will write it.
func fits(text string) bool {
	written, err := json.Marshal(text)
	return err == nil && len(written) <= partBytes
}

func compress(body []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	// Writing to memory cannot fail.
	_, _ = z.Write(body)
	_ = z.Close()
	return out.Bytes()
}

// Encode returns the message bodies of the dead letter: one, or as many as the received body needs. Each is within MNS's
// limit whatever the message held: what is told twice is left out first.
func (d DeadLetter) Encode() ([][]byte, error) {
	d.Message, d.Hint, d.Reason = cut(d.Message), cut(d.Hint), cut(d.Reason)
	d.Received.MessageID = cut(d.Received.MessageID)
	id := d.id()
	bodies, err := d.encodeParts(id)
	if err != nil || allFit(bodies) {
		return bodies, err
	}
	d.Request, d.Problems = nil, nil // both can be read in the body received
	if bodies, err = d.encodeParts(id); err != nil || allFit(bodies) {
		return bodies, err
	}
	d.JobID, d.Code, d.RequestID, d.Caller, d.Attempts = cut(d.JobID), cut(d.Code), cut(d.RequestID), "", nil
	d.Redrives = nil
	return d.encodeParts(id)
}

func allFit(bodies [][]byte) bool {
	return !slices.ContainsFunc(bodies, func(body []byte) bool { return len(carried(string(body))) > MaxMessageBytes })
}

// id names the letter. All letters of a job's round are copies of one another, whichever message each is about: working off one
// works off all. The request belongs to it, since a key that was used for another request gives the same job id. Of several parts
// each must be one of the same body.
func (d DeadLetter) id() string {
	identity := "dead\x00" + d.JobID + "\x00" + d.Received.MessageID + "\x00" + d.Received.Body
	switch {
	case d.Callback != nil:
		identity = fmt.Sprintf("dead callback\x00%s\x00%d", d.Callback.ID, d.Callback.Redriven)
	case d.JobID != "" && d.Request != nil && fits(d.Received.Body):
		request, _ := json.Marshal(d.Request) // strings, numbers and booleans always marshal
		identity = fmt.Sprintf("dead job\x00%s\x00%d\x00%s", d.JobID, d.Redriven, request)
	}
	return uuid.NewSHA1(jobSpace, []byte(identity)).String()
}

func (d DeadLetter) encodeParts(id string) ([][]byte, error) {
	pieces := cutParts(d.Received.Body)
	bodies := make([][]byte, 0, len(pieces))
	for i, piece := range pieces {
		part, eventID := d, id
		if len(pieces) > 1 {
			part.Received.Part, part.Received.Parts = i+1, len(pieces)
			eventID += "/" + strconv.Itoa(i+1)
		}
		part.Received.Body = piece
		body, err := encode(TypeDeadLetter, eventID, id, d.DeadAt, part)
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, body)
	}
	return bodies, nil
}

// cutParts cuts an encoded body; only Base64 is ever long enough to be cut.
func cutParts(body string) []string {
	if fits(body) {
		return []string{body}
	}
	var parts []string
	for len(body) > partBytes {
		parts = append(parts, body[:partBytes])
		body = body[partBytes:]
	}
	return append(parts, body)
}
