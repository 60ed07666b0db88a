package githubaction_test

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"routinely/deploy/local/localtest"
)

// hostile is a branch that a shell would obey, and that would end a line of outputs.
const hostile = "fix/$(touch pwned)`touch pwned`;touch pwned'\"::add-mask::x"

func TestPreview(t *testing.T) {
	node(t)
	s, g := newService(t), newGitHub(t)
	inputs := map[string]string{
		"url": s.url, "token": s.token, "host": "{name}.example.com", "code": "index.js", "binary": s.tool, "verify": "X-Commit=one", "verify-timeout": "1s",
	}
	do := func(action string, more map[string]string) ended {
		given := maps.Clone(inputs)
		maps.Copy(given, more)
		file := filepath.Join(t.TempDir(), "index.js")
		if err := os.WriteFile(file, []byte("export default { fetch() { return new Response() } } // "+action), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, replaced := more["code"]; !replaced {
			given["code"] = file
		}
		e := run{
			inputs: given, event: "pull_request", branch: hostile, payload: pullRequest(action, 7, "acme/shop"), environ: s.edge.Environ, github: g.url,
		}.start(t)
		if _, err := os.Stat(filepath.Join(e.dir, "pwned")); err == nil {
			t.Error("the name of the branch was obeyed")
		}
		for _, c := range g.own() {
			if strings.Contains(c.Body, s.token) || strings.Contains(c.Body, "$(") {
				t.Errorf("the comment has a token or the branch: %s", c.Body)
			}
		}
		return e
	}
	const name = "pr-fix-touch-pwned-touch-pwned-9c3804f2f3"
	marker := "<!-- routinely preview " + name + " -->\n"
	g.mark(marker)

	t.Run("is there after a pull request was opened", func(t *testing.T) {
		e := do("opened", nil)
		if e.code != 0 || e.outputs["name"] != name || e.outputs["url"] != "https://"+name+".example.com/" || len(e.outputs["job-id"]) != 36 {
			t.Fatalf("exit code %d, %v, %s", e.code, e.outputs, e.log)
		}
		known, live := s.routine(t, name)
		if !live || !strings.Contains(known, name+".example.com") || !strings.Contains(known, `"pr":"7"`) || !strings.Contains(known, `"expiresAt"`) {
			t.Errorf("the service knows %s", known)
		}
		own := g.own()
		if len(own) != 1 || !strings.HasPrefix(own[0].Body, marker) || !strings.Contains(own[0].Body, "deployed, seen serving") || !strings.Contains(own[0].Body, e.outputs["url"]) {
			t.Errorf("comments %v", own)
		}
	})
	t.Run("has new code after a push, and the same comment", func(t *testing.T) {
		before, _ := s.routine(t, name)
		e := do("synchronize", nil)
		after, live := s.routine(t, name)
		if own := g.own(); e.code != 0 || e.outputs["name"] != name || !live || before == after || len(own) != 1 || g.edits != 1 {
			t.Errorf("exit code %d, %v, comments %v, %s\n%s", e.code, e.outputs, own, after, e.log)
		}
	})
	t.Run("is said not to serve yet, and the step fails", func(t *testing.T) {
		e := do("synchronize", map[string]string{"verify": "X-Commit=two"})
		own := g.own()
		if e.code != 9 || e.outputs["job-id"] == "" || len(own) != 1 || !strings.Contains(own[0].Body, "deployed, not yet seen serving") {
			t.Errorf("exit code %d, %v, comments %v, %s", e.code, e.outputs, own, e.log)
		}
		if !strings.Contains(e.log, "::error::The preview "+name+" is deployed, not yet seen serving: routinely ended with 9.") {
			t.Errorf("the log is %s", e.log)
		}
	})
	t.Run("is there without a comment if GitHub refuses one", func(t *testing.T) {
		g.forbidden = true
		e := do("synchronize", nil)
		g.forbidden = false
		if e.code != 0 || !strings.Contains(e.log, "::warning::The comment was not written: GET of a comment: GitHub answers 403; the job needs the permission pull-requests: write") {
			t.Errorf("exit code %d, %s", e.code, e.log)
		}
	})
	t.Run("reports code that is not there", func(t *testing.T) {
		e := do("synchronize", map[string]string{"code": "none.js"})
		own := g.own()
		if e.code != 2 || len(own) != 1 || !strings.Contains(own[0].Body, ": failed.") || !strings.Contains(e.log, "none.js") {
			t.Errorf("exit code %d, %v, %s", e.code, own, e.log)
		}
	})
	t.Run("is gone after the pull request was closed", func(t *testing.T) {
		e := do("closed", map[string]string{"code": ""})
		_, live := s.routine(t, name)
		if own := g.own(); e.code != 0 || live || e.outputs["name"] != name || len(own) != 1 || !strings.Contains(own[0].Body, "`: deleted.") {
			t.Errorf("exit code %d, live %t, comments %v, %s", e.code, live, own, e.log)
		}
	})
	t.Run("may be gone already", func(t *testing.T) {
		if e := do("closed", map[string]string{"code": "", "name": "pr-none"}); e.code != 0 {
			t.Errorf("exit code %d, %s", e.code, e.log)
		}
		if own := g.own(); len(own) != 1 {
			t.Errorf("comments %v", own)
		}
	})
	t.Run("has a name that the caller may use", func(t *testing.T) {
		e := do("opened", map[string]string{"name": "shop", "comment": "false"})
		if own := g.own(); e.code != 5 || !strings.Contains(e.log, "a name must begin with pr-") || len(own) != 1 {
			t.Errorf("exit code %d, comments %v, %s", e.code, own, e.log)
		}
	})
}

func TestRefusals(t *testing.T) {
	node(t)
	never := localtest.Listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s was called", r.Method, r.URL) }), nil)
	tool := filepath.Join(t.TempDir(), "routinely")
	if err := os.WriteFile(tool, []byte("#!/bin/sh\necho the tool was run >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, event, from string
		inputs            map[string]string
		code              int
		want              string
	}{
		{"a host name without its place", "push", "", map[string]string{"host": "preview.example.com"}, 1, "::error::host: want a host name with {name} in it once"},
		{"a host name with more than letters", "push", "", map[string]string{"host": "{name}.example.com/ x"}, 1, "::error::host: want"},
		{"a prefix that begins no name", "push", "", map[string]string{"prefix": "7-"}, 1, "::error::prefix: want"},
		{"a name that is none", "push", "", map[string]string{"name": "a-"}, 1, "::error::name: want"},
		{"neither name nor branch", "push", "", map[string]string{"branch": ""}, 1, "::error::neither name nor branch is given"},
		{"a missing token", "push", "", map[string]string{"token": ""}, 1, "::error::token: it is empty"},
		{"pull_request_target", "pull_request_target", "acme/shop", nil, 1, "::error::pull_request_target is not supported"},
		{"a fork without a token, which is no mistake", "pull_request", "eve/shop", map[string]string{"token": ""}, 0, "::notice::No preview: the pull request comes from a fork"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inputs := map[string]string{"url": never, "token": "secret-token", "host": "{name}.example.com", "binary": tool}
			maps.Copy(inputs, test.inputs)
			var payload any = map[string]any{"ref": "refs/heads/main"}
			if test.from != "" {
				payload = pullRequest("opened", 7, test.from)
			}
			e := run{inputs: inputs, event: test.event, branch: "main", payload: payload, github: never}.start(t)
			if e.code != test.code || !strings.Contains(e.log, test.want) || strings.Contains(e.log, "the tool was run") || len(e.outputs) != 0 {
				t.Errorf("exit code %d, %v, %s", e.code, e.outputs, e.log)
			}
		})
	}
}
