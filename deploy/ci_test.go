package deploy_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// workflow is a workflow of GitHub Actions, as far as this project uses one.
type workflow struct {
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]struct {
		Needs       string            `yaml:"needs"`
		Environment string            `yaml:"environment"`
		Permissions map[string]string `yaml:"permissions"`
		Concurrency map[string]any    `yaml:"concurrency"`
		Steps       []struct {
			If, Uses, Run, ID string
			With, Env         map[string]string
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

func TestWorkflow(t *testing.T) {
	content := read(t, "docs", "how-to", "ci", "deploy.yml")
	var w workflow
	if err := yaml.Unmarshal(content, &w); err != nil {
		t.Fatal(err)
	}
	t.Run("tests, then deploys staging, then production", func(t *testing.T) {
		got := map[string][]string{}
		for name, job := range w.Jobs {
			got[name] = []string{job.Needs, job.Environment}
			for _, step := range job.Steps {
				for line := range strings.Lines(step.Run) {
					if strings.HasPrefix(line, "make ") {
						got[name] = append(got[name], strings.TrimSpace(line))
					}
				}
			}
		}
		want := map[string][]string{
			"test":       {"", "", "make test"},
			"staging":    {"test", "staging", "make deploy ENV=staging"},
			"production": {"staging", "production", "make deploy ENV=production CONFIRM=production"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("has only commands that exist", func(t *testing.T) {
		targets := string(read(t, "Makefile"))
		for name, job := range w.Jobs {
			for _, step := range job.Steps {
				for line := range strings.Lines(step.Run) {
					switch words := strings.Fields(line); words[0] {
					case "make":
						if !strings.Contains(targets, "\n"+words[1]+": ") {
							t.Errorf("%s: there is no target %s", name, words[1])
						}
					case "npm":
						if !strings.Contains(string(read(t, "deploy", "README.md")), strings.TrimSpace(line)) {
							t.Errorf("%s: the deployment page does not say %q", name, line)
						}
					case "printf":
						if !strings.HasSuffix(strings.TrimSpace(line), ">deploy/environments/"+name+".env") {
							t.Errorf("%s: %q", name, line)
						}
					case "rm":
					default:
						t.Errorf("%s: this test does not know %q", name, line)
					}
				}
			}
		}
	})
	t.Run("has every secret that a deployment wants, and no key that stays valid", func(t *testing.T) {
		want := map[string]string{
			"SETTINGS":                        "${{ vars.SETTINGS }}",
			"ALIBABA_CLOUD_ACCESS_KEY_ID":     "${{ steps.key.outputs.aliyun-access-key-id }}",
			"ALIBABA_CLOUD_ACCESS_KEY_SECRET": "${{ steps.key.outputs.aliyun-access-key-secret }}",
			"ALIBABA_CLOUD_SECURITY_TOKEN":    "${{ steps.key.outputs.aliyun-security-token }}",
		}
		for _, name := range []string{"ROUTINELY_AUTH", "ROUTINELY_CALLBACK_SECRETS", "ROUTINELY_MESSAGE_KEYS", "ROUTINELY_TOKEN"} {
			want[name] = "${{ secrets." + name + " }}"
		}
		for _, name := range []string{"staging", "production"} {
			for _, step := range w.Jobs[name].Steps {
				if !strings.Contains(step.Run, "make deploy") {
					continue
				}
				if diff := cmp.Diff(want, step.Env); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		}
	})
	t.Run("gets GitHub's token only where it deploys, and cuts no deployment off", func(t *testing.T) {
		if w.Permissions["id-token"] != "" || w.Jobs["test"].Permissions != nil {
			t.Error("the tests may get the token")
		}
		for _, name := range []string{"staging", "production"} {
			job := w.Jobs[name]
			if job.Permissions["id-token"] != "write" || job.Concurrency["group"] != name || job.Concurrency["cancel-in-progress"] != false {
				t.Errorf("%s: %v, %v", name, job.Permissions, job.Concurrency)
			}
		}
	})
}

func TestTrust(t *testing.T) {
	var policy struct {
		Version   string
		Statement []struct {
			Effect, Action string
			Principal      map[string][]string
			Condition      map[string]map[string]string
		}
	}
	content := read(t, "docs", "how-to", "ci", "trust.json")
	if err := json.Unmarshal(content, &policy); err != nil {
		t.Fatal(err)
	}
	if len(policy.Statement) != 1 || strings.Contains(string(content), "*") {
		t.Fatalf("%s", content)
	}
	one := policy.Statement[0]
	want := map[string]map[string]string{"StringEquals": {
		"oidc:iss": "https://token.actions.githubusercontent.com", "oidc:aud": "sts.aliyuncs.com", "oidc:sub": "repo:OWNER/REPOSITORY:environment:ENVIRONMENT",
	}}
	if diff := cmp.Diff(want, one.Condition); diff != "" || one.Action != "sts:AssumeRoleWithOIDC" || one.Effect != "Allow" {
		t.Errorf("%s may %s (-want +got):\n%s", one.Effect, one.Action, diff)
	}
	t.Run("is for the provider and the audience of the workflow and the page", func(t *testing.T) {
		workflow := string(read(t, "docs", "how-to", "ci", "deploy.yml"))
		for _, text := range []string{"audience: " + one.Condition["StringEquals"]["oidc:aud"], ":oidc-provider/github"} {
			if !strings.Contains(workflow, text) {
				t.Errorf("the workflow does not have %q", text)
			}
		}
		if !slices.Equal(one.Principal["Federated"], []string{"acs:ram::ACCOUNT_ID:oidc-provider/github"}) {
			t.Errorf("principal %v", one.Principal)
		}
	})
}
