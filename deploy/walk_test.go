package deploy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/localtest"
	"routinely/deploy/local/otsemu"
	"routinely/deploy/sim/logs"
	"routinely/deploy/sim/management"
)

// page is deploy/README.md, followed by somebody who types its commands and has local servers instead of the cloud.
type page struct {
	t    *testing.T
	text string
	// dir has a copy of the repository in work, the programs that the page installs in bin, and the tool's files in tool.
	dir                       string
	account                   *management.Server
	logs                      *logs.Server
	mns, ots, esa, management string
	logService                string
	deployed                  []componentCall
	// platform is the API of the platform that runs them, once they run.
	platform http.Handler
}

// componentCall is what the component was told to do, see testdata/fc3/index.js.
type componentCall struct {
	Command, Resource string
	Props             map[string]any
	// Temporary says whether the tool has the token of a temporary key.
	Temporary bool
}

// block is a block of code with its language.
var block = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// blocks are the blocks of a language in a document; commands are of the language sh, what they write has none.
func blocks(document, language string) []string {
	var out []string
	for _, match := range block.FindAllStringSubmatch(document, -1) {
		if match[1] == language {
			out = append(out, match[2])
		}
	}
	return out
}

// walkTime bounds all commands together: they build the programs, and a job that is lost would be waited for.
const walkTime = 5 * time.Minute

func newPage(t *testing.T) *page {
	t.Helper()
	p := &page{t: t, text: string(read(t, "deploy", "README.md")), dir: t.TempDir()}
	p.account = management.New(localtest.AccessKeyID, localtest.AccessKeySecret)
	p.account.Attached["user/routinely-deployer"] = nil
	p.management = localtest.Listen(t, p.account, nil)
	project := exports(p.text)["ROUTINELY_LOG_PROJECT"]
	p.logs = logs.New(localtest.AccessKeyID, localtest.AccessKeySecret, project, "default-logs")
	p.logService = localtest.Listen(t, p.logs, nil, project+".127.0.0.1")
	_, p.mns = localtest.MNS(t, nil)
	_, p.esa = localtest.ESA(t, nil, 0)
	tables, err := otsemu.New(otsemu.Config{
		InstanceName: exports(p.text)["ROUTINELY_TABLESTORE_INSTANCE"], AccessKeyID: localtest.AccessKeyID, AccessKeySecret: localtest.AccessKeySecret,
		Dir: t.TempDir(), NoSync: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tables.Close(); err != nil {
			t.Error(err)
		}
	})
	p.ots = localtest.Listen(t, tables, tables.Stop)
	return p
}

// environ is that of the person's shell. Names that come twice have the last value.
func (p *page) environ(more ...string) []string {
	bin := filepath.Join(p.dir, "bin")
	return append(append(os.Environ(),
		"PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"), "GOBIN="+bin,
		// So what is built is the same wherever the copy lies, and is built once.
		"CGO_ENABLED=0", "GOFLAGS=-trimpath", "NPM_CONFIG_PREFIX="+p.dir, "NPM_CONFIG_UPDATE_NOTIFIER=false",
		// The tool keeps its files there, and looks for no newer version of itself.
		"serverless_devs_config_home="+filepath.Join(p.dir, "tool"), "NODE_ENV=test", "CI=1", "WALK_CALLS="+p.file("calls"),
		"ROUTINELY_MNS_ENDPOINT="+p.mns, "ROUTINELY_TABLESTORE_ENDPOINT="+p.ots, "ROUTINELY_TABLESTORE_MANAGEMENT_ENDPOINT="+p.management,
		"ROUTINELY_LOG_ENDPOINT="+p.logService, "ROUTINELY_RAM_ENDPOINT="+p.management, "ROUTINELY_RESOURCE_MANAGER_ENDPOINT="+p.management,
	), more...)
}

func (p *page) file(name string) string { return filepath.Join(p.dir, name) }

// install skips the test where the tool cannot be installed; the page installs it again, as it says.
func (p *page) install() {
	p.t.Helper()
	for _, program := range []string{"npm", "bash", "curl", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			p.t.Skipf("the commands of the page cannot be run: %v", err)
		}
	}
	command := regexp.MustCompile(`npm install -g \S+`).FindString(p.text)
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	words := strings.Fields(command)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = p.environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Skipf("%q does not work here, so the real tool is not available: %v\n%s", command, err, out)
	}
}

