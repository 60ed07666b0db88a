package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routinely/deploy/local/localtest"
)

// stagingPrefix is the prefix of the environment that TestEnvironment deploys.
const stagingPrefix = "staging"

// staging writes the settings of an environment, as the example has them, for the local servers, and returns the secrets that go with it.
func (p *page) staging() []string {
	p.t.Helper()
	accept, platform := p.functions()
	var content strings.Builder
	settings := map[string]string{
		"ROUTINELY_PREFIX": stagingPrefix, "ROUTINELY_TABLESTORE_INSTANCE": exports(p.text)["ROUTINELY_TABLESTORE_INSTANCE"],
		"ROUTINELY_MNS_ENDPOINT": p.mns, "ROUTINELY_TABLESTORE_ENDPOINT": p.ots, "ROUTINELY_TABLESTORE_MANAGEMENT_ENDPOINT": p.management,
		"ROUTINELY_ESA_ENDPOINT": p.esa, "ROUTINELY_URL": accept, "ROUTINELY_ACCOUNT_ID": localtest.AccountID,
		"ROUTINELY_FC_ENDPOINT": platform, "ROUTINELY_EVENTBRIDGE_ENDPOINT": platform,
	}
	for line := range strings.Lines(string(read(p.t, "deploy", "environments", "staging.env.example"))) {
		name, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if found && !strings.HasPrefix(name, "#") && settings[name] == "" {
			settings[name] = value
		}
	}
	for name, value := range settings {
		fmt.Fprintf(&content, "%s=%s\n", name, value)
	}
	if err := os.WriteFile(p.file("work/deploy/environments/staging.env"), []byte(content.String()), 0o644); err != nil {
		p.t.Fatal(err)
	}
	out, err := p.shell(nil, `go build -o .local/bin/routinely ./cmd/routinely
		ROUTINELY_TOKEN=$(.local/bin/routinely callers add ops --scope submit,read,operate --file callers.json)
		printf '%s\0' "ROUTINELY_TOKEN=$ROUTINELY_TOKEN" "ROUTINELY_AUTH=$(cat callers.json)" "ROUTINELY_CALLBACK_SECRETS=whsec_$(openssl rand -base64 32)" \
			"ROUTINELY_MESSAGE_KEYS=$(.local/bin/routinely message-key)" 2>/dev/null`)
	if err != nil {
		p.t.Fatalf("%v\n%s", err, out)
	}
	secrets := strings.Split(strings.TrimSuffix(out[strings.Index(out, "ROUTINELY_TOKEN="):], "\x00"), "\x00")
	return append(secrets, "ALIBABA_CLOUD_ACCESS_KEY_ID="+localtest.AccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+localtest.AccessKeySecret,
		"ALIBABA_CLOUD_SECURITY_TOKEN=token-of-a-temporary-key")
}

// functions are the addresses of accept and of the API of the platform. The first request of either starts the functions, as they were deployed by then.
func (p *page) functions() (accept, platform string) {
	start := sync.OnceValue(func() http.Handler {
		at, err := p.start()
		if err != nil {
			p.t.Error(err)
		}
		target, err := url.Parse(at)
		if err != nil {
			p.t.Error(err)
		}
		return httputil.NewSingleHostReverseProxy(target)
	})
	accept = localtest.Listen(p.t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { start().ServeHTTP(w, r) }), nil)
	platform = localtest.Listen(p.t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start()
		p.platform.ServeHTTP(w, r)
	}), nil)
	return accept, platform
}

