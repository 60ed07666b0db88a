package deploy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "routinely/"

// mayImport says which packages of the module a package may import. What ends in /... stands for all packages below. A
// package that is missing here may not exist; one that is here need not exist.
var mayImport = map[string][]string{
	"shared/plain":     {},
	"shared/endpoint":  {},
	"shared/routine":   {"shared/plain"},
	"shared/fault":     {},
	"shared/config":    {},
	"shared/logging":   {"shared/plain"},
	"shared/api":       {"shared/routine"},
	"shared/retry":     {"shared/fault"},
	"shared/webhook":   {},
	"shared/secret":    {},
	"shared/auth":      {"shared/fault", "shared/routine", "shared/secret", "shared/webhook"},
	"shared/callback":  {"shared/fault", "shared/plain", "shared/routine", "shared/secret", "shared/webhook"},
	"shared/accesskey": {"shared/fault"},
	"shared/esa":       {"shared/endpoint", "shared/fault", "shared/accesskey"},
	"shared/ledger":    {"shared/endpoint", "shared/plain", "shared/routine", "shared/fault", "shared/config", "shared/accesskey"},
	"shared/provision": {"shared/routine", "shared/fault", "shared/esa"},
	"queue":            {"shared/endpoint", "shared/routine", "shared/fault", "shared/accesskey", "shared/secret"},

	"shared/dispatch":   {"shared/routine", "shared/fault", "shared/callback", "shared/ledger", "queue"},
	"shared/invocation": {"queue", "shared/config", "shared/logging"},
	"deploy/sim":        {"shared/invocation", "queue", "shared/ledger", "deploy/local/..."},

	// The packages of the functions know no settings; the commands below them join the parts.
	"functions/accept": {
		"shared/routine", "shared/fault", "shared/api", "shared/auth", "shared/callback", "shared/dispatch", "shared/ledger", "queue",
		"shared/logging", "shared/plain",
	},
	"functions/provision": {
		"shared/routine", "shared/fault", "shared/retry", "shared/esa", "shared/provision", "shared/dispatch", "shared/ledger", "queue", "shared/callback",
		"shared/logging",
	},
	"functions/notify": {"shared/routine", "shared/fault", "shared/callback", "queue", "shared/logging"},
	"functions/janitor": {
		"shared/routine", "shared/fault", "shared/dispatch", "shared/ledger", "queue", "shared/logging",
	},
	"functions/accept/main": {
		"functions/accept", "shared/auth", "shared/callback", "shared/config", "shared/invocation", "shared/ledger",
	},
	"functions/provision/main": {
		"functions/provision", "shared/callback", "shared/config", "shared/esa", "shared/invocation", "shared/ledger", "shared/provision", "shared/retry", "shared/routine",
	},
	"functions/notify/main":  {"functions/notify", "shared/callback", "shared/config", "shared/invocation"},
	"functions/janitor/main": {"functions/janitor", "shared/config", "shared/invocation", "shared/ledger"},

	// Only the setup and the janitor, run by hand, reach queues and tables themselves: jobs and dead letters are reached over HTTP.
	"cmd/routinely": {
		"cmd/routinely/...", "deploy/local/command", "deploy/ram", "functions/janitor", "queue", "shared/auth", "shared/callback", "shared/config",
		"shared/ledger", "shared/logging",
	},
	"cmd/routinely/cli": {
		"cmd/routinely/client", "cmd/routinely/display", "shared/api", "shared/config", "shared/fault", "shared/routine",
	},
	// It edits the document of callers, and checks it as accept does.
	"cmd/routinely/callers":  {"cmd/routinely/cli", "shared/auth", "shared/routine"},
	"cmd/routinely/client":   {"shared/api", "shared/config", "shared/endpoint", "shared/fault", "shared/plain", "shared/routine"},
	"cmd/routinely/display":  {},
	"cmd/routinely/requests": {"shared/routine"},
	"cmd/routinely/...": {
		"cmd/routinely/cli", "cmd/routinely/client", "cmd/routinely/display", "cmd/routinely/requests", "shared/api", "shared/callback",
		"shared/fault", "shared/routine",
	},

	"cmd/routinely/cloud": {"shared/endpoint", "shared/fault", "shared/accesskey"},

	"deploy": {},
	// The policies: they lie where people look for them, and the setup carries them.
	"deploy/ram":            {},
	"deploy/sim/management": {},
	"deploy/pack":           {},
	"deploy/local":          {"deploy/local/..."},
	"deploy/local/...":      {"deploy/local/..."},
}

