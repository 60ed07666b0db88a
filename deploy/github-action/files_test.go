package githubaction_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// variable is the variable by which an input reaches the script.
func variable(input string) string {
	return "INPUT_" + strings.ReplaceAll(strings.ToUpper(input), "-", "_")
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestActionFile(t *testing.T) {
	a := readAction(t)
	step := a.Runs.Steps[0]
	var script strings.Builder
	for _, name := range []string{"preview.mjs", "comment.mjs", "name.mjs", "tool.mjs"} {
		script.WriteString(readFile(t, name))
	}
	t.Run("hands each input to the script", func(t *testing.T) {
		want := map[string]string{"ACTION_REPOSITORY": "${{ github.action_repository }}"}
		for name := range a.Inputs {
			want[variable(name)] = "${{ inputs." + name + " }}"
			if read := "input('" + strings.TrimPrefix(variable(name), "INPUT_") + "')"; !strings.Contains(script.String(), read) {
				t.Errorf("the script has no %s", read)
			}
		}
		if diff := cmp.Diff(want, step.Env); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("reads no other input", func(t *testing.T) {
		for _, match := range regexp.MustCompile(`input\('([A-Z0-9_]+)'\)`).FindAllStringSubmatch(script.String(), -1) {
			if step.Env["INPUT_"+match[1]] == "" {
				t.Errorf("there is no input %s", match[1])
			}
		}
	})
	t.Run("has no expression in the script", func(t *testing.T) {
		if a.Runs.Using != "composite" || step.Shell != "sh" || strings.Contains(step.Run, "${{") {
			t.Errorf("%s: %s", step.Shell, step.Run)
		}
	})
	t.Run("has the outputs of the script", func(t *testing.T) {
		for name, output := range a.Outputs {
			if output.Value != "${{ steps."+step.ID+".outputs."+name+" }}" || output.Description == "" {
				t.Errorf("%s: %+v", name, output)
			}
		}
		if names := slices.Sorted(maps.Keys(a.Outputs)); !slices.Equal(names, []string{"job-id", "name", "url"}) {
			t.Errorf("outputs %q", names)
		}
	})
}

func TestInputsOnThePages(t *testing.T) {
	a := readAction(t)
	for _, page := range []string{"previews.md", "previews.zh-CN.md"} {
		t.Run(page, func(t *testing.T) {
			_, table, _ := strings.Cut(readFile(t, "..", "..", "docs", "how-to", page), "<!-- inputs -->")
			table, _, found := strings.Cut(table, "<!-- /inputs -->")
			rows := regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| (?:`([^`]+)`)?").FindAllStringSubmatch(table, -1)
			got, want := map[string]string{}, map[string]string{}
			for _, row := range rows {
				got[row[1]] = row[2]
			}
			for name, input := range a.Inputs {
				want[name] = input.Default
				if strings.Contains(input.Default, "${{") {
					want[name] = ""
				}
			}
			if diff := cmp.Diff(want, got); diff != "" || !found {
				t.Errorf("-action +page:\n%s", diff)
			}
		})
	}
}

// workflow is what is read of a workflow.
type workflow struct {
	On          map[string]struct{ Types []string }
	Concurrency struct {
		Group            string
		CancelInProgress *bool `yaml:"cancel-in-progress"`
	}
	Permissions map[string]string
	Jobs        map[string]struct {
		If          string
		Permissions map[string]string
		Steps       []struct {
			Uses, Run, If string
			With, Env     map[string]string
		}
	}
}

func TestExampleWorkflow(t *testing.T) {
	text := readFile(t, "..", "..", "docs", "how-to", "previews", "preview.yml")
	var w workflow
	if err := yaml.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(err)
	}
	a, job := readAction(t), w.Jobs["preview"]
	t.Run("runs for pull requests alone, and when they are closed", func(t *testing.T) {
		if len(w.On) != 1 || !slices.Equal(w.On["pull_request"].Types, []string{"opened", "reopened", "synchronize", "closed"}) {
			t.Errorf("on %v", w.On)
		}
	})
	t.Run("runs once at a time for each pull request, and is never cancelled", func(t *testing.T) {
		if c := w.Concurrency; !strings.Contains(c.Group, "github.event.pull_request.number") || c.CancelInProgress == nil || *c.CancelInProgress {
			t.Errorf("%+v", c)
		}
	})
	t.Run("does not run for forks", func(t *testing.T) {
		if len(w.Jobs) != 1 || job.If != "github.event.pull_request.head.repo.full_name == github.repository" {
			t.Errorf("if %s", job.If)
		}
	})
	t.Run("may do as little as possible", func(t *testing.T) {
		if diff := cmp.Diff(map[string]string{"contents": "read", "pull-requests": "write"}, job.Permissions); diff != "" || len(w.Permissions) > 0 || !strings.Contains(text, "\npermissions: {}\n") {
			t.Errorf("%v, %s", w.Permissions, diff)
		}
	})
	t.Run("shows the token to the action alone, and no script has an expression", func(t *testing.T) {
		if strings.Count(text, "secrets.") != 1 {
			t.Error("a secret is used in several places")
		}
		for _, step := range job.Steps {
			if strings.Contains(step.Run, "${{") {
				t.Errorf("an expression in %s", step.Run)
			}
		}
	})
	t.Run("gives the action the inputs that it has, and all that are required", func(t *testing.T) {
		last := job.Steps[len(job.Steps)-1]
		if !strings.Contains(last.Uses, "/deploy/github-action@"+last.With["version"]) || !strings.Contains(last.With["token"], "secrets.") || last.If != "" {
			t.Errorf("%+v", last)
		}
		for name := range last.With {
			if _, is := a.Inputs[name]; !is {
				t.Errorf("there is no input %s", name)
			}
		}
		for name, input := range a.Inputs {
			if input.Required && last.With[name] == "" {
				t.Errorf("the input %s is missing", name)
			}
		}
	})
	t.Run("builds nothing for a pull request that is closed", func(t *testing.T) {
		for _, step := range job.Steps[:len(job.Steps)-1] {
			if step.If != "github.event.action != 'closed'" {
				t.Errorf("%s%s: if %s", step.Uses, step.Run, step.If)
			}
		}
	})
}
