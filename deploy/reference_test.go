package deploy_test

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"routinely/queue"
	"routinely/shared/api"
	"routinely/shared/callback"
	"routinely/shared/config"
	"routinely/shared/ledger"
	"routinely/shared/routine"
)

// reference returns a page of docs/reference in both languages.
func reference(name string) []string {
	return []string{"docs/reference/" + name + ".md", "docs/reference/" + name + ".zh-CN.md"}
}

// reader is a function or a command of the tool that reads variables.
type reader struct {
	name string
	config.Configuration
}

// readers are all of them: the functions, then the commands.
func readers() []reader {
	return []reader{
		{"accept", &config.Accept{}},
		{"provision", &config.Provision{}},
		{"notify", &config.Notify{}},
		{"janitor", &config.Janitor{}},
		{"routinely setup", &config.Setup{}},
		{"routinely setup rights", &config.Rights{}},
		{"routinely doctor", &config.Doctor{}},
		{"routinely setup alerts", &config.Logs{}},
	}
}

// everyFunction stands for the four functions.
const everyFunction = "every function"

// readBy names those who read a variable.
func readBy(name string) string {
	var names []string
	for _, r := range readers() {
		if slices.ContainsFunc(config.Variables(r), func(v config.Variable) bool { return v.Name == name }) {
			names = append(names, "`"+r.name+"`")
		}
	}
	return strings.Replace(strings.Join(names, ", "), "`accept`, `provision`, `notify`, `janitor`", everyFunction, 1)
}

// wantedVariables returns the rows that the table of variables must have.
func wantedVariables() [][]string {
	var rows [][]string
	seen := map[string]bool{}
	var all []config.Variable
	for _, r := range readers() {
		all = append(all, config.Variables(r)...)
	}
	for _, v := range all {
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
		rows = append(rows, []string{"`" + v.Name + "`", v.Type, preset, v.Limits, readBy(v.Name), v.Doc})
	}
	return rows
}

func TestConfigurationTables(t *testing.T) {
	translated := map[string]string{"": "", "above 0": "大于 0", "0 or more": "不小于 0", "at least 1": "至少 1", "0, or at least 720h": "0，或至少 720h"}
	for i, page := range reference("configuration") {
		t.Run(page+" describes every variable as the code does", func(t *testing.T) {
			got, want := tableIn(t, page, "configuration"), wantedVariables()
			if i > 0 { // a translation has its own words for the meaning
				for n := range min(len(got), len(want)) {
					last := len(want[n]) - 1
					if len(got[n]) == len(want[n]) && got[n][last] != "" {
						want[n][last] = got[n][last]
					}
					want[n][3] = translated[want[n][3]]
					want[n][4] = strings.Replace(want[n][4], everyFunction, "所有 FC 函数", 1)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-code +document:\n%s\nthe whole table:", diff)
				for _, row := range wantedVariables() {
					t.Log("| " + strings.Join(row, " | ") + " |")
				}
			}
		})
	}
}

// constants calls visit with each constant of a package that is declared with a value, without those of its tests.
func constants(t *testing.T, folder string, visit func(name, typeName string, value ast.Expr)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if spec, ok := node.(*ast.ValueSpec); ok {
				for i, value := range spec.Values {
					typeName, _ := spec.Type.(*ast.Ident)
					visit(spec.Names[i].Name, fmt.Sprint(typeName), value)
				}
			}
			return true
		})
	}
}

// wordsOf returns the texts of a package's constants of a type.
func wordsOf(t *testing.T, folder, typeName string) []string {
	t.Helper()
	var out []string
	constants(t, folder, func(_, of string, value ast.Expr) {
		if text, ok := value.(*ast.BasicLit); ok && of == typeName {
			word, _ := strconv.Unquote(text.Value)
			out = append(out, word)
		}
	})
	return out
}

// numberOf returns a constant of a package that is a number or a duration, this in nanoseconds.
func numberOf(t *testing.T, folder, name string) int64 {
	t.Helper()
	var out int64
	constants(t, folder, func(found, _ string, value ast.Expr) {
		if found != name {
			return
		}
		units := strings.NewReplacer("time.Hour", "3600000000000", "time.Minute", "60000000000", "time.Second", "1000000000")
		result, err := types.Eval(token.NewFileSet(), nil, token.NoPos, units.Replace(types.ExprString(value)))
		if err != nil {
			t.Fatalf("%s %s: %v", folder, name, err)
		}
		out, _ = constant.Int64Val(result.Value)
	})
	if out == 0 {
		t.Fatalf("%s has no constant %s", folder, name)
	}
	return out
}

