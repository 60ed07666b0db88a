package deploy_test

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/cmd/routinely/doctor/expected"
	"routinely/deploy/observability"
)

// findings are the ids of the doctor's findings, as its code has them.
func findings(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.go", "*/*.go"} {
		found, err := filepath.Glob(filepath.Join(root, "cmd", "routinely", "doctor", pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	out := []string{expected.Off}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.KeyValueExpr:
				if key, named := node.Key.(*ast.Ident); named && key.Name == "ID" {
					out = append(out, literal(node.Value)...)
				}
			case *ast.AssignStmt:
				if to, is := node.Lhs[0].(*ast.SelectorExpr); is && to.Sel.Name == "ID" {
					out = append(out, literal(node.Rhs[0])...)
				}
			}
			return true
		})
	}
	return distinct(out)
}

// literal is a text in quotes; nothing of another expression.
func literal(value ast.Expr) []string {
	if text, ok := value.(*ast.BasicLit); ok && text.Kind == token.STRING {
		return []string{constant.StringVal(constant.MakeFromLiteral(text.Value, text.Kind, 0))}
	}
	return nil
}

func TestRunbook(t *testing.T) {
	alerts, err := observability.Alerts()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, a := range alerts {
		want = append(want, a.ID)
	}
	found := findings(t)
	if len(found) < 10 {
		t.Fatalf("the doctor has the findings %q only", found)
	}
	want = distinct(append(want, found...))
	for _, page := range []string{"docs/operations/runbook.md", "docs/operations/runbook.zh-CN.md"} {
		text := string(read(t, page))
		t.Run(page+" has a section for each alert and finding, and no other", func(t *testing.T) {
			var got []string
			for _, line := range regexp.MustCompile(`(?m)^### (.+)$`).FindAllStringSubmatch(text, -1) {
				got = append(got, line[1])
			}
			if len(distinct(got)) != len(got) {
				t.Errorf("a section is there twice: %q", got)
			}
			if diff := cmp.Diff(want, distinct(got)); diff != "" {
				t.Errorf("-ids +sections:\n%s", diff)
			}
		})
		t.Run(page+" says in each what it means, why it matters, where to look, what repairs it, and when it is over", func(t *testing.T) {
			for _, id := range want {
				_, rest, _ := strings.Cut(text, "\n### "+id+"\n")
				body, _, _ := strings.Cut(rest, "\n##")
				if points := strings.Count(body, "\n- **"); points != 5 {
					t.Errorf("%s has %d points", id, points)
				}
			}
		})
	}
	t.Run("and links lead to it", func(t *testing.T) {
		for _, id := range want {
			page, place, _ := strings.Cut(observability.Runbook(id), "#")
			if place != id || !leads(filepath.Join(root, page), place) {
				t.Errorf("%s leads nowhere", observability.Runbook(id))
			}
		}
	})
}

// TestLogPages compares the pages about log lines with the schema.
func TestLogPages(t *testing.T) {
	schema := outcomeDocument(t)
	for _, page := range reference("log") {
		t.Run(page+" has the events and fields of the schema", func(t *testing.T) {
			want, got := [][]string{}, [][]string{}
			for _, one := range schema.AllOf {
				want = append(want, []string{one.Then.Title, strings.Join(one.Then.Required, " "), strings.Join(one.optional(schema.Required), " ")})
			}
			for _, row := range tableIn(t, page, "events") {
				got = append(got, []string{strings.Trim(row[0], "`"), strings.ReplaceAll(row[2], "`", ""), strings.ReplaceAll(row[3], "`", "")})
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("events: -schema +page:\n%s", diff)
			}
			types := map[string]string{}
			for _, row := range tableIn(t, page, "fields") {
				types[strings.Trim(row[0], "`")] = row[1]
			}
			known := map[string]string{}
			for name, property := range schema.Properties {
				known[name] = property.kind()
			}
			if diff := cmp.Diff(known, types); diff != "" {
				t.Errorf("fields: -schema +page:\n%s", diff)
			}
		})
	}
}
