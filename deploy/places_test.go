package deploy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// packages returns the folders of the product that hold Go packages, without the local servers and the tests' own.
func packages(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, top := range []string{"functions", "queue", "shared", "cmd"} {
		err := fs.WalkDir(os.DirFS(root), top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && !strings.Contains(path, "testdata") && filepath.Base(path) != "main" {
				if files, _ := filepath.Glob(filepath.Join(root, path, "*.go")); len(files) > 0 {
					out = append(out, path)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestArchitecturePage(t *testing.T) {
	const page = "docs/architecture.md"
	document := string(read(t, page))
	t.Run("names every package of the product", func(t *testing.T) {
		for _, folder := range packages(t) {
			if !strings.Contains(document, folder) {
				t.Errorf("%s is not named", folder)
			}
		}
	})
	t.Run("follows a request through functions that exist", func(t *testing.T) {
		for _, row := range tableIn(t, page, "walk") {
			file, function := strings.Trim(row[1], "`"), strings.Trim(row[2], "`")
			source, err := os.ReadFile(filepath.Join(root, file))
			if err != nil || !regexp.MustCompile(`(?m)^func (\([^)]*\) )?`+function+`[(\[]`).Match(source) {
				t.Errorf("%s has no function %s: %v", file, function, err)
			}
		}
	})
}

var (
	codePath = regexp.MustCompile("`([a-z]+(?:/[a-zA-Z_.-]+)*)`")
	codeName = regexp.MustCompile("`[a-z]+\\.([A-Z][A-Za-z]*)` in `([a-z/]+)`")
)

func TestPlacesInTheCode(t *testing.T) {
	glossary := tableRows(string(read(t, "docs", "glossary.md")))
	if len(glossary) < 30 {
		t.Fatalf("%d rows were found", len(glossary))
	}
	for _, row := range glossary {
		places := codePath.FindAllStringSubmatch(row[3], -1)
		if len(places) == 0 {
			t.Errorf("%s has no place in the code", row[0])
		}
		for _, place := range places {
			if _, err := os.Stat(filepath.Join(root, place[1])); err != nil {
				t.Errorf("%s: %v", row[0], err)
			}
		}
		for _, name := range codeName.FindAllStringSubmatch(row[3], -1) {
			if !declares(t, name[2], name[1]) {
				t.Errorf("%s: %s has no %s", row[0], name[2], name[1])
			}
		}
	}
	for _, row := range tableRows(string(read(t, "docs", "architecture.md"))) {
		for _, place := range codePath.FindAllStringSubmatch(strings.Join(row, " "), -1) {
			// A path that begins with a folder of the repository; others are words and files beside one that is named.
			path := strings.TrimSuffix(place[1], "/...")
			if top, _, below := strings.Cut(path, "/"); below && exists(top) && !exists(path) {
				t.Errorf("docs/architecture.md: there is no %s", place[1])
			}
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(filepath.Join(root, path))
	return err == nil
}

// declares reports whether a package declares a type or a constant.
func declares(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	declaration := regexp.MustCompile(`(?m)^(type |func |var |const |\t)` + name + `\b`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if declaration.Match(source) {
			return true
		}
	}
	return false
}
