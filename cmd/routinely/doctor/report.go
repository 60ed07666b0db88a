package doctor

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"time"

	"routinely/cmd/routinely/cli"
)

// Shareable is a report for the maintainers of Routinely. It has no text that came from the deployment: no names, ids, addresses or secrets.
type Shareable struct {
	At time.Time `json:"at"`
	// Program is the version of this command, and where it runs.
	Program any       `json:"program"`
	Areas   []Checked `json:"areas"`
	// Findings are without what, why and repair.
	Findings []ShareableFinding `json:"findings"`
	// Set are the names of the settings that are set.
	Set []string `json:"set"`
}

// ShareableFinding is a finding without what only its owner may know.
type ShareableFinding struct {
	ID    string `json:"id"`
	Area  string `json:"area"`
	Level Level  `json:"level"`
	Code  string `json:"code,omitempty"`
}

// share writes the report to a file that only its owner can read, and that was not there before.
func (e *examination) share(file string) error {
	out := Shareable{At: e.report.At, Program: cli.Build(), Areas: e.report.Areas, Findings: []ShareableFinding{}}
	for _, one := range e.report.Findings {
		out.Findings = append(out.Findings, ShareableFinding{one.ID, one.Area, one.Level, one.Code})
	}
	for _, pair := range e.Environ {
		if name, value, _ := strings.Cut(pair, "="); value != "" && strings.HasPrefix(name, "ROUTINELY_") {
			out.Set = append(out.Set, name)
		}
	}
	slices.Sort(out.Set)
	out.Set = slices.Compact(out.Set)
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return cli.Usage("--report: %s", err)
	}
	_, err = f.Write(append(text, '\n'))
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		e.Note("%s holds no secret, name or id of the deployment; read it before you send it", file)
	}
	return err
}
