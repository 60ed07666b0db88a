package main

import (
	"io"
	"os"
	"strings"
	"testing"
)

func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		name    string
		args    []string
		prepare func(t *testing.T)
		want    string
	}{
		{"no version", nil, nil, "which version? Say for example: make release VERSION=v0.2.0"},
		{"an empty version", []string{""}, nil, "which version?"},
		{"a version without v", []string{"0.2.0"}, nil, `"0.2.0" is no version`},
		{"a version of two numbers", []string{"v0.2"}, nil, `"v0.2" is no version`},
		{"a path for a version", []string{"v0.2.0-../../x"}, nil, "is no version"},
		{"a version that Go does not take", []string{"v2.0.0"}, nil, "of the majors v0 and v1"},
		{"a changed file", []string{"v0.2.0"}, func(t *testing.T) { write(t, "README.md", "other") }, "commit or remove them:\n M README.md"},
		{"a new file", []string{"v0.2.0"}, func(t *testing.T) { write(t, "new.go", "package main") }, "commit or remove them:\n?? new.go"},
		{"a commit without the tag", []string{"v0.3.0"}, nil, "the commit does not have the tag v0.3.0: git tag -a v0.3.0 -m v0.3.0"},
		{
			"a tag beside a higher one",
			[]string{"v0.2.0"},
			func(t *testing.T) { command(t, "tag", "v0.2.1") },
			"the tool for linux/amd64: `routinely version` would print v0.2.1, not v0.2.0",
		},
		{"a linked worktree", []string{"v0.2.0"}, func(t *testing.T) {
			linked := t.TempDir() + "/linked"
			command(t, "worktree", "add", "-q", linked)
			t.Chdir(linked)
		}, "a linked worktree is none"},
		{"a program that does not compile", []string{"v0.2.0"}, func(t *testing.T) {
			write(t, "cmd/routinely/main.go", "package main\n\nfunc main() { missing() }\n")
			command(t, "commit", "-qam", "Second")
			command(t, "tag", "-f", "v0.2.0")
		}, "the tool for linux/amd64: go build: exit status 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			enterClone(t)
			if test.prepare != nil {
				test.prepare(t)
			}
			err := run(t.Context(), test.args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
			if left, _ := os.ReadDir("dist/release"); len(left) > 0 {
				t.Errorf("something was written all the same: %v", left)
			}
		})
	}
}
