package demo

import (
	"bytes"
	"cmp"
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
	Queue bool `json:"queue"`
	// Base64 encodes the text, as the MNS clients of many languages do.
	Base64 bool `json:"base64"`
	// ContentType is application/json when empty.
	ContentType string `json:"contentType"`
	// Request is the text to hand over, or Body where it is not JSON or not to be read as such.
	Request json.RawMessage `json:"request"`
	Body    string          `json:"body"`
	// Last lines end the file; they are handed over once all others have ended.
	Last bool `json:"last"`
	// Meets lists the faults that the request meets: on an ESA action, of a name that faultNamed knows, once or Times.
	Meets []struct {
		Action, Fault string
		Times         int
	} `json:"meets"`
	// Expect is what is to become of it.
	Expect expectation `json:"expect"`

	number int
	wish   wish
	// answer is accept's, and job what became of the line; nil if nothing is known of one.
	answer submission
	job    *job
}

// expectation is one of three: success (Routine and Record), a dead letter (Kind, Code and Step), a refusal by accept (Status and Code).
type expectation struct {
	// Routine and Record are "created" or "adopted".
	Routine, Record string
	// RecordName is the host name as ESA has it, where it is not the request's to the letter.
	RecordName string
	// Kind, Code and Step are those of the dead letter; no Step means that ESA was never asked.
	Kind, Code, Step string
	// Status is the HTTP status of a refusal.
	Status int
}

// wish is what a request asks for. encoding/json takes ESA's spelling of the fields as well.
type wish struct {
	Name, Description, RecordName string
	HasAssets                     bool
}

// readRequests reads the lines of the file, each with a case and a key and exactly one text.
func readRequests() ([]*line, error) {
	var lines []*line
	for text := range bytes.Lines(requestsFile) {
		l := &line{number: len(lines) + 1}
		if err := l.read(text); err != nil {
			return nil, fmt.Errorf("requests.ndjson, line %d: %w", l.number, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func (l *line) read(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(l); err != nil {
		return err
	}
	if l.Case == "" || l.Key == "" || (l.Request == nil) == (l.Body == "") {
		return errors.New("want a case, a key, and either a request or a body")
	}
	if l.Expect.Status != 0 || l.Request == nil {
		return nil
	}
	return json.Unmarshal(l.Request, &l.wish)
}

// text is what is handed over, byte for byte.
func (l *line) text() string {
	text := cmp.Or(l.Body, string(l.Request))
	if l.Base64 {
		return base64.StdEncoding.EncodeToString([]byte(text))
	}
	return text
}

// leavesRoutine reports whether ESA has the routine in the end: a job that fails in its second step leaves that of the first.
func (l *line) leavesRoutine() bool { return l.Expect.Routine != "" || l.Expect.Step == actionRecord }

// became is what became of the line in the words of its expectation.
func (l *line) became() string {
	switch {
	case l.answer.code != "":
		return expectation{Status: l.answer.status, Code: l.answer.code}.String()
	case l.job == nil:
		return "nothing is known"
	case l.job.State == "succeeded" && l.job.Result != nil:
		return expectation{Routine: l.job.Result.Routine, Record: l.job.Result.Record}.String()
	case l.job.State == deadLettered:
		return expectation{Kind: l.job.Kind, Code: l.job.Code, Step: l.job.Step}.String()
	}
	return l.job.State
}

// String is the expectation in the words of the report.
func (e expectation) String() string {
	switch {
	case e.Routine != "":
		return fmt.Sprintf("routine %s, record %s", e.Routine, e.Record)
	case e.Status != 0:
		return fmt.Sprintf("refused %d %s", e.Status, e.Code)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", deadLettered, e.Kind, e.Code, e.Step))
}

// countJobs is how many jobs the lines make.
func countJobs(lines []*line) int {
	jobs := map[string]bool{}
	for _, l := range lines {
		if l.Expect.Status == 0 {
			jobs[l.Key] = true
		}
	}
	return len(jobs)
}
