package deploy_test

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

var (
	inlineLink    = regexp.MustCompile(`\]\(\s*<?([^)>\s]+)>?(?:\s+"[^"]*")?\s*\)`)
	referenceLink = regexp.MustCompile(`(?m)^ {0,3}\[[^\]^]+\]:\s*<?(\S+?)>?(?:\s|$)`)
	heading       = regexp.MustCompile(`(?m)^#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$`)
	anchorTag     = regexp.MustCompile(`<a\s+(?:id|name)="([^"]+)"`)
	linkText      = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// links returns the targets of a document's links that lead to a file or a place in one.
func links(document string) []string {
	text := inCode.ReplaceAllString(document, "")
	var out []string
	for _, pattern := range []*regexp.Regexp{inlineLink, referenceLink} {
		for _, match := range pattern.FindAllStringSubmatch(text, -1) {
			target, err := url.Parse(match[1])
			if err != nil || target.Scheme == "" && target.Host == "" {
				out = append(out, match[1])
			}
		}
	}
	return distinct(out)
}

// anchors returns the places in a document that a link can lead to, made of its headings as GitHub makes them.
func anchors(document string) []string {
	text := fenced.ReplaceAllString(document, "")
	var out []string
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		name := slug(linkText.ReplaceAllString(match[1], "$1"))
		unique := name
		for n := 1; slices.Contains(out, unique); n++ {
			unique = name + "-" + strconv.Itoa(n)
		}
		out = append(out, unique)
	}
	for _, match := range anchorTag.FindAllStringSubmatch(text, -1) {
		out = append(out, match[1])
	}
	return out
}

func slug(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, title)
}

// brokenLinks returns the links of a document that lead nowhere.
func brokenLinks(folder, path string) ([]string, error) {
	content, err := os.ReadFile(filepath.Join(folder, path))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, link := range links(string(content)) {
		target, err := url.Parse(link)
		if err != nil || strings.HasPrefix(target.Path, "/") {
			out = append(out, path+": "+link+" is not a relative link")
			continue
		}
		there := filepath.Join(folder, path)
		if target.Path != "" {
			there = filepath.Join(folder, filepath.Dir(path), target.Path)
		}
		if !leads(there, target.Fragment) {
			out = append(out, path+": "+link+" leads nowhere")
		}
	}
	return out, nil
}

// leads reports whether a file or folder is there, and in a document also the place.
func leads(path, fragment string) bool {
	if fragment == "" || !strings.HasSuffix(path, ".md") {
		_, err := os.Stat(path)
		return err == nil
	}
	content, err := os.ReadFile(path)
	return err == nil && slices.Contains(anchors(string(content)), fragment)
}

func TestLinks(t *testing.T) {
	for _, path := range documents(t, root) {
		broken, err := brokenLinks(root, path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range broken {
			t.Error(line)
		}
	}
}

func TestLinkChecksFail(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"a.md": "# One & two\n[1](b.md) [2](b.md#sec) [3](c.md \"t\") [4](#one--two) [5](#three) [6](sub/) [7](/b.md)\n" +
			"[8](https://example.com/x.md) [9](b.md#kopf-1) `[10](code.md)`\n```\n[11](code.md)\n```\n\n[ref]: gone.md\n",
		"b.md": "# Kopf\n# Kopf\n<a id=\"sec\"></a>\n```\n# three\n```\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(folder, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := brokenLinks(folder, "a.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a.md: #three leads nowhere", "a.md: /b.md is not a relative link", "a.md: c.md leads nowhere", "a.md: gone.md leads nowhere",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("broken links (-want +got):\n%s", diff)
	}
}
