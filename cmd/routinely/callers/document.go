package callers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"routinely/cmd/routinely/cli"
	"routinely/shared/auth"
	"routinely/shared/routine"
	"routinely/shared/strictjson"
)

// maxDocument is how long a document may be, in bytes. All environment variables of a function have 4 KB together (Function Compute's
// limits); 1 KB is left for the others of accept, which take about half of it.
const maxDocument = 3 * 1024

// caller is an entry of the document, see auth.Parse.
type caller struct {
	Name              string       `json:"name"`
	Scopes            []auth.Scope `json:"scopes"`
	Tokens            []string     `json:"tokens,omitempty"`
	WebhookSecrets    []string     `json:"webhookSecrets,omitempty"`
	GitHubSecrets     []string     `json:"githubSecrets,omitempty"`
	RequestsPerMinute int          `json:"requestsPerMinute,omitempty"`
	DeleteOnClose     string       `json:"deleteOnClose,omitempty"`
	routine.Limits
}

// document is the file of callers, the value of ROUTINELY_AUTH.
type document struct {
	path string
	// was is the file's content; nil if there is none.
	was     []byte
	callers []caller
}

// open reads the document. One that is missing is empty if that is allowed.
func open(path string, mayBeMissing bool) (*document, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // a link stays one when the file is replaced
	}
	d := &document{path: path}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && mayBeMissing:
		return d, nil
	case err != nil:
		return nil, cli.Usage("%s", err)
	case strings.TrimSpace(string(text)) == "none":
		return nil, cli.Usage("%s holds the word none, which lets everybody in: remove the file to begin a document of callers", path)
	}
	if err := check(path, string(text)); err != nil {
		return nil, err
	}
	var content struct{ Callers []caller }
	if err := json.Unmarshal(strictjson.WithoutMark(text), &content); err != nil {
		return nil, err
	}
	d.was, d.callers = text, content.Callers
	return d, nil
}

// check holds a document to what the function accept takes.
func check(path, text string) error {
	if _, err := auth.Parse(text); err != nil {
		return cli.Usage("%s: %s", path, strings.TrimPrefix(err.Error(), "ROUTINELY_AUTH: "))
	}
	return nil
}

// find returns the caller of a name.
func (d *document) find(name string) (*caller, error) {
	at := slices.IndexFunc(d.callers, func(c caller) bool { return c.Name == name })
	if at < 0 {
		return nil, cli.Usage("%s has no caller %q", d.path, name)
	}
	return &d.callers[at], nil
}

// text is the document on one line: as the value of a variable each byte counts.
func (d *document) text() (string, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(map[string]any{"callers": d.callers})
	return strings.TrimSpace(out.String()), err
}

// save replaces the file, whole or not at all, and returns the length of the document in bytes.
func (d *document) save() (size int, err error) {
	text, err := d.text()
	if err != nil {
		return 0, err
	}
	for _, expanded := range []string{"${", "<%"} {
		if strings.Contains(text, expanded) {
			return 0, cli.Usage("the document holds %q, which the deploy tool would expand: replace the secret that it is in", expanded)
		}
	}
	if len(text) > maxDocument {
		return 0, cli.Usage("the document would have %d bytes, at most %d fit: a function's environment has 4096 in all, and the other variables "+
			"need the rest. Revoke callers and tokens that nobody uses, or shorten limits", len(text), maxDocument)
	}
	if err := check(d.path, text); err != nil {
		return 0, err
	}
	return len(text), d.replace(text + "\n")
}

// replace writes a new file and puts it in the place of the old one, unless somebody else has changed that. Only its owner can read it.
func (d *document) replace(text string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(d.path), ".callers-*") // made with mode 0600
	if err != nil {
		return cli.Usage("%s", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	_, errWrite := file.WriteString(text)
	if err := errors.Join(errWrite, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", d.path, err)
	}
	current, err := os.ReadFile(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cli.Usage("%s", err)
	}
	if !bytes.Equal(current, d.was) {
		return cli.Usage("%s was changed meanwhile: nothing was written, try again", d.path)
	}
	return os.Rename(file.Name(), d.path)
}
