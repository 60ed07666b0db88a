package deploy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/queue"
	"routinely/shared/fault"
	"routinely/shared/ledger"
)

// codeRow is what a door's codes.go says of a code.
type codeRow struct {
	// action is empty where the code means the same for all.
	action, code string
	kind         fault.Kind
	// unknown says that the operation may have taken effect.
	unknown bool
	hint    string
}

// codesFile is a parsed codes.go, with the texts of its constants.
type codesFile struct {
	*ast.File
	texts map[string]string
	kinds map[string]fault.Kind
}

func parseCodes(t *testing.T, folder string) codesFile {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, folder, "codes.go"), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	f := codesFile{file, map[string]string{}, map[string]fault.Kind{}}
	text := func(into func(name, text string)) func(name, _ string, value ast.Expr) {
		return func(name, _ string, value ast.Expr) {
			if literal, ok := value.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				unquoted, _ := strconv.Unquote(literal.Value)
				into(name, unquoted)
			}
		}
	}
	constants(t, folder, text(func(name, text string) { f.texts[name] = text }))
	constants(t, "shared/fault", text(func(name, text string) { f.kinds[name] = fault.Kind(text) }))
	return f
}

// row reads the expressions of a row, in any order: its code, kind, hint, and whether its effect is unknown.
func (f codesFile) row(expressions []ast.Expr) (row codeRow) {
	for _, e := range expressions {
		switch e := e.(type) {
		case *ast.BasicLit:
			row.code, _ = strconv.Unquote(e.Value)
		case *ast.SelectorExpr:
			row.kind = f.kinds[e.Sel.Name]
		case *ast.Ident:
			switch {
			case e.Name == "true" || e.Name == "false":
				row.unknown = e.Name == "true"
			case strings.HasPrefix(e.Name, "hint"):
				row.hint = f.texts[e.Name]
			default:
				row.code = f.texts[e.Name]
			}
		}
	}
	return row
}

// cases calls visit with each case of the first switch of a function, and what it returns.
func (f codesFile) cases(function string, visit func(of, returned []ast.Expr)) {
	for _, d := range f.Decls {
		if d, ok := d.(*ast.FuncDecl); ok && d.Name.Name == function {
			for _, clause := range d.Body.List[0].(*ast.SwitchStmt).Body.List {
				clause := clause.(*ast.CaseClause)
				visit(clause.List, clause.Body[0].(*ast.ReturnStmt).Results)
			}
		}
	}
}

// esaCodes are the rows of ESA's actions, in the order of the file, then those that are common to all.
func esaCodes(t *testing.T) (rows []codeRow) {
	t.Helper()
	f := parseCodes(t, "shared/esa")
	tables := map[string][]codeRow{}
	ast.Inspect(f.File, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if table, ok := spec.Values[0].(*ast.CompositeLit); ok {
			for _, element := range table.Elts {
				name := spec.Names[0].Name
				tables[name] = append(tables[name], f.row(element.(*ast.CompositeLit).Elts))
			}
		}
		return true
	})
	f.cases("rowsOf", func(of, returned []ast.Expr) {
		for _, row := range tables[returned[0].(*ast.Ident).Name] {
			row.action = f.row(of).code
			rows = append(rows, row)
		}
	})
	return append(rows, tables["commonRows"]...)
}

// switchCodes are the codes that a function has as cases.
func switchCodes(t *testing.T, folder, function string) (rows []codeRow) {
	t.Helper()
	f := parseCodes(t, folder)
	f.cases(function, func(of, returned []ast.Expr) {
		for _, code := range of {
			row := f.row(returned)
			row.code = f.row([]ast.Expr{code}).code
			rows = append(rows, row)
		}
	})
	return rows
}

// becomes says what a kind means for the job.
func becomes(row codeRow, inChinese bool) string {
	words := map[fault.Kind][2]string{fault.Account: {"parks the lane", "车道停靠"}, fault.Locked: {"waits for the lock", "等待账号锁"}}
	said, there := words[row.kind]
	switch {
	case there:
	case !row.kind.Retryable():
		said = [2]string{"dead letter", "死信"}
	case row.unknown:
		said = [2]string{"reads back, then again", "先回读，再试"}
	default:
		said = [2]string{"again", "再试"}
	}
	if inChinese {
		return said[1]
	}
	return said[0]
}

