package deploy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The packages and types behind which the calls of the cloud are.
const (
	queuePackage = module + "queue"
	sdkMNS       = "github.com/aliyun/aliyun-mns-go-sdk"
	sdkESA       = "github.com/alibabacloud-go/esa-20240910/v2/client"
	sdkTable     = "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

// program is what the packages of a command name where: for each function, and each variable of a package, the functions,
// variables and fields that its source uses. A function that is passed on counts as called by whoever names it. What the
// standard library calls of its own accord, such as a String method, is not followed.
type program struct {
	packages map[string]*types.Package
	uses     map[types.Object][]types.Object
}

// listed is the part of `go list -json` that type-checking needs.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles, Deps           []string
}

// checkedCommands are those whose calls are looked at.
var checkedCommands = []string{"functions/accept/main", "functions/provision/main", "functions/notify/main", "functions/janitor/main", "cmd/routinely"}

// loaded is what the commands are made of, and of which packages each is. It is loaded once: listing and type-checking take
// longer than all that is done with them.
var loaded = sync.OnceValues(loadCommands)

type commandSources struct {
	*program
	deps map[string][]string
}

// loadProgram returns a command of the module, without what only others use.
func loadProgram(t *testing.T, command string) *program {
	t.Helper()
	all, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	paths := append(all.deps[module+command], module+command)
	p := &program{packages: map[string]*types.Package{}, uses: map[types.Object][]types.Object{}}
	for path, own := range all.packages {
		if slices.Contains(paths, path) {
			p.packages[path] = own
		}
	}
	for object, used := range all.uses {
		if p.packages[object.Pkg().Path()] != nil {
			p.uses[object] = used
		}
	}
	if p.packages[module+command] == nil {
		t.Fatalf("%s was not loaded", command)
	}
	return p
}

// loadCommands type-checks the commands. Packages from outside are read as compiled, and so are the local servers, which call neither
// the product nor an SDK, as TestImportGraph shows.
func loadCommands() (*commandSources, error) {
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,Deps"}
	for _, command := range checkedCommands {
		args = append(args, "./"+command)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	output, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, failed.Stderr)
		}
		return nil, fmt.Errorf("go list: %w", err)
	}
	p := &program{packages: map[string]*types.Package{}, uses: map[types.Object][]types.Object{}}
	all := &commandSources{p, map[string][]string{}}
	exports := map[string]string{}
	fset := token.NewFileSet()
	compiled := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	// Packages come behind those they import.
	for decoder := json.NewDecoder(bytes.NewReader(output)); decoder.More(); {
		var next listed
		if err := decoder.Decode(&next); err != nil {
			return nil, err
		}
		exports[next.ImportPath] = next.Export
		if !strings.HasPrefix(next.ImportPath, module) || strings.HasPrefix(next.ImportPath, module+"deploy/") {
			continue
		}
		all.deps[next.ImportPath] = next.Deps
		if err := p.parse(next, fset, compiled); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// parse adds a package from its files.
func (p *program) parse(from listed, fset *token.FileSet, others types.Importer) error {
	var files []*ast.File
	for _, name := range from.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(from.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	return p.add(from.ImportPath, fset, files, others)
}

// importing finds the packages that were checked before those that are compiled.
type importing func(path string) (*types.Package, error)

func (i importing) Import(path string) (*types.Package, error) { return i(path) }

func (p *program) add(path string, fset *token.FileSet, files []*ast.File, others types.Importer) error {
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	check := types.Config{Importer: importing(func(path string) (*types.Package, error) {
		if own := p.packages[path]; own != nil {
			return own, nil
		}
		return others.Import(path)
	})}
	var err error
	if p.packages[path], err = check.Check(path, fset, files, info); err != nil {
		return err
	}
	for _, file := range files {
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				p.note(info, d.Name, d)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if values, ok := spec.(*ast.ValueSpec); ok {
						for _, name := range values.Names {
							p.note(info, name, values)
						}
					}
				}
			}
		}
	}
	return nil
}

// note remembers what a declaration names.
func (p *program) note(info *types.Info, name *ast.Ident, declaration ast.Node) {
	var used []types.Object
	ast.Inspect(declaration, func(node ast.Node) bool {
		if ident, ok := node.(*ast.Ident); ok {
			switch object := info.Uses[ident].(type) {
			case *types.Func:
				used = append(used, object.Origin())
			case *types.Var:
				used = append(used, object.Origin())
			}
		}
		return true
	})
	p.uses[info.Defs[name]] = used
}

