package deploy_test

import (
	"fmt"
	"go/ast"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/localtest"
)

// inlined is a piece of code in a line, or a line of a block.
var inlined = regexp.MustCompile("`([^`\n]+)`|(?m)^(.+)$")

// codeLines returns every line of a document's code, inline or in blocks.
func codeLines(document string) []string {
	var out []string
	for _, code := range inCode.FindAllString(document, -1) {
		for _, match := range inlined.FindAllStringSubmatch(strings.Trim(code, "`"), -1) {
			out = append(out, strings.TrimSpace(match[1]+match[2]))
		}
	}
	return out
}

// endpoint is a request as documents write it; what follows a question mark or a parameter's braces is not compared.
var endpoint = regexp.MustCompile(`^(GET|POST|DELETE) (/[^\s?]*)`)

// schemaPath is the path of a schema; TestMessages looks at the names.
var schemaPath = regexp.MustCompile(`^/schemas/[a-z]+\.json$`)

// missingEndpoints returns the requests that a document names and the contract does not have.
func missingEndpoints(document string, operations map[string]bool) []string {
	var out []string
	for _, line := range codeLines(document) {
		match := endpoint.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		if path := schemaPath.ReplaceAllString(match[2], "/schemas/{schema}.json"); !operations[match[1]+" "+path] {
			out = append(out, match[1]+" "+match[2])
		}
	}
	return distinct(out)
}

// operations are the requests of openapi.yaml.
func operations(t *testing.T) map[string]bool {
	t.Helper()
	var contract struct {
		Paths map[string]map[string]any `yaml:"paths"`
	}
	if err := yaml.Unmarshal(read(t, "functions/accept/openapi.yaml"), &contract); err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for path, methods := range contract.Paths {
		for method := range methods {
			if method != "parameters" { // of all methods of the path
				out[strings.ToUpper(method)+" "+path] = true
			}
		}
	}
	if len(out) < 15 {
		t.Fatalf("%d operations were found", len(out))
	}
	return out
}

func TestEndpoints(t *testing.T) {
	known := operations(t)
	for _, name := range documents(t, root) {
		t.Run(name+" names requests of the contract", func(t *testing.T) {
			if missing := missingEndpoints(string(read(t, name)), known); len(missing) > 0 {
				t.Errorf("openapi.yaml has no %q", missing)
			}
		})
	}
	for _, name := range reference("api") {
		t.Run(name+" names every request", func(t *testing.T) {
			named := strings.Join(codeLines(string(read(t, name))), "\n")
			for operation := range known {
				if !strings.Contains(named, operation) {
					t.Errorf("%s is not named", operation)
				}
			}
		})
	}
	t.Run("are looked for in code", func(t *testing.T) {
		document := "GET /x and `GET /healthz` and `GET /nowhere?a=b`\n```sh\nPOST /gone\n```\n"
		if got := missingEndpoints(document, known); !slices.Equal(got, []string{"GET /nowhere", "POST /gone"}) {
			t.Errorf("got %q", got)
		}
	})
}

// tool is the command line tool, asked for its help.
type tool struct {
	binary string
	helps  map[string]string
}

func newTool(t *testing.T) *tool {
	t.Helper()
	dir, err := localtest.Build("cmd/routinely")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &tool{filepath.Join(dir, "routinely"), map[string]string{}}
}

// help is what a command says of itself.
func (c *tool) help(words ...string) (string, error) {
	key := strings.Join(words, " ")
	if text, known := c.helps[key]; known {
		return text, nil
	}
	out, err := exec.Command(c.binary, append(words, "--help")...).CombinedOutput()
	c.helps[key] = string(out)
	return string(out), err
}

// commands returns all commands that do something themselves, with the words before them.
func (c *tool) commands(words ...string) ([]string, error) {
	text, err := c.help(words...)
	if err != nil {
		return nil, err
	}
	_, text, found := strings.Cut(text, "\nAvailable Commands:\n")
	if !found {
		return []string{strings.Join(words, " ")}, nil
	}
	listed, _, _ := strings.Cut(text, "\n\n")
	var out []string
	for line := range strings.Lines(listed) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "help" || name == "completion" { // of cobra, with commands for each shell
			continue
		}
		below, err := c.commands(append(slices.Clone(words), name)...)
		if err != nil {
			return nil, err
		}
		out = append(out, below...)
	}
	return out, nil
}

// flag is a flag on a command line.
var flag = regexp.MustCompile(`^(--?[a-z][a-z-]*)`)

// flagIn is a flag at the beginning of its line in a help text, perhaps after its short form.
var flagIn = regexp.MustCompile(`(?m)^  (?:    |-[a-z], )(--[a-z][a-z-]*)`)

// flags are those that a command has, or with global set those that all have, in their order.
func (c *tool) flags(command string, global bool) ([]string, error) {
	text, err := c.help(strings.Fields(command)...)
	own, all, _ := strings.Cut(text, "\nGlobal Flags:\n")
	if global {
		own = "\nFlags:\n" + all
	}
	_, own, _ = strings.Cut(own, "\nFlags:\n")
	var out []string
	for _, match := range flagIn.FindAllStringSubmatch(own, -1) {
		if match[1] != "--help" {
			out = append(out, "`"+match[1]+"`")
		}
	}
	return out, err
}