// mayUse says who may import the packages of a module from outside: each SDK has one door. A module that is missing here
// may not be used.
var mayUse = map[string][]string{
	"github.com/aliyun/aliyun-mns-go-sdk":          {"queue"},
	"github.com/gogap/errors":                      {"queue"},
	"github.com/valyala/fasthttp":                  {"queue"},
	"github.com/cloudevents/sdk-go/v2":             {"queue"},
	"github.com/alibabacloud-go/esa-20240910/v2":   {"shared/esa"},
	"github.com/alibabacloud-go/ram-20150501/v2":   {"cmd/routinely/cloud"},
	"github.com/alibabacloud-go/darabonba-openapi": {"shared/esa", "cmd/routinely/cloud"},
	"github.com/alibabacloud-go/tea":               {"shared/esa", "cmd/routinely/cloud"},
	"github.com/alibabacloud-go/tea-utils/v2":      {"cmd/routinely/cloud"},
	"github.com/aliyun/credentials-go":             {"shared/accesskey"},
	"github.com/aliyun/fc-runtime-go-sdk":          {"functions/...", "shared/invocation"},
	"github.com/aliyun/aliyun-tablestore-go-sdk":   {"shared/ledger"},
	"go.etcd.io/bbolt":                             {"deploy/local", "deploy/local/..."},
	"github.com/sirupsen/logrus":                   {"shared/logging", "shared/invocation", "functions/..."},
	"golang.org/x/net/idna":                        {"shared/routine", "shared/callback"},
	"github.com/google/uuid":                       {"queue", "functions/accept", "functions/accept/main"},
	"github.com/spf13/cobra":                       {"cmd/routinely", "cmd/routinely/..."},
	"github.com/spf13/pflag":                       {"cmd/routinely/cli"},
	"github.com/jedib0t/go-pretty/v6":              {"cmd/routinely/display", "deploy/local/demo"},
	"github.com/vbauerster/mpb/v8":                 {"cmd/routinely/display", "deploy/local/demo"},
}

// mayRead says who may ask package os for the environment: the commands, which hand all of it to whoever needs it.
var mayRead = map[string][]string{
	"functions/accept/main":    {"Environ"},
	"functions/provision/main": {"Environ"},
	"functions/notify/main":    {"Environ"},
	"functions/janitor/main":   {"Environ"},
	"cmd/routinely":            {"Environ"},
	"deploy/local":             {"Environ"},
	"deploy/pack":              {"Environ"},
}

// goPackage is the part of `go list -json` used here. Imports are those of the package without its tests.
type goPackage struct {
	ImportPath, Name, Dir string
	Imports, GoFiles      []string
}

func (p goPackage) path() string { return strings.TrimPrefix(p.ImportPath, module) }

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Name,Dir,Imports,GoFiles", "./...")
	cmd.Dir = root
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var out []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
}

// covers reports whether a pattern of the tables stands for the package.
func covers(pattern, path string) bool {
	parent, all := strings.CutSuffix(pattern, "/...")
	return pattern == path || all && strings.HasPrefix(path, parent+"/")
}

func covered(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return covers(pattern, path) })
}

// entry returns the table's line for a package: its own, or the one for all packages below a folder.
func entry(table map[string][]string, path string) ([]string, bool) {
	if line, ok := table[path]; ok {
		return line, true
	}
	for pattern, line := range table {
		if covers(pattern, path) {
			return line, true
		}
	}
	return nil, false
}

