package callback

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"routinely/shared/fault"
	"routinely/shared/plain"
	"routinely/shared/routine"
)

const (
	// MaxEventBytes is the length of the longest event as JSON. Standard Webhooks recommends less than 20 kB.
	MaxEventBytes = 20_000
	// typePrefix comes before the state in which the job has ended.
	typePrefix = "routinely.job."
	// maxText is how much is left of each free text of an event that is too long, in bytes.
	maxText = 400
)

// Event is the body of a callback.
type Event struct {
	// Type is routinely.job. followed by the job's state: succeeded, dead-lettered or cancelled.
	Type string `json:"type"`
	// Timestamp is when the job ended, whenever this is sent.
	Timestamp time.Time `json:"timestamp"`
	// Data is the job as it ended. The query of its callback URL is not shown.
	Data routine.Job `json:"data"`
	// Note says what was left out of the job to keep the event short; empty if nothing was.
	Note string `json:"note,omitempty"`
}

// NewEvent returns the event of a job that has ended, when it was last updated. If it is longer than MaxEventBytes, texts are cut
// and the oldest attempts left out. The error, a fault of kind Invalid with CodeEvent, says why there is no event of the job.
func NewEvent(job routine.Job) (Event, error) {
	switch {
	case !job.State.Final():
		return Event{}, badEvent("the job is %q: it has not ended", job.State)
	case job.ID == "":
		return Event{}, badEvent("the job has no id")
	case job.UpdatedAt.IsZero():
		return Event{}, badEvent("the job does not say when it ended")
	}
	job.Request = job.Request.Shown()
	e := Event{Type: typePrefix + string(job.State), Timestamp: job.UpdatedAt.UTC(), Data: job}
	text, err := json.Marshal(e)
	if err != nil {
		return Event{}, badEvent("it cannot be written as JSON: %v", err)
	}
	if len(text) > MaxEventBytes {
		e = e.short()
	}
	_, err = e.encode()
	return e, err
}

// ID is the id that the receiver knows the event by when it comes again: it stands for the job, the number of its redrives and
// its state. It is a hash, since the id of a job may come from outside and hold what an id of Standard Webhooks may not.
func (e Event) ID() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", e.Data.ID, e.Data.Redriven, e.Data.State))
	return "msg_" + hex.EncodeToString(sum[:16])
}

// encode returns the event as it is sent. It holds events to the rules that were not made by NewEvent.
func (e Event) encode() ([]byte, error) {
	if e.Data.ID == "" || !e.Data.State.Final() || e.Type != typePrefix+string(e.Data.State) || e.Timestamp.IsZero() {
		return nil, badEvent("it is not the event of a job that has ended")
	}
	text, err := json.Marshal(e)
	if err != nil {
		return nil, badEvent("it cannot be written as JSON: %v", err)
	}
	if len(text) > MaxEventBytes {
		return nil, badEvent("it has %d bytes; at most %d are allowed", len(text), MaxEventBytes)
	}
	return text, nil
}

// short cuts the texts of an event, then keeps as many of the latest attempts as there is room for. The job given to NewEvent
// stays as it is.
func (e Event) short() Event {
	attempts := slices.Clone(e.Data.Attempts)
	for i := range attempts {
		a := &attempts[i]
		cut(&a.Kind, &a.Code, &a.RequestID, &a.Message, &a.Hint)
	}
	cut(&e.Data.Caller, &e.Data.Kind, &e.Data.Code, &e.Data.Hint, &e.Data.Reason)
	if e.Data.Request.Description != nil {
		description := *e.Data.Request.Description
		cut(&description)
		e.Data.Request.Description = &description
	}
	e.Data.Attempts, e.Note = nil, note(len(attempts), len(attempts)) // no note becomes longer than this one
	room := MaxEventBytes - size(e) - len(`,"attempts":[]`)
	first := len(attempts)
	for first > 0 {
		room -= size(attempts[first-1]) + len(",")
		if room < 0 {
			break
		}
		first--
	}
	e.Data.Attempts, e.Note = attempts[first:], note(first, len(attempts))
	return e
}

func note(left, all int) string {
	text := fmt.Sprintf("texts of more than %d bytes are cut", maxText)
	if left > 0 {
		text += fmt.Sprintf("; the first %d of %d attempts are left out", left, all)
	}
	return text
}

// cut shortens texts in place.
func cut(texts ...*string) {
	for _, text := range texts {
		*text = plain.Clip(*text, maxText)
	}
}

// size is the length of a value as JSON. Events reach it only after they could be written.
func size(value any) int {
	text, err := json.Marshal(value)
	if err != nil {
		return MaxEventBytes
	}
	return len(text)
}

func badEvent(problem string, args ...any) error {
	return &fault.Error{
		Kind: fault.Invalid, Step: Step, Code: CodeEvent, Message: "there is no callback: " + fmt.Sprintf(problem, args...),
		Hint: "Ask for the job by its id instead.",
	}
}
