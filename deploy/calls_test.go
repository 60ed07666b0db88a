package deploy_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	esa "github.com/alibabacloud-go/esa-20240910/v2/client"
	mns "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/google/go-cmp/cmp"
)

// source is what a package's functions name, read from its files without their tests: for each function or method, the
// selectors in its body. Two methods of one name count as one, so what is derived can be too much, never too little.
type source map[string][]string

// parseSource reads the package in a folder of the repository.
func parseSource(folder string) (source, error) {
	entries, err := os.ReadDir(filepath.Join(root, folder))
	if err != nil {
		return nil, err
	}
	out := source{}
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, folder, name), nil, 0)
		if err != nil {
			return nil, err
		}
		out.add(file)
	}
	return out, nil
}

func (s source) add(file *ast.File) {
	for _, declaration := range file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || function.Body == nil {
			continue
		}
		ast.Inspect(function.Body, func(node ast.Node) bool {
			if selector, ok := node.(*ast.SelectorExpr); ok {
				s[function.Name.Name] = append(s[function.Name.Name], selector.Sel.Name)
			}
			return true
		})
	}
}

// all returns every name used anywhere in the package.
func (s source) all() []string {
	var out []string
	for _, names := range s {
		out = append(out, names...)
	}
	return distinct(out)
}

// reach returns every name used by a function and by what it calls in the package.
func (s source) reach(function string) []string {
	seen := map[string]bool{}
	var out []string
	var visit func(string)
	visit = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for _, used := range s[name] {
			out = append(out, used)
			visit(used)
		}
	}
	visit(function)
	return distinct(out)
}

func distinct(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// esaActions returns the RAM actions behind the SDK calls of a package: the SDK has a method for each action, with three
// endings, and RAM calls the action by its name (https://help.aliyun.com/zh/edge-security-acceleration/esa/).
func esaActions(s source) []string {
	var out []string
	client := reflect.TypeFor[*esa.Client]()
	for _, name := range s.all() {
		action, ok := strings.CutSuffix(name, "WithContext")
		if !ok {
			action = strings.TrimSuffix(name, "WithOptions")
		}
		_, isCall := client.MethodByName(name)
		_, hasRequest := client.MethodByName(action + "WithOptions")
		if isCall && hasRequest {
			out = append(out, "esa:"+action)
		}
	}
	return distinct(out)
}

// grant is one RAM action on one of the two queues.
type grant struct {
	action string
	queue  string
}

// mnsGrants returns what a caller of package queue needs, by the names it uses of it: the SDK methods that are reached, each
// on the queues that are named on the way. RAM has one action for a method and its batch form.
func mnsGrants(queue, caller source) []grant {
	methods := reflect.TypeFor[mns.AliMNSQueue]()
	names := map[string]string{"Queue": "job", "DeadLetterQueue": "dead"}
	var out []grant
	for _, called := range caller.all() {
		if !ast.IsExported(called) {
			continue
		}
		reached := queue.reach(called)
		for _, method := range reached {
			if _, ok := methods.MethodByName(method); !ok || !strings.HasSuffix(strings.TrimSuffix(method, "Visibility"), "Message") {
				continue
			}
			for field, name := range names {
				if slices.Contains(reached, field) {
					out = append(out, grant{"mns:" + strings.TrimPrefix(method, "Batch"), name})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b grant) int { return strings.Compare(a.action+a.queue, b.action+b.queue) })
	return slices.Compact(out)
}

func TestCallsAreFound(t *testing.T) {
	const text = `package p
func (c *client) Put() { c.write(c.cfg.Queue) }
func (c *client) Bury() { c.write(c.cfg.DeadLetterQueue) }
func (c *client) Take() { c.sdk.BatchReceiveMessage(c.cfg.DeadLetterQueue); c.sdk.ChangeMessageVisibility(); c.sdk.QPSMonitor() }
func (c *client) write(q string) { func() { c.sdk.SendMessage(q) }() }
func (c *client) probe() { c.sdk.GetRoutineWithContext(); c.sdk.DeleteRoutine(); c.sdk.Init(); c.other.CreateRoutineResponse() }
func user() { jobs.Put(); jobs.Take() }`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := source{}
	s.add(file)
	t.Run("finds the ESA actions a package calls", func(t *testing.T) {
		if diff := cmp.Diff([]string{"esa:DeleteRoutine", "esa:GetRoutine"}, esaActions(s)); diff != "" {
			t.Errorf("actions (-want +got):\n%s", diff)
		}
	})
	t.Run("follows a caller to the MNS methods and the queues", func(t *testing.T) {
		caller := source{"user": s["user"]}
		want := "[{mns:ChangeMessageVisibility dead} {mns:ReceiveMessage dead} {mns:SendMessage job}]"
		if got := fmt.Sprint(mnsGrants(s, caller)); got != want {
			t.Errorf("grants %s, want %s", got, want)
		}
	})
}
