package deploy_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readmes are the product's front pages; the second is a translation.
var readmes = []string{"README.md", "README.zh-CN.md"}

// documents returns the Markdown files of a folder, without those of tools and of builds.
func documents(t *testing.T, folder string) []string {
	t.Helper()
	var out []string
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (slices.Contains([]string{"dist", "node_modules", "testdata"}, d.Name()) || strings.HasPrefix(d.Name(), ".") && path != "."):
			return fs.SkipDir
		case strings.HasSuffix(path, ".md"):
			out = append(out, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tableIn returns the rows of the table between <!-- name --> and <!-- /name -->, a list of cells each, without the heading.
func tableIn(t *testing.T, page, name string) [][]string {
	t.Helper()
	_, rest, found := strings.Cut(string(read(t, page)), "<!-- "+name+" -->")
	table, _, closed := strings.Cut(rest, "<!-- /"+name+" -->")
	if !found || !closed {
		t.Fatalf("%s has no table <!-- %s -->", page, name)
	}
	var rows [][]string
	for line := range strings.Lines(strings.TrimSpace(table)) {
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(strings.TrimSpace(line), "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		rows = append(rows, cells)
	}
	if len(rows) < 3 {
		t.Fatalf("%s: the table <!-- %s --> is empty", page, name)
	}
	return rows[2:]
}

// unquoted returns the first cell of each row without backquotes.
func unquoted(rows [][]string) []string {
	var out []string
	for _, row := range rows {
		out = append(out, strings.Trim(row[0], "`"))
	}
	return out
}

var (
	fenced     = regexp.MustCompile("(?s)```.*?```")
	inCode     = regexp.MustCompile("(?s)```.*?```|`[^`\n]+`")
	makeCall   = regexp.MustCompile(`\bmake ([a-z][a-z0-9-]*)`)
	makeTarget = regexp.MustCompile(`(?m)^([a-z][a-zA-Z0-9_-]*):`)
)

func TestDocuments(t *testing.T) {
	var targets []string
	for _, match := range makeTarget.FindAllStringSubmatch(string(read(t, "Makefile")), -1) {
		targets = append(targets, match[1])
	}
	for _, name := range documents(t, root) {
		t.Run(name+" names make targets that exist", func(t *testing.T) {
			for _, code := range inCode.FindAllString(string(read(t, name)), -1) {
				for _, match := range makeCall.FindAllStringSubmatch(code, -1) {
					if !slices.Contains(targets, match[1]) {
						t.Errorf("the Makefile has no target %s", match[1])
					}
				}
			}
		})
	}
	for _, name := range readmes {
		t.Run(name+" has at most 200 lines", func(t *testing.T) {
			if lines := strings.Count(string(read(t, name)), "\n"); lines > 200 {
				t.Errorf("it has %d", lines)
			}
		})
	}
}

func TestIndex(t *testing.T) {
	for _, index := range []string{"docs/README.md", "docs/README.zh-CN.md"} {
		t.Run(index+" leads to every page of docs", func(t *testing.T) {
			var listed []string
			for _, link := range links(string(read(t, index))) {
				listed = append(listed, path.Join("docs", strings.ReplaceAll(link, ".zh-CN.md", ".md")))
			}
			for _, page := range documents(t, filepath.Join(root, "docs")) {
				page = path.Join("docs", page)
				if page == "docs/README.md" || strings.HasSuffix(page, ".zh-CN.md") || slices.Contains(listed, path.Dir(page)) {
					continue
				}
				if !slices.Contains(listed, page) {
					t.Errorf("%s is not listed", page)
				}
			}
		})
	}
}
