package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	namedPackage = regexp.MustCompile("`([a-z/-]+)`")
	namedTest    = regexp.MustCompile(`\b(?:Test|Benchmark)[A-Z][A-Za-z0-9]*\b`)
)

// namedTests returns the tests that a cell names, by package: "`queue` TestA, TestB; `deploy` TestC".
func namedTests(cell string) map[string][]string {
	out := map[string][]string{}
	for part := range strings.SplitSeq(cell, ";") {
		folder := ""
		if match := namedPackage.FindStringSubmatch(part); match != nil {
			folder = match[1]
		}
		out[folder] = append(out[folder], namedTest.FindAllString(part, -1)...)
	}
	return out
}

// hasTest reports whether a package has a test or a benchmark.
func hasTest(t *testing.T, folder, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}

// tableRows returns the rows of all tables of a document, without their headings.
func tableRows(document string) [][]string {
	var out [][]string
	for line := range strings.Lines(document) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "|---"): // the line below a heading
			out = out[:len(out)-1]
		case strings.HasPrefix(line, "| "):
			out = append(out, strings.Split(strings.Trim(line, "|"), " | "))
		}
	}
	return out
}

// TestNamedTests reads the pages whose tables name, in the last cell of each row, the tests or benchmarks that show it.
func TestNamedTests(t *testing.T) {
	for page, least := range map[string]int{"docs/guarantees.md": 40, "docs/reference/figures.md": 10, "docs/testing.md": 20} {
		t.Run(page+" names tests that exist, in every row", func(t *testing.T) {
			rows := tableRows(string(read(t, page)))
			if len(rows) < least {
				t.Errorf("%d rows were found", len(rows))
			}
			for _, row := range rows {
				named := 0
				for folder, tests := range namedTests(row[len(row)-1]) {
					for _, test := range tests {
						if named++; !hasTest(t, folder, test) {
							t.Errorf("%q has no test %s", folder, test)
						}
					}
				}
				if named == 0 {
					t.Errorf("no test shows: %s", row[0])
				}
			}
		})
	}
}
