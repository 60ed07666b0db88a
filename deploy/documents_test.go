package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/shared/config"
)

const (
	tableBegin = "<!-- configuration -->"
	tableEnd   = "<!-- /configuration -->"
)

// configurationTable returns the rows of a README's table of variables, a list of cells for each, without the heading.
func configurationTable(document string) ([][]string, error) {
	_, rest, found := strings.Cut(document, tableBegin)
	table, _, closed := strings.Cut(rest, tableEnd)
	if !found || !closed {
		return nil, fmt.Errorf("there is no table between %s and %s", tableBegin, tableEnd)
	}
	var rows [][]string
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		if len(cells) != 4 {
			return nil, fmt.Errorf("a row of the table has not 4 cells: %s", line)
		}
		rows = append(rows, cells)
	}
	if len(rows) < 2 {
		return nil, fmt.Errorf("the table is empty")
	}
	return rows[2:], nil
}

// wantedTable returns the rows that the code asks for.
func wantedTable() [][]string {
	var rows [][]string
	seen := map[string]bool{}
	for _, v := range slices.Concat(
		config.Variables(&config.Accept{}), config.Variables(&config.Provision{}), config.Variables(&config.Notify{}),
		config.Variables(&config.Janitor{}), config.Variables(&config.Setup{}), config.Variables(&config.Rights{}),
	) {
		if seen[v.Name] {
			continue
		}
		seen[v.Name] = true
		preset := ""
		switch {
		case v.Required:
			preset = "(required)"
		case v.Default != "":
			preset = "`" + v.Default + "`"
		}
		rows = append(rows, []string{"`" + v.Name + "`", v.Type, preset, v.Doc})
	}
	return rows
}

// checkTable returns where a table differs from the code. A translated one may word the meaning in its own way.
func checkTable(document string, translated bool) string {
	got, err := configurationTable(document)
	if err != nil {
		return err.Error()
	}
	want := wantedTable()
	if translated {
		for i := range min(len(got), len(want)) {
			if got[i][3] != "" {
				want[i][3] = got[i][3]
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return "configuration table (-code +document):\n" + diff + "\nthe whole table:\n" + markdown(wantedTable())
	}
	return ""
}

func markdown(rows [][]string) string {
	var out strings.Builder
	out.WriteString("| Variable | Type | Default | Meaning |\n|---|---|---|---|\n")
	for _, row := range rows {
		out.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	return out.String()
}

// readmes are the product's front pages; the second is a translation.
var readmes = []string{"README.md", "README.zh-CN.md"}

// readIfThere returns a file of the repository, and skips the test while nobody has written it.
func readIfThere(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if os.IsNotExist(err) {
		t.Skipf("there is no %s yet", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestConfigurationTables(t *testing.T) {
	for i, name := range readmes {
		t.Run(name+" describes every variable as the code does", func(t *testing.T) {
			if wrong := checkTable(readIfThere(t, name), i > 0); wrong != "" {
				t.Error(wrong)
			}
		})
	}
	t.Run("are what the check asks for", func(t *testing.T) {
		if wrong := checkTable("# A\n"+tableBegin+"\n\n"+markdown(wantedTable())+"\n"+tableEnd+"\nmore", false); wrong != "" {
			t.Error(wrong)
		}
	})
	t.Run("may be translated", func(t *testing.T) {
		rows := wantedTable()
		rows[0][3] = "访问密钥"
		document := tableBegin + "\n" + markdown(rows) + tableEnd
		if wrong := checkTable(document, true); wrong != "" {
			t.Error(wrong)
		}
		if checkTable(document, false) == "" {
			t.Error("the original may not word the meaning in another way")
		}
	})
	for _, test := range []struct {
		name   string
		damage func([][]string) [][]string
	}{
		{"must not lack a variable", func(rows [][]string) [][]string { return rows[1:] }},
		{"must not tell another default", func(rows [][]string) [][]string { rows[4][2] = "`other`"; return rows }},
		{"must not tell another type", func(rows [][]string) [][]string { rows[4][1] = "integer"; return rows }},
		{"must not leave out the meaning", func(rows [][]string) [][]string { rows[4][3] = ""; return rows }},
	} {
		t.Run(test.name, func(t *testing.T) {
			if checkTable(tableBegin+"\n"+markdown(test.damage(wantedTable()))+tableEnd, true) == "" {
				t.Error("nothing was found wrong")
			}
		})
	}
	t.Run("must be there", func(t *testing.T) {
		if checkTable("# A", false) == "" {
			t.Error("nothing was found wrong")
		}
	})
}

var (
	fenced     = regexp.MustCompile("(?s)```.*?```")
	inCode     = regexp.MustCompile("(?s)```.*?```|`[^`\n]+`")
	makeCall   = regexp.MustCompile(`\bmake ([a-z][a-z0-9-]*)`)
	makeTarget = regexp.MustCompile(`(?m)^([a-z][a-zA-Z0-9_-]*):`)
)

// missingTargets returns the make targets that a document names in its code and a Makefile does not have.
func missingTargets(document, makefile string) []string {
	var targets, missing []string
	for _, match := range makeTarget.FindAllStringSubmatch(makefile, -1) {
		targets = append(targets, match[1])
	}
	for _, code := range inCode.FindAllString(document, -1) {
		for _, match := range makeCall.FindAllStringSubmatch(code, -1) {
			if !slices.Contains(targets, match[1]) {
				missing = append(missing, match[1])
			}
		}
	}
	return distinct(missing)
}

func TestMakeTargets(t *testing.T) {
	for _, name := range append(readmes, "deploy/README.md", "deploy/README.zh-CN.md") {
		t.Run(name+" names targets that exist", func(t *testing.T) {
			document, makefile := readIfThere(t, name), readIfThere(t, "Makefile")
			if missing := missingTargets(document, makefile); len(missing) > 0 {
				t.Errorf("the Makefile has no %v", missing)
			}
		})
	}
	t.Run("are looked for in code only", func(t *testing.T) {
		document := "We make sense. `make run` and\n```sh\nmake check-all\nmake gone\n```\n"
		got := missingTargets(document, "run: build\n\tgo run\ncheck-all:\n")
		if diff := cmp.Diff([]string{"gone"}, got); diff != "" {
			t.Errorf("missing (-want +got):\n%s", diff)
		}
	})
}