// checkImports returns the imports of a package that the tables do not allow.
func checkImports(p goPackage) []string {
	allowed, known := entry(mayImport, p.path())
	if !known {
		return []string{p.path() + ": not in the table of packages"}
	}
	var out []string
	for _, imported := range p.Imports {
		if own, ok := strings.CutPrefix(imported, module); ok {
			if !covered(allowed, own) {
				out = append(out, p.path()+" imports "+own)
			}
			continue
		}
		if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
			out = append(out, checkUse(p.path(), imported)...)
		}
	}
	return out
}

func checkUse(path, imported string) []string {
	for outside, users := range mayUse {
		if imported == outside || strings.HasPrefix(imported, outside+"/") {
			if !covered(users, path) {
				return []string{path + " imports " + imported}
			}
			return nil
		}
	}
	return []string{path + " imports " + imported + ", which is in no table"}
}

// osCalls returns what a file uses of package os that reads or changes the environment, or ends the process.
func osCalls(file *ast.File) []string {
	watched := []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Setenv", "Unsetenv", "Clearenv", "Exit"}
	var out []string
	ast.Inspect(file, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if name, ok := selector.X.(*ast.Ident); ok && name.Name == "os" && slices.Contains(watched, selector.Sel.Name) {
			out = append(out, selector.Sel.Name)
		}
		return true
	})
	return distinct(out)
}

// checkCalls returns the uses of package os that a package is not allowed.
func checkCalls(p goPackage, used []string) []string {
	var out []string
	for _, call := range used {
		if call == "Exit" && p.Name != "main" {
			out = append(out, p.path()+" ends the process: only a command may")
		}
		if call != "Exit" && !slices.Contains(mayRead[p.path()], call) {
			out = append(out, fmt.Sprintf("%s calls os.%s", p.path(), call))
		}
	}
	return out
}

func TestImportGraph(t *testing.T) {
	packages := listPackages(t)
	t.Run("is the one of the architecture", func(t *testing.T) {
		for _, p := range packages {
			for _, line := range checkImports(p) {
				t.Error(line)
			}
		}
	})
	t.Run("is seen whole", func(t *testing.T) {
		for _, path := range []string{"queue", "shared/esa", "functions/accept", "functions/provision", "functions/notify", "cmd/routinely", "deploy/local/mnsemu"} {
			i := slices.IndexFunc(packages, func(p goPackage) bool { return p.path() == path })
			if i < 0 || len(packages[i].Imports) == 0 {
				t.Errorf("%s: no imports were found", path)
			}
		}
	})
	t.Run("reads the environment and exits in commands only", func(t *testing.T) {
		for _, p := range packages {
			if !slices.Contains(p.Imports, "os") {
				continue
			}
			for _, name := range p.GoFiles {
				file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
				if err != nil {
					t.Fatal(err)
				}
				for _, line := range checkCalls(p, osCalls(file)) {
					t.Error(line)
				}
			}
		}
	})
}