// next returns what an object leads to: what its source names, or, for a method of an interface, the methods of the module
// that may be behind it.
func (p *program) next(object types.Object) []types.Object {
	method, ok := object.(*types.Func)
	if !ok || method.Signature().Recv() == nil {
		return p.uses[object]
	}
	wanted, ok := method.Signature().Recv().Type().Underlying().(*types.Interface)
	if !ok {
		return p.uses[object]
	}
	var out []types.Object
	for known := range p.uses {
		own, ok := known.(*types.Func)
		if !ok || own.Name() != method.Name() || own.Signature().Recv() == nil {
			continue
		}
		receiver := own.Signature().Recv().Type()
		if types.Implements(receiver, wanted) || types.Implements(types.NewPointer(receiver), wanted) {
			out = append(out, own)
		}
	}
	return out
}

// reach returns everything that a function leads to, itself included.
func (p *program) reach(start types.Object) map[types.Object]bool {
	seen := map[types.Object]bool{}
	for open := []types.Object{start}; len(open) > 0; {
		object := open[len(open)-1]
		open = open[:len(open)-1]
		if !seen[object] {
			seen[object] = true
			open = append(open, p.next(object)...)
		}
	}
	return seen
}

// main is where the command starts.
func (p *program) main(command string) types.Object {
	return p.packages[module+command].Scope().Lookup("main")
}

// methodsOf returns the names of the methods of an outside package's type among the objects.
func methodsOf(objects map[types.Object]bool, path, name string) []string {
	var out []string
	for object := range objects {
		method, ok := object.(*types.Func)
		if !ok || method.Pkg() == nil || method.Pkg().Path() != path || method.Signature().Recv() == nil {
			continue
		}
		receiver := method.Signature().Recv().Type()
		if pointer, ok := receiver.(*types.Pointer); ok {
			receiver = pointer.Elem()
		}
		if named, ok := receiver.(*types.Named); ok && named.Obj().Name() == name {
			out = append(out, method.Name())
		}
	}
	return distinct(out)
}