// fields returns the names of a request's fields in the contract, which the tests of accept compare with the code.
func fields(t *testing.T) []string {
	t.Helper()
	var contract struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `yaml:"properties"`
			} `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(read(t, "functions/accept/openapi.yaml"), &contract); err != nil {
		t.Fatal(err)
	}
	return slices.Collect(maps.Keys(contract.Components.Schemas["RoutineRequest"].Properties))
}

func TestWordsOfTheAPI(t *testing.T) {
	words := map[string][]string{
		"fields":   fields(t),
		"claims":   wordsOf(t, "shared/routine", "ClaimState"),
		"states":   wordsOf(t, "shared/routine", "State"),
		"waiting":  wordsOf(t, "shared/routine", "WaitingFor"),
		"outcomes": wordsOf(t, "functions/provision", "outcome"),
		"kinds":    wordsOf(t, "shared/fault", "Kind"),
	}
	for _, page := range reference("api") {
		for table, want := range words {
			t.Run(page+" has the "+table+" of the code", func(t *testing.T) {
				got := unquoted(tableIn(t, page, table))
				slices.Sort(got)
				slices.Sort(want)
				if diff := cmp.Diff(want, got); diff != "" || len(want) < 5 {
					t.Errorf("-code +document:\n%s", diff)
				}
			})
		}
	}
}

func TestMessages(t *testing.T) {
	var contract struct {
		Schemas map[string]any `yaml:"x-schemas"`
	}
	if err := yaml.Unmarshal(read(t, "functions/accept/openapi.yaml"), &contract); err != nil {
		t.Fatal(err)
	}
	var schemas []string
	for name := range contract.Schemas {
		schemas = append(schemas, "GET /schemas/"+name+".json")
	}
	words := map[string][]string{"schemas": schemas, "types": {queue.TypeJob, queue.TypeCallback, queue.TypeUnverified}}
	for _, page := range reference("messages") {
		for table, want := range words {
			t.Run(page+" has the "+table+" of the code", func(t *testing.T) {
				got := unquoted(tableIn(t, page, table))
				slices.Sort(got)
				slices.Sort(want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("-code +document:\n%s", diff)
				}
			})
		}
	}
}

func TestLimits(t *testing.T) {
	trigger := list(properties(t, read(t, "s.yaml"), account).provision["triggers"])[0]
	jobs, err := strconv.ParseInt(fmt.Sprint(at(trigger, "triggerConfig", "runOptions", "batchWindow", "CountBasedWindow")), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	// In the order of the page's rows.
	want := []int64{
		routine.MaxName, routine.MaxCallbackURL, queue.MaxEnvelopeBytes, queue.MaxMessageBytes, api.MaxBatchBytes, routine.MaxCode, queue.MaxMessageBytes,
		api.MaxBatch, api.MaxIDs, api.MaxReason, numberOf(t, "functions/accept", "maxKey"), ledger.MaxPage,
		numberOf(t, "functions/accept", "maxWait") / int64(time.Second), numberOf(t, "functions/accept", "maxWaits"),
		jobs, numberOf(t, "functions/provision", "maxBegins"), int64(callback.MaxAttempts),
		numberOf(t, "functions/janitor", "silence") / int64(time.Hour),
		int64(queue.JobQueueAttributes().VisibilityTimeout), int64(queue.JobQueueAttributes().MessageRetentionPeriod),
	}
	for _, page := range reference("limits") {
		t.Run(page+" has the numbers of the code", func(t *testing.T) {
			var got []int64
			for _, row := range tableIn(t, page, "limits") {
				digits := regexp.MustCompile(`^[0-9,]+`).FindString(row[1])
				n, err := strconv.ParseInt(strings.ReplaceAll(digits, ",", ""), 10, 64)
				if err != nil {
					t.Errorf("%s: %v", row[0], err)
				}
				got = append(got, n)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-code +document:\n%s", diff)
			}
		})
	}
}
