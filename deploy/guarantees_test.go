package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	namedPackage = regexp.MustCompile("`([a-z/]+)`")
	namedTest    = regexp.MustCompile(`\bTest[A-Za-z0-9]+\b`)
)

// checkGuarantees returns what is wrong with the page of guarantees: a promise without a test, or a test that does not exist. has
// reports whether a package has a test.
func checkGuarantees(page string, has func(folder, test string) bool) []string {
	var out []string
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || strings.HasPrefix(cells[0], "---") || strings.TrimSpace(cells[0]) == "Promise" {
			continue
		}
		named := 0
		for part := range strings.SplitSeq(cells[2], ";") {
			folder := namedPackage.FindStringSubmatch(part)
			for _, test := range namedTest.FindAllString(part, -1) {
				named++
				if folder == nil || !has(folder[1], test) {
					out = append(out, fmt.Sprintf("%s: there is no such test in %v", test, folder))
				}
			}
		}
		if named == 0 {
			out = append(out, fmt.Sprintf("no test shows: %s", strings.TrimSpace(cells[0])))
		}
	}
	return out
}

func TestGuarantees(t *testing.T) {
	page, err := os.ReadFile("guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	inSource := func(folder, test string) bool {
		files, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(source), "\nfunc "+test+"(t *testing.T) {") {
				return true
			}
		}
		return false
	}
	t.Run("are each shown by tests that exist", func(t *testing.T) {
		for _, line := range checkGuarantees(string(page), inSource) {
			t.Error(line)
		}
	})
	t.Run("are many", func(t *testing.T) {
		if n := strings.Count(string(page), "Test"); n < 40 {
			t.Errorf("%d tests are named", n)
		}
	})
	for name, page := range map[string]string{
		"a promise without a test":       "| It works | always | trust |",
		"a test that does not exist":     "| It works | always | `deploy` TestItWorks |",
		"a test of another package":      "| It works | always | `queue` TestGuarantees |",
		"a test that no package is of":   "| It works | always | TestGuarantees |",
		"one of two that does not exist": "| It works | always | `deploy` TestGuarantees, TestItWorks |",
	} {
		t.Run("are found wrong with "+name, func(t *testing.T) {
			if got := checkGuarantees(page, inSource); len(got) != 1 {
				t.Errorf("got %q", got)
			}
		})
	}
}
