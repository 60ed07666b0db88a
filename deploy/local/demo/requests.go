package demo

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

//go:embed requests.ndjson
var requestsFile []byte

// line is one line of requests.ndjson: a request, how it is handed over, and what is to become of it.
type line struct {
	// Case says what the line shows.
	Case string `json:"case"`
	// Key is the idempotency key. Lines with the same key are the same job.
	Key string `json:"key"`
	// Queue puts the text on the job queue, as a program beside accept would; otherwise it goes to accept over HTTP.
	Queue bool `json:"queue,omitempty"`
	// Base64 encodes the text, as the MNS clients of many languages do.
	Base64 bool `json:"base64,omitempty"`
	// ContentType is application/json when empty.
	ContentType string `json:"contentType,omitempty"`
	// Request is the text to hand over, or Body where it is not JSON or not to be read as such.
	Request json.RawMessage `json:"request,omitempty"`
	Body    string          `json:"body,omitempty"`
	// Last lines are handed over once all others are settled.
	Last bool `json:"last,omitempty"`
	// Meets lists the faults in the way of the request.
	Meets []meeting `json:"meets,omitempty"`
	// Expect is what is to become of it.
	Expect expectation `json:"expect"`

	wish wish
}

// meeting is a fault on an ESA action of one request.
type meeting struct {
	Action string `json:"action"`
	// Fault is one of the names that faultNamed knows.
	Fault string `json:"fault"`
	// Times is how many calls it strikes; 0 means one.
	Times int `json:"times,omitempty"`
}

// expectation is one of three: success (Routine and Record), a dead letter (Kind, Code and Step), a refusal at the door
// (Status and Code).
type expectation struct {
	// Routine and Record are "created" or "adopted".
	Routine string `json:"routine,omitempty"`
	Record  string `json:"record,omitempty"`
	// RecordName is the host name as ESA has it, where it is not the request's to the letter.
	RecordName string `json:"recordName,omitempty"`
	// Kind, Code and Step are those of the dead letter; no Step means that ESA was never asked.
	Kind string `json:"kind,omitempty"`
	Code string `json:"code,omitempty"`
	Step string `json:"step,omitempty"`
	// Status is the HTTP status of a refusal.
	Status int `json:"status,omitempty"`
}

// The steps of a job, by their ESA actions.
const (
	actionRoutine = "CreateRoutine"
	actionRecord  = "CreateRoutineRelatedRecord"
)

func (e expectation) success() bool { return e.Routine != "" && e.Record != "" }

func (e expectation) refusal() bool { return e.Status != 0 }

// wish is what a request asks for. encoding/json takes ESA's spelling of the fields as well.
type wish struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	HasAssets   bool   `json:"hasAssets"`
	RecordName  string `json:"recordName"`
}

// readRequests reads the lines of the file, each with a case and a key and exactly one text.
func readRequests() ([]*line, error) {
	var lines []*line
	for text := range bytes.Lines(requestsFile) {
		l, err := readLine(text)
		if err != nil {
			return nil, fmt.Errorf("requests.ndjson, line %d: %w", len(lines)+1, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func readLine(text []byte) (*line, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	l := &line{}
	if err := decoder.Decode(l); err != nil {
		return nil, err
	}
	e := l.Expect
	switch {
	case l.Case == "" || l.Key == "":
		return nil, errors.New("case and key are needed")
	case (l.Request == nil) == (l.Body == ""):
		return nil, errors.New("either a request or a body is needed")
	case e.success() == (e.Code != "") || e.refusal() && (l.Queue || e.Kind != ""):
		return nil, errors.New("expect: want routine and record, or kind and code, or status and code")
	}
	if !e.refusal() && l.Request != nil {
		if err := json.Unmarshal(l.Request, &l.wish); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// text is what is handed over, byte for byte.
func (l *line) text() string {
	text := l.Body
	if l.Request != nil {
		text = string(l.Request)
	}
	if l.Base64 {
		return base64.StdEncoding.EncodeToString([]byte(text))
	}
	return text
}

// recordName is the host name as ESA has it in the end.
func (l *line) recordName() string {
	if l.Expect.RecordName != "" {
		return l.Expect.RecordName
	}
	return l.wish.RecordName
}

// leavesRoutine reports whether ESA has the routine in the end: a job that fails in its second step leaves that of the first.
func (l *line) leavesRoutine() bool { return l.Expect.success() || l.Expect.Step == actionRecord }

// shown is the expectation in the words of the report.
func (e expectation) shown() string {
	switch {
	case e.success():
		return success(e.Routine, e.Record)
	case e.refusal():
		return fmt.Sprintf("refused %d %s", e.Status, e.Code)
	}
	return strings.TrimSpace(fmt.Sprintf("dead-lettered %s %s %s", e.Kind, e.Code, e.Step))
}

func success(routine, record string) string {
	return fmt.Sprintf("routine %s, record %s", routine, record)
}

// countJobs is how many jobs the lines make.
func countJobs(lines []*line) int {
	jobs := map[string]bool{}
	for _, l := range lines {
		if !l.Expect.refusal() {
			jobs[l.Key] = true
		}
	}
	return len(jobs)
}