func distinct(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// esaActions returns the RAM actions behind the calls of ESA: the SDK has a method for each action, with three endings, and
// RAM calls the action by its name (https://help.aliyun.com/zh/edge-security-acceleration/esa/).
func (p *program) esaActions(command string) []string {
	var out []string
	for _, name := range methodsOf(p.reach(p.main(command)), sdkESA, "Client") {
		action, ok := strings.CutSuffix(name, "WithContext")
		if !ok {
			action = strings.TrimSuffix(name, "WithOptions")
		}
		out = append(out, "esa:"+action)
	}
	return distinct(out)
}

// grant is one RAM action on one resource.
type grant struct{ action, resource string }

func sorted(grants []grant) []grant {
	slices.SortFunc(grants, func(a, b grant) int { return strings.Compare(a.action+" "+a.resource, b.action+" "+b.resource) })
	return slices.Compact(grants)
}

// grants returns what a command needs of MNS and Tablestore.
func (p *program) grants(command string) []grant {
	reached := p.reach(p.main(command))
	var out []grant
	for _, method := range methodsOf(reached, sdkTable, "TableStoreClient") {
		out = append(out, onTables("ots:"+method)...)
	}
	for object := range reached {
		if object.Pkg() != nil && object.Pkg().Path() == queuePackage {
			continue
		}
		for _, entry := range p.next(object) {
			if entry.Pkg() != nil && entry.Pkg().Path() == queuePackage {
				out = append(out, mnsGrants(p.reach(entry))...)
			}
		}
	}
	return sorted(out)
}

// mnsGrants returns what a function of package queue needs, by what it leads to: the SDK's methods, each on the queues of the
// configuration that are named on the way.
func mnsGrants(reached map[types.Object]bool) []grant {
	var out []grant
	for field, queue := range map[string]string{"Queue": jobQueue, "DeadLetterQueue": deadQueue, "CallbackQueue": callbackQueue} {
		named := slices.ContainsFunc(slices.Collect(maps.Keys(reached)), func(object types.Object) bool {
			v, ok := object.(*types.Var)
			return ok && v.IsField() && v.Name() == field && v.Pkg().Path() == queuePackage
		})
		if !named {
			continue
		}
		for _, method := range methodsOf(reached, sdkMNS, "AliMNSQueue") {
			if aboutMessages(method) {
				out = append(out, onMessages(method, queue)...)
			}
		}
		for _, method := range methodsOf(reached, sdkMNS, "AliQueueManager") {
			out = append(out, grant{"mns:" + strings.TrimSuffix(method, "WithOptions"), queue})
		}
	}
	return out
}

// toy is a small program: the command x of this module, and what it is made of.
var toy = []struct{ path, text string }{
	{sdkMNS, `package mns
type AliMNSQueue interface { SendMessage(); BatchReceiveMessage(); ChangeMessageVisibility(); QPSMonitor() }
type AliQueueManager interface { CreateQueueWithOptions() }`},
	{sdkESA, `package client
type Client struct{}
func (*Client) GetRoutineWithContext() {}
func (*Client) DeleteRoutine() {}
func (*Client) PurgeCachesWithOptions() {}`},
	{sdkTable, `package tablestore
type TableStoreClient struct{}
func (*TableStoreClient) GetRow() {}
func (*TableStoreClient) GetRange() {}
func (*TableStoreClient) DeleteTable() {}`},
	{queuePackage, `package queue
import mns "` + sdkMNS + `"
type Config struct { Queue, DeadLetterQueue, CallbackQueue string }
type Client struct { cfg Config; sdk mns.AliMNSQueue; manager mns.AliQueueManager }
func (c *Client) Put() { c.write(c.cfg.Queue) }
func (c *Client) Tell() { if c.Told() { c.write(c.cfg.CallbackQueue) } }
func (c *Client) Told() bool { return c.cfg.CallbackQueue != "" }
func (c *Client) Bury() { c.write(c.cfg.DeadLetterQueue) }
func (c *Client) Take() { _ = c.cfg.DeadLetterQueue; c.sdk.BatchReceiveMessage(); c.sdk.ChangeMessageVisibility(); c.sdk.QPSMonitor() }
func (c *Client) Setup() { _ = c.cfg.Queue; c.manager.CreateQueueWithOptions() }
func (c *Client) write(string) { func() { c.sdk.SendMessage() }() }`},
	{module + "shared/ledger", `package ledger
import sdk "` + sdkTable + `"
type Ledger struct{ Jobs []int; sdk sdk.TableStoreClient }
func (l *Ledger) Job() { all(l, l.sdk.GetRow) }
func (l *Ledger) List() { l.sdk.GetRange() }
func (l *Ledger) Drop() { l.sdk.DeleteTable() }
func all[T any](of T, do func()) { do() }`},
	{module + "functions/x", `package main
import ("routinely/queue"; "routinely/shared/ledger"; "` + sdkESA + `")
type taker interface { Take() }
var jobs queue.Client
var account = new(client.Client)
func main() { start(jobs.Put); start(jobs.Tell); look(&jobs); new(ledger.Ledger).Job(); account.GetRoutineWithContext(); account.PurgeCachesWithOptions() }
func start(do func()) { do() }
func look(at taker) { at.Take() }
func unused() { jobs.Bury(); new(ledger.Ledger).List(); account.DeleteRoutine() }`},
}

func TestCallsAreFound(t *testing.T) {
	p := &program{packages: map[string]*types.Package{}, uses: map[types.Object][]types.Object{}}
	fset := token.NewFileSet()
	for _, each := range toy {
		file, err := parser.ParseFile(fset, "", each.text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.add(each.path, fset, []*ast.File{file}, importer.Default()); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("finds the ESA actions a command calls", func(t *testing.T) {
		if diff := cmp.Diff([]string{"esa:GetRoutine", "esa:PurgeCaches"}, p.esaActions("functions/x")); diff != "" {
			t.Errorf("actions (-want +got):\n%s", diff)
		}
	})
	t.Run("follows a command to what it calls of MNS and Tablestore, and to the queues", func(t *testing.T) {
		want := sorted(slices.Concat(
			onMessages("ChangeMessageVisibility", deadQueue), onMessages("BatchReceiveMessage", deadQueue),
			onMessages("SendMessage", callbackQueue), onMessages("SendMessage", jobQueue), onTables("ots:GetRow"),
		))
		if diff := cmp.Diff(want, p.grants("functions/x"), cmp.AllowUnexported(grant{})); diff != "" {
			t.Errorf("grants (-want +got):\n%s", diff)
		}
	})
}