// copyRepository copies the files of the repository to a new folder, without what was built.
func copyRepository(t *testing.T, to string) {
	t.Helper()
	repository := os.DirFS(root)
	err := fs.WalkDir(repository, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", ".local", "dist"}, path):
			return fs.SkipDir
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, path), 0o755)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		content, err := fs.ReadFile(repository, path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, path), content, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// prepare copies the repository and puts the replacement of the component where the tool keeps the real one.
func (p *page) prepare() {
	p.t.Helper()
	copyRepository(p.t, p.file("work"))
	component := filepath.Join(p.dir, "tool", ".s", "components", "devsapp.cn", "v3", "fc3@0.1.22")
	err := os.MkdirAll(component, 0o755)
	for name, content := range map[string]string{
		"index.js": string(read(p.t, "deploy", "testdata", "fc3", "index.js")), "schema.json": string(read(p.t, "deploy", "testdata", "fc3-schema.json")),
		"package.json": `{"name":"fc3","version":"0.1.22","main":"index.js"}`,
		".s.lock":      fmt.Sprintf(`{"version":"0.1.22","lastUpdateCheck":%d}`, time.Now().UnixMilli()),
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(component, name), []byte(content), 0o644))
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// follow runs all commands in one shell, which ends at the first that fails, and returns what they wrote. Where the page leaves something
// to be filled in, it is filled in: the key, and the address of accept, which there is once the functions run that were deployed.
func (p *page) follow() string {
	p.t.Helper()
	address := localtest.Listen(p.t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		url, err := p.start()
		if err != nil {
			p.t.Error(err)
			return
		}
		_, _ = fmt.Fprint(w, url)
	}), nil)
	script := "set -euo pipefail\n" + strings.NewReplacer(
		"ACCESS_KEY_ID=…", "ACCESS_KEY_ID="+localtest.AccessKeyID, "ACCESS_KEY_SECRET=…", "ACCESS_KEY_SECRET="+localtest.AccessKeySecret,
		"https://….fcapp.run", "$(curl -sS "+address+")",
	).Replace(strings.Join(blocks(p.text, "sh"), "\n"))
	if strings.Contains(script, "…") {
		p.t.Fatalf("the page leaves something open that this test does not know:\n%s", script)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), walkTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir, cmd.Env = p.file("work"), p.environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("a command of the page failed: %v\n%s", err, out)
	}
	return string(out)
}

// calls reads what the component was told to do.
func (p *page) calls() ([]componentCall, error) {
	content, err := os.ReadFile(p.file("calls"))
	if err != nil {
		return nil, err
	}
	var out []componentCall
	for line := range strings.Lines(string(content)) {
		var call componentCall
		if err := json.Unmarshal([]byte(line), &call); err != nil {
			return nil, err
		}
		out = append(out, call)
	}
	return out, nil
}

// tool runs the tool in the copy, with what it needs of the page's variables and what is added, and returns what the component was told.
func (p *page) tool(more []string, args ...string) ([]string, error) {
	p.t.Helper()
	if err := os.RemoveAll(p.file("calls")); err != nil {
		p.t.Fatal(err)
	}
	environ := p.environ("AccountID=1", "AccessKeyID="+localtest.AccessKeyID, "AccessKeySecret="+localtest.AccessKeySecret)
	for name, value := range account {
		environ = append(environ, name+"="+value)
	}
	cmd := exec.CommandContext(p.t.Context(), p.file("bin/s"), args...)
	cmd.Dir, cmd.Env = p.file("work"), append(environ, more...)
	failed := cmd.Run()
	calls, err := p.calls()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.t.Fatal(err)
	}
	var out []string
	for _, call := range calls {
		out = append(out, call.Resource)
	}
	return out, failed
}

// promised are the lines that the page says the setup writes, each up to where it is cut off.
func promised(document string) []string {
	var out []string
	for _, text := range blocks(document, "") {
		for line := range strings.Lines(text) {
			if line, _, _ = strings.Cut(strings.TrimSpace(line), "…"); strings.HasPrefix(line, "create ") {
				out = append(out, line)
			}
		}
	}
	return out
}

func TestPageIsFollowed(t *testing.T) {
	p := newPage(t)
	p.install()
	p.prepare()
	said := p.follow()
	t.Run("and its commands say what it shows", func(t *testing.T) {
		wanted := append(promised(p.text), "Format verification for [s.yaml] passed.", "state        succeeded\nname         first-routine\nrecord       first.example.com")
		if len(wanted) < 12 {
			t.Errorf("the page shows %q only", wanted)
		}
		for _, line := range wanted {
			if !strings.Contains(said, line) {
				t.Errorf("nothing said %q", line)
			}
		}
	})
	t.Run("and everything is deployed, accept last, and removed again", func(t *testing.T) {
		calls, err := p.calls()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		for _, call := range calls {
			got[call.Command] = append(got[call.Command], call.Resource)
		}
		deployed := got["deploy"]
		if len(deployed) == 0 || deployed[len(deployed)-1] != "accept" {
			t.Errorf("deployed in the order %q", deployed)
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(deployed)), slices.Sorted(slices.Values(got["remove"]))); diff != "" {
			t.Errorf("-deployed +removed:\n%s", diff)
		}
	})
	t.Run("and what is left in RAM belongs to services", func(t *testing.T) {
		for role := range maps.Keys(p.account.Roles) {
			if !strings.HasPrefix(role, "AliyunServiceRoleFor") {
				t.Errorf("the role %s is left", role)
			}
		}
		for policy := range maps.Keys(p.account.Policies) {
			t.Errorf("the policy %s is left", policy)
		}
	})
	t.Run("and what it says of the tool is so", func(t *testing.T) {
		all, err := p.tool(nil, "deploy", "accept", "-y", "--skip-actions")
		if len(all) < 4 || err != nil {
			t.Errorf("s deploy accept: deploys %q, %v", all, err)
		}
		one, err := p.tool(nil, "accept", "deploy", "-y", "--skip-actions")
		if diff := cmp.Diff([]string{"accept"}, one); diff != "" || err != nil {
			t.Errorf("s accept deploy: %v, -want +got:\n%s", err, diff)
		}
		if _, err := p.tool([]string{"ROUTINELY_AUTH="}, "verify"); err == nil {
			t.Error("s verify takes an empty ROUTINELY_AUTH")
		}
	})
	if t.Failed() {
		t.Logf("the commands said:\n%s", said)
	}
}
