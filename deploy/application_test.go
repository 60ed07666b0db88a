package deploy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"routinely/deploy/artifact"
)

// projects are two projects of the application, by name: the answers to what `s init` asks.
var projects = map[string]map[string]string{
	"china": {
		"region": "cn-hangzhou", "accountId": "1234567890123456", "prefix": "routinely-cn", "tablestoreInstance": "routinely-07",
		"esaEndpoint": "esa.cn-hangzhou.aliyuncs.com", "deletion": "never",
	},
	"international": {
		"region": "ap-southeast-1", "accountId": "6543210987654321", "prefix": "routinely-sg", "tablestoreInstance": "routinely-08",
		"esaEndpoint": "esa.ap-southeast-1.aliyuncs.com", "deletion": "expired-too",
	},
}

// applicationFiles are the files of the application with functions that are named only, by path.
func applicationFiles(t *testing.T) map[string]string {
	t.Helper()
	var functions []artifact.File
	for _, name := range artifact.Functions() {
		functions = append(functions, artifact.File{Name: name + ".zip", Content: []byte(name)})
	}
	files, err := artifact.Application(os.DirFS(root), "v0.2.0", functions)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, file := range files {
		out[file.Name] = string(file.Content)
	}
	return out
}

func TestApplication(t *testing.T) {
	files := applicationFiles(t)
	var publish map[string]any
	if err := yaml.Unmarshal([]byte(files["publish.yaml"]), &publish); err != nil {
		t.Fatal(err)
	}
	t.Run("presents itself", func(t *testing.T) {
		for name, want := range map[string]any{"Edition": "3.0.0", "Type": "Project", "Name": "routinely", "Version": "0.2.0"} {
			if publish[name] != want {
				t.Errorf("%s is %v, want %v", name, publish[name], want)
			}
		}
		for _, name := range []string{"Provider", "Description", "HomePage", "Tags", "Category", "Service"} {
			if publish[name] == nil {
				t.Errorf("%s is missing", name)
			}
		}
	})
	t.Run("asks for each parameter that its files have, and for no secret", func(t *testing.T) {
		used := map[string]bool{}
		for _, name := range []string{"src/s.yaml", "src/settings.env.stpl"} {
			for _, found := range regexp.MustCompile(`{{ (\w+) }}`).FindAllStringSubmatch(files[name], -1) {
				used[found[1]] = true
			}
		}
		delete(used, "access") // the tool asks for it
		asked := slices.Sorted(maps.Keys(object(at(publish, "Parameters", "properties"))))
		if diff := cmp.Diff(slices.Sorted(maps.Keys(used)), asked); diff != "" {
			t.Errorf("-used +asked:\n%s", diff)
		}
		var required []string
		for _, name := range list(at(publish, "Parameters", "required")) {
			required = append(required, fmt.Sprint(name))
		}
		if diff := cmp.Diff(asked, distinct(required)); diff != "" {
			t.Errorf("-asked +required:\n%s", diff)
		}
		if at(publish, "Parameters", "additionalProperties") != false {
			t.Error("it takes parameters that it does not have")
		}
		for _, name := range asked {
			if regexp.MustCompile(`(?i)secret|token|auth|key`).MatchString(name) {
				t.Errorf("asks for %s", name)
			}
		}
	})
	t.Run("deploys what s.yaml deploys, without Go", func(t *testing.T) {
		if strings.Contains(files["src/s.yaml"], "go run") {
			t.Error("it runs Go")
		}
		for _, name := range artifact.Functions() {
			if !strings.Contains(files["src/s.yaml"], "code: ./code/"+name+".zip") || files["src/code/"+name+".zip"] != name {
				t.Errorf("%s is not uploaded", name)
			}
		}
	})
	t.Run("becomes projects that the tool verifies", func(t *testing.T) {
		p := newPage(t)
		p.install()
		p.prepare()
		for name, answers := range projects {
			p.project(name, answers, files)
		}
	})
}

// project makes a project of the application with the real tool, lets the tool verify it, and compares it with what s.yaml deploys with the
// same settings.
func (p *page) project(name string, answers, files map[string]string) {
	p.t.Helper()
	source := p.file("application-" + name)
	for path, content := range files {
		path = filepath.Join(source, filepath.FromSlash(path))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			p.t.Fatal(err)
		}
	}
	parameters, err := json.Marshal(answers)
	if err != nil {
		p.t.Fatal(err)
	}
	folder := p.file("project-" + name)
	p.in(p.dir, "init", "routinely", "-d", folder, "--uri", source, "-a", "default", "--no-overwrite", "--parameters", string(parameters))
	p.in(folder, "verify")
	settings, err := os.ReadFile(filepath.Join(folder, "settings.env"))
	if err != nil {
		p.t.Fatal(err)
	}
	environ := maps.Clone(account)
	maps.Copy(environ, exports("```sh\n"+string(settings)+"```\n"))
	if environ["ROUTINELY_PREFIX"] != answers["prefix"] || environ["ROUTINELY_DELETE"] != answers["deletion"] {
		p.t.Errorf("settings.env has\n%s", settings)
	}
	content, err := os.ReadFile(filepath.Join(folder, "s.yaml"))
	if err != nil {
		p.t.Fatal(err)
	}
	// Whatever the shell says, a project keeps to its own names.
	got, err := render(content, with("ROUTINELY_PREFIX", "another"))
	if err != nil {
		p.t.Fatal(err)
	}
	want, err := render(read(p.t, "s.yaml"), environ)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, function := range object(want["resources"]) {
		delete(object(function), "actions")
		props := object(at(function, "props"))
		props["code"] = strings.Replace(fmt.Sprint(props["code"]), "./dist/", "./code/", 1) + ".zip"
	}
	if diff := cmp.Diff(want["resources"], got["resources"]); diff != "" {
		p.t.Errorf("%s: -s.yaml +project:\n%s", name, diff)
	}
}

// in runs the tool in a folder, with the secrets that a deployment has.
func (p *page) in(folder string, args ...string) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.file("bin/s"), args...)
	cmd.Dir = folder
	cmd.Env = p.environ("AccountID=1", "AccessKeyID=id", "AccessKeySecret=secret")
	for _, name := range []string{"ROUTINELY_AUTH", "ROUTINELY_CALLBACK_SECRETS", "ROUTINELY_MESSAGE_KEYS"} {
		cmd.Env = append(cmd.Env, name+"="+account[name])
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("s %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
