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

	"routinely/deploy/local/faults"
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
	// Method is POST when empty, and Path /v1/routines; another path names a routine, and perhaps one of its host names.
	Method string `json:"method"`
	Path   string `json:"path"`
	// ContentType is application/json when empty.
	ContentType string `json:"contentType"`
	// Request is the text to hand over, or Body where it is not JSON or not to be read as such.
	Request json.RawMessage `json:"request"`
	Body    string          `json:"body"`
	// Part is the part of the demo in which the line is handed over: the lines of each but the first follow once all before have ended. The file is in
	// the order of its parts.
	Part int `json:"part"`
	// Meets lists the faults that the request meets in ESA.
	Meets []faults.Rule `json:"meets"`
	// Expect is what is to become of it, in the words of became.
	Expect string `json:"expect"`
	// HostName is the host name as ESA has it, where it is not the request's to the letter.
	HostName string `json:"hostName"`

	number int
	wish   wish
	// answer is accept's, and job what became of the line; nil if nothing is known of one.
	answer submission
	job    *job
}

// wish is what a request asks for, or what its path names. encoding/json takes ESA's spelling of the fields as well.
type wish struct {
	Name, Description, RecordName string
	Records                       []struct{ RecordName string }
	HasAssets                     bool
}

// routines is the path of requests that name what they want in their bodies.
const routines = "/v1/routines"

// readRequests reads the lines of the file, each with a case, a key, and exactly one text or a path.
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
	if l.Case == "" || l.Key == "" || l.Path == "" && (l.Request == nil) == (l.Body == "") {
		return errors.New("want a case, a key, and a path or either a request or a body")
	}
	switch {
	case l.Path != "":
		name, recordName, _ := strings.Cut(strings.TrimPrefix(l.Path, routines+"/"), "/records/")
		name, _, _ = strings.Cut(name, ":")
		l.wish = wish{Name: name, RecordName: recordName}
	case l.Request != nil && !l.expects("refused"):
		return json.Unmarshal(l.Request, &l.wish)
	}
	return nil
}

// text is what is handed over, byte for byte.
func (l *line) text() string {
	text := cmp.Or(l.Body, string(l.Request))
	if l.Base64 {
		return base64.StdEncoding.EncodeToString([]byte(text))
	}
	return text
}

// expects reports how the text of what is to become of the line begins, in whole words: "routine deleted", "dead-lettered" or "refused".
func (l *line) expects(end string) bool {
	return strings.HasPrefix(strings.ReplaceAll(l.Expect, ",", " ")+" ", end+" ")
}

// bindsRecords reports whether ESA gets the routine with its host names.
func (l *line) bindsRecords() bool {
	return l.expects("routine created") || l.expects("routine adopted")
}

// makesRoutine reports whether ESA gets the routine: a job that fails in its last step leaves that of an earlier one.
func (l *line) makesRoutine() bool {
	return l.bindsRecords() || strings.HasSuffix(l.Expect, " CreateRoutineRelatedRecord")
}

// hostNames are those that the line is about, as ESA has them.
func (l *line) hostNames() (names []string) {
	for _, record := range l.wish.Records {
		names = append(names, record.RecordName)
	}
	if name := cmp.Or(l.HostName, l.wish.RecordName); name != "" {
		names = append(names, name)
	}
	return names
}

// became is what became of the line: what exists now or does not any more and whether that is the job's work, the dead letter's kind, code and step
// (none if ESA was never asked), or accept's refusal.
func (l *line) became() string {
	switch j := l.job; {
	case l.answer.code != "":
		return fmt.Sprintf("refused %d %s", l.answer.status, l.answer.code)
	case j == nil:
		return "lost"
	case j.State == "succeeded" && j.Result != nil:
		return j.Result.String()
	case j.State == deadLettered:
		return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", j.State, j.Kind, j.Code, j.Step))
	}
	return l.job.State
}

// countJobs is how many jobs the lines make.
func countJobs(lines []*line) int {
	jobs := map[string]bool{}
	for _, l := range lines {
		if !l.expects("refused") {
			jobs[l.Key] = true
		}
	}
	return len(jobs)
}
