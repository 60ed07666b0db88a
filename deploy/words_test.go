package deploy_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// word is a line of testdata/words.txt: what is not used, and what to write instead.
type word struct {
	pattern *regexp.Regexp
	instead string
}

// readWords returns the phrases and the words of names that testdata/words.txt refuses.
func readWords(t *testing.T) (phrases, names []word) {
	t.Helper()
	for line := range strings.Lines(string(read(t, "deploy", "testdata", "words.txt"))) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		refused, instead, found := strings.Cut(line, " = ")
		name, isName := strings.CutPrefix(refused, "name: ")
		pattern, err := regexp.Compile(`(?i)\b(?:` + strings.ReplaceAll(name, " ", `\s+`) + `)\b`)
		if err != nil || !found {
			t.Fatalf("words.txt: %q: %v", line, err)
		}
		if isName {
			names = append(names, word{pattern, instead})
		} else {
			phrases = append(phrases, word{pattern, instead})
		}
	}
	return phrases, names
}

// findWords returns the places of a text that have one of the words.
func findWords(path string, text []byte, words []word) []string {
	var out []string
	for _, w := range words {
		for _, at := range w.pattern.FindAllIndex(text, -1) {
			line := 1 + bytes.Count(text[:at[0]], []byte("\n"))
			out = append(out, fmt.Sprintf("%s:%d: %q: write %s", path, line, bytes.Join(bytes.Fields(text[at[0]:at[1]]), []byte(" ")), w.instead))
		}
	}
	return out
}

// prose returns a Go file with everything but its comments and texts blank, so that places stay where they are.
func prose(source []byte) []byte {
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, scanner.ScanComments)
	out := bytes.Repeat([]byte(" "), len(source))
	for i, c := range source {
		if c == '\n' {
			out[i] = '\n'
		}
	}
	for {
		pos, kind, text := s.Scan()
		switch kind {
		case token.EOF:
			return out
		case token.COMMENT, token.STRING:
			copy(out[file.Offset(pos):], strings.NewReplacer("//", "  ", "\t", " ").Replace(text))
		}
	}
}

// splitName splits a name as Go and files write it: newRetryPolicy, retry_policy.
func splitName(name string) string {
	return regexp.MustCompile(`([a-z])([A-Z])|_`).ReplaceAllString(name, "$1 $2")
}

// declared returns the names that a Go file declares: its own, its package's, its types' and its functions'.
func declared(path string, source []byte) []string {
	out := []string{strings.TrimSuffix(filepath.Base(path), ".go")}
	file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
	if err != nil {
		return out
	}
	out = append(out, file.Name.Name)
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			out = append(out, d.Name.Name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if named, ok := spec.(*ast.TypeSpec); ok {
					out = append(out, named.Name.Name)
				}
			}
		}
	}
	return out
}

// TestWords is run by `make lint`.
func TestWords(t *testing.T) {
	if testing.Short() {
		t.Skip("make lint looks for words")
	}
	phrases, names := readWords(t)
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	listed, err := cmd.Output()
	if err != nil {
		t.Skipf("the files of the repository are not known: %v", err)
	}
	for path := range strings.Lines(string(listed)) {
		path = strings.TrimSpace(path)
		kind := filepath.Ext(path)
		if strings.Contains(path, "testdata/") || strings.HasSuffix(path, ".zh-CN.md") || !slices.Contains([]string{".md", ".yaml", ".go"}, kind) {
			continue
		}
		source := read(t, path)
		text := source
		if kind == ".go" {
			text = prose(source)
			for _, name := range declared(path, source) {
				if len(findWords(path, []byte(splitName(name)), names)) > 0 {
					t.Errorf("%s: the name %s", path, name)
				}
			}
		}
		for _, line := range findWords(path, text, phrases) {
			t.Error(line)
		}
	}
}
