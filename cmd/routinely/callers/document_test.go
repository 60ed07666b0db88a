package callers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"routinely/shared/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ci is a document with one caller, in a folder of its own.
func ci(t *testing.T) *document {
	t.Helper()
	_, hash := auth.NewToken()
	d := &document{path: filepath.Join(t.TempDir(), "callers.json"), callers: []caller{
		{Name: "ci", Scopes: []auth.Scope{auth.Submit}, Tokens: []string{hash}},
	}}
	if _, err := d.save(); err != nil {
		t.Fatal(err)
	}
	return d
}

func reopen(t *testing.T, path string) *document {
	t.Helper()
	d, err := open(path, false)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSave(t *testing.T) {
	t.Run("replaces the file for its owner alone, also behind a link", func(t *testing.T) {
		d := ci(t)
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(d.path, link); err != nil {
			t.Skip(err)
		}
		if err := os.Chmod(d.path, 0o644); err != nil {
			t.Fatal(err)
		}
		linked := reopen(t, link)
		linked.callers[0].RequestsPerMinute = 60
		if _, err := linked.save(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(d.path)
		if err != nil || info.Mode().Perm() != 0o600 || reopen(t, d.path).callers[0].RequestsPerMinute != 60 {
			t.Errorf("%v, %v", info, err)
		}
	})
	t.Run("keeps what the tool has no flag for", func(t *testing.T) {
		d := reopen(t, ci(t).path)
		d.callers[0].GitHubSecrets, d.callers[0].DeleteOnClose = []string{"8f1b6d0c3e927a54d1e0b7c9a2f46835"}, "pr-{number}"
		if _, err := d.save(); err != nil {
			t.Fatal(err)
		}
		if got := reopen(t, d.path).callers[0]; got.DeleteOnClose != "pr-{number}" || len(got.GitHubSecrets) != 1 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("leaves a file alone that somebody else has changed, and nothing behind", func(t *testing.T) {
		d := ci(t)
		mine := reopen(t, d.path)
		theirs := reopen(t, d.path)
		theirs.callers[0].RequestsPerMinute = 60
		if _, err := theirs.save(); err != nil {
			t.Fatal(err)
		}
		if _, err := mine.save(); err == nil || !strings.Contains(err.Error(), "was changed meanwhile") {
			t.Errorf("got %v", err)
		}
		files, err := os.ReadDir(filepath.Dir(d.path))
		if err != nil || len(files) != 1 || reopen(t, d.path).callers[0].RequestsPerMinute != 60 {
			t.Errorf("%v, %v", files, err)
		}
	})
}