// codesGiven are the codes that faults of some folders have as texts, and the exported constants of codes there.
func codesGiven(t *testing.T, folders ...string) (codes []string) {
	t.Helper()
	for _, folder := range folders {
		constants(t, folder, func(name, _ string, value ast.Expr) {
			if text, ok := value.(*ast.BasicLit); ok && strings.HasPrefix(name, "Code") {
				codes = append(codes, strings.Trim(text.Value, `"`))
			}
		})
		files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(node ast.Node) bool {
				if pair, ok := node.(*ast.KeyValueExpr); ok {
					name, _ := pair.Key.(*ast.Ident)
					if text, ok := pair.Value.(*ast.BasicLit); ok && name != nil && name.Name == "Code" {
						codes = append(codes, strings.Trim(text.Value, `"`))
					}
				}
				return true
			})
		}
	}
	return distinct(codes)
}

func TestOwnCodes(t *testing.T) {
	tables := map[string]struct {
		page string
		want []string
	}{
		"routinely": {"esa-codes", codesGiven(t, "shared/provision", "functions/provision", "functions/janitor")},
		"codes": {"messages", distinct(append(codesGiven(t, "shared/dispatch"),
			queue.CodeUnknownKey, ledger.CodeUnknownJob, "MessageTooLarge", "InvalidRequest", "UnreadableMessage"))},
	}
	for name, test := range tables {
		for _, page := range reference(test.page) {
			t.Run(page+" has the codes of "+name, func(t *testing.T) {
				if diff := cmp.Diff(test.want, distinct(unquoted(tableIn(t, page, name)))); diff != "" {
					t.Errorf("-code +document:\n%s", diff)
				}
			})
		}
	}
}

func TestCodesPage(t *testing.T) {
	tables := map[string][]codeRow{
		"esa": esaCodes(t), "mns": switchCodes(t, "queue", "kindOf"), "tablestore": switchCodes(t, "shared/ledger", "classOf"),
	}
	var own []string
	constants(t, "shared/esa", func(name, _ string, value ast.Expr) {
		if literal, ok := value.(*ast.BasicLit); ok && strings.HasPrefix(name, "code") {
			own = append(own, literal.Value)
		}
	})
	for i, page := range reference("esa-codes") {
		t.Run(page+" has the codes for which ESA gave none", func(t *testing.T) {
			var got []string
			for _, code := range unquoted(tableIn(t, page, "own")) {
				got = append(got, strconv.Quote(code))
			}
			if diff := cmp.Diff(own, got); diff != "" {
				t.Errorf("-code +document:\n%s", diff)
			}
		})
		translations := map[string]string{}
		for name, rows := range tables {
			t.Run(page+" has the codes of "+name, func(t *testing.T) {
				var want [][]string
				for _, row := range rows {
					cells := []string{"`" + row.code + "`", "`" + string(row.kind) + "`", row.hint}
					if name == "esa" {
						action := "`" + row.action + "`"
						if row.action == "" {
							action = [2]string{"any", "任意"}[i]
						}
						cells = []string{action, cells[0], cells[1], becomes(row, i > 0), row.hint}
					}
					want = append(want, cells)
				}
				got := tableIn(t, page, name)
				if i > 0 { // a translation has its own words, the same for the same hint
					for n := range min(len(got), len(want)) {
						last := len(want[n]) - 1
						hint, said := want[n][last], got[n][last]
						if known, there := translations[hint]; there && known != said {
							t.Errorf("%q is translated as %q and as %q", hint, known, said)
						}
						if translations[hint] = said; said != "" {
							want[n][last] = said
						}
					}
				}
				if diff := cmp.Diff(want, got); diff != "" || len(rows) < 10 {
					t.Errorf("-code +document:\n%s\nthe whole table:", diff)
					for _, row := range want {
						t.Log("| " + strings.Join(row, " | ") + " |")
					}
				}
			})
		}
	}
}
