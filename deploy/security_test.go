package deploy_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"routinely/shared/auth"
)

func TestCallersExample(t *testing.T) {
	_, rest, found := strings.Cut(readIfThere(t, "SECURITY.md"), "<!-- callers -->\n```json\n")
	example, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("SECURITY.md has no example of callers")
	}
	// Its secrets are refused because they stand there, and nothing else of it is.
	_, err := auth.Parse(example)
	_, problems, _ := strings.Cut(fmt.Sprint(err), ": ")
	for _, problem := range strings.Split(problems, "; ") {
		if !strings.HasSuffix(problem, refusedAsExample) {
			t.Error(problem)
		}
	}
}

const refusedAsExample = "is an example of the documentation, which everybody knows: make one of your own"

// TestPublishedSecrets looks for everything in the repository's pages and programs that could be copied as a secret: no function takes it.
func TestPublishedSecrets(t *testing.T) {
	found := map[string]string{} // the field by the secret
	for _, path := range pagesAndPrograms(t) {
		text := readIfThere(t, path)
		for field, pattern := range map[string]string{
			"webhookSecrets": `whsec_[A-Za-z0-9+/]{8,}=*`, "tokens": `sha256:[0-9a-fA-F]{64}\b`, "githubSecrets": `"githubSecrets": *\["[^"]{24,}"`,
			"bearer": `rtly_[A-Za-z0-9_-]{43}\b`,
		} {
			for _, secret := range regexp.MustCompile(pattern).FindAllString(text, -1) {
				found[strings.TrimSuffix(secret[strings.LastIndex(strings.TrimSuffix(secret, `"`), `"`)+1:], `"`)] = field
			}
		}
	}
	if len(found) < 5 {
		t.Fatalf("found %v alone", found)
	}
	for secret, field := range found {
		if field == "bearer" {
			secret, field = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(secret))), "tokens"
		}
		_, err := auth.Parse(fmt.Sprintf(`{"callers":[{"name":"ci","scopes":["submit"],%q:[%q]}]}`, field, secret))
		if !strings.HasSuffix(fmt.Sprint(err), refusedAsExample) {
			t.Errorf("%s %q: %v", field, secret, err)
		}
	}
}

// pagesAndPrograms are the files of the repository that people read and run; tests have secrets of their own.
func pagesAndPrograms(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && path != root || entry.Name() == "dist" || entry.Name() == "testdata"):
			return filepath.SkipDir
		case entry.IsDir() || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		if slices.Contains([]string{".md", ".yaml", ".yml", ".json", ".txt", ".html", ".js", ".go"}, filepath.Ext(path)) {
			relative, err := filepath.Rel(root, path)
			out = append(out, relative)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