// flagTable returns the rows that the table of flags must have: those of all commands, then each command that has some of its own.
func (c *tool) flagTable(t *testing.T, commands []string) (rows [][]string) {
	t.Helper()
	add := func(name string, flags []string, err error) {
		if err != nil {
			t.Fatal(err)
		}
		if len(flags) > 0 {
			rows = append(rows, []string{name, strings.Join(flags, " ")})
		}
	}
	flags, err := c.flags(commands[0], true)
	add("`routinely`", flags, err)
	seen := map[string]bool{}
	for _, command := range commands {
		group, _, _ := strings.Cut(command, " ") // may do something itself, as setup does
		for _, one := range []string{group, command} {
			if !seen[one] {
				seen[one] = true
				flags, err := c.flags(one, false)
				add("`routinely "+one+"`", flags, err)
			}
		}
	}
	return rows
}

// check returns what is wrong with a command line of the tool: a command or a flag that it does not have.
func (c *tool) check(line string) string {
	words := strings.Fields(line)
	var command []string
	for _, word := range words {
		text, err := c.help(command...)
		if err != nil {
			return fmt.Sprintf("%q: %v", line, err)
		}
		if !strings.Contains(text, "\n  "+word+" ") {
			break
		}
		command = append(command, word)
	}
	if len(command) == 0 {
		return fmt.Sprintf("%q: there is no such command", line)
	}
	text, err := c.help(command...)
	if err != nil {
		return fmt.Sprintf("%q: %v", line, err)
	}
	for _, word := range words[len(command):] {
		if match := flag.FindString(word); match != "" && !strings.Contains(text, match+" ") && !strings.Contains(text, match+", ") {
			return fmt.Sprintf("%q: %s has no flag %s", line, strings.Join(command, " "), match)
		}
	}
	return ""
}

// commandLine is a call of the tool in a document's code.
var commandLine = regexp.MustCompile(`(?:^|\s)(?:go run \./cmd/routinely|(?:\./)?routinely) ([a-z][^|#]*)`)

// toolCalls are the calls of the tool in a document.
func toolCalls(document string) []string {
	var out []string
	for _, line := range codeLines(document) {
		if match := commandLine.FindStringSubmatch(strings.TrimPrefix(line, "$ ")); match != nil {
			out = append(out, match[1])
		}
	}
	return out
}

// variableRead is where the tool reads a variable, named by a text or a constant of the package.
var variableRead = regexp.MustCompile(`\.Variable\(("?)(\w+)"?\)`)

func TestVariablesOfTheTool(t *testing.T) {
	var files, want []string
	for _, pattern := range []string{"cmd/routinely/*.go", "cmd/routinely/*/*.go"} {
		found, err := fs.Glob(os.DirFS(root), pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		for _, call := range variableRead.FindAllStringSubmatch(string(read(t, file)), -1) {
			if call[1] != "" {
				want = append(want, call[2])
				continue
			}
			constants(t, path.Dir(file), func(name, _ string, value ast.Expr) {
				if text, ok := value.(*ast.BasicLit); ok && name == call[2] {
					want = append(want, strings.Trim(text.Value, `"`))
				}
			})
		}
	}
	want = distinct(want)
	for _, name := range reference("cli") {
		t.Run(name+" has each of them", func(t *testing.T) {
			if diff := cmp.Diff(want, unquoted(tableIn(t, name, "variables"))); diff != "" || len(want) < 5 {
				t.Errorf("-tool +document:\n%s", diff)
			}
		})
	}
}

func TestCommandLines(t *testing.T) {
	c := newTool(t)
	for _, name := range documents(t, root) {
		t.Run(name+" calls the tool as it is", func(t *testing.T) {
			for _, line := range toolCalls(string(read(t, name))) {
				if wrong := c.check(line); wrong != "" {
					t.Error(wrong)
				}
			}
		})
	}
	commands, err := c.commands()
	if err != nil || len(commands) < 20 {
		t.Fatalf("commands %q, %v", commands, err)
	}
	exits, err := c.help("exit-codes")
	codes := regexp.MustCompile(`(?m)^ +(\d+)  `).FindAllStringSubmatch(exits, -1)
	if err != nil || len(codes) < 10 {
		t.Fatalf("exit codes %q, %v", codes, err)
	}
	for _, name := range reference("cli") {
		t.Run(name+" names every command and exit code", func(t *testing.T) {
			document := string(read(t, name))
			for _, command := range commands {
				if !strings.Contains(document, "`routinely "+command) {
					t.Errorf("the command %s is missing", command)
				}
			}
			for _, code := range codes {
				if !strings.Contains(document, "\n| "+code[1]+" | ") {
					t.Errorf("exit code %s is missing", code[1])
				}
			}
		})
	}
	for _, name := range reference("cli") {
		t.Run(name+" has the flags of each command", func(t *testing.T) {
			want := c.flagTable(t, commands)
			if diff := cmp.Diff(want, tableIn(t, name, "flags")); diff != "" || len(want) < 20 {
				t.Errorf("-tool +document:\n%s\nthe whole table:", diff)
				for _, row := range want {
					t.Log("| " + strings.Join(row, " | ") + " |")
				}
			}
		})
	}
	t.Run("that are wrong are found", func(t *testing.T) {
		for line, want := range map[string]string{
			"submit --nome x": "submit has no flag --nome", "dead-letters list --code x": "", "dance": "no such command",
		} {
			if wrong := c.check(line); (want == "") != (wrong == "") || !strings.Contains(wrong, want) {
				t.Errorf("%q: %q, want %q", line, wrong, want)
			}
		}
	})
}
