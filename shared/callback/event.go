package callback

import (
	"bytes"
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
	// maxLeft is how many things left in ESA, and how many overtaken jobs, an event that is too long shows, and maxHosts how many host names of the
	// result.
	maxLeft  = 8
	maxHosts = 5
	// maxText is how much is left of each free text of an event that is too long, in bytes.
	maxText = 400
)

// Event is the body of a callback.
type Event struct {
	// Type is routinely.job. followed by the job's state: succeeded, dead-lettered or superseded.
	Type string `json:"type"`
	// Timestamp is when the job ended, whenever this is sent.
	Timestamp time.Time `json:"timestamp"`
	// Data is the job as it ended. The query of its callback URL is not shown.
	Data routine.Job `json:"data"`
	// Note says what was left out of the job to keep the event short; empty if nothing was.
	Note string `json:"note,omitempty"`
	// Receiver is the caller who is told and checks the signature; empty for the job's caller. It is not part of the body.
	Receiver string `json:"-"`
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
	text, err := marshal(e)
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
	text, err := marshal(e)
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
	dropped := e.shortLists()
	e.Data.Attempts, e.Note = nil, note(true, len(attempts), len(attempts)) // no note becomes longer than this one
	room := MaxEventBytes - size(e) - len(`,"attempts":[]`)
	first := len(attempts)
	for first > 0 {
		room -= size(attempts[first-1]) + len(",")
		if room < 0 {
			break
		}
		first--
	}
	e.Data.Attempts, e.Note = attempts[first:], note(dropped, first, len(attempts))
	return e
}

// shortLists leaves the lists of the job but the latest of their items, and redrives without the requests that they replaced. The host names of the
// request all stay. It reports whether something was left out.
func (e *Event) shortLists() (dropped bool) {
	job := &e.Data
	if r := job.Result; r != nil && len(r.Records) > maxHosts {
		short := *r
		short.Records, short.More = r.Records[len(r.Records)-maxHosts:], r.More+len(r.Records)-maxHosts
		job.Result, dropped = &short, true
	}
	if n := len(job.Redrives); n > 0 {
		latest := job.Redrives[n-1]
		dropped = dropped || n > 1 || latest.Was != nil
		latest.Was = nil
		job.Redrives = []routine.Redrive{latest}
	}
	dropped = dropped || len(job.Left) > maxLeft || len(job.Overtook) > maxLeft
	job.Left, job.Overtook = job.Left[max(0, len(job.Left)-maxLeft):], job.Overtook[max(0, len(job.Overtook)-maxLeft):]
	return dropped
}

func note(dropped bool, left, all int) string {
	text := fmt.Sprintf("texts of more than %d bytes are cut", maxText)
	if dropped {
		text += "; of lists only the latest items are there"
	}
	if left > 0 {
		text += fmt.Sprintf("; the first %d of %d attempts are left out", left, all)
	}
	return text
}

// marshal writes JSON with <, > and & as they are: as escapes each would take six bytes.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimRight(out.Bytes(), "\n"), err
}

// cut shortens texts in place.
func cut(texts ...*string) {
	for _, text := range texts {
		*text = plain.Clip(*text, maxText)
	}
}

// size is the length of a value as JSON. Events reach it only after they could be written.
func size(value any) int {
	text, err := marshal(value)
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
