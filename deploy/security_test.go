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

	"routinely/queue"
	"routinely/shared/auth"
	"routinely/shared/callback"
)

func TestCallersExample(t *testing.T) {
	_, rest, found := strings.Cut(string(read(t, "SECURITY.md")), "<!-- callers -->\n```json\n")
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
	caller := func(field string) func(string) error {
		return func(secret string) error {
			_, err := auth.Parse(fmt.Sprintf(`{"callers":[{"name":"ci","scopes":["submit"],%q:[%q]}]}`, field, secret))
			return err
		}
	}
	const webhook = `(whsec_[A-Za-z0-9+/]{8,}=*)`
	kinds := []struct {
		name, pattern string
		take          func(secret string) error
	}{
		{"webhook secret", webhook, caller("webhookSecrets")},
		{"callback secret", webhook, func(secret string) error {
			_, err := callback.New(callback.Config{Secrets: []string{secret}})
			return err
		}},
		{"hash of a token", `(sha256:[0-9a-fA-F]{64})\b`, caller("tokens")},
		{"token", `(rtly_[A-Za-z0-9_-]{43})\b`, func(secret string) error {
			return caller("tokens")(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(secret))))
		}},
		{"GitHub secret", `"githubSecrets": *\["([^"]{24,})"`, caller("githubSecrets")},
		{"message key", `\b([A-Za-z0-9_-]{1,32}:[A-Za-z0-9_-]{43})\b`, func(secret string) error { _, err := queue.ParseKeys(secret); return err }},
	}
	found := map[string]bool{}
	for _, path := range pagesAndPrograms(t) {
		text := string(read(t, path))
		for _, kind := range kinds {
			for _, match := range regexp.MustCompile(kind.pattern).FindAllStringSubmatch(text, -1) {
				found[kind.name] = true
				if err := kind.take(match[1]); !strings.Contains(fmt.Sprint(err), refusedAsExample) {
					t.Errorf("%s: as %s %q: %v", path, kind.name, match[1], err)
				}
			}
		}
	}
	// SECURITY.md has one of each of these.
	for _, name := range []string{"webhook secret", "callback secret", "hash of a token", "GitHub secret"} {
		if !found[name] {
			t.Errorf("no %s was found", name)
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