// shell runs commands in the copy, without an input, and returns what they wrote.
func (p *page) shell(environ []string, script string) (string, error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), walkTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = p.file("work"), p.environ(environ...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// told returns the resources that the component was told of, by command.
func (p *page) told() map[string][]string {
	p.t.Helper()
	calls, err := p.calls()
	if err != nil {
		p.t.Fatal(err)
	}
	out := map[string][]string{}
	for _, call := range calls {
		out[call.Command] = append(out[call.Command], call.Resource)
	}
	return out
}

// leaked returns the names of variables whose value is in a text, as it is or as JSON has it.
func leaked(text string, secrets []string) []string {
	var out []string
	for _, line := range secrets {
		name, value, _ := strings.Cut(line, "=")
		escaped, err := json.Marshal(value)
		if strings.Contains(text, value) || err == nil && strings.Contains(text, strings.Trim(string(escaped), `"`)) {
			out = append(out, name)
		}
	}
	return out
}

func TestEnvironment(t *testing.T) {
	p := newPage(t)
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip(err)
	}
	p.install()
	p.prepare()
	secrets := p.staging()
	t.Run("is deployed by one command, accept last, and examined with a job", func(t *testing.T) {
		said, err := p.shell(secrets, "make deploy ENV=staging")
		if err != nil {
			t.Errorf("%v:\n%s", err, said)
		}
		if diff := cmp.Diff([]string{"provisioner", "notify", "janitor", "accept"}, p.told()["deploy"]); diff != "" {
			t.Errorf("deployed (-want +got):\n%s", diff)
		}
		for _, call := range p.deployed {
			if name := fmt.Sprint(call.Props["functionName"]); !strings.HasPrefix(name, stagingPrefix+"-") || !call.Temporary {
				t.Errorf("deployed %s, with a temporary key: %t", name, call.Temporary)
			}
		}
		for _, line := range []string{"create queue staging-jobs", "functions    ok", "triggers     ok", "probe        ok", "staging is deployed, and a job went the whole way"} {
			if !strings.Contains(said, line) {
				t.Errorf("nothing said %q:\n%s", line, said)
			}
		}
		if names := leaked(said, secrets); names != nil {
			t.Errorf("printed %q", names)
		}
	})
	t.Run("has the way back, and no secret, in the output of one that failed", func(t *testing.T) {
		said, err := p.shell(append(secrets, "WALK_FAILS=notify"), "make rollback ENV=staging")
		if err == nil {
			t.Error("no error")
		}
		for _, text := range []string{"cannot deploy", "***", "make rollback ENV=staging"} {
			if !strings.Contains(said, text) {
				t.Errorf("nothing said %q:\n%s", text, said)
			}
		}
		if names := leaked(said, secrets); names != nil {
			t.Errorf("printed %q:\n%s", names, said)
		}
		if deployed := p.told()["deploy"][4:]; !slices.Equal(deployed, []string{"accept", "provisioner", "notify"}) {
			t.Errorf("went back in the order %q", deployed)
		}
	})
	t.Run("has no secret in the logs of the tool", func(t *testing.T) {
		err := filepath.WalkDir(p.file("tool"), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if names := leaked(string(content), secrets); names != nil {
				t.Errorf("%s has %q", path, names)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("is not removed unless somebody says its name", func(t *testing.T) {
		said, err := p.shell(secrets, "make undeploy ENV=staging </dev/null")
		if err == nil || !strings.Contains(said, "nothing was done: undeploy of staging wants CONFIRM=staging") {
			t.Errorf("%v\n%s", err, said)
		}
		if removed := p.told()["remove"]; removed != nil {
			t.Errorf("removed %q", removed)
		}
	})
	t.Run("is removed by one command, accept first", func(t *testing.T) {
		said, err := p.shell(secrets[len(secrets)-3:], "make undeploy ENV=staging CONFIRM=staging")
		if err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		if diff := cmp.Diff([]string{"accept", "janitor", "notify", "provisioner"}, p.told()["remove"]); diff != "" {
			t.Errorf("removed (-want +got):\n%s", diff)
		}
		for _, line := range []string{"delete queue staging-jobs", "delete table staging_jobs"} {
			if !strings.Contains(said, line) {
				t.Errorf("nothing said %q:\n%s", line, said)
			}
		}
	})
	t.Run("is not deployed with what is missing or wrong", func(t *testing.T) {
		before := p.told()
		for _, test := range []struct{ script, want string }{
			{"make deploy", "which environment?"},
			{"make deploy ENV=test", "there is no deploy/environments/test.env"},
			{"env -u ROUTINELY_TOKEN make deploy ENV=staging", "ROUTINELY_TOKEN"},
			{"cp deploy/environments/staging.env deploy/environments/production.env; make deploy ENV=staging", "has the prefix staging too"},
			{"sed -i s/PREFIX=staging/PREFIX=live/ deploy/environments/production.env; make deploy ENV=production </dev/null", "wants CONFIRM=production"},
			{"mkdir -p fake; printf '#!/bin/sh\necho @serverless-devs/s: 3.1.9' >fake/s; chmod +x fake/s; PATH=$PWD/fake:$PATH make deploy ENV=staging", "3.1.10 only"},
			{"touch .env; make deploy ENV=staging", "a file .env"},
		} {
			said, err := p.shell(secrets, test.script)
			if err == nil || !strings.Contains(said, test.want) {
				t.Errorf("%s: %v, want %q:\n%s", test.script, err, test.want, said)
			}
		}
		if diff := cmp.Diff(before, p.told()); diff != "" {
			t.Errorf("something was deployed:\n%s", diff)
		}
	})
}