func TestImportChecksFail(t *testing.T) {
	for _, test := range []struct {
		name, path, imported, want string
	}{
		{"when accept calls ESA", "functions/accept", "routinely/shared/esa", "functions/accept imports shared/esa"},
		{"when notify calls ESA", "functions/notify", "routinely/shared/esa", "functions/notify imports shared/esa"},
		{"when the steps know the queue", "shared/provision", "routinely/queue", "shared/provision imports queue"},
		{"when the command line tool calls ESA", "cmd/routinely/client", "routinely/shared/esa", "cmd/routinely/client imports shared/esa"},
		{"when the product imports the command line tool", "functions/accept", "routinely/cmd/routinely/client", "functions/accept imports cmd/routinely/client"},
		{"when a leaf imports a package", "shared/fault", "routinely/shared/logging", "shared/fault imports shared/logging"},
		{"when a local server imports the product", "deploy/local/mnsemu", "routinely/queue", "deploy/local/mnsemu imports queue"},
		{"when the MNS SDK has a second door", "functions/provision", "github.com/aliyun/aliyun-mns-go-sdk", "functions/provision imports github.com/aliyun/aliyun-mns-go-sdk"},
		{"when the ESA SDK has a second door", "shared/provision", "github.com/alibabacloud-go/esa-20240910/v2/client", "shared/provision imports github.com/alibabacloud-go/esa-20240910/v2/client"},
		{"when RAM's SDK has a second door", "cmd/routinely", "github.com/alibabacloud-go/ram-20150501/v2/client", "cmd/routinely imports github.com/alibabacloud-go/ram-20150501/v2/client"},
		{"when tea has a second door", "queue", "github.com/alibabacloud-go/tea/dara", "queue imports github.com/alibabacloud-go/tea/dara"},
		{"when the runtime SDK has a second door", "queue", "github.com/aliyun/fc-runtime-go-sdk/fccontext", "queue imports github.com/aliyun/fc-runtime-go-sdk/fccontext"},
		{"when Tablestore's SDK has a second door", "functions/accept", "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore", "functions/accept imports github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"},
		{"when the product imports bbolt", "shared/ledger", "go.etcd.io/bbolt", "shared/ledger imports go.etcd.io/bbolt"},
		{"when a local server imports an SDK", "deploy/local/mnsemu", "github.com/valyala/fasthttp", "deploy/local/mnsemu imports github.com/valyala/fasthttp"},
		{"when a local server reads the protocol with the SDK's types", "deploy/local/otsemu", "github.com/aliyun/aliyun-tablestore-go-sdk/tablestore/otsprotocol", "deploy/local/otsemu imports github.com/aliyun/aliyun-tablestore-go-sdk/tablestore/otsprotocol"},
		{"when a module is new", "queue", "example.com/new", "queue imports example.com/new, which is in no table"},
		{"when a package is new", "shared/util", "fmt", "shared/util: not in the table of packages"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := checkImports(goPackage{ImportPath: module + test.path, Imports: []string{test.imported}})
			if !slices.Equal(got, []string{test.want}) {
				t.Errorf("violations %q, want %q", got, test.want)
			}
		})
	}
	t.Run("when a package reads the environment or ends the process", func(t *testing.T) {
		const text = "package p\nfunc f() { _ = os.Getenv(`A`); g(os.Environ); os.Exit(1); _ = os.Args }"
		file, err := parser.ParseFile(token.NewFileSet(), "p.go", text, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := checkCalls(goPackage{ImportPath: module + "queue", Name: "queue"}, osCalls(file))
		want := []string{"queue calls os.Environ", "queue ends the process: only a command may", "queue calls os.Getenv"}
		if !slices.Equal(got, want) {
			t.Errorf("violations %q, want %q", got, want)
		}
	})
}

func TestImportTable(t *testing.T) {
	t.Run("has no cycle", func(t *testing.T) {
		for path := range mayImport {
			if strings.HasSuffix(path, "/...") {
				continue
			}
			if chain := cycle(path, nil); chain != nil {
				t.Errorf("cycle: %v", chain)
			}
		}
	})
	t.Run("names packages that it describes", func(t *testing.T) {
		for _, table := range []map[string][]string{mayImport, mayUse} {
			for name, patterns := range table {
				for _, pattern := range patterns {
					described := slices.ContainsFunc(slices.Collect(maps.Keys(mayImport)), func(path string) bool { return covers(pattern, path) || covers(path, pattern) })
					if !described {
						t.Errorf("%s: %s is not in the table of packages", name, pattern)
					}
				}
			}
		}
	})
}

// cycle follows the table and returns the chain that comes back to a package on it.
func cycle(path string, chain []string) []string {
	if slices.Contains(chain, path) {
		return append(chain, path)
	}
	for _, next := range mayImport[path] {
		if found := cycle(next, append(slices.Clone(chain), path)); found != nil && !strings.HasSuffix(next, "/...") {
			return found
		}
	}
	return nil
}
