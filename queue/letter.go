package queue

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"routinely/shared/fault"
	"routinely/shared/routine"
)

// CodeUndelivered is the code of dead letters that the worker has not written.
const CodeUndelivered = "Undelivered"

// Letter is what one message of the dead-letter queue tells.
type Letter struct {
	// ID names the dead letter: all messages with the same ID are parts or copies of it.
	ID string
	// MessageID is MNS's id of the message on the dead-letter queue.
	MessageID string
	// Undelivered means that SendDead has not put the message there: the trigger's own dead-letter setting did, or somebody
	// else. Then the message is the whole letter, and ID is its MessageID.
	Undelivered bool
	DeadLetter
}

// ReadLetter reads any message of the dead-letter queue.
func ReadLetter(m Message) Letter {
	id, letter, err := DecodeDeadLetter(m.Body)
	odd := letter.DeadAt.IsZero() || !writable(letter.DeadAt) || !writable(letter.AcceptedAt)
	odd = odd || len(letter.JobID) > maxJobID || letter.Attempt < 0 || letter.Redriven < 0
	odd = odd || letter.Callback != nil && letter.Callback.check() != nil
	if r := letter.Received; err != nil || id == "" || odd || (r.Parts > 1 && (r.Part < 1 || r.Part > r.Parts)) {
		return Letter{ID: m.ID, MessageID: m.ID, Undelivered: true, DeadLetter: undelivered(m)}
	}
	if letter.Request == nil && letter.JobID != "" && letter.Received.Parts <= 1 {
		// The request may have been left out because it can be read in the message.
		letter.Request = letter.RequestReceived()
	}
	return Letter{ID: id, MessageID: m.ID, DeadLetter: letter}
}

// RequestReceived is the request in the body received, nil if there is none that keeps the rules, or the body is not whole.
func (d DeadLetter) RequestReceived() *routine.Request {
	body, err := d.Received.Bytes()
	if err != nil {
		return nil
	}
	one, ok := single(d.deliveries(body))
	if !ok || one.Err != nil {
		return nil
	}
	return &one.Envelope.Request
}

// tell makes the letter that of a callback that its trigger could not deliver.
func (d *DeadLetter) tell(told CallbackDelivery) {
	c := told.Callback
	d.Callback, d.JobID, d.Caller, d.Attempt, d.Redriven, d.Attempts = &c, c.JobID, c.Caller, c.Attempt, c.Redriven, c.Failures
	d.Message = "the function notify did not take the callback from the trigger"
	d.Hint = "Look for errors of the function notify at that time, then redrive."
	d.Received = Received{MessageID: told.MessageID, Encoding: Text}
}

// undelivered makes a dead letter of a message that tells nothing of why it is dead. It is the message of the queue of jobs or of
// callbacks, with or without the trigger's event around it, or foreign text.
func undelivered(m Message) DeadLetter {
	letter := DeadLetter{
		Kind: string(fault.Unavailable), Code: CodeUndelivered, DeadAt: m.EnqueuedAt,
		Message:  "the worker did not take the message from the trigger",
		Hint:     "Look for errors of the function provision at that time, then redrive.",
		Reason:   "the trigger has used up its retries",
		Received: Received{Encoding: Text, Body: m.Body},
	}
	if told := DecodeCallbacks([]byte(m.Body)); len(told) == 1 && told[0].Err == nil {
		letter.tell(told[0])
		return letter
	}
	d, ok := single(Decode([]byte(m.Body), m.EnqueuedAt))
	switch {
	case !ok:
		letter.Message += ", which holds several jobs or none"
		return letter
	case d.MessageID == "": // no event around it
		d = read(m.ID, d.Body, m.EnqueuedAt)
	default:
		letter.Received = Received{MessageID: d.MessageID, Encoding: Text, Body: string(d.Body)}
	}
	e := d.Envelope
	letter.JobID, letter.Caller, letter.AcceptedAt, letter.Attempt = e.JobID, e.Caller, e.AcceptedAt, e.Attempt
	letter.Redriven, letter.Redrives, letter.Progress, letter.Attempts = e.Redriven, e.Redrives, e.Progress, e.Failures
	if d.Err == nil {
		letter.Request = &e.Request
		return letter
	}
	letter.Message = cut(letter.Message + "; " + d.Err.Error())
	var invalid *routine.Invalid
	if errors.As(d.Err, &invalid) {
		letter.Problems = invalid.Problems
	}
	return letter
}

func single(deliveries []Delivery) (d Delivery, ok bool) {
	if len(deliveries) != 1 {
		return Delivery{}, false
	}
	return deliveries[0], true
}

// maxReceived bounds a received body once it is decoded, in bytes: gzip makes a thousand of one. No event that a trigger
// sends comes near.
const maxReceived = 4 << 20

// Bytes returns the body as it was received. A part of one, an unknown encoding and a body of more than 4 MiB are faults of
// kind Invalid and code UnreadableDeadLetter.
func (r Received) Bytes() ([]byte, error) {
	if r.Parts > 1 {
		return nil, unreadable(fmt.Errorf("this is part %d of %d", r.Part, r.Parts))
	}
	if r.Encoding == Text {
		if len(r.Body) > maxReceived {
			return nil, unreadable(tooLong())
		}
		return []byte(r.Body), nil
	}
	if r.Encoding != Base64 && r.Encoding != GzipBase64 {
		return nil, unreadable(fmt.Errorf("unknown encoding %q", cut(r.Encoding)))
	}
	raw, err := base64.StdEncoding.DecodeString(r.Body)
	if err == nil && len(raw) > maxReceived {
		err = tooLong()
	}
	if err != nil {
		return nil, unreadable(err)
	}
	if r.Encoding == Base64 {
		return raw, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, unreadable(err)
	}
	body, err := io.ReadAll(io.LimitReader(z, maxReceived+1))
	if err == nil && len(body) > maxReceived {
		err = tooLong()
	}
	if err != nil {
		return nil, unreadable(err)
	}
	return body, nil
}

func tooLong() error { return fmt.Errorf("more than %d bytes", maxReceived) }

func unreadable(err error) error {
	if err == nil {
		return nil
	}
	return &fault.Error{
		Kind: fault.Invalid, Code: "UnreadableDeadLetter", Message: "the received body of the dead letter: " + err.Error(), Err: err,
		Hint: "Something other than Routinely has written or changed this dead letter. Delete it.",
	}
}

// JoinParts makes the whole of a received body from its parts, in any order. ok is false while one is missing.
func JoinParts(parts map[int]Received) (whole Received, ok bool) {
	var body bytes.Buffer
	for _, n := range slices.Sorted(maps.Keys(parts)) {
		whole = parts[n]
		body.WriteString(whole.Body)
	}
	ok = len(parts) == max(whole.Parts, 1)
	whole.Body, whole.Part, whole.Parts = body.String(), 0, 0
	return whole, ok
}
